//! The Recreate strategy: the old pods go, all of them, before the first new one comes.

use super::{Draft, Sync};

impl Sync<'_> {
    pub(super) fn recreate(&mut self) {
        let deployment = self.deployment;
        let mut waiting = false;
        for draft in self.old.iter_mut().filter(|d| d.replicas > 0) {
            Self::resize(deployment, draft, 0);
            waiting = true;
        }
        waiting = waiting || self.old.iter().any(|d| d.set.status.replicas > 0 || self.pods_left(d) > 0);
        if !waiting {
            match &mut self.new {
                Some(new) if new.replicas != deployment.replicas => Self::resize(deployment, new, deployment.replicas),
                Some(_) => {}
                None => self.create_new(),
            }
            if self.is_complete() {
                self.clean_up();
            }
        }
        self.sync_rollout_status();
    }

    /// The pods of a ReplicaSet that have not ended, those on their way out included.
    pub(super) fn pods_left(&self, draft: &Draft<'_>) -> usize {
        self.view.pods_of(&draft.set.meta.uid).filter(|p| !p.is_terminal()).count()
    }
}
