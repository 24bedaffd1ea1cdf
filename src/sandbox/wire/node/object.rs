//! The Node object.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::sandbox::model::kubelet::resources::NodeSize;
use crate::sandbox::model::object::{Key, Now, resource, time};
use crate::sandbox::model::write::Write;

/// The version the node claims to have; what it does follows that kubelet.
const KUBELET: &str = "v1.34.4";

/// How many pods the node takes.
const PODS: u32 = 250;

/// What this machine has.
pub(super) fn size() -> NodeSize {
    let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX));
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    NodeSize { milli_cpu: cpus.saturating_mul(1000), memory_bytes: total.unwrap_or(1 << 20) << 10 }
}

/// The writes that bring the node into being.
pub(super) fn register(name: &str, ip: Ipv4Addr, size: NodeSize, now: Now) -> [Write; 2] {
    let labels = json!({
        "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": architecture(),
        "node-role.kubernetes.io/control-plane": "",
    });
    let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}, "spec": {}});
    let amounts = json!({
        "cpu": format!("{}", size.milli_cpu / 1000),
        "memory": format!("{}Ki", size.memory_bytes >> 10),
        "ephemeral-storage": "10Gi",
        "pods": PODS.to_string(),
    });
    let patch = json!({"status": {
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": ip.to_string()}, {"type": "Hostname", "address": name}],
        "conditions": conditions(Ok(()), now),
        "nodeInfo": {
            "machineID": name, "systemUUID": name, "bootID": name,
            "kernelVersion": kernel(),
            "osImage": "verifier sandbox", "containerRuntimeVersion": "sandbox://1", "kubeletVersion": KUBELET,
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": architecture(),
        },
    }});
    [Write::Create { resource: resource::NODES, object }, Write::PatchStatus { key: key(name), if_version: None, patch }]
}

/// The write that says that the node has failed.
pub(super) fn failed(name: &str, why: &str, now: Now) -> Write {
    Write::PatchStatus { key: key(name), if_version: None, patch: json!({"status": {"conditions": conditions(Err(why), now)}}) }
}

pub(super) fn key(name: &str) -> Key {
    Key::new(resource::NODES, "", name)
}

fn conditions(ready: Result<(), &str>, now: Now) -> Value {
    let condition = |kind: &str, status: bool, reason: &str, message: &str| {
        let at = time(now);
        json!({"type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": message,
            "lastHeartbeatTime": at, "lastTransitionTime": at})
    };
    json!([
        condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        match ready {
            Ok(()) => condition("Ready", true, "KubeletReady", "kubelet is posting ready status"),
            Err(why) => condition("Ready", false, "KubeletNotReady", why),
        },
    ])
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// As Go names it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
