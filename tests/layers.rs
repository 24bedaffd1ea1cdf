//! The layers of ARCHITECTURE.md, checked by reading the `use` lines and paths of the source.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What each top-level module may use of the crate. `domain` and `workload` use nothing but themselves.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    let shells: &[&str] = &["domain", "clock"];
    BTreeMap::from([
        ("domain", &[] as &[&str]),
        ("workload", &[]),
        ("sandbox", &["workload"]),
        ("simulate", &["domain", "sandbox"]),
        ("clock", &["domain"]),
        ("load", shells),
        ("cluster", shells),
        ("report", shells),
        ("metrics", shells),
        ("run", &["domain", "clock", "load", "cluster", "report"]),
        ("controller", &["domain", "clock", "cluster", "load", "report", "metrics", "run"]),
        ("serve", &["domain", "clock", "cluster", "metrics", "controller"]),
        ("exit", &["domain"]),
        (
            "cli",
            &[
                "domain",
                "clock",
                "load",
                "cluster",
                "report",
                "metrics",
                "run",
                "controller",
                "serve",
                "sandbox",
                "simulate",
                "workload",
                "exit",
            ],
        ),
    ])
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The top-level modules that a source text names after `crate::`, comments left out.
fn used(text: &str) -> Vec<String> {
    let code: String = text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for part in code.split("crate::").skip(1) {
        let names = part
            .strip_prefix('{')
            .map_or_else(|| vec![part], |list| list.split(['}', ';']).next().unwrap_or_default().split(',').collect());
        let word = |p: &str| p.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        found.extend(names.iter().map(|n| word(n)).filter(|w| !w.is_empty()));
    }
    found
}

#[test]
fn every_module_imports_only_from_the_layers_below_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed = allowed();
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut wrong = Vec::new();
    for file in &files {
        let inside = file.strip_prefix(&src).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        let may = allowed.get(module.as_str()).unwrap_or_else(|| panic!("`{module}` has no place in the layers"));
        for name in used(&std::fs::read_to_string(file).unwrap()) {
            if name != module && !may.contains(&name.as_str()) {
                wrong.push(format!("{} uses crate::{name}", inside.display()));
            }
        }
    }
    assert!(files.len() > 30, "only {} files were read", files.len());
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_reader_of_use_lines_sees_nested_lists_and_paths() {
    let text = "use crate::{sandbox as s, workload};\nuse crate::domain::time::At; // crate::cli\nlet x = crate::load::once();";
    assert_eq!(used(text), ["sandbox", "workload", "domain", "load"]);
}

#[test]
fn the_domain_does_no_io_and_asks_no_clock() {
    assert_pure("src/domain", &[]);
}

#[test]
fn the_simulation_has_no_clock_and_of_the_sandbox_only_the_model() {
    assert_pure("src/simulate", &["sandbox::wire", "sandbox::start", "sandbox::Sandbox", "sandbox::{"]);
}

/// Nothing in the folder names what only I/O, clocks, threads and unordered maps are named by, nor any of these words.
#[track_caller]
fn assert_pure(folder: &str, also: &[&str]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files = Vec::new();
    sources(&folder, &mut files);
    assert!(!files.is_empty(), "{}", folder.display());
    let banned = [
        "std::fs",
        // Addresses are data; sockets and look-ups are I/O.
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "std::env",
        "tokio",
        "Instant",
        "SystemTime",
        "Utc::now",
        // A generator that is seeded with an argument is arithmetic.
        "rand::random",
        "rand::rng(",
        "rand::rng;",
        "rand::make_rng",
        "ThreadRng",
        "SysRng",
        "HashMap",
        "HashSet",
        "std::thread",
    ];
    let test_only = |f: &Path| f.ends_with("tests.rs") || f.ends_with("vectors.rs") || f.ends_with("fixtures.rs");
    for file in files.iter().filter(|f| !test_only(f)) {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in banned.iter().chain(also) {
            let hit = code.lines().find(|l| l.split("//").next().unwrap_or_default().contains(word));
            assert_eq!(hit, None, "{} names {word}", file.display());
        }
    }
}
