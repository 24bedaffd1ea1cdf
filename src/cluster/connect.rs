//! Which cluster: never the current context by itself, always one that was named.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use thiserror::Error;

use super::count::{Counted, Counter};
use super::fence::{Fence, Fenced};

/// Longest wait for one answer of the API outside of watches.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How the user named a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// `--kubeconfig` and/or `--context`.
    Kubeconfig {
        /// A file; `$KUBECONFIG` or `~/.kube/config` when it is left out.
        file: Option<PathBuf>,
        /// A context; the file's current one when it is left out.
        context: Option<String>,
    },
    /// The service account of the pod that this runs in.
    InCluster,
}

/// Why no connection could be prepared.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The kubeconfig is missing or wrong.
    #[error("could not read the kubeconfig")]
    Kubeconfig(#[from] KubeconfigError),
    /// There is no service account.
    #[error("could not read the pod's service account")]
    InCluster(#[from] kube::config::InClusterError),
    /// TLS or authentication settings are unusable.
    #[error("could not prepare the client")]
    Client(#[source] Box<kube::Error>),
}

/// A cluster to talk to.
#[derive(Clone)]
pub struct Connection {
    /// For reading and watching; retries what is safe to retry.
    pub reader: Client,
    /// For writing; never retries by itself, because a lost answer is not a lost request.
    pub writer: Client,
    /// `sandbox`, or the context's name.
    pub name: String,
}

/// Reads the configuration that was chosen.
pub async fn configure(choice: &Choice) -> Result<(Config, String), ConnectError> {
    match choice {
        Choice::InCluster => Ok((Config::incluster()?, "in-cluster".into())),
        Choice::Kubeconfig { file, context } => {
            let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
            let kubeconfig = match file {
                Some(file) => Kubeconfig::read_from(file)?,
                None => Kubeconfig::read()?,
            };
            let name = context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_else(|| "kubeconfig".into());
            Ok((Config::from_custom_kubeconfig(kubeconfig, &options).await?, name))
        }
    }
}

/// Prepares the two clients of a connection. Nothing is sent yet.
pub fn connect(config: Config, name: String) -> Result<Connection, ConnectError> {
    connect_counted(config, name, None)
}

/// The same, with every call counted.
pub fn connect_counted(config: Config, name: String, counter: Option<&Counter>) -> Result<Connection, ConnectError> {
    let config = named(config);
    Ok(Connection { reader: reader(config.clone(), counter)?, writer: writer(config, counter, None)?, name })
}

/// The same, for who may write only while the fence is open; and a client beside them that is not fenced, for what opens it. It has connections
/// of its own, so that it never waits behind other calls, and no retries.
pub fn connect_fenced(config: Config, name: String, counter: &Counter, fence: Fence) -> Result<(Connection, Client), ConnectError> {
    let (config, counter) = (named(config), Some(counter));
    let unfenced = writer(config.clone(), counter, None)?;
    Ok((Connection { reader: reader(config.clone(), counter)?, writer: writer(config, counter, Some(fence))?, name }, unfenced))
}

fn named(mut config: Config) -> Config {
    let agent = HeaderValue::from_static(concat!("verifier/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    config.connect_timeout = Some(CALL_TIMEOUT);
    config.write_timeout = Some(CALL_TIMEOUT);
    config
}

fn reader(config: Config, counter: Option<&Counter>) -> Result<Client, ConnectError> {
    client(config, counter, None)
}

fn writer(mut config: Config, counter: Option<&Counter>, fence: Option<Fence>) -> Result<Client, ConnectError> {
    config.default_retry = false;
    config.read_timeout = Some(CALL_TIMEOUT);
    config.reset_reader_on_write = true;
    client(config, counter, fence)
}

/// The fence is outside: what it keeps back is no call.
fn client(config: Config, counter: Option<&Counter>, fence: Option<Fence>) -> Result<Client, ConnectError> {
    let builder = ClientBuilder::try_from(config).map_err(|e| ConnectError::Client(Box::new(e)))?;
    Ok(match counter {
        None => builder.with_layer(&Fenced(fence)).build(),
        Some(counter) => builder.with_layer(&Counted(Arc::clone(counter))).with_layer(&Fenced(fence)).build(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clock::Clock;
    use crate::cluster::fence::fence;
    use crate::cluster::{act, chain};

    #[tokio::test]
    async fn only_the_client_that_writes_is_fenced() {
        // Nobody listens: what is not kept back comes to nothing in another way.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let clock = Clock::start();
        let (latch, fence) = fence(clock);
        let counter: Counter = Arc::new(|_| ());
        let config = Config::new(url.parse().unwrap());
        let (connection, unfenced) = connect_fenced(config, "test".into(), &counter, fence).unwrap();
        let kept_back = async |client: &Client| {
            let patched = act::patch_deployment(client, "ns", "name", &json!({})).await;
            chain(&patched.unwrap_err()).contains("this verifier does not lead: nothing is written")
        };
        assert!(kept_back(&connection.writer).await);
        assert!(!kept_back(&unfenced).await);
        let read = act::generation(&connection.writer, "ns", "name").await;
        assert!(!chain(&read.unwrap_err()).contains("does not lead"));
        latch.open(clock.now() + Duration::from_hours(1));
        assert!(!kept_back(&connection.writer).await);
    }
}
