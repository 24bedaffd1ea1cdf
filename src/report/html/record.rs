//! The small print: whether the measurement can be believed, what Kubernetes warned of, notes, and how to run it again.

use super::markup::{Element, classed, el};
use super::section;
use super::table::{Column, Table};
use crate::domain::display::{count, moment, plural, span};
use crate::domain::summary::{Summary, Validity};
use crate::domain::validity::{Headroom, Record};
use Column::{Code, Number, Words};
use std::time::Duration;

fn micros(micros: u64) -> String {
    span(Duration::from_micros(micros))
}

/// Names and values side by side.
fn list(entries: impl IntoIterator<Item = (&'static str, String)>) -> Element {
    let entry = |(name, value): (&str, String)| el("div").with(el("dt").text(name)).with(el("dd").text(value));
    classed("dl", "list").all(entries.into_iter().map(entry))
}

/// What the verifier itself did and could not do.
pub(super) fn validity(s: &Summary) -> Option<Element> {
    let Validity { valid, doubts, record } = s.validity.as_ref()?;
    let word = if *valid {
        el("p")
            .with(classed("strong", "good").text("✔ It can."))
            .text(" The verifier did what it had planned, when it had planned it.")
    } else {
        el("p").with(classed("strong", "warn").text("◌ Doubtful.")).text(" The verifier or its machine was in the way:")
    };
    let doubts = (!valid).then(|| el("ul").all(doubts.iter().map(|d| el("li").text(d))));
    Some(section("Can the measurement be believed?").with(word).all(doubts).with(list(condition(record))))
}

fn condition(r: &Record) -> Vec<(&'static str, String)> {
    let room = |h: Headroom| format!("{} of {}", count(h.used), count(h.limit));
    let lag = format!("p50 {}, p99 {}, max {}", micros(r.lag.p50), micros(r.lag.p99), micros(r.lag.max));
    let mut all = vec![
        ("told of", micros(r.time)),
        ("requests planned", count(r.planned)),
        ("acted on", count(r.sent)),
        ("not sent", count(r.not_sent)),
        ("unseen, while away", count(r.unseen)),
        ("say nothing of the target", count(r.excluded)),
        ("longest silence of a lane", micros(r.longest_excluded)),
        ("waited for a connection", count(r.waited)),
        ("in flight at most", count(r.in_flight_max)),
        ("start after due, worst second", lag),
        ("workers away", micros(r.away)),
        ("CPU of the workers", micros(r.cpu)),
    ];
    all.extend(r.throttled.map(|t| ("CPU throttled", micros(t))));
    all.extend(r.descriptors.map(|h| ("file descriptors at most", room(h))));
    all.extend(r.ports.map(|h| ("local ports at most", room(h))));
    all.extend(r.control.map(|c| {
        let text = format!("{} of {} failed, p99 {}, max {}", count(c.failed), count(c.planned), micros(c.p99), micros(c.max));
        ("own echo", text)
    }));
    let u = &r.unlisted;
    if !u.is_empty() {
        let parts =
            [(u.failures, "failure"), (u.closed, "closed connection"), (u.gaps, "gap"), (u.pods, "pod"), (u.slices, "slice")];
        let parts: Vec<String> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| plural(n, what)).collect();
        all.push(("counted, not listed", parts.join(", ")));
    }
    all
}

/// Warnings of Kubernetes.
pub(super) fn warnings(s: &Summary) -> Option<Element> {
    const COLUMNS: &[Column] = &[Words("seen"), Words("reason"), Code("object"), Number("times"), Words("message")];
    let mut table = Table::new("Warnings of Kubernetes", COLUMNS);
    for w in &s.kubernetes {
        let object = format!("{}/{}", w.kind, w.name);
        table.row([moment(w.at_s.0), w.reason.clone(), object, count(w.count.into()), w.message.clone()]);
    }
    (!table.is_empty()).then(|| section("Warnings of Kubernetes").with(table.element()))
}

/// What else the reader should know.
pub(super) fn notices(s: &Summary) -> Option<Element> {
    let mut table = Table::new("Notes", &[Words("when"), Words("what")]);
    s.notices.iter().for_each(|n| table.row([moment(n.at_s.0), n.text.clone()]));
    (!table.is_empty()).then(|| section("Notes").with(table.element()))
}

/// What was put back in the end, and what was not.
pub(super) fn put_back(s: &Summary) -> Option<Element> {
    let p = s.put_back.as_ref()?;
    let done = p.done.iter().map(|text| el("li").text(text));
    let left = p.left.iter().map(|text| el("li").with(el("strong").text("Not put back: ")).text(text));
    Some(section("Put back").with(el("ul").all(done).all(left)))
}

/// How to run it again.
pub(super) fn again(s: &Summary) -> Element {
    let run = &s.run;
    let entries = [
        ("scenario", run.scenario.clone()),
        ("what it shows", run.about.clone()),
        ("seed", run.seed.to_string()),
        ("run", run.id.clone()),
        ("started", run.started.clone()),
        ("cluster", run.cluster.clone()),
        ("target", format!("deploy/{} in namespace {}", run.deployment, run.namespace)),
        ("verifier", run.version.clone()),
    ];
    let entries = entries.into_iter().filter(|(_, value)| !value.is_empty());
    section("Run it again").with(el("pre").with(el("code").text(&run.command))).with(list(entries))
}
