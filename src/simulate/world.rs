//! What a rollout meets: worlds, most of them healthy, that tests of one independent coin after another would call ill.

use rand::RngExt;
use rand::rngs::StdRng;

use super::SLICE;
use super::trace::{Fleet, Serving, Trace};
use super::traffic::{Manner, Moment, Runs};

/// A kind of rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    /// The stable word for it.
    pub name: &'static str,
    /// What it is, for people.
    pub about: &'static str,
    /// What is rolled out.
    pub fleet: Fleet,
    /// How requests are sent and known.
    pub manner: Manner,
    /// Probability that a request fails at any time, whichever version it meets.
    pub base: f64,
    /// What comes on top.
    pub trouble: Trouble,
}

/// What comes on top of failures that know nothing of each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Each old pod that leaves goes on being sent its share of requests for some seconds, and serves none of them.
    Refusing {
        /// Seconds at least.
        least: f64,
        /// Seconds at most.
        most: f64,
    },
    /// Both versions fail together, now and then.
    Outages {
        /// Seconds from one to the next.
        every: f64,
        /// Seconds that one lasts.
        lasts: f64,
        /// Share of requests that fail meanwhile.
        share: f64,
    },
    /// The base rate rises to its double and falls to nothing, again and again.
    Drift {
        /// Seconds from one height to the next.
        period: f64,
    },
}

/// Two hundred requests a second, answered within 30 ms; what a pod fails names its version.
const USUAL: Manner = Manner { rate: 200.0, answers: 0.03, fails: 0.01, named: 1.0, runs: None };

const QUIET: World =
    World { name: "quiet", about: "no failure at all", fleet: Fleet::Any, manner: USUAL, base: 0.0, trouble: Trouble::None };

/// Pods that refuse for `least` to `most` seconds when they end.
const fn refusing(name: &'static str, about: &'static str, fleet: Fleet, least: f64, most: f64) -> World {
    World { name, about, fleet, base: 0.0, trouble: Trouble::Refusing { least, most }, ..QUIET }
}

const fn at_rate(rate: f64, world: World) -> World {
    World { manner: Manner { rate, ..world.manner }, ..world }
}

/// Single failures of this share.
const fn single(name: &'static str, about: &'static str, base: f64) -> World {
    World { name, about, base, ..QUIET }
}

/// The worlds whose rollouts must not be stopped.
pub const HEALTHY: [World; 14] = [
    QUIET,
    single("single-0.1", "single failures, 0.1 %", 0.001),
    single("single-0.5", "single failures, 0.5 %", 0.005),
    single("single-0.9", "single failures, 0.9 %", 0.009),
    single("single-1.0", "single failures, 1 %: the edge of the objective", 0.01),
    refusing("pod-ends-10", "10 pods, each refuses for 0.3 to 1 s when it ends", Fleet::OneByOne(10), 0.3, 1.0),
    refusing("pod-ends-4", "4 pods, each refuses for 0.2 to 0.6 s when it ends", Fleet::OneByOne(4), 0.2, 0.6),
    World {
        base: 0.002,
        ..refusing("pod-ends-any", "2 to 20 pods, each refuses for 0.05 to 0.2 s; 0.2 % besides", Fleet::Any, 0.05, 0.2)
    },
    at_rate(20.0, refusing("pod-ends-slow", "20 requests/s, 10 pods, each refuses for 0.3 to 1 s", Fleet::OneByOne(10), 0.3, 1.0)),
    at_rate(
        1_000.0,
        refusing("pod-ends-fast", "1,000 requests/s, 10 pods, each refuses for 0.3 to 1 s", Fleet::OneByOne(10), 0.3, 1.0),
    ),
    World {
        manner: Manner { fails: 2.0, ..USUAL },
        ..refusing("pod-ends-hang", "the same at 200/s, and each failure is known only after 2 s", Fleet::OneByOne(10), 0.3, 1.0)
    },
    World {
        manner: Manner { runs: Some(Runs { share: 0.005, mean: 5.0 }), ..USUAL },
        ..single("runs-5", "failures in runs of 5 on average, 0.5 %", 0.0)
    },
    World {
        trouble: Trouble::Outages { every: 10.0, lasts: 0.1, share: 0.5 },
        ..single("outages", "every 10 s both versions fail half of all requests for 0.1 s", 0.001)
    },
    World {
        trouble: Trouble::Drift { period: 20.0 },
        ..single("drift", "0 to 2 % and back in 20 s: the edge of the objective", 0.01)
    },
];

