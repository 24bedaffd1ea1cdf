//! Defaults of pods and of pod templates.

use serde_json::Value;

use super::{absent, empty, items, within};

/// Defaults of a pod: those of its spec, and some that a template does not get.
pub fn pod(pod: &mut Value) {
    let Some(spec) = pod.get_mut("spec").filter(|s| s.is_object()) else { return };
    pod_spec(spec);
    for list in ["containers", "initContainers"] {
        items(spec, list).for_each(requests_from_limits);
    }
    absent(spec, "enableServiceLinks", true);
    if spec["hostNetwork"] == true {
        for list in ["containers", "initContainers"] {
            for port in items(spec, list).flat_map(|c| items(c, "ports")) {
                let number = port["containerPort"].clone();
                empty(port, "hostPort", number);
            }
        }
    }
}

/// Defaults of the pod template under `spec.template`.
pub fn template(spec: &mut Value) {
    if let Some(pod) = spec.get_mut("template").and_then(|t| t.get_mut("spec")).filter(|s| s.is_object()) {
        pod_spec(pod);
    }
}

fn pod_spec(spec: &mut Value) {
    empty(spec, "restartPolicy", "Always");
    absent(spec, "terminationGracePeriodSeconds", 30);
    empty(spec, "dnsPolicy", "ClusterFirst");
    let _ = within(spec, "securityContext");
    empty(spec, "schedulerName", "default-scheduler");
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        items(spec, list).for_each(container);
    }
    items(spec, "volumes").for_each(volume);
}

fn container(container: &mut Value) {
    items(container, "ports").for_each(|port| empty(port, "protocol", "TCP"));
    for env in items(container, "env") {
        if let Some(field) = env.get_mut("valueFrom").and_then(|v| v.get_mut("fieldRef")) {
            empty(field, "apiVersion", "v1");
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(probe) = container.get_mut(probe).filter(|p| p.is_object()) else { continue };
        http_get(probe);
        if let Some(grpc) = probe.get_mut("grpc") {
            empty(grpc, "service", "");
        }
        empty(probe, "timeoutSeconds", 1);
        empty(probe, "periodSeconds", 10);
        empty(probe, "successThreshold", 1);
        empty(probe, "failureThreshold", 3);
    }
    for hook in ["postStart", "preStop"] {
        if let Some(handler) = container.get_mut("lifecycle").and_then(|l| l.get_mut(hook)) {
            http_get(handler);
        }
    }
    if let Some(resources) = container.get_mut("resources") {
        round_to_millis(resources);
    }
    let pull = if tag(container["image"].as_str().unwrap_or_default()) == "latest" { "Always" } else { "IfNotPresent" };
    empty(container, "imagePullPolicy", pull);
    empty(container, "terminationMessagePath", "/dev/termination-log");
    empty(container, "terminationMessagePolicy", "File");
}

fn http_get(handler: &mut Value) {
    if let Some(get) = handler.get_mut("httpGet") {
        empty(get, "path", "/");
        empty(get, "scheme", "HTTP");
    }
}

/// The API keeps no resource amount finer than a thousandth.
fn round_to_millis(resources: &mut Value) {
    for list in ["limits", "requests"] {
        for (_, amount) in resources.get_mut(list).and_then(Value::as_object_mut).into_iter().flatten() {
            let Some(text) = amount.as_str().filter(|t| t.ends_with(['n', 'u'])) else { continue };
            if let Ok(quantity) = text.parse::<crate::sandbox::model::quantity::Quantity>() {
                *amount = format!("{}m", quantity.millis()).into();
            }
        }
    }
}

/// The tag of an image: `latest` when there is neither tag nor digest.
pub fn tag(image: &str) -> &str {
    if image.contains('@') {
        return "";
    }
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split_once(':').map_or("latest", |(_, tag)| tag)
}

fn requests_from_limits(container: &mut Value) {
    let Some(resources) = container.get_mut("resources") else { return };
    let Some(limits) = resources.get("limits").and_then(Value::as_object).cloned() else { return };
    if let Some(requests) = within(resources, "requests") {
        limits.into_iter().for_each(|(name, amount)| absent(requests, &name, amount));
    }
}

fn volume(volume: &mut Value) {
    if volume.as_object().is_some_and(|v| v.keys().all(|k| k == "name")) {
        let _ = within(volume, "emptyDir");
    }
    for source in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = volume.get_mut(source).filter(|s| s.is_object()) {
            absent(source, "defaultMode", 0o644);
        }
    }
    if let Some(path) = volume.get_mut("hostPath") {
        absent(path, "type", "");
    }
    if let Some(projected) = volume.get_mut("projected") {
        for source in items(projected, "sources") {
            if let Some(token) = source.get_mut("serviceAccountToken") {
                absent(token, "expirationSeconds", 3600);
            }
            if let Some(api) = source.get_mut("downwardAPI") {
                field_refs(api);
            }
        }
    }
    if let Some(api) = volume.get_mut("downwardAPI") {
        field_refs(api);
    }
}

fn field_refs(api: &mut Value) {
    for item in items(api, "items") {
        if let Some(field) = item.get_mut("fieldRef") {
            empty(field, "apiVersion", "v1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::tag;

    #[test]
    fn an_image_without_a_tag_is_latest() {
        let tags = ["nginx", "nginx:1.2", "r:5000/nginx", "r:5000/nginx:v1", "nginx@sha256:0"].map(tag);
        assert_eq!(tags, ["latest", "1.2", "latest", "v1", ""]);
    }
}
