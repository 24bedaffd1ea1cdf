//! Each pod as a bar: what it was doing when, whether the endpoints named it, and which of its containers ended.

use super::axis::{Axis, LEFT, Px, WIDTH};
use super::{Chart, label, line, title};
use crate::domain::display::moment;
use crate::domain::rollout::Membership;
use crate::domain::summary::{Pod, Seconds, Side, Summary};
use crate::domain::time::At;
use crate::report::html::markup::{Element, classed, el};

/// Pods that are drawn.
const PODS: usize = 200;
/// The height of a pod's lane, and where there are many of them.
const HEIGHT: f64 = 20.0;
const MANY: (usize, f64) = (30, 15.0);
/// Letters of a name that are shown.
const NAME: usize = 30;

/// What a pod is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// It has no node.
    Waiting,
    /// It has a node, and no container has started.
    Preparing,
    /// A container has started; it was never ready.
    Starting,
    Ready,
    /// It was ready, and is no more.
    Unready,
    /// It was told to end.
    Ending,
}

impl Doing {
    const fn class(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Unready => "unready",
            Self::Ending => "ending",
        }
    }
}

/// What a pod did until `end`, without breaks.
fn life(pod: &Pod, end: At) -> Vec<(Doing, At, At)> {
    let until = pod.gone_s.map_or(end, |s| s.0);
    let moments = [Some(pod.seen_s), pod.scheduled_s, pod.started_s, pod.terminating_s];
    let mut turns: Vec<At> = moments.into_iter().flatten().chain(pod.readiness.iter().map(|t| t.at_s)).map(|s| s.0).collect();
    turns.retain(|at| *at < until);
    turns.sort_unstable();
    turns.dedup();
    let mut stretches: Vec<(Doing, At, At)> = Vec::new();
    for (i, from) in turns.iter().enumerate() {
        let to = turns.get(i + 1).copied().unwrap_or(until);
        let doing = doing(pod, *from);
        match stretches.last_mut().filter(|last| last.0 == doing) {
            Some(last) => last.2 = to,
            None => stretches.push((doing, *from, to)),
        }
    }
    stretches
}

fn doing(pod: &Pod, at: At) -> Doing {
    let past = |moment: Option<Seconds>| moment.is_some_and(|s| s.0 <= at);
    if past(pod.terminating_s) {
        return Doing::Ending;
    }
    match pod.readiness.iter().rev().find(|t| t.at_s.0 <= at) {
        Some(turn) if turn.ready => Doing::Ready,
        Some(_) => Doing::Unready,
        None if past(pod.started_s) => Doing::Starting,
        None if past(pod.scheduled_s) => Doing::Preparing,
        None => Doing::Waiting,
    }
}

/// All pods, those of the old revision first.
pub(super) fn draw(chart: &mut Chart, s: &Summary) {
    let shown: Vec<&Pod> = s.rollout.pods.iter().take(PODS).collect();
    let height = if shown.len() > MANY.0 { MANY.1 } else { HEIGHT };
    for side in [Side::Old, Side::New, Side::Other, Side::Unknown] {
        let pods: Vec<&&Pod> = shown.iter().filter(|p| p.side == side).collect();
        if pods.is_empty() {
            continue;
        }
        chart.heading(&heading(s, side, pods.len()));
        for pod in pods {
            let y = chart.take(height);
            let drawn = lane(pod, chart.axis, y, height);
            chart.add(drawn);
        }
    }
    let beyond = s.rollout.pods.len() + s.rollout.pods_unlisted - shown.len();
    if beyond > 0 {
        chart.heading(&format!("and {beyond} more pods"));
    }
}

fn heading(s: &Summary, side: Side, n: usize) -> String {
    let revision = match side {
        Side::Old => s.rollout.old.as_ref(),
        Side::New => s.rollout.new.as_ref(),
        Side::Other | Side::Unknown => None,
    };
    let revision = revision.map(|r| format!(", revision {}", r.revision)).unwrap_or_default();
    let which = match side {
        Side::Old => "Old pods",
        Side::New => "New pods",
        Side::Other => "Pods of another revision",
        Side::Unknown => "Pods",
    };
    format!("{which} ({n}){revision}")
}

fn lane(pod: &Pod, axis: Axis, y: f64, height: f64) -> Element {
    let bar = height - 9.0;
    let stretches = life(pod, axis.end());
    let until = stretches.last().map_or(pod.seen_s.0, |l| l.2);
    let class = match pod.side {
        Side::Old => "pod old",
        Side::New => "pod new",
        Side::Other | Side::Unknown => "pod other",
    };
    let hover = el("rect").attr("class", "hover").attr("x", 0).attr("y", Px(y)).attr("width", Px(WIDTH)).attr("height", Px(height));
    let drawn = stretches.iter().map(|(doing, from, to)| stretch(axis, *doing, (*from, *to), y + 2.0, bar));
    let endpoints = membership(pod, until).into_iter().map(|(state, from, to)| {
        let class = if state == Membership::Ready { "listed" } else { "draining" };
        line(class, (axis.x(from), y + bar + 4.5), (axis.x(to), y + bar + 4.5))
    });
    let exits = pod.exits.iter().map(|e| exit(axis.x(e.at_s.0), y + 2.0 + bar / 2.0));
    let gone = pod.gone_s.map(|at| line("gone", (axis.x(at.0), y + 1.0), (axis.x(at.0), y + bar + 6.0)));
    el("g")
        .attr("class", class)
        .with(title(told(pod)))
        .with(hover)
        .with(label(shortened(&pod.pod), LEFT - 8.0, y + bar))
        .all(drawn)
        .all(endpoints)
        .all(exits)
        .all(gone)
}

