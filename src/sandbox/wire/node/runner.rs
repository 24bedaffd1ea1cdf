//! The node's loop: one task that owns every pod's state machine, hears what happens and does what they say.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::directory::Directory;
use super::holes::Holes;
use super::memory::{self, Limits};
use super::{NodeConfig, NodeError, object as node_object};
use crate::sandbox::model::kubelet::Machine;
use crate::sandbox::model::kubelet::addresses::Addresses;
use crate::sandbox::model::kubelet::io::{Exit, HookKind, Input, Run, Settings, StartError};
use crate::sandbox::model::kubelet::plan::PodPlan;
use crate::sandbox::model::kubelet::resources::NodeSize;
use crate::sandbox::model::object::{self, Key, Now, Object, resource};
use crate::sandbox::model::write::{EventType, Read, Write};
use crate::sandbox::wire::keeper::{Ending, Keeper, ProcessId, Report};
use crate::sandbox::wire::world::World;

/// Reports that wait to be read. A keeper that has more to say waits.
const REPORTS: usize = 1024;

/// So many keepers may be killed within a minute before the node gives up.
const KEEPER_DEATHS: usize = 3;

pub(super) struct Runner {
    pub(super) world: Arc<World>,
    pub(super) config: NodeConfig,
    pub(super) directory: Arc<Directory>,
    pub(super) base: BTreeMap<String, String>,
    pub(super) size: NodeSize,
    changed: watch::Receiver<u64>,
    pub(super) keeper: Keeper,
    reports: mpsc::Receiver<Report>,
    keeper_deaths: VecDeque<Now>,
    pub(super) next_id: ProcessId,
    pub(super) owners: BTreeMap<ProcessId, Owner>,
    /// By uid.
    pub(super) slots: BTreeMap<String, Slot>,
    addresses: Addresses,
    pub(super) holes: Holes,
    pub(super) limits: Limits,
    pub(super) pulled: BTreeSet<String>,
    /// Probes and hooks under way, each with the pod its result goes to.
    pub(super) tasks: JoinSet<(String, Input)>,
    /// What the machines are still to be told.
    pub(super) inputs: VecDeque<(String, Input)>,
    pub(super) writes: Vec<Write>,
}

/// One pod of this node.
pub(super) struct Slot {
    pub(super) machine: Machine,
    pub(super) wake: Option<Now>,
    pub(super) processes: BTreeMap<Run, Process>,
    pub(super) hooks: BTreeMap<(Run, HookKind), AbortHandle>,
    /// Was its address taken from the node's, so that it goes back there?
    pub(super) own_address: bool,
    version: String,
}

/// One run of a container.
pub(super) struct Process {
    pub(super) id: ProcessId,
    /// The environment, for what is run beside it.
    pub(super) env: BTreeMap<String, String>,
    pub(super) out_of_memory: bool,
}

/// Whose process it is.
pub(super) enum Owner {
    Container { uid: String, run: Run },
    Exec(oneshot::Sender<Result<Ending, String>>),
}

impl Runner {
    pub(super) fn new(
        world: Arc<World>,
        config: NodeConfig,
        directory: Arc<Directory>,
        base: BTreeMap<String, String>,
    ) -> Result<Self, NodeError> {
        let (sender, reports) = mpsc::channel(REPORTS);
        let keeper = Keeper::start(&config.program, sender)?;
        directory.set_processes(keeper.processes().clone());
        let size = node_object::size();
        let changed = world.watch();
        let now = world.now();
        world.write(node_object::register(&config.name, config.range.node(), size, now).into());
        Ok(Self {
            addresses: config.range.pods(),
            world,
            config,
            directory,
            base,
            size,
            changed,
            keeper,
            reports,
            keeper_deaths: VecDeque::new(),
            next_id: 1,
            owners: BTreeMap::new(),
            slots: BTreeMap::new(),
            holes: Holes::default(),
            limits: Limits::default(),
            pulled: BTreeSet::new(),
            tasks: JoinSet::new(),
            inputs: VecDeque::new(),
            writes: Vec::new(),
        })
    }

