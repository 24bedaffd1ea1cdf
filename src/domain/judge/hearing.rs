//! What the panel is told: the slices of all lanes, put together tenth by tenth, each answer on the side of the change that its pod is on.
//!
//! Only an answer that names its pod is attributed here. A later guess at who failed would depend on events that come in any order, and
//! the panel's error probability would depend on the guess.

use std::collections::BTreeMap;
use std::time::Duration;

use super::panel::{Arm, Heard, Panel, Settings};
use crate::domain::latency::Latencies;
use crate::domain::objective::Ppm;
use crate::domain::outcome::Blame;
use crate::domain::rollout::Rollout;
use crate::domain::slice::{Part, SLICE_MICROS, Slice};
use crate::domain::time::{At, micros};
use crate::domain::traffic::{Arrivals, LanePlan, Micros, Name};

/// The old version's quantiles that latencies are compared at.
const COMPARED: [Ppm; 3] = [Ppm(500_000), Ppm(900_000), Ppm(990_000)];
/// The new version may be this much slower, as a share and in microseconds, whichever is more.
const SLACK: (u64, Micros) = (10, 2_000);
/// Answers needed before the change for quantiles that can be compared with.
const BASELINE_MIN: u64 = 500;
/// A new pod's latencies are left out of the comparison for this long.
const WARM_UP: Duration = Duration::from_secs(10);
/// What was due is averaged over so many tenths, where the plan does not say.
const PACE_OVER: u32 = 10;

/// Listens to all lanes and tells the panel.
#[derive(Clone, Debug)]
pub struct Hearing {
    panel: Panel,
    lanes: BTreeMap<Name, Ear>,
    baseline: Latencies,
    limits: Option<[(Micros, Micros); 3]>,
    begun: bool,
    /// Due before the change and not known when it began.
    in_flight: u64,
    /// Not sent or not seen, and not taken off what was due yet.
    excluded: u64,
    /// The tenth that is being put together, and how many lanes have told of it.
    tenth: Option<(At, usize)>,
    heard: Heard,
}

/// One lane.
#[derive(Clone, Debug)]
struct Ear {
    /// Where its `slow` counts answers beyond the objective's limit.
    threshold: Option<usize>,
    /// Slots a second, if they come evenly.
    planned: Option<f64>,
    /// Slots due in a tenth, averaged.
    pace: f64,
}

