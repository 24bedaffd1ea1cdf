//! What becomes of an action when its verifier ends in the midst of it, or the API is away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use verifier::cluster::act::guard::{Place, finish};
use verifier::domain::rollout::guard::Verb;

use super::{Meddle, PLACE, Stage, accepted, until, why};

#[tokio::test]
async fn who_comes_after_a_hold_that_was_broken_off_finishes_it_from_its_record() {
    let stage = Stage::set(vec![Meddle::Pass, Meddle::Refuse]).await;
    let action = stage.action(Verb::Hold).await;
    let nothing = finish(&stage.guard, stage.clock, PLACE, &action.revision.hash).await;
    assert_eq!(nothing, None, "nobody has done anything");
    assert!(why(&stage.carried_out(&action).await).1.is_some());
    let another = finish(&stage.guard, stage.clock, Place { run: "r-2", ..PLACE }, "of another revision").await;
    assert_eq!(another, None);
    let (record, ended) = finish(&stage.guard, stage.clock, Place { run: "r-2", ..PLACE }, &action.revision.hash).await.unwrap();
    assert_eq!((&*record.run, accepted(&ended.unwrap()).1.is_some()), ("r-1", true));
    until("a is whole and b empty", async || stage.sizes().await == [("a".into(), 2), ("b".into(), 0)]).await;
    let again = finish(&stage.guard, stage.clock, PLACE, &action.revision.hash).await;
    assert_eq!(again, Some((record, None)), "nothing is left to be done");
    assert_eq!(stage.patches(), ["deployments/web", "replicasets/web", "replicasets/web"], "the first of the two was refused");
}

#[tokio::test]
async fn an_api_that_is_away_is_waited_for_before_anything_is_written() {
    let stage = Stage::set(vec![Meddle::Pass]).await;
    let action = stage.action(Verb::Pause).await;
    stage.away.store(true, Ordering::Relaxed);
    let mut acting = std::pin::pin!(stage.carried_out(&action));
    // Longer than all that comes after its first answer may take.
    let waits = tokio::time::timeout(Duration::from_secs(6), &mut acting).await;
    assert!(waits.is_err() && stage.patches().is_empty(), "{waits:?}");
    stage.away.store(false, Ordering::Relaxed);
    accepted(&acting.await);
    assert!(stage.is_paused().await);
}
