//! Stopping a rollout through the API, where somebody always comes between: preconditions, lost answers, halves of a hold.

mod broken_off;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use verifier::clock::Clock;
use verifier::cluster::act::guard::{Place, carry_out, tell};
use verifier::domain::rollout::guard::{Action, ActionEnded, Record, Refusal, Revision, Verb};
use verifier::domain::time::At;
use verifier::sandbox::model::controllers::PodMetrics;
use verifier::sandbox::wire::api::{ApiOptions, router};
use verifier::sandbox::wire::control;

use super::in_process;

const DEADLINE: Duration = Duration::from_secs(20);
const PLACE: Place<'static> = Place { namespace: "default", deployment: "web", run: "r-1" };

/// What happens to a PATCH of the guard.
enum Meddle {
    /// This is done to the Deployment before it gets there.
    First(Edit),
    /// It gets there, and its answer is lost.
    LoseAnswer,
    /// It gets lost itself.
    Lose,
    /// The API refuses it.
    Refuse,
    /// Nothing.
    Pass,
}

enum Edit {
    Merge(Value),
    Delete,
    Recreate,
}

/// A Deployment in mid-rollout from image `a` to `b`, with the controllers at work.
struct Stage {
    /// Everybody else's client.
    client: Client,
    /// The guard's client, with its PATCHes logged and meddled with, in order.
    guard: Client,
    patches: Arc<Mutex<Vec<String>>>,
    /// Nothing that the guard asks is answered.
    away: Arc<AtomicBool>,
    stop: CancellationToken,
    clock: Clock,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn manifest(image: &str) -> Deployment {
    let spec = json!({"replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}}});
    serde_json::from_value(json!({"metadata": {"name": "web"}, "spec": spec})).unwrap()
}

async fn edit(client: &Client, edit: &Edit) {
    let api: Api<Deployment> = Api::default_namespaced(client.clone());
    match edit {
        Edit::Merge(patch) => drop(api.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap()),
        Edit::Delete => drop(api.delete("web", &DeleteParams::background()).await.unwrap()),
        Edit::Recreate => {
            drop(api.delete("web", &DeleteParams::orphan()).await.unwrap());
            // No closure: this future is sent between threads.
            while api.get_opt("web").await.unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            api.create(&PostParams::default(), &manifest("b")).await.unwrap();
        }
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "not within {DEADLINE:?}: {what}");
}

fn image(image: &str) -> Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
}

impl Stage {
    async fn set(meddles: Vec<Meddle>) -> Self {
        let (world, client) = in_process();
        let stop = CancellationToken::new();
        tokio::spawn(control::run(world.clone(), 1, Arc::new(PodMetrics::default), stop.clone()));
        let patches: Arc<Mutex<Vec<String>>> = Arc::default();
        let meddles = Arc::new(Mutex::new(meddles.into_iter()));
        let away = Arc::new(AtomicBool::new(false));
        let (api, log, other, gone) = (router(world, ApiOptions::default()), patches.clone(), client.clone(), away.clone());
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (api, other, gone) = (api.clone(), other.clone(), gone.load(Ordering::Relaxed));
            let patch = request.method() == http::Method::PATCH;
            let meddle = if patch { meddles.lock().unwrap().next().unwrap_or(Meddle::Pass) } else { Meddle::Pass };
            if patch {
                log.lock().unwrap().push(request.uri().path().rsplit("v1/namespaces/default/").next().unwrap().to_owned());
            }
            async move {
                if gone {
                    return Err(tower::BoxError::from("connection refused"));
                }
                let lost = matches!(meddle, Meddle::LoseAnswer);
                match meddle {
                    Meddle::Lose => return Err(tower::BoxError::from("connection reset")),
                    Meddle::Refuse => {
                        let status =
                            json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403});
                        return Ok(http::Response::builder().status(403).body(Body::from(status.to_string())).unwrap());
                    }
                    Meddle::First(first) => edit(&other, &first).await,
                    Meddle::LoseAnswer | Meddle::Pass => {}
                }
                let answer = api.oneshot(request.map(Body::new)).await.unwrap();
                if lost { Err("connection reset".into()) } else { Ok(answer) }
            }
        });
        let guard = Client::new(service, "default");
        let stage = Self { client, guard, patches, away, stop, clock: Clock::start() };
        let api: Api<Deployment> = Api::default_namespaced(stage.client.clone());
        api.create(&PostParams::default(), &manifest("a")).await.unwrap();
        until("the first ReplicaSet", async || stage.sizes().await == [("a".into(), 2)]).await;
        edit(&stage.client, &Edit::Merge(image("b"))).await;
        until("the second ReplicaSet", async || stage.sizes().await == [("a".into(), 2), ("b".into(), 1)]).await;
        stage
    }

    async fn deployment(&self) -> Deployment {
        Api::default_namespaced(self.client.clone()).get("web").await.unwrap()
    }

    async fn sets(&self) -> Vec<ReplicaSet> {
        let api: Api<ReplicaSet> = Api::default_namespaced(self.client.clone());
        api.list(&ListParams::default()).await.unwrap().items
    }

    /// Image and wanted pods of each ReplicaSet, by image.
    async fn sizes(&self) -> Vec<(String, i32)> {
        let size = |set: &ReplicaSet| (image_of(set), set.spec.as_ref().unwrap().replicas.unwrap());
        let mut sizes: Vec<_> = self.sets().await.iter().map(size).collect();
        sizes.sort();
        sizes
    }

    /// The action that stops `b` in favour of `a`.
    async fn action(&self, verb: Verb) -> Action {
        let sets = self.sets().await;
        let of = |image: &str| {
            let set = sets.iter().find(|s| image_of(s) == image).unwrap();
            let hash = set.labels()["pod-template-hash"].as_str().into();
            Revision { hash, set: set.name_any().into(), uid: set.uid().unwrap().into() }
        };
        Action {
            verb,
            uid: self.deployment().await.uid().unwrap().into(),
            revision: of("b"),
            back_to: (verb != Verb::Pause).then(|| of("a")),
            because: "9 of 10 requests failed".into(),
            instead_of: None,
            finishes: None,
        }
    }

    async fn carried_out(&self, action: &Action) -> ActionEnded {
        carry_out(&self.guard, self.clock, PLACE, action).await
    }

    /// What the guard sent.
    fn patches(&self) -> Vec<String> {
        self.patches.lock().unwrap().iter().map(|p| p.split('-').next().unwrap().to_owned()).collect()
    }

    async fn is_paused(&self) -> bool {
        self.deployment().await.spec.unwrap().paused.unwrap_or(false)
    }
}

