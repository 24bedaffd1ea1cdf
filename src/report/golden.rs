//! Whole outputs compared with files in `golden/`. `UPDATE_GOLDEN=1 cargo test` writes them anew; the change then shows in the diff.

use std::path::Path;

/// Compares `actual` with the file of this name.
pub(crate) fn check(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    let differing = golden.lines().zip(actual.lines()).position(|(g, a)| g != a).unwrap_or(golden.lines().count()) + 1;
    assert!(golden == actual, "{name} differs from line {differing} on; it is now:\n{actual}");
}
