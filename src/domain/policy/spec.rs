//! A policy: how a Deployment is probed all day, and how its rollouts are judged. Everything may be left out.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::plan::Mode;
use crate::domain::objective::{Goal, Objective, Ppm};
use crate::domain::rollout::guard::Guard;
use crate::domain::scenario::{self, Observe, Scenario, human};

/// A policy may not be larger than this.
const MAX_BYTES: usize = 16 * 1024;
/// No lane of a policy sends more slots a second than this: it goes on all day.
const MAX_RATE: f64 = 500.0;
/// A run that waits for a rollout ends after this, so that its tables begin anew.
const RENEW: Duration = Duration::from_hours(1);
/// How long it may take until the target has been found and asked for the first time.
const FOUND_WITHIN: Duration = Duration::from_secs(30);
/// The least that error budgets are reckoned over.
const WINDOW: Duration = Duration::from_secs(30);
/// How long a run that only measures may last; then the next one does.
const ENDLESS: Duration = Duration::from_hours(1);

/// What is asked of a Deployment. Names nothing outside of it: traffic goes through the Ingress that leads to it, and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PolicySpec {
    /// What must hold: `availability >= 99%`, `p99 < 500ms`.
    #[schemars(with = "Vec<String>")]
    pub then: Vec<Objective>,
    /// What a breach does to the Deployment: `none`, `pause`, `hold` or `undo`.
    pub guard: Guard,
    /// What is asked for; what the Ingress leads to the Deployment when it is left out.
    pub path: String,
    /// Ways of sending, by name: `fresh` opens a connection for each request, `kept` keeps them.
    pub lanes: BTreeMap<String, LaneSpec>,
    /// Measured on for so long after a rollout is complete: `10s`.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub soak: Duration,
    /// The service must have been healthy for so long before a rollout, or it is inconclusive: `0s` demands nothing.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub baseline: Duration,
    /// A rollout that takes longer is inconclusive.
    #[serde(with = "human")]
    #[schemars(with = "String")]
    pub deadline: Duration,
}

/// One way of sending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LaneSpec {
    /// Requests a second.
    pub rate: f64,
    /// Another path than the policy's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl Default for LaneSpec {
    fn default() -> Self {
        Self { rate: 10.0, path: None }
    }
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self {
            then: vec![Objective { lane: None, goal: Goal::Availability(Ppm(990_000)) }],
            guard: Guard::None,
            path: "/".into(),
            lanes: ["fresh", "kept"].into_iter().map(|name| (name.to_owned(), LaneSpec::default())).collect(),
            soak: Duration::from_secs(10),
            baseline: Duration::ZERO,
            deadline: Duration::from_mins(15),
        }
    }
}

