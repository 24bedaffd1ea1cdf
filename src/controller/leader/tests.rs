use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::cluster::fence::fence;

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

impl Leadership {
    /// One that stands as it is told.
    pub(crate) fn standing_as(standing: Standing) -> (watch::Sender<Standing>, Self) {
        let (told, standing) = watch::channel(standing);
        let (_latch, fence) = fence(Clock::start());
        (told, Self(Seat::Elected { fence, standing }))
    }
}

/// An API that keeps one lease, by its versions.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    lease: Option<Value>,
    version: u64,
    calls: Vec<Method>,
    /// It answers nothing any more.
    mute: bool,
}

impl Api {
    fn client(&self) -> Client {
        let api = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let Some((code, answer)) = api.answer(&head.method, serde_json::from_slice(&body).ok()) else {
                    return std::future::pending().await;
                };
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &Method, body: Option<Value>) -> Option<(u16, Value)> {
        let mut kept = self.0.lock().unwrap();
        kept.calls.push(method.clone());
        if kept.mute {
            return None;
        }
        let refusal = |code: u16, reason: &str| {
            (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}))
        };
        let is = kept.lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        Some(match (body, is) {
            (None, None) => refusal(404, "NotFound"),
            (None, Some(_)) => (200, kept.lease.clone().unwrap_or_default()),
            (Some(_), Some(_)) if *method == Method::POST => refusal(409, "AlreadyExists"),
            (Some(new), Some(is)) if new["metadata"]["resourceVersion"] != is => refusal(409, "Conflict"),
            (Some(mut new), _) => {
                kept.version += 1;
                new["metadata"]["resourceVersion"] = kept.version.to_string().into();
                kept.lease = Some(new.clone());
                (200, new)
            }
        })
    }

    fn holder(&self) -> Value {
        self.0.lock().unwrap().lease.as_ref().map(|lease| lease["spec"]["holderIdentity"].clone()).unwrap_or_default()
    }

    /// Terms by which a lease that is not given up is never taken over here.
    fn campaign(&self, name: &str, clock: Clock) -> (Leadership, Campaign) {
        let [hour, minute] = [Duration::from_hours(1), Duration::from_mins(1)];
        let terms = Terms { duration: hour, renew_within: minute, retry: Duration::from_millis(10), answer: DEADLINE };
        self.campaign_by(name, clock, terms)
    }

    fn campaign_by(&self, name: &str, clock: Clock, terms: Terms) -> (Leadership, Campaign) {
        let (latch, fence) = fence(clock);
        let bid = Bid {
            namespace: "ns".into(),
            lease: "verifier".into(),
            identity: name.into(),
            address: Some(([127, 0, 0, 1], 9000 + u16::from(name.as_bytes()[0])).into()),
            terms,
            seed: 1,
        };
        Campaign::begin(self.client(), bid, clock, latch, fence)
    }
}

async fn until(leadership: &Leadership, is: impl Fn(Standing) -> bool) {
    let Seat::Elected { standing, .. } = &leadership.0 else { panic!("nobody is elected") };
    let mut standing = standing.clone();
    let seen = tokio::time::timeout(DEADLINE, standing.wait_for(|now| is(*now))).await;
    assert!(seen.is_ok(), "it stays {:?}", leadership.standing());
}

#[tokio::test]
async fn one_leads_the_other_knows_where_and_follows_when_the_lease_is_given_up() {
    let (api, clock) = (Api::default(), Clock::start());
    let (first, campaign) = api.campaign("a", clock);
    tokio::time::timeout(DEADLINE, first.leads()).await.unwrap();
    assert!(first.is_valid(clock.now()));
    let (second, _other) = api.campaign("b", clock);
    until(&second, |now| now == Standing::Candidate { leader: "127.0.0.1:9097".parse().ok() }).await;
    assert!(!second.is_valid(clock.now()));

    // It renews, with one call each.
    let calls = || api.0.lock().unwrap().calls.iter().filter(|call| **call == Method::PUT).count();
    let renewed = async {
        while calls() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, renewed).await.unwrap();
    assert_eq!((api.holder(), first.standing()), (json!("a"), Standing::Leading));

    campaign.resign().await;
    assert_eq!((first.standing(), first.is_valid(clock.now())), (Standing::Resigned, false));
    tokio::time::timeout(DEADLINE, second.leads()).await.unwrap();
    assert!(second.is_valid(clock.now()) && api.holder() == "b");
    let lost = tokio::time::timeout(Duration::from_millis(20), first.lost()).await;
    assert!(lost.is_err(), "what was given up is not lost");
}

#[tokio::test]
async fn who_cannot_renew_has_lost_and_writes_nothing_more() {
    let (api, clock) = (Api::default(), Clock::start());
    let [renew_within, retry] = [300, 10].map(Duration::from_millis);
    let terms = Terms { duration: Duration::from_hours(1), renew_within, retry, answer: DEADLINE };
    let (leadership, campaign) = api.campaign_by("a", clock, terms);
    tokio::time::timeout(DEADLINE, leadership.leads()).await.unwrap();
    api.0.lock().unwrap().mute = true;
    tokio::time::timeout(DEADLINE, leadership.lost()).await.unwrap();
    assert_eq!((leadership.standing(), leadership.is_valid(clock.now())), (Standing::Lost, false));
    let calls = api.0.lock().unwrap().calls.len();
    campaign.resign().await;
    assert_eq!(api.0.lock().unwrap().calls.len(), calls, "nothing is given up that may be another's");
    assert_eq!(leadership.standing(), Standing::Lost);
}

#[tokio::test]
async fn a_campaign_that_breaks_off_has_lost() {
    let (told, leadership) = Leadership::standing_as(Standing::Leading);
    assert_eq!(leadership.standing(), Standing::Leading);
    drop(told);
    assert_eq!(leadership.standing(), Standing::Lost);
    tokio::time::timeout(DEADLINE, leadership.lost()).await.unwrap();
}

#[tokio::test]
async fn who_is_alone_leads_and_loses_nothing() {
    let alone = Leadership::alone();
    alone.leads().await;
    assert!(alone.is_valid(At(u64::MAX)) && alone.standing() == Standing::Leading);
    assert!(tokio::time::timeout(Duration::from_millis(20), alone.lost()).await.is_err());
}