impl Hearing {
    /// For these lanes; answers slower than `slow` are counted where the lane counts them.
    pub fn new<'a>(settings: Settings, lanes: impl Iterator<Item = &'a LanePlan>, slow: Option<Duration>) -> Self {
        let ear = |lane: &LanePlan| Ear {
            threshold: slow.and_then(|limit| lane.thresholds.iter().position(|t| *t == micros(limit))),
            planned: (lane.schedule.arrivals == Arrivals::Even && lane.schedule.stages.is_empty()).then_some(lane.rate),
            pace: 0.0,
        };
        Self {
            panel: Panel::new(settings),
            lanes: lanes.map(|lane| (lane.name.clone(), ear(lane))).collect(),
            baseline: Latencies::default(),
            limits: None,
            begun: false,
            in_flight: 0,
            excluded: 0,
            tenth: None,
            heard: Heard::default(),
        }
    }

    /// The change is about to be made: what is heard from now on counts.
    pub fn begin(&mut self) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        self.heard.due += self.in_flight;
        if self.baseline.count() >= BASELINE_MIN {
            let limit = |q| {
                let old = self.baseline.quantile(q).map(micros).unwrap_or_default();
                (old, (old + old / SLACK.0).max(old + SLACK.1))
            };
            self.limits = Some(COMPARED.map(limit));
        }
    }

    /// A slice of one lane.
    pub fn slice(&mut self, slice: &Slice, rollout: &Rollout) {
        let Some(ear) = self.lanes.get_mut(&slice.lane) else { return };
        let threshold = ear.threshold;
        ear.pace += (slice.due as f64 - ear.pace) / f64::from(PACE_OVER);
        if !self.begun {
            return self.before(slice);
        }
        // A lane that skipped a tenth holds nobody up.
        if self.tenth.is_some_and(|(end, _)| end < slice.end) {
            self.tell(rollout);
        }
        let told = self.tenth.filter(|(end, _)| *end == slice.end).map_or(1, |(_, told)| told + 1);
        self.tenth = Some((slice.end, told));
        self.take_in(slice, threshold, rollout);
        if told == self.lanes.len() {
            self.tell(rollout);
        }
    }

    fn before(&mut self, slice: &Slice) {
        let counts = slice.counts();
        self.in_flight = (self.in_flight + slice.due).saturating_sub(counts.total());
        slice.parts.iter().flat_map(|p| &p.latency).for_each(|(micros, n)| self.baseline.add(*micros, u64::from(*n)));
    }

    fn take_in(&mut self, slice: &Slice, threshold: Option<usize>, rollout: &Rollout) {
        let new = rollout.new_revision();
        self.heard.due += slice.due;
        for part in &slice.parts {
            let slow = threshold.and_then(|i| part.slow.get(i)).copied().unwrap_or(0);
            self.excluded += part.counts.of(Blame::Verifier);
            self.heard.resolved += part.counts.valid();
            self.heard.failed += part.counts.bad();
            self.heard.slow += slow;
            let Some(life) = part.pod.as_ref().and_then(|pod| rollout.pod_named(pod)) else { continue };
            let is_new = Some(&life.state.revision) == new;
            let warm = life.ready.is_some_and(|ready| slice.end.since(ready) >= WARM_UP);
            let arm = if is_new { &mut self.heard.new } else { &mut self.heard.old };
            arm.resolved += part.counts.valid();
            arm.failed += part.counts.bad();
            arm.slow += slow;
            if let Some(limits) = self.limits.filter(|_| warm || !is_new) {
                compare(arm, part, limits.map(|(old, slack)| if is_new { slack } else { old }));
            }
        }
    }

    /// Tells the panel of the tenth that is put together.
    fn tell(&mut self, rollout: &Rollout) {
        let pods = rollout.head_count();
        let serving = f64::from(pods.new_ready + pods.old_ready);
        let new = if rollout.new_revision().is_some() && serving > 0.0 { f64::from(pods.new_ready) / serving } else { 0.0 };
        self.heard.rate = self.lanes.values().map(Ear::rate).sum();
        self.heard.rate_new = self.heard.rate * new;
        let excluded = self.excluded.min(self.heard.due);
        self.heard.due -= excluded;
        self.excluded -= excluded;
        self.tenth = None;
        self.panel.hear(&std::mem::take(&mut self.heard));
    }

    /// The panel.
    pub const fn panel(&self) -> &Panel {
        &self.panel
    }

    /// Planned slots a second over all lanes, or what was due in the last second where the plan does not say.
    pub fn rate(&self) -> f64 {
        self.lanes.values().map(Ear::rate).sum()
    }
}

impl Ear {
    fn rate(&self) -> f64 {
        self.planned.unwrap_or(self.pace * 1e6 / SLICE_MICROS as f64)
    }
}

