//! The behaviours that the sandbox claims, on a real cluster.

use verifier::cluster::connect::{Choice, configure};

use super::kubeconfig;
use crate::behaviour::play_all;

#[tokio::test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
async fn a_real_cluster_behaves_as_the_sandbox_does() {
    let choice = Choice::Kubeconfig { file: Some(kubeconfig()), context: None };
    play_all(configure(&choice).await.unwrap().0).await;
}
