//! Whole runs made by hand, for tests: a healthy rollout, and one that drops requests when its first old pod is told to end.

use std::time::Duration;

use super::course::{Command, Course};
use super::event::{Event, FORMAT, RunStarted, StepEnded, What};
use super::outcome::{Counts, Outcome};
use super::rollout::guard::{ActionEnded, Guard};
use super::rollout::state::{ContainerNow, DeploymentState, Endpoint, EndpointsState, Exit, KubeEvent, PodState, ReplicaSetState};
use super::rollout::tests::{container, deployment, name, pod, set};
use super::scenario::{self, Scenario};
use super::slice::{Connection, Failure, Gap, Part, Phases, SLICE_MICROS, Slice};
use super::time::At;
use super::traffic::{Expect, LanePlan, Mode, RequestPlan, Schedule, TrafficPlan};
use super::validity::{Lag, Validity};

const SCENARIO: &str = "
name: rolling-update
about: A new version is rolled out under load; nobody must notice.
target: {deployment: backend, namespace: todo}
given: {healthy_for: 2s}
traffic: {lanes: {fresh: {rate: 200}, kept: {rate: 100}}}
when: [set: {image: 'todo/backend:v2', env: {TOKEN: secret}}, wait: rollout]
then: [availability >= 99%, p99 < 500ms, longest_outage < 1s, deployed_within 1m]
window: 10s
soak: 2s
aftermath: 1s
";

pub(crate) const OLD: &str = "66b6c48dd5";
pub(crate) const NEW: &str = "7d4f9c8b5c";
pub(crate) const O1: &str = "backend-66b6c48dd5-4kq7x";
pub(crate) const O2: &str = "backend-66b6c48dd5-t9zwm";
pub(crate) const N1: &str = "backend-7d4f9c8b5c-8hd2s";
pub(crate) const N2: &str = "backend-7d4f9c8b5c-xv5jn";

/// A lane of a plan.
pub(crate) fn lane(lane: &str, mode: Mode, rate: f64, thresholds: Vec<u64>) -> LanePlan {
    LanePlan {
        name: name(lane),
        mode,
        rate,
        schedule: Schedule::default(),
        start: At::ZERO,
        request: RequestPlan { url: "http://x/".into(), ..RequestPlan::default() },
        expect: Expect::default(),
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(1),
        max_in_flight: 100,
        thresholds,
    }
}

/// The head of a run of `scenario` in the sandbox.
pub(crate) fn head(scenario: Scenario) -> RunStarted {
    RunStarted {
        format: FORMAT,
        version: "0.1.0".into(),
        run_id: "r-7f3a".into(),
        started: "2026-01-01T00:00:00Z".into(),
        command: format!("verifier run --scenario {} --seed 42", scenario.name),
        scenario,
        cluster: "sandbox".into(),
        seed: 42,
        put_back: false,
    }
}

/// The course of a run after these events.
pub(crate) fn fold(events: &[Event]) -> Course {
    let What::RunStarted(head) = &events[0].what else { panic!("a run begins with its head") };
    let (mut course, _) = Course::begin(RunStarted::clone(head));
    for event in &events[1..] {
        course.apply(event);
    }
    course
}

/// The events up to a moment, that moment included.
pub(crate) fn until(events: &[Event], tenths: u64) -> &[Event] {
    &events[..events.partition_point(|e| e.at <= At(tenths * SLICE_MICROS))]
}

/// A rollout of two pods that nobody notices: change at 2.5 s, new pods ready at 4.3 s and 5.8 s, old ones gone at 5.8 s and 7.3 s.
pub(crate) fn healthy() -> Vec<Event> {
    let mut story = Story::up_to_first_new_pod("");
    story.traffic(15);
    story.second_new_pod();
    story.traffic(15);
    story.say(What::PodGone(name(&format!("uid-{O2}"))));
    story.traffic(20);
    story.end()
}

/// The same, but the first old pod ends at once when told to: 35 failures within 0.3 s, where 30 are allowed.
pub(crate) fn breach() -> Vec<Event> {
    let mut story = Story::up_to_first_new_pod("expect: {verdict: breach, because: [availability]}\n");
    for _ in 0..3 {
        story.failing(9, 3);
    }
    story.failing(1, 0);
    story.say(What::Gap(Gap {
        lane: name("fresh"),
        from: At(4_310_000),
        last: At(4_420_000),
        to: Some(At(4_425_000)),
        failed: 12,
    }));
    story.traffic(9);
    story.end()
}

