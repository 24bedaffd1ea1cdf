//! `verifier lint`: what manifests foretell. It ends with 1 when there is an error among it, so that CI can stop there.

use std::io::IsTerminal;
use std::path::Path;

use serde_json::Value;

use super::args::{ClusterArgs, Format, LintArgs};
use super::conduct::{self, Stop, unreachable, usage};
use super::output::{complain, print};
use super::{manifests, sandbox};
use crate::cluster::connect::{configure, connect};
use crate::cluster::{around, chain};
use crate::domain::lint::{self, Level};
use crate::exit::Exit;
use crate::report;
use crate::report::look::Look;

pub(super) fn main(args: &LintArgs) -> Exit {
    go(args).unwrap_or_else(|Stop(message, exit)| complain(&message, exit))
}

fn go(args: &LintArgs) -> Result<Exit, Stop> {
    let objects = match &args.target {
        Some(target) => sandbox::block_on(live(&args.cluster, args.namespace.as_deref(), target)).map_err(unreachable)??.1,
        None => manifests::read(&args.filename, Path::new(".")).map_err(|e| usage(chain(&e)))?,
    };
    let report = lint::lint(&objects);
    if report.deployments.is_empty() {
        return Err(usage("there is no Deployment among the manifests"));
    }
    let printed = match args.output {
        Format::Text => {
            let look = Look::detect(std::io::stdout().is_terminal(), |name| std::env::var(name).ok());
            print(&report::lint::text(&report, look))
        }
        Format::Json => {
            let json = report::lint::document(&report).map_err(|e| usage(format!("cannot write the report as JSON: {e}")))?;
            print(&json)
        }
    };
    let found = if report.count(Level::Error) > 0 { Exit::Breach } else { Exit::Pass };
    Ok(if printed == Exit::Pass { found } else { printed })
}

/// The Deployment and what stands around it, from the cluster that was named, and its namespace.
pub(super) async fn live(cluster: &ClusterArgs, namespace: Option<&str>, target: &str) -> Result<(String, Vec<Value>), Stop> {
    let choice = conduct::choose(cluster)
        .ok_or_else(|| usage("no cluster was named, and this does not run in one: say --context or --kubeconfig"))?;
    let (config, name) = configure(&choice).await.map_err(|e| unreachable(chain(&e)))?;
    let namespace = namespace.unwrap_or(&config.default_namespace).to_owned();
    let connection = connect(config, name).map_err(|e| unreachable(chain(&e)))?;
    let objects = around::around(&connection.reader, &namespace, target).await.map_err(|e| unreachable(chain(&e)))?;
    Ok((namespace, objects))
}
