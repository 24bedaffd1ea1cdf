//! The addresses and node ports of Services.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};

/// Which addresses and node ports are taken.
#[derive(Debug)]
pub(super) struct Addresses {
    first: u32,
    count: u32,
    taken: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<i64>,
}

const PORTS: std::ops::Range<i64> = 30_000..32_768;
/// Random picks before the range is searched from its start.
const PICKS: usize = 32;

/// A field of the spec, its value, and what is wrong with it.
type Wrong = (&'static str, Value, String);

impl Addresses {
    pub(super) fn new((network, prefix): (Ipv4Addr, u8)) -> Self {
        let bits = 32 - u32::from(prefix.clamp(8, 30));
        let first = u32::from(network) >> bits << bits;
        Self { first, count: 1 << bits, taken: BTreeSet::new(), ports: BTreeSet::new() }
    }

    fn free(&self, rng: &mut StdRng) -> Option<Ipv4Addr> {
        let usable = 1..self.count - 1;
        let picks: Vec<u32> = (0..PICKS).map(|_| rng.random_range(usable.clone())).collect();
        picks.into_iter().chain(usable).map(|i| Ipv4Addr::from(self.first + i)).find(|ip| !self.taken.contains(ip))
    }

    /// Gives a Service what its type wants: an address, the lists that repeat it, node ports. What it had it keeps.
    pub(super) fn assign(
        &mut self,
        rng: &mut StdRng,
        service: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<(), Wrong> {
        if let Some(old) = old {
            keep(service, old);
        }
        let Some(spec) = service.get_mut("spec").filter(|s| s.is_object()) else { return Ok(()) };
        if spec["type"] == "ExternalName" {
            if let Some(old) = old {
                self.release(old);
            }
            return Ok(());
        }
        let wanted = spec["clusterIP"].as_str().unwrap_or_default().to_owned();
        let had = old.map(|o| o["spec"]["clusterIP"].as_str().unwrap_or_default()).unwrap_or_default().to_owned();
        let address = match wanted.as_str() {
            "None" => "None".to_owned(),
            "" => match self.free(rng) {
                Some(ip) => ip.to_string(),
                None => return Err(("clusterIPs", json!([""]), "failed to allocate IP: range is full".into())),
            },
            given if given == had => had,
            given => self.requested(given)?.to_string(),
        };
        if let (false, Ok(ip)) = (dry_run, address.parse()) {
            self.taken.insert(ip);
        }
        spec["clusterIP"] = address.clone().into();
        spec["clusterIPs"] = json!([address]);
        spec["ipFamilies"] = json!(["IPv4"]);
        spec["ipFamilyPolicy"] = "SingleStack".into();
        self.node_ports(rng, spec, dry_run)
    }

    fn requested(&self, given: &str) -> Result<Ipv4Addr, Wrong> {
        let wrong = |why: String| ("clusterIPs", json!([given]), why);
        let ip: Ipv4Addr =
            given.parse().map_err(|_| wrong("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()))?;
        let bits = self.count.trailing_zeros();
        if u32::from(ip).wrapping_sub(self.first) >= self.count {
            let range = format!("{}/{}", Ipv4Addr::from(self.first), 32 - bits);
            return Err(wrong(format!(
                "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}"
            )));
        }
        if self.taken.contains(&ip) {
            return Err(wrong(format!("failed to allocate IP {ip}: provided IP is already allocated")));
        }
        Ok(ip)
    }

    fn node_ports(&mut self, rng: &mut StdRng, spec: &mut Value, dry_run: bool) -> Result<(), Wrong> {
        if !["NodePort", "LoadBalancer"].contains(&spec["type"].as_str().unwrap_or_default()) {
            return Ok(());
        }
        for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
            let number = match port["nodePort"].as_i64().filter(|n| *n != 0) {
                Some(number) if PORTS.contains(&number) => number,
                Some(number) => {
                    let why = format!(
                        "provided port is not in the valid range. The range of valid ports is {}-{}",
                        PORTS.start,
                        PORTS.end - 1
                    );
                    return Err(("ports", number.into(), why));
                }
                None => {
                    let picks: Vec<i64> = (0..PICKS).map(|_| rng.random_range(PORTS)).collect();
                    match picks.into_iter().chain(PORTS).find(|n| !self.ports.contains(n)) {
                        Some(number) => number,
                        None => return Err(("ports", Value::Null, "failed to allocate a nodePort: range is full".into())),
                    }
                }
            };
            port["nodePort"] = number.into();
            if !dry_run {
                self.ports.insert(number);
            }
        }
        Ok(())
    }

    /// Gives back what a Service had.
    pub(super) fn release(&mut self, service: &Value) {
        if let Some(Ok(ip)) = service["spec"]["clusterIP"].as_str().map(str::parse) {
            self.taken.remove(&ip);
        }
        for number in service["spec"]["ports"].as_array().into_iter().flatten().filter_map(|p| p["nodePort"].as_i64()) {
            self.ports.remove(&number);
        }
    }
}

/// An update that does not mention what was assigned keeps it.
fn keep(service: &mut Value, old: &Value) {
    let Some(spec) = service.get_mut("spec").filter(|s| s.is_object()) else { return };
    if spec["type"] == "ExternalName" {
        return;
    }
    if spec["clusterIP"].as_str().is_none_or(str::is_empty)
        && let Some(address) = old["spec"].get("clusterIP")
    {
        spec["clusterIP"] = address.clone();
    }
    if spec["type"] == old["spec"]["type"] {
        for (i, port) in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten().enumerate() {
            let had = &old["spec"]["ports"][i]["nodePort"];
            if port["nodePort"].is_null() && had.is_i64() {
                port["nodePort"] = had.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn addresses_come_from_the_range_once_and_return_to_it() {
        let mut addresses = Addresses::new((Ipv4Addr::new(127, 3, 96, 0), 29));
        let mut rng = StdRng::seed_from_u64(1);
        let mut given = Vec::new();
        for _ in 0..6 {
            let mut service = json!({"spec": {"type": "ClusterIP"}});
            addresses.assign(&mut rng, &mut service, None, false).unwrap();
            given.push(service);
        }
        let distinct: BTreeSet<String> = given.iter().map(|s| s["spec"]["clusterIP"].as_str().unwrap().to_owned()).collect();
        assert_eq!(distinct, (1..7).map(|i| format!("127.3.96.{i}")).collect());
        let mut more = json!({"spec": {"type": "ClusterIP"}});
        assert!(addresses.assign(&mut rng, &mut more, None, false).is_err());
        addresses.release(&given[2]);
        addresses.assign(&mut rng, &mut more, None, false).unwrap();
        assert_eq!(more["spec"]["clusterIP"], given[2]["spec"]["clusterIP"]);
    }

    #[test]
    fn an_update_keeps_the_address_and_a_foreign_one_is_refused() {
        let mut addresses = Addresses::new((Ipv4Addr::new(127, 3, 96, 0), 20));
        let mut rng = StdRng::seed_from_u64(1);
        let mut old = json!({"spec": {"type": "NodePort", "ports": [{"port": 80}]}});
        addresses.assign(&mut rng, &mut old, None, false).unwrap();
        let mut new = json!({"spec": {"type": "NodePort", "ports": [{"port": 81}]}});
        addresses.assign(&mut rng, &mut new, Some(&old), false).unwrap();
        assert_eq!(
            (&new["spec"]["clusterIP"], &new["spec"]["ports"][0]["nodePort"]),
            (&old["spec"]["clusterIP"], &old["spec"]["ports"][0]["nodePort"])
        );
        let mut foreign = json!({"spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1"}});
        let (_, _, why) = addresses.assign(&mut rng, &mut foreign, None, false).unwrap_err();
        assert_eq!(
            why,
            "failed to allocate IP 10.0.0.1: the provided IP (10.0.0.1) is not in the valid range. The range of valid IPs is 127.3.96.0/20"
        );
        let mut headless = json!({"spec": {"type": "ClusterIP", "clusterIP": "None"}});
        addresses.assign(&mut rng, &mut headless, None, false).unwrap();
        assert_eq!(headless["spec"]["clusterIPs"], json!(["None"]));
    }
}
