//! Changing objects: PUT, the patches and server-side apply.

use serde_json::Value;

use super::create::{ignored, take_managed};
use super::request::{Body, Done, Options, Sub, Target};
use super::write::{Incoming, Origin, carry, carry_top, meta, set_namespace, shown};
use super::{Store, Stored};
use crate::sandbox::model::apply::managed::{Managed, Manager};
use crate::sandbox::model::apply::{LAST_APPLIED, Writer, applied, check, updated};
use crate::sandbox::model::error::{About, ApiError};
use crate::sandbox::model::field::{Causes, Path};
use crate::sandbox::model::kinds::{Kind, custom};
use crate::sandbox::model::object::{self, Now, name, resource, uid};
use crate::sandbox::model::patch::{Format, patched};

/// A change that is ready to be made.
pub(super) struct Change<'a> {
    pub(super) old: &'a Stored,
    pub(super) new: Value,
    /// Who owned what before, or after where `done`.
    pub(super) managed: Managed,
    pub(super) done: bool,
    pub(super) by: Manager,
    pub(super) sub: Sub,
    pub(super) dry_run: bool,
    /// The writer is one of the sandbox's own parts: its object is not judged.
    pub(super) trusted: bool,
}

impl Store {
    /// Replaces an object by a body, or creates it where the kind allows that.
    pub fn replace(&mut self, target: &Target, body: Body, options: &Options, now: Now) -> Result<Done, ApiError> {
        let Incoming { object: mut new, warnings } = self.incoming(target, body.clone(), options, Origin::Whole)?;
        same_name(&target.name, &new)?;
        set_namespace(&target.kind, &mut new, &target.namespace)?;
        let Some(old) = self.stored(&target.key()).cloned() else {
            return if target.kind.traits.creates_on_update && target.sub == Sub::Main {
                self.create(target, body, options, now)
            } else {
                Err(ApiError::not_found(target.kind.about(), &target.name))
            };
        };
        preconditions(target, &new, &old)?;
        let managed = take_managed(&mut new).unwrap_or_else(|| Managed::clone(&old.managed));
        let by = options.writer(target, false);
        let change = Change { old: &old, new, managed, done: false, by, sub: target.sub, dry_run: options.dry_run, trusted: false };
        self.finish(target, change, warnings, now)
    }

    /// Changes an object by a patch.
    pub fn patch(&mut self, target: &Target, format: Format, body: Body, options: &Options, now: Now) -> Result<Done, ApiError> {
        if options.force {
            return Err(patch_options(|c| c.forbidden(&Path::Root.field("force"), "may not be specified for non-apply patch")));
        }
        let old = self.existing(&target.kind, &target.key())?;
        let current = shown(&target.kind, &old);
        let text = if format == Format::Strategic { go_text(&body.value) } else { body.value.to_string() };
        let changed = patched(target.kind.schema(), format, &current, body.value)?;
        let body = Body { value: changed, duplicates: body.duplicates };
        let Incoming { object: mut new, warnings } = self.incoming(target, body, options, Origin::Patch(&text))?;
        same_name(&target.name, &new)?;
        set_namespace(&target.kind, &mut new, &target.namespace)?;
        let version = new["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if !["", current["metadata"]["resourceVersion"].as_str().unwrap_or_default()].contains(&version) {
            return Err(ApiError::modified(target.kind.about(), &target.name));
        }
        let managed = take_managed(&mut new).unwrap_or_else(|| Managed::clone(&old.managed));
        let by = options.writer(target, false);
        let change = Change { old: &old, new, managed, done: false, by, sub: target.sub, dry_run: options.dry_run, trusted: false };
        self.finish(target, change, warnings, now)
    }

