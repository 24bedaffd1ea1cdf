//! `verifier sandbox`: a small Kubernetes in the foreground; and what `run` needs to start one.

use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::args::SandboxArgs;
use super::manifests;
use super::output::{complain, print, say};
use crate::cluster::connect::connect;
use crate::cluster::{act, chain};
use crate::exit::Exit;
use crate::sandbox::{Options, Sandbox};

/// The built-in workload answers for this image, whatever its tag.
const BUILT_IN: &str = "todo/backend";

pub(super) fn main(args: SandboxArgs) -> Exit {
    let images = match args.image.iter().map(|i| image(i)).collect::<Result<Vec<_>, _>>() {
        Ok(images) => images,
        Err(message) => return complain(&message, Exit::Usage),
    };
    let objects = match manifests::read(&args.filename, Path::new(".")) {
        Ok(objects) => objects,
        Err(error) => return complain(&chain(&error), Exit::Usage),
    };
    let options = match options(images, args.ingress_lag) {
        Ok(options) => options,
        Err(message) => return complain(&message, Exit::Unreachable),
    };
    block_on(async {
        match serve(&args, options, &objects).await {
            Ok(exit) => exit,
            Err(message) => complain(&message, Exit::Unreachable),
        }
    })
    .unwrap_or_else(|error| complain(&error, Exit::Unreachable))
}

async fn serve(args: &SandboxArgs, options: Options, objects: &[serde_json::Value]) -> Result<Exit, String> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let sandbox = Sandbox::start(options).await.map_err(|e| chain(&e))?;
    let outcome = async {
        sandbox.write_kubeconfig(&args.kubeconfig).map_err(|e| format!("{}: {e}", args.kubeconfig.display()))?;
        let connection = connect(sandbox.config().map_err(|e| chain(&e))?, "sandbox".into()).map_err(|e| chain(&e))?;
        act::apply(&connection.writer, objects, "default").await.map_err(|e| chain(&e))?;
        print(&format!("kubeconfig  {}\ningress     {}\n", args.kubeconfig.display(), sandbox.ingress_url()));
        say(&format!("the sandbox runs until Ctrl-C; try: kubectl --kubeconfig {} get all -A", args.kubeconfig.display()));
        let number = tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        Ok(Exit::Signal(number.as_raw_value()))
    }
    .await;
    sandbox.stop().await;
    // Written by this process, and useless from now on.
    drop(std::fs::remove_file(&args.kubeconfig));
    outcome
}

/// `todo/backend=./run.sh --flag` as image and command.
pub(super) fn image(text: &str) -> Result<(String, Vec<String>), String> {
    let (image, command) = text.split_once('=').ok_or_else(|| format!("--image {text}: expected IMAGE=COMMAND"))?;
    let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
    if image.is_empty() || words.is_empty() {
        return Err(format!("--image {text}: expected IMAGE=COMMAND"));
    }
    Ok((image.to_owned(), words))
}

/// The sandbox's options: the user's images first, then the built-in one.
pub(super) fn options(mut images: Vec<(String, Vec<String>)>, ingress_lag: Duration) -> Result<Options, String> {
    let program = std::env::current_exe().map_err(|e| format!("cannot find my own program: {e}"))?;
    images.push((BUILT_IN.into(), vec![program.display().to_string(), "workload".into()]));
    Ok(Options { program, images, ingress_lag })
}

/// Runs a future on two threads: one for the run, one for everything around it.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    Ok(runtime.map_err(|e| format!("could not start the runtime: {e}"))?.block_on(future))
}
