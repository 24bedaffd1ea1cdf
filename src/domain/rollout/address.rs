//! Where pods can be asked directly: their own addresses, and the ports by which Services know them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::state::Endpoint;
use super::{PodLife, Rollout};
use crate::domain::traffic::{Name, PodTarget};

impl Rollout {
    /// Where each pod can be asked at its own address: from its first readiness until it is gone, also while it is on its way out.
    pub fn targets(&self) -> Vec<PodTarget> {
        self.addresses(|life| life.ready.is_some())
    }

    /// Where these pods can be asked at their own addresses. A version may listen elsewhere under the same name of a port, so that the port
    /// of others is asked only of who is listed nowhere any more.
    pub(in crate::domain) fn addresses(&self, wanted: impl Fn(&PodLife) -> bool) -> Vec<PodTarget> {
        // Backwards: of several that list a pod the first counts.
        let own: BTreeMap<&Name, u16> = self.listed().rev().filter_map(|e| Some((e.pod.as_ref()?, e.port?))).collect();
        let any = self.listed().find_map(|e| e.port);
        let target = |life: &PodLife| {
            let address = life.state.ip.as_ref()?.parse().ok()?;
            let port = own.get(&life.state.name).copied().or(any)?;
            Some(PodTarget { pod: life.state.name.clone(), address: SocketAddr::new(address, port) })
        };
        self.pods().into_iter().filter(|life| wanted(life)).filter_map(target).collect()
    }

    /// Whether a Service knows this pod, ready or not, and with it its port.
    pub(in crate::domain) fn is_listed(&self, pod: &Name) -> bool {
        self.listed().any(|e| e.pod.as_ref() == Some(pod) && e.port.is_some())
    }

    fn listed(&self) -> impl DoubleEndedIterator<Item = &Endpoint> {
        self.endpoints.values().flat_map(|slice| &slice.endpoints)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rollout::state::{EndpointsState, PodState};
    use crate::domain::rollout::tests::{name, pod};
    use crate::domain::time::At;

    fn slice(called: &str, port: u16, pods: &[&str]) -> EndpointsState {
        let endpoint = |pod: &&str| Endpoint {
            pod: Some(name(pod)),
            address: name("10.0.0.1"),
            port: Some(port),
            ready: false,
            serving: false,
            terminating: false,
        };
        EndpointsState { name: name(called), endpoints: pods.iter().map(endpoint).collect() }
    }

    #[test]
    fn each_pod_is_asked_at_the_port_by_which_a_service_knows_it() {
        let mut rollout = Rollout::default();
        for (ip, pod_name) in [("10.0.0.1", "o1"), ("10.0.0.2", "n1"), ("10.0.0.3", "left")] {
            let state = PodState { ip: Some(name(ip)), ..pod(pod_name, "r", true, false) };
            rollout.pod(&state, At::ZERO);
        }
        assert_eq!(rollout.targets(), [], "no port is known");
        rollout.endpoint_slice(&slice("a", 8080, &["o1"]), At::ZERO);
        rollout.endpoint_slice(&slice("b", 9090, &["n1", "o1"]), At::ZERO);
        let asked: Vec<String> = rollout.targets().iter().map(|t| format!("{}={}", t.pod, t.address)).collect();
        assert_eq!(asked, ["left=10.0.0.3:8080", "n1=10.0.0.2:9090", "o1=10.0.0.1:8080"]);
        assert_eq!(["o1", "n1", "left"].map(|pod| rollout.is_listed(&name(pod))), [true, true, false]);
    }
}
