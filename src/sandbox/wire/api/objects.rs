//! Requests about objects: they are read here, decided in the store, and shown here.

use std::sync::Arc;

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::form::{RowObject, Showing};
use super::media::{self, Encoding, Form};
use super::path::Verb;
use super::respond;
use super::{Call, body, logs, watch};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::kinds::Kind;
use crate::sandbox::model::object::resource;
use crate::sandbox::model::store::{self, Done, Page, Sub, Target};

type Answer = Result<Response<Body>, ApiError>;

impl Call {
    /// Answers a request about objects of a kind.
    pub(super) fn objects(self, kind: Arc<Kind>) -> Answer {
        if kind.namespaced == self.resource.namespace.is_empty() && !(kind.namespaced && self.resource.name.is_empty()) {
            return Err(ApiError::no_such_resource());
        }
        let across = kind.namespaced && self.resource.namespace.is_empty();
        if across && !matches!(self.verb, Verb::List | Verb::Watch | Verb::DeleteCollection) {
            return Err(ApiError::method_not_allowed());
        }
        match self.resource.sub.as_str() {
            "" => self.main(kind),
            "status" if kind.status => self.part(kind, Sub::Status),
            "finalize" if kind.resource == resource::NAMESPACES && self.verb == Verb::Update => self.part(kind, Sub::Finalize),
            "scale" if kind.scale.is_some() => self.scale(kind),
            "eviction" if kind.resource == resource::PODS && self.verb == Verb::Create => self.evict(kind),
            "binding" if kind.resource == resource::PODS && self.verb == Verb::Create => self.bind(kind),
            "log" if kind.resource == resource::PODS && self.verb == Verb::Get => {
                logs::answer(&self, &self.target(kind, Sub::Main))
            }
            "status" | "finalize" | "scale" | "eviction" | "binding" | "log" => Err(ApiError::method_not_allowed()),
            _ => Err(ApiError::no_such_resource()),
        }
    }

    pub(super) fn target(&self, kind: Arc<Kind>, sub: Sub) -> Target {
        Target { kind, namespace: self.resource.namespace.clone(), name: self.resource.name.clone(), sub }
    }

