//! Letting a pod in through an API that loses answers, fails, and is written to by others: the pod is let in once, and no other one is.

use std::sync::{Arc, Mutex};

use axum::body::Body;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tower::ServiceExt;
use verifier::clock::Clock;
use verifier::cluster::act::admission::open;
use verifier::domain::admission::{Basis, Came, GATE, Permit};
use verifier::sandbox::wire::api::{ApiOptions, router};

use super::in_process;

/// What happens to a PATCH.
#[derive(Clone, Copy)]
enum Meddle {
    /// It gets there, and its answer is lost.
    LoseAnswer,
    /// It gets there, and is answered with this.
    AnswerAfter(u16),
    /// It does not get there, and is answered with this.
    Answer(u16),
    /// It gets lost itself.
    Lose,
    /// The pod is deleted before.
    Delete,
    /// Another pod has its name before.
    Replace,
}

struct Gate {
    pods: Api<Pod>,
    /// The verifier's client, with its PATCHes counted and meddled with, in order.
    verifier: Client,
    patches: Arc<Mutex<usize>>,
    permit: Permit,
}

fn manifest() -> Pod {
    let spec = json!({"containers": [{"name": "web", "image": "a"}], "readinessGates": [{"conditionType": GATE}]});
    serde_json::from_value(json!({"metadata": {"name": "web-1"}, "spec": spec})).unwrap()
}

fn answer(code: u16) -> http::Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "", "code": code});
    http::Response::builder().status(code).body(Body::from(status.to_string())).unwrap()
}

impl Gate {
    async fn with(meddles: Vec<Meddle>) -> Self {
        let (world, client) = in_process();
        let pods: Api<Pod> = Api::default_namespaced(client);
        let uid = pods.create(&PostParams::default(), &manifest()).await.unwrap().uid().unwrap();
        let basis = Basis::Evidence { answers: 22, bad: 0 };
        let permit = Permit { uid: uid.as_str().into(), pod: "web-1".into(), revision: "r".into(), basis };
        let patches: Arc<Mutex<usize>> = Arc::default();
        let meddles = Arc::new(Mutex::new(meddles.into_iter()));
        let (api, counted, others) = (router(world, ApiOptions::default()), patches.clone(), pods.clone());
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (api, others) = (api.clone(), others.clone());
            let patch = request.method() == http::Method::PATCH;
            *counted.lock().unwrap() += usize::from(patch);
            let meddle = if patch { meddles.lock().unwrap().next() } else { None };
            async move {
                match meddle {
                    Some(Meddle::Lose) => return Err(tower::BoxError::from("connection reset")),
                    Some(Meddle::Answer(code)) => return Ok(answer(code)),
                    Some(Meddle::Delete | Meddle::Replace) => {
                        others.delete("web-1", &DeleteParams::default().grace_period(0)).await?;
                    }
                    Some(Meddle::LoseAnswer | Meddle::AnswerAfter(_)) | None => {}
                }
                if matches!(meddle, Some(Meddle::Replace)) {
                    others.create(&PostParams::default(), &manifest()).await?;
                }
                let answered = api.oneshot(request.map(Body::new)).await?;
                match meddle {
                    Some(Meddle::LoseAnswer) => Err("connection reset".into()),
                    Some(Meddle::AnswerAfter(code)) => Ok(answer(code)),
                    _ => Ok(answered),
                }
            }
        });
        Self { pods, verifier: Client::new(service, "default"), patches, permit }
    }

    /// What came of letting the pod in, and how many patches that took.
    async fn opened(&self) -> (Came, usize) {
        let ended = open(&self.verifier, Clock::start(), "default", "r-1", &self.permit).await;
        assert_eq!(ended.uid, self.permit.uid);
        (ended.outcome, *self.patches.lock().unwrap())
    }

    /// The condition of the pod that has the name now.
    async fn condition(&self) -> Option<PodCondition> {
        let conditions = self.pods.get("web-1").await.unwrap().status.and_then(|s| s.conditions).unwrap_or_default();
        let mut of_gate = conditions.into_iter().filter(|c| c.type_ == GATE);
        let condition = of_gate.next();
        assert_eq!(of_gate.next(), None, "one condition of a type");
        condition
    }

    #[track_caller]
    fn says_why(condition: Option<PodCondition>) {
        let condition = condition.expect("the condition is set");
        assert_eq!((&*condition.status, condition.reason.as_deref()), ("True", Some("AnsweredWell")));
        let message = condition.message.unwrap();
        assert_eq!(message, "asked at its own address, all 22 answers were good (verifier run r-1)");
    }
}

#[tokio::test]
async fn what_is_not_known_to_be_written_is_read_and_a_pod_that_is_in_is_not_let_in_again() {
    for (meddles, read_back) in [(vec![], false), (vec![Meddle::LoseAnswer], true), (vec![Meddle::AnswerAfter(500)], true)] {
        let gate = Gate::with(meddles).await;
        assert_eq!(gate.opened().await, (Came::Opened { read_back }, 1));
        Gate::says_why(gate.condition().await);
    }
}

#[tokio::test]
async fn what_was_not_written_is_sent_again_until_it_is() {
    let lost = [Meddle::Lose, Meddle::Answer(500), Meddle::Answer(409)];
    for meddle in lost {
        let gate = Gate::with(vec![meddle]).await;
        assert_eq!(gate.opened().await, (Came::Opened { read_back: false }, 2));
        Gate::says_why(gate.condition().await);
    }
    let gate = Gate::with(vec![Meddle::Answer(503), Meddle::Answer(409), Meddle::LoseAnswer]).await;
    assert_eq!(gate.opened().await, (Came::Opened { read_back: true }, 3));
    Gate::says_why(gate.condition().await);
}

#[tokio::test]
async fn what_the_api_never_writes_is_given_up_and_a_refusal_is_final() {
    let gate = Gate::with(vec![Meddle::Answer(403)]).await;
    assert_eq!(gate.opened().await, (Came::Failed { why: "no (403)".into() }, 1));
    let gate = Gate::with(vec![Meddle::Answer(409); 100]).await;
    let (came, patches) = gate.opened().await;
    assert_eq!(came, Came::Failed { why: "no (409)".into() });
    assert!((2..100).contains(&patches), "{patches} patches until it was given up");
    assert_eq!(gate.condition().await, None);
}

#[tokio::test]
async fn a_pod_that_has_the_name_of_one_that_is_gone_stays_out() {
    let gate = Gate::with(vec![Meddle::Replace]).await;
    assert_eq!(gate.opened().await, (Came::Gone, 1));
    assert_eq!(gate.condition().await, None);
    let gate = Gate::with(vec![Meddle::Delete]).await;
    assert_eq!(gate.opened().await, (Came::Gone, 1));
}
