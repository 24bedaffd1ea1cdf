use super::*;
use crate::domain::outcome::Counts;
use crate::domain::rollout::state::{ContainerNow, Endpoint, EndpointsState, Exit, PodState, ReplicaSetState};
use crate::domain::rollout::tests::{container, name, pod, set};
use crate::domain::slice::{Connection, Part, Phases, Slice};

fn at(ms: u64) -> At {
    At(ms * 1_000)
}

fn failure(ms: u64, outcome: Outcome, pod: Option<&str>) -> Failure {
    Failure {
        lane: name("fresh"),
        due: at(ms),
        sent: None,
        known: at(ms + 5),
        phases: Phases::default(),
        outcome,
        status: None,
        pod: pod.map(name),
        direct: false,
        version: None,
        connection: None,
        note: String::new(),
    }
}

fn attribute(failure: &Failure, rollout: &Rollout, own: &[&Failure]) -> Attribution {
    let tally = Tally::default();
    Evidence::new(rollout, &tally, own.iter().copied(), BTreeSet::from([name("pinned")])).attribute(failure)
}

/// Two old pods and a new one; the old ones are told to end at 10 s and 12 s.
fn rollout() -> Rollout {
    let mut r = Rollout::default();
    r.pod(&pod("o1", "old", true, false), at(0));
    r.pod(&pod("o2", "old", true, false), at(0));
    r.pod(&pod("n1", "new", true, false), at(9_000));
    r.pod(&pod("o1", "old", true, true), at(10_000));
    r
}

#[test]
fn an_answer_that_names_its_pod_needs_no_guess() {
    let a = attribute(&failure(9_500, Outcome::AppStatus, Some("n1")), &rollout(), &[]);
    let young = Moment::Young(500_000);
    assert_eq!(
        a,
        Attribution {
            pod: Some(name("n1")),
            among: vec![],
            revision: Some(name("new")),
            node: Some(name("node")),
            moment: young,
            how: How::Connection
        }
    );
    let stranger = attribute(&failure(9_500, Outcome::AppStatus, Some("x")), &rollout(), &[]);
    assert_eq!((stranger.pod.as_deref(), stranger.revision), (Some("x"), None));
}

#[test]
fn a_refused_request_belongs_to_the_only_pod_that_was_leaving() {
    let a = attribute(&failure(11_500, Outcome::Refused, None), &rollout(), &[]);
    assert_eq!((a.pod.as_deref(), a.moment, a.how), (Some("o1"), Moment::Terminating(1_500_000), How::Time));
}

#[test]
fn two_leaving_pods_of_one_revision_name_the_revision_only() {
    let mut r = rollout();
    r.pod(&pod("o2", "old", true, true), at(12_000));
    let a = attribute(&failure(13_000, Outcome::GatewayStatus, None), &r, &[]);
    let nearest = Moment::Terminating(1_000_000);
    let among = vec![name("o1"), name("o2")];
    assert_eq!(a, Attribution { pod: None, among, revision: Some(name("old")), node: None, moment: nearest, how: How::Time });
}

#[test]
fn a_pods_own_lane_decides_between_suspects() {
    let mut r = rollout();
    r.pod(&pod("o2", "old", true, true), at(12_000));
    let own = Failure { direct: true, ..failure(13_100, Outcome::Refused, Some("o2")) };
    let a = attribute(&failure(13_000, Outcome::GatewayStatus, None), &r, &[&own]);
    assert_eq!((a.pod.as_deref(), a.how), (Some("o2"), How::PodLane));
    let other = Failure { direct: true, ..failure(13_050, Outcome::Refused, Some("o1")) };
    assert_eq!(
        attribute(&failure(13_000, Outcome::GatewayStatus, None), &r, &[&own, &other]).how,
        How::Time,
        "two lanes that failed decide nothing"
    );
}

