//! V2xx, and V305: what goes wrong when pods start, and when probes judge them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::found::{Found, after, share};
use super::patch;
use super::seen::{Failed, Open, Seen};
use crate::domain::attribution::{Moment, explained_by_a_missing_pod};
use crate::domain::display::{plural, span};
use crate::domain::rollout::PodLife;
use crate::domain::rollout::state::{ContainerNow, ProbeState, TemplateState};
use crate::domain::time::At;
use crate::domain::traffic::Name;

/// After a change of endpoints an ingress may send by the old list for this long.
pub(super) const ROUTES: Duration = Duration::from_secs(10);
/// Fewer failures of a pod that is Ready may be an accident.
const FEW: usize = 5;
/// A kubelet looks at its containers once a second, and so tells of an end this much later at most.
const TOLD_LATE: Duration = Duration::from_secs(2);
/// A turn to unready this soon after a container's end is its consequence.
const SOON: Duration = Duration::from_secs(2);

fn changed(seen: &Seen<'_>) -> At {
    seen.course.changed().unwrap_or(At(u64::MAX))
}

fn is_among(failed: &Failed<'_>, pods: &[&PodLife]) -> bool {
    failed.who.suspects().any(|name| pods.iter().any(|p| p.state.name == *name))
}

/// Failures of these pods while a container of theirs was down, be it that nobody knew yet, and those for want of any pod.
fn while_down<'a>(seen: &Seen<'_>, open: &Open<'a>, pods: &[&PodLife]) -> Vec<&'a Failed<'a>> {
    let spans = seen.without_endpoints();
    let exits = || pods.iter().flat_map(|pod| pod.exits.iter().map(|(at, _)| *at));
    open.that(|f| {
        let down = matches!(f.who.moment, Moment::Down(_)) && is_among(f, pods);
        let known = f.failure.known;
        let untold = f.who.suspects().next().is_none() && exits().any(|exit| known <= exit && exit <= known + TOLD_LATE);
        explained_by_a_missing_pod(f.outcome()) && (down || untold || falls_into(f, &spans))
    })
}

/// Whether a failure can come of there being no endpoint.
pub(super) fn falls_into(failed: &Failed<'_>, spans: &[(At, Option<At>)]) -> bool {
    let (due, known) = (failed.failure.due, failed.failure.known);
    spans.iter().any(|(from, to)| known >= *from && to.is_none_or(|to| due <= to + ROUTES))
}

fn template<'s>(seen: &'s Seen<'_>, pods: &[&PodLife]) -> Option<&'s TemplateState> {
    seen.template(&pods.first()?.state.revision)
}

/// V305: containers were killed for their memory.
pub(super) fn out_of_memory(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let killed = |pod: &&PodLife| {
        let of_container = pod.state.containers.iter().filter_map(|c| match &c.now {
            ContainerNow::Terminated(exit) => Some(exit),
            ContainerNow::Waiting { .. } | ContainerNow::Running => c.last_exit.as_ref(),
        });
        let recent = pod.exits.iter().filter(|(at, _)| *at >= changed(seen)).map(|(_, exit)| exit);
        of_container.chain(recent).any(|exit| exit.reason == "OOMKilled")
    };
    let pods: Vec<&PodLife> = seen.pods().filter(killed).collect();
    let template = template(seen, &pods)?;
    let failures = while_down(seen, open, &pods);
    let limit = template.memory_limit.as_deref();
    let title = format!(
        "out of memory: {} killed at {}",
        plural(pods.len() as u64, "pod"),
        limit.map_or_else(|| "the node's limit".to_owned(), |l| format!("a limit of {l}"))
    );
    let found = Found::of("V305", &failures, title).pods(pods).phase(last_phase(seen)).seen("containers ended as OOMKilled");
    let advice = "give the container more memory, or find what uses it: a limit only moves the moment if memory is lost steadily";
    let gain = "pods are not killed, and the rollout goes on";
    Some(match limit.and_then(doubled) {
        Some(double) => {
            let field = patch::container_field(&template.container, "resources.limits.memory");
            let fields = json!({"resources": {"limits": {"memory": double}}});
            found.set(advice, field, patch::container(seen, &template.container, &fields), gain)
        }
        None => found.advice(advice, gain),
    })
}

