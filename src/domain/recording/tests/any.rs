//! Any event of any kind, with what is hard to write and to read in every field.

use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option::of as maybe;
use proptest::prelude::*;
use proptest::sample::select;

use crate::domain::admission::{AdmissionEnded, Basis, Came, Permit};
use crate::domain::event::{Event, FORMAT, PutBack, RunStarted, StepEnded, WatchState, What};
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::rollout::guard::{Action, ActionEnded, Record, Refusal, Revision, Verb};
use crate::domain::rollout::state::{
    Condition, ContainerNow, ContainerState, DeploymentCounts, DeploymentState, Endpoint, EndpointsState, Exit, KubeEvent,
    PodPhase, PodState, PreStop, ProbeState, ReplicaSetState, Strategy as RolloutStrategy, TemplateState, Writer,
};
use crate::domain::scenario::{self, Scenario};
use crate::domain::secret::{REDACTED, Secret};
use crate::domain::slice::{Closed, Connection, Ending, Failure, Gap, Part, Phases, Slice};
use crate::domain::time::At;
use crate::domain::traffic::{
    Arrivals, Authorities, Expect, HeaderExpect, LanePlan, Mode, Name, ProtocolChoice, RequestPlan, Schedule, Stage, TlsPlan,
    TrafficPlan,
};
use crate::domain::validity::{Control, Headroom, Lag, Unlisted, Validity};
use crate::domain::verdict::{Reason, Verdict, VerdictKind};

/// An event; each kind is as likely as the others.
pub(super) fn event() -> impl Strategy<Value = Event> {
    (at(), what()).prop_map(|(at, what)| Event { at, what })
}

fn what() -> BoxedStrategy<What> {
    let kinds: Vec<BoxedStrategy<What>> = vec![
        head().prop_map(|h| What::RunStarted(Box::new(h))).boxed(),
        plan().prop_map(|p| What::TargetReady(Box::new(p))).boxed(),
        text().prop_map(What::TargetUnready).boxed(),
        Just(What::TrafficStarted).boxed(),
        any::<usize>().prop_map(What::StepStarted).boxed(),
        (any::<usize>(), maybe(any::<i64>()), maybe(text()))
            .prop_map(|(step, generation, error)| What::StepEnded(StepEnded { step, generation, error }))
            .boxed(),
        slice().prop_map(What::Slice).boxed(),
        failure().prop_map(What::Failure).boxed(),
        (name(), at(), at(), maybe(at()), any::<u64>())
            .prop_map(|(lane, from, last, to, failed)| What::Gap(Gap { lane, from, last, to, failed }))
            .boxed(),
        (name(), at(), select(vec![Ending::Closed, Ending::Reset, Ending::Unasked]), connection())
            .prop_map(|(lane, at, how, connection)| What::Closed(Closed { lane, at, how, connection }))
            .boxed(),
        validity().prop_map(|v| What::Validity(Box::new(v))).boxed(),
        Just(What::TrafficStopped).boxed(),
        deployment().prop_map(|d| What::Deployment(Box::new(d))).boxed(),
        Just(What::DeploymentGone).boxed(),
        set().prop_map(|s| What::ReplicaSet(Box::new(s))).boxed(),
        name().prop_map(What::ReplicaSetGone).boxed(),
        pod().prop_map(|p| What::Pod(Box::new(p))).boxed(),
        name().prop_map(What::PodGone).boxed(),
        endpoints().prop_map(|e| What::EndpointSlice(Box::new(e))).boxed(),
        name().prop_map(What::EndpointSliceGone).boxed(),
        (any::<bool>(), name(), name(), name(), text(), any::<u32>())
            .prop_map(|(warning, kind, name, reason, message, count)| {
                What::Kube(KubeEvent { warning, kind, name, reason, message, count })
            })
            .boxed(),
        select(vec![WatchState::Lost, WatchState::Restored]).prop_map(What::Watch).boxed(),
        text().prop_map(What::Notice).boxed(),
        Just(What::Listed).boxed(),
        Just(What::Tick).boxed(),
        action().prop_map(|a| What::ActionStarted(Box::new(a))).boxed(),
        action_ended().prop_map(|e| What::ActionEnded(Box::new(e))).boxed(),
        permit().prop_map(|p| What::AdmissionStarted(Box::new(p))).boxed(),
        admission_ended().prop_map(|e| What::AdmissionEnded(Box::new(e))).boxed(),
        any::<i32>().prop_map(What::Interrupted).boxed(),
        verdict().prop_map(What::Decided).boxed(),
        (vec(text(), 0..3), vec(text(), 0..3)).prop_map(|(done, left)| What::PutBack(PutBack { done, left })).boxed(),
        Just(What::RunEnded).boxed(),
    ];
    assert_eq!(kinds.len(), KINDS, "a kind of event is not tried");
    proptest::strategy::Union::new(kinds).boxed()
}

