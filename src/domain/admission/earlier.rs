//! What is found by who comes in the midst of a rollout: pods that others have let in.

use super::{Admission, Basis, Standing};
use crate::domain::display::plural;
use crate::domain::rollout::{PodLife, Rollout};

/// Pods that are named.
const NAMED: usize = 5;

impl Admission {
    /// Which pods of the wanted revision were let in by others, and what that means for the rest; nothing when none was.
    pub fn earlier(&self, rollout: &Rollout) -> Option<String> {
        let revision = &rollout.current()?.hash;
        let ours = |life: &PodLife| {
            let applicant = self.applicants.get(&life.state.uid);
            applicant.is_some_and(|a| matches!(a.standing, Standing::Opening | Standing::Open))
        };
        let of_others = |life: &&PodLife| {
            life.is_active() && life.state.revision == *revision && life.state.gated && life.state.verified.is_some() && !ours(life)
        };
        let found: Vec<&PodLife> = rollout.pods().into_iter().filter(of_others).collect();
        let reason = |life: &PodLife| life.state.verified.clone().filter(|reason| !reason.is_empty());
        let named = |life: &&PodLife| match reason(life) {
            Some(reason) => format!("{} ({reason})", life.state.name),
            None => format!("{} (by hand)", life.state.name),
        };
        let names: Vec<String> = found.iter().take(NAMED).map(named).collect();
        let rest = match found.len().checked_sub(NAMED) {
            Some(more @ 1..) => format!(" and {more} more"),
            _ => String::new(),
        };
        let verified = found.iter().any(|life| reason(life).is_some_and(|reason| Basis::verifies(&reason)));
        let then =
            if verified { "so its further pods are let in as they come" } else { "which says nothing about its further pods" };
        let pods = plural(found.len() as u64, "pod");
        (!found.is_empty())
            .then(|| format!("of revision {revision} {pods} had been let in before: {}{rest}, {then}", names.join(", ")))
    }
}
