//! Finds out what the machine has that only some tests need: they are reported as ignored where it is missing.

use std::env;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Programs, and what they are known as.
const PROGRAMS: [(&str, &str); 5] =
    [("kubectl", "kubectl"), ("chromium", "chromium"), ("promtool", "promtool"), ("prometheus", "prometheus"), ("lua5.4", "lua")];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(has_cpu_groups, has_namespaces)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    let path = env::var_os("PATH").unwrap_or_default();
    for (program, known_as) in PROGRAMS {
        println!("cargo::rustc-check-cfg=cfg(has_{known_as})");
        let places: Vec<PathBuf> = env::split_paths(&path).map(|folder| folder.join(program)).collect();
        if let Some(found) = places.iter().find(|place| Path::is_file(place)) {
            println!("cargo::rerun-if-changed={}", found.display());
            println!("cargo::rustc-cfg=has_{known_as}");
        }
    }
    if has_cpu_groups() {
        println!("cargo::rustc-cfg=has_cpu_groups");
    }
    if has_namespaces() {
        println!("cargo::rustc-cfg=has_namespaces");
    }
}

/// Whether we may make control groups that limit the processor, of either version.
fn has_cpu_groups() -> bool {
    let writable = |path: &str| OpenOptions::new().write(true).open(path).is_ok();
    let second = fs::read_to_string("/sys/fs/cgroup/cgroup.subtree_control").unwrap_or_default();
    let second = second.split_whitespace().any(|controller| controller == "cpu") && writable("/sys/fs/cgroup/cgroup.procs");
    second || writable("/sys/fs/cgroup/cpu/cgroup.procs")
}

/// Whether we may make network namespaces.
fn has_namespaces() -> bool {
    let mut command = Command::new("unshare");
    command.args(["-rn", "ip", "link", "set", "lo", "up"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
