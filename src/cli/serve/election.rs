//! Which lease decides who leads, and who this verifier is in that.

use std::net::{IpAddr, SocketAddr};

use crate::cli::args::{LeaseName, ServeArgs};
use crate::cluster::connect::Choice;
use crate::controller::leader::Bid;
use crate::domain::lease::Terms;

/// The lease in a cluster, of the namespace that the service runs in.
const LEASE: &str = "verifier";
/// Where Linux tells the host's name: in a pod, the pod's.
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The lease, if there is one: in a cluster there is, unless it was declined.
pub(super) fn lease(args: &ServeArgs, choice: &Choice, own_namespace: &str) -> Option<LeaseName> {
    let usual = || LeaseName { namespace: own_namespace.into(), name: LEASE.into() };
    match (&args.lease, choice) {
        (Some(lease), _) => Some(lease.clone()),
        (None, Choice::InCluster) if !args.no_lease => Some(usual()),
        (None, _) => None,
    }
}

/// Who campaigns. `draw` is random: an earlier process in the same pod was somebody else.
pub(super) fn bid(lease: LeaseName, listen: SocketAddr, draw: u64, var: impl Fn(&str) -> Option<String>) -> Bid {
    let pod = var("POD_NAME").or_else(|| std::fs::read_to_string(HOSTNAME).ok()).map(|name| name.trim().to_owned());
    let pod = pod.filter(|name| !name.is_empty()).unwrap_or_else(|| LEASE.into());
    let address = address(listen, var("POD_IP").as_deref());
    Bid {
        namespace: lease.namespace,
        lease: lease.name,
        identity: format!("{pod}_{draw:016x}"),
        address,
        terms: Terms::default(),
        seed: draw,
    }
}

/// Where others reach this one: at the address that it listens on, or at its pod's when that is all of them.
fn address(listen: SocketAddr, pod: Option<&str>) -> Option<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return Some(listen);
    }
    let ip: IpAddr = pod?.parse().ok()?;
    (!ip.is_unspecified()).then(|| SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: ServeArgs,
    }

    fn typed(args: &[&str]) -> Result<ServeArgs, String> {
        Typed::try_parse_from(["serve"].iter().chain(args)).map(|typed| typed.args).map_err(|e| e.to_string())
    }

    #[test]
    fn in_a_cluster_there_is_a_lease_unless_it_is_declined_and_outside_only_when_it_is_named() {
        let outside = Choice::Kubeconfig { file: None, context: None };
        let of = |args: &[&str], choice: &Choice| lease(&typed(args).unwrap(), choice, "own").map(|lease| lease.to_string());
        assert_eq!(of(&[], &Choice::InCluster).as_deref(), Some("own/verifier"));
        assert_eq!(of(&["--no-lease"], &Choice::InCluster), None);
        assert_eq!(of(&[], &outside), None);
        for choice in [&outside, &Choice::InCluster] {
            assert_eq!(of(&["--lease", "ns/other.one-2"], choice).as_deref(), Some("ns/other.one-2"));
        }
    }

    #[test]
    fn a_lease_is_named_with_its_namespace_and_not_together_with_none() {
        for bad in ["verifier", "/verifier", "ns/", "ns/a/b", "Ns/a", "", "../a", "ns/-a", "ns/a..b", "n.s/a"] {
            assert!(typed(&["--lease", bad]).unwrap_err().contains("namespace and name"), "{bad}");
        }
        for more in ["--no-lease", "--sandbox"] {
            assert!(typed(&["--lease", "ns/a", more]).unwrap_err().contains("cannot be used with"), "{more}");
        }
    }

    #[test]
    fn each_process_is_somebody_else_and_says_where_it_answers() {
        let any: SocketAddr = "0.0.0.0:9090".parse().unwrap();
        let lease = || LeaseName { namespace: "ns".into(), name: "l".into() };
        let pod = |name: &str| match name {
            "POD_NAME" => Some("verifier-6d-x".to_owned()),
            "POD_IP" => Some("10.0.0.7".to_owned()),
            _ => None,
        };
        let one = bid(lease(), any, 7, pod);
        assert_eq!((&*one.identity, one.address), ("verifier-6d-x_0000000000000007", "10.0.0.7:9090".parse().ok()));
        assert_ne!(one.identity, bid(lease(), any, 8, pod).identity);
        let outside = bid(lease(), "127.0.0.1:80".parse().unwrap(), 7, |_| None);
        assert!(outside.identity.len() > "_0000000000000007".len(), "{}", outside.identity);
        assert_eq!(outside.address, "127.0.0.1:80".parse().ok());
    }

    #[test]
    fn only_an_address_that_others_can_use_is_told() {
        for (listen, pod, told) in [
            ("10.0.0.7:9090", None, Some("10.0.0.7:9090")),
            ("127.0.0.1:80", Some("10.0.0.7"), Some("127.0.0.1:80")),
            ("0.0.0.0:9090", None, None),
            ("0.0.0.0:9090", Some("somewhere"), None),
            ("0.0.0.0:9090", Some("0.0.0.0"), None),
            ("[::]:9090", Some("fd00::7"), Some("[fd00::7]:9090")),
        ] {
            assert_eq!(address(listen.parse().unwrap(), pod), told.map(|t| t.parse().unwrap()), "{listen} {pod:?}");
        }
    }
}
