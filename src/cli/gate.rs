//! `verifier gate`: somebody else rolls a Deployment out; its verdict is an exit code.

use std::path::Path;

use serde_json::{Value, json};

use super::args::GateArgs;
use super::conduct::{self, Stop, View, unreachable, usage};
use super::output::complain;
use super::outs::Outs;
use super::{request, sandbox};
use crate::cluster::chain;
use crate::cluster::connect::{configure, connect};
use crate::domain::scenario::{self, Observe, Scenario};
use crate::exit::Exit;
use crate::run::{Options, PutBackWhat, dispatch};

/// How long it may take until the target has been found and asked for the first time, in seconds.
const FOUND_WITHIN: u64 = 30;
/// The least that error budgets are reckoned over, in seconds: what is planned for a rollout and its soak.
const WINDOW: u64 = 30;

pub(super) fn main(args: &GateArgs) -> Exit {
    let observe = Observe { wait: args.wait, endless: false, ruling: None };
    let ended = sandbox::block_on(go(args, observe, View::Run)).unwrap_or_else(|error| Err(unreachable(error)));
    ended.unwrap_or_else(|Stop(message, exit)| complain(&message, exit))
}

/// Observes, shown in this way, and answers with the exit code.
pub(super) async fn go(args: &GateArgs, observe: Observe, view: View) -> Result<Exit, Stop> {
    let outs = Outs::parse(&args.report.out).map_err(usage)?;
    let choice = conduct::choose(&args.whom.cluster).ok_or_else(|| {
        usage("no cluster was named, and this does not run in one: say --context or --kubeconfig (the sandbox is never started by itself here)")
    })?;
    // A mistake in what was typed is told before any file is read.
    scenario(args, "default")?;
    let (config, name) = configure(&choice).await.map_err(|e| unreachable(chain(&e)))?;
    let scenario = Scenario { observe: Some(observe), ..scenario(args, &config.default_namespace)? };
    let request = request::prepared(&scenario.traffic, Path::new(".")).map_err(usage)?;
    let connection = connect(config, name).map_err(|e| unreachable(chain(&e)))?;
    let (seed, command) = conduct::seeded(&args.report)?;
    let options = Options {
        entry: None,
        scenario,
        connection,
        request,
        given: Vec::new(),
        applies: Vec::new(),
        put_back: PutBackWhat::Nothing,
        seed,
        command,
        recorder: conduct::recorder(&args.report)?,
        reporters: conduct::reporters(&args.report, &outs, view)?,
        permit: None,
    };
    let course = dispatch(options).await.map_err(|e| unreachable(format!("could not watch for signals: {e}")))?;
    Ok(conduct::finish(&args.report, &outs, &course))
}

/// The scenario that the arguments amount to: nothing is deployed and nothing is changed.
fn scenario(args: &GateArgs, namespace: &str) -> Result<Scenario, Stop> {
    if !args.baseline.is_zero() && !args.wait {
        return Err(usage("--baseline is about the time before a rollout: it needs --wait, which begins before one does"));
    }
    let seconds = |d: std::time::Duration| humantime::format_duration(d).to_string();
    let (soak, timeout) = (seconds(args.soak), seconds(args.timeout));
    let window = seconds(args.soak.max(std::time::Duration::from_secs(WINDOW)));
    let usual = vec![Value::from("availability >= 99%")];
    let then = args.then.iter().map(|o| Value::from(o.to_string())).collect::<Vec<_>>();
    let mut traffic = json!({
        "path": args.way.path,
        "lanes": {"fresh": {"rate": args.rate / 2.0}, "kept": {"rate": args.rate / 2.0}},
    });
    if let Some(url) = &args.way.url {
        traffic["url"] = url.as_str().into();
    }
    let text = json!({
        "name": "gate",
        "about": "A rollout that somebody else makes is held against objectives while it happens.",
        "target": {"deployment": args.whom.target, "namespace": args.whom.namespace.as_deref().unwrap_or(namespace)},
        "given": {"healthy_for": seconds(args.baseline), "ready_within": format!("{FOUND_WITHIN}s")},
        "traffic": traffic,
        "observe": {"wait": args.wait},
        "then": if then.is_empty() { usual } else { then },
        "window": window,
        "soak": soak,
        "deadline": timeout,
        "guard": args.guard,
    });
    scenario::parse("gate", &text.to_string(), &[]).map_err(|e| usage(e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::cli::args::{Args, Command};

    fn of(typed: &str) -> Result<Scenario, String> {
        let args = Args::try_parse_from(format!("verifier gate {typed}").split(' ')).map_err(|e| e.to_string())?;
        let Command::Gate(args) = args.command else { panic!("no gate") };
        scenario(&args, "team").map_err(|Stop(message, exit)| format!("{} {message}", exit.code()))
    }

    #[test]
    fn what_is_typed_becomes_a_scenario_that_changes_nothing() {
        let s =
            of("deploy/backend --wait --timeout 5m --soak 20s --rate 50 --then p99<300ms --then kept.availability>=99.9%").unwrap();
        assert_eq!((&*s.target.deployment, &*s.target.namespace), ("backend", "team"));
        assert!(s.when.is_empty() && s.given.apply.is_empty() && s.observe.is_some_and(|o| o.wait));
        assert_eq!((s.deadline, s.soak, s.window), (Duration::from_mins(5), Duration::from_secs(20), Duration::from_secs(30)));
        let lanes: Vec<(&str, f64)> = s.traffic.lanes.iter().map(|(name, lane)| (&**name, lane.rate)).collect();
        assert_eq!(lanes, [("fresh", 25.0), ("kept", 25.0)]);
        let then: Vec<String> = s.then.iter().map(ToString::to_string).collect();
        assert_eq!(then, ["p99 < 300ms", "kept.availability >= 99.9%"]);
        let usual = of("deployment/b -n other --url http://x/y").unwrap();
        assert_eq!(usual.then[0].to_string(), "availability >= 99%");
        assert_eq!((&*usual.target.namespace, usual.traffic.url.as_deref()), ("other", Some("http://x/y")));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let error = |typed: &str| of(typed).unwrap_err();
        assert!(error("backend").contains("expected deploy/NAME"), "{}", error("backend"));
        assert!(error("pod/backend").contains("expected deploy/NAME"));
        assert!(error("deploy/Backend").contains("`Backend` is no name"));
        assert!(error("deploy/backend --baseline 5s").starts_with("2 --baseline"));
        assert!(error("deploy/backend --then late.p99<1s").contains("unknown lane `late`"));
        assert!(error("deploy/backend --guard pray").contains("`pray` is none of none, pause, hold, undo"));
        assert!(error("deploy/backend --rate 0").contains("lane `fresh`"));
    }
}
