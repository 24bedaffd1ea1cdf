use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use kube::client::Body;
use kube::core::Status;
use serde_json::{Value, json};

use super::*;
use crate::domain::policy::{ANNOTATION, Source};

/// An API that takes writes down, and answers with this code.
#[derive(Clone, Default)]
struct Paper {
    written: Arc<Mutex<Vec<(String, Value)>>>,
    code: Arc<Mutex<u16>>,
}

impl Paper {
    fn client(&self) -> Client {
        let paper = self.clone();
        *paper.code.lock().unwrap() = 200;
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let paper = paper.clone();
            async move {
                let path = request.uri().path().to_owned();
                let body = request.into_body().collect_bytes().await.unwrap();
                paper.written.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap()));
                let code = *paper.code.lock().unwrap();
                let answer = if code == 200 {
                    json!({"apiVersion": "verifier.dev/v1alpha1", "kind": "RolloutPolicy", "metadata": {"name": "p"}})
                } else {
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "No", "code": code})
                };
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(http::Response::builder().status(code).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }

    /// The statuses that were written since this was asked last: how many Deployments, and the reason.
    fn statuses(&self) -> Vec<(u64, String)> {
        let written = std::mem::take(&mut *self.written.lock().unwrap());
        let say = |(path, body): (String, Value)| {
            assert_eq!(path, "/apis/verifier.dev/v1alpha1/namespaces/todo/rolloutpolicies/p/status");
            let status = &body["status"];
            (status["matched"].as_u64().unwrap(), status["conditions"][0]["reason"].as_str().unwrap().to_owned())
        };
        written.into_iter().map(say).collect()
    }
}

fn deployment(name: &str, annotation: Option<&str>) -> Light {
    let annotations = annotation.map(|text| json!({ANNOTATION: text})).unwrap_or_default();
    serde_json::from_value(json!({
        "metadata": {"namespace": "todo", "name": name, "uid": name, "annotations": annotations.as_object().cloned().unwrap_or_default()},
    }))
    .unwrap()
}

fn rollout_policy(uid: &str, spec: &Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "verifier.dev/v1alpha1", "kind": "RolloutPolicy",
        "metadata": {"namespace": "todo", "name": "p", "uid": uid, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": spec,
    }))
    .unwrap()
}

fn everything() -> DynamicObject {
    rollout_policy("u", &json!({"selector": {}}))
}

fn failure(code: u16) -> watcher::Error {
    watcher::Error::InitialListFailed(kube::Error::Api(Box::new(Status::failure("no", "No").with_code(code))))
}

/// What is told, in short.
fn said(news: Vec<Sighting>) -> Vec<String> {
    let say = |sighting| match sighting {
        Sighting::Seen(key, watched) => match watched.source {
            Source::Annotation => format!("{} annotated", key.name),
            Source::Policy(policy) => format!("{} has {policy}", key.name),
        },
        Sighting::Gone(key) => format!("{} gone", key.name),
        Sighting::Lost(_) => "lost".into(),
        Sighting::Listed => "listed".into(),
        Sighting::Restored => "restored".into(),
    };
    news.into_iter().map(say).collect()
}

impl Fleet {
    /// Lists these, and answers with what is told of it.
    fn list(&mut self, deployments: Vec<Light>) -> Vec<String> {
        let events = deployments.into_iter().map(Event::InitApply);
        let events = std::iter::once(Event::Init).chain(events).chain([Event::InitDone]);
        events.flat_map(|event| said(self.deployment(Ok(event)))).collect()
    }

    fn list_policies(&mut self, policies: Vec<DynamicObject>) -> Vec<String> {
        let events = policies.into_iter().map(Event::InitApply);
        let events = std::iter::once(Event::Init).chain(events).chain([Event::InitDone]);
        events.flat_map(|event| said(self.policy(Ok(event)))).collect()
    }
}

#[tokio::test]
async fn all_is_listed_when_both_kinds_are_and_what_a_new_list_lacks_is_gone() {
    let mut fleet = Fleet::new(Paper::default().client());
    assert_eq!(fleet.list(vec![deployment("a", None), deployment("b", Some("{}"))]), ["b annotated"]);
    assert_eq!(fleet.list_policies(vec![everything()]), ["a has p", "listed"]);
    assert_eq!(fleet.list(vec![deployment("b", Some("{}"))]), ["a gone"]);
    assert_eq!(said(fleet.deployment(Ok(Event::Apply(deployment("c", None))))), ["c has p"]);
    assert_eq!(said(fleet.deployment(Ok(Event::Delete(deployment("b", Some("{}")))))), ["b gone"]);
    assert_eq!(said(fleet.policy(Ok(Event::Delete(everything())))), ["c gone"]);
    assert_eq!(fleet.list_policies(vec![everything()]), ["c has p"]);
    assert_eq!(fleet.list_policies(vec![]), ["c gone"]);
}

#[tokio::test]
async fn where_there_are_no_policies_annotations_ask_alone() {
    let mut fleet = Fleet::new(Paper::default().client());
    assert_eq!(fleet.list(vec![deployment("a", None), deployment("b", Some("{}"))]), ["b annotated"]);
    let (news, pause) = fleet.no_policies(404);
    assert_eq!((said(news), pause), (vec!["listed".to_owned()], LOOK_AGAIN));
    assert_eq!(fleet.list_policies(vec![everything()]), ["a has p"], "they may come later");
    for _ in 0..2 {
        let (news, pause) = fleet.no_policies(404);
        assert_eq!((said(news), pause), (vec![], CONFIRM), "one that starts may not know all kinds yet");
        assert_eq!(fleet.list_policies(vec![everything()]), [""; 0]);
    }
    fleet.no_policies(404);
    let (news, pause) = fleet.no_policies(404);
    assert_eq!((said(news), pause), (vec!["a gone".to_owned()], LOOK_AGAIN));
}

