//! Requests and limits: the class of service they make, and their values for the downward API.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::sandbox::model::quantity;

type Amounts = Option<BTreeMap<String, Quantity>>;

/// `status.qosClass`
pub(super) fn qos_class(spec: &PodSpec) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for container in spec.init_containers.iter().flatten().chain(&spec.containers) {
        for name in ["cpu", "memory"] {
            let limit = amount(container, name, true).filter(|&a| a > 0);
            // The API fills a missing request with the limit.
            let request = amount(container, name, false).filter(|&a| a > 0).or(limit);
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && limit == request;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// The value of a `resourceFieldRef` such as `limits.memory`, in units of `divisor` and rounded up; what is not set is taken from the
/// node, as the kubelet does for limits.
pub(super) fn field(container: &Container, field: &str, divisor: Option<&str>, node: &NodeSize) -> Option<String> {
    let (kind, name) = field.split_once('.')?;
    let limits = match kind {
        "limits" => true,
        "requests" => false,
        _ => return None,
    };
    let milli = match (amount(container, name, limits), limits, name) {
        (Some(milli), ..) => milli,
        (None, true, "cpu") => node.milli_cpu.into(),
        (None, true, "memory") => i128::from(node.memory_bytes) * 1000,
        _ => 0,
    };
    let divisor = divisor.and_then(quantity::millis).map(i128::from).filter(|&d| d > 0).unwrap_or(1000);
    Some((milli / divisor + i128::from(milli % divisor != 0)).to_string())
}

/// What the node offers to all of its pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeSize {
    /// Thousandths of a CPU.
    pub milli_cpu: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

fn amount(container: &Container, name: &str, limits: bool) -> Option<i128> {
    let resources = container.resources.as_ref()?;
    let amounts: &Amounts = if limits { &resources.limits } else { &resources.requests };
    quantity::millis(&amounts.as_ref()?.get(name)?.0).map(i128::from)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn container(resources: &Value) -> Container {
        serde_json::from_value(json!({"name": "c", "resources": resources})).unwrap()
    }

    fn class(of: &[Value]) -> &'static str {
        qos_class(&PodSpec { containers: of.iter().map(container).collect(), ..PodSpec::default() })
    }

    #[test]
    fn the_class_of_service_follows_from_requests_and_limits() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}});
        let limits = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let some = json!({"requests": {"cpu": "100m"}});
        assert_eq!(
            [class(&[json!({})]), class(&[full.clone(), limits]), class(&[full, some])],
            ["BestEffort", "Guaranteed", "Burstable"]
        );
    }

    #[test]
    fn resource_fields_are_divided_and_rounded_up_and_fall_back_to_the_node() {
        let node = NodeSize { milli_cpu: 2000, memory_bytes: 1 << 30 };
        let c = container(&json!({"limits": {"cpu": "1500m"}, "requests": {"memory": "100Mi"}}));
        let of = |f: &str, d: Option<&str>| field(&c, f, d, &node);
        assert_eq!(of("limits.cpu", None).as_deref(), Some("2"));
        assert_eq!(of("limits.cpu", Some("1m")).as_deref(), Some("1500"));
        assert_eq!(of("requests.memory", Some("1Mi")).as_deref(), Some("100"));
        assert_eq!(of("limits.memory", None).as_deref(), Some("1073741824"));
        assert_eq!((of("requests.cpu", None).as_deref(), of("limits", None), of("other.cpu", None)), (Some("0"), None, None));
    }
}
