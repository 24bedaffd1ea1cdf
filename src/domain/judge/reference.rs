//! A second judge, for tests: it keeps the whole history and computes every sum anew from it, one process at a time, in plain numbers
//! instead of logarithms. Slow, and written from the definitions only, so that it shares no shortcut with the panel.

use std::ops::Range;

use super::panel::{Alarm, Heard, Settings};

/// θ for evidence against health; all weigh the same.
const AGAINST: [f64; 10] = [1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0];
/// θ for evidence for health. The first one weighs a half, the others share the other half.
const FOR: [f64; 10] = [0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9];
/// Processes that begin later than the first.
const LATER: u64 = 63;

/// What has been heard, slice by slice.
pub(super) struct Reference {
    settings: Settings,
    heard: Vec<Heard>,
    alarm: Option<(Alarm, u64)>,
}

/// What one process collects evidence on.
#[derive(Clone, Copy)]
pub(super) enum Stream {
    All,
    AllSlow,
    New,
    NewSlow,
    Relative,
    Absolute,
    Beyond(usize),
}

/// Trials, bad ones of them, and how many may have been expected.
struct Sums {
    trials: f64,
    bad: f64,
    allowance: f64,
}

impl Reference {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, heard: Vec::new(), alarm: None }
    }

    pub(super) fn hear(&mut self, heard: &Heard) -> Option<(Alarm, u64)> {
        self.heard.push(*heard);
        let slice = self.heard.len() as u64;
        self.alarm = self.alarm.or_else(|| self.raised(heard).map(|alarm| (alarm, slice)));
        self.alarm
    }

    fn raised(&self, last: &Heard) -> Option<Alarm> {
        let limit = f64::from(self.settings.monitors) / self.settings.alpha;
        let both = last.new.timed > 0 && last.old.timed > 0;
        let asked = [
            (Alarm::AvailabilityAll, last.failed > 0),
            (Alarm::LatencyAll, last.slow > 0),
            (Alarm::AvailabilityNew, last.new.failed > 0),
            (Alarm::LatencyNew, last.new.slow > 0),
            (Alarm::CompareErrors, last.new.failed > 0),
            (Alarm::CompareLatency, both && last.new.beyond.iter().any(|n| *n > 0)),
        ];
        asked.into_iter().find(|(alarm, news)| *news && self.w_of(*alarm) >= limit).map(|(alarm, _)| alarm)
    }

    /// `W` of an alarm now.
    pub(super) fn w_of(&self, alarm: Alarm) -> f64 {
        match alarm {
            Alarm::AvailabilityAll => self.w(Stream::All),
            Alarm::LatencyAll => self.w(Stream::AllSlow),
            Alarm::AvailabilityNew => self.w(Stream::New),
            Alarm::LatencyNew => self.w(Stream::NewSlow),
            Alarm::CompareErrors => self.w(Stream::Relative).min(self.w(Stream::Absolute)),
            Alarm::CompareLatency => [0, 1, 2].map(|q| self.w(Stream::Beyond(q))).iter().sum::<f64>() / 3.0,
        }
    }

    /// Half of the evidence since the start, and a 126th of that since each of 63 later moments; who has not begun holds one.
    pub(super) fn w(&self, stream: Stream) -> f64 {
        let now = self.heard.len();
        let mut w = self.e(stream, 0..now) / 2.0;
        for j in 1..=LATER {
            let begins = usize::try_from((j * self.settings.max_slices).div_ceil(LATER + 1)).unwrap();
            // It begins with a slice, so it has begun when that slice was heard.
            w += if begins < now { self.e(stream, begins..now) } else { 1.0 } / 126.0;
        }
        w
    }

    fn e(&self, stream: Stream, over: Range<usize>) -> f64 {
        let Sums { trials, bad, allowance } = self.sums(stream, over);
        let allowance = allowance + self.burst(stream);
        AGAINST.iter().map(|theta| 0.1 * factor(*theta, bad, trials, allowance)).sum()
    }

    /// The largest burst that was tolerated so far.
    fn burst(&self, stream: Stream) -> f64 {
        let of = |heard: &Heard| match stream {
            Stream::All | Stream::AllSlow => self.settings.tau_all * heard.rate,
            _ => self.settings.tau_new * heard.rate_new,
        };
        self.heard.iter().map(of).fold(1.0, f64::max)
    }

    fn sums(&self, stream: Stream, over: Range<usize>) -> Sums {
        // Requests that are under way when a process begins are its trials too.
        let under_way = flying(&self.heard[..over.start]);
        let slices = &self.heard[over];
        let sum = |of: &dyn Fn(&Heard) -> u64| slices.iter().map(of).sum::<u64>() as f64;
        let rated = |trials: f64, bad: f64, rate: f64| Sums { trials, bad, allowance: rate * trials };
        let new = || sum(&|h| h.new.resolved) + self.in_flight();
        let Settings { p0, p_slow, delta, c, .. } = self.settings;
        match stream {
            Stream::All => rated(under_way + sum(&|h| h.due), sum(&|h| h.failed), p0),
            Stream::AllSlow => rated(under_way + sum(&|h| h.due), sum(&|h| h.slow), p_slow.unwrap()),
            Stream::New => rated(new(), sum(&|h| h.new.failed), p0),
            Stream::NewSlow => rated(new(), sum(&|h| h.new.slow), p_slow.unwrap()),
            Stream::Absolute => rated(new(), sum(&|h| h.new.failed), delta),
            Stream::Relative => batches(slices.iter().map(|h| {
                let (new, old) = (h.new.resolved as f64, h.old.resolved as f64);
                (h.new.resolved > 0 && h.old.resolved > 0, h.failed, h.new.failed, c * new / (c * new + old))
            })),
            Stream::Beyond(q) => batches(slices.iter().map(|h| {
                let (new, old) = (h.new.timed as f64, h.old.timed as f64);
                (new > 0.0 && old > 0.0, h.new.beyond[q] + h.old.beyond[q], h.new.beyond[q], new / (new + old))
            })),
        }
    }

    pub(super) fn in_flight(&self) -> f64 {
        flying(&self.heard)
    }

    /// May a PASS be given? What is in flight counts as bad; failures of nobody since the first new pod count as the new version's, and
    /// good answers of nobody do while there is no other version.
    pub(super) fn is_certified(&self) -> bool {
        let Settings { p0, p_slow, beta, .. } = self.settings;
        let pending = self.in_flight();
        let sum = |of: &dyn Fn(&Heard) -> u64| self.heard.iter().map(of).sum::<u64>() as f64;
        let first = self.heard.iter().position(|h| h.new.resolved > 0 || h.rate_new > 0.0).unwrap_or(self.heard.len());
        let since = |of: &dyn Fn(&Heard) -> u64| self.heard[first..].iter().map(of).sum::<u64>() as f64;
        let nobody_failed = |h: &Heard| h.failed - h.new.failed - h.old.failed;
        let nobody_good =
            |h: &Heard| if h.rate_new >= h.rate { h.resolved - h.new.resolved - h.old.resolved - nobody_failed(h) } else { 0 };
        let trials = sum(&|h| h.new.resolved) + since(&|h| nobody_failed(h) + nobody_good(h)) + pending;
        let all = sum(&|h| h.due);
        let certified = |bad: f64, trials: f64, share: f64| {
            let weight = |theta: f64| if theta == 0.0 { 0.5 } else { 0.5 / 9.0 };
            let bad = bad + pending;
            FOR.iter().map(|theta| weight(*theta) * factor(*theta, bad, trials, share * trials)).sum::<f64>() >= 1.0 / beta
        };
        certified(sum(&|h| h.failed), all, p0)
            && certified(sum(&|h| h.new.failed) + since(&nobody_failed), trials, p0)
            && p_slow.is_none_or(|p| {
                certified(sum(&|h| h.slow), all, p)
                    && certified(sum(&|h| h.new.slow) + since(&|h| h.slow - h.new.slow - h.old.slow), trials, p)
            })
    }
}

