//! The verifier's own condition over a whole run, and whether a measurement made in that condition can be believed.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::outcome::Blame;
use super::super::slice::{SLICE_MICROS, Slice};
use super::super::time::{At, micros};
use super::super::traffic::{LanePlan, Name};
use super::{Control, Headroom, Lag, Unlisted, Validity};

/// What the verifier did and could not do in a whole run: a fold over its seconds and slices. Times are in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Time told about, in microseconds.
    pub time: u64,
    /// Slots that became due.
    pub planned: u64,
    /// Slots acted on: a connection was opened or a request written for them.
    pub sent: u64,
    /// Slots dropped for lack of time, ports or descriptors.
    pub not_sent: u64,
    /// Slots sent whose end nobody saw, because the verifier was away.
    pub unseen: u64,
    /// Slots that say nothing about the target: those dropped and unseen, and names not resolved, and requests that the other side throttled.
    pub excluded: u64,
    /// Slots that found all connections of their lane busy and had to wait for one.
    pub waited: u64,
    /// Slots begun and not ended, at the busiest end of a second.
    pub in_flight_max: u64,
    /// The longest stretch in which a lane had slots and none of those that ended said anything about the target.
    pub longest_excluded: u64,
    /// From intended start to action; each number is that of the worst second.
    pub lag: Lag,
    /// How long the workers were away (not scheduled, or behind with their work), the worst worker of each second.
    pub away: u64,
    /// CPU throttling of our own control group, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled: Option<u64>,
    /// File descriptors at the second with the fewest left, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub descriptors: Option<Headroom>,
    /// Local ports at the second with the fewest left, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ports: Option<Headroom>,
    /// CPU time of the driver's workers.
    pub cpu: u64,
    /// Requests to an echo of our own, where there was one; the latencies are those of the worst second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// What was counted and no longer listed.
    #[serde(default, skip_serializing_if = "Unlisted::is_empty")]
    pub unlisted: Unlisted,
}

/// Keeps a [`Record`] while a run goes on.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    record: Record,
    told: Option<At>,
    /// Per lane: how long it has been silent.
    silent: BTreeMap<Name, u64>,
}

impl Recorder {
    /// Takes a tenth of a second of a lane.
    pub fn slice(&mut self, slice: &Slice) {
        let counts = slice.counts();
        let excluded = counts.of(Blame::Verifier);
        self.record.excluded += excluded;
        if counts.valid() > 0 {
            self.silent.remove(&slice.lane);
        } else if excluded > 0 || self.silent.contains_key(&slice.lane) {
            let silent = self.silent.entry(slice.lane.clone()).or_default();
            *silent += SLICE_MICROS;
            // A stretch counts as far as slots were lost in it: waiting for an answer is no silence of ours.
            if excluded > 0 {
                self.record.longest_excluded = self.record.longest_excluded.max(*silent);
            }
        }
    }

    /// Takes a second of the verifier's condition.
    pub fn second(&mut self, second: &Validity) {
        let record = &mut self.record;
        // The first may be shorter and is taken for a whole one; so is one after a break.
        let since = self.told.filter(|told| *told < second.end).map_or(SECOND, |told| second.end.0 - told.0);
        record.time += since.min(SECOND);
        self.told = Some(second.end);
        record.planned += second.planned;
        record.sent += second.sent;
        record.not_sent += second.not_sent;
        record.unseen += second.unseen;
        record.waited += second.waited;
        record.in_flight_max = record.in_flight_max.max(second.in_flight);
        record.lag.worse(&second.lag);
        record.away += second.away;
        record.throttled = sum(record.throttled, second.throttled);
        record.descriptors = tighter(record.descriptors, second.descriptors);
        record.ports = tighter(record.ports, second.ports);
        record.cpu += second.cpu;
        record.unlisted.merge(&second.unlisted);
        if let Some(control) = &second.control {
            record.control.get_or_insert_default().merge(control);
        }
    }

    /// The record so far.
    pub const fn record(&self) -> &Record {
        &self.record
    }
}

const SECOND: u64 = 1_000_000;

fn sum(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.zip(b).map(|(a, b)| a + b).or(a).or(b)
}

fn tighter(a: Option<Headroom>, b: Option<Headroom>) -> Option<Headroom> {
    [a, b].into_iter().flatten().min_by_key(|room| room.limit.saturating_sub(room.used))
}

/// What a measurement may suffer and still be believed. Shares are in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slots that say nothing, of all: as many could hide a breach of a 99 % objective.
    pub excluded: u64,
    /// The longest stretch of a lane that says nothing, in microseconds: an outage as long could hide in it.
    pub longest_excluded: u64,
    /// The 99th percentile of lag in the worst second, in microseconds: what was late is part of each latency.
    pub lag: u64,
    /// Time throttled, of all.
    pub throttled: u64,
    /// Time away, of all.
    pub away: u64,
    /// Requests to our own echo that failed, of all.
    pub control: u64,
    /// The 99th percentile of our own echo's latency in the worst second, in microseconds.
    pub control_latency: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            excluded: 10,
            longest_excluded: SECOND,
            lag: LAG_MIN,
            throttled: 50,
            away: 50,
            control: 10,
            control_latency: 100_000,
        }
    }
}

