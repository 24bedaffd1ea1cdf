//! A Deployment as a tree: its revisions, their pods, and what each of them gets of the traffic and of the failures right now. Pure; the same
//! events give the same lines.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::line::{Line, Paint};
use super::look::Look;
use crate::domain::course::Course;
use crate::domain::display::{count, moment, percent, plural, span};
use crate::domain::event::{Event, What};
use crate::domain::objective::Ppm;
use crate::domain::rollout::PodLife;
use crate::domain::rollout::state::{ContainerNow, ReplicaSetState};
use crate::domain::slice::Slice;
use crate::domain::summary::{Figures, Notice};
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// Shares are those of so long a time.
const WINDOW: Duration = Duration::from_secs(5);
/// Pods told apart within it.
const MAX_PODS: usize = 1_000;
/// Where columns begin.
const STATE: usize = 44;
const SHARE: usize = 72;

/// Good and failed.
type Sums = (u64, u64);

/// Who answered within the last seconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    tenths: VecDeque<(At, BTreeMap<Option<Name>, Sums>)>,
}

impl Recent {
    /// Takes an event in. Lanes that ask pods at their own addresses are no traffic of users.
    pub(super) fn event(&mut self, event: &Event, course: &Course) {
        if let What::Slice(slice) = &event.what
            && !course.tally.is_aside(&slice.lane)
        {
            self.slice(slice);
        }
        while self.tenths.front().is_some_and(|(end, _)| *end + WINDOW < event.at) {
            self.tenths.pop_front();
        }
    }

    fn slice(&mut self, slice: &Slice) {
        if self.tenths.back().is_none_or(|(end, _)| *end < slice.end) {
            self.tenths.push_back((slice.end, BTreeMap::new()));
        }
        let Some((_, pods)) = self.tenths.back_mut() else { return };
        for part in &slice.parts {
            if pods.len() < MAX_PODS || pods.contains_key(&part.pod) {
                let sums = pods.entry(part.pod.clone()).or_default();
                sums.0 += part.counts.good();
                sums.1 += part.counts.bad();
            }
        }
    }

    fn pods(&self) -> BTreeMap<Option<Name>, Sums> {
        let mut all: BTreeMap<Option<Name>, Sums> = BTreeMap::new();
        for (pod, sums) in self.tenths.iter().flat_map(|(_, pods)| pods) {
            let all = all.entry(pod.clone()).or_default();
            *all = plus(*all, *sums);
        }
        all
    }
}

const fn plus(a: Sums, b: Sums) -> Sums {
    (a.0 + b.0, a.1 + b.1)
}

/// Prints the tree now and then, for who cannot be shown it live.
#[derive(Debug, Default)]
pub(super) struct Printed {
    recent: Recent,
    next: At,
}

impl Printed {
    /// Takes an event in, and answers with the tree when it is time for it.
    pub(super) fn event(&mut self, event: &Event, course: &Course, look: Look) -> Vec<String> {
        self.recent.event(event, course);
        if event.at < self.next || course.traffic().is_none() {
            return Vec::new();
        }
        self.next = event.at + WINDOW;
        lines(course, &self.recent, look).iter().map(|line| line.render(look, None)).collect()
    }
}

/// The tree now.
pub(super) fn lines(course: &Course, recent: &Recent, look: Look) -> Vec<Line> {
    let shares = recent.pods();
    let whole = shares.values().fold((0, 0), |all, sums| plus(all, *sums));
    let mut lines = vec![head(course), deployment(course)];
    let current = course.rollout.current().map(|s| &s.hash);
    let pods = course.rollout.pods();
    let of = |set: &ReplicaSetState| pods.iter().filter(|p| p.state.revision == set.hash).copied().collect::<Vec<_>>();
    // The wanted revision first, then the others from new to old, as far as they have pods.
    let mut sets: Vec<(&ReplicaSetState, Vec<&PodLife>)> = course.rollout.sets().into_iter().rev().map(|s| (s, of(s))).collect();
    sets.retain(|(set, pods)| !pods.is_empty() || Some(&set.hash) == current);
    sets.sort_by_key(|(set, _)| Some(&set.hash) != current);
    let nobody = shares.get(&None).copied().filter(|(_, bad)| *bad > 0);
    for (i, (set, pods)) in sets.iter().enumerate() {
        let last = i + 1 == sets.len() && nobody.is_none();
        let share = |pod: &&PodLife| shares.get(&Some(pod.state.name.clone())).copied().unwrap_or_default();
        let sums = pods.iter().map(share).fold((0, 0), plus);
        lines.push(revision(set, Some(&set.hash) == current, pods, last, look).join(shown(sums, whole)));
        for (i, pod) in pods.iter().enumerate() {
            let line = pod_line(pod, last, i + 1 == pods.len(), look).to(SHARE);
            lines.push(line.join(shown(share(pod), whole)));
        }
    }
    if let Some((_, bad)) = nobody {
        lines.push(Line::plain(branch(true, look)).plus(Paint::Bad, format!("no pod answered: {}", plural(bad, "failure"))));
    }
    let notice = Notice::all(course).pop().map(|n| Line::default().plus(Paint::Faint, n.text));
    lines.into_iter().chain(notice).collect()
}