    /// Server-side apply: creates the object or lays the configuration over it.
    pub fn apply_patch(&mut self, target: &Target, body: Body, options: &Options, now: Now) -> Result<Done, ApiError> {
        if options.manager.is_empty() {
            return Err(patch_options(|c| c.required(&Path::Root.field("fieldManager"), "is required for apply patch")));
        }
        let kind = self.stored_kind(&target.kind);
        let given = (object::namespace(&body.value).to_owned(), name(&body.value).to_owned());
        let config = configuration(target, body.value)?;
        let old = self.stored(&target.key()).cloned();
        if old.is_none() && (target.sub != Sub::Main || !uid(&config).is_empty()) {
            return Err(ApiError::not_found(target.kind.about(), &target.name));
        }
        let version = config["metadata"]["resourceVersion"].as_str().unwrap_or_default();
        if let Some(old) = &old
            && !["", old.object["metadata"]["resourceVersion"].as_str().unwrap_or_default()].contains(&version)
        {
            return Err(ApiError::modified(target.kind.about(), &target.name));
        }
        let of = kind.schema();
        check::check(of, &config).map_err(|why| {
            let which = format!("{}/{}; {}, Kind={}", given.0, given.1, kind.api_version(), kind.kind);
            ApiError::new(500, "", format!("failed to create typed patch object ({which}): {why}"), None)
        })?;
        let by = options.writer(target, true);
        let writer = Writer { manager: &by, ignored: ignored(&kind, target.sub), now };
        let before = old.as_ref().map(|o| Managed::clone(&o.managed)).unwrap_or_default();
        let (merged, managed) = applied(of, &before, old.as_ref().map(|o| &*o.object), &config, writer, options.force)?;
        let body = Body { value: merged, duplicates: body.duplicates };
        let Incoming { object: mut new, warnings } =
            self.incoming(&Target { kind: kind.clone(), ..target.clone() }, body, options, Origin::Whole)?;
        set_namespace(&kind, &mut new, &target.namespace)?;
        meta(&mut new).insert("name".into(), target.name.clone().into());
        remember(&by, &config, &mut new);
        let Some(old) = old else {
            let mut done = self.create_applied(target, new, managed, options, now)?;
            done.warnings.extend(warnings);
            return Ok(done);
        };
        let change = Change { old: &old, new, managed, done: true, by, sub: target.sub, dry_run: options.dry_run, trusted: false };
        self.finish(target, change, warnings, now)
    }

    fn create_applied(
        &mut self,
        target: &Target,
        new: Value,
        managed: Managed,
        options: &Options,
        now: Now,
    ) -> Result<Done, ApiError> {
        // The creation itself owns nothing: everything that was wanted belongs to the apply.
        let nobody = Manager { name: String::new(), ..options.writer(target, false) };
        let stored = self.create_settled(target, new, &Managed::default(), &nobody, true, now)?;
        let mut object = Value::clone(&stored.object);
        let key = target.key();
        let kind = self.stored_kind(&target.kind);
        if options.dry_run {
            let stored = Stored { object: object.into(), managed: managed.into() };
            return Ok(Done { object: shown(&target.kind, &stored), created: true, deleted: false, warnings: Vec::new() });
        }
        self.address(&kind, &mut object, None, false)?;
        let stored = self.put(&key, object, managed, now);
        self.count_quotas(&key.namespace, &key.resource, now);
        let warnings = Self::warnings(&target.kind, &stored.object);
        Ok(Done { object: shown(&target.kind, &stored), created: true, deleted: false, warnings })
    }

    fn finish(&mut self, target: &Target, change: Change<'_>, mut warnings: Vec<String>, now: Now) -> Result<Done, ApiError> {
        let kind = self.stored_kind(&target.kind);
        let before = change.old.object["metadata"]["generation"].clone();
        let (stored, deleted) = self.change(&kind, change, now)?;
        if before.is_null() || before != stored.object["metadata"]["generation"] {
            warnings.extend(Self::warnings(&target.kind, &stored.object));
        }
        Ok(Done { object: shown(&target.kind, &stored), created: false, deleted, warnings })
    }

