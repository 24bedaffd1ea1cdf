//! The sandbox of a run, in a process of its own that ends with it.
//!
//! Its ingress holds the other end of each of the driver's connections: in one process the two would need twice as many descriptors as there are
//! users, which is more than a process usually may have at ten thousand. And what the sandbox costs is not the verifier's.
//!
//! The child says its kubeconfig in one line on its standard output and ends when its standard input does, in whatever way this process ends.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::timeout;

use super::output::print;
use crate::cluster::chain;
use crate::load::raise_descriptor_limit;
use crate::sandbox::wire::keeper::Program;
use crate::sandbox::{Options, Sandbox};

/// The longest line that is read: a kubeconfig has some two thousand bytes.
const LINE_MAX: u64 = 64 * 1024;
/// How long a sandbox may take to end; its keeper, which is the slowest, has 15 seconds.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// Why there is no sandbox, or why it did not end well.
#[derive(Debug, Error)]
pub(super) enum AttachedError {
    /// No process.
    #[error("starting the sandbox's process")]
    Spawn(#[source] io::Error),
    /// It said nothing, or not what was expected; why is on standard error, which it shares.
    #[error("the sandbox did not start")]
    Silent,
    /// Its kubeconfig cannot be used.
    #[error("reading the sandbox's kubeconfig")]
    Kubeconfig(#[from] KubeconfigError),
    /// Its end could not be waited for.
    #[error("waiting for the sandbox's end")]
    Wait(#[source] io::Error),
    /// It went on, and was killed.
    #[error("it did not end within {} s", STOP_LIMIT.as_secs())]
    Stuck,
    /// It ended by itself before, or badly.
    #[error("its process ended with {0}")]
    Failed(ExitStatus),
}

/// A running sandbox. Dropping it closes the pipe, and so ends it.
#[derive(Debug)]
pub(super) struct Attached {
    child: Child,
    lifeline: ChildStdin,
}

impl Attached {
    /// Starts one, and answers with how clients get in once it can be asked. `images` are as they were typed.
    pub(super) async fn start(images: &[String], ingress_lag: Duration, seed: u64) -> Result<(Self, Config), AttachedError> {
        let mut command = Command::new(Program::this().path);
        command.args(["sandbox", "--attached", "--seed", &seed.to_string()]);
        command.args(["--ingress-lag", &humantime::format_duration(ingress_lag).to_string()]);
        command.args(images.iter().flat_map(|image| ["--image", image.as_str()]));
        // Its own group, so that a Ctrl-C in the terminal ends the run, which then ends it.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(AttachedError::Spawn)?;
        let (Some(lifeline), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(AttachedError::Silent);
        };
        let mut line = String::new();
        BufReader::new(stdout.take(LINE_MAX)).read_line(&mut line).await.map_err(|_| AttachedError::Silent)?;
        let text: String = serde_json::from_str(&line).map_err(|_| AttachedError::Silent)?;
        let kubeconfig = Kubeconfig::from_yaml(&text)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok((Self { child, lifeline }, config))
    }

    /// Ends it, and returns when no process of it is left.
    pub(super) async fn stop(self) -> Result<(), AttachedError> {
        let Self { mut child, lifeline } = self;
        drop(lifeline);
        match timeout(STOP_LIMIT, child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(AttachedError::Failed(status)),
            Ok(Err(error)) => Err(AttachedError::Wait(error)),
            Err(_) => {
                // The keeper under it notices, and ends what is left.
                child.start_kill().map_err(AttachedError::Wait)?;
                Err(AttachedError::Stuck)
            }
        }
    }
}

/// The child: a sandbox until standard input ends.
pub(super) async fn serve(options: Options) -> Result<(), String> {
    raise_descriptor_limit();
    let mut sandbox = tokio::select! {
        started = Sandbox::start(options) => started.map_err(|e| chain(&e))?,
        () = released() => return Ok(()),
    };
    let line = serde_json::to_string(&sandbox.access().kubeconfig("sandbox")).map_err(|e| e.to_string())?;
    print(&(line + "\n"));
    let failed = tokio::select! {
        failed = sandbox.failed() => Err(chain(&failed)),
        () = released() => Ok(()),
    };
    sandbox.stop().await.map_err(|e| chain(&e)).and(failed)
}

/// Returns when nobody holds the other end of standard input any more.
async fn released() {
    let mut nothing = [0; 64];
    let mut stdin = tokio::io::stdin();
    // What is written there means nothing; an error means that there is nobody.
    while let Ok(1..) = stdin.read(&mut nothing).await {}
}
