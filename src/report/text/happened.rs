//! What happened: failures, traffic, the rollout and its pods, warnings and notices.

use std::collections::BTreeMap;

use super::{at, more, title};
use crate::domain::display::{count, moment, percent, plural, span};
use crate::domain::objective::Ppm;
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::summary::{
    Figures, KubeWarning, Millis, Notice, Outage, Pod, Quantiles, RevisionTraffic, Seconds, Side, Step, Summary,
};
use crate::report::line::{Line, Paint};
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::words;

/// Kinds of failures, pods, warnings and notices listed one by one.
const LISTED: usize = 6;

/// What failed after the change began: how often, how, where and when; or before it, when nothing was changed yet.
pub(super) fn failures(s: &Summary) -> Vec<Line> {
    let changed = s.rollout.changed_s.is_some();
    let groups: Vec<_> = s.failures.groups.iter().filter(|g| g.measured == changed).collect();
    if groups.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new("rlllll");
    table.row(Paint::Faint, ["", "how", "lane", "while", "answered by", "became known"]);
    for group in groups.iter().take(LISTED) {
        let paint = if group.blame == Blame::Target { Paint::Bad } else { Paint::Faint };
        let by = if group.blame == Blame::Target { words::side(group.side) } else { "not counted" };
        table.painted([
            (paint, count(group.count)),
            (paint, group.outcome.label().to_owned()),
            (Paint::Plain, group.lane.clone()),
            (Paint::Plain, group.phase.label().to_owned()),
            (Paint::Plain, by.to_owned()),
            (Paint::Plain, format!("{} to {}", moment(group.first_s.0), moment(group.last_s.0))),
        ]);
    }
    let heading = if changed { "What failed" } else { "What failed before the change" };
    let mut outcomes: Vec<Outcome> = groups.iter().take(LISTED).map(|g| g.outcome).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    let meaning = |o: Outcome| Line::plain("  ").plus(Paint::Faint, format!("{}: {}", o.label(), o.meaning()));
    std::iter::once(title(heading))
        .chain(table.lines())
        .chain(more(groups.len(), LISTED, "kinds"))
        .chain(outcomes.into_iter().map(meaning))
        .collect()
}

/// Each lane with its figures from the change on, and below them those of before the change.
pub(super) fn traffic(s: &Summary) -> Vec<Line> {
    if s.traffic.lanes.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new("lrrrrrl");
    table.row(Paint::Faint, ["lane", "sent", "failed", "availability", "p50", "p99", "longest outage"]);
    let measured = s.traffic.measured_from_s.is_some();
    for lane in &s.traffic.lanes {
        table.painted(figures(lane.lane.clone(), if measured { &lane.measured } else { &lane.baseline }, Paint::Plain));
    }
    if measured && s.traffic.lanes.len() > 1 {
        table.painted(figures("all lanes".into(), &s.traffic.measured, Paint::Plain));
    }
    for lane in &s.traffic.aside {
        let of_lane = if measured { &lane.measured } else { &lane.baseline };
        table.painted(
            figures(format!("{} (not judged)", lane.lane), of_lane, Paint::Faint).into_iter().map(|(_, text)| (Paint::Faint, text)),
        );
    }
    table.painted(figures("before the change".into(), &s.traffic.baseline, Paint::Faint));
    let mut lines = vec![title("Traffic")];
    lines.extend(table.lines());
    lines.extend(not_counted(&s.traffic.measured));
    lines
}

fn figures(name: String, f: &Figures, paint: Paint) -> Vec<(Paint, String)> {
    let answers = &f.answers;
    let time = |pick: fn(&Quantiles) -> Millis| answers.latency.as_ref().map_or_else(|| "-".into(), |l| span(pick(l).0));
    let failed = if answers.bad > 0 { Paint::Bad } else { paint };
    vec![
        (paint, name),
        (paint, count(f.sent)),
        (failed, count(answers.bad)),
        (failed, answers.availability.clone().unwrap_or_else(|| "-".into())),
        (paint, time(|l| l.p50_ms)),
        (paint, time(|l| l.p99_ms)),
        (paint, f.longest_outage.as_ref().map_or_else(|| "none".into(), outage)),
    ]
}

fn outage(outage: &Outage) -> String {
    let open = if outage.to_s.is_none() { ", not over" } else { "" };
    format!("{} from {}{open}", span(outage.length_ms.0), moment(outage.from_s.0))
}

fn not_counted(f: &Figures) -> Option<Line> {
    let unknown = f.answers.excluded + f.in_flight;
    (unknown > 0).then(|| {
        let text = format!(
            "  Neither good nor failed: {} that could not be sent or say nothing about the target, {} without an end.",
            count(f.answers.excluded),
            count(f.in_flight)
        );
        Line::default().plus(Paint::Warn, text)
    })
}