/// The breach under a guard that pauses: accepted 64 ms and effective 200 ms after it was decided.
pub(crate) fn paused() -> Vec<Event> {
    let mut events = breach();
    if let What::RunStarted(head) = &mut events[0].what {
        head.scenario.guard = Guard::Pause;
    }
    let What::RunStarted(head) = &events[0].what else { panic!("a run begins with its head") };
    let (mut course, _) = Course::begin(RunStarted::clone(head));
    let decided = events[1..].iter().find_map(|event| {
        let act = |c| if let Command::Act(action) = c { Some(action) } else { None };
        course.apply(event).into_iter().find_map(act).map(|action| (event.at, action))
    });
    let (at, action) = decided.expect("it is a breach");
    let ended = ActionEnded::Accepted { generation: 3, at: at + Duration::from_millis(64), scaled: None, read_back: false };
    let state = DeploymentState { paused: true, ..deployment(3, 3, 2, 2, [3, 1, 2, 2]) };
    let after = |millis, what| Event { at: at + Duration::from_millis(millis), what };
    events.extend([
        after(0, What::ActionStarted(action)),
        after(64, What::ActionEnded(Box::new(ended))),
        after(200, What::Deployment(Box::new(state))),
    ]);
    events.sort_by_key(|e| e.at);
    events
}

/// The breach up to the moment before it is decided.
pub(crate) fn nearly_breached() -> Vec<Event> {
    until(&breach(), 45).to_vec()
}

/// The same up to the moment at which the new pod is ready, but it never is: its container ends again and again.
pub(crate) fn crash_loop() -> Vec<Event> {
    let mut story = Story::up_to_first_new_pod("");
    story.events.retain(|e| e.at < At(FIRST_END * SLICE_MICROS));
    let waiting = ContainerNow::Waiting { reason: "CrashLoopBackOff".into(), message: "back-off 10s restarting".into() };
    let last = Exit { code: 1, reason: "Error".into() };
    let state = PodState { containers: vec![container(waiting, 2, Some(last))], ..pod(N1, NEW, false, false) };
    story.say(What::Pod(Box::new(state)));
    story.serving = [O1, O2];
    story.traffic(10);
    story.end()
}

/// A run whose target was sick before anything was changed, seen by a verifier that could not send all it had planned.
pub(crate) fn sick_before() -> Vec<Event> {
    let mut story = Story::up_to_first_new_pod("");
    story.events.retain(|e| e.at < At(20 * SLICE_MICROS));
    story.tenths = 19;
    story.serving = [O1, O2];
    story.failing(8, 0);
    let mut counts = Counts::default();
    counts.add(Outcome::NotSent, 5);
    let end = At(story.tenths * SLICE_MICROS);
    let parts = vec![Part { counts, ..Part::default() }];
    story.say(What::Slice(Slice { lane: name("kept"), end, due: 6, parts, lag_max: 70_000 }));
    story.traffic(5);
    story.end()
}

/// A rollout of many pods, one every eleven seconds, under four lanes, in which something fails in every lane in every second from the change on. A large report.
pub(crate) fn crowd(pods: usize, seconds: i32) -> Vec<Event> {
    let text = SCENARIO.replace("availability >= 99%", "availability >= 10%").replace("deployed_within 1m", "deployed_within 1h");
    let scenario = scenario::parse("crowd.yaml", &text.replace("window: 10s", "window: 10m"), &[]).unwrap();
    let mut story = Story { events: Vec::new(), tenths: 0, serving: [O1, O2] };
    let all = u32::try_from(pods).unwrap();
    let old: Vec<String> = (0..pods).map(|i| format!("backend-{OLD}-{i:05}")).collect();
    let new: Vec<String> = (0..pods).map(|i| format!("backend-{NEW}-{i:05}")).collect();
    story.say(What::RunStarted(Box::new(head(scenario))));
    story.say(What::Deployment(Box::new(deployment(1, 1, 1, all, [all; 4]))));
    story.say(What::ReplicaSet(Box::new(set(OLD, 1))));
    for pod in &old {
        story.pod(pod, true, false);
    }
    let names = ["fresh", "inflight", "kept", "stream"];
    let lanes = names.map(|l| lane(l, Mode::Fresh, 200.0, vec![500_000])).into();
    story.say(What::TargetReady(Box::new(TrafficPlan { lanes, seed: 42, run_id: "r-7f3a".into() })));
    story.say(What::TrafficStarted);
    for second in 0..seconds {
        if second == 3 {
            story.say(What::StepStarted(0));
            story.say(What::StepEnded(StepEnded { step: 0, generation: Some(2), error: None }));
            story.say(What::ReplicaSet(Box::new(set(NEW, 2))));
            story.say(What::Deployment(Box::new(deployment(2, 2, 2, all, [all, 1, all, all]))));
        }
        let (turn, part) = ((second - 3) / 11, (second - 3) % 11);
        if let Some(i) = usize::try_from(turn).ok().filter(|i| *i < pods) {
            match part {
                0 => story.pod(&new[i], false, false),
                // Some are not ready for a while in between.
                3 | 7 => story.pod(&new[i], true, false),
                5 => story.pod(&new[i], i % 3 > 0, false),
                8 => story.pod(&old[i], true, true),
                10 => story.say(What::PodGone(name(&format!("uid-{}", old[i])))),
                _ => {}
            }
            story.endpoints(&old[i..], &new[..i]);
            story.unhealthy(&new[i]);
        }
        story.tenths += 10;
        for lane in names {
            story.crowded(lane, &old, &new);
        }
        story.condition();
    }
    story.end()
}

