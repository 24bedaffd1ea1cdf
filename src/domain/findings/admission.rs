//! V403: a version that was asked before any user was, and not let in.

use std::collections::BTreeSet;

use super::found::Found;
use super::seen::{Open, Seen};
use crate::domain::admission::Heard;
use crate::domain::display::{count, moment, plural};
use crate::domain::outcome::Outcome;
use crate::domain::rollout::PodLife;
use crate::domain::traffic::Name;

/// Pods whose answers are told one by one.
const TOLD: usize = 4;

/// V403: turned away by its readiness gate.
pub(super) fn turned_away(seen: &Seen<'_>, _: &Open<'_>) -> Option<Found> {
    let admission = seen.course.admission();
    let (revision, at) = admission.turned_away()?;
    let asked: Vec<&Heard> = admission.heard().filter(|heard| heard.revision == *revision && heard.bad > 0).collect();
    let (answers, bad) = asked.iter().fold((0, 0), |(all, bad), heard| (all + heard.answers, bad + heard.bad));
    let title = format!(
        "turned away at its readiness gate: revision {revision} failed {} of {} of the verifier's own, {}",
        count(bad),
        plural(answers, "request"),
        users(seen, revision)
    );
    let pods = seen.pods().filter(|pod| asked.iter().any(|heard| heard.uid == pod.state.uid));
    let mut found = Found::of("V403", &[], title).pods(pods).phase(seen.course.phase_at(at));
    for heard in asked.iter().take(TOLD) {
        found = found.seen(answered(seen, heard));
    }
    if asked.len() > TOLD {
        found = found.seen(format!("{} more of it failed too", plural((asked.len() - TOLD) as u64, "pod")));
    }
    found = found.seen(format!("not let in since {}; {}", moment(at), others(seen, revision)));
    Some(found.advice(advice(seen, &asked), "users get the version once it answers well; until then the one before serves them"))
}

/// What it cost.
fn users(seen: &Seen<'_>, revision: &Name) -> String {
    let pods = seen.course.tally.pods();
    let of = |pod: &Name| seen.course.revision_of(pod) == Some(revision);
    match pods.iter().filter(|(pod, _)| of(pod)).map(|(_, sums)| sums.counts.total()).sum::<u64>() {
        0 => "and none of a user's got to it".to_owned(),
        n => format!("and {} of users got to pods of it that had been let in", count(n)),
    }
}

/// What one pod was asked, and what it answered.
fn answered(seen: &Seen<'_>, heard: &Heard) -> String {
    let mut how: Vec<String> = heard.failures().into_iter().map(|(o, n)| kind(seen, heard, o, n)).collect();
    if heard.late() > 0 {
        how.push(format!("{} later than the limit", count(heard.late())));
    }
    format!(
        "pod {}, at the gate since {}, was asked at its own address until {}, and failed {} of {}: {}",
        heard.pod,
        moment(heard.from),
        moment(heard.span.1),
        count(heard.bad),
        plural(heard.answers, "request"),
        how.join(", ")
    )
}

/// `4 app_status (500)`: with the statuses of those failures that were kept one by one.
fn kind(seen: &Seen<'_>, heard: &Heard, outcome: Outcome, n: u64) -> String {
    let lanes = seen.course.traffic().map(|plan| plan.lanes.as_slice()).unwrap_or_default();
    let at_the_gate = |lane: &Name| lanes.iter().any(|l| l.name == *lane && l.judges_admission());
    let kept = seen.course.failures_aside();
    let of = kept.filter(|f| f.outcome == outcome && f.pod.as_ref() == Some(&heard.pod) && at_the_gate(&f.lane));
    let statuses: BTreeSet<u16> = of.filter_map(|f| f.status).collect();
    let statuses: Vec<String> = statuses.iter().map(u16::to_string).collect();
    let statuses = if statuses.is_empty() { String::new() } else { format!(" ({})", statuses.join(", ")) };
    format!("{} {}{statuses}", count(n), outcome.label())
}

/// Who serves instead.
fn others(seen: &Seen<'_>, revision: &Name) -> String {
    let rollout = &seen.course.rollout;
    match rollout.old_revision().filter(|old| *old != revision) {
        Some(old) => format!("of revision {old} {} ready", are(rollout.ready_pods(old) as u64)),
        None => "no other revision serves".to_owned(),
    }
}

fn are(pods: u64) -> String {
    format!("{} {}", plural(pods, "pod"), if pods == 1 { "is" } else { "are" })
}

/// Mend it; and how to look at a pod of it, as long as there is one.
fn advice(seen: &Seen<'_>, asked: &[&Heard]) -> String {
    let target = &seen.course.head().scenario.target;
    let (namespace, deployment) = (&target.namespace, &target.deployment);
    let mend = format!("mend the version, or go back: `kubectl rollout undo deployment/{deployment} -n {namespace}`");
    let there = |heard: &&&Heard| seen.course.rollout.life(&heard.uid).is_some_and(PodLife::is_active);
    let Some(pod) = asked.iter().find(there).map(|heard| &heard.pod) else {
        return format!("{mend}. Its pods are gone; their logs say more where logs are kept");
    };
    let port = seen.course.rollout.addresses(|life| life.state.name == *pod).first().map_or(80, |t| t.address.port());
    let lanes = seen.course.traffic().map(|plan| plan.lanes.as_slice()).unwrap_or_default();
    let path = lanes.iter().find(|lane| lane.judges_admission()).map_or("/", |lane| path(&lane.request.url));
    format!(
        "{mend}. See what it does: `kubectl logs -n {namespace} {pod}`; ask it: `kubectl port-forward -n {namespace} pod/{pod} 8080:{port}`, \
         then `curl -i 'http://127.0.0.1:8080{path}'`. How it is let in all the same, by hand: `verifier explain V403`"
    )
}

/// What stands behind the host.
fn path(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find('/').map_or("/", |at| &url[host + at..])
}
