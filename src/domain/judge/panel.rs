//! The panel: six monitors that may stop a rollout early, each at its share of one error probability, and the certificate for a PASS.
//!
//! | monitor | trials | bad | health |
//! |---|---|---|---|
//! | availability of all traffic | due | failed | `p0` per trial, burst `τ_all·λ` |
//! | latency of all traffic | due | slow | `p_lat` per trial, the same burst |
//! | availability of the new version | its answers and all in flight | failed | `p0`, burst `τ_new·λ_new` |
//! | latency of the new version | the same | slow | `p_lat`, the same burst |
//! | errors new against old | bad events while both answer | the new version's | its share of the slice's traffic, times `c` |
//! | latency new against old | answers beyond the old version's quantiles | the new version's | its share of the slice's traffic |
//!
//! Trials are counted when due and bad events when known, so what is in flight counts as good against a rollout; for a PASS it counts as
//! bad. What no version can be named for counts as the old one's in comparisons, and as the new one's for a PASS.

use super::confidence::{is_certified, missing};
use super::evidence::log_sum_exp;
use super::monitor::{Monitor, PROCESSES};

/// What the panel is set up with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Share of requests that may fail: one minus the availability objective.
    pub p0: f64,
    /// Share of requests that may be slow, where there is a latency objective.
    pub p_slow: Option<f64>,
    /// Probability that a healthy rollout is ever stopped.
    pub alpha: f64,
    /// Probability that a PASS is given to a rollout that does not deserve it.
    pub beta: f64,
    /// Alarms that share `alpha`.
    pub monitors: u32,
    /// Seconds of full outage that one burst may cost, over all traffic.
    pub tau_all: f64,
    /// The same for the new version; less, because terminations hit the old one.
    pub tau_new: f64,
    /// The new version's bad rate may be this many times the old one's.
    pub c: f64,
    /// And is of no practical relevance below this share.
    pub delta: f64,
    /// Length of the verification at most, in slices: the grid on which processes begin.
    pub max_slices: u64,
    /// Monitors that may raise an alarm. Those that may not keep their share of `alpha`.
    pub armed: Armed,
}

/// Which monitors may stop a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// Availability of all traffic and of the new version, and its certificate for a PASS.
    pub availability: bool,
    /// Errors new against old.
    pub compare_errors: bool,
    /// Latency new against old.
    pub compare_latency: bool,
}

impl Armed {
    /// All of them.
    pub const ALL: Self = Self { availability: true, compare_errors: true, compare_latency: true };

    const fn covers(self, alarm: Alarm) -> bool {
        match alarm {
            Alarm::AvailabilityAll | Alarm::AvailabilityNew => self.availability,
            Alarm::LatencyAll | Alarm::LatencyNew => true,
            Alarm::CompareErrors => self.compare_errors,
            Alarm::CompareLatency => self.compare_latency,
        }
    }
}

impl Settings {
    /// Defaults for an availability objective `1 − p0`, with a verification of at most `max_slices`.
    pub fn for_share(p0: f64, max_slices: u64) -> Self {
        /// Seconds of rollout that a burst is measured against.
        const REFERENCE: f64 = 120.0;
        Self {
            p0,
            p_slow: None,
            alpha: 1e-3,
            beta: 1e-2,
            monitors: 6,
            tau_all: 0.25 * p0 * REFERENCE,
            tau_new: 0.10 * p0 * REFERENCE,
            c: 1.5,
            delta: p0 / 4.0,
            max_slices,
            armed: Armed::ALL,
        }
    }

    /// `ln` of the evidence at which a monitor stops the rollout.
    pub fn threshold(&self) -> f64 {
        (f64::from(self.monitors) / self.alpha).ln()
    }

    /// The burst tolerated at `rate` requests a second: never less than one request.
    pub fn burst(tau: f64, rate: f64) -> f64 {
        (tau * rate).max(1.0)
    }
}

/// Answers of one version in a slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arm {
    /// Answers and failures attributed to it.
    pub resolved: u64,
    /// Of these, failures.
    pub failed: u64,
    /// Known to be slow, unless they failed faster.
    pub slow: u64,
    /// Good answers compared by latency, at each of the old version's three quantiles: how many there were.
    pub timed: u64,
    /// Of these, how many took longer than the quantile (with the slack that the new version is given).
    pub beyond: [u64; 3],
}

