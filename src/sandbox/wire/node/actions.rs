//! Doing what a pod's state machine says.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;

use super::exec::Exec;
use super::probe;
use super::runner::{Owner, Process, Runner};
use crate::sandbox::model::kubelet::env::{self, Surroundings};
use crate::sandbox::model::kubelet::io::{Action, HookKind, Input, ProbeKind, ProbeResult, Pull, Run, Signal, StartError};
use crate::sandbox::model::kubelet::plan::{Handler, ProbePlan};
use crate::sandbox::model::object::Now;
use crate::sandbox::wire::keeper::Spawn;

/// No hook runs longer; a pod that hangs in its postStart hook is deleted as any other.
const HOOK_LIMIT: Duration = Duration::from_mins(10);

/// How a probe or a hook is done.
enum Job {
    Probe(Exec, Vec<String>),
    Network(Handler, Ipv4Addr),
    Impossible(String),
}

impl Runner {
    pub(super) fn carry_out(&mut self, uid: &str, action: Action, now: Now) {
        match action {
            Action::Pull(container) => self.pull(uid, container),
            Action::Start(run) => {
                if let Err(error) = self.start(uid, run) {
                    self.inputs.push_back((uid.to_owned(), Input::StartFailed(run, error)));
                }
            }
            Action::Probe(run, kind) => self.probe(uid, run, kind),
            Action::Hook(run, kind) => self.hook(uid, run, kind),
            Action::Signal(run, signal) => {
                let Some(id) = self.slots.get(uid).and_then(|s| s.processes.get(&run)).map(|p| p.id) else { return };
                let processes = self.keeper.processes();
                // When the keeper does not listen, its end is reported, and with it that of this process.
                let _ = match signal {
                    Signal::Term => processes.term(id),
                    Signal::Kill => processes.kill(id),
                };
            }
            Action::ReleaseAddress => self.release_address(uid, now),
            Action::Write(write) => self.writes.push(write),
        }
    }

    fn pull(&mut self, uid: &str, container: usize) {
        let Some(plan) = self.slots.get(uid).and_then(|s| s.machine.plan().containers.get(container)) else { return };
        let image = plan.image();
        let pull = match self.config.images.find(image) {
            None => Pull::Unknown,
            Some(_) if self.pulled.contains(image) => Pull::Present,
            Some(_) => {
                self.pulled.insert(image.to_owned());
                Pull::Available
            }
        };
        self.inputs.push_back((uid.to_owned(), Input::Pulled(container, pull)));
    }

    fn start(&mut self, uid: &str, run: Run) -> Result<(), StartError> {
        let gone = || StartError::Exec("the process keeper does not listen".to_owned());
        let Some(slot) = self.slots.get_mut(uid) else { return Ok(()) };
        let machine = &slot.machine;
        let Some(plan) = machine.plan().containers.get(run.container) else { return Ok(()) };
        let image = plan.image();
        let program = self.config.images.find(image).ok_or_else(|| StartError::Exec(format!("image \"{image}\" is gone")))?;
        let around = Surroundings {
            pod: machine.object(),
            plan: machine.plan(),
            ip: machine.ip(),
            host: self.config.range.node(),
            node: self.size,
            base: &self.base,
        };
        let command = self.world.read(|store| env::command(store, &around, &plan.spec, &program));
        let command = command.map_err(|e| StartError::Config(e.to_string()))?;
        // It names a directory of an image that we do not have; where there is one of that name, it is meant.
        let directory = plan.spec.working_dir.as_ref().map(PathBuf::from).filter(|d| d.is_dir());
        let id = self.next_id;
        self.next_id += 1;
        let spawn = Spawn { argv: command.argv, env: command.env.clone(), directory };
        self.keeper.processes().spawn(id, spawn).map_err(|_| gone())?;
        slot.processes.insert(run, Process { id, env: command.env, out_of_memory: false });
        self.owners.insert(id, Owner::Container { uid: uid.to_owned(), run });
        if let Some(old) = self.directory.begin(uid, run.container, id) {
            let _ = self.keeper.processes().forget(old);
        }
        Ok(())
    }