/// Twice a quantity such as `64Mi`.
fn doubled(quantity: &str) -> Option<String> {
    let unit = quantity.find(|c: char| !c.is_ascii_digit()).unwrap_or(quantity.len());
    let number: u64 = quantity[..unit].parse().ok()?;
    Some(format!("{}{}", number.checked_mul(2)?, &quantity[unit..]))
}

fn last_phase(seen: &Seen<'_>) -> crate::domain::rollout::Phase {
    seen.course.phase_at(seen.course.verdict().map_or(seen.course.now(), |v| v.at))
}

fn liveness_failed(seen: &Seen<'_>, pod: &PodLife) -> bool {
    let name = &pod.state.name;
    let probe = seen.events(name, "Unhealthy").any(|message| message.starts_with("Liveness probe"));
    probe || seen.events(name, "Killing").any(|message| message.contains("liveness probe"))
}

fn restarts(pod: &PodLife) -> u32 {
    pod.state.containers.iter().map(|c| c.restarts).sum()
}

/// V204: killed by the liveness probe before they had ever been ready, with no startup probe to wait for them.
pub(super) fn slow_without_startup_probe(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let unborn = |pod: &&PodLife| {
        let unprotected = seen.template(&pod.state.revision).is_some_and(|t| t.startup.is_none() && t.liveness.is_some());
        pod.ready.is_none() && restarts(pod) > 0 && unprotected && liveness_failed(seen, pod)
    };
    let pods: Vec<&PodLife> = seen.pods().filter(unborn).collect();
    let template = template(seen, &pods)?;
    let liveness = template.liveness.as_ref()?;
    let patience = liveness.initial_delay + liveness.period * liveness.failure_threshold;
    let failures = while_down(seen, open, &pods);
    let title = format!(
        "slow start without startup probe: {} killed by the liveness probe before the first readiness",
        plural(pods.len() as u64, "pod")
    );
    let found = Found::of("V204", &failures, title)
        .pods(pods)
        .phase(last_phase(seen))
        .seen(format!("the liveness probe gives a container {} from its start, and there is no startupProbe", span(patience)));
    let advice = "add a startup probe that asks what the liveness probe asks, for as long as the slowest start may take: the other \
                  probes wait for it";
    let gain = "containers are given the time to start, and are judged for their liveness only then";
    let field = patch::container_field(&template.container, "startupProbe");
    Some(match asked(liveness) {
        Some(mut probe) => {
            probe["periodSeconds"] = json!(1);
            probe["timeoutSeconds"] = json!(liveness.timeout.as_secs().max(1));
            probe["failureThreshold"] = json!(60);
            found.set(advice, field, patch::container(seen, &template.container, &json!({"startupProbe": probe})), gain)
        }
        None => found.advice(advice, gain),
    })
}

/// What a probe asks, as a manifest says it; nothing where that is more than a path and a port.
fn asked(probe: &ProbeState) -> Option<Value> {
    let port = probe.port.as_deref()?;
    let port = port.parse::<u16>().map_or_else(|_| json!(port), |n| json!(n));
    match (probe.asks.strip_prefix("GET "), &*probe.asks) {
        (Some(path), _) => Some(json!({"httpGet": {"path": path, "port": port}})),
        (None, "tcp") => Some(json!({"tcpSocket": {"port": port}})),
        (None, _) => None,
    }
}

