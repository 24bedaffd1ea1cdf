//! Images are commands here: which local program runs for which image reference.

/// The table of known images. An image that is not in it cannot be pulled.
#[derive(Clone, Debug, Default)]
pub struct Images {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    pattern: Pattern,
    argv: Vec<String>,
    command_may_override: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Exact(String),
    Repository(String),
    Prefix(String),
}

/// What a known image runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// Does a container's `command` take its place (`args` are appended in any case)?
    pub command_may_override: bool,
    /// The tag of the image, `latest` when it has none, or its digest.
    pub tag: String,
}

impl Images {
    /// Adds an image of the user's: `repo:tag` for one tag, `repo` for all of them, or a prefix that ends in `*`. As in a real image,
    /// a container's `command` replaces `argv` and its `args` are appended. Earlier entries win.
    #[must_use]
    pub fn with(mut self, pattern: &str, argv: Vec<String>) -> Self {
        self.add(pattern, argv, true);
        self
    }

    /// Adds an image that always runs `argv`: a container's `command` is not looked at (it names a file in an image we do not have).
    #[must_use]
    pub fn with_fixed(mut self, pattern: &str, argv: Vec<String>) -> Self {
        self.add(pattern, argv, false);
        self
    }

    fn add(&mut self, pattern: &str, argv: Vec<String>, command_may_override: bool) {
        if argv.is_empty() {
            return;
        }
        let pattern = match pattern.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None if has_tag(pattern) => Pattern::Exact(pattern.to_owned()),
            None => Pattern::Repository(pattern.to_owned()),
        };
        self.entries.push(Entry { pattern, argv, command_may_override });
    }

    /// The program of an image; nothing when the image is not known.
    pub fn find(&self, image: &str) -> Option<Program> {
        let (repository, tag) = split(image);
        let entry = self.entries.iter().find(|e| match &e.pattern {
            Pattern::Exact(exact) => exact == image || *exact == format!("{repository}:{tag}"),
            Pattern::Repository(name) => name == repository,
            Pattern::Prefix(prefix) => image.starts_with(prefix.as_str()),
        })?;
        Some(Program { argv: entry.argv.clone(), command_may_override: entry.command_may_override, tag: tag.to_owned() })
    }
}

/// Repository and tag (or digest) of an image reference; the tag is `latest` when there is none.
pub(super) fn split(image: &str) -> (&str, &str) {
    if let Some((rest, digest)) = image.split_once('@') {
        return (if has_tag(rest) { rest.rsplit_once(':').map_or(rest, |(r, _)| r) } else { rest }, digest);
    }
    if has_tag(image) { image.rsplit_once(':').unwrap_or((image, "latest")) } else { (image, "latest") }
}

/// A colon after the last slash begins a tag; one before it is the registry's port.
fn has_tag(image: &str) -> bool {
    image.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(of: &str) -> Vec<String> {
        vec![of.to_owned()]
    }

    fn program(of: &str, command_may_override: bool, tag: &str) -> Program {
        Program { argv: argv(of), command_may_override, tag: tag.to_owned() }
    }

    #[test]
    fn an_image_is_found_by_tag_by_repository_or_by_prefix_in_the_order_of_the_table() {
        let images = Images::default()
            .with("shop:broken", argv("broken"))
            .with("shop", argv("shop"))
            .with_fixed("registry:5000/team/*", argv("team"))
            .with("plain:latest", argv("plain"));
        assert_eq!(images.find("shop:broken"), Some(program("broken", true, "broken")));
        assert_eq!(images.find("shop:v2"), Some(program("shop", true, "v2")));
        assert_eq!(images.find("shop"), Some(program("shop", true, "latest")));
        assert_eq!(images.find("shop@sha256:abc"), Some(program("shop", true, "sha256:abc")));
        assert_eq!(images.find("registry:5000/team/api"), Some(program("team", false, "latest")));
        assert_eq!(images.find("plain"), Some(program("plain", true, "latest")));
        assert_eq!([images.find("shopping:v1"), images.find("registry:5000/other:1"), images.find("plain:2")], [None, None, None]);
    }

    #[test]
    fn a_registry_port_is_no_tag() {
        assert_eq!(split("localhost:5000/web"), ("localhost:5000/web", "latest"));
        assert_eq!(split("localhost:5000/web:1@sha256:00"), ("localhost:5000/web", "sha256:00"));
    }
}
