//! `verifier explain`: what a finding means, at length; which there are; what the guards do, and how pods are let in.

use std::fmt::Write as _;

use super::output::{complain, print};
use crate::domain::findings::{CATALOGUE, entry};
use crate::domain::words::nearest;
use crate::exit::Exit;

/// What a breach does to the rollout.
const GUARDS: &str = include_str!("../../docs/guards.md");
/// Who is let in by a readiness gate, and the way out when nobody is.
const ADMISSION: &str = include_str!("../../docs/admission.md");

pub(super) fn main(code: Option<&str>) -> Exit {
    let Some(code) = code else { return print(&list()) };
    match code.trim() {
        "guard" | "guards" => return print(GUARDS),
        "admission" => return print(ADMISSION),
        _ => {}
    }
    if let Some(entry) = entry(code.trim()) {
        return print(entry.page);
    }
    let near = nearest(&code.to_ascii_uppercase(), CATALOGUE.iter().map(|e| e.code));
    let hint = near.map(|n| format!(", did you mean `{n}`?")).unwrap_or_default();
    complain(&format!("there is no finding `{code}`{hint}\n  `verifier explain` lists them"), Exit::Usage)
}

/// One line each: code, name, and the field that mends it.
fn list() -> String {
    let width = CATALOGUE.iter().map(|e| e.name.len()).max().unwrap_or_default();
    CATALOGUE.iter().fold(String::new(), |mut text, e| {
        let field = e.field.unwrap_or("-");
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {:<width$}  {field}", e.code, e.name);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// The list in the documentation.
    fn readme() -> String {
        let mut text = String::from(
            "# Findings\n\nWhat `verifier` can tell of the causes of failures, by code: `V1xx` termination, `V2xx` readiness and start, `V3xx` stuck \
             rollouts,\n`V4xx` the version, `V5xx` not the rollout's fault, `V6xx` configuration. `verifier explain CODE` prints a page.\n\n\
             | code | | seen in | mended by |\n|---|---|---|---|\n",
        );
        for e in CATALOGUE {
            let field = e.field.map_or_else(|| "no field".to_owned(), |f| format!("`{f}`"));
            let _ = writeln!(text, "| [{0}]({0}.md) | {1} | {2} | {field} |", e.code, e.name, e.needs);
        }
        text
    }

    #[test]
    fn the_documentation_lists_what_the_catalogue_has() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/findings/README.md");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, readme()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), readme(), "UPDATE_GOLDEN=1 writes it anew");
    }

    #[test]
    fn the_list_has_a_line_for_each() {
        assert_eq!(list().lines().count(), CATALOGUE.len());
        assert!(list().lines().all(|l| l.len() <= 120), "{}", list());
    }
}