    /// Makes a change to a stored object; the second answer is whether that removed it.
    pub(super) fn change(&mut self, kind: &Kind, change: Change<'_>, now: Now) -> Result<(Stored, bool), ApiError> {
        let Change { old, new, managed, done, by, sub, dry_run, trusted } = change;
        let mut new = prepared(kind, sub, new, &old.object, trusted);
        if kind.resource == resource::CUSTOM_RESOURCE_DEFINITIONS && sub == Sub::Main {
            custom::accept(&mut new, now);
        }
        if !trusted {
            super::write::check(kind, &new, Some(&old.object))?;
        }
        let managed = if done || !self.config.managers {
            managed
        } else {
            updated(kind.schema(), &managed, Some(&old.object), &new, Writer { manager: &by, ignored: ignored(kind, sub), now })
        };
        self.address(kind, &mut new, Some(&old.object), dry_run)?;
        if new == *old.object && managed == *old.managed {
            return Ok((old.clone(), false));
        }
        let key = object::Key::of(kind.resource.clone(), &new);
        let gone = is_finished(kind, &new);
        if dry_run {
            return Ok((Stored { object: new.into(), managed: managed.into() }, gone));
        }
        if gone {
            let stored = Stored { object: new.into(), managed: managed.into() };
            self.drop_object(&key, now);
            return Ok((stored, true));
        }
        let stored = self.put(&key, new, managed, now);
        if kind.resource == resource::RESOURCE_QUOTAS || kind.resource == resource::PODS {
            self.count_quotas(&key.namespace, &key.resource, now);
        }
        Ok((self.stored(&key).cloned().unwrap_or(stored), false))
    }
}

fn preconditions(target: &Target, new: &Value, old: &Stored) -> Result<(), ApiError> {
    let given = uid(new);
    if !given.is_empty() && given != uid(&old.object) {
        let why = format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {}",
            target.kind.plural,
            target.namespace,
            target.name,
            uid(&old.object)
        );
        return Err(ApiError::conflict(target.kind.about(), &target.name, &why));
    }
    match new["metadata"]["resourceVersion"].as_str().unwrap_or_default() {
        "" if target.kind.traits.unconditional => Ok(()),
        "" => {
            let mut causes = Causes::default();
            causes.invalid(&Path::Root.field("metadata").field("resourceVersion"), 0, "must be specified for an update");
            Err(ApiError::invalid(target.kind.about(), &target.name, &causes))
        }
        version if version == old.object["metadata"]["resourceVersion"] => Ok(()),
        _ => Err(ApiError::modified(target.kind.about(), &target.name)),
    }
}

fn patch_options(wrong: impl FnOnce(&mut Causes)) -> ApiError {
    let mut causes = Causes::default();
    wrong(&mut causes);
    ApiError::invalid(About { group: "meta.k8s.io", kind: "PatchOptions" }, "", &causes)
}

