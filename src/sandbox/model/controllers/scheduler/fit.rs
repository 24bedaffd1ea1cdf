//! Whether a pod fits a node, and how loaded the node is.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::sandbox::model::controllers::view::View;
use crate::sandbox::model::controllers::view::pod::{Pod, Requests, condition};
use crate::sandbox::model::object::{self, Object};
use crate::sandbox::model::quantity;
use crate::sandbox::model::selector::LabelSelector;

/// Why a pod does not fit a node.
#[derive(Debug, PartialEq)]
pub(super) struct Misfit {
    pub(super) reasons: Vec<&'static str>,
    /// Would it fit if other pods were gone?
    pub(super) could_be_preempted: bool,
}

/// A node and what is promised to its pods.
#[derive(Debug)]
pub(super) struct Host<'a> {
    node: &'a Object,
    taints: Vec<Value>,
    allocatable: Requests,
    most_pods: usize,
    requested: Requests,
    pods: usize,
    pods_by_owner: HashMap<&'a str, usize>,
}

impl<'a> Host<'a> {
    pub(super) fn all(view: &'a View) -> Vec<Self> {
        let mut hosts: Vec<Self> = view.nodes.all().iter().map(|n| Self::new(&n.0)).collect();
        let by_name: HashMap<&str, usize> = view.nodes.all().iter().map(|n| object::name(&n.0)).zip(0..).collect();
        for pod in view.pods.all().iter().filter(|p| !p.is_terminal()) {
            if let Some(host) = by_name.get(pod.node()).and_then(|at| hosts.get_mut(*at)) {
                host.place(pod);
            }
        }
        hosts
    }

    fn new(node: &'a Object) -> Self {
        let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
        if condition(&node["status"], "Ready").is_none_or(|c| c["status"] != "True") {
            taints.push(json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}));
        }
        let status = &node["status"];
        let allocatable = |name: &str| status["allocatable"][name].as_str().or(status["capacity"][name].as_str());
        Self {
            node,
            taints,
            allocatable: Requests {
                cpu_millis: allocatable("cpu").and_then(quantity::millis).unwrap_or(0),
                memory: allocatable("memory").and_then(quantity::units).unwrap_or(0),
            },
            most_pods: allocatable("pods").and_then(|p| p.parse().ok()).unwrap_or(110),
            requested: Requests::default(),
            pods: 0,
            pods_by_owner: HashMap::new(),
        }
    }

    pub(super) fn name(&self) -> &'a str {
        object::name(self.node)
    }

    /// Counts a pod as one of the node's.
    pub(super) fn place(&mut self, pod: &'a Pod) {
        self.requested = self.requested.plus(pod.requests);
        self.pods += 1;
        *self.pods_by_owner.entry(owner(pod)).or_default() += 1;
    }

    /// Smaller is better: few pods of the same owner, then little cpu promised, then few pods.
    pub(super) fn load(&self, pod: &Pod) -> (usize, i64, usize) {
        let promised = self.requested.cpu_millis.saturating_mul(1000) / self.allocatable.cpu_millis.max(1);
        (self.pods_by_owner.get(owner(pod)).copied().unwrap_or(0), promised, self.pods)
    }

    /// Like the real filters, one after the other; the first that fails speaks.
    pub(super) fn check(&self, pod: &Pod) -> Result<(), Misfit> {
        let never = |reason| Err(Misfit { reasons: vec![reason], could_be_preempted: false });
        if self.node["spec"]["unschedulable"] == true
            && !tolerates(pod, &json!({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}))
        {
            return never("node(s) were unschedulable");
        }
        let repels = |t: &Value| t["effect"] != "PreferNoSchedule" && !tolerates(pod, t);
        if self.taints.iter().any(repels) {
            return never("node(s) had untolerated taint(s)");
        }
        if !self.is_wanted_by(&pod.object["spec"]) {
            return never("node(s) didn't match Pod's node affinity/selector");
        }
        self.check_resources(pod.requests)
    }

    fn is_wanted_by(&self, spec: &Value) -> bool {
        let labels = &self.node["metadata"]["labels"];
        let selects = LabelSelector::of_map(&spec["nodeSelector"]).matches(labels);
        let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
        let fields = json!({"metadata.name": self.name()});
        let holds = |term: &Value| {
            let by_label = LabelSelector::of_object(term);
            let by_field = LabelSelector::of_object(&json!({"matchExpressions": term["matchFields"]}));
            let named = term["matchFields"].as_array().is_some_and(|f| !f.is_empty());
            let labeled = term["matchExpressions"].as_array().is_some_and(|e| !e.is_empty());
            (named || labeled)
                && (!labeled || by_label.is_some_and(|s| s.matches(labels)))
                && (!named || by_field.is_some_and(|s| s.matches(&fields)))
        };
        selects && required.as_array().is_none_or(|terms| terms.iter().any(holds))
    }

    fn check_resources(&self, asked: Requests) -> Result<(), Misfit> {
        let (all, used) = (self.allocatable, self.requested);
        let mut misfit = Misfit { reasons: Vec::new(), could_be_preempted: true };
        let mut lacks = |reason, asked: i64, used: i64, all: i64| {
            if asked > 0 && asked > all - used {
                misfit.reasons.push(reason);
                misfit.could_be_preempted &= asked <= all;
            }
        };
        if self.pods >= self.most_pods {
            lacks("Too many pods", 1, 1, 1);
        }
        lacks("Insufficient cpu", asked.cpu_millis, used.cpu_millis, all.cpu_millis);
        lacks("Insufficient memory", asked.memory, used.memory, all.memory);
        if misfit.reasons.is_empty() { Ok(()) } else { Err(misfit) }
    }
}

fn owner(pod: &Pod) -> &str {
    pod.meta.owner.as_ref().map_or("", |o| &o.uid)
}

fn tolerates(pod: &Pod, taint: &Value) -> bool {
    let mut tolerations = pod.object["spec"]["tolerations"].as_array().into_iter().flatten();
    tolerations.any(|t| {
        let effect = t["effect"].as_str().is_none_or(|e| e.is_empty() || taint["effect"] == e);
        let exists = t["operator"] == "Exists";
        let key = t["key"].as_str().unwrap_or_default();
        let same_key = (key.is_empty() && exists) || taint["key"] == key;
        let same_value = exists || t["value"].as_str().unwrap_or_default() == taint["value"].as_str().unwrap_or_default();
        effect && same_key && same_value
    })
}
