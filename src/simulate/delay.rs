//! How long does it take to stop a broken rollout, and how long must it take?

use schemars::JsonSchema;
use serde::Serialize;

use super::spread::Spread;
use super::traffic::{Manner, Moment, Traffic};
use super::{MAX_SLICES, MAY_FAIL, SLICE, derive};
use crate::domain::judge::bounds::{compare_seconds, kl, mean_requests, quantile_requests};
use crate::domain::judge::panel::{Panel, Settings};

/// A cell whose share is constant and whose failures name the new version is stopped within so many times the bound, on average.
pub const MOST_TIMES_THE_BOUND: f64 = 3.5;
/// No cell takes longer than this: some three hours.
const GIVE_UP: u64 = 100_000;
/// The error probability that bounds are for: that of a whole rollout.
const ALPHA: f64 = 1e-3;

/// How traffic goes to the new version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Share {
    /// This share of it, from the first request on.
    Constant(f64),
    /// From the first to the second within some seconds, and that from then on.
    Growing(f64, f64, f64),
}

/// What breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trouble {
    /// The new version fails this share from its first request on; each failure names it.
    New(f64),
    /// The same, but no failure names anybody.
    Unnamed(f64),
    /// The new version fails the second share where the old one fails the first, under an objective that lets pass either.
    Worse(f64, f64),
    /// Everything fails this share after a minute of health.
    All(f64),
}

/// One kind of broken rollout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Requests a second.
    pub rate: f64,
    /// Of these, the new version's.
    pub share: Share,
    /// What breaks.
    pub trouble: Trouble,
}

/// What came of one kind of broken rollout. All times are seconds from the beginning of the trouble.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct DelayRow {
    /// The cell: `new/200/10/5` is 200 requests a second, a share of 10 % and 5 % of that failing.
    pub name: String,
    /// The monitor that is measured by itself.
    pub monitor: String,
    /// Rollouts.
    pub rollouts: u64,
    /// Of these, those that were not stopped within three hours. The delays are of the others.
    pub missed: u64,
    /// Till the monitor stops it.
    pub delay: Spread,
    /// No test of the same error probability that tolerates the same bursts is quicker on average.
    pub bound: f64,
    /// And none that tolerates no bursts at all.
    pub bound_without_bursts: f64,
    /// No test stops 95 of 100 within less.
    pub bound_q95: Option<f64>,
    /// Mean delay by the bound.
    pub times_the_bound: f64,
    /// What it may be at most, where that is promised.
    pub promised: Option<f64>,
    /// Mean delay till any of the six monitors stops it. Comparison with a flawless old version can be quicker than any test of the new one
    /// alone, so this may be below the bound.
    pub panel: f64,
    /// Requests that were judged.
    pub requests: u64,
}

/// Every cell there is.
pub fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for rate in [50.0, 200.0, 1_000.0] {
        for share in [0.1, 0.25, 0.5] {
            for p in [0.02, 0.05, 0.1, 0.5, 1.0] {
                cells.push(Cell { rate, share: Share::Constant(share), trouble: Trouble::New(p) });
            }
        }
    }
    let usual = |share: Share, trouble: Trouble| Cell { rate: 200.0, share, trouble };
    cells.extend([0.02, 0.05, 0.1, 0.5, 1.0].map(|p| usual(Share::Growing(0.1, 1.0, 60.0), Trouble::New(p))));
    cells.extend([0.1, 0.25, 0.5].map(|share| usual(Share::Constant(share), Trouble::Unnamed(1.0))));
    cells.extend([0.1, 0.25, 0.5].map(|share| usual(Share::Constant(share), Trouble::Worse(0.01, 0.1))));
    cells.extend([0.05, 0.1, 0.5, 1.0].map(|p| usual(Share::Constant(0.0), Trouble::All(p))));
    cells
}

impl Cell {
    /// The stable word for it.
    pub fn name(&self) -> String {
        let share = match self.share {
            Share::Constant(share) => format!("{}", share * 100.0),
            Share::Growing(from, to, _) => format!("{}-{}", from * 100.0, to * 100.0),
        };
        let (kind, p) = match self.trouble {
            Trouble::New(p) => ("new", p),
            Trouble::Unnamed(p) => ("unnamed", p),
            Trouble::Worse(_, p) => ("worse", p),
            Trouble::All(p) => ("all", p),
        };
        format!("{kind}/{}/{share}/{}", self.rate, p * 100.0)
    }

    /// Plays `rollouts` rollouts and measures them.
    pub fn play(&self, rollouts: u64, seed: u64) -> DelayRow {
        let name = self.name();
        let mut requests = 0;
        let mut delays = |settings: Settings| -> Vec<f64> {
            (0..rollouts).filter_map(|n| self.stopped(settings, derive(seed, &name, n), &mut requests)).collect()
        };
        let alone = delays(self.alone());
        let panel = Spread::of(delays(self.settings())).mean;
        let missed = rollouts - alone.len() as u64;
        let delay = Spread::of(alone);
        let (bound, bound_without_bursts, bound_q95) = self.bounds();
        let promised = match (self.trouble, self.share) {
            (Trouble::New(_), Share::Constant(_)) => Some(MOST_TIMES_THE_BOUND),
            _ => None,
        };
        DelayRow {
            monitor: self.monitor().into(),
            rollouts,
            missed,
            delay,
            bound,
            bound_without_bursts,
            bound_q95,
            times_the_bound: delay.mean / bound,
            promised,
            panel,
            requests,
            name,
        }
    }