    fn showing<'a>(&self, kind: &'a Kind) -> Showing<'a> {
        Showing { kind, form: self.wanted.form, rows: RowObject::read(self.params.get("includeObject")), now: self.world.now() }
    }

    fn main(self, kind: Arc<Kind>) -> Answer {
        match self.verb {
            Verb::Get => self.get(&self.target(kind, Sub::Main)),
            Verb::List => self.list(&kind),
            Verb::Watch => watch::answer(self, kind),
            Verb::Create => {
                let (target, options) = (self.target(kind, Sub::Main), self.params.options("CreateOptions", &self.agent, false)?);
                let body = self.sent(&target)?;
                let done = self.world.change(|store, now| store.create(&target, body, &options, now))?;
                Ok(self.show(&target.kind, done))
            }
            Verb::Update | Verb::Patch => self.part(kind, Sub::Main),
            Verb::Delete => self.delete(kind),
            Verb::DeleteCollection => self.delete_collection(kind),
        }
    }

    /// The object or its status: read, replaced or patched.
    fn part(self, kind: Arc<Kind>, sub: Sub) -> Answer {
        let target = self.target(kind, sub);
        match self.verb {
            Verb::Get => self.get(&target),
            Verb::Update => {
                let options = self.params.options("UpdateOptions", &self.agent, false)?;
                let body = self.sent(&target)?;
                let done = self.world.change(|store, now| store.replace(&target, body, &options, now))?;
                Ok(self.show(&target.kind, done))
            }
            Verb::Patch => self.patch(&target),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    fn patch(self, target: &Target) -> Answer {
        let format = media::patch_format(&self.headers, target.kind.custom.is_some())?;
        let options = self.params.options("PatchOptions", &self.agent, format.is_none())?;
        let patch = body::parse(&self.bytes, if format.is_none() { Encoding::Yaml } else { Encoding::Json })
            .map_err(|why| ApiError::bad_request(format!("error decoding patch: {why}")))?;
        let done = self.world.change(|store, now| match format {
            Some(format) => store.patch(target, format, patch, &options, now),
            None => store.apply_patch(target, patch, &options, now),
        })?;
        Ok(self.show(&target.kind, done))
    }

    fn get(&self, target: &Target) -> Answer {
        let found = self.world.read(|store| {
            if let Some(version) = self.params.version()? {
                store.not_before(version)?;
            }
            store.stored(&target.key()).cloned().ok_or_else(|| ApiError::not_found(target.kind.about(), &target.name))
        })?;
        Ok(respond::value(200, &self.showing(&target.kind).one(&found), self.style()))
    }

    fn list(&self, kind: &Kind) -> Answer {
        let namespace = Some(self.resource.namespace.as_str()).filter(|n| !n.is_empty());
        let query = self.params.list(&kind.resource, namespace)?;
        let page = self.world.read(|store| store.page(&kind.resource, &query))?;
        Ok(respond::value(200, &self.showing(kind).list(&page), self.style()))
    }

    fn delete(self, kind: Arc<Kind>) -> Answer {
        let target = self.target(kind, Sub::Main);
        let sent = self.optional_body()?;
        let options = self.params.delete_options(&sent)?;
        let done = self.world.change(|store, now| store.delete(&target, &options, now))?;
        let waits = !done.deleted && (sent["orphanDependents"] == false || self.params.get("orphanDependents") == Some("false"));
        let shown = self.showing(&target.kind).done(done.object);
        Ok(respond::value(if waits { 202 } else { 200 }, &shown, self.style()))
    }

    fn delete_collection(self, kind: Arc<Kind>) -> Answer {
        if kind.resource == resource::NAMESPACES {
            return Err(ApiError::method_not_allowed());
        }
        let target = self.target(kind, Sub::Main);
        let sent = self.optional_body()?;
        let options = self.params.delete_options(&sent)?;
        let selection = self.params.selection(&target.kind.resource)?;
        let (items, version) = self
            .world
            .change(|store, now| store.delete_collection(&target, &selection, &options, now).map(|gone| (gone, store.version())))?;
        let page = Page { items, version, resume: None, remaining: None };
        Ok(respond::value(200, &self.showing(&target.kind).list(&page), self.style()))
    }

    fn scale(self, kind: Arc<Kind>) -> Answer {
        let target = self.target(kind, Sub::Main);
        let scale = match self.verb {
            Verb::Get => self.world.read(|store| store.scale(&target))?,
            Verb::Update => {
                let options = self.params.options("UpdateOptions", &self.agent, false)?;
                let sent = self.json()?;
                self.world.change(|store, now| store.replace_scale(&target, &sent, &options, now))?
            }
            Verb::Patch => {
                let Some(format) = media::patch_format(&self.headers, target.kind.custom.is_some())? else {
                    return Err(ApiError::new(415, "UnsupportedMediaType", "server-side apply of a Scale is not served", None));
                };
                let options = self.params.options("PatchOptions", &self.agent, false)?;
                let patch = body::parse(&self.bytes, Encoding::Json)
                    .map_err(|why| ApiError::bad_request(format!("error decoding patch: {why}")))?;
                self.world.change(|store, now| store.patch_scale(&target, format, patch, &options, now))?
            }
            _ => return Err(ApiError::method_not_allowed()),
        };
        Ok(respond::value(200, &scale, self.style()))
    }

    fn evict(self, kind: Arc<Kind>) -> Answer {
        let target = self.target(kind, Sub::Main);
        let sent = self.json()?;
        let options = self.params.delete_options(&sent["deleteOptions"])?;
        let status = self.world.change(|store, now| store.evict(&target, &sent, &options, now))?;
        Ok(respond::value(201, &status, self.style()))
    }

    /// Binds a pod, by its own door or by that of all bindings.
    pub(super) fn bind(self, pods: Arc<Kind>) -> Answer {
        let mut target = self.target(pods, Sub::Main);
        let sent = self.json()?;
        if target.name.is_empty() {
            sent["metadata"]["name"].as_str().unwrap_or_default().clone_into(&mut target.name);
        }
        let status = self.world.change(|store, now| store.bind(&target, &sent, &self.agent, now))?;
        Ok(respond::value(201, &status, self.style()))
    }

    /// The body of a create or update. What is no object at all is refused here.
    fn sent(&self, target: &Target) -> Result<store::Body, ApiError> {
        let encoding = media::encoding(&self.headers)?;
        body::parse(&self.bytes, encoding).map_err(|why| {
            let shown = String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(512)]).into_owned();
            ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: {why} ({shown})",
                target.kind.kind
            ))
        })
    }

    pub(super) fn json(&self) -> Result<Value, ApiError> {
        let encoding = media::encoding(&self.headers)?;
        body::parse(&self.bytes, encoding).map(|b| b.value).map_err(ApiError::bad_request)
    }

    fn optional_body(&self) -> Result<Value, ApiError> {
        if self.bytes.trim_ascii().is_empty() {
            return Ok(json!({}));
        }
        let encoding = media::encoding(&self.headers)?;
        body::parse(&self.bytes, encoding).map(|b| b.value).map_err(ApiError::bad_request)
    }

    fn show(&self, kind: &Kind, done: Done) -> Response<Body> {
        let code = if done.created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = respond::value(code.as_u16(), &self.showing(kind).done(done.object), self.style());
        respond::warn(&mut response, &done.warnings);
        response
    }

    pub(super) fn style(&self) -> respond::Style {
        respond::Style { yaml: self.wanted.yaml && self.wanted.form == Form::Whole, pretty: self.pretty }
    }
}