impl PolicySpec {
    /// Reads one as people write it, and checks it whole. The error is a sentence for the status of whoever wrote it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("{} bytes are more than a policy may have ({MAX_BYTES})", text.len()));
        }
        let spec = if text.trim().is_empty() {
            Self::default()
        } else {
            let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
            let read: Result<Self, _> = serde_saphyr::from_str_with_options(text, options);
            read.map_err(|e| e.without_snippet().to_string().lines().next().unwrap_or_default().to_owned())?
        };
        spec.check()?;
        Ok(spec)
    }

    /// What types alone cannot say.
    pub fn check(&self) -> Result<(), String> {
        if let Some((name, lane)) = self.lanes.iter().find(|(_, lane)| lane.rate > MAX_RATE) {
            return Err(format!("lane `{name}`: {} requests a second are more than a policy may ask for ({MAX_RATE})", lane.rate));
        }
        self.scenario("namespace", "deployment", Mode::Follow).map(drop)
    }

    /// Requests a second of all lanes.
    pub fn rate(&self) -> f64 {
        self.lanes.values().map(|lane| lane.rate).sum()
    }

    /// The share of requests that the service promises to answer well: of the objective about all lanes, or the usual one.
    pub fn promise(&self) -> Ppm {
        let all = self.then.iter().filter(|o| o.lane.is_none());
        let promised = all.filter_map(|o| if let Goal::Availability(share) = o.goal { Some(share) } else { None });
        promised.max().unwrap_or(Ppm(990_000))
    }

    /// The run that the policy asks for.
    pub fn scenario(&self, namespace: &str, deployment: &str, mode: Mode) -> Result<Scenario, String> {
        let span = |d: Duration| humantime::format_duration(d).to_string();
        let lanes = self.lanes.iter().map(|(name, lane)| {
            let mut value = json!({"rate": lane.rate});
            if let Some(path) = &lane.path {
                value["path"] = path.as_str().into();
            }
            (name.clone(), value)
        });
        let then: Vec<Value> = self.then.iter().map(|o| Value::from(o.to_string())).collect();
        let text = json!({
            "name": "serve",
            "about": "A Deployment is probed all day; a rollout of it is held against objectives while it happens.",
            "target": {"deployment": deployment, "namespace": namespace},
            "given": {"healthy_for": span(self.baseline), "ready_within": span(FOUND_WITHIN)},
            "traffic": {"path": self.path, "lanes": lanes.collect::<serde_json::Map<_, _>>()},
            "observe": {"wait": true},
            "then": then,
            "window": span(self.soak.max(WINDOW)),
            "soak": span(self.soak),
            "deadline": span(self.deadline),
            "guard": self.guard,
        });
        let mut scenario = scenario::parse("policy", &text.to_string(), &[]).map_err(|e| e.message)?;
        match mode {
            Mode::Follow => scenario.observe = Some(Observe { wait: true, endless: false, renew: Some(RENEW) }),
            Mode::Measure => {
                scenario.observe = Some(Observe { wait: true, endless: true, renew: None });
                scenario.deadline = ENDLESS;
            }
        }
        Ok(scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_means_the_usual() {
        for text in ["", "{}", " \n"] {
            assert_eq!(PolicySpec::parse(text), Ok(PolicySpec::default()), "{text:?}");
        }
        let usual = PolicySpec::default();
        assert_eq!((usual.guard, usual.rate(), usual.promise()), (Guard::None, 20.0, Ppm(990_000)));
        let scenario = usual.scenario("todo", "backend", Mode::Follow).unwrap();
        assert_eq!((&*scenario.target.namespace, &*scenario.target.deployment), ("todo", "backend"));
        assert!(scenario.when.is_empty() && scenario.observe.is_some_and(|o| o.wait && !o.endless && o.renew.is_some()));
        assert_eq!(scenario.then[0].to_string(), "availability >= 99%");
        let measuring = usual.scenario("todo", "backend", Mode::Measure).unwrap();
        assert!(measuring.observe.is_some_and(|o| o.endless));
    }

    #[test]
    fn yaml_and_json_say_the_same() {
        let yaml =
            "then: [availability >= 99.9%, p99 < 300ms]\nguard: hold\npath: /api/todos\nlanes: {fresh: {rate: 50}}\nsoak: 3s\n";
        let json = r#"{"then": ["availability >= 99.9%", "p99 < 300ms"], "guard": "hold", "path": "/api/todos",
            "lanes": {"fresh": {"rate": 50}}, "soak": "3s"}"#;
        let spec = PolicySpec::parse(yaml).unwrap();
        assert_eq!(PolicySpec::parse(json).as_ref(), Ok(&spec));
        assert_eq!((spec.guard, spec.rate(), spec.promise()), (Guard::Hold, 50.0, Ppm(999_000)));
        let scenario = spec.scenario("a", "b", Mode::Follow).unwrap();
        assert_eq!((&*scenario.traffic.path, scenario.soak, scenario.traffic.lanes.len()), ("/api/todos", spec.soak, 1));
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let cases = [
            ("gard: hold", "gard"),
            ("guard: pray", "pray"),
            ("then: [uptime >= 99%]", "unknown objective `uptime`"),
            ("then: []", "without an objective"),
            ("path: todos", "does not begin with `/`"),
            ("url: http://elsewhere/", "url"),
            ("lanes: {fresh: {rate: 501}}", "more than a policy may ask for"),
            ("lanes: {fresh: {rate: 0}}", "lane `fresh`"),
            ("soak: soon", "is no duration"),
            ("{", ""),
        ];
        for (text, word) in cases {
            let error = PolicySpec::parse(text).unwrap_err();
            assert!(error.contains(word) && !error.contains('\n'), "{text}: {error}");
        }
        assert!(PolicySpec::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err().contains("more than a policy may have"));
    }
}