/// V203: the liveness probe killed pods that had been serving.
pub(super) fn killed_by_liveness(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let killed = |pod: &&PodLife| {
        let ended = pod.exits.iter().any(|(at, _)| *at >= changed(seen) && pod.terminating.is_none_or(|told| *at < told));
        pod.ready.is_some() && ended && liveness_failed(seen, pod)
    };
    let pods: Vec<&PodLife> = seen.pods().filter(killed).collect();
    let template = template(seen, &pods)?;
    let liveness = template.liveness.as_ref()?;
    let failures = while_down(seen, open, &pods);
    let title =
        format!("liveness kills under load: {} that served restarted by the liveness probe", plural(pods.len() as u64, "pod"));
    let found = Found::of("V203", &failures, title).pods(pods).phase(last_phase(seen)).seen(format!(
        "livenessProbe {} allows {} for an answer and gives up after {} in {}",
        liveness.asks,
        span(liveness.timeout),
        plural(liveness.failure_threshold.into(), "failure"),
        span(liveness.period * liveness.failure_threshold)
    ));
    let fields = json!({"livenessProbe": {
        "timeoutSeconds": (liveness.timeout.as_secs() * 3).max(5),
        "periodSeconds": liveness.period.as_secs().max(10),
        "failureThreshold": liveness.failure_threshold.max(3),
    }});
    let advice = "let the liveness probe judge slowly: a restart helps against a process that is stuck, and makes it worse for one that \
                  is only busy; readiness is there to take load away";
    let field = patch::container_field(&template.container, "livenessProbe");
    let gain = "busy pods go on serving";
    Some(found.set(advice, field, patch::container(seen, &template.container, &fields), gain))
}

/// A time in which a pod that lived on was not ready any more.
struct Spell {
    from: At,
    to: At,
    /// It became ready again.
    over: bool,
}

fn spells(seen: &Seen<'_>, pod: &PodLife) -> Vec<Spell> {
    let ended = |at: At| pod.exits.iter().any(|(exit, _)| *exit <= at && at <= *exit + SOON);
    let lost = |at: At| at >= changed(seen) && pod.terminating.is_none_or(|told| at < told) && !ended(at);
    let turns = &pod.readiness;
    let last = (pod.terminating.or(pod.gone).unwrap_or(seen.course.now()), false);
    let ends = turns.iter().skip(1).copied().chain([last]);
    let spells = turns.iter().zip(ends).filter(|((at, ready), _)| !ready && lost(*at));
    spells.map(|((from, _), (to, over))| Spell { from: *from, to, over }).collect()
}

/// Whether a pod that never restarted was out once, came back by itself, and nobody was left meanwhile.
fn left_nobody(seen: &Seen<'_>, pod: &PodLife, none: &[(At, Option<At>)]) -> bool {
    let restarted = pod.exits.iter().any(|(at, _)| *at >= changed(seen));
    let meanwhile = |spell: &Spell| none.iter().any(|(from, to)| *from <= spell.to && to.is_none_or(|to| to >= spell.from));
    !restarted && spells(seen, pod).iter().any(|spell| spell.over && meanwhile(spell))
}

