//! Names and uids that the server makes up, drawn from the store's own generator.

use rand::Rng;

use super::Store;
use crate::sandbox::model::suffix::five_letters;

const LONGEST: usize = 63;
const SUFFIX: usize = 5;

impl Store {
    /// A version 4 UUID.
    pub(super) fn new_uid(&mut self) -> String {
        let mut bytes = [0_u8; 16];
        self.rng.fill_bytes(&mut bytes);
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let part = |range: std::ops::Range<usize>| hex[range].concat();
        [part(0..4), part(4..6), part(6..8), part(8..10), part(10..16)].join("-")
    }

    /// The prefix, cut where it is too long, with five letters of its own.
    pub(super) fn new_name(&mut self, prefix: &str) -> String {
        let prefix: String = prefix.chars().take(LONGEST - SUFFIX).collect();
        prefix + &five_letters(self.rng.next_u64())
    }
}
