//! Events live for an hour after they last happened.

use chrono::TimeDelta;
use serde_json::Value;

use super::view::View;
use crate::sandbox::model::object::{self, Key, Now, parse_time, resource};
use crate::sandbox::model::write::{Step, Write};

const LIFETIME: TimeDelta = TimeDelta::hours(1);
/// Nobody minds an event that stays a little longer; looking through them all at every change would cost more.
const PERIOD: TimeDelta = TimeDelta::minutes(1);

/// Deletes the events whose time is up.
pub fn step(view: &View, now: Now) -> Step {
    let mut step = Step::default();
    let events = view.events.all().iter().map(|e| &e.0);
    step.writes.extend(events.filter(|e| last(e).is_none_or(|at| at + LIFETIME <= now)).map(|event| Write::Delete {
        key: Key::of(resource::EVENTS, event),
        uid: Some(object::uid(event).to_owned()),
        grace: None,
    }));
    step.wake_at(now + PERIOD);
    step
}

/// When it last happened.
fn last(event: &Value) -> Option<Now> {
    let times = [
        &event["series"]["lastObservedTime"],
        &event["lastTimestamp"],
        &event["deprecatedLastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    times.into_iter().filter_map(parse_time).max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_latest_of_an_events_times_counts() {
        let event = json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}, "lastTimestamp": "2026-01-01T00:10:00Z", "eventTime": null,
        });
        assert_eq!(last(&event), parse_time(&"2026-01-01T00:10:00Z".into()));
        assert_eq!(last(&json!({})), None);
    }
}
