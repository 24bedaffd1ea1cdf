//! Commands that are run beside a container's process, for probes and hooks.

use std::time::Duration;

use tokio::sync::oneshot;

use crate::sandbox::model::kubelet::io::ProbeResult;
use crate::sandbox::wire::keeper::{Ending, ProcessId, Processes};

/// No more of a command's output than this is told.
const TOLD: usize = 1024;

/// A command under way. Dropped, it is killed.
#[derive(Debug)]
pub(super) struct Exec {
    processes: Processes,
    id: ProcessId,
    end: oneshot::Receiver<Result<Ending, String>>,
}

impl Exec {
    /// A command that was given to the keeper under this number; `end` will tell how it ends, or why it did not start.
    pub(super) fn new(processes: Processes, id: ProcessId, end: oneshot::Receiver<Result<Ending, String>>) -> Self {
        Self { processes, id, end }
    }

    /// What the command amounts to as a probe.
    pub(super) async fn probe(self, argv: &[String], limit: Duration) -> ProbeResult {
        match tokio::time::timeout(limit, self.wait()).await {
            Ok(Ok((Ending::Code(0), _))) => ProbeResult::Success,
            Ok(Ok((_, output))) => ProbeResult::Failure(output),
            Ok(Err(error)) => ProbeResult::Error(error),
            Err(_) => {
                let seconds = limit.as_secs();
                ProbeResult::Failure(format!("command timed out: \"{}\" timed out after {seconds}s", argv.join(" ")))
            }
        }
    }

    /// What the command amounts to as a hook.
    pub(super) async fn hook(self) -> Result<(), String> {
        match self.wait().await? {
            (Ending::Code(0), _) => Ok(()),
            (Ending::Code(code), output) => Err(format!("command exited with {code}: {output}")),
            (Ending::Signal(signal), output) => Err(format!("command was ended by signal {signal}: {output}")),
        }
    }

    async fn wait(mut self) -> Result<(Ending, String), String> {
        let how = (&mut self.end).await.map_err(|_| "the process keeper ended".to_owned())??;
        let output = self.processes.output(self.id, 0).await;
        let mut text = output.map_or_else(String::new, |o| o.text);
        text.truncate(text.floor_char_boundary(TOLD));
        Ok((how, text))
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        // Without a keeper there is no process either.
        let _ = self.processes.kill(self.id);
        let _ = self.processes.forget(self.id);
    }
}
