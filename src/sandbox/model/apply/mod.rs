//! Server-side apply, and the bookkeeping of who set which field that it needs from every other write.

pub mod check;
pub mod compare;
pub mod fieldset;
pub mod managed;
pub mod merge;
mod walk;

use serde_json::{Value, json};

use self::compare::{compare, fields};
use self::fieldset::FieldSet;
use self::managed::{Managed, Manager};
use super::error::ApiError;
use super::object::Now;
use super::schema::Type;
use super::schema::decode::zero;

/// Fields that belong to the API server and so to nobody.
const NOBODYS: [&[&str]; 11] = [
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
    &["metadata", "creationTimestamp"],
    &["metadata", "selfLink"],
    &["metadata", "uid"],
    &["metadata", "clusterName"],
    &["metadata", "generation"],
    &["metadata", "managedFields"],
    &["metadata", "resourceVersion"],
];
const BEFORE: &str = "before-first-apply";
/// Where client-side `kubectl apply` remembers what it applied.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// One write and its author.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Who.
    pub manager: &'a Manager,
    /// Fields that this way of writing cannot change, such as `status` from the main resource.
    pub ignored: &'a [&'a str],
    /// When.
    pub now: Now,
}

impl Writer<'_> {
    fn visible(&self, set: &FieldSet) -> FieldSet {
        self.ignored.iter().fold(set.clone(), |set, field| set.without(&[field]))
    }
}

fn owned_by_somebody(set: &FieldSet) -> FieldSet {
    let mut set = NOBODYS.iter().fold(set.clone(), |set, path| set.without(path));
    // Nobody owns `metadata` as such, only what is in it.
    let metadata = FieldSet::from_json(&json!({"f:metadata": {}}));
    set = set.minus(&metadata);
    set
}

/// Who owns what after a write other than an apply. `live` is nothing for a new object.
pub fn updated(of: Type<'_>, managed: &Managed, live: Option<&Value>, new: &Value, by: Writer<'_>) -> Managed {
    let nothing;
    let live = if let Some(live) = live {
        live
    } else {
        nothing = zero(of);
        &nothing
    };
    let difference = compare(of, live, new);
    if difference.is_same() {
        return managed.clone();
    }
    let changed = by.visible(&difference.changed());
    let mut managed = managed.clone();
    managed.take(&changed, None);
    managed.take(&by.visible(&difference.removed), None);
    let mut mine = owned_by_somebody(&changed);
    if !mine.is_empty() {
        if let Some(before) = managed.of(by.manager) {
            mine.add(before.fields.clone());
        }
        managed.set(by.manager, mine, Some(by.now));
    }
    managed.tidy();
    managed
}

/// The object after an apply, and who owns what then. `live` is nothing for a new object.
pub fn applied(
    of: Type<'_>,
    managed: &Managed,
    live: Option<&Value>,
    config: &Value,
    by: Writer<'_>,
    force: bool,
) -> Result<(Value, Managed), ApiError> {
    let nothing;
    let before;
    let (live, managed) = match live {
        None => {
            nothing = zero(of);
            (&nothing, managed)
        }
        Some(live) if managed.0.is_empty() => {
            let manager = Manager { name: BEFORE.into(), applies: false, ..by.manager.clone() };
            before = updated(of, managed, None, live, Writer { manager: &manager, ..by });
            (live, &before)
        }
        Some(live) => (live, managed),
    };
    let mine = owned_by_somebody(&by.visible(&fields(of, config)));
    let last = managed.of(by.manager).map(|o| (o.fields.clone(), o.time));
    let mut after = managed.clone();
    after.set(by.manager, mine.clone(), None);
    let merged = merge::merge(of, live, config);
    let new = match &last {
        Some((last, _)) => pruned(of, &merged, last, &after),
        None => merged,
    };
    let difference = compare(of, live, &new);
    let changed = by.visible(&difference.changed());
    let owners = after.owners(&changed, by.manager);
    if !force && !owners.is_empty() {
        let allowed = if by.manager.name == "kubectl" { last_applied(of, live) } else { FieldSet::default() };
        let left: Vec<_> = owners.iter().map(|(who, set)| (*who, set.minus(&allowed))).filter(|(_, set)| !set.is_empty()).collect();
        if !left.is_empty() {
            return Err(conflict(&left));
        }
    }
    after.take(&changed, Some(by.manager));
    after.take(&by.visible(&difference.removed), Some(by.manager));
    // Whoever only agrees with what is there has not changed it, and so has no time.
    let time = if difference.is_same() { last.and_then(|(_, time)| time) } else { Some(by.now) };
    after.set(by.manager, mine, time);
    after.tidy();
    Ok((new, after))
}

/// Takes out what this manager applied the last time, does not apply now, and nobody else owns.
fn pruned(of: Type<'_>, merged: &Value, last: &FieldSet, after: &Managed) -> Value {
    let named = |set: &FieldSet| merge::with_named(of, set);
    let all = named(&fields(of, merged));
    let last = named(last);
    let pruned = merge::remove(of, merged, &last);
    // Put back what somebody owns, this very configuration included.
    let mut kept = named(&fields(of, &pruned));
    kept.add(named(&after.all()));
    let pruned = merge::remove(of, merged, &all.minus(&kept));
    // Put back what went along with an owner but was never this manager's.
    let gone = all.minus(&named(&fields(of, &pruned)));
    merge::remove(of, merged, &gone.and(&last))
}

/// The fields that client-side apply set and that still have that value: `kubectl` may take them over.
fn last_applied(of: Type<'_>, live: &Value) -> FieldSet {
    let Some(config) = live["metadata"]["annotations"][LAST_APPLIED].as_str().and_then(|t| serde_json::from_str::<Value>(t).ok())
    else {
        return FieldSet::default();
    };
    let changed = compare(of, &config, live);
    let all = fields(of, &config);
    all.minus(&changed.modified).minus(&changed.removed)
}

fn conflict(owners: &[(&Manager, FieldSet)]) -> ApiError {
    let all: Vec<(String, String)> =
        owners.iter().flat_map(|(who, set)| set.paths().into_iter().map(|p| (who.in_words(), p))).collect();
    let causes = all
        .iter()
        .map(|(who, path)| json!({"reason": "FieldManagerConflict", "message": format!("conflict with {who}"), "field": path}));
    let message = if let [(who, path)] = all.as_slice() {
        format!("Apply failed with 1 conflict: conflict with {who}: {path}")
    } else {
        let mut lines = Vec::new();
        for (who, set) in owners {
            lines.push(format!("conflicts with {}:", who.in_words()));
            lines.extend(set.paths().iter().map(|p| format!("- {p}")));
        }
        format!("Apply failed with {} conflicts: {}", all.len(), lines.join("\n"))
    };
    ApiError::apply_conflict(message, causes.collect())
}

#[cfg(test)]
mod tests;
