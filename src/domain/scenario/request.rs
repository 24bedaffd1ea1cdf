//! What a scenario asks for, and what a good answer looks like.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::domain::traffic::{Expect, HeaderExpect};

/// A header's value: in the file, or where it is kept. What is kept elsewhere is a secret and is shown nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Header {
    /// In the file, for everyone to see: also in recordings.
    Plain(String),
    /// Elsewhere.
    Kept(Kept),
}

/// Where a value is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// In this environment variable.
    Env(String),
    /// In this file, relative to the scenario's; spaces and line breaks around it are left out.
    File(PathBuf),
}

/// What an answer must be like beyond its status. All of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assertions {
    /// Good statuses, `200-299` or `404`; 200 to 399 when it is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<StatusRange>,
    /// What headers must say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderExpect>,
    /// A text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_contains: Option<String>,
    /// A regular expression that must match somewhere in the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_matches: Option<String>,
    /// What the body must say as JSON: `$.status == "ok"`, `$.items[0].id exists`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<String>,
}

impl Assertions {
    /// As the driver is told.
    pub fn expect(&self) -> Expect {
        let usual = Expect::default();
        let status: Vec<(u16, u16)> = self.status.iter().map(|range| (range.0, range.1)).collect();
        Expect {
            status: if status.is_empty() { usual.status.clone() } else { status },
            headers: self.headers.clone(),
            body_contains: self.body_contains.clone(),
            body_matches: self.body_matches.clone(),
            json: self.json.clone(),
            ..usual
        }
    }
}

/// Statuses from the first to the second, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "serde_json::Value", into = "String")]
pub struct StatusRange(u16, u16);

impl TryFrom<serde_json::Value> for StatusRange {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let status = |word: &str| word.trim().parse::<u16>().ok().filter(|s| (200..=599).contains(s));
        let range = status(first).zip(status(last)).filter(|(first, last)| first <= last);
        range.map(|(first, last)| Self(first, last)).ok_or_else(|| format!("`{text}` is no status, as in `204` or `200-299`"))
    }
}

impl From<StatusRange> for String {
    fn from(StatusRange(first, last): StatusRange) -> Self {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    }
}

/// Whom to trust over `https://`, and who we are. Files are PEM, relative to the scenario's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Trust the authorities in this file instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our certificate, if the server asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert: Option<PathBuf>,
    /// Its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// Take any certificate: whoever is on the way can answer in the target's place.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
}

impl Tls {
    /// Nothing out of the ordinary.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assertions_read_as_people_write_them() {
        let text = "{status: [204, 200-299], headers: [{name: x, equals: y}], json: ['$.ok exists']}";
        let assertions: Assertions = serde_saphyr::from_str(text).unwrap();
        let expect = assertions.expect();
        assert_eq!((expect.status, expect.json.len(), expect.headers.len()), (vec![(204, 204), (200, 299)], 1, 1));
        assert_eq!(Assertions::default().expect(), Expect::default());
        let again = serde_json::to_string(&assertions).unwrap();
        assert_eq!(serde_json::from_str::<Assertions>(&again).unwrap(), assertions);
        let error = serde_saphyr::from_str::<Assertions>("{status: [20-299]}").unwrap_err().to_string();
        assert!(error.contains("`20-299` is no status, as in `204` or `200-299`"), "{error}");
    }

    #[test]
    fn a_header_is_said_or_kept_elsewhere() {
        let header = |text: &str| serde_saphyr::from_str::<Header>(text).unwrap();
        assert_eq!(header("text/html"), Header::Plain("text/html".into()));
        assert_eq!(header("{env: TOKEN}"), Header::Kept(Kept::Env("TOKEN".into())));
        assert_eq!(header("{file: token.txt}"), Header::Kept(Kept::File("token.txt".into())));
        assert!(serde_saphyr::from_str::<Header>("{envv: TOKEN}").is_err());
    }
}
