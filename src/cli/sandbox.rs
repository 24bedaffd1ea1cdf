//! `verifier sandbox`: a small Kubernetes in the foreground; and what `run` needs to start one.

use std::path::Path;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::args::SandboxArgs;
use super::output::{complain, print, say};
use super::{attached, manifests};
use crate::cluster::connect::connect;
use crate::cluster::{act, chain};
use crate::exit::Exit;
use crate::load::raise_descriptor_limit;
use crate::sandbox::wire::keeper::Program;
use crate::sandbox::wire::node::Images;
use crate::sandbox::{Options, Sandbox};

pub(super) fn main(args: &SandboxArgs) -> Exit {
    let images = match images(&args.image) {
        Ok(images) => images,
        Err(message) => return complain(&message, Exit::Usage),
    };
    let objects = match manifests::read(&args.filename, Path::new(".")) {
        Ok(objects) => objects,
        Err(error) => return complain(&chain(&error), Exit::Usage),
    };
    let seed = match args.seed.map_or_else(draw, Ok) {
        Ok(seed) => seed,
        Err(message) => return complain(&message, Exit::Unreachable),
    };
    let options = options(images, args.ingress_lag, seed);
    if args.attached {
        return match block_on(attached::serve(options)).flatten() {
            Ok(()) => Exit::Pass,
            Err(message) => complain(&format!("the sandbox: {message}"), Exit::Unreachable),
        };
    }
    raise_descriptor_limit();
    block_on(async {
        match serve(args, options, &objects).await {
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
        print(&format!(
            "kubeconfig  {}\ningress     {}\n",
            args.kubeconfig.display(),
            format_args!("http://{}", sandbox.ingress_address())
        ));
        say(&format!("the sandbox runs until Ctrl-C; try: kubectl --kubeconfig {} get all -A", args.kubeconfig.display()));
        let number = tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        Ok(Exit::Signal(number.as_raw_value()))
    }
    .await;
    let stopped = sandbox.stop().await.map_err(|e| chain(&e));
    // Written by this process, and useless from now on.
    drop(std::fs::remove_file(&args.kubeconfig));
    stopped.and(outcome)
}

/// The user's images: `todo/backend=./run.sh --flag` is an image and its command.
pub(super) fn images(given: &[String]) -> Result<Images, String> {
    given.iter().try_fold(Images::default(), |images, text| {
        let (image, command) = text.split_once('=').unwrap_or_default();
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if image.is_empty() || words.is_empty() {
            return Err(format!("--image {text}: expected IMAGE=COMMAND"));
        }
        Ok(images.with(image, words))
    })
}

/// The sandbox's options.
pub(super) fn options(images: Images, ingress_lag: Duration, seed: u64) -> Options {
    Options { seed, images, ingress_lag, program: Program::this() }
}

/// A seed for who gave none.
pub(super) fn draw() -> Result<u64, String> {
    SysRng.try_next_u64().map_err(|e| format!("the system gives no random numbers: {e}"))
}

/// Runs a future on two threads: one for the run, one for everything around it.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, String> {
    Ok(runtime()?.block_on(future))
}

/// Of two threads.
pub(super) fn runtime() -> Result<Runtime, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|e| format!("could not start the runtime: {e}"))
}
