//! How long it takes until nobody sends to a pod that was told to end: the figure that a preStop sleep has to cover. Everyone guesses it;
//! here it is measured, pod by pod.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::attribution::Attribution;
use super::rollout::{PodLife, Rollout};
use super::slice::Failure;
use super::tally::Tally;
use super::time::{At, as_micros};
use super::traffic::Name;

/// One pod's way out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Departure {
    /// Which pod.
    pub pod: Name,
    /// It was told to end.
    pub told: At,
    /// The EndpointSlices stopped naming it as ready.
    pub removed: Option<At>,
    /// The last request that it answered, or that failed because of it (to a tenth of a second).
    pub last_request: Option<At>,
    /// It was gone from the API.
    pub gone: Option<At>,
}

/// The profile of a rollout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Pods that had served and were told to end, in that order.
    pub departures: Vec<Departure>,
    /// The longest time from being told to end to leaving the EndpointSlices.
    #[serde(with = "as_micros")]
    pub slowest_removal: Duration,
    /// The longest time from being told to end to the last request sent to the pod: what a preStop sleep has to cover.
    #[serde(with = "as_micros")]
    pub slowest_last_request: Duration,
}

/// Measures the profile from what pods answered and what failed because of them.
pub fn profile<'a>(rollout: &'a Rollout, tally: &Tally, failures: &[(&'a Failure, Attribution)]) -> Profile {
    let mut leavers: Vec<&PodLife> =
        rollout.gone().chain(rollout.pods()).filter(|p| p.terminating.is_some() && p.ready.is_some()).collect();
    leavers.sort_by_key(|p| (p.terminating, p.state.name.clone()));
    let departures: Vec<Departure> = leavers
        .into_iter()
        .filter_map(|life| {
            let told = life.terminating?;
            let name = &life.state.name;
            let answered = tally.pods().get(name).map(|p| p.last);
            let failed = failures.iter().filter(|(f, a)| f.due >= told && is_its(a, name, rollout)).map(|(f, _)| f.due).max();
            let last_request = answered.max(failed).filter(|at| *at > told);
            Some(Departure {
                pod: name.clone(),
                told,
                removed: life.removed().filter(|r| *r >= told),
                last_request,
                gone: life.gone,
            })
        })
        .collect();
    let slowest = |moment: fn(&Departure) -> Option<At>| {
        departures.iter().filter_map(|d| Some(moment(d)?.since(d.told))).max().unwrap_or_default()
    };
    Profile { slowest_removal: slowest(|d| d.removed), slowest_last_request: slowest(|d| d.last_request), departures }
}

/// Whether a failure counts as a request to this pod. One that may have gone to any of several is put down to the one told last: so the
/// time until the last request is never made longer than it was.
fn is_its(attribution: &Attribution, pod: &Name, rollout: &Rollout) -> bool {
    let told = |name: &&Name| rollout.pod_named(name).and_then(|life| life.terminating);
    attribution.pod.as_ref().or_else(|| attribution.among.iter().max_by_key(told)) == Some(pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::domain::attribution::Evidence;
    use crate::domain::outcome::{Counts, Outcome};
    use crate::domain::rollout::state::{Endpoint, EndpointsState};
    use crate::domain::rollout::tests::{name, pod};
    use crate::domain::slice::{Part, Phases, Slice};

    fn at(ms: u64) -> At {
        At(ms * 1_000)
    }

    fn listed(pod: &str, ready: bool) -> Endpoint {
        Endpoint { pod: Some(name(pod)), address: name("10.0.0.1"), port: Some(80), ready, serving: true, terminating: !ready }
    }

    #[test]
    fn the_last_request_to_a_leaving_pod_is_its_last_answer_or_its_last_failure() {
        let slice_of = |endpoints| EndpointsState { name: name("s"), endpoints };
        let mut r = Rollout::default();
        r.pod(&pod("o1", "old", true, false), at(0));
        r.endpoint_slice(&slice_of(vec![listed("o1", true)]), at(10));
        r.pod(&pod("o1", "old", true, true), at(5_000));
        r.endpoint_slice(&slice_of(vec![listed("o1", false)]), at(5_040));
        let mut t = Tally::default();
        t.measure_from(at(4_000));
        let mut counts = Counts::default();
        counts.add(Outcome::Ok, 3);
        let part = Part { pod: Some(name("o1")), counts, ..Part::default() };
        t.slice(&Slice { lane: name("fresh"), end: at(6_200), due: 3, parts: vec![part], lag_max: 0 });

        let p = profile(&r, &t, &[]);
        assert_eq!((p.slowest_removal, p.slowest_last_request), (Duration::from_millis(40), Duration::from_millis(1_200)));

        let failure = Failure {
            lane: name("fresh"),
            due: at(7_100),
            sent: None,
            known: at(7_101),
            phases: Phases::default(),
            outcome: Outcome::Refused,
            status: None,
            pod: None,
            direct: false,
            version: None,
            connection: None,
            note: String::new(),
        };
        let attribution = Evidence::new(&r, &t, std::iter::empty(), BTreeSet::new()).attribute(&failure);
        let p = profile(&r, &t, &[(&failure, attribution)]);
        assert_eq!(p.slowest_last_request, Duration::from_millis(2_100));
        assert_eq!(p.departures[0].removed, Some(at(5_040)));
    }
}
