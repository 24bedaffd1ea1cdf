//! The scenarios and manifests that come inside the binary, so that it needs no files beside it.

macro_rules! embedded {
    ($($path:literal),* $(,)?) => { &[$(($path, include_str!(concat!("../../", $path)))),*] };
}

/// Files by their path in the repository.
const FILES: &[(&str, &str)] = embedded![
    "k8s/todo/autoscaler/hpa.yaml",
    "k8s/todo/backend/configmap.yaml",
    "k8s/todo/backend/deployment.yaml",
    "k8s/todo/backend/ingress.yaml",
    "k8s/todo/backend/namespace.yaml",
    "k8s/todo/backend/pdb.yaml",
    "k8s/todo/backend/service.yaml",
    "k8s/todo/backend/serviceaccount.yaml",
    "k8s/todo/quota/quota.yaml",
    "k8s/verifier/base/crds.yaml",
    "scenarios/abrupt-stop.yaml",
    "scenarios/admission-bad-version.yaml",
    "scenarios/admission-good.yaml",
    "scenarios/admission-hangs.yaml",
    "scenarios/admission-liar.yaml",
    "scenarios/admission-one-box.yaml",
    "scenarios/autoscaler-surge.yaml",
    "scenarios/bad-image.yaml",
    "scenarios/crash-loop.yaml",
    "scenarios/error-burst.yaml",
    "scenarios/flapping-readiness.yaml",
    "scenarios/keep-alive-race.yaml",
    "scenarios/late-deadline.yaml",
    "scenarios/liveness-kill.yaml",
    "scenarios/lying-readiness.yaml",
    "scenarios/out-of-memory.yaml",
    "scenarios/quota.yaml",
    "scenarios/recreate.yaml",
    "scenarios/rolling-update.yaml",
    "scenarios/scale-up-down.yaml",
    "scenarios/short-grace.yaml",
    "scenarios/short-prestop.yaml",
    "scenarios/sick-before.yaml",
    "scenarios/single-replica.yaml",
    "scenarios/slow-new-version.yaml",
    "scenarios/slow-start.yaml",
    "scenarios/ten-thousand-users.yaml",
    "scenarios/unschedulable.yaml",
];

/// The kinds that the service keeps its verifications in.
pub(super) const CRDS: &str = "k8s/verifier/base/crds.yaml";

/// The names of all scenarios.
pub(super) fn scenarios() -> impl Iterator<Item = &'static str> {
    FILES.iter().filter_map(|(path, _)| path.strip_prefix("scenarios/")?.strip_suffix(".yaml"))
}

/// A scenario's text by its name.
pub(super) fn scenario(name: &str) -> Option<&'static str> {
    let path = format!("scenarios/{name}.yaml");
    FILES.iter().find(|(p, _)| *p == path).map(|(_, text)| *text)
}

/// The manifests in a folder, or the one file.
pub(super) fn manifests(path: &str) -> Vec<(&'static str, &'static str)> {
    let folder = format!("{}/", path.trim_end_matches('/'));
    FILES.iter().filter(|(p, _)| *p == path || p.starts_with(&folder)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn everything_in_the_folders_is_embedded() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        for folder in ["scenarios", "k8s/todo/autoscaler", "k8s/todo/backend", "k8s/todo/quota"] {
            for file in std::fs::read_dir(root.join(folder)).unwrap() {
                let name = file.unwrap().file_name().into_string().unwrap();
                if Path::new(&name).extension().is_some_and(|e| e == "yaml") && name != "kustomization.yaml" {
                    found.push(format!("{folder}/{name}"));
                }
            }
        }
        // Of the service's own manifests only what the program itself needs.
        found.push(CRDS.to_owned());
        found.sort();
        assert_eq!(FILES.iter().map(|(p, _)| (*p).to_owned()).collect::<Vec<_>>(), found);
    }

    #[test]
    fn every_scenario_is_valid_named_as_its_file_and_says_what_it_expects() {
        for name in scenarios() {
            let scenario = crate::domain::scenario::parse(name, scenario(name).unwrap(), &[]).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(scenario.name, name);
            assert!(scenario.about.split_whitespace().count() > 25, "{name} begins with a paragraph of prose");
            assert!(scenario.expect.is_some(), "{name} says what it must end in");
        }
    }
}