    /// Seconds from the beginning of the trouble until the panel stops one rollout.
    fn stopped(&self, settings: Settings, seed: u64, requests: &mut u64) -> Option<f64> {
        let named = if matches!(self.trouble, Trouble::Unnamed(_)) { 0.0 } else { 1.0 };
        let manner = Manner { rate: self.rate, answers: 0.0, fails: 0.0, named, runs: None };
        let mut traffic = Traffic::new(manner, &settings, seed);
        let mut panel = Panel::new(settings);
        let begins = if matches!(self.trouble, Trouble::All(_)) { 600 } else { 0 };
        for slice in 0..GIVE_UP {
            let ill = slice >= begins;
            let (old, new) = match self.trouble {
                Trouble::New(p) | Trouble::Unnamed(p) => (0.0, p),
                Trouble::Worse(old, new) => (old, new),
                Trouble::All(p) if ill => (p, p),
                Trouble::All(_) => (0.0, 0.0),
            };
            let share = self.share_at((slice as f64 + 0.5) * SLICE);
            let heard = traffic.slice(&Moment { share, lost: 0.0, old, new });
            *requests += heard.due;
            if panel.hear(&heard).is_some() {
                return Some((slice + 1).saturating_sub(begins) as f64 * SLICE);
            }
        }
        None
    }

    fn share_at(&self, seconds: f64) -> f64 {
        match self.share {
            Share::Constant(share) => share,
            Share::Growing(from, to, over) => from + (to - from) * (seconds / over).min(1.0),
        }
    }

    /// As a rollout is judged.
    fn settings(&self) -> Settings {
        let usual = Settings::for_share(MAY_FAIL, MAX_SLICES);
        // Only the comparison is to speak: the objective allows what either version does.
        if matches!(self.trouble, Trouble::Worse(..)) { Settings { p0: 0.5, ..usual } } else { usual }
    }

    /// The monitor that is measured by itself; for the others nothing is of relevance.
    fn alone(&self) -> Settings {
        let usual = self.settings();
        if matches!(self.trouble, Trouble::Worse(..)) { usual } else { Settings { delta: 1.0, ..usual } }
    }

    const fn monitor(&self) -> &'static str {
        match self.trouble {
            Trouble::New(_) => "availability.new",
            Trouble::Unnamed(_) | Trouble::All(_) => "availability.all",
            Trouble::Worse(..) => "compare.errors",
        }
    }

    /// Seconds that any test needs: on average, on average without bursts, and for 95 of 100.
    fn bounds(&self) -> (f64, f64, Option<f64>) {
        let settings = self.settings();
        let (all, new) =
            (Settings::burst(settings.tau_all, self.rate), |share: f64| Settings::burst(settings.tau_new, self.rate * share));
        let seconds = |p: f64, burst: f64, rate: f64| {
            let mean = |burst: f64| mean_requests(MAY_FAIL, p, ALPHA, 0.0, burst) / rate;
            let q95 = quantile_requests(MAY_FAIL, p, ALPHA, 0.05, burst) as f64 / rate;
            (mean(burst), mean(0.0), Some(q95))
        };
        match (self.trouble, self.share) {
            (Trouble::New(p), Share::Constant(share)) => seconds(p, new(share), self.rate * share),
            (Trouble::New(p), Share::Growing(..)) => {
                let needs = mean_requests(MAY_FAIL, p, ALPHA, 0.0, 0.0);
                let tolerated = self.when(|seconds, sent| sent * (p - MAY_FAIL) >= new(self.share_at(seconds)));
                let from = self.sent_by(tolerated);
                (self.when(|_, sent| sent >= from + needs), self.when(|_, sent| sent >= needs), None)
            }
            // The old version fails nothing, so the whole fails the new one's share of `p`, of which health allows `MAY_FAIL`.
            (Trouble::Unnamed(p), _) => {
                let share = self.share_at(0.0);
                let (bound, _, q95) = seconds(share * p, all, self.rate);
                (bound, -ALPHA.ln() / kl(share * p, share * MAY_FAIL) / self.rate, q95)
            }
            (Trouble::All(p), _) => seconds(p, all, self.rate),
            // Without a tolerated burst, for want of a better bound.
            (Trouble::Worse(old, p), _) => {
                let bound = compare_seconds(old, p, settings.c, ALPHA, 0.0, self.rate, self.share_at(0.0));
                (bound, bound, None)
            }
        }
    }

    /// Requests that the new version was sent by then.
    fn sent_by(&self, seconds: f64) -> f64 {
        let mean_share = match self.share {
            Share::Constant(share) => share,
            Share::Growing(_, to, over) if seconds > over => {
                return self.sent_by(over) + (seconds - over) * to * self.rate;
            }
            Share::Growing(..) => f64::midpoint(self.share_at(0.0), self.share_at(seconds)),
        };
        seconds * mean_share * self.rate
    }

    /// The first moment at which something holds of the time and of the requests sent by then; once it does, it goes on to.
    fn when(&self, holds: impl Fn(f64, f64) -> bool) -> f64 {
        let (mut low, mut high) = (0.0, GIVE_UP as f64 * SLICE);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if holds(middle, self.sent_by(middle)) { high = middle } else { low = middle }
        }
        high
    }
}

