//! Names of pods and versions, each kept once.

use crate::domain::traffic::Name;

/// Longer names are no names.
const LENGTH_MAX: usize = 128;
const NAMES_MAX: usize = 256;

/// The names seen lately.
#[derive(Debug, Default)]
pub(crate) struct Names(Vec<Name>);

impl Names {
    /// The shared name for `text`; `None` for the empty and the overlong, and when too many names are in use at once.
    pub(crate) fn get(&mut self, text: &str) -> Option<Name> {
        if text.is_empty() || text.len() > LENGTH_MAX {
            return None;
        }
        if let Some(known) = self.0.iter().find(|known| ***known == *text) {
            return Some(known.clone());
        }
        if self.0.len() >= NAMES_MAX {
            self.0.retain(|name| std::sync::Arc::strong_count(name) > 1);
        }
        (self.0.len() < NAMES_MAX).then(|| {
            let name = Name::from(text);
            self.0.push(name.clone());
            name
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shared_and_their_number_is_bounded() {
        let mut names = Names::default();
        let first = names.get("pod-0").unwrap();
        assert!(std::sync::Arc::ptr_eq(&first, &names.get("pod-0").unwrap()));
        for i in 0..10_000 {
            assert!(names.get(&format!("pod-{i}")).is_some(), "names no longer in use make room");
        }
        let held: Vec<Name> = (0..10_000).filter_map(|i| names.get(&format!("held-{i}"))).collect();
        assert_eq!(held.len(), NAMES_MAX - 1, "all but the one held from before");
        assert_eq!((names.get(""), names.get(&"x".repeat(129))), (None, None));
    }
}
