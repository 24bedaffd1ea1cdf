//! The pods that a lane asks at their own addresses: who is where, also for a while after a pod is gone.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::domain::traffic::{Name, PodTarget};

/// Addresses remembered at most; requests to a pod that is gone end within their timeout.
const KNOWN_MAX: usize = 4_096;

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Pods {
    /// With whether it is still to be asked.
    known: BTreeMap<SocketAddr, (Name, bool)>,
}

impl Pods {
    /// These are to be asked from now on.
    pub(super) fn set(&mut self, pods: &[PodTarget]) {
        if self.known.len() + pods.len() > KNOWN_MAX {
            self.known.clear();
        }
        self.known.values_mut().for_each(|(_, current)| *current = false);
        self.known.extend(pods.iter().map(|pod| (pod.address, (pod.pod.clone(), true))));
    }

    /// The pod at an address.
    pub(super) fn at(&self, address: SocketAddr) -> Option<&Name> {
        self.known.get(&address).map(|(pod, _)| pod)
    }

    /// Whether the pod at an address is to be asked.
    pub(super) fn is_current(&self, address: SocketAddr) -> bool {
        self.known.get(&address).is_some_and(|(_, current)| *current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_remembered_when_it_is_gone_but_not_asked_and_the_memory_is_bounded() {
        let pod = |n: u32| PodTarget { pod: format!("p{n}").into(), address: SocketAddr::from((n.to_be_bytes(), 80)) };
        let mut pods = Pods::default();
        pods.set(&[pod(1), pod(2)]);
        pods.set(&[pod(2)]);
        let [one, two, three] = [1, 2, 3].map(|n| pod(n).address);
        assert_eq!((pods.at(one).map(|n| &**n), pods.at(three)), (Some("p1"), None));
        assert_eq!([one, two, three].map(|address| pods.is_current(address)), [false, true, false]);
        for n in 10..10_000 {
            pods.set(&[pod(n)]);
            assert!(pods.known.len() <= KNOWN_MAX);
        }
    }
}
