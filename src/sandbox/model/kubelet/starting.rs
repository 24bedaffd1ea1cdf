//! Which container of a pod starts next, and what can come between: images that are not to be had, missing configuration, programs
//! that cannot be executed, crash loops.

use super::backoff::go_duration;
use super::container::{State, Waiting};
use super::io::{Action, HookKind, Pull, Run, StartError};
use super::machine::Machine;
use super::plan::{Handler, PullPolicy, Role};
use crate::sandbox::model::object::{self, Now};
use crate::sandbox::model::write::EventType;

impl Machine {
    /// Starts what is to be started now, one container after the other.
    pub(super) fn start_next(&mut self, now: Now) {
        if self.containers.iter().any(super::container::Container::is_starting) {
            return;
        }
        for index in self.wanted() {
            if !self.is_held_back(index, now) {
                let container = &mut self.containers[index];
                container.retry_at = None;
                container.state = State::Pulling;
                self.out.push(Action::Pull(index));
                return;
            }
        }
    }

    /// The idle containers that should run, in the order of their start.
    fn wanted(&self) -> Vec<usize> {
        let restart = self.plan.restart;
        let initialized = self.is_initialized();
        let mut wanted = Vec::new();
        for (index, container) in self.containers.iter().enumerate() {
            let idle = container.is_idle() && container.runs_again(restart);
            match container.plan.role {
                Role::Init if initialized || container.succeeded() => {}
                Role::Init => {
                    wanted.extend(idle.then_some(index));
                    return wanted;
                }
                Role::Sidecar => {
                    wanted.extend(idle.then_some(index));
                    if !initialized && !container.started() {
                        return wanted;
                    }
                }
                Role::App => wanted.extend(idle.then_some(index)),
            }
        }
        wanted
    }

    /// Has an ordinary container been created? Then all the init containers have done their part.
    pub(super) fn is_initialized(&self) -> bool {
        self.containers.iter().any(|c| c.plan.role == Role::App && c.created > 0)
    }

    /// All ordinary containers have ended for good, or an init container has failed for good.
    pub(super) fn has_nothing_to_run(&self) -> bool {
        let restart = self.plan.restart;
        let over = |c: &super::container::Container| c.is_idle() && c.ended.is_some() && !c.runs_again(restart);
        let failed_init = self.containers.iter().any(|c| c.plan.role == Role::Init && over(c) && !c.succeeded());
        failed_init && !self.is_initialized() || self.containers.iter().filter(|c| c.plan.role == Role::App).all(over)
    }

    /// When a container that waits may be tried again.
    pub(super) fn next_retry(&self) -> Option<Now> {
        self.wanted().into_iter().filter_map(|i| self.containers[i].retry_at).min()
    }

    /// Must this container wait? The reason goes into its status.
    fn is_held_back(&mut self, index: usize, now: Now) -> bool {
        let pod = self.pod_text();
        let container = &mut self.containers[index];
        if container.retry_at.is_some_and(|t| t > now) {
            return true;
        }
        if let Some(until) = container.pulls.until_since_attempt(now) {
            let text = format!("Back-off pulling image \"{}\"", container.plan.image());
            let message = match &container.waiting {
                Some(w) if w.reason == "ErrImagePull" => format!("{text}: ErrImagePull: {}", w.message),
                _ => text.clone(),
            };
            container.waiting = Some(Waiting { reason: "ImagePullBackOff", message });
            container.retry_at = Some(until);
            self.event(EventType::Normal, "BackOff", text);
            self.event(EventType::Warning, "Failed", "Error: ImagePullBackOff".to_owned());
            return true;
        }
        let Some(finished) = container.ended.as_ref().filter(|_| !container.counted).map(|e| e.finished_at) else { return false };
        if let Some(until) = container.restarts.until(finished, now) {
            let name = container.name().to_owned();
            let delay = go_duration(container.restarts.delay());
            let message = format!("back-off {delay} restarting failed container={name} pod={pod}");
            container.waiting = Some(Waiting { reason: "CrashLoopBackOff", message });
            container.retry_at = Some(until);
            self.event(EventType::Warning, "BackOff", format!("Back-off restarting failed container {name} in pod {pod}"));
            return true;
        }
        container.restarts.next(finished, now);
        container.counted = true;
        false
    }

