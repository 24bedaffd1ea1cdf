//! V1xx: what goes wrong when pods end.

use std::time::Duration;

use serde_json::json;

use super::found::{Found, after, share};
use super::patch;
use super::seen::{Failed, Open, Seen};
use crate::domain::attribution::{Moment, explained_by_a_missing_pod, pre_stop};
use crate::domain::display::{count, plural, span};
use crate::domain::outcome::Outcome;
use crate::domain::rollout::PodLife;
use crate::domain::rollout::state::{PreStop, TemplateState};
use crate::domain::time::At;

/// The kill at the end of the grace period is seen at most this long before or after it: the API counts it in whole seconds.
const KILL: (Duration, Duration) = (Duration::from_millis(500), Duration::from_millis(1_500));
/// However long preStop takes, the kubelet leaves a container this long between SIGTERM and the kill.
const AT_LEAST: Duration = Duration::from_secs(2);
/// What the cluster says reaches the verifier a little earlier or later than the pod.
const NEWS: Duration = Duration::from_millis(100);
/// A gateway that meets a closed connection says so at once; anything slower had another reason.
const AT_ONCE: Duration = Duration::from_millis(150);
/// A race is rare and random: fewer failures than this are not told from an accident.
const FEW: usize = 3;
/// What a pod needs between the end of its preStop sleep and its own end.
const TO_END: Duration = Duration::from_secs(10);

/// Failures of pods on their way out that no answer explains.
fn leaving<'a>(open: &Open<'a>) -> Vec<&'a Failed<'a>> {
    open.that(|f| matches!(f.who.moment, Moment::Terminating(_)) && explained_by_a_missing_pod(f.outcome()))
}

/// When SIGTERM came to a pod.
fn stopped(seen: &Seen<'_>, pod: &PodLife) -> Option<At> {
    Some(pod.terminating? + pre_stop(seen.template(&pod.state.revision)))
}

/// The template of the first pod that a failure may belong to.
fn template<'s>(seen: &'s Seen<'_>, failures: &[&Failed<'_>]) -> Option<&'s TemplateState> {
    let pod = failures.iter().find_map(|f| seen.suspects(f).into_iter().next())?;
    seen.template(&pod.state.revision)
}

/// Whole seconds of sleep that cover what was measured, with half of it and a second to spare: it was measured once.
fn sleep_for(propagation: Duration) -> u64 {
    let spared = propagation + propagation / 2;
    spared.as_secs() + u64::from(spared.subsec_nanos() > 0) + 1
}

fn last_request(seen: &Seen<'_>) -> String {
    let removed = match seen.profile.slowest_removal {
        Duration::ZERO => String::new(),
        removal => format!("pods left the EndpointSlices within {} of being told to end; ", span(removal)),
    };
    format!("{removed}the last request was sent to one {} after it was told to end, or later", span(seen.propagation()))
}

/// The overlay that lets pods serve on for so long before SIGTERM, within the grace period.
fn sleeping(seen: &Seen<'_>, template: &TemplateState, seconds: u64) -> serde_json::Value {
    let fields = json!({"lifecycle": {"preStop": {"exec": null, "httpGet": null, "sleep": {"seconds": seconds}}}});
    let needed = Duration::from_secs(seconds) + TO_END;
    let grace = if template.grace < needed { json!({"terminationGracePeriodSeconds": needed.as_secs()}) } else { json!({}) };
    patch::pod(seen, &template.container, &fields, &grace)
}

/// From being told to end to the kill.
fn killed_after(template: &TemplateState) -> Duration {
    template.grace.max(pre_stop(Some(template)) + AT_LEAST)
}

/// V103: requests were still being served when the grace period ended.
pub(super) fn grace_too_short(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let killed = |f: &Failed<'_>| {
        seen.suspects(f).into_iter().any(|pod| {
            let Some((told, template)) = pod.terminating.zip(seen.template(&pod.state.revision)) else { return false };
            let kill = told + killed_after(template);
            let around = f.failure.known + KILL.0 >= kill && f.failure.known <= kill + KILL.1;
            around && f.failure.due + KILL.0 < kill && pod.gone.is_none_or(|gone| gone + KILL.0 >= kill)
        })
    };
    let failures: Vec<_> = leaving(open).into_iter().filter(|f| killed(f)).collect();
    let template = template(seen, &failures)?;
    let longest = failures.iter().map(|f| f.failure.known.since(f.failure.due)).max()?.max(seen.longest_answer());
    let sleep = pre_stop(Some(template));
    let needed = (sleep + longest * 2).as_secs() + 1;
    let title = format!(
        "grace period shorter than requests: {}, cut when pods were killed {} after they were told to end",
        share(&failures, seen),
        span(killed_after(template))
    );
    let advice =
        format!("give pods {needed} s: {} of preStop and twice the longest request that was seen ({})", span(sleep), span(longest));
    let patch = patch::deployment(seen, &json!({"template": {"spec": {"terminationGracePeriodSeconds": needed}}}));
    let gain = format!("the {} that were cut are finished", plural(failures.len() as u64, "request"));
    let found = Found::of("V103", &failures, title).seen(format!(
        "terminationGracePeriodSeconds is {}, and preStop takes {} of it",
        template.grace.as_secs(),
        span(sleep)
    ));
    Some(found.set(advice, "spec.template.spec.terminationGracePeriodSeconds", patch, gain))
}

