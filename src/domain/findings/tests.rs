//! Each cause in a story made by hand: the healthy rollout of the fixtures (change at 2.5 s; first new pod ready and first old one told
//! to end at 4.3 s, the second ones at 5.8 s), altered at one place.

mod gate;

use std::time::Duration;

use super::*;
use crate::domain::event::{Event, What};
use crate::domain::fixtures::{self, N1, N2, NEW, O1, O2, OLD, fold, healthy, sick_before};
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::rollout::state::{
    Condition, ContainerNow, DeploymentState, Endpoint, EndpointsState, Exit, KubeEvent, PodState, PreStop, ProbeState,
    ReplicaSetState, Strategy, TemplateState,
};
use crate::domain::rollout::tests::{container, deployment, name, pod, set};
use crate::domain::slice::{Connection, Failure, Part, Phases, Slice};
use crate::domain::time::At;

fn at(ms: u64) -> At {
    At(ms * 1_000)
}

/// With further events, each at its time.
fn with(mut events: Vec<Event>, more: impl IntoIterator<Item = (u64, What)>) -> Vec<Event> {
    events.extend(more.into_iter().map(|(ms, what)| Event { at: at(ms), what }));
    // The head stays first: it is the first of those at zero.
    events.sort_by_key(|e| e.at);
    events
}

