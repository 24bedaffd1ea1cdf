//! What can be typed about the service.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use super::ClusterArgs;

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ServeArgs {
    #[command(flatten)]
    pub(in crate::cli) cluster: ClusterArgs,
    /// Only Deployments of this namespace; all namespaces when it is left out
    #[arg(short, long, value_name = "NS")]
    pub(in crate::cli) namespace: Option<String>,
    /// Answer here; anywhere but on loopback a bearer token is needed that the cluster grants the path to
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9090")]
    pub(in crate::cli) listen: SocketAddr,
    /// Start a sandbox and roll out good and bad versions in it, one after another, to look at
    #[arg(long, conflicts_with_all = ["kubeconfig", "context", "namespace"])]
    pub(in crate::cli) sandbox: bool,
    /// Record each run that judges a rollout in this folder; the latest 50 are kept
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::cli) recordings: Option<PathBuf>,
    /// Requests a second that are sent to judge rollouts, all Deployments together, at most
    #[arg(long, value_name = "N", default_value_t = 2_000.0)]
    pub(in crate::cli) max_rate: f64,
    /// Times that guards may act within an hour, all Deployments together
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(in crate::cli) max_actions: usize,
    /// Verifications that are kept of each Deployment
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = keep)]
    pub(in crate::cli) keep: usize,
    /// Verifications are kept for so long
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = humantime::parse_duration)]
    pub(in crate::cli) keep_for: Duration,
}

/// Between 1 and 100: no more are known of.
fn keep(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| (1..=100).contains(n)).ok_or_else(|| "expected a number from 1 to 100".into())
}
