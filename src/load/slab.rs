//! A slab whose keys say when they are stale: the system may still report on a connection that has just been closed.

/// Names one entry; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// As the number that the system hands back with an event.
    pub(crate) fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key of a token.
    #[expect(clippy::cast_possible_truncation, reason = "takes the two halves apart")]
    pub(crate) fn from_token(token: u64) -> Self {
        Self { index: token as u32, generation: (token >> 32) as u32 }
    }
}

/// Entries in reused places.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// The key that the next insertion will have.
    pub(crate) fn next_key(&self) -> Key {
        let index = self.free.last().copied().unwrap_or_else(|| u32::try_from(self.places.len()).unwrap_or(u32::MAX));
        Key { index, generation: self.places.get(index as usize).map_or(0, |(generation, _)| *generation) }
    }

    /// Adds an entry under [`Self::next_key`].
    pub(crate) fn insert(&mut self, entry: T) -> Key {
        let key = self.next_key();
        match self.free.pop().and_then(|index| self.places.get_mut(index as usize)) {
            Some(place) => place.1 = Some(entry),
            None => self.places.push((0, Some(entry))),
        }
        key
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.places.get_mut(key.index as usize).filter(|(generation, _)| *generation == key.generation)?.1.as_mut()
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        self.places.get(key.index as usize).filter(|(generation, _)| *generation == key.generation)?.1.as_ref()
    }

    /// Takes an entry out; its key is stale from now on.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize).filter(|(generation, _)| *generation == key.generation)?;
        let entry = place.1.take()?;
        place.0 = place.0.wrapping_add(1);
        self.free.push(key.index);
        Some(entry)
    }

    /// Takes out all of which this is so.
    pub(crate) fn remove_all(&mut self, mut gone: impl FnMut(&T) -> bool) {
        for (index, (generation, entry)) in (0..).zip(&mut self.places) {
            if entry.take_if(|entry| gone(entry)).is_some() {
                *generation = generation.wrapping_add(1);
                self.free.push(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_outlives_its_entry_only_as_a_stale_one() {
        let mut slab = Slab::new();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.remove(a), Some('a'));
        assert_eq!((slab.remove(a), slab.get(a)), (None, None));
        let expected = slab.next_key();
        let c = slab.insert('c');
        assert_eq!((c, slab.get(a), slab.get(b), slab.get(c)), (expected, None, Some(&'b'), Some(&'c')));
        assert_eq!(Key::from_token(c.token()), c);
        slab.remove_all(|entry| *entry == 'b');
        let d = slab.insert('d');
        assert_eq!((slab.get(b), slab.get(c), slab.get(d)), (None, Some(&'c'), Some(&'d')));
    }
}
