//! Stopping one container: preStop, its turn, SIGTERM, SIGKILL, all out of one grace period.

use chrono::TimeDelta;

use crate::sandbox::model::object::Now;

/// Even a container whose preStop used up the grace period gets this long between SIGTERM and SIGKILL, in seconds.
const MINIMUM: i64 = 2;

/// The way of a container to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    step: Step,
    /// Whole seconds left when the current step began: the kubelet counts a begun second as unused.
    grace: i64,
    since: Now,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    PreStop,
    Turn,
    Term,
    Kill,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Term,
    Kill,
}

impl Stop {
    /// Begins at `now`, with or without a preStop hook (which the caller starts). Without any grace period no hook is run.
    pub(super) fn begin(grace: i64, pre_stop: bool, now: Now) -> Self {
        let step = if pre_stop && grace > 0 { Step::PreStop } else { Step::Turn };
        Self { step, grace, since: now }
    }

    /// The pod is being deleted, and with it this container that was being stopped anyway: the current step goes on, with the grace
    /// period of the deletion.
    pub(super) fn restart_grace(&mut self, grace: i64, now: Now) {
        if self.step != Step::Kill {
            self.since = now;
            self.grace = if self.step == Step::Term { grace.max(MINIMUM) } else { grace };
        }
    }

    /// Is the hook still running, as far as we care?
    pub(super) fn in_pre_stop(&self) -> bool {
        self.step == Step::PreStop
    }

    /// The hook has ended, well or not.
    pub(super) fn pre_stop_done(&mut self, now: Now) {
        if self.in_pre_stop() {
            self.enter(Step::Turn, now);
        }
    }

    /// Takes the steps that are due. `turn`: have all those ended that must end before this one?
    pub(super) fn advance(&mut self, turn: bool, now: Now) -> Next {
        if self.step == Step::PreStop && self.deadline() <= now {
            self.enter(Step::Turn, now);
        }
        if self.step == Step::Turn && (turn || self.deadline() <= now) {
            self.enter(Step::Term, now);
            self.grace = self.grace.max(MINIMUM);
            return Next::Term;
        }
        if self.step == Step::Term && self.deadline() <= now {
            self.enter(Step::Kill, now);
            return Next::Kill;
        }
        Next::Nothing
    }

    /// When `advance` has something to do even if nothing else happens.
    pub(super) fn wake(&self) -> Option<Now> {
        (self.step != Step::Kill).then(|| self.deadline())
    }

    fn deadline(&self) -> Now {
        self.since + TimeDelta::seconds(self.grace)
    }

    fn enter(&mut self, step: Step, now: Now) {
        self.grace -= (now - self.since).num_seconds().min(self.grace);
        self.since = now;
        self.step = step;
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    fn at(ms: i64) -> Now {
        DateTime::from_timestamp_millis(ms).unwrap()
    }

    #[test]
    fn pre_stop_counts_against_the_grace_period_in_whole_seconds() {
        let mut stop = Stop::begin(30, true, at(0));
        assert_eq!((stop.advance(true, at(0)), stop.wake()), (Next::Nothing, Some(at(30_000))));
        stop.pre_stop_done(at(3_900));
        assert_eq!((stop.advance(true, at(3_900)), stop.wake()), (Next::Term, Some(at(30_900))));
        assert_eq!(
            (stop.advance(true, at(30_899)), stop.advance(true, at(30_900)), stop.wake()),
            (Next::Nothing, Next::Kill, None)
        );
    }

    #[test]
    fn an_overrunning_pre_stop_still_leaves_two_seconds() {
        let mut stop = Stop::begin(5, true, at(0));
        assert_eq!((stop.advance(true, at(5_000)), stop.wake()), (Next::Term, Some(at(7_000))));
        stop.pre_stop_done(at(5_500));
        assert_eq!(stop.advance(true, at(7_000)), Next::Kill);
    }

    #[test]
    fn a_deletion_gives_a_stop_under_way_its_own_grace_period() {
        let mut stop = Stop::begin(30, true, at(0));
        stop.restart_grace(5, at(1_000));
        assert_eq!((stop.advance(true, at(1_000)), stop.wake()), (Next::Nothing, Some(at(6_000))));
        stop.pre_stop_done(at(2_000));
        assert_eq!((stop.advance(true, at(2_000)), stop.wake()), (Next::Term, Some(at(6_000))));
        stop.restart_grace(1, at(3_000));
        assert_eq!((stop.advance(true, at(4_999)), stop.advance(true, at(5_000))), (Next::Nothing, Next::Kill));
        stop.restart_grace(30, at(5_500));
        assert_eq!(stop.wake(), None);
    }

    #[test]
    fn without_any_grace_the_hook_is_skipped() {
        let mut stop = Stop::begin(0, true, at(0));
        assert_eq!((stop.advance(true, at(0)), stop.advance(true, at(2_000))), (Next::Term, Next::Kill));
    }

    #[test]
    fn a_sidecar_waits_for_its_turn_but_not_beyond_the_grace_period() {
        let mut stop = Stop::begin(10, false, at(0));
        assert_eq!(stop.advance(false, at(4_000)), Next::Nothing);
        let mut patient = stop;
        assert_eq!((stop.advance(true, at(4_000)), stop.wake()), (Next::Term, Some(at(10_000))));
        assert_eq!((patient.advance(false, at(10_000)), patient.wake()), (Next::Term, Some(at(12_000))));
    }
}
