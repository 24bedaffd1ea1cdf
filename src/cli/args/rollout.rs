//! What can be typed about a Deployment that is there.

use std::time::Duration;

use clap::Args as ClapArgs;

use super::{ClusterArgs, Format, ReportArgs, deployment};
use crate::domain::objective::Objective;
use crate::domain::rollout::guard::Guard;

/// How it is asked.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct WayArgs {
    /// Send the traffic to this URL instead of the Ingress in front of the Deployment
    #[arg(long)]
    pub(in crate::cli) url: Option<String>,
    /// Ask for this path through the Ingress; for the one that the Ingress leads to the Deployment when it is left out
    #[arg(long, default_value = "/", hide_default_value = true, conflicts_with = "url")]
    pub(in crate::cli) path: String,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct GateArgs {
    #[command(flatten)]
    pub(in crate::cli) whom: TargetArgs,
    #[command(flatten)]
    pub(in crate::cli) way: WayArgs,
    /// When no rollout is under way, wait for the next one instead of judging the version that was rolled out last
    #[arg(long)]
    pub(in crate::cli) wait: bool,
    /// Inconclusive when it takes longer, the waiting included
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(in crate::cli) timeout: Duration,
    /// Inconclusive when the service was not healthy for so long before the rollout; with --wait
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(in crate::cli) baseline: Duration,
    /// Measure on for so long after the rollout is complete; longer if a PASS needs it
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub(in crate::cli) soak: Duration,
    /// What must hold: "availability >= 99.9%", "p99 < 300ms"; may be given more than once [default: availability >= 99%]
    #[arg(long, value_name = "OBJECTIVE")]
    pub(in crate::cli) then: Vec<Objective>,
    /// Requests a second: half of them on fresh connections, half on kept ones
    #[arg(long, value_name = "N", default_value_t = 100.0)]
    pub(in crate::cli) rate: f64,
    /// What a breach does to the Deployment: none, pause, hold or undo
    #[arg(long, value_name = "GUARD", default_value_t = Guard::None)]
    pub(in crate::cli) guard: Guard,
    #[command(flatten)]
    pub(in crate::cli) report: ReportArgs,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct WatchArgs {
    #[command(flatten)]
    pub(in crate::cli) whom: TargetArgs,
    #[command(flatten)]
    pub(in crate::cli) way: WayArgs,
    /// Requests a second: half of them on fresh connections, half on kept ones
    #[arg(long, value_name = "N", default_value_t = 20.0)]
    pub(in crate::cli) rate: f64,
    /// End by itself after this
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = humantime::parse_duration)]
    pub(in crate::cli) duration: Duration,
    #[command(flatten)]
    pub(in crate::cli) report: ReportArgs,
}

/// A Deployment that is there.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct TargetArgs {
    /// The Deployment
    #[arg(value_name = "deploy/NAME", value_parser = deployment)]
    pub(in crate::cli) target: String,
    #[command(flatten)]
    pub(in crate::cli) cluster: ClusterArgs,
    /// Its namespace; the context's own when it is left out
    #[arg(short, long, value_name = "NS")]
    pub(in crate::cli) namespace: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct LintArgs {
    /// A Deployment of the cluster, with what stands around it
    #[arg(value_name = "deploy/NAME", value_parser = deployment, required_unless_present = "filename", conflicts_with = "filename")]
    pub(in crate::cli) target: Option<String>,
    /// Manifest files or folders instead: Deployments with their Services, autoscalers and disruption budgets
    #[arg(short, long, value_name = "FILE")]
    pub(in crate::cli) filename: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) cluster: ClusterArgs,
    /// Its namespace; the context's own when it is left out
    #[arg(short, long, value_name = "NS")]
    pub(in crate::cli) namespace: Option<String>,
    /// What to print on standard output
    #[arg(short, long, value_enum, default_value_t = Format::Text)]
    pub(in crate::cli) output: Format,
}
