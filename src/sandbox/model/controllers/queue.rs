//! Which objects need a controller's attention: what was in order is left alone until something it depends on changes.

use std::collections::HashMap;

use crate::sandbox::model::object::Now;
use crate::sandbox::model::write::Step;

/// The memory of one controller about the objects it keeps.
#[derive(Debug, Default)]
pub struct Queue {
    settled: HashMap<String, Settled>,
}

#[derive(Debug)]
struct Settled {
    inputs: u64,
    wake: Option<Now>,
}

impl Queue {
    /// Syncs the object `uid` unless the last sync with the same `inputs` (a digest of all it reads) wanted nothing and its time to
    /// look again has not come.
    pub fn sync(&mut self, uid: &str, inputs: u64, now: Now, out: &mut Step, sync: impl FnOnce() -> Step) {
        if let Some(settled) = self.settled.get(uid)
            && settled.inputs == inputs
            && settled.wake.is_none_or(|w| w > now)
        {
            merge_wake(out, settled.wake);
            return;
        }
        let step = sync();
        if step.writes.is_empty() {
            self.settled.insert(uid.to_owned(), Settled { inputs, wake: step.wake });
        } else {
            self.settled.remove(uid);
        }
        merge_wake(out, step.wake);
        out.writes.extend(step.writes);
    }

    /// Forgets everything once most of it must be about objects that are gone.
    pub fn bound(&mut self, alive: usize) {
        if self.settled.len() > 16 + 2 * alive {
            self.settled.clear();
        }
    }
}

fn merge_wake(out: &mut Step, wake: Option<Now>) {
    if let Some(wake) = wake {
        out.wake_at(wake);
    }
}