    fn probe(&mut self, uid: &str, run: Run, kind: ProbeKind) {
        let Some(plan) = self.probe_plan(uid, run, kind) else { return };
        let limit = plan.timeout.to_std().unwrap_or(Duration::from_secs(1));
        let job = self.job(uid, run, &plan.handler);
        let uid = uid.to_owned();
        self.tasks.spawn(async move {
            let result = match job {
                Some(Job::Probe(exec, argv)) => exec.probe(&argv, limit).await,
                Some(Job::Network(Handler::Http(get), ip)) => probe::http(&get, ip, limit).await,
                Some(Job::Network(Handler::Tcp { host, port }, ip)) => probe::tcp(host.as_deref(), port, ip, limit).await,
                Some(Job::Impossible(why)) => ProbeResult::Error(why),
                Some(Job::Network(..)) | None => ProbeResult::Error("the container is gone".to_owned()),
            };
            (uid, Input::Probed(run, kind, result))
        });
    }

    fn probe_plan(&self, uid: &str, run: Run, kind: ProbeKind) -> Option<ProbePlan> {
        let container = self.slots.get(uid)?.machine.plan().containers.get(run.container)?;
        match kind {
            ProbeKind::Startup => container.startup.clone(),
            ProbeKind::Readiness => container.readiness.clone(),
            ProbeKind::Liveness => container.liveness.clone(),
        }
    }

    fn hook(&mut self, uid: &str, run: Run, kind: HookKind) {
        let plan = self.slots.get(uid).and_then(|s| s.machine.plan().containers.get(run.container));
        let handler = plan.and_then(|plan| match kind {
            HookKind::PostStart => plan.post_start.clone(),
            HookKind::PreStop => plan.pre_stop.clone(),
        });
        let Some(handler) = handler else { return };
        let job = self.job(uid, run, &handler);
        let of = uid.to_owned();
        let task = self.tasks.spawn(async move {
            let work = async {
                match job {
                    Some(Job::Probe(exec, _)) => exec.hook().await,
                    Some(Job::Network(Handler::Http(get), ip)) => probe::http_hook(&get, ip).await,
                    Some(Job::Impossible(why)) => Err(why),
                    Some(Job::Network(..)) | None => Err("the container is gone".to_owned()),
                }
            };
            let result = tokio::time::timeout(HOOK_LIMIT, work).await.unwrap_or_else(|_| Err("the hook took too long".to_owned()));
            (of, Input::HookDone(run, kind, result))
        });
        if let Some(slot) = self.slots.get_mut(uid) {
            slot.hooks.insert((run, kind), task);
        }
    }

    fn job(&mut self, uid: &str, run: Run, handler: &Handler) -> Option<Job> {
        let slot = self.slots.get(uid)?;
        match handler {
            Handler::Exec(argv) if argv.is_empty() => Some(Job::Impossible("the command is empty".to_owned())),
            Handler::Exec(argv) => {
                let env = slot.processes.get(&run)?.env.clone();
                let id = self.next_id;
                self.next_id += 1;
                let (sender, end) = oneshot::channel();
                let exec = Exec::new(self.keeper.processes().clone(), id, end);
                let spawn = Spawn { argv: argv.clone(), env, directory: None };
                if self.keeper.processes().spawn(id, spawn).is_err() {
                    return Some(Job::Impossible("the process keeper does not listen".to_owned()));
                }
                self.owners.insert(id, Owner::Exec(sender));
                Some(Job::Probe(exec, argv.clone()))
            }
            Handler::Unsupported(why) => Some(Job::Impossible(why.clone())),
            Handler::Sleep(_) => Some(Job::Impossible("a probe cannot sleep".to_owned())),
            Handler::Http(_) | Handler::Tcp { .. } => Some(Job::Network(handler.clone(), slot.machine.ip())),
        }
    }
}
