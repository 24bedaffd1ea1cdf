//! Kubernetes Events: repeats are counted on the one that is there, old ones are dropped.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::Store;
use crate::sandbox::model::error::ApiError;
use crate::sandbox::model::object::{Key, Now, parse_time, resource, time, uid};
use crate::sandbox::model::write::{EventType, Read};

/// What makes two Events the same.
type Series = (Key, String, &'static str, String, &'static str);

/// Finds the Event to count on, and the oldest one.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    series: BTreeMap<Series, Key>,
    order: VecDeque<Key>,
}

const LIFETIME: TimeDelta = TimeDelta::hours(1);

impl Store {
    pub(super) fn record_event(
        &mut self,
        about: &Key,
        kind: EventType,
        reason: &'static str,
        message: &str,
        by: &'static str,
        now: Now,
    ) -> Result<(), ApiError> {
        let object = self.get(about);
        let about_uid = object.as_deref().map(uid).unwrap_or_default().to_owned();
        let series: Series = (about.clone(), about_uid.clone(), reason, message.to_owned(), by);
        if let Some(key) = self.recorder.series.get(&series).cloned()
            && let Some(old) = self.stored(&key).cloned()
        {
            let mut event = Value::clone(&old.object);
            event["count"] = (event["count"].as_i64().unwrap_or(1) + 1).into();
            event["lastTimestamp"] = time(now);
            self.put(&key, event, (*old.managed).clone(), now);
            return Ok(());
        }
        let namespace = if about.namespace.is_empty() { "default" } else { &about.namespace };
        let named = self.registry.stored(&about.resource).map(|k| (k.kind.clone(), k.api_version()));
        let (about_kind, api_version) = named.unwrap_or_default();
        let mut involved = json!({"kind": about_kind, "name": about.name, "apiVersion": api_version});
        if !about.namespace.is_empty() {
            involved["namespace"] = about.namespace.clone().into();
        }
        if let Some(object) = &object {
            involved["uid"] = about_uid.into();
            involved["resourceVersion"] = object["metadata"]["resourceVersion"].clone();
        }
        // The version keeps the names of one moment apart.
        let moment = now.timestamp_nanos_opt().unwrap_or(0).unsigned_abs() + self.version;
        let event = json!({
            "metadata": {"name": format!("{}.{moment:016x}", about.name), "namespace": namespace},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "source": {"component": by},
            "firstTimestamp": time(now),
            "lastTimestamp": time(now),
            "count": 1,
            "type": match kind { EventType::Normal => "Normal", EventType::Warning => "Warning" },
            "reportingComponent": by,
        });
        let stored = self.create_trusted(&resource::EVENTS, event, now)?;
        self.recorder.series.insert(series, Key::of(resource::EVENTS, &stored.object));
        Ok(())
    }

    /// Drops Events that are too many or too old, after `key` was added.
    pub(super) fn drop_old_events(&mut self, key: &Key, now: Now) {
        self.recorder.order.push_back(key.clone());
        while let Some(oldest) = self.recorder.order.front().cloned() {
            let last = self.get(&oldest).map(|e| {
                let made = parse_time(&e["metadata"]["creationTimestamp"]);
                made.max(parse_time(&e["lastTimestamp"]))
            });
            let keep = last.is_some_and(|last| last.is_none_or(|last| now - last < LIFETIME));
            if keep && self.recorder.order.len() <= self.config.events {
                return;
            }
            self.recorder.order.pop_front();
            self.recorder.series.retain(|_, event| *event != oldest);
            if last.is_some() {
                self.drop_object(&oldest, now);
            }
        }
    }
}
