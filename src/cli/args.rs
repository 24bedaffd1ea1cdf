//! What can be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

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
    /// Start a small Kubernetes in the foreground and print its kubeconfig and ingress URL.
    Sandbox(SandboxArgs),
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
    /// Of `run -o json`.
    Summary,
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
    /// Namespace of the target, instead of the scenario's
    #[arg(short, long, value_name = "NS")]
    pub(super) namespace: Option<String>,
    /// Send the traffic to this URL instead of the Ingress in front of the target
    #[arg(long)]
    pub(super) url: Option<String>,
    /// Override a field of the scenario: traffic.lanes.fresh.rate=50
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Record the run's events to this file
    #[arg(long, value_name = "FILE")]
    pub(super) record: Option<PathBuf>,
    /// What to print on standard output at the end
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(super) output: Format,
    /// Write further reports: json=FILE
    #[arg(long, value_name = "KIND=FILE", value_delimiter = ',')]
    pub(super) out: Vec<String>,
    /// Seed of every random choice; drawn and printed when it is left out
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Run this command for an image in the sandbox: todo/backend=./run.sh
    #[arg(long, value_name = "IMAGE=COMMAND")]
    pub(super) image: Vec<String>,
    /// Do not ask before changing a real cluster
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Plain lines instead of a live screen
    #[arg(long)]
    pub(super) plain: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs; see `verifier schema summary`.
    Json,
}

/// kubectl's own words for choosing a cluster.
#[derive(Debug, ClapArgs)]
pub(super) struct ClusterArgs {
    /// Kubeconfig file; without this and --context the embedded sandbox is used
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
    pub(super) ingress_lag: std::time::Duration,
    /// Seed of names, uids and addresses; drawn when it is left out
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// Where to write the kubeconfig
    #[arg(long, value_name = "FILE", default_value = "sandbox.kubeconfig")]
    pub(super) kubeconfig: PathBuf,
}
