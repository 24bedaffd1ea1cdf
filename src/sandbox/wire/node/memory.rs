//! Memory limits: who breaks one is found out a few times a second and killed, as the kernel would do in a container.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::sandbox::wire::keeper::ProcessId;
use crate::sandbox::wire::proc;

/// From one look to the next.
pub(super) const PERIOD: Duration = Duration::from_millis(250);

/// Only every so many looks are the descendants looked at, too: mostly there are none.
const THOROUGH: u32 = 4;

/// The containers that have a limit.
#[derive(Debug, Default)]
pub(super) struct Limits {
    limits: BTreeMap<ProcessId, Limit>,
    looks: u32,
}

#[derive(Debug)]
struct Limit {
    pid: i32,
    bytes: u64,
}

impl Limits {
    pub(super) fn watch(&mut self, id: ProcessId, pid: i32, bytes: u64) {
        self.limits.insert(id, Limit { pid, bytes });
    }

    pub(super) fn forget(&mut self, id: ProcessId) {
        self.limits.remove(&id);
    }

    pub(super) fn clear(&mut self) {
        self.limits.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// Looks once; returns those that are over their limit.
    pub(super) fn look(&mut self) -> Vec<ProcessId> {
        self.looks = self.looks.wrapping_add(1);
        let thorough = self.looks.is_multiple_of(THOROUGH);
        let used = |pid| if thorough { proc::usage_of_tree(pid).bytes } else { proc::own_bytes(pid) };
        self.limits.iter().filter(|(_, limit)| used(limit.pid) > limit.bytes).map(|(id, _)| *id).collect()
    }
}
