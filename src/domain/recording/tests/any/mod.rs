//! Any event of any kind, with what is hard to write and to read in every field.

mod cluster;
mod run;

use std::time::Duration;

use proptest::collection::vec;
use proptest::option::of as maybe;
use proptest::prelude::*;
use proptest::sample::select;

use self::cluster::{deployment, endpoints, pod, set};
pub(super) use self::run::scenario;
use self::run::{head, plan};
use crate::domain::admission::{AdmissionEnded, Basis, Came, Permit};
use crate::domain::event::{Event, PutBack, StepEnded, WatchState, What};
use crate::domain::outcome::{Counts, Outcome};
use crate::domain::rollout::guard::{Action, ActionEnded, Record, Refusal, Revision, Verb};
use crate::domain::rollout::state::KubeEvent;
use crate::domain::slice::{Closed, Connection, Ending, Failure, Gap, Part, Phases, Slice};
use crate::domain::time::At;
use crate::domain::traffic::Name;
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

fn verdict() -> impl Strategy<Value = Verdict> {
    let kinds =
        vec![VerdictKind::Pass, VerdictKind::Breach, VerdictKind::Inconclusive, VerdictKind::Superseded, VerdictKind::Aborted];
    let reason = (text(), text()).prop_map(|(code, message)| Reason { code, message });
    (select(kinds), at(), vec(reason, 0..3)).prop_map(|(verdict, at, reasons)| Verdict { verdict, at, reasons })
}