    pub(super) fn pulled(&mut self, index: usize, pull: Pull, now: Now) {
        let Some(container) = self.containers.get_mut(index).filter(|c| matches!(c.state, State::Pulling)) else { return };
        let image = container.plan.image().to_owned();
        let policy = container.plan.pull;
        match (pull, policy) {
            (Pull::Unknown, PullPolicy::Never) => {
                let message = format!("Container image \"{image}\" is not present with pull policy of Never");
                self.wait_for_retry(index, "ErrImageNeverPull", message.clone(), now);
                self.event(EventType::Warning, "ErrImageNeverPull", message);
                self.event(EventType::Warning, "Failed", "Error: ErrImageNeverPull".to_owned());
            }
            (Pull::Unknown, _) => self.pull_failed(index, &image, now),
            (pull, policy) => {
                container.state = State::Starting;
                let run = Run { container: index, attempt: container.created };
                if policy == PullPolicy::Always || (policy == PullPolicy::IfNotPresent && pull == Pull::Available) {
                    self.event(EventType::Normal, "Pulling", format!("Pulling image \"{image}\""));
                    let size = "Image size: 0 bytes.";
                    let message = format!("Successfully pulled image \"{image}\" in 0s (0s including waiting). {size}");
                    self.event(EventType::Normal, "Pulled", message);
                } else {
                    let message = format!("Container image \"{image}\" already present on machine and can be accessed by the pod");
                    self.event(EventType::Normal, "Pulled", message);
                }
                self.out.push(Action::Start(run));
            }
        }
    }

    fn pull_failed(&mut self, index: usize, image: &str, now: Now) {
        // The kubelet looks again after a sync or two, and then tells of the back-off.
        let look_again = now + self.settings.backoff.base / 5;
        let container = &mut self.containers[index];
        container.pulls.next(now, now);
        let unpack = format!("failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\"");
        let message = format!("rpc error: code = NotFound desc = {unpack}: {image}: not found");
        container.state = State::Idle;
        container.retry_at = Some(look_again);
        container.waiting = Some(Waiting { reason: "ErrImagePull", message: message.clone() });
        self.event(EventType::Normal, "Pulling", format!("Pulling image \"{image}\""));
        self.event(EventType::Warning, "Failed", format!("Failed to pull image \"{image}\": {message}"));
        self.event(EventType::Warning, "Failed", "Error: ErrImagePull".to_owned());
    }

    fn wait_for_retry(&mut self, index: usize, reason: &'static str, message: String, now: Now) {
        let retry = self.settings.config_retry;
        let container = &mut self.containers[index];
        container.state = State::Idle;
        container.retry_at = Some(now + retry);
        container.waiting = Some(Waiting { reason, message });
    }

    pub(super) fn started(&mut self, run: Run, now: Now) {
        let Some(container) = self.containers.get_mut(run.container) else { return };
        if !matches!(container.state, State::Starting) || container.created != run.attempt {
            return;
        }
        container.start(now);
        container.waiting = None;
        let name = container.name().to_owned();
        self.event(EventType::Normal, "Created", format!("Created container: {name}"));
        self.event(EventType::Normal, "Started", format!("Started container {name}"));
        let ending = self.is_ending();
        let container = &mut self.containers[run.container];
        let hook = container.plan.post_start.clone();
        let Some(process) = container.process_mut() else { return };
        match hook {
            Some(handler) if !ending => {
                process.begin_hook(HookKind::PostStart, &handler, now);
                if !matches!(handler, Handler::Sleep(_)) {
                    self.out.push(Action::Hook(run, HookKind::PostStart));
                }
            }
            _ => process.open(now),
        }
    }

    pub(super) fn start_failed(&mut self, run: Run, error: StartError, now: Now) {
        let Some(container) = self.containers.get_mut(run.container) else { return };
        if !matches!(container.state, State::Starting) || container.created != run.attempt {
            return;
        }
        let name = container.name().to_owned();
        match error {
            StartError::Config(why) => {
                self.wait_for_retry(run.container, "CreateContainerConfigError", why.clone(), now);
                self.event(EventType::Warning, "Failed", format!("Error: {why}"));
            }
            StartError::Exec(why) => {
                let message = format!(
                    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: \
                     unable to start container process: error during container init: {why}"
                );
                self.event(EventType::Normal, "Created", format!("Created container: {name}"));
                self.event(EventType::Warning, "Failed", format!("Error: {message}"));
                self.ended_at_start(run.container, message.clone(), now);
                let container = &mut self.containers[run.container];
                container.waiting = Some(Waiting { reason: "RunContainerError", message });
            }
        }
    }

    pub(super) fn post_start_failed(&mut self, index: usize, why: String, now: Now) {
        self.event(EventType::Warning, "FailedPostStartHook", "PostStartHook failed".to_owned());
        self.stop(index, self.plan.grace, "FailedPostStartHook".to_owned(), now);
        self.containers[index].waiting = Some(Waiting { reason: "PostStartHookError", message: why });
    }

    /// How the kubelet names a pod in messages: `name_namespace(uid)`.
    fn pod_text(&self) -> String {
        let pod = &self.object;
        format!("{}_{}({})", object::name(pod), object::namespace(pod), object::uid(pod))
    }
}
