//! The last part of an endless output.

use std::collections::VecDeque;

/// Keeps the last `capacity` bytes, and knows how many came before them.
#[derive(Debug)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    total: u64,
}

impl Ring {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), capacity, total: 0 }
    }

    pub(super) fn push(&mut self, new: &[u8]) {
        self.total += new.len() as u64;
        let new = &new[new.len().saturating_sub(self.capacity)..];
        let excess = (self.bytes.len() + new.len()).saturating_sub(self.capacity);
        self.bytes.drain(..excess);
        self.bytes.extend(new);
    }

    /// What was written from position `from` on, as far as it is still here, and the position after it.
    pub(super) fn since(&self, from: u64) -> (Vec<u8>, u64) {
        let first = self.total - self.bytes.len() as u64;
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX).min(self.bytes.len());
        (self.bytes.iter().skip(skip).copied().collect(), self.total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_are_kept_and_positions_count_from_the_beginning() {
        let mut ring = Ring::new(4);
        ring.push(b"ab");
        assert_eq!(ring.since(0), (b"ab".to_vec(), 2));
        ring.push(b"cde");
        assert_eq!(ring.since(0), (b"bcde".to_vec(), 5));
        assert_eq!(ring.since(4), (b"e".to_vec(), 5));
        ring.push(b"123456789");
        assert_eq!((ring.since(0), ring.since(14), ring.since(99)), ((b"6789".to_vec(), 14), (vec![], 14), (vec![], 14)));
    }
}