    /// Works until told to stop, or until it cannot.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<(), NodeError> {
        let failed = self.work(&stop).await;
        if let Err(error) = &failed {
            tracing::error!(%error, "the sandbox's node has failed");
            self.world.write(vec![node_object::failed(&self.config.name, &error.to_string(), self.world.now())]);
        }
        self.tasks.shutdown().await;
        let stopped = self.keeper.stop().await;
        failed?;
        Ok(stopped?)
    }

    async fn work(&mut self, stop: &CancellationToken) -> Result<(), NodeError> {
        let mut memory = tokio::time::interval(memory::PERIOD);
        memory.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.sync();
        loop {
            self.settle();
            let sleep = tokio::time::sleep(self.until_wake());
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                report = self.reports.recv() => match report {
                    Some(report) => self.heard(report)?,
                    None => return Err(NodeError::KeeperDies(self.keeper_deaths.len())),
                },
                Some(done) = self.tasks.join_next() => {
                    // One that was aborted has no result, and nobody waits for it.
                    self.inputs.extend(done);
                }
                changed = self.changed.changed() => {
                    // The world cannot be gone: we hold it.
                    if changed.is_ok() {
                        self.sync();
                    }
                }
                _ = memory.tick(), if !self.limits.is_empty() => self.enforce_memory_limits(),
                () = sleep => self.tick(),
            }
        }
    }

    /// Tells the machines all there is to tell, and writes what they want written.
    fn settle(&mut self) {
        while let Some((uid, input)) = self.inputs.pop_front() {
            let now = self.world.now();
            let Some(slot) = self.slots.get_mut(&uid) else { continue };
            let actions = slot.machine.handle(input, now);
            slot.wake = slot.machine.wake();
            for action in actions {
                self.carry_out(&uid, action, now);
            }
            if self.slots.get(&uid).is_some_and(|s| s.machine.is_gone()) {
                self.remove(&uid);
            }
        }
        self.world.write(std::mem::take(&mut self.writes));
    }

    fn until_wake(&self) -> Duration {
        let wake = self.slots.values().filter_map(|s| s.wake).chain(self.holes.wake()).min();
        let left = wake.map_or(TimeDelta::hours(1), |at| at - self.world.now());
        left.to_std().unwrap_or(Duration::ZERO)
    }

    fn tick(&mut self) {
        let now = self.world.now();
        self.holes.fill(now);
        let due = self.slots.iter().filter(|(_, s)| s.wake.is_some_and(|w| w <= now));
        self.inputs.extend(due.map(|(uid, _)| (uid.clone(), Input::Tick)));
    }

    /// Looks for pods that have come, changed or gone.
    fn sync(&mut self) {
        self.changed.mark_unchanged();
        let mut pods = self.world.read(|store| store.list(&resource::PODS, None));
        pods.retain(|pod| pod["spec"]["nodeName"].as_str() == Some(&self.config.name));
        for pod in &pods {
            let version = pod["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            match self.slots.get_mut(object::uid(pod)) {
                Some(slot) if slot.version == version => {}
                Some(slot) => {
                    version.clone_into(&mut slot.version);
                    self.inputs.push_back((object::uid(pod).to_owned(), Input::Changed(pod.clone())));
                }
                None => self.admit(pod),
            }
        }
        let there: BTreeSet<&str> = pods.iter().map(|p| object::uid(p)).collect();
        let gone = self.slots.keys().filter(|uid| !there.contains(uid.as_str()));
        self.inputs.extend(gone.map(|uid| (uid.clone(), Input::Removed)));
    }

    fn admit(&mut self, pod: &Object) {
        let now = self.world.now();
        let uid = object::uid(pod).to_owned();
        let plan = match PodPlan::read(pod) {
            Ok(plan) => plan,
            Err(error) => {
                // The API takes in nothing of the wrong shape, so this is a mistake of the sandbox.
                tracing::error!(
                    pod = object::name(pod),
                    error = &error as &dyn std::error::Error,
                    "a pod cannot be read, and is not run"
                );
                return;
            }
        };
        let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let own_address = !over && plan.spec.host_network != Some(true);
        let ip = if own_address { self.addresses.take(now) } else { Some(self.config.range.node()) };
        let Some(ip) = ip else {
            tracing::error!(pod = object::name(pod), "the sandbox has run out of addresses for pods");
            return;
        };
        let key = Key::of(resource::PODS, pod);
        self.directory.add(&uid, key, &plan);
        let settings = Settings { backoff: self.config.backoff, ..Settings::new(self.config.range.node()) };
        let slot = Slot {
            machine: Machine::new(pod.clone(), plan, ip, settings, now),
            wake: None,
            processes: BTreeMap::new(),
            hooks: BTreeMap::new(),
            own_address,
            version: pod["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned(),
        };
        self.slots.insert(uid.clone(), slot);
        self.inputs.push_back((uid, Input::Changed(pod.clone())));
    }

    fn remove(&mut self, uid: &str) {
        self.slots.remove(uid);
        for id in self.directory.remove(uid) {
            let _ = self.keeper.processes().forget(id);
        }
    }

    pub(super) fn release_address(&mut self, uid: &str, now: Now) {
        let Some(slot) = self.slots.get(uid).filter(|s| s.own_address) else { return };
        let ip = slot.machine.ip();
        self.holes.dig(ip, &slot.machine.plan().ports(), now);
        self.addresses.release(ip, now);
    }

    /// The keeper has something to say.
    fn heard(&mut self, report: Report) -> Result<(), NodeError> {
        match report {
            Report::Started { id, pid } => self.process_started(id, pid),
            Report::Failed { id, error } => match self.owners.remove(&id) {
                Some(Owner::Container { uid, run }) => {
                    if let Some(slot) = self.slots.get_mut(&uid) {
                        slot.processes.remove(&run);
                    }
                    self.inputs.push_back((uid, Input::StartFailed(run, StartError::Exec(error))));
                }
                Some(Owner::Exec(end)) => drop(end.send(Err(error))),
                None => {}
            },
            Report::Exited { id, how } => self.process_ended(id, how),
            Report::TermIgnored { id } => {
                if let Some(Owner::Container { uid, run }) = self.owners.get(&id)
                    && let Some(slot) = self.slots.get(uid)
                {
                    let pod = object::name(slot.machine.object());
                    let container = slot.machine.plan().containers.get(run.container).map(|c| c.spec.name.as_str());
                    tracing::warn!(
                        pod,
                        container,
                        "the program has no handler for SIGTERM, and so does not get it, as in a container"
                    );
                }
            }
            Report::Output { .. } => {}
            Report::KeeperEnded { how } => self.restart_keeper(how)?,
        }
        Ok(())
    }

    fn process_started(&mut self, id: ProcessId, pid: i32) {
        let Some(Owner::Container { uid, run }) = self.owners.get(&id) else { return };
        self.directory.started(uid, run.container, pid, self.world.now());
        let limit = self.slots.get(uid).and_then(|s| s.machine.plan().containers.get(run.container)?.memory_limit);
        if let Some(bytes) = limit {
            self.limits.watch(id, pid, bytes);
        }
        self.inputs.push_back((uid.clone(), Input::Started(*run)));
    }

    fn process_ended(&mut self, id: ProcessId, how: Ending) {
        self.limits.forget(id);
        match self.owners.remove(&id) {
            Some(Owner::Container { uid, run }) => {
                self.directory.ended(&uid, run.container);
                let slot = self.slots.get_mut(&uid);
                let process = slot.and_then(|slot| {
                    slot.hooks.extract_if(.., |(of, _), _| *of == run).for_each(|(_, hook)| hook.abort());
                    slot.processes.remove(&run)
                });
                let exit = match how {
                    _ if process.is_some_and(|p| p.out_of_memory) => Exit::OutOfMemory,
                    Ending::Code(code) => Exit::Code(code),
                    Ending::Signal(signal) => Exit::Signal(signal),
                };
                self.inputs.push_back((uid, Input::Exited(run, exit)));
            }
            Some(Owner::Exec(end)) => drop(end.send(Ok(how))),
            None => {}
        }
    }

    fn enforce_memory_limits(&mut self) {
        for id in self.limits.look() {
            let Some(Owner::Container { uid, run }) = self.owners.get(&id) else { continue };
            if let Some(process) = self.slots.get_mut(uid).and_then(|s| s.processes.get_mut(run)) {
                process.out_of_memory = true;
                let _ = self.keeper.processes().kill(id);
            }
        }
    }

    /// The keeper was killed, and all containers with it. Another one is started, but not for ever.
    fn restart_keeper(&mut self, how: Option<Ending>) -> Result<(), NodeError> {
        let now = self.world.now();
        self.keeper_deaths.push_back(now);
        self.keeper_deaths.retain(|at| now - *at < TimeDelta::minutes(1));
        let message = format!("the process keeper ended ({how:?}), and all containers with it");
        tracing::error!(message);
        let about = node_object::key(&self.config.name);
        let (kind, reason) = (EventType::Warning, "ContainerRuntimeDied");
        self.writes.push(Write::Event { about, kind, reason, message, by: "kubelet" });
        let ids: Vec<ProcessId> = self.owners.keys().copied().collect();
        for id in ids {
            // A start that was not confirmed has failed; for a run, its end is told.
            if let Some(Owner::Container { uid, run }) = self.owners.get(&id) {
                let failed = StartError::Exec("the process keeper ended".to_owned());
                self.inputs.push_back((uid.clone(), Input::StartFailed(*run, failed)));
            }
            self.process_ended(id, Ending::Signal(9));
        }
        self.limits.clear();
        if self.keeper_deaths.len() > KEEPER_DEATHS {
            return Err(NodeError::KeeperDies(self.keeper_deaths.len()));
        }
        let (sender, reports) = mpsc::channel(REPORTS);
        self.keeper = Keeper::start(&self.config.program, sender)?;
        self.reports = reports;
        self.directory.set_processes(self.keeper.processes().clone());
        Ok(())
    }
}
