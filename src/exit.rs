//! Exit codes: a stable interface, documented in the README.

use std::process::ExitCode;

use crate::domain::course::Course;
use crate::domain::verdict::{Verdict, VerdictKind};

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: every objective was met.
    Pass,
    /// 1: an objective was missed; with a guard, the rollout is stopped or somebody else has taken over.
    Breach,
    /// 2: the command line or a file is wrong.
    Usage,
    /// 3: too little could be seen to say either.
    Inconclusive,
    /// 4: the cluster or the target cannot be reached, or forbids it.
    Unreachable,
    /// 5: a breach, and the action that the guard called for failed, had no effect, was taken back or could not be done.
    ActionFailed,
    /// 6: the target was changed by somebody else, or the run was called off.
    Superseded,
    /// 128 + the signal's number: 130 for Ctrl-C, 143 for SIGTERM.
    Signal(i32),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::Breach => 1,
            Self::Usage => 2,
            Self::Inconclusive => 3,
            Self::Unreachable => 4,
            Self::ActionFailed => 5,
            Self::Superseded => 6,
            Self::Signal(number) => u8::try_from(128 + number).unwrap_or(255),
        }
    }

    /// The code that a whole run calls for: of its verdict, and of what its guard did.
    pub fn of_run(course: &Course) -> Self {
        match course.verdict() {
            Some(_) if course.is_unstopped() => Self::ActionFailed,
            Some(verdict) => Self::of(verdict),
            None => Self::Inconclusive,
        }
    }

    /// The code that a verdict calls for.
    pub fn of(verdict: &Verdict) -> Self {
        match verdict.verdict {
            VerdictKind::Pass => Self::Pass,
            VerdictKind::Breach => Self::Breach,
            VerdictKind::Inconclusive if verdict.reasons.iter().any(|r| r.code == "target") => Self::Unreachable,
            VerdictKind::Inconclusive => Self::Inconclusive,
            VerdictKind::Superseded | VerdictKind::Aborted => Self::Superseded,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::What;
    use crate::domain::fixtures::{breach, fold};
    use crate::domain::rollout::guard::Guard;
    use crate::domain::time::At;
    use crate::domain::verdict::Reason;

    #[test]
    fn each_verdict_has_its_code() {
        let exit = |verdict, code: &str| Exit::of(&Verdict { verdict, at: At::ZERO, reasons: vec![Reason::new(code, "")] }).code();
        assert_eq!(exit(VerdictKind::Pass, "met"), 0);
        assert_eq!(exit(VerdictKind::Breach, "availability"), 1);
        assert_eq!(exit(VerdictKind::Inconclusive, "validity"), 3);
        assert_eq!(exit(VerdictKind::Inconclusive, "target"), 4);
        assert_eq!(exit(VerdictKind::Superseded, "target"), 6);
        assert_eq!((Exit::Signal(2).code(), Exit::Signal(15).code()), (130, 143));
    }

    #[test]
    fn a_breach_that_its_guard_did_not_stop_has_its_own_code() {
        let code = |guard| {
            let mut events = breach();
            if let What::RunStarted(head) = &mut events[0].what {
                head.scenario.guard = guard;
            }
            Exit::of_run(&fold(&events)).code()
        };
        assert_eq!((code(Guard::None), code(Guard::Pause)), (1, 5));
    }
}