/// V202: readiness comes and goes. Once is enough where it cost requests because nobody else was there; otherwise it takes two times.
pub(super) fn flapping_readiness(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let none = seen.without_endpoints();
    let failures = open.that(|f| explained_by_a_missing_pod(f.outcome()) && falls_into(f, &none));
    let costly = |pod: &PodLife| !failures.is_empty() && left_nobody(seen, pod, &none);
    let pods: Vec<&PodLife> = seen.pods().filter(|pod| spells(seen, pod).len() >= 2 || costly(pod)).collect();
    let template = template(seen, &pods)?;
    let readiness = template.readiness.as_ref()?;
    let lost: Vec<Duration> = pods.iter().flat_map(|pod| spells(seen, pod)).map(|spell| spell.to.since(spell.from)).collect();
    let longest = lost.iter().max().copied().unwrap_or_default();
    let title = format!(
        "readiness flaps: {} lost it {}, for up to {}",
        plural(pods.len() as u64, "pod"),
        plural(lost.len() as u64, "time"),
        span(longest)
    );
    let found = Found::of("V202", &failures, title).pods(pods).phase(last_phase(seen)).seen(format!(
        "readinessProbe {} takes a pod out after {} of {} each, and none of these pods was ending or restarting",
        readiness.asks,
        plural(readiness.failure_threshold.into(), "failure"),
        span(readiness.period)
    ));
    let period = readiness.period.as_secs().max(1);
    let threshold = longest.as_secs().div_ceil(period) + 2 + u64::from(readiness.failure_threshold);
    let fields = json!({"readinessProbe": {"failureThreshold": threshold}});
    let advice = "ask readiness for the pod's own state and no dependency's, and let it forgive as much as is normal: when all pods blink \
                  together, nobody is left";
    let field = patch::container_field(&template.container, "readinessProbe.failureThreshold");
    let gain = format!("an unready spell of {} no longer takes a pod out", span(longest));
    Some(found.set(advice, field, patch::container(seen, &template.container, &fields), gain))
}

/// V201: Ready, and not one request answered well until later, or ever.
pub(super) fn lying_readiness(seen: &Seen<'_>, open: &Open<'_>) -> Option<Found> {
    let mut of_pod: BTreeMap<&Name, (Vec<&Failed<'_>>, usize)> = BTreeMap::new();
    for failed in open.failures.iter().copied() {
        let Some(pod) = seen.suspects(failed).into_iter().next().filter(|p| p.ready.is_some_and(|at| at >= changed(seen))) else {
            continue;
        };
        let first_good = seen.course.tally.pods().get(&pod.state.name).and_then(|p| p.first_good);
        let young = matches!(failed.who.moment, Moment::Young(_));
        let (before, after) = of_pod.entry(&pod.state.name).or_default();
        if young && first_good.is_none_or(|good| failed.failure.due < good) { before.push(failed) } else { *after += 1 }
    }
    of_pod.retain(|_, (before, after)| before.len() >= FEW && *after * 10 <= before.len());
    let failures: Vec<&Failed<'_>> = of_pod.values().flat_map(|(before, _)| before.iter().copied()).collect();
    let first = seen.course.rollout.pod_named(of_pod.keys().next()?)?;
    let title = format!(
        "readiness lies: {}, {} after their pods had said that they were ready and before they answered anything well",
        share(&failures, seen),
        after(&failures)
    );
    let found = Found::of("V201", &failures, title);
    let advice = "let the readiness probe ask for what users ask for, so that it is true only when that can be answered";
    let gain = format!("{} wait until the pods can serve", plural(failures.len() as u64, "failed request"));
    let template = seen.template(&first.state.revision)?;
    let path = &seen.course.head().scenario.traffic.path;
    let fields = template.readiness.as_ref().and_then(|probe| asking(probe, path));
    let said =
        template.readiness.as_ref().map_or("there is no readinessProbe: a pod is Ready as soon as it runs".to_owned(), |probe| {
            format!("readinessProbe {} was content, and {path} was not answered", probe.asks)
        });
    let found = found.seen(said);
    Some(match fields {
        Some(fields) => {
            let field = patch::container_field(&template.container, "readinessProbe.httpGet.path");
            found.set(advice, field, patch::container(seen, &template.container, &fields), gain)
        }
        None => found.advice(advice, gain),
    })
}

/// The readiness probe that asks for this path; nothing when it does so already, or its port is not known.
fn asking(probe: &ProbeState, path: &str) -> Option<Value> {
    if probe.asks.strip_prefix("GET ") == Some(path) {
        return None;
    }
    let port = probe.port.as_deref()?;
    let port = port.parse::<u16>().map_or_else(|_| json!(port), |n| json!(n));
    Some(json!({"readinessProbe": {"tcpSocket": null, "exec": null, "grpc": null, "httpGet": {"path": path, "port": port}}}))
}
