//! All causes there are: code, name, what is needed to tell them, the field that mends them, and a page for each. From this table come
//! `verifier explain`, the list in `docs/findings`, and the tests.

/// One cause.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Stable: `V1xx` termination, `V2xx` readiness and start, `V3xx` stuck rollouts, `V4xx` the version, `V5xx` not the rollout's fault,
    /// `V6xx` configuration.
    pub code: &'static str,
    /// A few words.
    pub name: &'static str,
    /// What has to be seen.
    pub needs: &'static str,
    /// The manifest field that mends it; nothing where no field can.
    pub field: Option<&'static str>,
    /// The page, in Markdown.
    pub page: &'static str,
}

macro_rules! catalogue {
    ($($code:literal, $name:literal, needs $needs:literal, field $field:expr;)*) => {
        /// By code.
        pub const CATALOGUE: &[Entry] = &[$(Entry {
            code: $code,
            name: $name,
            needs: $needs,
            field: $field,
            page: include_str!(concat!("../../../docs/findings/", $code, ".md")),
        }),*];
    };
}

catalogue! {
    "V101", "No drain on SIGTERM",
        needs "failures of pods that were told to end, from SIGTERM on",
        field Some("lifecycle.preStop");
    "V102", "preStop shorter than the propagation",
        needs "failures of pods that were told to end, sent after their preStop sleep",
        field Some("lifecycle.preStop.sleep.seconds");
    "V103", "Grace period shorter than requests",
        needs "requests that broke off when their pod was killed",
        field Some("terminationGracePeriodSeconds");
    "V104", "Keep-alive race",
        needs "resets of kept connections, or 502 at once, that no pod explains",
        field None;
    "V201", "Readiness that lies",
        needs "failures of a Ready pod before it answered anything well",
        field Some("readinessProbe.httpGet.path");
    "V202", "Readiness that flaps",
        needs "readiness lost by a pod that neither ends nor restarts: twice, or once when nobody else was there",
        field Some("readinessProbe.failureThreshold");
    "V203", "Liveness that kills under load",
        needs "a pod that served, restarted after its liveness probe failed",
        field Some("livenessProbe");
    "V204", "Slow start without startup probe",
        needs "a pod that was never ready, restarted after its liveness probe failed, without startupProbe",
        field Some("startupProbe");
    "V301", "Crash loop",
        needs "a new pod in CrashLoopBackOff",
        field None;
    "V302", "Image pull",
        needs "a new pod in ErrImagePull or ImagePullBackOff",
        field None;
    "V303", "Unschedulable",
        needs "a new pod that no node takes",
        field None;
    "V304", "Quota",
        needs "a new ReplicaSet that may not create pods: exceeded quota",
        field Some("ResourceQuota: hard.pods");
    "V305", "Out of memory",
        needs "containers that ended as OOMKilled",
        field Some("resources.limits.memory");
    "V401", "Version regression in errors",
        needs "new pods that fail more often than old ones at the same time",
        field None;
    "V402", "Version regression in latency",
        needs "a missed latency objective, and new pods slower than old ones at the same time",
        field None;
    "V403", "Turned away at its readiness gate",
        needs "pods at the gate verifier.dev/verified that failed what they were asked at their own addresses",
        field None;
    "V501", "Errors of both versions",
        needs "old pods that fail like new ones, or failures before the change",
        field None;
    "V502", "Prober at fault",
        needs "one request in twenty that says nothing about the target",
        field None;
    "V503", "Rollout superseded",
        needs "another template, more new revisions than the run made, or another Deployment",
        field None;
    "V601", "Too few replicas for maxUnavailable",
        needs "failures while no pod was ready, where pods may be unavailable",
        field Some("strategy.rollingUpdate.maxUnavailable");
    "V602", "Strategy Recreate",
        needs "failures while no pod was ready, under strategy Recreate",
        field Some("strategy");
    "V603", "Autoscaler inflated by the rollout",
        needs "an autoscaler that scaled up while the traffic stayed as it was",
        field Some("HorizontalPodAutoscaler: behavior.scaleUp.stabilizationWindowSeconds");
    "V604", "Progress deadline too long",
        needs "a stuck rollout with a progress deadline of five minutes or more",
        field Some("progressDeadlineSeconds");
}

/// A cause by its code, however it is written.
pub fn entry(code: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|e| e.code.eq_ignore_ascii_case(code))
}
