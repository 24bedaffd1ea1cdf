//! Stopping a rollout. Each write names by its preconditions what was read just before; none is sent twice; and when an answer is lost, the
//! object is read until it tells whether the write took effect.

mod read;
pub(super) mod write;

use std::time::Duration;

use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::read::{Reading, deployment, reading};
use self::write::Sent;
use super::FIELD_MANAGER;
use crate::clock::Clock;
use crate::cluster::{ClusterError, chain};
use crate::domain::rollout::guard::{Action, ActionEnded, Record, Refusal, Verb, rest, still};
use crate::domain::time::At;

/// Longest wait for the answer to a write.
const ANSWER: Duration = Duration::from_secs(2);
/// Longest wait for an API that is away, before anything is written: what it shows when it is back says whether the action is still right.
const AWAY: Duration = Duration::from_mins(2);
/// Longest time of one attempt altogether: reading, writing, and reading back after a lost answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest wait for the Deployment controller to see a pause, before its new ReplicaSet is emptied.
const SEEN: Duration = Duration::from_secs(2);
/// Between two looks at an object.
const LOOK: Duration = Duration::from_millis(20);
/// The same when the API does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// Times that the state is read and decided on anew after a conflict. Two writers that keep meeting are not resolved by more.
const ATTEMPTS: usize = 3;

/// Whose Deployment is acted on, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// `metadata.namespace`
    pub namespace: &'a str,
    /// `metadata.name` of the Deployment.
    pub deployment: &'a str,
    /// The run that acts.
    pub run: &'a str,
}

/// A moment on the run's clock and by the wall.
fn stamp(clock: Clock) -> String {
    clock.wall_now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Carries out an action, on a client that never retries by itself. Waits for an API that is away; from its first answer on it never takes
/// longer than a few seconds. An action that is no longer about what is there is left alone; a conflict is read and decided anew, and what was
/// sent is never just sent again.
pub async fn carry_out(client: &Client, clock: Clock, place: Place<'_>, action: &Action) -> ActionEnded {
    let (mut tested, mut answered) = (None, None);
    for _ in 0..ATTEMPTS {
        let found = match reading_by(client, place, answered.unwrap_or_else(|| within(clock, AWAY))).await {
            Ok(found) => found,
            Err(error) if read::is_gone(&error) => return ActionEnded::LeftAlone(Refusal::Gone),
            Err(error) => return failed(chain(&error)),
        };
        let deadline = *answered.get_or_insert_with(|| within(clock, DEADLINE));
        if let Err(refusal) = still(action, &found.live) {
            return ActionEnded::LeftAlone(refusal);
        }
        if action.finishes.is_some() {
            return empty(client, clock, place, action, found.live.generation, clock.now(), false).await;
        }
        let version = found.deployment.resource_version();
        if let Some((_, why)) = tested.take_if(|(tested, _)| *tested == version) {
            return failed(format!("the API refuses the patch: {why}"));
        }
        let record = record(place, action, stamp(clock));
        let Some(patch) = write::patch(action, &found, &record) else {
            return ActionEnded::LeftAlone(Refusal::NothingToUndo);
        };
        let path = format!("/apis/apps/v1/namespaces/{}/deployments/{}", place.namespace, place.deployment);
        let (generation, at, read_back) = match write::send(client, &path, &patch).await {
            Sent::Accepted(object) => (object["metadata"]["generation"].as_i64().unwrap_or(0), clock.now(), false),
            Sent::Conflict(why) => {
                tested = Some((version, why));
                continue;
            }
            Sent::Gone => return ActionEnded::LeftAlone(Refusal::Gone),
            Sent::Refused(why) => return failed(why),
            Sent::Unknown(why) => match read_back(client, place, &record, deadline).await {
                Some(generation) => (generation, clock.now(), true),
                None => return failed(format!("{why}, and it is not to be seen that the patch took effect")),
            },
        };
        if action.verb == Verb::Hold {
            return empty(client, clock, place, action, generation, at, read_back).await;
        }
        return ActionEnded::Accepted { generation, at, scaled: None, read_back };
    }
    let why = tested.map(|(_, why)| why).unwrap_or_default();
    failed(format!("the Deployment changed {ATTEMPTS} times while it was to be patched: {why}"))
}

fn within(clock: Clock, span: Duration) -> Instant {
    clock.instant(clock.now() + span).into()
}

/// What was done to this revision by the run of this place, which is over, or by the one before it. A hold that came no further than its pause
/// is finished, and how that went is told as well.
pub async fn finish(client: &Client, clock: Clock, place: Place<'_>, revision: &str) -> Option<(Record, Option<ActionEnded>)> {
    let live = reading_by(client, place, within(clock, AWAY)).await.ok()?.live;
    let about_it = |r: &&Record| r.uid == live.uid && (*r.run == *place.run || *r.revision == *revision);
    let record = live.acted.as_ref().filter(about_it)?;
    let Some(action) = rest(record, &live) else { return Some((record.clone(), None)) };
    let ended = carry_out(client, clock, place, &action).await;
    if matches!(ended, ActionEnded::Accepted { .. }) {
        // It only tells; without it the action stands as well.
        let _ = tell(client, clock, place, &action).await;
    }
    Some((record.clone(), Some(ended)))
}

/// Reads until the API answers or the deadline passes: reading twice does no harm.
async fn reading_by(client: &Client, place: Place<'_>, deadline: Instant) -> Result<Reading, ClusterError> {
    loop {
        let error = match timeout(ANSWER, reading(client, place)).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error,
            Err(_) => ClusterError::timed_out(format!("read deployment {}/{}", place.namespace, place.deployment)),
        };
        let answered = matches!(&*error.source, kube::Error::Api(status) if status.code < 500);
        if answered || timeout_at(deadline, sleep(RETRY)).await.is_err() {
            return Err(error);
        }
    }
}