impl DelayRow {
    /// It takes longer than promised, beyond what chance explains; or it is not always stopped.
    pub(super) fn broken_promise(&self) -> Option<String> {
        let promised = self.promised?;
        let least = (self.delay.mean - 3.0 * self.delay.error) / self.bound;
        if self.missed > 0 {
            return Some(format!("{}: {} of {} broken rollouts were not stopped", self.name, self.missed, self.rollouts));
        }
        (least > promised).then(|| {
            format!("{}: {:.2} times the bound on average, {promised} at most were promised", self.name, self.times_the_bound)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(rate: f64, share: Share, trouble: Trouble) -> Cell {
        Cell { rate, share, trouble }
    }

    #[test]
    fn a_version_that_fails_every_request_is_stopped_after_as_many_as_the_evidence_needs() {
        // 20 new requests a second, 2.4 tolerated: 9 failures in a row decide.
        let row = cell(200.0, Share::Constant(0.1), Trouble::New(1.0)).play(50, 1);
        assert_eq!((row.name.as_str(), row.missed), ("new/200/10/100", 0));
        assert!((0.4..0.6).contains(&row.delay.mean), "{row:?}");
        assert!(row.panel <= row.delay.mean && row.delay.median <= row.delay.q95, "{row:?}");
        assert_eq!(row, cell(200.0, Share::Constant(0.1), Trouble::New(1.0)).play(50, 1), "a seed makes it again");
    }

    #[test]
    fn each_kind_of_trouble_is_seen_by_the_monitor_that_is_for_it() {
        let constant = Share::Constant(0.5);
        for (share, trouble) in [
            (Share::Growing(0.1, 1.0, 60.0), Trouble::New(0.5)),
            (constant, Trouble::Unnamed(1.0)),
            (constant, Trouble::Worse(0.01, 0.3)),
            (Share::Constant(0.0), Trouble::All(0.5)),
        ] {
            let row = cell(200.0, share, trouble).play(5, 3);
            assert!(row.missed == 0 && row.times_the_bound > 1.0 && row.times_the_bound < 12.0, "{row:?}");
        }
    }

    #[test]
    fn bounds_are_those_of_the_literature() {
        let (bound, wald, q95) = cell(200.0, Share::Constant(0.5), Trouble::New(0.1)).bounds();
        assert!((wald - 0.478).abs() < 1e-3 && (bound - 1.81).abs() < 5e-3, "{bound} {wald}");
        assert!(q95.is_some_and(|q95| q95 > bound), "{q95:?}");
        let (_, wald, _) = cell(200.0, Share::Growing(0.1, 1.0, 60.0), Trouble::New(0.02)).bounds();
        assert!((wald - 28.0).abs() < 0.7, "{wald}");
        let (bound, ..) = cell(200.0, Share::Constant(0.0), Trouble::All(0.05)).bounds();
        assert!((bound - 8.3).abs() < 0.1, "{bound}");
        let constant = cell(200.0, Share::Constant(0.25), Trouble::New(0.05));
        assert!((constant.sent_by(4.0) - 200.0).abs() < 1e-9 && (constant.when(|_, sent| sent >= 200.0) - 4.0).abs() < 1e-6);
        let growing = cell(200.0, Share::Growing(0.1, 1.0, 60.0), Trouble::New(0.05));
        assert!((growing.sent_by(60.0) - 6_600.0).abs() < 1e-6 && (growing.sent_by(61.0) - 6_800.0).abs() < 1e-6);
    }

    #[test]
    fn a_delay_beyond_the_promise_is_told_and_so_is_a_rollout_that_was_never_stopped() {
        let row = cell(200.0, Share::Constant(0.5), Trouble::New(1.0)).play(3, 1);
        assert_eq!(row.broken_promise(), None);
        let slow = Spread { mean: 4.0 * row.bound, error: 0.01 * row.bound, ..row.delay };
        assert!(DelayRow { delay: slow, ..row.clone() }.broken_promise().is_some());
        assert!(DelayRow { missed: 1, ..row }.broken_promise().is_some_and(|text| text.contains("1 of 3")));
    }

    #[test]
    fn names_are_all_different() {
        let mut names: Vec<String> = cells().iter().map(Cell::name).collect();
        names.sort();
        assert!(names.len() == 60 && names.is_sorted_by(|a, b| a < b), "{names:?}");
    }
}