fn image_of(set: &ReplicaSet) -> String {
    set.spec.as_ref().unwrap().template.as_ref().unwrap().spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

#[track_caller]
fn accepted(ended: &ActionEnded) -> (At, Option<At>, bool) {
    match ended {
        ActionEnded::Accepted { at, scaled, read_back, .. } => (*at, *scaled, *read_back),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn why(ended: &ActionEnded) -> (&str, Option<At>) {
    match ended {
        ActionEnded::Failed { why, paused } => (why, *paused),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn record_of(ended: &ActionEnded) -> &Record {
    match ended {
        ActionEnded::LeftAlone(Refusal::Already(record)) => record,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pause_is_one_patch_that_names_its_doer_and_touches_no_template() {
    let stage = Stage::set(Vec::new()).await;
    let (template, action) = (stage.deployment().await.spec.unwrap().template, stage.action(Verb::Pause).await);
    let (_, scaled, read_back) = accepted(&stage.carried_out(&action).await);
    assert_eq!((scaled, read_back, stage.patches()), (None, false, vec!["deployments/web".to_owned()]));
    let after = stage.deployment().await;
    assert_eq!((after.spec.as_ref().unwrap().paused, &after.spec.as_ref().unwrap().template), (Some(true), &template));
    let said = |key: &str| after.annotations()[&format!("verifier.dev/{key}")].as_str();
    assert_eq!([said("action"), said("run"), said("reason")], ["pause", "r-1", "9 of 10 requests failed"]);
    assert_eq!((said("revision"), said("uid")), (&*action.revision.hash, &*action.uid));

    tell(&stage.guard, stage.clock, PLACE, &action).await.unwrap();
    let events: Api<Event> = Api::default_namespaced(stage.client.clone());
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let event = events.iter().find(|e| e.reason.as_deref() == Some("RolloutPaused")).unwrap();
    assert_eq!(event.involved_object.uid.as_deref(), Some(&*action.uid));
    let message = event.message.as_deref().unwrap();
    assert!(message.contains("r-1") && message.ends_with("9 of 10 requests failed"), "{message}");
}

#[tokio::test]
async fn a_hold_empties_the_new_replica_set_and_the_old_one_keeps_the_full_count() {
    let stage = Stage::set(Vec::new()).await;
    let ended = stage.carried_out(&stage.action(Verb::Hold).await).await;
    let (at, scaled, _) = accepted(&ended);
    assert!(scaled >= Some(at), "{ended:?}");
    assert_eq!(stage.patches(), ["deployments/web", "replicasets/web"]);
    until("a is whole and b empty", async || stage.sizes().await == [("a".into(), 2), ("b".into(), 0)]).await;
    assert!(stage.is_paused().await);
}

#[tokio::test]
async fn an_undo_is_one_patch_to_the_named_template_and_the_rollout_goes_back() {
    let stage = Stage::set(Vec::new()).await;
    let (_, scaled, _) = accepted(&stage.carried_out(&stage.action(Verb::Undo).await).await);
    assert_eq!((scaled, stage.patches()), (None, vec!["deployments/web".to_owned()]));
    let after = stage.deployment().await;
    let template = after.spec.unwrap().template;
    assert_eq!(template.spec.unwrap().containers[0].image.as_deref(), Some("a"));
    assert!(!template.metadata.unwrap().labels.unwrap().contains_key("pod-template-hash"));
    let revision = "deployment.kubernetes.io/revision";
    until("a is wanted again", async || stage.deployment().await.annotations()[revision] == "3").await;
    let sets = stage.sets().await;
    let again = sets.iter().find(|s| image_of(s) == "a").unwrap();
    assert_eq!(
        (sets.len(), again.annotations()[revision].as_str()),
        (2, "3"),
        "it is the old ReplicaSet, and no third one was made"
    );
}

#[tokio::test]
async fn what_somebody_else_changed_since_it_was_read_is_left_alone() {
    for verb in [Verb::Pause, Verb::Hold, Verb::Undo] {
        let stage = Stage::set(vec![Meddle::First(Edit::Merge(image("c")))]).await;
        let ended = stage.carried_out(&stage.action(verb).await).await;
        assert!(matches!(ended, ActionEnded::LeftAlone(Refusal::Superseded(_))), "{ended:?}");
        assert_eq!((stage.patches().len(), stage.is_paused().await), (1, false));
        let now = stage.deployment().await;
        assert_eq!(now.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0].image.as_deref(), Some("c"));
        assert!(now.annotations().keys().all(|k| !k.starts_with("verifier.dev/")), "{:?}", now.annotations());

        let paused = Edit::Merge(json!({"spec": {"paused": true}}));
        let stage = Stage::set(vec![Meddle::First(paused)]).await;
        let ended = stage.carried_out(&stage.action(verb).await).await;
        assert_eq!(ended, ActionEnded::LeftAlone(Refusal::PausedByOther));

        for edit in [Edit::Delete, Edit::Recreate] {
            let stage = Stage::set(vec![Meddle::First(edit)]).await;
            let ended = stage.carried_out(&stage.action(verb).await).await;
            assert_eq!(ended, ActionEnded::LeftAlone(Refusal::Gone));
        }
    }
}

#[tokio::test]
async fn a_scaling_in_between_is_no_other_rollout() {
    let stage = Stage::set(vec![Meddle::First(Edit::Merge(json!({"spec": {"replicas": 3}})))]).await;
    accepted(&stage.carried_out(&stage.action(Verb::Pause).await).await);
    assert_eq!((stage.patches().len(), stage.is_paused().await), (2, true), "decided anew on what was read anew");
}

#[tokio::test]
async fn a_lost_answer_is_read_back_and_nothing_is_sent_twice() {
    let stage = Stage::set(vec![Meddle::LoseAnswer]).await;
    let (_, _, read_back) = accepted(&stage.carried_out(&stage.action(Verb::Pause).await).await);
    assert_eq!((read_back, stage.patches().len(), stage.is_paused().await), (true, 1, true));

    let stage = Stage::set(vec![Meddle::Pass, Meddle::LoseAnswer]).await;
    let (_, scaled, read_back) = accepted(&stage.carried_out(&stage.action(Verb::Hold).await).await);
    assert!(read_back && scaled.is_some());
    assert_eq!(stage.patches(), ["deployments/web", "replicasets/web"]);
}

#[tokio::test]
async fn a_patch_that_got_lost_itself_is_a_failure_and_is_not_sent_again() {
    let stage = Stage::set(vec![Meddle::Lose]).await;
    let ended = stage.carried_out(&stage.action(Verb::Undo).await).await;
    assert!(why(&ended).0.contains("connection reset") && why(&ended).1.is_none(), "{ended:?}");
    assert_eq!((stage.patches().len(), stage.is_paused().await), (1, false));
}

#[tokio::test]
async fn a_refusal_of_the_api_is_final() {
    let stage = Stage::set(vec![Meddle::Refuse]).await;
    let ended = stage.carried_out(&stage.action(Verb::Pause).await).await;
    assert_eq!(why(&ended), ("no (403)", None));
    assert_eq!(stage.patches().len(), 1);
}

#[tokio::test]
async fn one_revision_is_acted_on_once_whoever_asks_and_whatever_became_of_it() {
    let stage = Stage::set(Vec::new()).await;
    let action = stage.action(Verb::Pause).await;
    accepted(&stage.carried_out(&action).await);
    for resumed in [false, true] {
        if resumed {
            edit(&stage.client, &Edit::Merge(json!({"spec": {"paused": null}}))).await;
        }
        for verb in [Verb::Pause, Verb::Hold, Verb::Undo] {
            let again = Action { back_to: stage.action(Verb::Undo).await.back_to, verb, ..action.clone() };
            let ended = carry_out(&stage.guard, stage.clock, Place { run: "r-2", ..PLACE }, &again).await;
            let record = record_of(&ended);
            assert_eq!((&*record.run, record.verb, &record.revision), ("r-1", Verb::Pause, &action.revision.hash));
        }
    }
    assert_eq!(stage.patches().len(), 1);
}

#[tokio::test]
async fn the_second_half_of_a_hold_can_be_done_by_a_later_run_once() {
    let stage = Stage::set(vec![Meddle::Pass, Meddle::Refuse]).await;
    let action = stage.action(Verb::Hold).await;
    let ended = stage.carried_out(&action).await;
    assert!(why(&ended).0.starts_with("it is paused, but") && why(&ended).1.is_some(), "{ended:?}");
    assert!(stage.is_paused().await);

    let later = Place { run: "r-2", ..PLACE };
    let record = record_of(&carry_out(&stage.guard, stage.clock, later, &action).await).clone();
    let finishing = Action { finishes: Some(record.clone()), ..action };
    let (_, scaled, _) = accepted(&carry_out(&stage.guard, stage.clock, later, &finishing).await);
    assert!(scaled.is_some());
    until("a is whole and b empty", async || stage.sizes().await == [("a".into(), 2), ("b".into(), 0)]).await;
    assert_eq!(stage.patches(), ["deployments/web", "replicasets/web", "replicasets/web"], "the Deployment is patched once");
    let annotations = stage.deployment().await.annotations().clone();
    assert_eq!(annotations["verifier.dev/run"], "r-1", "the record is that of who decided");
}

#[tokio::test]
async fn a_hold_whose_deployment_is_resumed_in_between_leaves_the_replica_set_alone() {
    let resumed = Edit::Merge(json!({"spec": {"paused": null}}));
    let stage = Stage::set(vec![Meddle::Pass, Meddle::First(resumed)]).await;
    let ended = stage.carried_out(&stage.action(Verb::Hold).await).await;
    // It comes too late to be seen before the write: the controller fills the ReplicaSet again, and the run sees no effect.
    accepted(&ended);
    until("b is filled again", async || stage.sizes().await == [("a".into(), 2), ("b".into(), 1)]).await;
}