#[test]
fn what_nothing_explains_stays_unknown() {
    assert_eq!(attribute(&failure(5_000, Outcome::Refused, None), &rollout(), &[]), Attribution::UNKNOWN);
    assert_eq!(
        attribute(&failure(11_000, Outcome::AppStatus, None), &rollout(), &[]),
        Attribution::UNKNOWN,
        "a pod that answers is not missing"
    );
    let mut r = rollout();
    r.pod_gone(&name("uid-o1"), at(14_000));
    assert_eq!(
        attribute(&failure(29_500, Outcome::Refused, None), &r, &[]),
        Attribution::UNKNOWN,
        "nobody sends to a pod gone for 15 s"
    );
}

/// What a pod answered well in the slice that ends at `ms`.
fn answered(tally: &mut Tally, pod: &str, ms: u64) {
    let mut counts = Counts::default();
    counts.add(Outcome::Ok, 3);
    let part = Part { pod: Some(name(pod)), counts, ..Part::default() };
    tally.slice(&Slice { lane: name("fresh"), end: at(ms), due: 3, parts: vec![part], lag_max: 0 });
}

#[test]
fn a_pod_that_serves_on_after_the_ingress_let_it_go_is_no_suspect() {
    let mut r = rollout();
    let pre_stop = Some(PreStop::Sleep { length: Duration::from_secs(5) });
    r.replica_set(&ReplicaSetState { template: TemplateState { pre_stop, ..TemplateState::default() }, ..set("old", 1) }, at(0));
    let mut tally = Tally::default();
    tally.measure_from(at(0));
    answered(&mut tally, "o1", 12_100);
    let how = |tally: &Tally, ms| {
        Evidence::new(&r, tally, std::iter::empty(), BTreeSet::new()).attribute(&failure(ms, Outcome::GatewayStatus, None)).how
    };
    assert_eq!(how(&tally, 12_500), How::Unknown, "it sleeps until 15 s and serves");
    assert_eq!(how(&tally, 16_000), How::Unknown, "nobody has asked it since 12.1 s");
    answered(&mut tally, "o1", 14_900);
    assert_eq!(how(&tally, 16_000), How::Time, "it was asked until it stopped");
}

#[test]
fn a_new_pod_is_suspect_until_it_has_answered_well_and_one_that_fell_over_until_the_ingress_knows() {
    let mut r = Rollout::default();
    r.pod(&pod("n1", "new", true, false), at(9_000));
    let endpoint = Endpoint {
        pod: Some(name("n1")),
        address: name("10.0.0.1"),
        port: Some(80),
        ready: true,
        serving: true,
        terminating: false,
    };
    r.endpoint_slice(&EndpointsState { name: name("s"), endpoints: vec![endpoint] }, at(9_000));
    let mut tally = Tally::default();
    tally.measure_from(at(0));
    answered(&mut tally, "n1", 11_000);
    let moment = |r: &Rollout, ms| {
        let evidence = Evidence::new(r, &tally, std::iter::empty(), BTreeSet::new());
        evidence.attribute(&failure(ms, Outcome::ResponseTimeout, None)).moment
    };
    assert_eq!((moment(&r, 10_000), moment(&r, 12_000)), (Moment::Young(1_000_000), Moment::Unknown));
    let ended = container(ContainerNow::Running, 1, Some(Exit { code: 137, reason: "OOMKilled".into() }));
    r.pod(&PodState { containers: vec![ended], ..pod("n1", "new", true, false) }, at(20_000));
    assert_eq!((moment(&r, 21_000), moment(&r, 26_000)), (Moment::Down(1_000_000), Moment::Unknown));
}

#[test]
fn a_connection_that_leads_to_one_pod_names_it() {
    let connection = Connection { id: 1, local_port: 1, age: 1, served: 3, last_pod: Some(name("o2")) };
    let broken = Failure { connection: Some(connection), ..failure(11_500, Outcome::ResetAfterSend, None) };
    let of = |lane: &str| attribute(&Failure { lane: name(lane), ..broken.clone() }, &rollout(), &[]);
    assert_eq!((of("pinned").pod.as_deref(), of("pinned").how), (Some("o2"), How::Connection));
    assert_eq!(of("fresh").pod.as_deref(), Some("o1"), "a proxy chooses anew for each request");
}