/// Due in these slices, and not known by their end.
fn flying(slices: &[Heard]) -> f64 {
    (slices.iter().map(|h| h.due).sum::<u64>() - slices.iter().map(|h| h.resolved).sum::<u64>()) as f64
}

/// `θ^bad / (1 + (θ−1)·min(1, allowance/trials))^trials`.
fn factor(theta: f64, bad: f64, trials: f64, allowance: f64) -> f64 {
    if trials == 0.0 {
        return 1.0;
    }
    let expected = 1.0 + (theta - 1.0) * (allowance / trials).min(1.0);
    match (theta == 0.0, bad == 0.0) {
        (true, false) => 0.0,
        (_, true) => expected.powf(-trials),
        // Together, because one of the powers alone may be more than a number can hold.
        (false, false) => (bad * theta.ln() - trials * expected.ln()).exp(),
    }
}

/// Slices with one version only are skipped: `(both versions, bad events, of these the new version's, its share)`.
fn batches(slices: impl Iterator<Item = (bool, u64, u64, f64)>) -> Sums {
    slices.filter(|s| s.0).fold(Sums { trials: 0.0, bad: 0.0, allowance: 0.0 }, |sums, (_, bad, new, share)| Sums {
        trials: sums.trials + bad as f64,
        bad: sums.bad + new as f64,
        allowance: sums.allowance + bad as f64 * share,
    })
}