/// Counts good answers beyond each limit.
fn compare(arm: &mut Arm, part: &Part, limits: [Micros; 3]) {
    for (micros, n) in &part.latency {
        arm.timed += u64::from(*n);
        for (beyond, limit) in arm.beyond.iter_mut().zip(limits) {
            *beyond += if *micros > limit { u64::from(*n) } else { 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::lane;
    use crate::domain::judge::panel::Alarm;
    use crate::domain::outcome::{Counts, Outcome};
    use crate::domain::rollout::tests::{deployment, name, pod, set};
    use crate::domain::traffic::Mode;

    fn hearing() -> Hearing {
        let lanes = [lane("fresh", Mode::Fresh, 100.0, vec![500_000]), lane("kept", Mode::Fresh, 50.0, vec![500_000])];
        let settings = Settings { p_slow: Some(0.01), ..Settings::for_share(0.01, 3_000) };
        Hearing::new(settings, lanes.iter(), Some(Duration::from_millis(500)))
    }

    /// An old pod and a new one that became ready at ten seconds.
    fn rollout() -> Rollout {
        let mut r = Rollout::default();
        r.deployment(&deployment(1, 1, 1, 1, [1, 1, 1, 1]), At(0));
        r.replica_set(&set("old", 1), At(0));
        r.pod(&pod("o", "old", true, false), At(0));
        r.begin();
        r.replica_set(&set("new", 2), At(0));
        r.deployment(&deployment(2, 2, 2, 1, [2, 1, 2, 2]), At(0));
        r.pod(&pod("n", "new", true, false), At(10_000_000));
        r
    }

    fn part(pod: Option<&str>, counts: &[(Outcome, u64)], latency: Vec<(u64, u32)>) -> Part {
        let mut all = Counts::default();
        for (outcome, n) in counts {
            all.add(*outcome, *n);
        }
        Part { pod: pod.map(name), counts: all, slow: vec![0], latency, ..Part::default() }
    }

    fn slice(lane: &str, tenth: u64, due: u64, parts: Vec<Part>) -> Slice {
        Slice { lane: name(lane), end: At(tenth * SLICE_MICROS), due, parts, lag_max: 0 }
    }

    #[test]
    fn a_tenth_is_told_when_all_lanes_have_spoken_and_only_named_pods_have_a_side() {
        let (mut hearing, rollout) = (hearing(), rollout());
        hearing.begin();
        let parts = vec![
            part(Some("n"), &[(Outcome::Ok, 3), (Outcome::AppStatus, 1)], vec![]),
            part(Some("o"), &[(Outcome::Ok, 4)], vec![]),
            part(Some("stranger"), &[(Outcome::AppStatus, 1)], vec![]),
            part(None, &[(Outcome::Refused, 2)], vec![]),
        ];
        hearing.slice(&slice("fresh", 1, 12, parts), &rollout);
        assert_eq!(hearing.panel().counted(Alarm::AvailabilityAll), (0, 0), "the other lane is still to speak");
        hearing.slice(&slice("kept", 1, 5, vec![]), &rollout);
        assert_eq!(hearing.panel().counted(Alarm::AvailabilityAll), (4, 17));
        assert_eq!(hearing.panel().counted(Alarm::AvailabilityNew), (1, 4));
        assert_eq!(hearing.panel().counted(Alarm::CompareErrors), (1, 4), "of four failures one is the new version's for certain");
        assert_eq!(hearing.panel().in_flight(), 17 - 11);
        hearing.slice(&slice("fresh", 2, 10, vec![]), &rollout);
        hearing.slice(&slice("fresh", 3, 10, vec![]), &rollout);
        assert_eq!(hearing.panel().counted(Alarm::AvailabilityAll), (4, 27), "a lane that skips a tenth holds nobody up");
    }

    #[test]
    fn what_was_in_flight_at_the_change_counts_and_what_was_not_sent_does_not() {
        let (mut hearing, rollout) = (hearing(), rollout());
        hearing.slice(&slice("fresh", 1, 10, vec![part(Some("o"), &[(Outcome::Ok, 7)], vec![])]), &rollout);
        hearing.slice(&slice("kept", 1, 5, vec![part(Some("o"), &[(Outcome::Ok, 5)], vec![])]), &rollout);
        hearing.begin();
        hearing.slice(&slice("fresh", 2, 10, vec![part(None, &[(Outcome::Refused, 3), (Outcome::NotSent, 6)], vec![])]), &rollout);
        hearing.slice(&slice("kept", 2, 5, vec![]), &rollout);
        assert_eq!(hearing.panel().counted(Alarm::AvailabilityAll), (3, 3 + 15 - 6));
    }

    #[test]
    fn latencies_are_compared_with_the_old_versions_quantiles_after_a_warm_up_and_with_some_slack() {
        let (mut hearing, rollout) = (hearing(), rollout());
        let usual = || part(Some("o"), &[(Outcome::Ok, 1_000)], vec![(5_000, 500), (8_000, 400), (30_000, 100)]);
        hearing.slice(&slice("fresh", 1, 1_000, vec![usual()]), &rollout);
        hearing.begin();
        // Old limits are 5, 8 and 30 ms, new ones 7, 10 and 33 ms: exactly there nothing is beyond.
        let both = |tenth| {
            let new = part(Some("n"), &[(Outcome::Ok, 10)], vec![(7_000, 4), (10_000, 4), (33_100, 2)]);
            let old = part(Some("o"), &[(Outcome::Ok, 10)], vec![(5_000, 5), (30_000, 5)]);
            slice("fresh", tenth, 20, vec![new, old])
        };
        hearing.slice(&both(150), &rollout);
        hearing.slice(&slice("kept", 150, 0, vec![]), &rollout);
        assert_eq!(hearing.panel().counted(Alarm::CompareLatency), (0, 0), "five seconds old: still warming up");
        hearing.slice(&both(201), &rollout);
        hearing.slice(&slice("kept", 201, 0, vec![]), &rollout);
        // Beyond 5/8/30 ms of the old version: 5, 5, 0; beyond 7/10/33 ms of the new one: 6, 2, 2.
        assert_eq!(hearing.panel().counted(Alarm::CompareLatency), (10, 20));
    }
}