#[tokio::test]
async fn policies_that_may_no_longer_be_read_stay_in_force() {
    let mut fleet = Fleet::new(Paper::default().client());
    fleet.list(vec![deployment("a", None)]);
    fleet.list_policies(vec![everything()]);
    let (news, pause) = fleet.no_policies(403);
    assert_eq!((said(news), pause), (vec![], LOOK_AGAIN));
    assert_eq!(said(fleet.deployment(Ok(Event::Apply(deployment("b", None))))), ["b has p"]);
}

#[tokio::test]
async fn that_the_api_does_not_answer_is_told_once_and_that_it_does_when_all_of_it_does() {
    let mut fleet = Fleet::new(Paper::default().client());
    assert_eq!(said(fleet.deployment(Err(failure(500)))), ["lost"]);
    assert_eq!(said(fleet.deployment(Err(failure(500)))), [""; 0]);
    assert_eq!(said(fleet.policy(Err(failure(503)))), [""; 0]);
    assert_eq!(said(fleet.deployment(Ok(Event::Init))), [""; 0]);
    assert_eq!(said(fleet.policy(Ok(Event::Init))), ["restored"]);
}

#[test]
fn only_what_says_that_the_kind_is_not_there_means_that_it_is_not() {
    assert_eq!([403, 404, 410, 500].map(|code| absent(&failure(code))), [Some(403), Some(404), None, None]);
    assert_eq!(absent(&watcher::Error::NoResourceVersion), None);
}

/// Lets this much time pass, and takes what is written in it.
async fn pass(fleet: &mut Fleet, time: Duration) {
    let writing = async {
        while let Some(done) = fleet.scribe.done().await {
            fleet.scribe.take(done);
        }
        std::future::pending::<()>().await;
    };
    assert!(tokio::time::timeout(time, writing).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_status_is_written_when_it_is_another_and_no_more_often_than_every_other_second() {
    let paper = Paper::default();
    let mut fleet = Fleet::new(paper.client());
    fleet.list_policies(vec![everything()]);
    pass(&mut fleet, Duration::from_secs(10)).await;
    assert_eq!(paper.statuses(), [], "how many it has is not known before Deployments are listed");

    fleet.list(vec![deployment("a", None)]);
    pass(&mut fleet, Duration::from_millis(100)).await;
    assert_eq!(paper.statuses(), [(1, "Selected".to_owned())]);
    for name in ["b", "c", "d"] {
        fleet.deployment(Ok(Event::Apply(deployment(name, None))));
    }
    pass(&mut fleet, Duration::from_millis(1_800)).await;
    assert_eq!(paper.statuses(), []);
    pass(&mut fleet, Duration::from_millis(200)).await;
    assert_eq!(paper.statuses(), [(4, "Selected".to_owned())], "the latest one alone");
    pass(&mut fleet, Duration::from_mins(10)).await;
    fleet.list_policies(vec![everything()]);
    pass(&mut fleet, Duration::from_mins(10)).await;
    assert_eq!(paper.statuses(), [], "it is as it was");

    fleet.policy(Ok(Event::Apply(rollout_policy("u", &json!({"selector": {}, "guard": "pray"})))));
    pass(&mut fleet, Duration::from_secs(10)).await;
    assert_eq!(paper.statuses(), [(4, "InvalidPolicy".to_owned())]);
    fleet.policy(Ok(Event::Apply(rollout_policy("another", &json!({"selector": {}, "guard": "pray"})))));
    pass(&mut fleet, Duration::from_secs(10)).await;
    assert_eq!(paper.statuses(), [(4, "InvalidPolicy".to_owned())], "it is made anew, and has no status");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_made_up_for_with_the_next_change() {
    let paper = Paper::default();
    let mut fleet = Fleet::new(paper.client());
    *paper.code.lock().unwrap() = 500;
    fleet.list(vec![deployment("a", None)]);
    fleet.list_policies(vec![everything()]);
    pass(&mut fleet, Duration::from_mins(1)).await;
    assert_eq!(paper.statuses(), [(1, "Selected".to_owned())]);
    *paper.code.lock().unwrap() = 200;
    // A change that makes no other status.
    let mut labelled = deployment("a", None);
    labelled.seen.wish.labels.insert("a".into(), "b".into());
    fleet.deployment(Ok(Event::Apply(labelled)));
    pass(&mut fleet, Duration::from_mins(1)).await;
    assert_eq!(paper.statuses(), [(1, "Selected".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_stands_in_the_object_already_is_not_written_again() {
    let paper = Paper::default();
    let mut fleet = Fleet::new(paper.client());
    fleet.list(vec![deployment("a", None)]);
    fleet.list_policies(vec![everything()]);
    pass(&mut fleet, Duration::from_secs(10)).await;
    let status = paper.written.lock().unwrap()[0].1["status"].clone();
    let paper = Paper::default();
    let mut next = Fleet::new(paper.client());
    let mut object = everything();
    object.data["status"] = status;
    next.list_policies(vec![object]);
    next.list(vec![deployment("a", None)]);
    pass(&mut next, Duration::from_secs(10)).await;
    assert_eq!(paper.statuses(), []);
}