/// How many kinds there are; the match fails to compile when one is added.
const KINDS: usize = {
    const fn last(what: &What) -> usize {
        match what {
            What::RunStarted(_) | What::TargetReady(_) | What::TargetUnready(_) | What::TrafficStarted | What::StepStarted(_) => 5,
            What::StepEnded(_) | What::Slice(_) | What::Failure(_) | What::Gap(_) | What::Closed(_) | What::Validity(_) => 11,
            What::TrafficStopped | What::Listed | What::Deployment(_) | What::DeploymentGone | What::ReplicaSet(_) => 16,
            What::ReplicaSetGone(_) | What::Pod(_) | What::PodGone(_) | What::EndpointSlice(_) => 20,
            What::EndpointSliceGone(_) | What::Kube(_) | What::Watch(_) | What::Notice(_) | What::Tick => 25,
            What::ActionStarted(_) | What::ActionEnded(_) => 27,
            What::AdmissionStarted(_) | What::AdmissionEnded(_) => 29,
            What::Interrupted(_) | What::Decided(_) | What::PutBack(_) | What::RunEnded => 33,
        }
    }
    last(&What::RunEnded)
};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), Just(String::new()), Just("\n\r\u{0}\"\\\u{2028}{}\u{1b}[2J".into()), "[a-z0-9.-]{1,30}"]
}

fn name() -> impl Strategy<Value = Name> {
    text().prop_map(Name::from)
}

fn record() -> impl Strategy<Value = Record> {
    (verb(), name(), name(), name(), name(), text()).prop_map(|(verb, run, at, uid, revision, reason)| Record {
        verb,
        run,
        at,
        uid,
        revision,
        reason,
    })
}

fn verb() -> impl Strategy<Value = Verb> {
    select(vec![Verb::Pause, Verb::Hold, Verb::Undo])
}

fn action() -> impl Strategy<Value = Action> {
    let revision = || (name(), name(), name()).prop_map(|(hash, set, uid)| Revision { hash, set, uid });
    (verb(), name(), revision(), maybe(revision()), text(), maybe(verb()), maybe(record())).prop_map(
        |(verb, uid, revision, back_to, because, instead_of, finishes)| Action {
            verb,
            uid,
            revision,
            back_to,
            because,
            instead_of,
            finishes,
        },
    )
}

fn permit() -> impl Strategy<Value = Permit> {
    let asked = || (any::<u64>(), any::<u64>());
    let basis = prop_oneof![
        Just(Basis::Given),
        Just(Basis::Verified),
        asked().prop_map(|(answers, bad)| Basis::Evidence { answers, bad }),
        asked().prop_map(|(answers, bad)| Basis::OneBox { answers, bad }),
    ];
    (name(), name(), name(), basis).prop_map(|(uid, pod, revision, basis)| Permit { uid, pod, revision, basis })
}

fn admission_ended() -> impl Strategy<Value = AdmissionEnded> {
    let outcome = prop_oneof![
        any::<bool>().prop_map(|read_back| Came::Opened { read_back }),
        Just(Came::Gone),
        text().prop_map(|why| Came::Failed { why }),
    ];
    (name(), outcome).prop_map(|(uid, outcome)| AdmissionEnded { uid, outcome })
}

fn action_ended() -> impl Strategy<Value = ActionEnded> {
    let refusal = prop_oneof![
        maybe(name()).prop_map(Refusal::Superseded),
        record().prop_map(Refusal::Already),
        select(vec![Refusal::Gone, Refusal::NotSeen, Refusal::PausedByOther, Refusal::Complete, Refusal::NothingToHold]),
    ];
    prop_oneof![
        (any::<i64>(), at(), maybe(at()), any::<bool>()).prop_map(|(generation, at, scaled, read_back)| ActionEnded::Accepted {
            generation,
            at,
            scaled,
            read_back
        }),
        refusal.prop_map(ActionEnded::LeftAlone),
        (text(), maybe(at())).prop_map(|(why, paused)| ActionEnded::Failed { why, paused }),
    ]
}

