//! Every metric there is: one table, of which the endpoint and `docs/metrics.md` are made.

use std::fmt::Write as _;

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// Prometheus's word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// `verifier_<noun>_<unit>[_total]`
    pub name: &'static str,
    /// What kind.
    pub kind: Kind,
    /// Of its values.
    pub unit: &'static str,
    /// In the order in which they are written.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
}

macro_rules! catalogue {
    ($($id:ident = $kind:ident $name:literal ($unit:literal) [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric { name: $name, kind: Kind::$kind, unit: $unit, labels: &[$($label),*], help: $help };
        )*
        /// All of them, in the order in which they are written.
        pub const CATALOGUE: &[Metric] = &[$($id),*];
    };
}

catalogue! {
    BUILD_INFO = Gauge "verifier_build_info" ("1") ["version"] "The version that runs; always 1.";
    PROBES = Counter "verifier_probes_total" ("requests") ["namespace", "deployment", "outcome"]
        "Requests of the probing that goes on all day, by how they ended.";
    PROBE_LATENCY = Histogram "verifier_probe_duration_seconds" ("seconds") ["namespace", "deployment"]
        "Of good answers to probes, to the last byte. An edge lies on the limit of each objective.";
    REQUESTS = Counter "verifier_requests_total" ("requests") ["namespace", "deployment", "lane", "outcome"]
        "Requests of runs that judge rollouts, by how they ended.";
    ROLLOUT_REQUESTS = Counter "verifier_rollout_requests_total" ("requests") ["namespace", "deployment", "outcome"]
        "Those of them that were measured in a rollout: the figures of verifications, summed up.";
    LATENCY = Histogram "verifier_request_duration_seconds" ("seconds") ["namespace", "deployment"]
        "Of good answers to runs, from the intended start to the last byte. An edge lies on the limit of each objective.";
    VERDICTS = Counter "verifier_verdicts_total" ("rollouts") ["namespace", "deployment", "verdict"] "Rollouts by their verdict.";
    ACTIONS = Counter "verifier_actions_total" ("actions") ["namespace", "deployment", "action"]
        "What guards did to Deployments, once the API accepted it.";
    PHASE = Gauge "verifier_rollout_phase" ("1") ["namespace", "deployment", "phase"]
        "1 for the phase that the Deployment is in: probing, surging, replacing, terminating, settled or idle.";
    BUDGET = Gauge "verifier_error_budget_left_ratio" ("1") ["namespace", "deployment"]
        "The share of the last 24 hours' error budget that is left, by probes; negative when more failed than may. Begins with the service, at the first good answer.";
    BURN = Gauge "verifier_error_budget_burn_rate" ("1") ["namespace", "deployment", "window"]
        "How fast the error budget is being spent; at 1 exactly what may fail does.";
    OBJECTIVE = Gauge "verifier_objective_ratio" ("1") ["namespace", "deployment"]
        "The share of requests that the policy promises to be answered well; what is left to 1 is the error budget.";
    LEADER = Gauge "verifier_leader" ("1") [] "1 for the one verifier that leads, 0 for those that stand by.";
    RUNS = Gauge "verifier_runs" ("runs") [] "Runs that go on now.";
    INTENDED = Gauge "verifier_intended_requests_per_second" ("requests per second") [] "What all runs together are to send.";
    LAG = Gauge "verifier_timer_lag_seconds" ("seconds") [] "The worst 99th percentile of delays from a slot's time to its start, in the last second of a run.";
    UNSENT = Counter "verifier_unsent_requests_total" ("requests") [] "Slots that could not be sent or seen: they count neither for nor against the target.";
    WATCH_AGE = Gauge "verifier_watch_age_seconds" ("seconds") [] "Since when Deployments cannot be watched; 0 while they can.";
    API_CALLS = Counter "verifier_api_calls_total" ("calls") ["code"] "Calls of the Kubernetes API, by the status of the answer; `none` without one.";
    SERIES_DROPPED = Counter "verifier_series_dropped_total" ("series") [] "Deployments that have no series of their own because there are too many.";
}

/// The page `docs/metrics.md`.
pub fn document() -> String {
    let mut text = String::from(
        "# Metrics\n\n`verifier serve` tells them at `/metrics`, in Prometheus's text format. This page is made from the table in\n\
         `src/metrics/catalogue.rs`, as is the endpoint.\n\n| metric | kind | unit | labels | |\n|---|---|---|---|---|\n",
    );
    for m in CATALOGUE {
        let labels = m.labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", ");
        // A string takes all that is written to it.
        let _ = writeln!(text, "| `{}` | {} | {} | {labels} | {} |", m.name, m.kind.label(), m.unit, m.help);
    }
    text.push_str(
        "\nSeries of a Deployment go when no policy asks for it any more. A Deployment whose namespace and name are the 2001st gets none, and\n\
         `verifier_series_dropped_total` says so. Everything begins at zero with the service: the error budget too, which is therefore about\n\
         the time since then, at most a day.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions() {
        for (n, m) in CATALOGUE.iter().enumerate() {
            assert!(m.name.starts_with("verifier_") && m.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", m.name);
            assert_eq!(m.name.ends_with("_total"), m.kind == Kind::Counter, "{}", m.name);
            assert_eq!(m.kind == Kind::Histogram || m.name.contains("seconds"), m.unit == "seconds", "{}", m.name);
            assert!(m.help.ends_with('.') && !m.help.contains('\n'), "{}", m.name);
            assert!(CATALOGUE.iter().skip(n + 1).all(|other| other.name != m.name), "{} is there twice", m.name);
        }
    }

    #[test]
    fn the_page_is_made_from_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), document(), "UPDATE_GOLDEN=1 writes it anew");
    }
}