/// What became known in one slice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// Requests whose intended start fell into it.
    pub due: u64,
    /// Requests whose outcome became known in it, attributed or not.
    pub resolved: u64,
    /// Failures that became known in it, attributed or not.
    pub failed: u64,
    /// Known to be slow, attributed or not.
    pub slow: u64,
    /// Of the new version.
    pub new: Arm,
    /// Of the old one.
    pub old: Arm,
    /// Planned requests a second.
    pub rate: f64,
    /// The part of them that goes to the new version.
    pub rate_new: f64,
}

/// Which monitor stopped the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// Too many of all requests fail.
    AvailabilityAll,
    /// Too many of all requests are slow.
    LatencyAll,
    /// The new version fails too many.
    AvailabilityNew,
    /// The new version is too slow too often.
    LatencyNew,
    /// The new version fails more than the old one does at the same time.
    CompareErrors,
    /// The new version is slower than the old one was and is.
    CompareLatency,
}

impl Alarm {
    /// In the order in which they are asked.
    pub const ALL: [Self; 6] = [
        Self::AvailabilityAll,
        Self::LatencyAll,
        Self::AvailabilityNew,
        Self::LatencyNew,
        Self::CompareErrors,
        Self::CompareLatency,
    ];

    /// The stable word in files and on screens.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AvailabilityAll => "availability.all",
            Self::LatencyAll => "latency.all",
            Self::AvailabilityNew => "availability.new",
            Self::LatencyNew => "latency.new",
            Self::CompareErrors => "compare.errors",
            Self::CompareLatency => "compare.latency",
        }
    }
}

/// So many bad events in so many trials are to prove that their share is below a limit.
#[derive(Clone, Copy, Debug)]
struct Claim {
    bad: u64,
    trials: u64,
    share: f64,
}

/// The six monitors and the sums for a PASS.
#[derive(Clone, Debug)]
pub struct Panel {
    settings: Settings,
    slices: u64,
    started: u64,
    due: u64,
    resolved: u64,
    availability_all: Monitor,
    latency_all: Option<Monitor>,
    availability_new: Monitor,
    latency_new: Option<Monitor>,
    relative: Monitor,
    absolute: Monitor,
    compared: [Monitor; 3],
    new_seen: bool,
    unattributed: u64,
    unattributed_failed: u64,
    unattributed_slow: u64,
    raised: [Option<u64>; 6],
}

impl Panel {
    /// A panel that has heard nothing.
    pub fn new(settings: Settings) -> Self {
        let of = |p: f64| Monitor::of_rate(p);
        Self {
            settings,
            slices: 0,
            started: 1,
            due: 0,
            resolved: 0,
            availability_all: of(settings.p0),
            latency_all: settings.p_slow.map(of),
            availability_new: of(settings.p0),
            latency_new: settings.p_slow.map(of),
            relative: Monitor::of_batches(),
            absolute: of(settings.delta),
            compared: [Monitor::of_batches(), Monitor::of_batches(), Monitor::of_batches()],
            new_seen: false,
            unattributed: 0,
            unattributed_failed: 0,
            unattributed_slow: 0,
            raised: [None; 6],
        }
    }

    /// Takes a slice in. Answers with the first alarm that was raised; it stands, and later ones are remembered beside it.
    pub fn hear(&mut self, heard: &Heard) -> Option<Alarm> {
        self.begin_processes();
        self.slices += 1;
        self.due += heard.due;
        self.resolved += heard.resolved;
        self.tolerate(heard);
        self.count(heard);
        self.weigh(heard);
        self.alarm().map(|(alarm, _)| alarm)
    }

    /// Process `j` begins with the slice after `j·T/64`.
    fn begin_processes(&mut self) {
        while self.started < PROCESSES as u64 && self.slices * PROCESSES as u64 >= self.started * self.settings.max_slices {
            self.started += 1;
            let under_way = self.in_flight();
            let by_due = std::iter::once(&mut self.availability_all).chain(&mut self.latency_all);
            by_due.for_each(|m| m.restart(under_way));
            let by_answer = [&mut self.availability_new, &mut self.relative, &mut self.absolute].into_iter();
            by_answer.chain(&mut self.latency_new).chain(&mut self.compared).for_each(|m| m.restart(0));
        }
    }

