//! What other tools make of our objects: the script for Argo CD and the expressions for Flux of `k8s/integrations`, held against the statuses
//! that are written.

use std::collections::BTreeMap;
use std::process::Command;

use cel::{Context, Program};
use serde_json::{Value, json};

use crate::domain::course::Course;
use crate::domain::event::{Event, What};
use crate::domain::fixtures::{breach, fold, healthy, until};
use crate::domain::policy::Key;
use crate::domain::policy::selection::{Claim, Rule, read};
use crate::domain::policy::standing::PolicyStatus;
use crate::domain::policy::verification::VerificationStatus;
use crate::domain::rollout::tests::{deployment, set};
use crate::domain::time::At;
use crate::domain::verdict::VerdictKind;

const NOW: &str = "2026-01-01T00:00:00Z";

/// What somebody takes an object for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    Progressing,
    Healthy,
    Degraded,
    /// It is over, and nothing is known.
    Unknown,
    /// It is over, and another counts.
    Suspended,
}

fn status(course: &Course) -> VerificationStatus {
    VerificationStatus::of(course, &VerificationStatus::default(), NOW)
}

/// The healthy rollout up to a moment, and what happens then.
fn then(tenths: u64, what: Vec<What>) -> Course {
    let mut events = until(&healthy(), tenths).to_vec();
    events.extend(what.into_iter().map(|what| Event { at: At(tenths * 100_000), what }));
    fold(&events)
}

/// A verification under way, and one for each verdict, with what is to be made of it.
fn verifications() -> Vec<(VerificationStatus, Taken)> {
    let under_way = status(&then(50, Vec::new()));
    let another =
        vec![What::ReplicaSet(Box::new(set("5c8b7d6f9", 3))), What::Deployment(Box::new(deployment(3, 3, 3, 2, [3, 1, 2, 2])))];
    let mut interrupted = under_way.clone();
    interrupted.interrupt(NOW);
    let all = vec![
        (under_way, None, Taken::Progressing),
        (status(&fold(&healthy())), Some(VerdictKind::Pass), Taken::Healthy),
        (status(&fold(&breach())), Some(VerdictKind::Breach), Taken::Degraded),
        (interrupted, Some(VerdictKind::Inconclusive), Taken::Unknown),
        (status(&then(50, vec![What::Interrupted(15)])), Some(VerdictKind::Aborted), Taken::Unknown),
        (status(&then(50, another)), Some(VerdictKind::Superseded), Taken::Suspended),
    ];
    let check = |(status, verdict, taken): (VerificationStatus, Option<VerdictKind>, Taken)| {
        assert_eq!(status.verdict, verdict, "{status:?}");
        (status, taken)
    };
    all.into_iter().map(check).collect()
}

/// Each kind of object with its status, and what is to be made of it.
fn objects() -> Vec<(Value, Taken)> {
    let object = |kind: &str, generation: i64| json!({"apiVersion": "verifier.dev/v1alpha1", "kind": kind, "metadata": {"name": "n", "generation": generation}, "spec": {}});
    let with = |mut object: Value, status: Value| {
        object["status"] = status;
        object
    };
    let mut all = vec![
        (object("RolloutVerification", 1), Taken::Progressing),
        (object("RolloutPolicy", 1), Taken::Progressing),
        (with(object("RolloutPolicy", 1), json!({})), Taken::Progressing),
    ];
    for (status, taken) in verifications() {
        // Its spec is never written again, so it stays at its first generation, whatever that of the Deployment is.
        assert_ne!(status.target_generation, 1);
        let verification = object("RolloutVerification", 1);
        all.push((with(verification, serde_json::to_value(status).unwrap()), taken));
    }
    let lost = BTreeMap::from([("older".into(), 1)]);
    for (generation, spec, lost, taken) in [
        (2, json!({"selector": {}}), BTreeMap::new(), Taken::Healthy),
        (2, json!({"selector": {}}), lost, Taken::Healthy),
        (2, json!({"selector": {}, "guard": "pray"}), BTreeMap::new(), Taken::Degraded),
        // It was edited since.
        (3, json!({"selector": {}, "guard": "pray"}), BTreeMap::new(), Taken::Progressing),
    ] {
        let (whom, policy) = read(spec);
        let rule = Rule { key: Key::new("todo", "n"), uid: "u".into(), created: 0, generation: 2, whom, policy };
        let claim = Claim { has: vec!["backend".into()], lost, ..Claim::default() };
        let status = PolicyStatus::of(&rule, &claim, &PolicyStatus::default(), NOW);
        all.push((with(object("RolloutPolicy", generation), serde_json::to_value(status).unwrap()), taken));
    }
    all
}

