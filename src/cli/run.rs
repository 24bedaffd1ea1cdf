//! `verifier run`: from what was typed to a verdict.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};

use super::args::RunArgs;
use super::attached::Attached;
use super::conduct::{self, Stop, unreachable, usage};
use super::output::{complain, print, say};
use super::outs::Outs;
use super::{library, manifests, request, sandbox};
use crate::cluster::chain;
use crate::cluster::connect::{Choice, Connection, configure, connect};
use crate::domain::rollout::guard::Guard;
use crate::domain::scenario::{self, Scenario, Step};
use crate::domain::traffic::RequestPlan;
use crate::domain::words::nearest;
use crate::exit::Exit;
use crate::run::{Options, PutBackWhat, dispatch};

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
    if let Some(target) = &args.target {
        aim_at(&mut scenario, target).map_err(usage)?;
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
    let choice = conduct::choose(&args.cluster);
    if choice.is_none() && args.target.is_some() {
        return Err(usage("--target is a Deployment of a cluster: say --context or --kubeconfig"));
    }
    if choice.is_some() && !args.image.is_empty() {
        return Err(usage("--image is for the sandbox; a real cluster pulls its images itself"));
    }
    sandbox::images(&args.image).map_err(usage)?;
    let outs = Outs::parse(&args.report.out).map_err(usage)?;
    Ok(Plan { scenario, given, applies, request, choice, outs })
}

/// Only the change, the traffic and the objectives of the scenario stay, for a Deployment that is there already. What it must end in was said
/// of another one.
fn aim_at(scenario: &mut Scenario, target: &str) -> Result<(), String> {
    if scenario.when.iter().any(|step| matches!(step, Step::Apply(_))) {
        return Err(format!(
            "--target: scenario `{}` applies manifests of its own, which need not be about the target",
            scenario.name
        ));
    }
    target.clone_into(&mut scenario.target.deployment);
    scenario.given.apply.clear();
    scenario.given.overlay.clear();
    scenario.expect = None;
    Ok(())
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

async fn go(args: RunArgs, plan: Plan) -> Exit {
    match try_go(&args, plan).await {
        Ok(exit) => exit,
        Err(Stop(message, exit)) => complain(&message, exit),
    }
}

async fn try_go(args: &RunArgs, mut plan: Plan) -> Result<Exit, Stop> {
    let recorder = conduct::recorder(&args.report)?;
    let (seed, command) = conduct::seeded(&args.report)?;
    let (sandbox, connection) = open(args, &mut plan, seed).await?;
    let put_back = put_back(args, sandbox.is_some());
    let options = Options {
        entry: None,
        scenario: plan.scenario,
        connection,
        request: plan.request,
        given: plan.given,
        applies: plan.applies,
        put_back,
        seed,
        command,
        recorder,
        reporters: conduct::reporters(&args.report, &plan.outs, conduct::View::Run)?,
        permit: None,
    };
    let ended = dispatch(options).await;
    if let Some(sandbox) = sandbox
        && let Err(error) = sandbox.stop().await
    {
        say(&format!("warning: the sandbox did not end well: {}", chain(&error)));
    }
    let course = ended.map_err(|e| unreachable(format!("could not watch for signals: {e}")))?;
    Ok(conduct::finish(&args.report, &plan.outs, &course))
}

/// What is put back at the end. A sandbox that ends with the run takes everything with it.
const fn put_back(args: &RunArgs, sandbox: bool) -> PutBackWhat {
    match (sandbox, args.target.is_some()) {
        (false, true) if args.restore => PutBackWhat::Spec,
        (false, false) if !args.keep => PutBackWhat::Created,
        (true | false, _) => PutBackWhat::Nothing,
    }
}

/// The cluster that was chosen, or a sandbox that ends with the run.
async fn open(args: &RunArgs, plan: &mut Plan, seed: u64) -> Result<(Option<Attached>, Connection), Stop> {
    if let Some(choice) = &plan.choice {
        let (config, name) = configure(choice).await.map_err(|e| unreachable(chain(&e)))?;
        if args.target.is_some() && args.namespace.is_none() {
            plan.scenario.target.namespace.clone_from(&config.default_namespace);
        }
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
    text.push_str(match put_back(args, false) {
        PutBackWhat::Nothing => "  and leaves it so",
        PutBackWhat::Spec => "  and gives the Deployment back the spec that it had, at the end",
        PutBackWhat::Created => "  and removes at the end what it has created (--keep leaves it)",
    });
    say(&text);
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