fn head(course: &Course) -> Line {
    let head = course.head();
    let target = &head.scenario.target;
    let recent = Figures::of(&course.tally.recent());
    let rate = recent.achieved_per_s.map_or_else(|| "no traffic yet".to_owned(), |r| format!("{r:.0} requests/s"));
    let latency = recent.answers.latency.map(|l| format!(", p99 {}", span(l.p99_ms.0))).unwrap_or_default();
    Line::plain(format!("{}  ", moment(course.now())))
        .plus(Paint::Strong, format!("deploy/{} in namespace {}", target.deployment, target.namespace))
        .text(format!(" ({}): {rate}{latency}", head.cluster))
}

fn deployment(course: &Course) -> Line {
    let Some(d) = course.rollout.target() else { return Line::plain("the Deployment was not seen yet") };
    let s = d.status;
    let state = if d.paused {
        (Paint::Warn, ", paused")
    } else if course.rollout.is_settled() {
        (Paint::Good, ", complete")
    } else {
        (Paint::Warn, ", rolling out")
    };
    let text = format!("{} wanted, {} up to date, {} ready, {} available", d.replicas, s.updated, s.ready, s.available);
    Line::plain(text).plus(state.0, state.1)
}

fn branch(last: bool, look: Look) -> &'static str {
    if last { look.pick("└─ ", "`- ") } else { look.pick("├─ ", "|- ") }
}

fn revision(set: &ReplicaSetState, wanted: bool, pods: &[&PodLife], last: bool, look: Look) -> Line {
    let images: Vec<&str> = set.images.iter().map(|(_, image)| &**image).collect();
    let ready = pods.iter().filter(|p| p.is_active() && p.state.ready).count();
    let paint = if wanted { Paint::Strong } else { Paint::Plain };
    Line::plain(branch(last, look))
        .plus(paint, format!("{} #{} {}", set.hash, set.revision, images.join(", ")))
        .to(STATE)
        .text(format!(" {ready} of {} ready", set.replicas))
        .to(SHARE)
}

fn pod_line(pod: &PodLife, last_set: bool, last: bool, look: Look) -> Line {
    let (paint, state) = state(pod);
    let restarts: u32 = pod.state.containers.iter().map(|c| c.restarts).sum();
    let restarts = if restarts > 0 { format!(", {}", plural(restarts.into(), "restart")) } else { String::new() };
    Line::plain(if last_set { "   " } else { look.pick("│  ", "|  ") })
        .text(branch(last, look))
        .text(&*pod.state.name)
        .to(STATE)
        .text(" ")
        .plus(paint, format!("{state}{restarts}"))
}

/// What a pod is at, in Kubernetes' own word where it waits.
fn state(pod: &PodLife) -> (Paint, String) {
    if pod.terminating.is_some() {
        return (Paint::Faint, "ending".into());
    }
    if pod.state.ready {
        return (Paint::Good, "ready".into());
    }
    if pod.state.unschedulable.is_some() {
        return (Paint::Bad, "Unschedulable".into());
    }
    let waiting = pod.state.containers.iter().find_map(|c| match &c.now {
        ContainerNow::Waiting { reason, .. } if !reason.is_empty() => Some(reason.clone()),
        ContainerNow::Waiting { .. } | ContainerNow::Running | ContainerNow::Terminated(_) => None,
    });
    (Paint::Warn, waiting.unwrap_or_else(|| "not ready".into()))
}

/// `25.00 % of answers, 3 failed`.
fn shown(sums: Sums, whole: Sums) -> Line {
    let Some(share) = Ppm::of(sums.0 + sums.1, whole.0 + whole.1).filter(|_| sums != (0, 0)) else {
        return Line::default().plus(Paint::Faint, " no answers");
    };
    let line = Line::plain(format!(" {} of answers", percent(share)));
    if sums.1 == 0 { line } else { line.plus(Paint::Bad, format!(", {} failed", count(sums.1))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::RunStarted;
    use crate::domain::fixtures::{breach, until};
    use crate::report::golden;
    use crate::report::line::rendered;

    #[test]
    fn each_pod_has_its_share_of_the_last_seconds() {
        let events = breach();
        let What::RunStarted(head) = &events[0].what else { panic!("no head") };
        let (mut course, _) = Course::begin(RunStarted::clone(head));
        let mut recent = Recent::default();
        for event in until(&events, 47) {
            course.apply(event);
            recent.event(event, &course);
        }
        let look = Look { colour: false, unicode: true, live: true };
        golden::check("tree.txt", &rendered(&lines(&course, &recent, look), look));
        let shares: u64 = recent.pods().values().map(|(good, bad)| good + bad).sum();
        assert!(shares > 0 && recent.tenths.len() <= 52, "{shares} {}", recent.tenths.len());
    }
}