/// The tenth of a second in which the first old pod is told to end.
pub(crate) const FIRST_END: u64 = 43;

struct Story {
    events: Vec<Event>,
    tenths: u64,
    serving: [&'static str; 2],
}

impl Story {
    fn up_to_first_new_pod(more: &str) -> Self {
        let scenario = scenario::parse("rolling-update.yaml", &format!("{SCENARIO}{more}"), &[]).unwrap();
        let mut story = Self { events: Vec::new(), tenths: 0, serving: [O1, O2] };
        story.say(What::RunStarted(Box::new(head(scenario))));
        story.say(What::Notice("no cluster was named, so the embedded sandbox is used".into()));
        story.say(What::Deployment(Box::new(deployment(1, 1, 1, 2, [2, 2, 2, 2]))));
        story.say(What::ReplicaSet(Box::new(set(OLD, 1))));
        story.pod(O1, true, false);
        story.pod(O2, true, false);
        story.tenths = 5;
        let lanes = vec![
            lane("fresh", Mode::Fresh, 200.0, vec![500_000]),
            lane("kept", Mode::Kept { connections: 10 }, 100.0, vec![500_000]),
        ];
        story.say(What::TargetReady(Box::new(TrafficPlan { lanes, seed: 42, run_id: "r-7f3a".into() })));
        story.say(What::TrafficStarted);
        story.traffic(20);
        story.say(What::StepStarted(0));
        story.say(What::StepEnded(StepEnded { step: 0, generation: Some(2), error: None }));
        story.traffic(3);
        let images = vec![(name("backend"), name("todo/backend:v2"))];
        story.say(What::ReplicaSet(Box::new(ReplicaSetState { images, ..set(NEW, 2) })));
        story.say(What::Deployment(Box::new(deployment(2, 2, 2, 2, [3, 1, 2, 2]))));
        story.pod(N1, false, false);
        story.traffic(7);
        story.unhealthy(N1);
        story.traffic(8);
        story.pod(N1, true, false);
        story.pod(O1, true, true);
        story.pod(N2, false, false);
        story.serving = [O2, N1];
        assert_eq!(story.tenths, FIRST_END);
        story
    }

    fn second_new_pod(&mut self) {
        self.say(What::PodGone(name(&format!("uid-{O1}"))));
        self.pod(N2, true, false);
        self.pod(O2, true, true);
        self.say(What::Deployment(Box::new(deployment(2, 2, 2, 2, [2, 2, 2, 2]))));
        self.serving = [N1, N2];
    }

    fn end(mut self) -> Vec<Event> {
        self.tenths += 2;
        self.say(What::TrafficStopped);
        self.say(What::RunEnded);
        self.events
    }

    fn say(&mut self, what: What) {
        self.events.push(Event { at: At(self.tenths * SLICE_MICROS), what });
    }

    fn pod(&mut self, pod_name: &str, ready: bool, terminating: bool) {
        let revision = if pod_name.contains(OLD) { OLD } else { NEW };
        let state = PodState { node: Some(name("node-1")), ..pod(pod_name, revision, ready, terminating) };
        self.say(What::Pod(Box::new(state)));
    }

    /// The Service in front sends to these pods.
    fn endpoints(&mut self, old: &[String], new: &[String]) {
        let endpoint = |pod: &String| Endpoint {
            pod: Some(name(pod)),
            address: name("10.0.0.1"),
            port: Some(80),
            ready: true,
            serving: true,
            terminating: false,
        };
        let endpoints = old.iter().chain(new).map(endpoint).collect();
        self.say(What::EndpointSlice(Box::new(EndpointsState { name: name("backend-1"), endpoints })));
    }

