//! Applying the writes of a step to a store.

use super::settle::Outcome;
use crate::sandbox::model::object::Now;
use crate::sandbox::model::store::Store;
use crate::sandbox::model::write::Write;

/// Applies writes in order and tells what became of each. An event tells of the write before it, and is left out when that one was
/// not applied.
pub fn apply(store: &mut Store, writes: Vec<Write>, now: Now) -> Vec<Outcome> {
    let mut told_of = true;
    let apply = |write: Write| {
        let is_event = matches!(write, Write::Event { .. });
        if is_event && !told_of {
            return Outcome::Dropped;
        }
        let is_creation = matches!(write, Write::Create { .. });
        let done = store.apply(write, now);
        if !is_event {
            told_of = done.is_ok();
        }
        match done {
            Ok(()) => Outcome::Done,
            Err(error) if is_creation => Outcome::Refused(error.message().to_owned()),
            Err(_) => Outcome::Dropped,
        }
    };
    writes.into_iter().map(apply).collect()
}