    fn tolerate(&mut self, heard: &Heard) {
        let all = Settings::burst(self.settings.tau_all, heard.rate);
        let new = Settings::burst(self.settings.tau_new, heard.rate_new);
        self.availability_all.tolerate(all);
        self.latency_all.iter_mut().for_each(|m| m.tolerate(all));
        for monitor in [&mut self.availability_new, &mut self.relative, &mut self.absolute].into_iter().chain(&mut self.latency_new)
        {
            monitor.tolerate(new);
        }
        self.compared.iter_mut().for_each(|m| m.tolerate(new));
    }

    fn count(&mut self, heard: &Heard) {
        let (new, old) = (&heard.new, &heard.old);
        self.new_seen |= new.resolved > 0 || heard.rate_new > 0.0;
        self.availability_all.add(heard.due, heard.failed, 0.0);
        self.latency_all.iter_mut().for_each(|m| m.add(heard.due, heard.slow, 0.0));
        self.availability_new.add(new.resolved, new.failed, 0.0);
        self.absolute.add(new.resolved, new.failed, 0.0);
        self.latency_new.iter_mut().for_each(|m| m.add(new.resolved, new.slow, 0.0));
        if self.new_seen {
            let failed = heard.failed.saturating_sub(new.failed + old.failed);
            self.unattributed_failed += failed;
            // A good answer that names no version speaks for the new one only when there is no other that it could be from.
            let only_new = heard.rate_new > 0.0 && heard.rate_new >= heard.rate;
            self.unattributed += if only_new { heard.resolved.saturating_sub(new.resolved + old.resolved) } else { failed };
            self.unattributed_slow += heard.slow.saturating_sub(new.slow + old.slow);
        }
        if new.resolved > 0 && old.resolved > 0 {
            let weighted = self.settings.c * new.resolved as f64;
            let share = weighted / (weighted + old.resolved as f64);
            self.relative.add(heard.failed, new.failed, heard.failed as f64 * share);
        }
        if new.timed > 0 && old.timed > 0 {
            let share = new.timed as f64 / (new.timed + old.timed) as f64;
            for ((monitor, beyond_new), beyond_old) in self.compared.iter_mut().zip(new.beyond).zip(old.beyond) {
                let both = beyond_new + beyond_old;
                monitor.add(both, beyond_new, both as f64 * share);
            }
        }
    }

    /// Weighs what could have grown, and raises the alarms of monitors that are over their threshold.
    fn weigh(&mut self, heard: &Heard) {
        let (pending, threshold) = (self.in_flight(), self.settings.threshold());
        let mut over = [false; 6];
        let mut weighed = |which: Alarm, log_w: f64| over[which as usize] = log_w >= threshold;
        if heard.failed > 0 {
            weighed(Alarm::AvailabilityAll, self.availability_all.weigh(0));
        }
        if let Some(monitor) = self.latency_all.as_mut().filter(|_| heard.slow > 0) {
            weighed(Alarm::LatencyAll, monitor.weigh(0));
        }
        if heard.new.failed > 0 {
            weighed(Alarm::AvailabilityNew, self.availability_new.weigh(pending));
        }
        if let Some(monitor) = self.latency_new.as_mut().filter(|_| heard.new.slow > 0) {
            weighed(Alarm::LatencyNew, monitor.weigh(pending));
        }
        if heard.new.failed > 0 {
            let relative = self.relative.weigh(0);
            let both = if relative < threshold { relative } else { relative.min(self.absolute.weigh(pending)) };
            weighed(Alarm::CompareErrors, both);
        }
        let slower = heard.new.beyond.iter().any(|n| *n > 0) && heard.old.timed > 0;
        if slower && self.compared.iter().any(|m| m.suspects(0)) {
            weighed(Alarm::CompareLatency, mean(self.compared.each_ref().map(|m| m.log_w(0))));
        }
        for alarm in Alarm::ALL {
            let raised = &mut self.raised[alarm as usize];
            if over[alarm as usize] && raised.is_none() && self.settings.armed.covers(alarm) {
                *raised = Some(self.slices);
            }
        }
    }

    /// Due and not known.
    pub const fn in_flight(&self) -> u64 {
        self.due.saturating_sub(self.resolved)
    }

    /// The first alarm, and the slice (from 1) in which it was raised.
    pub fn alarm(&self) -> Option<(Alarm, u64)> {
        self.alarms().min_by_key(|(_, slice)| *slice)
    }

