//! What happened, in tables: failures, traffic, who answered, the rollout and its pods.

use super::markup::{Element, classed, el};
use super::table::{Column, Table};
use super::{more, section};
use crate::domain::display::{count, moment, percent, span};
use crate::domain::objective::Ppm;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::rollout::Membership;
use crate::domain::scenario::LaneMode;
use crate::domain::summary::{Answers, Example, Figures, Millis, Outage, Pod, Quantiles, Revision, Seconds, Summary};
use crate::report::words;
use Column::{Code, Number, Words};

/// Pods in one table.
const PODS: usize = 200;
/// Pods in the table of who answered, those with most failures first.
const ANSWERING: usize = 40;

fn when(at: Option<Seconds>) -> String {
    at.map_or_else(|| "–".to_owned(), |at| moment(at.0))
}

/// What failed, by kind, and what the kinds mean.
pub(super) fn failures(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[
        Code("how"),
        Number("count"),
        Words("lane"),
        Words("while"),
        Words("answered by"),
        Words("first known"),
        Words("last known"),
        Words("counted"),
    ];
    let mut table = Table::new("What failed", COLUMNS);
    for g in &s.failures.groups {
        let counted = match (g.blame, g.measured) {
            (Blame::Target, true) => "against the objectives",
            (Blame::Target, false) => "before the change",
            (Blame::Verifier | Blame::Nobody, _) => "not: the verifier's own",
        };
        table.row([
            g.outcome.label().to_owned(),
            count(g.count),
            g.lane.clone(),
            g.phase.label().to_owned(),
            words::side(g.side).to_owned(),
            moment(g.first_s.0),
            moment(g.last_s.0),
            counted.to_owned(),
        ]);
    }
    if table.is_empty() {
        return None;
    }
    let mut outcomes: Vec<Outcome> = s.failures.groups.iter().map(|g| g.outcome).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    let meaning = |o: Outcome| el("li").with(el("code").text(o.label())).text(format!(": {}", o.meaning()));
    Some(section("What failed").with(table.element()).with(classed("ul", "note").all(outcomes.into_iter().map(meaning))))
}

/// A few failures one by one.
pub(super) fn examples(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[
        Words("due"),
        Words("lane"),
        Code("how"),
        Words("known after"),
        Number("status"),
        Code("pod"),
        Words("connection"),
        Words("what the system said"),
    ];
    let mut table = Table::new("Some failures one by one", COLUMNS);
    for e in &s.failures.examples {
        table.row([
            moment(e.due_s.0),
            e.lane.clone(),
            e.outcome.label().to_owned(),
            span(e.known_s.0.since(e.due_s.0)),
            e.status.map(|s| s.to_string()).unwrap_or_default(),
            e.pod.clone().unwrap_or_default(),
            connection(e),
            e.note.clone(),
        ]);
    }
    (!table.is_empty()).then(|| section("Some failures one by one").with(table.element()))
}

fn connection(e: &Example) -> String {
    let Some(c) = &e.connection else { return if e.sent_s.is_some() { "new".to_owned() } else { "none".to_owned() } };
    if c.served == 0 {
        return format!("new, port {}", c.local_port);
    }
    let pod = c.last_pod.as_ref().map(|p| format!(", last answered by {p}")).unwrap_or_default();
    format!("port {}, {} old, {} served{pod}", c.local_port, span(c.age_ms.0), count(c.served))
}

/// Each lane from the change on, all of them, and before the change.
pub(super) fn traffic(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[
        Words("lane"),
        Words("connections"),
        Number("wanted/s"),
        Number("sent/s"),
        Number("sent"),
        Number("failed"),
        Number("not counted"),
        Number("availability"),
        Number("p50"),
        Number("p90"),
        Number("p99"),
        Number("p99.9"),
        Number("max"),
        Words("longest outage"),
    ];
    let t = &s.traffic;
    if t.lanes.is_empty() {
        return None;
    }
    let mut table = Table::new("Traffic", COLUMNS);
    for lane in &t.lanes {
        table.row(figures(lane.lane.clone(), lane.mode, lane.intended_per_s, &lane.measured));
    }
    table.classed_row("sum", figures("all lanes".to_owned(), None, t.intended_per_s, &t.measured));
    for lane in &t.lanes {
        let name = format!("{}, before the change", lane.lane);
        table.classed_row("before", figures(name, lane.mode, lane.intended_per_s, &lane.baseline));
    }
    let note = "Latency counts from the moment a request was due; of good answers only.";
    Some(section("Traffic").with(table.element()).with(classed("p", "note").text(note)))
}