fn stretch(axis: Axis, doing: Doing, (from, to): (At, At), y: f64, height: f64) -> Element {
    let (x, end) = (axis.x(from), axis.x(to));
    if doing == Doing::Waiting {
        return line("waiting", (x, y + height / 2.0), (end, y + height / 2.0));
    }
    let rect = classed("rect", doing.class()).attr("x", Px(x)).attr("y", Px(y));
    rect.attr("width", Px((end - x).max(1.0))).attr("height", Px(height))
}

/// When the endpoints named it, as ready or as draining.
fn membership(pod: &Pod, until: At) -> Vec<(Membership, At, At)> {
    let ends = pod.endpoints.iter().skip(1).map(|t| t.at_s.0).chain([until]);
    let all = pod.endpoints.iter().zip(ends).map(|(turn, to)| (turn.state, turn.at_s.0, to));
    all.filter(|(state, from, to)| *state != Membership::Out && from < to).collect()
}

/// A cross: a container ended.
fn exit(x: f64, y: f64) -> Element {
    let (left, right, top, bottom) = (Px(x - 3.0), Px(x + 3.0), Px(y - 3.0), Px(y + 3.0));
    classed("path", "exit").attr("d", format!("M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}"))
}

/// The end of a long name tells pods apart.
fn shortened(name: &str) -> String {
    let letters = name.chars().count();
    if letters <= NAME { name.to_owned() } else { std::iter::once('…').chain(name.chars().skip(letters - NAME + 1)).collect() }
}

fn told(pod: &Pod) -> String {
    let mut parts = vec![format!("{} ({})", pod.pod, pod.side.label())];
    let moments = [
        ("seen", Some(pod.seen_s)),
        ("scheduled", pod.scheduled_s),
        ("started", pod.started_s),
        ("ready", pod.ready_s),
        ("told to end", pod.terminating_s),
        ("gone", pod.gone_s),
    ];
    parts.extend(moments.into_iter().filter_map(|(what, at)| Some(format!("{what} {}", moment(at?.0)))));
    parts.extend(pod.exits.iter().map(|e| format!("container ended {} with {} ({})", moment(e.at_s.0), e.code, e.reason)));
    parts.extend(pod.reason.clone());
    parts.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{fold, healthy};
    use crate::domain::summary::{EndpointTurn, ReadyTurn};

    fn at(tenths: u64) -> Seconds {
        Seconds(At(tenths * 100_000))
    }

    fn pod() -> Pod {
        Summary::of(&fold(&healthy())).rollout.pods[0].clone()
    }

    #[test]
    fn a_life_has_no_breaks_and_ends_when_the_pod_is_gone() {
        let pod = Pod {
            seen_s: at(10),
            scheduled_s: Some(at(10)),
            started_s: Some(at(20)),
            readiness: [(30, true), (40, false), (50, true)].map(|(t, ready)| ReadyTurn { at_s: at(t), ready }).into(),
            terminating_s: Some(at(60)),
            gone_s: Some(at(70)),
            ..pod()
        };
        let tenths = |(doing, from, to): (Doing, At, At)| (doing, from.micros() / 100_000, to.micros() / 100_000);
        let expected = [
            (Doing::Preparing, 10, 20),
            (Doing::Starting, 20, 30),
            (Doing::Ready, 30, 40),
            (Doing::Unready, 40, 50),
            (Doing::Ready, 50, 60),
            (Doing::Ending, 60, 70),
        ];
        assert_eq!(life(&pod, at(100).0).into_iter().map(tenths).collect::<Vec<_>>(), expected);
        let waiting = Pod { scheduled_s: None, started_s: None, readiness: Vec::new(), terminating_s: None, gone_s: None, ..pod };
        assert_eq!(life(&waiting, at(100).0), [(Doing::Waiting, at(10).0, at(100).0)]);
    }

    #[test]
    fn only_stretches_in_which_the_endpoints_named_the_pod_are_drawn() {
        let turns = [(10, Membership::Ready), (20, Membership::Out), (30, Membership::Ready), (40, Membership::Draining)];
        let pod = Pod { endpoints: turns.map(|(t, state)| EndpointTurn { at_s: at(t), state }).into(), ..pod() };
        let drawn = [(Membership::Ready, 10, 20), (Membership::Ready, 30, 40), (Membership::Draining, 40, 50)];
        assert_eq!(membership(&pod, at(50).0), drawn.map(|(m, from, to)| (m, at(from).0, at(to).0)));
    }

    #[test]
    fn the_end_of_a_long_name_is_shown() {
        assert_eq!(shortened("backend-7d4f9c8b5c-8hd2s"), "backend-7d4f9c8b5c-8hd2s");
        let long = shortened("a-deployment-with-a-long-name-7d4f9c8b5c-8hd2s");
        assert_eq!((long.chars().count(), long.as_str()), (NAME, "…-a-long-name-7d4f9c8b5c-8hd2s"));
    }
}