/// Old against new, when pods of a known revision answered badly.
pub(super) fn revisions(s: &Summary) -> Vec<Line> {
    if s.traffic.revisions.iter().all(|r| r.answers.bad == 0 || r.side == Side::Unknown) {
        return Vec::new();
    }
    let mut table = Table::new("llrrrr");
    table.row(Paint::Faint, ["", "revision", "of traffic", "of failures", "availability", "p99"]);
    for r in &s.traffic.revisions {
        table.row(if r.answers.bad > 0 { Paint::Bad } else { Paint::Plain }, revision(r));
    }
    std::iter::once(title("Who answered")).chain(table.lines()).collect()
}

fn revision(r: &RevisionTraffic) -> [String; 6] {
    [
        words::side(r.side).to_owned(),
        r.revision.clone().unwrap_or_default(),
        percent(Ppm(r.traffic_ppm)),
        percent(Ppm(r.errors_ppm)),
        r.answers.availability.clone().unwrap_or_default(),
        r.answers.latency.map(|l| span(l.p99_ms.0)).unwrap_or_default(),
    ]
}

/// Who was let in by the gate, and for what.
pub(super) fn admission(s: &Summary) -> Vec<Line> {
    if s.admission.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new("llllr");
    table.row(Paint::Faint, ["pod", "revision", "let in because", "asked before", "after"]);
    for a in s.admission.iter().take(LISTED) {
        let (because, asked) = (words::admission(a.basis).to_owned(), words::asked(a));
        let paint = if a.opened_s.is_some() { Paint::Plain } else { Paint::Warn };
        table.row(paint, [a.pod.clone(), a.revision.clone(), because, asked, words::waited(a)]);
    }
    let listed = table.lines().into_iter().chain(more(s.admission.len(), LISTED, "pods"));
    std::iter::once(title("Let in by the gate")).chain(listed).collect()
}

/// From which revision to which, and the phases between.
pub(super) fn rollout(s: &Summary, look: Look) -> Vec<Line> {
    let r = &s.rollout;
    let Some(old) = &r.old else {
        let heading = title("Rollout").text("  nothing was changed");
        return if r.pods.is_empty() { Vec::new() } else { std::iter::once(heading).chain(pods(s)).collect() };
    };
    let end = match r.deployed_after_s {
        Some(after) => format!("complete {} after the change began", span(after.length())),
        None => "not complete".into(),
    };
    let which = match &r.new {
        Some(new) => format!("revision {} {} {}", old.revision, look.arrow(), new.revision),
        None => format!("revision {} stays", old.revision),
    };
    let mut lines = vec![title("Rollout").text(format!("  {which}, {end}"))];
    for (container, image) in r.new.iter().flat_map(|n| &n.images) {
        let before = old.images.get(container).filter(|b| *b != image);
        lines.extend(before.map(|b| Line::plain(format!("  container {container}: {b} {} {image}", look.arrow()))));
    }
    let step = |step: &Step| Line::plain(format!("  {}  {}", at(s, step.began_s), step.what));
    lines.extend(s.steps.iter().take(LISTED).map(step));
    lines.extend(more(s.steps.len(), LISTED, "steps"));
    let mut table = Table::new("llrl");
    for phase in r.phases.iter().skip_while(|p| Some(p.from_s) < r.changed_s) {
        table.painted([
            (Paint::Plain, at(s, phase.from_s)),
            (Paint::Plain, phase.phase.label().to_owned()),
            (Paint::Plain, span(phase.length_s.length())),
            (Paint::Faint, words::phase(phase.phase).to_owned()),
        ]);
    }
    lines.extend(table.lines());
    lines.extend(propagation(s));
    lines.extend(pods(s));
    lines
}

/// What a preStop sleep has to cover.
fn propagation(s: &Summary) -> Option<Line> {
    let p = s.propagation.as_ref()?;
    let (removed, last) = (p.slowest_removal_ms.0, p.slowest_last_request_ms.0);
    let parts = [(removed, "left the endpoints"), (last, "was sent its last request")];
    let parts: Vec<String> =
        parts.into_iter().filter(|(t, _)| !t.is_zero()).map(|(t, what)| format!("{what} after {}", span(t))).collect();
    (!parts.is_empty()).then(|| Line::plain(format!("  Told to end, the slowest pod {}", parts.join(" and "))))
}