fn at() -> impl Strategy<Value = At> {
    prop_oneof![any::<u64>(), Just(u64::MAX), 0..600_000_000_u64].prop_map(At)
}

fn span() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_micros)
}

/// As a scenario holds it: to a millionth.
fn rate() -> impl Strategy<Value = f64> {
    (0..20_000_000_000_u64).prop_map(|n| n as f64 / 1e6)
}

/// A scenario that uses what there is.
pub(super) fn scenario() -> Scenario {
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

fn head() -> impl Strategy<Value = RunStarted> {
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

fn plan() -> impl Strategy<Value = TrafficPlan> {
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

fn outcome() -> impl Strategy<Value = Outcome> {
    select(Outcome::ALL.to_vec())
}

fn slice() -> impl Strategy<Value = Slice> {
    let counts = vec((outcome(), any::<u32>()), 0..5).prop_map(|list| {
        let mut counts = Counts::default();
        for (outcome, n) in list {
            counts.add(outcome, n.into());
        }
        counts
    });
    let latency = || vec(any::<(u64, u32)>(), 0..4);
    let part = (maybe(name()), maybe(name()), counts, vec(any::<u64>(), 0..3), latency(), latency())
        .prop_map(|(pod, version, counts, slow, latency, pauses)| Part { pod, version, counts, slow, latency, pauses });
    (name(), at(), any::<u64>(), vec(part, 0..4), any::<u64>()).prop_map(|(lane, end, due, parts, lag_max)| Slice {
        lane,
        end,
        due,
        parts,
        lag_max,
    })
}

fn connection() -> impl Strategy<Value = Connection> {
    (any::<u64>(), any::<u16>(), any::<u64>(), any::<u64>(), maybe(name()))
        .prop_map(|(id, local_port, age, served, last_pod)| Connection { id, local_port, age, served, last_pod })
}

fn failure() -> impl Strategy<Value = Failure> {
    let phases = (maybe(at()), maybe(at()), maybe(at()), maybe(at()), maybe(at())).prop_map(
        |(connect_start, connected, secured, first_byte, last_byte)| Phases {
            connect_start,
            connected,
            secured,
            first_byte,
            last_byte,
        },
    );
    let answer = (maybe(any::<u16>()), maybe(name()), any::<bool>(), maybe(name()), maybe(connection()));
    (name(), at(), maybe(at()), at(), phases, outcome(), answer, text()).prop_map(
        |(lane, due, sent, known, phases, outcome, (status, pod, direct, version, connection), note)| Failure {
            lane,
            due,
            sent,
            known,
            phases,
            outcome,
            status,
            pod,
            direct,
            version,
            connection,
            note,
        },
    )
}

fn validity() -> impl Strategy<Value = Validity> {
    let lag = any::<[u64; 3]>().prop_map(|[p50, p99, max]| Lag { p50, p99, max });
    let headroom = || maybe(any::<[u64; 2]>().prop_map(|[used, limit]| Headroom { used, limit }));
    let control = maybe(any::<[u64; 4]>().prop_map(|[planned, failed, p99, max]| Control { planned, failed, p99, max }));
    let unlisted =
        any::<[u64; 5]>().prop_map(|[failures, closed, gaps, pods, slices]| Unlisted { failures, closed, gaps, pods, slices });
    (at(), any::<[u64; 8]>(), lag, headroom(), headroom(), maybe(any::<u64>()), control, unlisted).prop_map(
        |(end, n, lag, descriptors, ports, throttled, control, unlisted)| Validity {
            end,
            planned: n[0],
            sent: n[1],
            not_sent: n[2],
            unseen: n[3],
            waited: n[4],
            in_flight: n[5],
            lag,
            away: n[6],
            descriptors,
            ports,
            throttled,
            cpu: n[7],
            control,
            unlisted,
        },
    )
}

fn condition() -> impl Strategy<Value = Condition> {
    (name(), maybe(any::<bool>()), text(), text()).prop_map(|(kind, status, reason, message)| Condition {
        kind,
        status,
        reason,
        message,
    })
}

fn deployment() -> impl Strategy<Value = DeploymentState> {
    let strategy = prop_oneof![
        Just(RolloutStrategy::Recreate),
        any::<(u32, u32)>().prop_map(|(max_surge, max_unavailable)| RolloutStrategy::RollingUpdate { max_surge, max_unavailable })
    ];
    let counts = any::<[u32; 4]>().prop_map(|[replicas, updated, ready, available]| DeploymentCounts {
        replicas,
        updated,
        ready,
        available,
    });
    let numbers = (any::<i64>(), any::<i64>(), any::<u32>(), any::<bool>());
    let writer = (name(), name()).prop_map(|(manager, time)| Writer { manager, time });
    let lists = (vec(condition(), 0..3), maybe(record()), maybe(writer));
    ((name(), name(), name()), numbers, maybe(name()), strategy, (span(), span()), counts, lists).prop_map(
        |((uid, name, namespace), (generation, observed, replicas, paused), revision, strategy, spans, status, lists)| {
            let (conditions, acted, writer) = lists;
            DeploymentState {
                uid,
                name,
                namespace,
                generation,
                observed,
                revision,
                replicas,
                paused,
                strategy,
                progress_deadline: spans.0,
                min_ready: spans.1,
                status,
                conditions,
                acted,
                writer,
            }
        },
    )
}

fn set() -> impl Strategy<Value = ReplicaSetState> {
    let probe = || {
        maybe((name(), maybe(name()), span(), span(), span(), any::<u32>()).prop_map(
            |(asks, port, initial_delay, period, timeout, failure_threshold)| ProbeState {
                asks,
                port,
                initial_delay,
                period,
                timeout,
                failure_threshold,
            },
        ))
    };
    let pre_stop = maybe(prop_oneof![Just(PreStop::Other), span().prop_map(|length| PreStop::Sleep { length })]);
    let template = (name(), span(), pre_stop, (probe(), probe(), probe()), maybe(name()), vec(name(), 0..3)).prop_map(
        |(container, grace, pre_stop, (startup, readiness, liveness), memory_limit, gates)| TemplateState {
            container,
            grace,
            pre_stop,
            startup,
            readiness,
            liveness,
            memory_limit,
            gates,
        },
    );
    ((name(), name(), name()), any::<u64>(), vec((name(), name()), 0..3), template, any::<[u32; 3]>(), maybe(condition())).prop_map(
        |((uid, name, hash), revision, images, template, [replicas, ready, available], failure)| ReplicaSetState {
            uid,
            name,
            hash,
            revision,
            images,
            template,
            replicas,
            ready,
            available,
            failure,
        },
    )
}

fn pod() -> impl Strategy<Value = PodState> {
    let exit = || (any::<i32>(), text()).prop_map(|(code, reason)| Exit { code, reason });
    let now = prop_oneof![
        (text(), text()).prop_map(|(reason, message)| ContainerNow::Waiting { reason, message }),
        Just(ContainerNow::Running),
        exit().prop_map(ContainerNow::Terminated)
    ];
    let container = (name(), any::<u32>(), any::<bool>(), now, maybe(exit()))
        .prop_map(|(name, restarts, ready, now, last_exit)| ContainerState { name, restarts, ready, now, last_exit });
    let phases = vec![PodPhase::Pending, PodPhase::Running, PodPhase::Succeeded, PodPhase::Failed, PodPhase::Unknown];
    let place = (maybe(name()), maybe(name()), maybe(at()), maybe(text()), maybe(name()));
    ((name(), name(), name()), place, select(phases), any::<(bool, bool)>(), vec(container, 0..3)).prop_map(
        |((uid, name, revision), (node, ip, terminating, unschedulable, verified), phase, (ready, gated), containers)| PodState {
            uid,
            name,
            revision,
            node,
            ip,
            phase,
            ready,
            terminating,
            unschedulable,
            gated,
            verified,
            containers,
        },
    )
}

fn endpoints() -> impl Strategy<Value = EndpointsState> {
    let endpoint = (maybe(name()), name(), maybe(any::<u16>()), any::<[bool; 3]>()).prop_map(
        |(pod, address, port, [ready, serving, terminating])| Endpoint { pod, address, port, ready, serving, terminating },
    );
    (name(), vec(endpoint, 0..4)).prop_map(|(name, endpoints)| EndpointsState { name, endpoints })
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let kinds =
        vec![VerdictKind::Pass, VerdictKind::Breach, VerdictKind::Inconclusive, VerdictKind::Superseded, VerdictKind::Aborted];
    let reason = (text(), text()).prop_map(|(code, message)| Reason { code, message });
    (select(kinds), at(), vec(reason, 0..3)).prop_map(|(verdict, at, reasons)| Verdict { verdict, at, reasons })
}