/// The configuration of an apply, with the names that it may leave out.
fn configuration(target: &Target, mut config: Value) -> Result<Value, ApiError> {
    if !config.is_object() {
        return Err(ApiError::bad_request("error decoding YAML: the configuration is no object"));
    }
    let (version, kind) = (config["apiVersion"].as_str().unwrap_or_default(), config["kind"].as_str().unwrap_or_default());
    if version != target.kind.api_version() || kind != target.kind.kind {
        return Err(ApiError::bad_request(format!("invalid object type: {version}, Kind={kind}")));
    }
    if config["metadata"].get("managedFields").is_some_and(|m| !m.is_null()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if !["", target.name.as_str()].contains(&name(&config)) {
        same_name(&target.name, &config)?;
    }
    set_namespace(&target.kind, &mut config, &target.namespace)?;
    meta(&mut config).insert("name".into(), target.name.clone().into());
    Ok(super::view::to_stored(target.kind.view, config))
}

/// `kubectl`'s own server-side apply keeps the annotation of its client-side apply up to date.
fn remember(by: &Manager, config: &Value, new: &mut Value) {
    if by.name == "kubectl" && by.subresource.is_empty() && new["metadata"]["annotations"][LAST_APPLIED].is_string() {
        let mut kept = config.clone();
        kept["metadata"].get_mut("annotations").and_then(Value::as_object_mut).and_then(|a| a.shift_remove(LAST_APPLIED));
        new["metadata"]["annotations"][LAST_APPLIED] = format!("{kept}\n").into();
    }
}

fn same_name(wanted: &str, object: &Value) -> Result<(), ApiError> {
    match name(object) {
        "" => Err(ApiError::bad_request(format!(
            "the name of the object ({wanted} based on URL) was undeterminable: name must be provided"
        ))),
        given if given == wanted => Ok(()),
        given => {
            Err(ApiError::bad_request(format!("the name of the object ({given}) does not match the name on the URL ({wanted})")))
        }
    }
}

/// The new object with everything that this way of writing cannot change as it was.
fn prepared(kind: &Kind, sub: Sub, mut new: Value, old: &Value, trusted: bool) -> Value {
    match sub {
        Sub::Main => {
            if kind.status {
                carry_top(&mut new, old, "status");
            }
            if kind.resource == resource::NAMESPACES && !trusted {
                carry_top(&mut new, old, "spec");
            }
        }
        Sub::Status if trusted => {}
        Sub::Status => {
            let mut kept = old.clone();
            carry_top(&mut kept, &new, "status");
            if kind.custom.is_none() {
                carry(&mut kept, &new, "annotations");
                carry(&mut kept, &new, "finalizers");
            }
            // Whose status it is may be said; that it is somebody else's is found like any other change of what never changes.
            if !uid(&new).is_empty() {
                carry(&mut kept, &new, "uid");
            }
            new = kept;
        }
        Sub::Finalize => {
            let mut kept = old.clone();
            carry_top(&mut kept, &new, "spec");
            new = kept;
        }
    }
    if uid(&new).is_empty() {
        carry(&mut new, old, "uid");
    }
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "resourceVersion"] {
        carry(&mut new, old, field);
    }
    if kind.traits.generation && sub != Sub::Status && wants_something_else(kind, &new, old) {
        let generation = object::generation(old) + 1;
        meta(&mut new).insert("generation".into(), generation.into());
    }
    new
}

/// Does the change touch what is wanted, and not only what is known or how it is called?
fn wants_something_else(kind: &Kind, new: &Value, old: &Value) -> bool {
    let annotations = |o: &Value| o["metadata"]["annotations"].clone();
    if kind.resource == resource::DEPLOYMENTS && annotations(new) != annotations(old) {
        return true;
    }
    if kind.schema().under("spec").is_some() && kind.custom.is_none() {
        return new["spec"] != old["spec"];
    }
    let wanted = |key: &&String| !["metadata", "apiVersion", "kind"].contains(&key.as_str()) && (!kind.status || *key != "status");
    let keys = |o: &Value| o.as_object().into_iter().flat_map(|m| m.keys()).filter(wanted).cloned().collect::<Vec<_>>();
    keys(new).iter().chain(&keys(old)).any(|key| new.get(key) != old.get(key))
}

/// Is a deletion under way with nothing left to wait for?
fn is_finished(kind: &Kind, object: &Value) -> bool {
    let none = |list: &Value| list.as_array().is_none_or(Vec::is_empty);
    object::is_deleting(object)
        && none(&object["metadata"]["finalizers"])
        && object["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) == 0
        && (kind.resource != resource::NAMESPACES || none(&object["spec"]["finalizers"]))
}

/// A value as Go prints it, which is how a refused strategic merge patch is quoted.
fn go_text(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            format!("map[{}]", keys.iter().map(|k| format!("{k}:{}", go_text(&map[*k]))).collect::<Vec<_>>().join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".into(),
        other => other.to_string(),
    }
}