fn failed(why: String) -> ActionEnded {
    ActionEnded::Failed { why, paused: None }
}

fn record(place: Place<'_>, action: &Action, at: String) -> Record {
    Record {
        verb: action.verb,
        run: place.run.into(),
        at: at.into(),
        uid: action.uid.clone(),
        revision: action.revision.hash.clone(),
        reason: action.because.clone(),
    }
}

/// Reads until the record of the write is there, or the deadline passes: nothing that was sent is sent again.
async fn read_back(client: &Client, place: Place<'_>, record: &Record, deadline: Instant) -> Option<i64> {
    loop {
        let found = timeout_at(deadline, deployment(client, place)).await.ok()?;
        if let Ok(found) = found
            && super::record::read(&found.metadata).as_ref() == Some(record)
        {
            return found.metadata.generation;
        }
        timeout_at(deadline, sleep(RETRY)).await.ok()?;
    }
}

/// The second half of a hold: the new ReplicaSet to 0, when the controller has seen the pause. Before that it would fill it again.
async fn empty(
    client: &Client,
    clock: Clock,
    place: Place<'_>,
    action: &Action,
    generation: i64,
    at: At,
    read_back: bool,
) -> ActionEnded {
    let paused = |why: String| ActionEnded::Failed { why: format!("it is paused, but {why}"), paused: Some(at) };
    let deadline = within(clock, DEADLINE);
    // A controller that says nothing is no reason to leave pods that hurt.
    let _ = timeout(SEEN, seen(client, place, generation)).await;
    let path = format!("/apis/apps/v1/namespaces/{}/replicasets/{}/scale", place.namespace, action.revision.set);
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": action.revision.uid},
        {"op": "add", "path": "/spec/replicas", "value": 0},
    ]);
    let found = match reading_by(client, place, deadline).await {
        Ok(found) => found,
        Err(error) => return paused(chain(&error)),
    };
    if !found.live.paused || found.live.revision.as_ref() != Some(&action.revision.hash) {
        return paused("somebody changed the Deployment before its new ReplicaSet could be emptied".into());
    }
    let old = action.back_to.as_ref().and_then(|to| found.live.replicas_of(&to.uid)).unwrap_or(0);
    if old == 0 {
        return paused("the old pods were gone by then, so its new ReplicaSet was left as it is".into());
    }
    let done = |read_back| ActionEnded::Accepted { generation, at, scaled: Some(clock.now()), read_back };
    match write::send(client, &path, &patch).await {
        Sent::Accepted(_) => done(read_back),
        Sent::Gone => paused("its new ReplicaSet is gone".into()),
        Sent::Conflict(why) | Sent::Refused(why) => paused(format!("its new ReplicaSet could not be scaled to 0: {why}")),
        Sent::Unknown(why) => {
            while let Ok(found) = timeout_at(deadline, reading(client, place)).await {
                if found.is_ok_and(|f| f.live.replicas_of(&action.revision.uid) == Some(0)) {
                    return done(true);
                }
                if timeout_at(deadline, sleep(RETRY)).await.is_err() {
                    break;
                }
            }
            paused(format!("{why}, and its new ReplicaSet is not seen at 0"))
        }
    }
}

/// Until the controller says that it has seen this generation.
async fn seen(client: &Client, place: Place<'_>, generation: i64) {
    loop {
        let observed = deployment(client, place).await.ok().and_then(|d| d.data["status"]["observedGeneration"].as_i64());
        if observed >= Some(generation) {
            return;
        }
        sleep(LOOK).await;
    }
}

/// Leaves a Kubernetes Event at the Deployment: who did what, and why. It only tells; without it the action stands as well.
pub async fn tell(client: &Client, clock: Clock, place: Place<'_>, action: &Action) -> Result<(), String> {
    let now = clock.stamp();
    let (reason, what) = match action.verb {
        Verb::Pause => ("RolloutPaused", "paused"),
        Verb::Hold => ("RolloutHeld", "paused, and its ReplicaSet scaled to 0"),
        Verb::Undo => ("RolloutUndone", "replaced by the template of before"),
    };
    let message = format!("revision {} was {what} by verifier run {}: {}", action.revision.hash, place.run, action.because);
    let event = json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {"generateName": format!("{}.", place.deployment), "namespace": place.namespace},
        "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": place.namespace,
            "name": place.deployment, "uid": action.uid},
        "type": "Warning", "reason": reason, "message": message.chars().take(1_000).collect::<String>(),
        "source": {"component": FIELD_MANAGER}, "reportingComponent": "verifier.dev/verifier", "reportingInstance": place.run,
        "firstTimestamp": now, "lastTimestamp": now, "count": 1,
    });
    let path = format!("/api/v1/namespaces/{}/events", place.namespace);
    match timeout(ANSWER, write::post(client, &path, &event)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err("the API did not answer".into()),
    }
}

/// The template of a ReplicaSet as a Deployment would have it.
fn template_of(set: &Value) -> Value {
    let mut template = set["spec"]["template"].clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(read::HASH);
    }
    template
}
