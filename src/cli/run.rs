//! `verifier run`: from what was typed to a verdict.

use std::fmt::Write as _;
use std::io::{self, BufRead, IsTerminal};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::args::{Format, RunArgs};
use super::attached::Attached;
use super::output::{complain, print, say};
use super::outs::Outs;
use super::{library, manifests, request, sandbox};
use crate::cluster::chain;
use crate::cluster::connect::{Choice, Connection, configure, connect};
use crate::domain::course::Course;
use crate::domain::rollout::guard::Guard;
use crate::domain::scenario::{self, Scenario, Step};
use crate::domain::summary::Summary;
use crate::domain::traffic::RequestPlan;
use crate::domain::words::nearest;
use crate::exit::Exit;
use crate::report::look::Look;
use crate::report::text::File;
use crate::report::{self, Output, Reporter};
use crate::run::{Options, Recorder, dispatch};

/// An error message and the exit code that goes with it.
struct Stop(String, Exit);

pub(super) fn main(args: RunArgs) -> Exit {
    if args.list {
        return list();
    }
    match prepare(&args) {
        Ok(plan) => sandbox::block_on(go(args, plan)).unwrap_or_else(|error| complain(&error, Exit::Unreachable)),
        Err(Stop(message, exit)) => complain(&message, exit),
    }
}

fn list() -> Exit {
    let mut text = String::new();
    for name in library::scenarios() {
        let about = library::scenario(name).and_then(|t| scenario::parse(name, t, &[]).ok()).map(|s| s.about).unwrap_or_default();
        let first = about.split_inclusive(". ").next().unwrap_or_default().trim();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<18} {first}");
    }
    print(&text)
}

/// What a run needs, read and checked before anything is started.
struct Plan {
    scenario: Scenario,
    given: Vec<serde_json::Value>,
    applies: Vec<(usize, Vec<serde_json::Value>)>,
    request: RequestPlan,
    choice: Option<Choice>,
    outs: Outs,
}

fn prepare(args: &RunArgs) -> Result<Plan, Stop> {
    let usage = |message: String| Stop(message, Exit::Usage);
    let (name, text, base) = find(args.scenario.as_deref().unwrap_or_default()).map_err(usage)?;
    let mut scenario = scenario::parse(&name, &text, &args.set).map_err(|e| usage(e.to_string()))?;
    if let Some(namespace) = &args.namespace {
        scenario.target.namespace.clone_from(namespace);
    }
    if let Some(url) = &args.url {
        scenario.traffic.url = Some(url.clone());
    }
    if let Some(guard) = args.guard {
        scenario.guard = guard;
    }
    let mut given = manifests::read(&scenario.given.apply, &base).map_err(|e| usage(chain(&e)))?;
    manifests::overlay(&mut given, &scenario.given.overlay).map_err(|e| usage(chain(&e)))?;
    let mut applies = Vec::new();
    for (index, step) in scenario.when.iter().enumerate() {
        if let Step::Apply(paths) = step {
            applies.push((index, manifests::read(paths, &base).map_err(|e| usage(chain(&e)))?));
        }
    }
    let request = request::prepared(&scenario.traffic, &base).map_err(usage)?;
    let choice = choose(args);
    if choice.is_some() && !args.image.is_empty() {
        return Err(usage("--image is for the sandbox; a real cluster pulls its images itself".into()));
    }
    sandbox::images(&args.image).map_err(usage)?;
    let outs = Outs::parse(&args.out).map_err(usage)?;
    Ok(Plan { scenario, given, applies, request, choice, outs })
}

/// A scenario by name, or by file; relative paths in it start at its folder.
fn find(wanted: &str) -> Result<(String, String, PathBuf), String> {
    let extension = Path::new(wanted).extension().and_then(|e| e.to_str()).unwrap_or_default();
    let looks_like_file = wanted.contains('/') || matches!(extension, "yaml" | "yml");
    if !looks_like_file {
        if let Some(text) = library::scenario(wanted) {
            return Ok((format!("{wanted}.yaml"), text.to_owned(), PathBuf::from(".")));
        }
        let names: Vec<&str> = library::scenarios().collect();
        let near = nearest(wanted, names.iter().copied()).map(|n| format!(", did you mean `{n}`?")).unwrap_or_default();
        return Err(format!(
            "there is no scenario `{wanted}`{near}\n  there are: {}\n  or name a file ending in .yaml",
            names.join(", ")
        ));
    }
    let text = std::fs::read_to_string(wanted).map_err(|e| format!("{wanted}: {e}"))?;
    let base = Path::new(wanted).parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    Ok((wanted.to_owned(), text, base))
}

/// The cluster that was named; none means the sandbox. Never the current context by itself.
fn choose(args: &RunArgs) -> Option<Choice> {
    let (file, context) = (args.cluster.kubeconfig.clone(), args.cluster.context.clone());
    if file.is_some() || context.is_some() {
        return Some(Choice::Kubeconfig { file, context });
    }
    std::env::var_os("KUBERNETES_SERVICE_HOST").map(|_| Choice::InCluster)
}

async fn go(args: RunArgs, plan: Plan) -> Exit {
    match try_go(&args, plan).await {
        Ok(exit) => exit,
        Err(Stop(message, exit)) => complain(&message, exit),
    }
}

