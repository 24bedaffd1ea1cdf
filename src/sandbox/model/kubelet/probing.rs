//! Running the probes of a pod and acting on what they find.

use super::io::{Action, ProbeKind, ProbeResult, Run};
use super::machine::Machine;
use super::plan::{RestartPolicy, Role};
use crate::sandbox::model::object::Now;
use crate::sandbox::model::write::EventType;

impl Machine {
    /// Starts every probe that is due.
    pub(super) fn start_probes(&mut self, now: Now) {
        for (index, container) in self.containers.iter_mut().enumerate() {
            let run = Run { container: index, attempt: container.created.saturating_sub(1) };
            let Some(process) = container.process_mut() else { continue };
            for (kind, prober) in process.open_probers() {
                if prober.start(now) {
                    self.out.push(Action::Probe(run, kind));
                }
            }
        }
    }

    pub(super) fn probed(&mut self, run: Run, kind: ProbeKind, result: &ProbeResult, now: Now) {
        let ending = self.is_ending();
        let Some(process) = self.containers.get_mut(run.container).and_then(|c| c.process_of(run.attempt)) else { return };
        // A probe that could restart the container is over once it is being stopped; its late answer is nobody's business.
        if kind != ProbeKind::Readiness && (ending || process.stop.is_some()) {
            return;
        }
        let Some(prober) = process.prober(kind) else { return };
        let changed = prober.result(result, now);
        if changed && kind == ProbeKind::Startup {
            prober.end();
            if process.startup_passed() {
                process.open(now);
            }
        }
        let name = kind.name();
        match result {
            ProbeResult::Success => {}
            ProbeResult::Warning(text) => self.event(EventType::Warning, "ProbeWarning", format!("{name} probe warning: {text}")),
            ProbeResult::Failure(text) => self.event(EventType::Warning, "Unhealthy", format!("{name} probe failed: {text}")),
            ProbeResult::Error(text) => {
                let message = format!("{name} probe errored and resulted in unknown state: {text}");
                self.event(EventType::Warning, "Unhealthy", message);
            }
        }
    }

    /// Stops the containers whose startup or liveness probe has failed for good.
    pub(super) fn stop_the_failing(&mut self, now: Now) {
        for index in 0..self.containers.len() {
            let container = &self.containers[index];
            let Some(process) = container.process().filter(|p| p.stop.is_none()) else { continue };
            let failed = |p: &Option<super::prober::Prober>| p.as_ref().is_some_and(|p| p.verdict() == Some(false));
            let (kind, plan) = if failed(&process.liveness) {
                ("liveness", &container.plan.liveness)
            } else if failed(&process.startup) {
                ("startup", &container.plan.startup)
            } else {
                continue;
            };
            let grace = plan.as_ref().and_then(|p| p.grace).unwrap_or(self.plan.grace);
            let name = container.name();
            let message = match container.plan.role {
                Role::App if self.plan.restart == RestartPolicy::Never => format!("Container {name} failed {kind} probe"),
                Role::App => format!("Container {name} failed {kind} probe, will be restarted"),
                Role::Init | Role::Sidecar => format!("Init container {name} failed {kind} probe"),
            };
            self.stop(index, grace, message, now);
        }
    }
}