/// So many failures that were due and known then, with the slice that counts them.
fn failures(due: u64, known: u64, n: u64, alter: impl Fn(&mut Failure)) -> Vec<(u64, What)> {
    let mut failure = Failure {
        lane: name("fresh"),
        due: at(due),
        sent: Some(at(due)),
        known: at(known),
        phases: Phases::default(),
        outcome: Outcome::Refused,
        status: None,
        pod: None,
        direct: false,
        version: None,
        connection: None,
        note: String::new(),
    };
    alter(&mut failure);
    let mut counts = Counts::default();
    counts.add(failure.outcome, n);
    let part = Part { pod: failure.pod.clone(), counts, ..Part::default() };
    let slice = Slice { lane: failure.lane.clone(), end: at(known / 100 * 100 + 100), due: n, parts: vec![part], lag_max: 0 };
    let all = (0..n).map(|_| (known, What::Failure(failure.clone())));
    all.chain([(known / 100 * 100 + 100, What::Slice(slice))]).collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Both revisions with this template.
fn templates(alter: impl Fn(&mut TemplateState)) -> Vec<(u64, What)> {
    let of = |ms: u64, hash: &str, revision: u64, image: &str| {
        let mut state = ReplicaSetState { images: vec![(name("backend"), name(image))], ..set(hash, revision) };
        alter(&mut state.template);
        (ms, What::ReplicaSet(Box::new(state)))
    };
    vec![of(10, OLD, 1, "todo/backend:v1"), of(2_850, NEW, 2, "todo/backend:v2")]
}

fn sleeping(length: u64) -> Vec<(u64, What)> {
    templates(|t| t.pre_stop = Some(PreStop::Sleep { length: seconds(length) }))
}

fn probe(asks: &str) -> ProbeState {
    let (period, timeout) = (seconds(1), seconds(1));
    ProbeState { asks: name(asks), port: Some(name("http")), initial_delay: seconds(0), period, timeout, failure_threshold: 2 }
}

fn said(kind: &str, about: &str, reason: &str, message: &str) -> What {
    let (kind, name_of, reason) = (name(kind), name(about), name(reason));
    What::Kube(KubeEvent { warning: true, kind, name: name_of, reason, message: message.into(), count: 1 })
}

fn new_pod(of: &str, ready: bool, alter: impl Fn(&mut PodState)) -> What {
    let mut state = pod(of, NEW, ready, false);
    alter(&mut state);
    What::Pod(Box::new(state))
}

fn exited(code: i32, reason: &str) -> ContainerNow {
    ContainerNow::Terminated(Exit { code, reason: reason.into() })
}

fn waiting(reason: &str) -> ContainerNow {
    ContainerNow::Waiting { reason: reason.into(), message: String::new() }
}

/// A share of what these pods answered well was not: one in so many becomes a failure that names its pod.
fn failing(mut events: Vec<Event>, pods: &[&str], one_in: u64) -> Vec<Event> {
    let mut failed = Vec::new();
    for event in &mut events {
        let What::Slice(slice) = &mut event.what else { continue };
        for part in &mut slice.parts {
            let Some(pod) = part.pod.clone().filter(|p| pods.contains(&&**p)) else { continue };
            let (good, bad) = (part.counts.good(), part.counts.good() / one_in);
            part.counts = Counts::default();
            part.counts.add(Outcome::Ok, good - bad);
            part.counts.add(Outcome::AppStatus, bad);
            let ms = slice.end.0 / 1_000 - 50;
            let (lane, one) = (slice.lane.clone(), |f: &mut Failure| f.outcome = Outcome::AppStatus);
            failed.extend(failures(ms, ms, bad, one).into_iter().filter_map(|(ms, what)| match what {
                What::Failure(f) => Some((ms, What::Failure(Failure { pod: Some(pod.clone()), lane: lane.clone(), ..f }))),
                _ => None,
            }));
        }
    }
    with(events, failed)
}

/// New pods answer after 700 ms.
fn slow() -> Vec<Event> {
    let mut events = healthy();
    for event in &mut events {
        let What::Slice(slice) = &mut event.what else { continue };
        for part in slice.parts.iter_mut().filter(|p| p.pod.as_deref().is_some_and(|p| p.contains(NEW))) {
            part.slow = vec![part.counts.good()];
            part.latency = vec![(700_000, u32::try_from(part.counts.good()).unwrap())];
        }
    }
    events
}

/// One slice with these pods in it, ready or not.
fn endpoints(pods: &[(&str, bool)]) -> What {
    let endpoint = |(pod, ready): &(&str, bool)| Endpoint {
        pod: Some(name(pod)),
        address: name("10.0.0.1"),
        port: Some(80),
        ready: *ready,
        serving: true,
        terminating: false,
    };
    What::EndpointSlice(Box::new(EndpointsState { name: name("s"), endpoints: pods.iter().map(endpoint).collect() }))
}

/// For a second and a half of the rollout there is no endpoint, and requests meet nobody.
fn nobody(strategy: Strategy) -> Vec<Event> {
    let state = DeploymentState { strategy, ..deployment(2, 2, 2, 2, [2, 2, 2, 2]) };
    let more = vec![
        (100, endpoints(&[(O1, true), (O2, true)])),
        (3_000, endpoints(&[(O1, false), (O2, false)])),
        (4_500, endpoints(&[(N1, true)])),
        (6_000, What::Deployment(Box::new(state))),
    ];
    let unavailable = |f: &mut Failure| {
        f.outcome = Outcome::GatewayStatus;
        f.status = Some(503);
    };
    with(with(with(healthy(), more), sleeping(5)), failures(4_000, 4_001, 40, unavailable))
}

/// The new pod is in this state from 4.3 s on, and the rollout goes nowhere.
fn stuck_in(now: &ContainerNow) -> Vec<Event> {
    let mut events = fixtures::crash_loop();
    for event in &mut events {
        if let What::Pod(state) = &mut event.what
            && &*state.name == N1
            && event.at >= at(4_300)
        {
            state.containers[0].now = now.clone();
        }
    }
    events
}

fn without_room() -> Vec<Event> {
    let mut events = stuck_in(&waiting(""));
    let end = events.pop().unwrap();
    let state = new_pod(N1, false, |p| p.unschedulable = Some("0/1 nodes are available".into()));
    with(with(events, [(4_400, state), (13_000, What::Tick)]), [(13_100, end.what)])
}

fn over_quota() -> Vec<Event> {
    let message = "pods \"b\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, limited: pods=2";
    let condition =
        Condition { kind: name("ReplicaFailure"), status: Some(true), reason: "FailedCreate".into(), message: message.into() };
    let state = ReplicaSetState { failure: Some(condition), ..set(NEW, 2) };
    with(stuck_in(&waiting("")), [(2_900, What::ReplicaSet(Box::new(state))), (7_000, What::Tick)])
}

/// A pod that served is restarted, and requests meet nobody meanwhile.
fn restarted(exit: &Exit) -> Vec<Event> {
    let ended = new_pod(N1, true, |p| p.containers = vec![container(exited(exit.code, &exit.reason), 0, None)]);
    let again = new_pod(N1, true, |p| p.containers = vec![container(ContainerNow::Running, 1, Some(exit.clone()))]);
    let more = with(
        with(healthy(), [(8_000, ended), (8_500, again)]),
        templates(|t| {
            t.pre_stop = Some(PreStop::Sleep { length: seconds(5) });
            t.liveness = Some(probe("GET /livez"));
            t.readiness = Some(probe("GET /readyz"));
            t.memory_limit = Some(name("64Mi"));
        }),
    );
    with(more, failures(8_100, 8_110, 12, |f| f.outcome = Outcome::GatewayStatus))
}

fn killed(reason: &str) -> Exit {
    Exit { code: 137, reason: reason.into() }
}

const LIVENESS: &str = "Liveness probe failed: context deadline exceeded";

fn unborn() -> Vec<Event> {
    let more = templates(|t| t.liveness = Some(probe("GET /livez")));
    with(with(fixtures::crash_loop(), more), [(4_000, said("Pod", N1, "Unhealthy", LIVENESS))])
}

fn flapping() -> Vec<Event> {
    let turns = (0..4u64).map(|i| (7_400 + i * 400, new_pod(N1, i % 2 == 1, |_| ())));
    with(with(healthy(), turns), templates(|t| t.readiness = Some(probe("GET /readyz"))))
}

fn raced() -> Vec<Event> {
    let connection = Connection { id: 1, local_port: 40_001, age: 3_000_000, served: 9, last_pod: Some(name(O1)) };
    let more = failures(8_000, 8_002, 12, |f| {
        f.lane = name("kept");
        f.outcome = Outcome::ResetBeforeSend;
        f.connection = Some(connection.clone());
    });
    with(with(healthy(), sleeping(5)), more)
}

fn unsent() -> Vec<Event> {
    with(healthy(), failures(7_000, 7_000, 600, |f| f.outcome = Outcome::NotSent))
}

fn lying() -> Vec<Event> {
    let events = failing(healthy(), &[N1, N2], 1);
    with(events, templates(|t| t.readiness = Some(probe("tcp"))))
}

/// The Deployment gets five replicas half a second after all is settled, and an autoscaler says this.
fn rescaled(message: &str) -> Vec<Event> {
    let state = deployment(3, 3, 2, 5, [2, 2, 2, 2]);
    let told = said("HorizontalPodAutoscaler", "by-cpu", "SuccessfulRescale", message);
    with(healthy(), [(8_000, What::Deployment(Box::new(state))), (8_050, told)])
}

/// Every cause, in a story in which it is the cause.
fn stories() -> Vec<(&'static str, Vec<Event>)> {
    let cut = |f: &mut Failure| f.outcome = Outcome::ResetAfterSend;
    let third = ReplicaSetState { images: Vec::new(), ..set("third", 3) };
    let rolling = |max_unavailable| Strategy::RollingUpdate { max_surge: 1, max_unavailable };
    vec![
        ("V101", fixtures::breach()),
        ("V102", with(with(healthy(), sleeping(1)), failures(5_500, 5_510, 20, |_| ()))),
        ("V103", with(with(healthy(), templates(|t| t.grace = Duration::from_millis(1_500))), failures(4_700, 5_800, 20, cut))),
        ("V104", raced()),
        ("V201", lying()),
        ("V202", flapping()),
        ("V203", with(restarted(&killed("Error")), [(7_900, said("Pod", N1, "Unhealthy", LIVENESS))])),
        ("V204", unborn()),
        ("V301", fixtures::crash_loop()),
        ("V302", stuck_in(&waiting("ImagePullBackOff"))),
        ("V303", without_room()),
        ("V304", over_quota()),
        ("V305", restarted(&killed("OOMKilled"))),
        ("V401", failing(healthy(), &[N1, N2], 2)),
        ("V402", slow()),
        ("V403", gate::at_the_gate(4)),
        ("V501", sick_before()),
        ("V502", unsent()),
        ("V503", with(healthy(), [(5_000, What::ReplicaSet(Box::new(third)))])),
        ("V601", nobody(rolling(2))),
        ("V602", nobody(Strategy::Recreate)),
        ("V603", rescaled("New size: 5; reason: cpu above target")),
        ("V604", stuck_in(&waiting("ImagePullBackOff"))),
    ]
}

fn found(events: &[Event]) -> Vec<Finding> {
    find(&fold(events))
}

fn codes(events: &[Event]) -> Vec<String> {
    found(events).into_iter().map(|f| f.code).collect()
}

#[test]
fn a_rollout_that_nobody_notices_has_no_findings() {
    assert_eq!(found(&healthy()), []);
    assert_eq!(found(&with(healthy(), sleeping(5))), []);
}

#[test]
fn every_cause_of_the_catalogue_is_found_where_it_is_the_cause_and_with_no_other_beside_it() {
    let stories = stories();
    assert_eq!(stories.iter().map(|(code, _)| *code).collect::<Vec<_>>(), CATALOGUE.iter().map(|e| e.code).collect::<Vec<_>>());
    for ((code, events), entry) in stories.iter().zip(CATALOGUE) {
        let findings = found(events);
        let finding = findings.iter().find(|f| f.code == *code).unwrap_or_else(|| panic!("no {code} in {findings:#?}"));
        // A rollout that is stuck is so for longer with the deadline of the fixtures; everything else has one cause.
        let others: Vec<&str> = findings.iter().map(|f| f.code.as_str()).filter(|c| c != code && *c != "V604").collect();
        let expected: &[&str] = if *code == "V604" { &["V302"] } else { &[] };
        assert_eq!(others, expected, "beside {code}");
        let prescription = finding.prescription.as_ref().unwrap();
        assert_eq!(
            entry.field.is_some(),
            prescription.patch.is_some(),
            "{code}: the catalogue names a field when there is a patch"
        );
        assert_eq!(prescription.field.is_some(), prescription.patch.is_some(), "{code}");
        assert!(!finding.evidence.is_empty() || *code == "V501" || *code == "V503", "{code} says what was seen");
    }
}

#[test]
fn the_catalogue_is_sorted_and_each_page_begins_with_its_code() {
    assert!(CATALOGUE.is_sorted_by(|a, b| a.code < b.code));
    assert_eq!(CATALOGUE.len(), DETECTORS.len());
    for entry in CATALOGUE {
        assert!(entry.page.starts_with(&format!("# {} {}\n", entry.code, entry.name)), "{}", entry.code);
        assert!(entry.page.contains("**Seen in**:") && entry.page.contains("**Do**:"), "{}", entry.code);
        assert_eq!(entry.page.contains("```yaml"), entry.field.is_some() || entry.code == "V303", "{}", entry.code);
    }
    assert_eq!(entry("v101").map(|e| e.code), Some("V101"));
    assert!(entry("V999").is_none());
}

#[test]
fn a_finding_says_how_many_where_on_which_pods_and_how_that_is_known() {
    let finding = &found(&fixtures::breach())[0];
    assert_eq!(finding.title, "no drain on SIGTERM: 37 of 37 failures, 0 to 300 ms after their pods were told to end");
    assert_eq!((finding.failures, finding.of, finding.phase), (37, 37, Some(Phase::Replacing)));
    assert_eq!((&finding.lanes[..], &finding.pods[..]), (&["fresh".to_owned(), "kept".to_owned()][..], &[O1.to_owned()][..]));
    let known = "attributed to pods: 37 by the only pods whose state at that moment explains them";
    assert!(finding.evidence.contains(&known.to_owned()), "{:?}", finding.evidence);
    let prescription = finding.prescription.as_ref().unwrap();
    assert_eq!(prescription.field.as_deref(), Some("spec.template.spec.containers[backend].lifecycle.preStop"));
    let patch = prescription.patch.as_ref().unwrap();
    assert_eq!((&patch["kind"], &patch["metadata"]["name"]), (&"Deployment".into(), &"backend".into()));
    let sleep = &patch["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
    assert_eq!(sleep, &serde_json::json!(2), "0.3 s were measured: half as much again, rounded up, and a second");
}

#[test]
fn requests_under_way_at_sigterm_are_the_programs_to_finish_and_no_field_helps() {
    let cut = failures(4_800, 5_320, 20, |f| f.outcome = Outcome::ResetAfterSend);
    let findings = found(&with(with(healthy(), sleeping(1)), cut));
    assert_eq!(findings.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["V101"]);
    assert_eq!(findings[0].prescription.as_ref().unwrap().patch, None);
}

#[test]
fn a_pod_that_serves_well_later_lied_and_one_that_fails_now_and_then_has_a_bad_version() {
    let mut late = failing(until(healthy(), 5_000), &[N1], 1);
    late.extend(healthy().into_iter().filter(|e| e.at > at(5_000)));
    assert_eq!(codes(&with(late, templates(|t| t.readiness = Some(probe("GET /readyz"))))), ["V201"]);
    assert_eq!(codes(&failing(healthy(), &[N1, N2], 3)), ["V401"]);
}

fn until(events: Vec<Event>, ms: u64) -> Vec<Event> {
    events.into_iter().filter(|e| e.at <= at(ms)).collect()
}

#[test]
fn versions_that_fail_alike_are_not_the_rollouts_fault() {
    let events = failing(healthy(), &[O1, O2, N1, N2], 5);
    let changed = events.into_iter().map(|e| if e.at < at(2_500) { restored(e) } else { e }).collect::<Vec<_>>();
    assert_eq!(codes(&changed), ["V501"]);
}

/// Without its failures: the baseline has to be healthy for the run to go on.
fn restored(mut event: Event) -> Event {
    if let What::Slice(slice) = &mut event.what {
        for part in &mut slice.parts {
            let all = part.counts.total();
            part.counts = Counts::default();
            part.counts.add(Outcome::Ok, all);
        }
    }
    event
}

/// The new pods are alone and lose readiness together, once; for a while there is no endpoint.
fn blink(comes_back: bool, exits: bool) -> Vec<Event> {
    let mut turns =
        vec![(7_000, endpoints(&[(N1, true)])), (7_400, new_pod(N1, false, |_| ())), (7_420, endpoints(&[(N1, false)]))];
    if exits {
        turns.push((7_500, new_pod(N1, false, |p| p.containers = vec![container(exited(1, "Error"), 0, None)])));
    }
    if comes_back {
        turns.push((8_600, new_pod(N1, true, |_| ())));
        turns.push((8_620, endpoints(&[(N1, true)])));
    }
    let unavailable = |f: &mut Failure| {
        f.outcome = Outcome::GatewayStatus;
        f.status = Some(503);
    };
    let drained = templates(|t| {
        t.readiness = Some(probe("GET /readyz"));
        t.pre_stop = Some(PreStop::Sleep { length: seconds(5) });
    });
    with(with(with(healthy(), turns), drained), failures(8_000, 8_010, 40, unavailable))
}

#[test]
fn readiness_that_was_lost_once_flaps_when_nobody_else_was_there_and_the_pod_came_back_by_itself() {
    let finding = &found(&blink(true, false))[0];
    assert_eq!((&*finding.code, finding.failures), ("V202", 40));
    assert_eq!(finding.title, "readiness flaps: 1 pod lost it 1 time, for up to 1.2 s");
    for others in [blink(false, false), blink(true, true)] {
        assert!(!codes(&others).contains(&"V202".to_owned()), "{:?}", codes(&others));
    }
}

#[test]
fn what_failed_before_the_kubelet_told_of_a_restart_is_the_restarts_and_no_keep_alive_race() {
    let story = with(restarted(&killed("Error")), [(7_900, said("Pod", N1, "Unhealthy", LIVENESS))]);
    let untold = failures(7_100, 7_110, 12, |f| {
        f.outcome = Outcome::GatewayStatus;
        f.status = Some(502);
    });
    let findings = found(&with(story, untold));
    assert_eq!(findings.iter().map(|f| (&*f.code, f.failures)).collect::<Vec<_>>(), [("V203", 24)]);
}

#[test]
fn an_autoscaler_that_follows_the_traffic_is_not_inflated() {
    let mut events = rescaled("New size: 5; reason: x");
    let What::RunStarted(head) = &mut events[0].what else { panic!("a run begins with its head") };
    let lane = head.scenario.traffic.lanes.get_mut("fresh").unwrap();
    lane.profile = vec![crate::domain::scenario::Leg { over: seconds(5), rate: 400.0 }];
    assert_eq!(codes(&events), Vec::<String>::new());
}

#[test]
fn an_autoscaler_says_when_it_raised_the_target_and_one_of_another_deployment_says_nothing() {
    let finding = &found(&rescaled("New size: 5; reason: x"))[0];
    assert_eq!(finding.title, "autoscaler inflated by the rollout: from 2 to 5 replicas under traffic that did not change");
    assert_eq!(finding.evidence, ["HorizontalPodAutoscaler by-cpu raised the target 5.5 s after the change began"]);
    assert_eq!(
        (finding.phase, &finding.pods[..]),
        (Some(Phase::Settled), &[][..]),
        "the phase that it came in, not the one that it began"
    );
    assert_eq!(codes(&rescaled("New size: 7; reason: x")), Vec::<String>::new(), "the Deployment was never given that size");
}

#[test]
fn whoever_takes_the_change_back_supersedes_the_run_though_there_is_no_further_revision() {
    let back = vec![
        (3_500, What::ReplicaSet(Box::new(set(OLD, 3)))),
        (3_500, What::Deployment(Box::new(deployment(3, 3, 3, 2, [3, 2, 2, 2])))),
    ];
    let findings = found(&with(healthy(), back));
    let [finding] = &findings[..] else { panic!("{findings:#?}") };
    assert_eq!((&*finding.code, finding.phase), ("V503", Some(Phase::Surging)));
    let words = "somebody else changed the template while it was being measured: revision";
    assert!(finding.evidence.len() == 1 && finding.evidence[0].starts_with(words), "{:?}", finding.evidence);
}

#[test]
fn a_program_that_breaks_off_first_requests_too_has_no_keep_alive_race() {
    let firsts = failures(8_000, 8_002, 12, |f| f.outcome = Outcome::ResetAfterSend);
    assert_eq!(codes(&with(raced(), firsts)), Vec::<String>::new());
}