async fn try_go(args: &RunArgs, plan: Plan) -> Result<Exit, Stop> {
    let recorder = match &args.record {
        Some(path) => Some(Recorder::create(path).map_err(|e| Stop(format!("{}: {e}", path.display()), Exit::Usage))?),
        None => None,
    };
    let unreachable = |message: String| Stop(message, Exit::Unreachable);
    let seed = args.seed.map_or_else(sandbox::draw, Ok).map_err(unreachable)?;
    let (sandbox, connection) = open(args, &plan, seed).await?;
    let options = Options {
        scenario: plan.scenario,
        connection,
        request: plan.request,
        given: plan.given,
        applies: plan.applies,
        seed,
        command: command(args.seed.is_none().then_some(seed)),
        recorder,
        reporters: reporters(args, &plan.outs)?,
    };
    let ended = dispatch(options).await;
    if let Some(sandbox) = sandbox
        && let Err(error) = sandbox.stop().await
    {
        say(&format!("warning: the sandbox did not end well: {}", chain(&error)));
    }
    let course = ended.map_err(|e| unreachable(format!("could not watch for signals: {e}")))?;
    Ok(finish(args.output, &plan.outs, &course))
}

/// The cluster that was chosen, or a sandbox that ends with the run.
async fn open(args: &RunArgs, plan: &Plan, seed: u64) -> Result<(Option<Attached>, Connection), Stop> {
    let unreachable = |message: String| Stop(message, Exit::Unreachable);
    if let Some(choice) = &plan.choice {
        let (config, name) = configure(choice).await.map_err(|e| unreachable(chain(&e)))?;
        let connection = connect(config, name).map_err(|e| unreachable(chain(&e)))?;
        agree(args, plan, &connection)?;
        return Ok((None, connection));
    }
    say("no cluster was named: using the embedded sandbox");
    let started = Attached::start(&args.image, plan.scenario.sandbox.ingress_lag, seed).await;
    let (sandbox, config) = started.map_err(|e| unreachable(chain(&e)))?;
    let connection = connect(config, "sandbox".into());
    Ok((Some(sandbox), connection.map_err(|e| unreachable(chain(&e)))?))
}

/// Writes the reports that were asked for, and answers with the verdict's exit code.
fn finish(format: Format, outs: &Outs, course: &Course) -> Exit {
    if let Err(error) = outs.write(format, &Summary::of(course)) {
        return complain(&format!("cannot write the summary as JSON: {error}"), Exit::Inconclusive);
    }
    course.signal().map_or_else(|| Exit::of_run(course), Exit::Signal)
}

/// On a real cluster nothing is changed before it was said and agreed to.
fn agree(args: &RunArgs, plan: &Plan, connection: &Connection) -> Result<(), Stop> {
    let target = &plan.scenario.target;
    let mut text = format!("this changes the cluster `{}`:\n", connection.name);
    for object in &plan.given {
        let word = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
        let _ = writeln!(text, "  apply {} {}", word(&object["kind"]), word(&object["metadata"]["name"]));
    }
    for step in &plan.scenario.when {
        let step = serde_json::to_string(step).unwrap_or_default();
        let _ = writeln!(text, "  deployment {}/{}: {step}", target.namespace, target.deployment);
    }
    if plan.scenario.guard != Guard::None {
        let _ =
            writeln!(text, "  deployment {}/{}: {} when it is a breach", target.namespace, target.deployment, plan.scenario.guard);
    }
    say(text.trim_end());
    if args.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Stop("say --yes to change a real cluster without being asked".into(), Exit::Usage));
    }
    say("go on? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Stop("nothing was changed".into(), Exit::Superseded))
}

/// The command line as it was typed, with the seed if it was drawn: what makes this run again.
fn command(drawn: Option<u64>) -> String {
    let quoted = |arg: String| {
        let plain = arg.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c)) && !arg.is_empty();
        if plain { arg } else { format!("'{}'", arg.replace('\'', r"'\''")) }
    };
    let seed = drawn.map(|seed| format!("--seed {seed}"));
    std::iter::once("verifier".to_owned()).chain(std::env::args().skip(1).map(quoted)).chain(seed).collect::<Vec<_>>().join(" ")
}

/// One for people, on standard error; standard output belongs to programs.
fn reporters(args: &RunArgs, outs: &Outs) -> Result<Vec<Box<dyn Reporter>>, Stop> {
    let failed = |e: io::Error| Stop(format!("cannot write to standard error: {e}"), Exit::Usage);
    let stderr = io::stderr();
    let var = |name: &str| std::env::var(name).ok();
    let look = Look::detect(stderr.is_terminal(), var);
    let recording = args.record.iter().map(|p| File { what: "recording".into(), path: p.display().to_string() });
    let reporter = report::start(Output {
        fd: stderr.as_fd().try_clone_to_owned().map_err(failed)?,
        look: Look { live: look.live && !args.plain, ..look },
        columns: var("COLUMNS").and_then(|c| c.parse().ok()),
        files: recording.chain(outs.files()).collect(),
    });
    Ok(vec![reporter.map_err(failed)?])
}
