//! What was changed is put back when nothing more is measured, however the run came to that.

use super::*;
use crate::domain::event::PutBack;

/// Like [`Run::start`], of a run that puts back.
fn start() -> Run {
    let head = RunStarted { put_back: true, ..head(scenario::parse("t.yaml", SCENARIO, &[]).unwrap()) };
    let (course, commands) = Course::begin(head);
    let mut run = Run { course, commands, tenths: 0 };
    assert_eq!(run.taken(), [Command::Prepare]);
    run
}

fn told() -> PutBack {
    PutBack { done: vec!["removed namespace todo".into()], left: Vec::new() }
}

#[test]
fn it_comes_last_and_the_run_ends_when_it_is_done() {
    let mut run = start();
    run.say(What::TargetReady(Box::new(traffic())));
    run.say(What::TrafficStarted);
    run.say(What::Interrupted(2));
    assert_eq!(run.taken(), [Command::StartTraffic, Command::StopTraffic]);
    run.say(What::TrafficStopped);
    assert_eq!((run.course.stage().0, run.taken()), (Stage::PuttingBack, vec![Command::PutBack]));
    run.say(What::Tick);
    assert_eq!(run.taken(), [], "it takes its time");
    run.say(What::PutBack(told()));
    assert_eq!((run.course.stage().0, run.taken()), (Stage::Done, vec![Command::Finish]));
    assert_eq!((run.course.put_back(), run.verdict().0), (Some(&told()), VerdictKind::Aborted));
}

#[test]
fn what_was_deployed_in_vain_is_put_back_too() {
    let mut run = start();
    run.say(What::TargetUnready("no image".into()));
    assert_eq!((run.course.stage().0, run.taken()), (Stage::PuttingBack, vec![Command::PutBack]));
    assert_eq!(run.verdict(), (VerdictKind::Inconclusive, vec!["target"]));
}

#[test]
fn a_signal_while_it_lasts_ends_it_and_that_is_said() {
    let mut run = start();
    run.say(What::TargetUnready("no image".into()));
    run.taken();
    run.say(What::Interrupted(2));
    assert_eq!((run.course.stage().0, run.taken()), (Stage::Done, vec![Command::Finish]));
    assert_eq!(run.course.put_back().unwrap().left, ["a signal ended it before it was done"]);
    assert_eq!(run.verdict(), (VerdictKind::Inconclusive, vec!["target"]), "what was decided stands");
    run.say(What::PutBack(told()));
    assert_eq!(run.taken(), [], "it is over");
}
