//! Finds out which programs the machine has: tests that drive one are reported as ignored where it is missing.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    let path = env::var_os("PATH").unwrap_or_default();
    for program in ["kubectl", "chromium"] {
        println!("cargo::rustc-check-cfg=cfg(has_{program})");
        let places: Vec<PathBuf> = env::split_paths(&path).map(|folder| folder.join(program)).collect();
        if let Some(found) = places.iter().find(|place| Path::is_file(place)) {
            println!("cargo::rerun-if-changed={}", found.display());
            println!("cargo::rustc-cfg=has_{program}");
        }
    }
}
