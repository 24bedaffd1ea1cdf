//! `--out KIND=FILE`: the reports that a run leaves in files, and the one on standard output.

use std::path::{Path, PathBuf};

use super::args::Format;
use super::output::{print, say};
use crate::domain::summary::Summary;
use crate::report;
use crate::report::text::File;

/// A form in which a run is written to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Html,
    Markdown,
    Junit,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Json, Self::Html, Self::Markdown, Self::Junit];

    /// The word before `=`.
    const fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Html => "html",
            Self::Markdown => "md",
            Self::Junit => "junit",
        }
    }

    /// What the file is called at the end of a run.
    const fn what(self) -> &'static str {
        match self {
            Self::Json => "summary",
            Self::Html => "report",
            Self::Markdown => "markdown",
            Self::Junit => "junit",
        }
    }

    fn render(self, summary: &Summary) -> Result<String, serde_json::Error> {
        match self {
            Self::Json => report::json::document(summary),
            Self::Html => Ok(report::html::document(summary)),
            Self::Markdown => Ok(report::markdown::document(summary)),
            Self::Junit => Ok(report::junit::document(summary)),
        }
    }
}

/// The reports that were asked for, checked before anything is started.
#[derive(Debug, Default)]
pub(super) struct Outs(Vec<(Kind, PathBuf)>);

impl Outs {
    /// Reads `KIND=FILE`, each. A folder that is not there is noticed now, not at the end of a long run.
    pub(super) fn parse(given: &[String]) -> Result<Self, String> {
        let mut outs: Vec<(Kind, PathBuf)> = Vec::new();
        for out in given {
            let (word, path) = out.split_once('=').unwrap_or((out, ""));
            let kind = Kind::ALL.into_iter().find(|k| k.word() == word);
            let (Some(kind), false) = (kind, path.is_empty()) else {
                let kinds = Kind::ALL.map(|k| format!("{}=FILE", k.word()));
                return Err(format!("--out {out}: expected {}", kinds.join(", ")));
            };
            let path = PathBuf::from(path);
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            if !folder.is_dir() {
                return Err(format!("--out {out}: there is no folder {}", folder.display()));
            }
            if outs.iter().any(|(_, other)| *other == path) {
                return Err(format!("--out {out}: two reports cannot be one file"));
            }
            outs.push((kind, path));
        }
        Ok(Self(outs))
    }

    /// The files, for who tells of them at the end.
    pub(super) fn files(&self) -> impl Iterator<Item = File> + '_ {
        self.0.iter().map(|(kind, path)| File { what: kind.what().into(), path: path.display().to_string() })
    }

    /// Writes them, and to standard output what was asked for there. A file that cannot be written is a warning: the verdict stands.
    pub(super) fn write(&self, format: Format, summary: &Summary) -> Result<(), serde_json::Error> {
        for (kind, path) in &self.0 {
            if let Err(error) = std::fs::write(path, kind.render(summary)?) {
                say(&format!("warning: {}: {error}", path.display()));
            }
        }
        if format == Format::Json {
            print(&Kind::Json.render(summary)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{fold, healthy};

    fn parse(given: &[&str]) -> Result<Vec<(&'static str, String)>, String> {
        let given: Vec<String> = given.iter().map(|g| (*g).to_owned()).collect();
        let outs = Outs::parse(&given)?;
        Ok(outs.0.iter().map(|(k, p)| (k.word(), p.display().to_string())).collect())
    }

    #[test]
    fn a_report_is_a_kind_and_a_file() {
        assert_eq!(parse(&["json=a=b.json"]), Ok(vec![("json", "a=b.json".into())]));
        let expected = format!("expected {}", Kind::ALL.map(|k| format!("{}=FILE", k.word())).join(", "));
        for wrong in ["json", "json=", "=x", "yaml=x", ""] {
            assert_eq!(parse(&[wrong]), Err(format!("--out {wrong}: {expected}")));
        }
    }

    #[test]
    fn what_could_only_fail_at_the_end_is_refused_at_the_beginning() {
        assert_eq!(parse(&["json=no/such/x"]), Err("--out json=no/such/x: there is no folder no/such".into()));
        assert_eq!(parse(&["json=x", "json=x"]), Err("--out json=x: two reports cannot be one file".into()));
    }

    #[test]
    fn each_kind_is_written_to_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |kind: Kind| folder.path().join(kind.word());
        let given: Vec<String> = Kind::ALL.map(|k| format!("{}={}", k.word(), path(k).display())).into();
        let summary = Summary::of(&fold(&healthy()));
        Outs::parse(&given).unwrap().write(Format::Text, &summary).unwrap();
        for kind in Kind::ALL {
            assert_eq!(std::fs::read_to_string(path(kind)).unwrap(), kind.render(&summary).unwrap());
        }
    }
}