/// A value as Lua writes it.
fn lua(value: &Value) -> String {
    match value {
        Value::Null => "nil".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => {
            let bytes =
                text.bytes().map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("\\{b:03}") });
            format!("\"{}\"", bytes.collect::<String>())
        }
        Value::Array(all) => format!("{{{}}}", all.iter().map(lua).collect::<Vec<_>>().join(", ")),
        Value::Object(all) => {
            let fields = all.iter().map(|(name, value)| format!("[{}] = {}", lua(&name.as_str().into()), lua(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// What Argo CD's script says of an object: health and message.
fn argo(object: &Value) -> (String, String) {
    let script = include_str!("../../k8s/integrations/argocd/health.lua");
    let program = format!(
        "obj = {}\nlocal health = (function()\n{script}\nend)()\nio.write(health.status, '\\n', health.message)",
        lua(object)
    );
    let said = Command::new("lua5.4").args(["-e", &program]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    let (health, message) = text.split_once('\n').unwrap();
    (health.to_owned(), message.to_owned())
}

#[test]
#[cfg_attr(not(has_lua), ignore = "lua5.4 is not installed")]
fn argo_cd_takes_an_object_for_what_it_is_and_says_why() {
    for (object, taken) in objects() {
        let (health, message) = argo(&object);
        assert_eq!(health, format!("{taken:?}"), "{object:#}");
        let conditions = object["status"]["conditions"].as_array();
        let reason = conditions.and_then(|all| all.first()).map(|first| first["reason"].as_str().unwrap());
        let edited = object["kind"] == "RolloutPolicy" && object["metadata"]["generation"] == 3;
        assert!(!message.is_empty() && (edited || reason.is_none_or(|reason| message.starts_with(reason))), "{message}");
    }
    let breached = objects().into_iter().find(|(_, taken)| *taken == Taken::Degraded).unwrap().0;
    let why = breached["status"]["message"].as_str().unwrap();
    assert_eq!(argo(&breached).1, format!("Breach: {why}"));
}

/// What Flux makes of an object by the expressions for its kind, in Flux's order: a status about another generation is none; what cannot be
/// evaluated is waited for.
fn flux(object: &Value) -> Taken {
    let manifest: Value = serde_saphyr::from_str(include_str!("../../k8s/integrations/flux/kustomization.yaml")).unwrap();
    let of_kind = |check: &&Value| check["kind"] == object["kind"] && check["apiVersion"] == object["apiVersion"];
    let check = manifest["spec"]["healthCheckExprs"].as_array().unwrap().iter().find(of_kind).unwrap();
    let seen = &object["status"]["observedGeneration"];
    if !seen.is_null() && *seen != object["metadata"]["generation"] {
        return Taken::Progressing;
    }
    let holds = |which: &str| {
        let program = Program::compile(check[which].as_str().unwrap()).unwrap();
        let mut context = Context::default();
        for (name, value) in object.as_object().unwrap() {
            context.add_variable(name.clone(), value).unwrap();
        }
        program.execute(&context).map(|value| value == cel::Value::Bool(true))
    };
    let order = [("inProgress", Taken::Progressing), ("failed", Taken::Degraded), ("current", Taken::Healthy)];
    for (which, taken) in order {
        match holds(which) {
            Ok(true) => return taken,
            Ok(false) => {}
            Err(_) => break,
        }
    }
    Taken::Progressing
}

#[test]
fn flux_waits_for_what_goes_on_and_fails_for_all_that_is_over_and_not_good() {
    for (object, taken) in objects() {
        let over = match taken {
            Taken::Unknown | Taken::Suspended => Taken::Degraded,
            other => other,
        };
        assert_eq!(flux(&object), over, "{object:#}");
    }
}
