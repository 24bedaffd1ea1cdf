//! What a run is to do: its scenario, and the traffic that comes of it.

use proptest::collection::{btree_map, vec};
use proptest::option::of as maybe;
use proptest::prelude::*;

use super::{at, name, span, text};
use crate::domain::event::{FORMAT, RunStarted};
use crate::domain::scenario::{self, Scenario};
use crate::domain::secret::{REDACTED, Secret};
use crate::domain::traffic::{
    Arrivals, Authorities, Expect, HeaderExpect, LanePlan, Mode, ProtocolChoice, RequestPlan, Schedule, Stage, TlsPlan, TrafficPlan,
};

/// As a scenario holds it: to a millionth.
fn rate() -> impl Strategy<Value = f64> {
    (0..20_000_000_000_u64).prop_map(|n| n as f64 / 1e6)
}

/// A scenario that uses what there is.
pub(in super::super) fn scenario() -> Scenario {
    let text = "
name: everything
about: 'All there is: quotes \" and lines.'
target: {deployment: backend, namespace: todo}
given: {apply: [k8s/todo/backend], healthy_for: 1s 500ms, overlay: [{kind: Deployment, spec: {a: null, b: [1, 2.5, 'x']}}]}
traffic:
  path: /api/todos
  headers: {authorization: 'Bearer x'}
  lanes:
    fresh: {rate: 0.333333333333333333, profile: [{over: 10s, rate: 33.333333333333336}]}
    slow: {mode: inflight, rate: 5, users: 3, think: 20ms, path: /slow}
    live: {mode: stream, rate: 2, length: 5s, stall: 1s}
when: [set: {image: 'a:2', env: {A: b}}, patch: {spec: {x: 1.25}}, scale: 3, wait: rollout, wait: 3s, delete_pods: 1, restart]
then: [availability >= 99.95%, fresh.p99.9 < 1s 500ms, longest_outage < 2s, deployed_within 5m]
expect: {verdict: breach, because: [p99], findings: [V101]}
";
    scenario::parse("everything.yaml", text, &[]).unwrap()
}

pub(super) fn head() -> impl Strategy<Value = RunStarted> {
    let rates = (rate(), rate());
    (text(), text(), text(), text(), any::<u64>(), text(), rates).prop_map(
        |(version, run_id, started, cluster, seed, command, rates)| {
            let mut scenario = scenario();
            if let Some(lane) = scenario.traffic.lanes.get_mut("fresh") {
                lane.rate = rates.0;
                lane.profile[0].rate = rates.1;
            }
            RunStarted { format: FORMAT, version, run_id, started, scenario, cluster, seed, command, put_back: seed % 2 == 1 }
        },
    )
}

pub(super) fn plan() -> impl Strategy<Value = TrafficPlan> {
    (vec(lane(), 0..3), any::<u64>(), text()).prop_map(|(lanes, seed, run_id)| TrafficPlan { lanes, seed, run_id })
}

fn lane() -> impl Strategy<Value = LanePlan> {
    let mode = prop_oneof![
        Just(Mode::Fresh),
        any::<usize>().prop_map(|connections| Mode::Kept { connections }),
        (span(), span()).prop_map(|(length, stall)| Mode::Stream { length, stall }),
    ];
    let schedule = (
        prop_oneof![
            Just(Arrivals::Even),
            Just(Arrivals::Poisson),
            (any::<usize>(), span()).prop_map(|(users, think)| Arrivals::Closed { users, think })
        ],
        vec((span(), rate()).prop_map(|(over, rate)| Stage { over, rate }), 0..3),
    )
        .prop_map(|(arrivals, stages)| Schedule { arrivals, stages });
    let times = (at(), span(), span(), vec(any::<u64>(), 0..3));
    (name(), mode, rate(), schedule, request(), expect(), times, any::<usize>()).prop_map(
        |(name, mode, rate, schedule, request, expect, (start, timeout, connect_timeout, thresholds), max_in_flight)| LanePlan {
            name,
            mode,
            rate,
            schedule,
            start,
            request,
            expect,
            timeout,
            connect_timeout,
            max_in_flight,
            thresholds,
        },
    )
}

fn request() -> impl Strategy<Value = RequestPlan> {
    let authorities = prop_oneof![
        Just(Authorities::System),
        "[a-z/]{1,9}".prop_map(|path| Authorities::File(path.into())),
        text().prop_map(Authorities::Pem)
    ];
    // A secret is redacted when it is written: it is not meant to come back.
    let tls = (authorities, any::<bool>(), maybe(any::<bool>())).prop_map(|(authorities, insecure, resume)| TlsPlan {
        authorities,
        client: None,
        insecure_accept_any_certificate: insecure,
        resume,
    });
    let protocol = prop_oneof![Just(ProtocolChoice::Http1), Just(ProtocolChoice::Http2), Just(ProtocolChoice::Auto)];
    let headers = btree_map(text(), Just(Secret::new(REDACTED)), 0..3);
    (text(), maybe(text()), text(), headers, text(), tls, protocol).prop_map(
        |(url, connect_to, method, headers, body, tls, protocol)| RequestPlan {
            url,
            connect_to,
            method,
            headers,
            body,
            protocol,
            tls,
        },
    )
}

fn expect() -> impl Strategy<Value = Expect> {
    let header = (text(), maybe(text()), maybe(text())).prop_map(|(name, equals, matches)| HeaderExpect { name, equals, matches });
    let lists = (vec(any::<(u16, u16)>(), 0..3), vec(text(), 0..3), vec(text(), 0..3), vec(text(), 0..3), vec(header, 0..3));
    (lists, maybe(text()), maybe(text()), any::<usize>()).prop_map(
        |((status, pod_headers, version_headers, json, headers), body_contains, body_matches, max_body)| Expect {
            status,
            pod_headers,
            version_headers,
            body_contains,
            body_matches,
            json,
            headers,
            max_body,
        },
    )
}
