//! The kinds on an API server that evaluates their rules: each case of `tests/manifests/policies` is taken, or refused in the words beside it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::runtime::wait::{await_condition, conditions};
use kube::{CustomResourceExt, Resource};
use serde_json::{Value, json};
use verifier::cluster::policy::RolloutPolicy;
use verifier::cluster::verification::{RolloutVerification, manifests};

use super::Real;
use crate::policies::files;
use crate::program::DEADLINE;

/// The kinds, removed again if they were not there before.
struct Kinds<'a>(&'a Real, Vec<String>);

impl<'a> Kinds<'a> {
    fn install(real: &'a Real) -> Self {
        let api: Api<CustomResourceDefinition> = Api::all(real.connection.writer.clone());
        let names = [RolloutPolicy::crd_name(), RolloutVerification::crd_name()];
        for name in names {
            // Another test's may still be going, and then nothing is taken.
            let stays =
                |kind: Option<&CustomResourceDefinition>| kind.is_none_or(|kind| kind.metadata.deletion_timestamp.is_none());
            let gone = await_condition(api.clone(), name, stays);
            real.runtime.block_on(async { tokio::time::timeout(DEADLINE, gone).await }).unwrap().unwrap();
        }
        let missing = names.iter().filter(|name| real.runtime.block_on(api.get_opt(name)).unwrap().is_none());
        let kinds = Self(real, missing.map(|name| (*name).to_owned()).collect());
        let objects: Vec<Value> = serde_saphyr::from_multiple(&manifests().unwrap()).unwrap();
        real.apply(&objects);
        for name in names {
            let established = await_condition(api.clone(), name, conditions::is_crd_established());
            real.runtime.block_on(async { tokio::time::timeout(DEADLINE, established).await }).unwrap().unwrap();
        }
        kinds
    }

    fn of<K: Resource<DynamicType = ()>>(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.0.connection.writer.clone(), "default", &ApiResource::erase::<K>(&()))
    }
}

impl Drop for Kinds<'_> {
    fn drop(&mut self) {
        let api: Api<CustomResourceDefinition> = Api::all(self.0.connection.writer.clone());
        for name in &self.1 {
            drop(self.0.runtime.block_on(api.delete(name, &DeleteParams::default())));
        }
    }
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn good_policies_are_taken_and_of_bad_ones_is_said_what_is_wrong() {
    let real = Real::take();
    let kinds = Kinds::install(&real);
    let api = kinds.of::<RolloutPolicy>();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let mut refused = 0;
    for path in ["good", "bad"].iter().flat_map(|folder| files(&format!("tests/manifests/policies/{folder}"))) {
        let text = std::fs::read_to_string(&path).unwrap();
        let object: DynamicObject = serde_saphyr::from_str(&text).unwrap();
        let answer = real.runtime.block_on(api.create(&dry_run, &object)).map_err(|e| e.to_string());
        let (by, words) = text.lines().next().unwrap().split_once(": ").unwrap_or_default();
        match answer {
            Err(error) => {
                refused += 1;
                assert!(by.starts_with("# refused") && error.contains(words), "{}: {error}", path.display());
            }
            Ok(_) => assert!(!by.starts_with("# refused"), "{} is taken", path.display()),
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
#[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
fn what_is_verified_is_written_once() {
    let real = Real::take();
    let kinds = Kinds::install(&real);
    let api = kinds.of::<RolloutVerification>();
    let spec = json!({"targetRef": {"kind": "Deployment", "name": "backend"}, "policy": {}});
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "verifier.dev/v1alpha1", "kind": "RolloutVerification", "metadata": {"name": "written-once"}, "spec": spec,
    }))
    .unwrap();
    let patch = |patch: Value| real.runtime.block_on(api.patch("written-once", &PatchParams::default(), &Patch::Merge(patch)));
    real.runtime.block_on(api.create(&PostParams::default(), &object)).unwrap();
    let labelled = patch(json!({"metadata": {"labels": {"a": "b"}}}));
    let edited = patch(json!({"spec": {"policy": {"guard": "hold"}}}));
    real.runtime.block_on(api.delete("written-once", &DeleteParams::default())).unwrap();
    labelled.unwrap();
    let error = edited.unwrap_err().to_string();
    assert!(error.contains("what is verified is written once, by the verifier"), "{error}");
}