/// What one rollout of a world has drawn before it begins.
#[derive(Clone, Debug)]
pub struct Fate {
    /// From and to, in slices: a pod that has ended is sent requests.
    refusing: Vec<(f64, f64)>,
    /// Where in its period a trouble stands at the start, from 0 to 1.
    phase: f64,
}

impl World {
    /// Draws what is settled before a rollout begins.
    pub fn fate(&self, trace: &Trace, rng: &mut StdRng) -> Fate {
        let refusing = match self.trouble {
            Trouble::Refusing { least, most } => {
                let mut one = |tenth: &u64| {
                    let from = *tenth as f64 + rng.random::<f64>();
                    (from, from + rng.random_range(least..=most) / SLICE)
                };
                trace.ends.iter().map(&mut one).collect()
            }
            Trouble::None | Trouble::Outages { .. } | Trouble::Drift { .. } => Vec::new(),
        };
        Fate { refusing, phase: rng.random() }
    }

    /// What requests meet in a slice.
    pub fn moment(&self, fate: &Fate, slice: u64, serving: Serving) -> Moment {
        let from = slice as f64;
        let p = match self.trouble {
            Trouble::None | Trouble::Refusing { .. } => self.base,
            Trouble::Outages { every, lasts, share } => {
                let since = (from * SLICE + fate.phase * every).rem_euclid(every);
                let part = overlap((since, since + SLICE), (0.0, lasts)) + overlap((since, since + SLICE), (every, every + lasts));
                self.base + share * part / SLICE
            }
            Trouble::Drift { period } => {
                let turns = from * SLICE / period + fate.phase;
                self.base * (1.0 + (turns * std::f64::consts::TAU).sin())
            }
        };
        let ended: f64 = fate.refusing.iter().map(|refusing| overlap((from, from + 1.0), *refusing)).sum();
        let lost = if ended > 0.0 { ended / (ended + f64::from(serving.all())) } else { 0.0 };
        Moment { share: serving.share(), lost, old: p, new: p }
    }
}

/// Length of what two stretches have in common.
fn overlap(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.1.min(b.1) - a.0.max(b.0)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(trouble: Trouble) -> World {
        World { base: 0.01, trouble, ..QUIET }
    }

    const TEN: Serving = Serving { old: 8, new: 2 };

    #[test]
    fn a_pod_that_refuses_loses_its_share_of_requests_while_it_does() {
        let fate = Fate { refusing: vec![(5.5, 12.0), (6.0, 7.0)], phase: 0.0 };
        let lost = |slice| world(Trouble::Refusing { least: 0.1, most: 1.0 }).moment(&fate, slice, TEN).lost;
        for (slice, want) in [(4, 0.0), (5, 0.5 / 10.5), (6, 2.0 / 12.0), (7, 1.0 / 11.0), (12, 0.0)] {
            assert!((lost(slice) - want).abs() < 1e-12, "slice {slice}: {}", lost(slice));
        }
    }

    #[test]
    fn outages_and_drift_come_back_after_their_period_and_keep_their_mean() {
        for trouble in [Trouble::Outages { every: 3.0, lasts: 0.25, share: 0.4 }, Trouble::Drift { period: 3.0 }] {
            let p = |slice| world(trouble).moment(&Fate { refusing: Vec::new(), phase: 0.77 }, slice, TEN).new;
            let mean = (0..30).map(p).sum::<f64>() / 30.0;
            let want = if matches!(trouble, Trouble::Drift { .. }) { 0.01 } else { 0.01 + 0.4 * 0.25 / 3.0 };
            assert!((mean - want).abs() < 1e-9 && (p(11) - p(41)).abs() < 1e-9, "{trouble:?}: {mean}");
            assert!((0..30).any(|slice| p(slice) > mean), "{trouble:?}");
        }
    }

    #[test]
    fn names_are_all_different() {
        let mut names = HEALTHY.map(|w| w.name);
        names.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