fn figures(name: String, mode: Option<LaneMode>, wanted: f64, f: &Figures) -> [String; 14] {
    let latency = |pick: fn(&Quantiles) -> Millis| quantile(&f.answers, pick);
    [
        name,
        mode.map_or("", connections).to_owned(),
        format!("{wanted:.1}"),
        f.achieved_per_s.map_or_else(|| "–".to_owned(), |r| format!("{r:.1}")),
        count(f.sent),
        count(f.answers.bad),
        count(f.answers.excluded + f.in_flight),
        f.answers.availability.clone().unwrap_or_else(|| "–".to_owned()),
        latency(|l| l.p50_ms),
        latency(|l| l.p90_ms),
        latency(|l| l.p99_ms),
        latency(|l| l.p99_9_ms),
        latency(|l| l.max_ms),
        f.longest_outage.as_ref().map_or_else(|| "none".to_owned(), outage),
    ]
}

fn quantile(answers: &Answers, pick: fn(&Quantiles) -> Millis) -> String {
    answers.latency.as_ref().map_or_else(|| "–".to_owned(), |l| span(pick(l).0))
}

const fn connections(mode: LaneMode) -> &'static str {
    match mode {
        LaneMode::Fresh => "new each",
        LaneMode::Kept => "kept",
        LaneMode::Inflight => "new, held",
        LaneMode::Stream => "streams",
    }
}

fn outage(o: &Outage) -> String {
    let open = if o.to_s.is_none() { ", not over" } else { "" };
    format!("{} from {}{open}", span(o.length_ms.0), moment(o.from_s.0))
}

/// Old against new, then pod by pod.
pub(super) fn answered(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[
        Code("pod or revision"),
        Words("side"),
        Words("version"),
        Number("of traffic"),
        Number("of failures"),
        Number("good"),
        Number("failed"),
        Number("availability"),
        Number("p50"),
        Number("p99"),
    ];
    let traffic = &s.traffic;
    let mut table = Table::new("Who answered", COLUMNS);
    for r in &traffic.revisions {
        let name = r.revision.clone().unwrap_or_else(|| "no pod named itself".to_owned());
        let who = [name, words::side(r.side).to_owned(), String::new()];
        table.classed_row("sum", who.into_iter().chain(share(&r.answers, r.traffic_ppm, r.errors_ppm)));
    }
    for p in traffic.pods.iter().take(ANSWERING) {
        let who = [p.pod.clone(), p.side.label().to_owned(), p.version.clone().unwrap_or_default()];
        table.row(who.into_iter().chain(share(&p.answers, p.traffic_ppm, p.errors_ppm)));
    }
    (!table.is_empty()).then(|| section("Who answered").with(table.element()).all(more(traffic.pods.len(), ANSWERING, "pods")))
}

/// The part of one who answered.
fn share(answers: &Answers, traffic: u32, errors: u32) -> [String; 7] {
    [
        percent(Ppm(traffic)),
        percent(Ppm(errors)),
        count(answers.good),
        count(answers.bad),
        answers.availability.clone().unwrap_or_else(|| "–".to_owned()),
        quantile(answers, |l| l.p50_ms),
        quantile(answers, |l| l.p99_ms),
    ]
}

/// Revisions, steps and phases.
pub(super) fn rollout(s: &Summary) -> Option<Element> {
    let r = &s.rollout;
    let mut revisions =
        Table::new("Revisions", &[Words("side"), Code("revision"), Words("number"), Code("replica set"), Code("images")]);
    for (side, revision) in [("old", &r.old), ("new", &r.new)] {
        if let Some(revision) = revision {
            revisions.row(revision_row(side, revision));
        }
    }
    let mut steps = Table::new("Steps of the change", &[Words("step"), Words("began"), Words("ended")]);
    for step in &s.steps {
        steps.row([step.what.clone(), moment(step.began_s.0), when(step.ended_s)]);
    }
    let mut phases = Table::new("Phases", &[Words("phase"), Words("from"), Words("length"), Words("that is")]);
    for p in &r.phases {
        let what = words::phase(p.phase).to_owned();
        phases.row([p.phase.label().to_owned(), moment(p.from_s.0), span(p.length_s.length()), what]);
    }
    let tables: Vec<_> = [revisions, steps, phases].into_iter().filter(|t| !t.is_empty()).map(Table::element).collect();
    (!tables.is_empty()).then(|| section("Rollout").all(tables))
}