    /// All alarms that were raised, in the order in which monitors are asked, each with its slice (from 1).
    pub fn alarms(&self) -> impl Iterator<Item = (Alarm, u64)> + '_ {
        Alarm::ALL.into_iter().filter_map(|alarm| Some((alarm, self.raised[alarm as usize]?)))
    }

    /// How many more good requests would certify a PASS, with `pending` of those in flight counted as bad: of all traffic, and of the new
    /// version. Both are zero when it is certified.
    pub fn missing(&self, pending: u64) -> (u64, u64) {
        let need = |claim: Claim| missing(claim.bad, claim.trials, claim.share, self.settings.beta);
        let (all, new) = self.claims(pending);
        let most = |claims: [Option<Claim>; 2]| claims.into_iter().flatten().map(need).max().unwrap_or(0);
        (most(all), most(new))
    }

    /// Is a PASS certified: is each share proved to be below its limit, with an error of at most `beta`?
    pub fn is_certified(&self) -> bool {
        let (all, new) = self.claims(self.in_flight());
        all.into_iter().chain(new).flatten().all(|claim| is_certified(claim.bad, claim.trials, claim.share, self.settings.beta))
    }

    /// What a PASS claims: of all traffic and of the new version (where there is one), of failures and of slow answers. What is in flight
    /// counts as bad, and what no version can be named for counts as the new one's.
    fn claims(&self, pending: u64) -> ([Option<Claim>; 2], [Option<Claim>; 2]) {
        let Settings { p0, p_slow, armed, .. } = self.settings;
        let claim = |bad: u64, trials: u64, share: f64| Claim { bad: bad + pending, trials, share };
        let failed = |bad: u64, trials: u64| armed.availability.then(|| claim(bad, trials, p0));
        let slow = |bad: u64, trials: u64| p_slow.map(|share| claim(bad, trials, share));
        let bad = |monitor: &Option<Monitor>| monitor.as_ref().map_or(0, Monitor::bad);
        let trials = self.availability_new.trials() + self.unattributed + self.in_flight();
        let new = [
            failed(self.availability_new.bad() + self.unattributed_failed, trials),
            slow(bad(&self.latency_new) + self.unattributed_slow, trials),
        ];
        let all = [failed(self.availability_all.bad(), self.due), slow(bad(&self.latency_all), self.due)];
        (all, if self.new_seen { new } else { [None, None] })
    }

    /// Bad events and trials that a monitor has counted. Of the latency comparison they are those of the three quantiles together.
    pub fn counted(&self, which: Alarm) -> (u64, u64) {
        let of = |monitor: &Monitor| (monitor.bad(), monitor.trials());
        match which {
            Alarm::AvailabilityAll => of(&self.availability_all),
            Alarm::LatencyAll => self.latency_all.as_ref().map_or((0, 0), of),
            Alarm::AvailabilityNew => of(&self.availability_new),
            Alarm::LatencyNew => self.latency_new.as_ref().map_or((0, 0), of),
            Alarm::CompareErrors => of(&self.relative),
            Alarm::CompareLatency => self.compared.iter().map(of).fold((0, 0), |(s, n), (bad, trials)| (s + bad, n + trials)),
        }
    }

    /// How it is set up.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `ln W` of a monitor now.
    pub fn log_w(&self, which: Alarm) -> f64 {
        let pending = self.in_flight();
        match which {
            Alarm::AvailabilityAll => self.availability_all.log_w(0),
            Alarm::LatencyAll => self.latency_all.as_ref().map_or(0.0, |m| m.log_w(0)),
            Alarm::AvailabilityNew => self.availability_new.log_w(pending),
            Alarm::LatencyNew => self.latency_new.as_ref().map_or(0.0, |m| m.log_w(pending)),
            Alarm::CompareErrors => {
                let (relative, absolute) = self.compare_parts();
                relative.min(absolute)
            }
            Alarm::CompareLatency => mean(self.compared.each_ref().map(|m| m.log_w(0))),
        }
    }

    /// The two processes behind [`Alarm::CompareErrors`]: relative to the old version, and against `delta`.
    pub fn compare_parts(&self) -> (f64, f64) {
        (self.relative.log_w(0), self.absolute.log_w(self.in_flight()))
    }
}

/// `ln` of the arithmetic mean of three.
fn mean(logs: [f64; 3]) -> f64 {
    log_sum_exp(&logs) - 3f64.ln()
}
