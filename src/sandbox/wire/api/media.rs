//! Content negotiation: what a client wants to see, and what it sent.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::patch::Format;

/// In which form objects are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Whole,
    /// As a table.
    Table,
    /// Their metadata only.
    Metadata,
}

/// What a client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) form: Form,
    pub(super) yaml: bool,
}

const OFFERED: &str =
    "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/json;stream=watch";

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// The first of the accepted forms that can be given.
pub(super) fn wanted(headers: &HeaderMap) -> Result<Wanted, ApiError> {
    let accept = header(headers, &ACCEPT);
    if accept.trim().is_empty() {
        return Ok(Wanted { form: Form::Whole, yaml: false });
    }
    accept.split(',').find_map(clause).ok_or_else(|| ApiError::new(406, "NotAcceptable", OFFERED, Some(serde_json::json!({}))))
}

fn clause(clause: &str) -> Option<Wanted> {
    let mut parts = clause.split(';').map(str::trim);
    let yaml = match parts.next()? {
        "application/json" | "*/*" | "application/*" => false,
        "application/yaml" => true,
        _ => return None,
    };
    let mut form = Form::Whole;
    let (mut group, mut version) = ("meta.k8s.io", "v1");
    for (key, value) in parts.filter_map(|p| p.split_once('=')) {
        match (key, value) {
            ("as", "Table") => form = Form::Table,
            ("as", "PartialObjectMetadata" | "PartialObjectMetadataList") => form = Form::Metadata,
            ("as", _) => return None,
            ("g", value) => group = value,
            ("v", value) => version = value,
            _ => {}
        }
    }
    let known = group == "meta.k8s.io" && version == "v1";
    (form == Form::Whole || known).then_some(Wanted { form, yaml })
}

/// Does the client ask for discovery in its aggregated form?
pub(super) fn wants_aggregated(headers: &HeaderMap) -> bool {
    let accept = header(headers, &ACCEPT);
    let is = |clause: &str, part: &str| clause.split(';').any(|p| p.trim() == part);
    let first = accept.split(',').find(|c| is(c, "application/json"));
    first.is_some_and(|c| is(c, "g=apidiscovery.k8s.io") && is(c, "v=v2") && is(c, "as=APIGroupDiscoveryList"))
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

/// How the body of a create or update is written; JSON when nothing is said.
pub(super) fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    match header(headers, &CONTENT_TYPE).split(';').next().unwrap_or_default().trim() {
        "" | "application/json" => Ok(Encoding::Json),
        "application/yaml" | "application/x-yaml" => Ok(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Encoding::Protobuf),
        _ => Err(ApiError::new(
            415,
            "UnsupportedMediaType",
            "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml, application/vnd.kubernetes.protobuf",
            None,
        )),
    }
}

/// How a patch is to be read; nothing is server-side apply.
pub(super) fn patch_format(headers: &HeaderMap, custom: bool) -> Result<Option<Format>, ApiError> {
    match header(headers, &CONTENT_TYPE).split(';').next().unwrap_or_default().trim() {
        "application/json-patch+json" => Ok(Some(Format::Json)),
        "application/merge-patch+json" => Ok(Some(Format::Merge)),
        "application/strategic-merge-patch+json" if !custom => Ok(Some(Format::Strategic)),
        "application/apply-patch+yaml" => Ok(None),
        _ => {
            let mut known = vec!["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
            if !custom {
                known.insert(2, "application/strategic-merge-patch+json");
            }
            let message =
                format!("the body of the request was in an unknown format - accepted media types include: {}", known.join(", "));
            Err(ApiError::new(415, "UnsupportedMediaType", message, None))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> Result<Wanted, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, value.parse().unwrap());
        wanted(&headers).map_err(|e| e.code())
    }

    #[test]
    fn the_first_form_that_can_be_given_is_given() {
        let json = |form| Ok(Wanted { form, yaml: false });
        assert_eq!(
            accept(
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
            ),
            json(Form::Table)
        );
        assert_eq!(accept("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"), json(Form::Whole));
        assert_eq!(accept("application/vnd.kubernetes.protobuf,application/json"), json(Form::Whole));
        assert_eq!(accept("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"), json(Form::Metadata));
        assert_eq!(accept("*/*"), json(Form::Whole));
        assert_eq!(accept("application/yaml"), Ok(Wanted { form: Form::Whole, yaml: true }));
        assert_eq!(accept("application/vnd.kubernetes.protobuf"), Err(406));
    }
}
