//! A small Kubernetes in one process: `model` is pure, `wire` has the sockets and processes, and `start` puts them together.
//!
//! It runs real processes behind real sockets, and answers `kubectl` as a cluster does. What it cannot show:
//!
//! - Containers: a pod is a local process on its own loopback address. It has no file system, user or network namespace of its own, and
//!   volumes are not mounted. CPU limits are not enforced; memory limits are, four times a second.
//! - More than one node, and what comes with them: scheduling by affinity and spread, node failures, drains.
//! - The network between nodes: no packet loss, no delay, no NetworkPolicy; Services are forwarded by a proxy, not by the kernel.
//! - Access control: there is one user, who may do everything. RBAC objects are kept and not enforced; there is no admission webhook.
//! - StatefulSets, DaemonSets, Jobs, storage.
//! - How late a real node is: a kubelet tells of a container's end up to a second after it, and a real ingress learns of endpoints now at once and
//!   now after its throttle, where ours takes as long each time. `tests/real` runs every scenario on both: verdicts and findings are the same.

pub mod model;
mod start;
pub mod wire;

pub use start::{BUILT_IN, Options, Sandbox, StartError};