fn revision_row(side: &str, r: &Revision) -> [String; 5] {
    let images: Vec<String> = r.images.iter().map(|(container, image)| format!("{container}: {image}")).collect();
    [
        side.to_owned(),
        r.revision.clone(),
        r.number.map(|n| n.to_string()).unwrap_or_default(),
        r.replica_set.clone().unwrap_or_default(),
        images.join(", "),
    ]
}

/// Pods with the moments of their lives: the time line in words.
pub(super) fn pods(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[
        Code("pod"),
        Words("side"),
        Code("node"),
        Number("seen"),
        Number("scheduled"),
        Number("started"),
        Number("ready"),
        Number("told to end"),
        Number("out of endpoints"),
        Number("gone"),
        Number("restarts"),
        Words("reason"),
    ];
    let pods = &s.rollout.pods;
    let mut table = Table::new("Pods", COLUMNS);
    for p in pods.iter().take(PODS) {
        table.row([
            p.pod.clone(),
            p.side.label().to_owned(),
            p.node.clone().unwrap_or_default(),
            moment(p.seen_s.0),
            when(p.scheduled_s),
            when(p.started_s),
            when(p.ready_s),
            when(p.terminating_s),
            when(removed(p)),
            when(p.gone_s),
            count(p.restarts.into()),
            p.reason.clone().unwrap_or_default(),
        ]);
    }
    let all = pods.len() + s.rollout.pods_unlisted;
    (!table.is_empty()).then(|| section("Pods").with(table.element()).all(more(all, PODS, "pods")))
}

/// When it left the endpoints after it was told to end.
fn removed(p: &Pod) -> Option<Seconds> {
    let last_ready = p.endpoints.iter().rposition(|t| t.state == Membership::Ready)?;
    p.endpoints.get(last_ready + 1).map(|t| t.at_s)
}

/// Who was let in by the gate, and for what.
pub(super) fn admission(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[
        Code("pod"),
        Code("revision"),
        Words("let in because"),
        Words("asked before"),
        Number("containers ready"),
        Number("let in"),
        Number("after"),
    ];
    let mut table = Table::new("Let in by the gate", COLUMNS);
    for a in s.admission.iter().take(PODS) {
        table.row([
            a.pod.clone(),
            a.revision.clone(),
            words::admission(a.basis).to_owned(),
            words::asked(a),
            moment(a.containers_ready_s.0),
            when(a.opened_s),
            words::waited(a),
        ]);
    }
    let note = "Users reach a pod with the readiness gate verifier.dev/verified only after it was let in.";
    let table = (!table.is_empty()).then(|| section("Let in by the gate").with(table.element()))?;
    Some(table.all(more(s.admission.len(), PODS, "pods")).with(classed("p", "note").text(note)))
}

/// How long it took until nobody sent to pods that were told to end: what a preStop sleep has to cover.
pub(super) fn propagation(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] =
        &[Code("pod"), Number("told to end"), Number("out of endpoints after"), Number("last request after"), Number("gone after")];
    let p = s.propagation.as_ref()?;
    let mut table = Table::new("Until nobody sent to pods that ended", COLUMNS);
    let after = |length: Option<Millis>| length.map_or_else(|| "–".to_owned(), |l| span(l.0));
    for d in p.pods.iter().take(PODS) {
        table.row([d.pod.clone(), moment(d.told_s.0), after(d.removed_ms), after(d.last_request_ms), after(d.gone_ms)]);
    }
    let slowest = p.pods.iter().any(|d| d.removed_ms.is_some()).then_some(p.slowest_removal_ms);
    let last = p.pods.iter().any(|d| d.last_request_ms.is_some()).then_some(p.slowest_last_request_ms);
    table.classed_row("sum", ["the slowest".to_owned(), String::new(), after(slowest), after(last), String::new()]);
    let note = "A preStop sleep has to be longer than the slowest last request; a last request is known to a tenth of a second.";
    let table = section("Until nobody sent to pods that ended").with(table.element());
    Some(table.all(more(p.pods.len(), PODS, "pods")).with(classed("p", "note").text(note)))
}
