//! What can be typed.

mod rollout;
mod serve;

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(super) use self::rollout::{GateArgs, LintArgs, TargetArgs, WatchArgs};
pub(super) use self::serve::{LeaseName, ServeArgs};
use crate::domain::objective::Objective;
use crate::domain::rollout::guard::Guard;
use crate::domain::secret::Secret;
use crate::domain::traffic::Stage;

/// Knows from the client's side, within a second, whether a Kubernetes rollout hurts users.
#[derive(Debug, Parser)]
#[command(name = "verifier", version, max_term_width = 100)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Carry out a scenario: deploy, send traffic, make the change, judge.
    Run(RunArgs),
    /// Follow a rollout that somebody else makes to its verdict: for CI, after a deploy.
    Gate(GateArgs),
    /// Verify every rollout of the Deployments that ask for it, and probe them in between: the in-cluster service.
    Serve(ServeArgs),
    /// Print the manifests of the kinds that `serve` keeps its verifications in.
    Manifests,
    /// Start a small Kubernetes in the foreground and print its kubeconfig and ingress URL.
    Sandbox(SandboxArgs),
    /// Report and judge a recorded run again, without a cluster and without a request.
    Replay(ReplayArgs),
    /// Tell what differs between two runs, and what can be told from chance.
    Compare(CompareArgs),
    /// Show a Deployment's revisions and pods live, with each one's share of the traffic and of the failures, until Ctrl-C.
    Watch(WatchArgs),
    /// Write a scenario for a Deployment that is there, to begin with.
    Init(TargetArgs),
    /// Tell what can be foreseen of a rollout from its manifests, before any traffic; ends with 1 when an error is among it.
    Lint(LintArgs),
    /// Send traffic to a URL and measure: the bare driver.
    Load(LoadArgs),
    /// Send a single request and tell all that was seen of it.
    Probe(ProbeArgs),
    /// Tell what a finding means and what to do about it; all of them in a list without a code.
    Explain {
        /// As reports print it: V101; or `guards`, or `admission`
        code: Option<String>,
    },
    /// Judge thousands of rollouts in virtual time: how many healthy ones are stopped, how quickly broken ones.
    Simulate(SimulateArgs),
    /// The test application: serves, and misbehaves as its environment says.
    Workload,
    /// Print the JSON schema of an output.
    Schema {
        /// Of which one.
        kind: SchemaKind,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SchemaKind {
    /// Of `run -o json`, `gate -o json` and `replay -o json`.
    Summary,
    /// Of `lint -o json`.
    Lint,
    /// Of `load -o json`.
    Load,
    /// Of `compare -o json`.
    Compare,
    /// Of `simulate -o json`.
    Simulation,
}

#[derive(Debug, ClapArgs)]
pub(super) struct RunArgs {
    /// A scenario by name, or a file
    #[arg(long, value_name = "NAME|FILE", required_unless_present = "list")]
    pub(super) scenario: Option<String>,
    /// List the scenarios there are
    #[arg(long)]
    pub(super) list: bool,
    #[command(flatten)]
    pub(super) cluster: ClusterArgs,
    /// Namespace of the target, instead of the scenario's; with --target it is the context's own when it is left out
    #[arg(short, long, value_name = "NS")]
    pub(super) namespace: Option<String>,
    /// Send the traffic to this URL instead of the Ingress in front of the target
    #[arg(long)]
    pub(super) url: Option<String>,
    /// What a breach does to the rollout, instead of the scenario's: none, pause, hold or undo
    #[arg(long, value_name = "GUARD")]
    pub(super) guard: Option<Guard>,
    /// Override a field of the scenario: traffic.lanes.fresh.rate=50
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    #[command(flatten)]
    pub(super) report: ReportArgs,
    /// Run this command for an image in the sandbox: todo/backend=./run.sh
    #[arg(long, value_name = "IMAGE=COMMAND")]
    pub(super) image: Vec<String>,
    /// Make the scenario's change to this Deployment, which is there already: nothing of the scenario is deployed, and nothing else is touched
    #[arg(long, value_name = "deploy/NAME", value_parser = deployment)]
    pub(super) target: Option<String>,
    /// Give the Deployment back the spec that it had, at the end
    #[arg(long, requires = "target")]
    pub(super) restore: bool,
    /// Leave what the run has deployed on a real cluster, instead of removing it at the end
    #[arg(long, conflicts_with = "target")]
    pub(super) keep: bool,
    /// Do not ask before changing a real cluster
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// How a run is told of, and what it leaves.
#[derive(Debug, ClapArgs)]
pub(super) struct ReportArgs {
    /// Record the run's events to this file
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// What to print on standard output at the end
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
    /// Write further reports: html=FILE, json=FILE, junit=FILE, md=FILE
    #[arg(long, value_name = "KIND=FILE", value_delimiter = ',')]
    pub(super) out: Vec<String>,
    /// Seed of every random choice; drawn and printed when it is left out
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Plain lines instead of a live screen
    #[arg(long)]
    pub(super) plain: bool,
}

/// `deploy/NAME`, as kubectl has it.
fn deployment(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some(("deploy" | "deployment" | "deployments" | "deployment.apps" | "deployments.apps", name)) => Ok(name.to_owned()),
        _ => Err("expected deploy/NAME".into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs; see `verifier schema summary`.
    Json,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ReplayArgs {
    /// A file that `run --record` wrote
    #[arg(value_name = "RECORDING")]
    pub(super) recording: PathBuf,
    /// Judge by this objective instead of the run's own: "availability >= 99.9%"; may be given more than once
    #[arg(long, value_name = "OBJECTIVE")]
    pub(super) then: Vec<Objective>,
    /// Judge with another value of a field of the scenario: window=1m, then.0="p99 < 300ms"
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// What to print on standard output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
    /// Write further reports: html=FILE, json=FILE, junit=FILE, md=FILE
    #[arg(long, value_name = "KIND=FILE", value_delimiter = ',')]
    pub(super) out: Vec<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct CompareArgs {
    /// The run to compare with: a recording, or a summary in JSON
    #[arg(value_name = "A")]
    pub(super) a: PathBuf,
    /// The run that is compared with it
    #[arg(value_name = "B")]
    pub(super) b: PathBuf,
    /// What to print on standard output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

/// Where and what to ask.
#[derive(Debug, ClapArgs)]
pub(super) struct RequestArgs {
    /// http://host:port/path or https://
    pub(super) url: String,
    /// Connect to this address instead of resolving the URL's host
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) connect_to: Option<String>,
    /// Request method
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub(super) method: String,
    /// Add a header
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    pub(super) header: Vec<(String, String)>,
    /// Send the text in this file as the body
    #[arg(long, value_name = "FILE", value_parser = text_file)]
    pub(super) body: Option<String>,
    /// Speak HTTP/2: agreed on by ALPN over TLS, and else without asking
    #[arg(long)]
    pub(super) http2: bool,
    /// Speak what the server chooses by ALPN; without TLS HTTP/1.1
    #[arg(long, conflicts_with = "http2")]
    pub(super) alpn: bool,
    /// Trust the authorities in this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(super) cacert: Option<PathBuf>,
    /// Our certificate in a PEM file, if the server asks
    #[arg(long, value_name = "FILE", value_parser = text_file, requires = "key")]
    pub(super) cert: Option<String>,
    /// Its private key in a PEM file
    #[arg(long, value_name = "FILE", value_parser = secret_file, requires = "cert")]
    pub(super) key: Option<Secret>,
    /// Take any certificate: whoever is on the way can answer in the target's place
    #[arg(short = 'k', long)]
    pub(super) insecure: bool,
    /// From the intended start to the last byte
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) timeout: Duration,
    /// From the start of connecting
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) connect_timeout: Duration,
}

/// The text in a file.
fn text_file(path: &str) -> Result<String, String> {
    const MAX: u64 = 1 << 20;
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut text = String::new();
    let read = file.take(MAX + 1).read_to_string(&mut text).map_err(|e| e.to_string())?;
    if read as u64 > MAX { Err(format!("it has more than {MAX} bytes")) } else { Ok(text) }
}

/// The secret in a file.
fn secret_file(path: &str) -> Result<Secret, String> {
    text_file(path).map(Secret::new)
}

/// `Name: value`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Debug, ClapArgs)]
pub(super) struct LoadArgs {
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// Requests a second of each lane, whatever the target does; with --closed or --think, the most there may be
    #[arg(short, long, value_name = "N", required_unless_present_any = ["closed", "think"])]
    pub(super) rate: Option<f64>,
    /// How the rate changes: 10s:500 moves to 500 within 10 s, 0s:500 at once, and the last one stays
    #[arg(long, value_name = "DURATION:RATE", value_delimiter = ',', value_parser = stage, conflicts_with_all = ["closed", "think"])]
    pub(super) profile: Vec<Stage>,
    /// Random arrivals (a Poisson process) instead of even ones
    #[arg(long, conflicts_with_all = ["closed", "think"])]
    pub(super) poisson: bool,
    /// Closed loop: each connection asks again as soon as it is answered
    #[arg(long)]
    pub(super) closed: bool,
    /// Closed loop of users who think for so long on average between requests
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(super) think: Option<Duration>,
    /// Kept connections; in a closed loop also the number of users
    #[arg(short, long, value_name = "N", default_value_t = 10)]
    pub(super) connections: usize,
    /// Keep connections open, open a new one for each request, or do each in a lane of its own
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kept")]
    pub(super) lanes: Vec<LaneKind>,
    /// How long to measure
    #[arg(short, long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(super) duration: Duration,
    /// Traffic before that, not counted; in whole seconds
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(super) warm_up: Duration,
    /// Threads that send; one for each core when it is left out, two at most
    #[arg(long, value_name = "N")]
    pub(super) workers: Option<usize>,
    /// Run on these cores only: 0,1
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    pub(super) pin: Vec<usize>,
    /// Seed of random arrivals and think times; drawn and printed when it is left out
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Write the latencies of each second to this file, as an HdrHistogram V2 interval log
    #[arg(long, value_name = "FILE")]
    pub(super) hdr: Option<PathBuf>,
    /// What to print on standard output at the end
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

/// `10s:500`.
fn stage(text: &str) -> Result<Stage, String> {
    let (over, rate) = text.split_once(':').ok_or("expected DURATION:RATE")?;
    let over = humantime::parse_duration(over).map_err(|e| e.to_string())?;
    Ok(Stage { over, rate: rate.parse().map_err(|_| format!("`{rate}` is no rate"))? })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LaneKind {
    /// A new connection for each request.
    Fresh,
    /// Connections that are used again and again.
    Kept,
}

#[derive(Debug, ClapArgs)]
pub(super) struct ProbeArgs {
    #[command(flatten)]
    pub(super) request: RequestArgs,
    /// One request only; there is no other way yet
    #[arg(long, required = true)]
    pub(super) once: bool,
    /// Tell phases, connection and headers too
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// What to print on standard output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SimulateArgs {
    /// Seed of every random choice; drawn and printed when it is left out
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Rollouts of each row; 10000 of each healthy world and 2000 of each broken one when it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(super) rollouts: Option<u64>,
    /// Only rows whose name contains this: healthy, broken/new, pod-ends
    #[arg(long, value_name = "PART")]
    pub(super) only: Option<String>,
    /// What to print on standard output at the end
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
}

/// kubectl's own words for choosing a cluster.
#[derive(Debug, ClapArgs)]
pub(super) struct ClusterArgs {
    /// Kubeconfig file; without this and --context it is the cluster that this runs in, or else, for `run`, the embedded sandbox
    #[arg(long, value_name = "FILE")]
    pub(super) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long)]
    pub(super) context: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct SandboxArgs {
    /// Manifest files or folders to apply
    #[arg(short, long, value_name = "FILE")]
    pub(super) filename: Vec<String>,
    /// Run this command for an image: todo/backend=./run.sh
    #[arg(long, value_name = "IMAGE=COMMAND")]
    pub(super) image: Vec<String>,
    /// How long after a change of endpoints the ingress learns of it
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(super) ingress_lag: Duration,
    /// Seed of names, uids and addresses; drawn when it is left out
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Where to write the kubeconfig
    #[arg(long, value_name = "FILE", default_value = "sandbox.kubeconfig")]
    pub(super) kubeconfig: PathBuf,
    /// Belong to the process that started it: say the kubeconfig on standard output, and end when standard input does
    #[arg(long, hide = true, conflicts_with_all = ["filename", "kubeconfig"])]
    pub(super) attached: bool,
}
