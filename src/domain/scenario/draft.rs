//! A scenario to begin with, from a Deployment and what stands around it.

use std::time::Duration;

use serde_json::Value;

/// A rollout should not take longer, whatever its progress deadline is.
const DEPLOYED_WITHIN: u64 = 300;

/// The text of a scenario file: the Deployment is made anew under traffic. `objects` are as the API has them; nothing when there is no such
/// Deployment among them.
pub fn draft(objects: &[Value], namespace: &str, deployment: &str) -> Option<String> {
    let named = |o: &&Value| o["kind"] == "Deployment" && o["metadata"]["name"] == deployment;
    let target = objects.iter().find(named)?;
    let (spec, pod) = (&target["spec"], &target["spec"]["template"]["spec"]);
    let image = pod["containers"][0]["image"].as_str().unwrap_or("IMAGE:TAG");
    let traffic = match path(objects, target) {
        Some((path, why)) => format!("  # {why}\n  path: {}\n", quoted(&path)),
        None => "  # No Ingress leads here: say what to ask for.\n  url: \"http://CHANGE.ME/\"\n".to_owned(),
    };
    let deadline = spec["progressDeadlineSeconds"].as_u64().unwrap_or(600);
    let within = humantime::format_duration(Duration::from_secs(deadline.clamp(1, DEPLOYED_WITHIN)));
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let scaled = objects.iter().any(|o| {
        let scaled = &o["spec"]["scaleTargetRef"];
        o["kind"] == "HorizontalPodAutoscaler" && scaled["kind"] == "Deployment" && scaled["name"] == deployment
    });
    let scaled = if scaled { ", and its autoscaler may change that meanwhile" } else { "" };
    Some(format!(
        "# To begin with: go through it, then
#   verifier run --scenario THIS-FILE --target deploy/{deployment} -n {namespace} --context CONTEXT --restore
name: {name}
about: >
  Every pod of deploy/{deployment} is made anew under traffic, as a new version would be rolled out. It has {replicas} replicas{scaled}.
  Nobody must notice.
target: {{deployment: {deployment}, namespace: {namespace}}}

given:
  healthy_for: 5s

traffic:
{traffic}  lanes:
    fresh: {{rate: 50}}                  # a new connection for every request
    kept: {{rate: 50, connections: 10}}  # connections that live as long as they can

when:
  - restart  # or another version: set: {{image: {image}}}

then:
  - availability >= 99%
  - longest_outage < 1s
  - deployed_within {within}
deadline: {deadline}
",
        name = name_of(deployment),
        image = quoted(image),
        deadline = humantime::format_duration(Duration::from_secs(deadline.clamp(1, DEPLOYED_WITHIN) + 120)),
    ))
}

/// The name of the scenario, a label.
fn name_of(deployment: &str) -> String {
    let mut name: String = deployment.chars().take(55).collect();
    name.truncate(name.trim_end_matches('-').len());
    format!("{name}-rollout")
}

/// YAML takes JSON's strings.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What to ask for, and why that: what the readiness probe asks for, if the Ingress leads that here, or else what the Ingress leads here.
fn path(objects: &[Value], target: &Value) -> Option<(String, &'static str)> {
    let labels = &target["spec"]["template"]["metadata"]["labels"];
    let selects = |o: &&Value| {
        let selector = o["spec"]["selector"].as_object();
        o["kind"] == "Service" && selector.is_some_and(|s| !s.is_empty() && s.iter().all(|(key, value)| labels[key] == *value))
    };
    let services: Vec<&Value> = objects.iter().filter(selects).map(|o| &o["metadata"]["name"]).collect();
    let of_ingress = |o: &Value| {
        let rules = o["spec"]["rules"].as_array()?.clone();
        let paths = rules.iter().flat_map(|r| r["http"]["paths"].as_array().cloned().unwrap_or_default()).collect::<Vec<_>>();
        let ours = paths.into_iter().find(|p| services.contains(&&p["backend"]["service"]["name"]))?;
        Some(ours["path"].as_str().unwrap_or("/").to_owned())
    };
    let prefix = objects.iter().filter(|o| o["kind"] == "Ingress").find_map(of_ingress)?;
    let containers = target["spec"]["template"]["spec"]["containers"].as_array();
    let probed = containers.into_iter().flatten().find_map(|c| c["readinessProbe"]["httpGet"]["path"].as_str());
    Some(match probed.filter(|probed| probed.starts_with(&prefix)) {
        Some(probed) => (probed.to_owned(), "What the readiness probe asks for; what users ask for is better."),
        None => (prefix, "What the Ingress leads here; a page that users ask for is better."),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::scenario::{Step, parse};

    fn objects(probe: &str) -> Vec<Value> {
        let container = json!({"name": "web", "image": "shop/web:1", "readinessProbe": {"httpGet": {"path": probe}}});
        let backend = |name: &str| json!({"service": {"name": name}});
        vec![
            json!({
                "kind": "Deployment", "metadata": {"name": "web"},
                "spec": {"replicas": 3, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}},
            }),
            json!({"kind": "Service", "metadata": {"name": "web-http"}, "spec": {"selector": {"app": "web"}}}),
            json!({"kind": "Ingress", "spec": {"rules": [{"http": {"paths": [
                {"path": "/other", "backend": backend("other")}, {"path": "/shop", "backend": backend("web-http")},
            ]}}]}}),
            json!({"kind": "HorizontalPodAutoscaler", "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "web"}}}),
        ]
    }

    #[test]
    fn a_draft_is_a_scenario_about_what_is_there() {
        let text = draft(&objects("/readyz"), "team", "web").unwrap();
        let scenario = parse("draft.yaml", &text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert_eq!((&*scenario.target.deployment, &*scenario.target.namespace), ("web", "team"));
        assert_eq!((&*scenario.traffic.path, &scenario.when[..]), ("/shop", &[Step::Restart][..]));
        assert_eq!(scenario.then[2].to_string(), "deployed_within 5m");
        assert!(scenario.about.contains("3 replicas, and its autoscaler"), "{}", scenario.about);
    }

    #[test]
    fn what_is_asked_for_is_the_probes_path_where_users_get_there() {
        let path = |probe: &str| parse("d", &draft(&objects(probe), "team", "web").unwrap(), &[]).unwrap().traffic.path;
        assert_eq!((path("/shop/healthz"), path("/healthz")), ("/shop/healthz".into(), "/shop".into()));
        let without = draft(&objects("/")[..1], "team", "web").unwrap();
        assert_eq!(parse("d", &without, &[]).unwrap().traffic.url.as_deref(), Some("http://CHANGE.ME/"));
        assert_eq!(draft(&objects("/"), "team", "another"), None);
    }

    #[test]
    fn a_long_name_still_makes_a_name() {
        let name = "a".repeat(54) + "-b";
        assert_eq!(name_of(&name), "a".repeat(54) + "-rollout");
    }
}
