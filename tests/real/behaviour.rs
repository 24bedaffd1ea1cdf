//! The behaviours that the sandbox claims, on a real cluster.

use std::path::PathBuf;

use verifier::cluster::connect::{Choice, configure};

use crate::behaviour::play_all;

#[tokio::test]
#[cfg_attr(not(has_cluster), ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG")]
async fn a_real_cluster_behaves_as_the_sandbox_does() {
    let file = std::env::var_os("VERIFIER_TEST_KUBECONFIG").expect("VERIFIER_TEST_KUBECONFIG names the cluster");
    let choice = Choice::Kubeconfig { file: Some(PathBuf::from(file)), context: None };
    play_all(configure(&choice).await.unwrap().0).await;
}
