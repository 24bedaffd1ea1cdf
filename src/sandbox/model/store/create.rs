//! Creating objects.

use serde_json::Value;

use super::request::{Body, Done, Options, Sub, Target};
use super::write::{Incoming, Origin, check, meta, set_namespace, shown};
use super::{Store, Stored};
use crate::sandbox::model::apply::managed::{Managed, Manager};
use crate::sandbox::model::apply::{Writer, updated};
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::kinds::{Kind, custom};
use crate::sandbox::model::object::{Key, Now, Resource, is_deleting, name, resource, time};
use crate::sandbox::model::schema::decode::zero;

/// How often a generated name is tried anew when it is taken.
const TRIES: usize = 8;

impl Store {
    /// Creates an object from a body.
    pub fn create(&mut self, target: &Target, body: Body, options: &Options, now: Now) -> Result<Done, ApiError> {
        let Incoming { mut object, mut warnings } = self.incoming(target, body, options, Origin::Whole)?;
        set_namespace(&target.kind, &mut object, &target.namespace)?;
        if !target.name.is_empty() {
            meta(&mut object).insert("name".into(), target.name.clone().into());
        }
        let managed = take_managed(&mut object).unwrap_or_default();
        let stored = self.create_settled(target, object, &managed, &options.writer(target, false), options.dry_run, now)?;
        warnings.extend(Self::warnings(&target.kind, &stored.object));
        Ok(Done { object: shown(&target.kind, &stored), created: true, deleted: false, warnings })
    }

    /// Creates an object that is in stored form, with defaults.
    pub(super) fn create_settled(
        &mut self,
        target: &Target,
        mut object: Value,
        managed: &Managed,
        by: &Manager,
        dry_run: bool,
        now: Now,
    ) -> Result<Stored, ApiError> {
        let kind = self.stored_kind(&target.kind);
        // What the server adds from here on belongs to nobody.
        let managed = if self.config.managers {
            updated(kind.schema(), managed, None, &object, Writer { manager: by, ignored: ignored(&kind, Sub::Main), now })
        } else {
            Managed::default()
        };
        fresh(&kind, &mut object, now);
        let key = self.name_it(&kind, &mut object)?;
        reset_status(&kind, &mut object);
        self.admit(&kind, &mut object)?;
        check(&kind, &object, None)?;
        self.not_yet(&kind, &key)?;
        self.address(&kind, &mut object, None, dry_run)?;
        if dry_run {
            return Ok(Stored { object: object.into(), managed: managed.into() });
        }
        let stored = self.put(&key, object, managed, now);
        self.count_quotas(&key.namespace, &key.resource, now);
        // A quota that was just created is counted at once, and so is not the object that was put.
        Ok(self.stored(&key).cloned().unwrap_or(stored))
    }

    /// Creates what one of the sandbox's own parts wants: its object is believed, but has to be possible.
    pub(super) fn create_trusted(&mut self, resource: &Resource, object: Value, now: Now) -> Result<Stored, ApiError> {
        let Some(kind) = self.registry.stored(resource).cloned() else { return Err(ApiError::no_such_resource()) };
        let mut object = self.believed(&kind, object)?;
        if !kind.namespaced {
            meta(&mut object).shift_remove("namespace");
        }
        let managed = if self.config.managers {
            let by = super::internal::component(&kind, Sub::Main);
            updated(kind.schema(), &Managed::default(), None, &object, Writer { manager: &by, ignored: &[], now })
        } else {
            Managed::default()
        };
        fresh(&kind, &mut object, now);
        let key = self.name_it(&kind, &mut object)?;
        self.admit(&kind, &mut object)?;
        self.not_yet(&kind, &key)?;
        self.address(&kind, &mut object, None, false)?;
        let stored = self.put(&key, object, managed, now);
        self.count_quotas(&key.namespace, &key.resource, now);
        Ok(stored)
    }

    fn not_yet(&self, kind: &Kind, key: &Key) -> Result<(), ApiError> {
        match self.stored(key) {
            None => Ok(()),
            Some(there) => Err(ApiError::already_exists(kind.about(), &key.name, is_deleting(&there.object))),
        }
    }

    /// Gives the object its name, made up where only a prefix is given, and a uid.
    fn name_it(&mut self, kind: &Kind, object: &mut Value) -> Result<Key, ApiError> {
        let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default().to_owned();
        let uid = self.new_uid();
        meta(object).insert("uid".into(), uid.into());
        let generated = name(object).is_empty() && !prefix.is_empty();
        for _ in 0..if generated { TRIES } else { 1 } {
            if generated {
                let made_up = self.new_name(&prefix);
                meta(object).insert("name".into(), made_up.into());
            }
            let key = Key::of(kind.resource.clone(), object);
            if !generated || self.stored(&key).is_none() {
                return Ok(key);
            }
        }
        let message = format!(
            "{}.{} {:?} already exists, the server was not able to generate a unique name for the object",
            kind.plural,
            kind.group,
            name(object)
        );
        Err(ApiError::new(409, "AlreadyExists", message, None))
    }

    /// The kind in which objects of this one are stored.
    pub(super) fn stored_kind(&self, kind: &std::sync::Arc<Kind>) -> std::sync::Arc<Kind> {
        self.registry.stored(&kind.resource).unwrap_or(kind).clone()
    }
}

/// `metadata.managedFields` of a body; whether there were any that make sense.
pub(super) fn take_managed(object: &mut Value) -> Option<Managed> {
    let given = meta(object).shift_remove("managedFields")?;
    Managed::from_json(&given)
}

/// Fields that a way of writing does not change, and so nobody comes to own by it.
pub(super) fn ignored(kind: &Kind, sub: Sub) -> &'static [&'static str] {
    match sub {
        Sub::Main if kind.status => &["status"],
        Sub::Main => &[],
        Sub::Status => &["spec"],
        Sub::Finalize => &["status"],
    }
}

/// What a new object is given, and what it cannot bring along.
fn fresh(kind: &Kind, object: &mut Value, now: Now) {
    let meta = meta(object);
    for field in ["resourceVersion", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink", "uid"] {
        meta.shift_remove(field);
    }
    meta.insert("creationTimestamp".into(), time(now));
    if kind.traits.generation {
        meta.insert("generation".into(), 1.into());
    }
    match &kind.resource {
        r if *r == resource::NAMESPACES => {
            let finalizers = &mut object["spec"]["finalizers"];
            if finalizers.as_array().is_none_or(|f| !f.contains(&"kubernetes".into())) {
                let mut all = finalizers.as_array().cloned().unwrap_or_default();
                all.push("kubernetes".into());
                *finalizers = all.into();
            }
        }
        r if *r == resource::CUSTOM_RESOURCE_DEFINITIONS => custom::accept(object, now),
        _ => {}
    }
}

/// A new object has no status yet, whatever it says.
fn reset_status(kind: &Kind, object: &mut Value) {
    let keeps = [resource::NODES, resource::CUSTOM_RESOURCE_DEFINITIONS, resource::NAMESPACES].contains(&kind.resource);
    if !kind.status || keeps {
        return;
    }
    let Value::Object(map) = object else { return };
    map.shift_remove("status");
    if let Some(of) = kind.schema().under("status").filter(|_| kind.custom.is_none()) {
        map.insert("status".into(), zero(of));
    }
}