/// V102: pods serve on for a while, and the ingress sends for longer.
pub(super) fn pre_stop_too_short(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let late = |f: &Failed<'_>| {
        seen.suspects(f).into_iter().any(|pod| {
            let sleeps = seen.template(&pod.state.revision).is_some_and(|t| t.pre_stop.is_some());
            sleeps && stopped(seen, pod).is_some_and(|stop| f.failure.sent.unwrap_or(f.failure.due) + NEWS >= stop)
        })
    };
    let failures: Vec<_> = leaving(open).into_iter().filter(|f| late(f)).collect();
    let template = template(seen, &failures)?;
    let now = match template.pre_stop? {
        PreStop::Sleep { length } => format!("a preStop sleep of {}", span(length)),
        PreStop::Other => "preStop".to_owned(),
    };
    let seconds = sleep_for(seen.propagation());
    let title = format!(
        "preStop shorter than the propagation: {}, {} after their pods were told to end",
        share(&failures, seen),
        after(&failures)
    );
    let found = Found::of("V102", &failures, title)
        .seen(format!("pods had {now}, and requests still came when it was over"))
        .seen(last_request(seen));
    let field = patch::container_field(&template.container, "lifecycle.preStop.sleep.seconds");
    let advice = format!("let pods serve on for {seconds} s after they are told to end: what was measured, and half as much again");
    Some(found.set(advice, field, sleeping(seen, template, seconds), gain(failures.len())))
}

/// V101: pods end at SIGTERM as if nobody were asking.
pub(super) fn no_drain(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let past_stop = |f: &Failed<'_>| {
        let late = KILL.0;
        seen.suspects(f).into_iter().any(|pod| stopped(seen, pod).is_some_and(|stop| f.failure.known + late >= stop))
    };
    let failures: Vec<_> = leaving(open).into_iter().filter(|f| past_stop(f)).collect();
    let template = template(seen, &failures)?;
    let when = after(&failures);
    let title = format!("no drain on SIGTERM: {}, {when} after their pods were told to end", share(&failures, seen));
    let found = Found::of("V101", &failures, title);
    if template.pre_stop.is_some() {
        // New requests had time to go elsewhere: these were under way.
        let found = found.seen("the requests were under way when SIGTERM came, and the program ended without finishing them");
        let advice =
            "finish what is under way when SIGTERM comes, and only then exit: no manifest field can do that for the program";
        return Some(found.advice(advice, gain(failures.len())));
    }
    let seconds = sleep_for(seen.propagation());
    let found = found
        .seen("pods had no preStop, so SIGTERM came at once, and the program did not serve on until nobody asked any more")
        .seen(last_request(seen));
    let field = patch::container_field(&template.container, "lifecycle.preStop");
    let advice = format!(
        "let pods serve on for {seconds} s before SIGTERM, until the ingress has forgotten them; and have the program finish what is under way"
    );
    Some(found.set(advice, field, sleeping(seen, template, seconds), gain(failures.len())))
}

fn gain(failures: usize) -> String {
    format!("the {} are answered by the pods they were sent to", plural(failures as u64, "failed request"))
}

/// V104: a kept connection was closed just as a request was sent on it, by a pod that goes on living.
pub(super) fn keep_alive_race(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let failures = open.that(|f| {
        let kept = f.failure.connection.as_ref().is_some_and(|c| c.served > 0);
        let at_once = f.failure.known.since(f.failure.sent.unwrap_or(f.failure.due)) <= AT_ONCE;
        let lives = !matches!(f.who.moment, Moment::Terminating(_) | Moment::Down(_));
        let broken = match f.outcome() {
            Outcome::ResetBeforeSend | Outcome::ResetAfterSend => kept,
            Outcome::GatewayStatus => f.failure.status == Some(502) && at_once,
            _ => false,
        };
        lives && broken
    });
    // A program that breaks off whatever comes breaks first requests off, too.
    let firsts =
        open.that(|f| f.outcome() == Outcome::ResetAfterSend && f.failure.connection.as_ref().is_none_or(|c| c.served == 0));
    if failures.len() < FEW || firsts.len() * 4 > failures.len() {
        return None;
    }
    let gateway = failures.iter().filter(|f| f.outcome() == Outcome::GatewayStatus).count() as u64;
    let title = format!("keep-alive race: {}, on connections that were closed as the request came", share(&failures, seen));
    let found =
        Found::of("V104", &failures, title).seen("no pod that explains them was ending, starting or restarting at the time");
    let found = match gateway {
        0 => found,
        n => found.seen(format!("{} of them were seen by a gateway between the verifier and a pod", count(n))),
    };
    let advice = "have the application keep idle connections for longer than whoever stands before it does (nginx and most ingresses: \
                  60 s; so 75 s in the application), so that never the server closes first";
    Some(found.advice(advice, "requests no longer meet connections that are just being closed"))
}