/// Pods in a sentence; one by one when something failed or a pod is in trouble.
fn pods(s: &Summary) -> Vec<Line> {
    let pods = &s.rollout.pods;
    if pods.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::plain(format!("  Pods: {}", census(pods)))];
    let failed = s.traffic.measured.answers.bad > 0;
    let notable: Vec<&Pod> = pods.iter().filter(|p| troubled(p) || (failed && was_moved(p))).collect();
    if notable.is_empty() {
        return lines;
    }
    let mut table = Table::new("lllllrl");
    table.row(Paint::Faint, ["pod", "", "ready", "told to end", "gone", "restarts", ""]);
    let when = |at: Option<Seconds>| at.map_or_else(|| "-".into(), |at| moment(at.0));
    for pod in notable.iter().take(LISTED) {
        let (side, reason) = (pod.side.label().to_owned(), pod.reason.clone().unwrap_or_default());
        let cells = [
            pod.pod.clone(),
            side,
            when(pod.ready_s),
            when(pod.terminating_s),
            when(pod.gone_s),
            count(pod.restarts.into()),
            reason,
        ];
        table.row(if troubled(pod) { Paint::Warn } else { Paint::Plain }, cells);
    }
    lines.extend(table.lines());
    lines.extend(more(notable.len(), LISTED, "pods"));
    lines
}

fn troubled(pod: &Pod) -> bool {
    pod.gone_s.is_none() && (pod.restarts > 0 || (pod.ready_s.is_none() && pod.reason.is_some()))
}

/// It came or went during the run.
fn was_moved(pod: &Pod) -> bool {
    pod.terminating_s.is_some() || pod.side == Side::New
}

fn census(pods: &[Pod]) -> String {
    let mut sides: BTreeMap<Side, [u64; 4]> = BTreeMap::new();
    for pod in pods {
        let [all, gone, ending, ready] = sides.entry(pod.side).or_default();
        *all += 1;
        match (pod.gone_s, pod.terminating_s, pod.ready_s) {
            (Some(_), ..) => *gone += 1,
            (None, Some(_), _) => *ending += 1,
            (None, None, Some(_)) => *ready += 1,
            (None, None, None) => {}
        }
    }
    let text = |(side, [all, gone, ending, ready]): (Side, [u64; 4])| {
        let parts = [(gone, "gone"), (ending, "ending"), (ready, "ready"), (all - gone - ending - ready, "not ready")];
        let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        format!("{all} {} ({})", side.label(), parts.join(", "))
    };
    let restarts: u64 = pods.iter().map(|p| u64::from(p.restarts)).sum();
    let restarts = if restarts == 0 { "no restarts".into() } else { plural(restarts, "restart") };
    format!("{}, {restarts}", sides.into_iter().map(text).collect::<Vec<_>>().join(", "))
}

/// Warnings of one reason about objects of one kind.
struct Repeated<'a> {
    /// How often Kubernetes counted it, by the object's name.
    objects: BTreeMap<&'a str, u32>,
    latest: &'a KubeWarning,
}

impl Repeated<'_> {
    fn line(&self, s: &Summary) -> Line {
        let times: u64 = self.objects.values().map(|n| u64::from(*n)).sum();
        let KubeWarning { at_s, kind, name, reason, message, .. } = self.latest;
        let times = plural(times, "time");
        let objects = plural(self.objects.len() as u64, kind);
        Line::plain(format!("  {}  ", at(s, *at_s)))
            .plus(Paint::Warn, reason)
            .text(format!(", {times} on {objects}: {name}: {message}"))
    }
}

/// Warnings of Kubernetes, those of one reason together.
pub(super) fn warnings(s: &Summary) -> Vec<Line> {
    let mut reasons: BTreeMap<(&str, &str), Repeated<'_>> = BTreeMap::new();
    for warning in &s.kubernetes {
        let repeated = reasons
            .entry((&warning.reason, &warning.kind))
            .or_insert_with(|| Repeated { objects: BTreeMap::new(), latest: warning });
        let times = repeated.objects.entry(&warning.name).or_default();
        *times = (*times).max(warning.count);
        repeated.latest = warning;
    }
    if reasons.is_empty() {
        return Vec::new();
    }
    std::iter::once(title("Warnings of Kubernetes"))
        .chain(reasons.values().take(LISTED).map(|r| r.line(s)))
        .chain(more(reasons.len(), LISTED, "reasons"))
        .collect()
}

/// What else the reader should know.
pub(super) fn notices(s: &Summary) -> Vec<Line> {
    if s.notices.is_empty() {
        return Vec::new();
    }
    let line = |n: &Notice| Line::plain(format!("  {}  {}", at(s, n.at_s), n.text));
    std::iter::once(title("Notes"))
        .chain(s.notices.iter().take(LISTED).map(line))
        .chain(more(s.notices.len(), LISTED, "notes"))
        .collect()
}