/// Lag that harms nobody's measurement, in microseconds.
const LAG_MIN: u64 = 10_000;

impl Limits {
    /// For these lanes: lag may be a tenth of the tightest latency threshold, and a slot's interval, but 10 ms at least where no threshold
    /// is tighter than ten times that, and 1 ms always.
    pub fn of(lanes: &[LanePlan]) -> Self {
        let tightest = lanes.iter().flat_map(|lane| &lane.thresholds).min().map(|threshold| (threshold / 10).max(1_000));
        let interval = |lane: &LanePlan| {
            let peak = lane.schedule.peak(lane.rate);
            micros(Duration::try_from_secs_f64(1.0 / peak).unwrap_or_default())
        };
        let shortest = lanes.iter().map(interval).min().unwrap_or(0);
        // A lane of one slot a minute may not be a minute late.
        let lag = shortest.clamp(LAG_MIN, 10 * LAG_MIN);
        Self { lag: tightest.map_or(lag, |limit| limit.min(lag)), ..Self::default() }
    }
}

/// Why a measurement is not to be believed. Times are in microseconds, shares in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// Nothing was planned, so nothing was measured.
    Nothing,
    /// Too many slots say nothing.
    Excluded {
        /// Their share.
        share: u64,
        /// Allowed.
        limit: u64,
    },
    /// A lane said nothing for too long.
    Silent {
        /// How long.
        longest: u64,
        /// Allowed.
        limit: u64,
    },
    /// Requests were sent too late.
    Late {
        /// The 99th percentile of the worst second.
        p99: u64,
        /// Allowed.
        limit: u64,
    },
    /// The verifier's CPU quota was used up too often.
    Throttled {
        /// Share of the time.
        share: u64,
        /// Allowed.
        limit: u64,
    },
    /// The verifier was not scheduled, or behind with its work, too often.
    Away {
        /// Share of the time.
        share: u64,
        /// Allowed.
        limit: u64,
    },
    /// Requests to our own echo failed.
    ControlFailed {
        /// Their share.
        share: u64,
        /// Allowed.
        limit: u64,
    },
    /// Our own echo was slow, so the verifier or its machine was.
    ControlSlow {
        /// The 99th percentile of the worst second.
        p99: u64,
        /// Allowed.
        limit: u64,
    },
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: u64| format!("{}.{} %", share / 10, share % 10);
        let ms = |micros: u64| format!("{} ms", micros.div_ceil(1_000));
        match *self {
            Self::Nothing => f.write_str("no request was due"),
            Self::Excluded { share, limit } => {
                write!(f, "{} of the requests were not sent or not seen, more than {}", percent(share), percent(limit))
            }
            Self::Silent { longest, limit } => {
                write!(f, "for {} no request of a lane was sent or seen, longer than {}", ms(longest), ms(limit))
            }
            Self::Late { p99, limit } => {
                write!(f, "in the worst second 1 % of the requests were sent more than {} late; {} is allowed", ms(p99), ms(limit))
            }
            Self::Throttled { share, limit } => {
                write!(f, "the verifier's CPU was throttled {} of the time, more than {}", percent(share), percent(limit))
            }
            Self::Away { share, limit } => {
                write!(f, "the verifier did not get to run {} of the time, more than {}", percent(share), percent(limit))
            }
            Self::ControlFailed { share, limit } => {
                write!(f, "{} of the requests to the verifier's own echo failed, more than {}", percent(share), percent(limit))
            }
            Self::ControlSlow { p99, limit } => {
                write!(f, "the verifier's own echo took {} in the worst second, longer than {}", ms(p99), ms(limit))
            }
        }
    }
}

