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
pub fn connect_counted(mut config: Config, name: String, counter: Option<&Counter>) -> Result<Connection, ConnectError> {
    let agent = HeaderValue::from_static(concat!("verifier/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    let client = |config: Config| -> Result<Client, ConnectError> {
        let builder = ClientBuilder::try_from(config).map_err(|e| ConnectError::Client(Box::new(e)))?;
        Ok(match counter {
            None => builder.build(),
            Some(counter) => builder.with_layer(&Counted(Arc::clone(counter))).build(),
        })
    };
    config.connect_timeout = Some(CALL_TIMEOUT);
    config.write_timeout = Some(CALL_TIMEOUT);
    let reader = client(config.clone())?;
    config.default_retry = false;
    config.read_timeout = Some(CALL_TIMEOUT);
    config.reset_reader_on_write = true;
    Ok(Connection { reader, writer: client(config)?, name })
}