    /// A second of a lane in which one of many pods answers, told at its end.
    fn crowded(&mut self, lane: &str, old: &[String], new: &[String]) {
        let turn = usize::try_from(self.tenths / 10).unwrap();
        let pod = if turn.is_multiple_of(2) { old } else { new };
        let mut counts = Counts::default();
        counts.add(Outcome::Ok, 18);
        counts.add(Outcome::ALL[1 + turn % 12], u64::from(self.tenths > 30));
        let micros = 1_000 + (self.tenths * 7_919) % 90_000;
        let part = Part {
            pod: Some(name(&pod[turn % pod.len()])),
            counts,
            slow: vec![0],
            latency: vec![(micros, 12), (micros * 2, 6)],
            ..Part::default()
        };
        let end = At(self.tenths * SLICE_MICROS);
        self.say(What::Slice(Slice { lane: name(lane), end, due: counts.total(), parts: vec![part], lag_max: 90 }));
        if counts.bad() > 0 {
            self.failure(lane, Outcome::ALL[1 + turn % 12], 0);
        }
    }

    /// A warning of Kubernetes whose text tries to clear the screen.
    fn unhealthy(&mut self, pod: &str) {
        self.say(What::Kube(KubeEvent {
            warning: true,
            kind: name("Pod"),
            name: name(pod),
            reason: name("Unhealthy"),
            message: "Readiness probe failed: \u{1b}[2Jconnection\nrefused".into(),
            count: 2,
        }));
    }

    fn traffic(&mut self, tenths: u64) {
        for _ in 0..tenths {
            self.failing(0, 0);
        }
    }

    /// A second of the verifier's own condition, once it is over.
    fn condition(&mut self) {
        if self.tenths.is_multiple_of(10) {
            let lag = Lag { p50: 40, p99: 90, max: 120 };
            let end = At(self.tenths * SLICE_MICROS);
            self.say(What::Validity(Box::new(Validity { end, planned: 300, sent: 300, in_flight: 3, lag, ..Validity::default() })));
        }
    }

    /// A tenth of a second in which so many requests fail: refused in one lane, reset in the other.
    fn failing(&mut self, refused: u64, reset: u64) {
        self.tenths += 1;
        for (lane, due, bad, outcome, micros) in
            [("fresh", 20, refused, Outcome::Refused, 5_200), ("kept", 10, reset, Outcome::ResetAfterSend, 2_100)]
        {
            (0..bad).for_each(|i| self.failure(lane, outcome, i));
            let good = due - bad;
            let mut parts: Vec<Part> = Vec::new();
            for (pod, good) in [(self.serving[0], good / 2), (self.serving[1], good - good / 2)] {
                let mut counts = Counts::default();
                counts.add(Outcome::Ok, good);
                let version = if pod.contains(OLD) { "v1" } else { "v2" };
                let latency = vec![(micros, u32::try_from(good - 1).unwrap()), (micros * 3, 1)];
                parts.push(Part {
                    pod: Some(name(pod)),
                    version: Some(name(version)),
                    counts,
                    slow: vec![0],
                    latency,
                    pauses: Vec::new(),
                });
            }
            let mut counts = Counts::default();
            counts.add(outcome, bad);
            parts.push(Part { counts, slow: vec![0], ..Part::default() });
            parts.retain(|p| p.counts.total() > 0);
            let end = At(self.tenths * SLICE_MICROS);
            self.say(What::Slice(Slice { lane: name(lane), end, due, parts, lag_max: 90 }));
        }
        self.condition();
    }

    fn failure(&mut self, lane: &str, outcome: Outcome, i: u64) {
        let due = At((self.tenths - 1) * SLICE_MICROS + i * 5_000);
        let kept = lane == "kept";
        self.say(What::Failure(Failure {
            lane: name(lane),
            due,
            sent: kept.then_some(At(due.0 + 40)),
            known: At(due.0 + 700),
            phases: Phases::default(),
            outcome,
            status: None,
            pod: None,
            direct: false,
            version: None,
            connection: kept.then(|| Connection {
                id: 1,
                local_port: 40_001,
                age: 3_900_000,
                served: 38,
                last_pod: Some(name(O1)),
            }),
            note: if kept { "connection reset by peer" } else { "connection refused" }.into(),
        }));
    }
}