impl Record {
    /// All reasons why a measurement in this condition is not to be believed; none when it is.
    pub fn doubts(&self, limits: &Limits) -> Vec<Doubt> {
        if self.planned == 0 {
            return vec![Doubt::Nothing];
        }
        // Rounded up: a limit that is exceeded by a little is exceeded.
        let share = |part: u64, all: u64| (part * 1_000).div_ceil(all.max(1));
        let excluded = share(self.excluded, self.planned);
        let throttled = share(self.throttled.unwrap_or(0), self.time);
        let away = share(self.away, self.time);
        let control = self.control.unwrap_or_default();
        let failed = share(control.failed, control.planned);
        let Limits { longest_excluded, lag, .. } = *limits;
        let longest = self.longest_excluded;
        let checks = [
            (excluded > limits.excluded, Doubt::Excluded { share: excluded, limit: limits.excluded }),
            (longest > longest_excluded, Doubt::Silent { longest, limit: longest_excluded }),
            (self.lag.p99 > lag, Doubt::Late { p99: self.lag.p99, limit: lag }),
            (throttled > limits.throttled, Doubt::Throttled { share: throttled, limit: limits.throttled }),
            (away > limits.away, Doubt::Away { share: away, limit: limits.away }),
            (failed > limits.control, Doubt::ControlFailed { share: failed, limit: limits.control }),
            (control.p99 > limits.control_latency, Doubt::ControlSlow { p99: control.p99, limit: limits.control_latency }),
        ];
        checks.into_iter().filter_map(|(holds, doubt)| holds.then_some(doubt)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixtures;
    use super::super::super::outcome::Outcome;
    use super::super::super::slice::Part;
    use super::super::super::traffic::Mode;
    use super::*;
    use Outcome::{NotSent, Ok, Refused};

    fn second(end: u64) -> Validity {
        Validity { end: At(end * SECOND), planned: 100, sent: 100, lag: Lag { p50: 1, p99: 2, max: 3 }, ..Validity::default() }
    }

    fn slice(tenth: u64, outcomes: &[(Outcome, u64)]) -> Slice {
        let mut part = Part::default();
        for (outcome, n) in outcomes {
            part.counts.add(*outcome, *n);
        }
        Slice { lane: "l".into(), end: At(tenth * SLICE_MICROS), due: 1, parts: vec![part], lag_max: 0 }
    }

    #[test]
    fn a_record_adds_up_what_adds_up_and_keeps_the_worst_of_the_rest() {
        let mut all = Recorder::default();
        let room = |used| Some(Headroom { used, limit: 100 });
        all.second(&Validity { throttled: Some(5), ports: room(90), in_flight: 7, ..second(1) });
        all.second(&Validity { lag: Lag { p50: 0, p99: 9, max: 9 }, unseen: 2, ports: room(40), away: 4, ..second(2) });
        let control = Control { planned: 10, failed: 1, p99: 5, max: 6 };
        all.second(&Validity { control: Some(control), ..second(3) });
        let expected = Record {
            time: 3 * SECOND,
            planned: 300,
            sent: 300,
            unseen: 2,
            in_flight_max: 7,
            lag: Lag { p50: 1, p99: 9, max: 9 },
            away: 4,
            throttled: Some(5),
            ports: room(90),
            control: Some(control),
            ..Record::default()
        };
        assert_eq!(all.record(), &expected);
    }

    #[test]
    fn silence_is_measured_from_the_first_lost_slot_to_the_last() {
        let mut all = Recorder::default();
        let tenths: [&[(Outcome, u64)]; 9] = [
            &[(Ok, 1)],
            &[(NotSent, 1)],
            &[],
            &[(NotSent, 3)],
            &[(Ok, 1), (NotSent, 1)],
            &[],
            &[],
            &[(Refused, 1)],
            &[(NotSent, 1)],
        ];
        (1..).zip(tenths).for_each(|(tenth, outcomes)| all.slice(&slice(tenth, outcomes)));
        assert_eq!((all.record().longest_excluded, all.record().excluded), (3 * SLICE_MICROS, 6));
    }

    #[test]
    fn each_doubt_has_its_limit() {
        let limits = Limits::default();
        let healthy = Record { time: 100 * SECOND, planned: 10_000, excluded: 100, away: 5 * SECOND, ..Record::default() };
        assert_eq!(healthy.doubts(&limits), []);
        assert_eq!(Record::default().doubts(&limits), [Doubt::Nothing]);
        let sick = Record {
            excluded: 101,
            longest_excluded: SECOND + 1,
            lag: Lag { p50: 0, p99: LAG_MIN + 1, max: 0 },
            throttled: Some(5 * SECOND + 1),
            away: 5 * SECOND + 1,
            control: Some(Control { planned: 100, failed: 2, p99: 100_001, max: 0 }),
            ..healthy
        };
        let expected = [
            Doubt::Excluded { share: 11, limit: 10 },
            Doubt::Silent { longest: SECOND + 1, limit: SECOND },
            Doubt::Late { p99: LAG_MIN + 1, limit: LAG_MIN },
            Doubt::Throttled { share: 51, limit: 50 },
            Doubt::Away { share: 51, limit: 50 },
            Doubt::ControlFailed { share: 20, limit: 10 },
            Doubt::ControlSlow { p99: 100_001, limit: 100_000 },
        ];
        assert_eq!(sick.doubts(&limits), expected);
        let said = "1.1 % of the requests were not sent or not seen, more than 1.0 %";
        assert_eq!(expected[0].to_string(), said);
    }

    #[test]
    fn how_late_is_too_late_depends_on_what_is_measured() {
        let limit = |rate, thresholds| Limits::of(&[fixtures::lane("fresh", Mode::Fresh, rate, thresholds)]).lag;
        assert_eq!([limit(200.0, vec![]), limit(20.0, vec![]), limit(0.1, vec![])], [10_000, 50_000, 100_000]);
        assert_eq!(
            [limit(20.0, vec![50_000, 500_000]), limit(20.0, vec![5_000]), limit(20.0, vec![900_000])],
            [5_000, 1_000, 50_000]
        );
    }
}
