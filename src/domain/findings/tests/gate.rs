//! A version that is turned away before any user meets it.

use super::*;
use crate::domain::traffic::PODS;

/// The first new pod waits at its gate from 4.2 s on, and so many of its ten answers to the verifier are a status 500.
pub(super) fn at_the_gate(bad: u64) -> Vec<Event> {
    let mut events = until(healthy(), 4_200);
    for event in &mut events {
        let What::TargetReady(plan) = &mut event.what else { continue };
        let mut admission = plan.lanes[0].clone();
        admission.name = name("admission");
        admission.request.connect_to = Some(PODS.into());
        plan.lanes.push(admission);
    }
    let waits = |p: &mut PodState| {
        p.gated = true;
        p.containers[0].ready = true;
    };
    let failed = failures(4_310, 4_320, bad, |f| {
        f.lane = name("admission");
        f.outcome = Outcome::AppStatus;
        f.status = Some(500);
        f.pod = Some(name(N1));
    });
    let mut counts = Counts::default();
    counts.add(Outcome::Ok, 10 - bad);
    let part = Part { pod: Some(name(N1)), counts, ..Part::default() };
    let answered = Slice { lane: name("admission"), end: at(4_400), due: 10 - bad, parts: vec![part], lag_max: 0 };
    let end = [(6_000, What::TrafficStopped), (6_000, What::RunEnded)];
    let more = [(20, What::Listed), (4_150, endpoints(&[(O1, true), (O2, true), (N1, false)])), (4_200, new_pod(N1, false, waits))];
    with(with(events, more), failed.into_iter().chain([(4_400, What::Slice(answered))]).chain(end))
}

#[test]
fn who_is_turned_away_is_named_with_what_was_asked_and_answered_and_a_good_version_is_not() {
    let finding = &found(&at_the_gate(4))[0];
    let title = format!("turned away at its readiness gate: revision {NEW} failed 4 of 10 requests of the verifier's own");
    assert_eq!(finding.title, format!("{title}, and none of a user's got to it"));
    assert_eq!((finding.failures, finding.phase, &finding.pods[..]), (0, Some(Phase::Surging), &[N1.to_owned()][..]));
    let [answered, others] = finding.evidence.as_slice() else { panic!("{:?}", finding.evidence) };
    let asked = "was asked at its own address until t+4.4s, and failed 4 of 10 requests: 4 app_status (500)";
    assert_eq!(*answered, format!("pod {N1}, at the gate since t+4.2s, {asked}"));
    assert_eq!(others, &format!("not let in since t+4.4s; of revision {OLD} 2 pods are ready"));
    let advice = &finding.prescription.as_ref().unwrap().advice;
    for command in ["kubectl rollout undo deployment/backend -n todo", "kubectl logs -n todo", "8080:80`", "http://127.0.0.1:8080/"]
    {
        assert!(advice.contains(command), "{command} is not in {advice}");
    }
    assert_eq!(codes(&at_the_gate(0)), Vec::<String>::new());

    // Of pods that are gone there is nothing to be looked at, and what they answered stays known.
    let gone = with(at_the_gate(4), [(5_000, What::PodGone(name(&format!("uid-{N1}"))))]);
    let after = &found(&gone)[0];
    assert_eq!((&after.evidence, &after.pods), (&finding.evidence, &finding.pods));
    assert!(!after.prescription.as_ref().unwrap().advice.contains("kubectl logs"));
}
