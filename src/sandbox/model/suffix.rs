//! Random name suffixes, as `generateName` and the template hash spell them.

/// No vowels and nothing that looks like them, so that no words appear.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A seeded source of suffixes.
#[derive(Clone, Debug)]
pub struct Suffixes {
    state: u64,
}

impl Suffixes {
    /// The same seed gives the same names.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Five letters.
    pub fn next_one(&mut self) -> String {
        // splitmix64: one addition and two multiplications are all the randomness a name needs.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        five_letters(bits)
    }
}

/// Five letters of random bits.
pub fn five_letters(bits: u64) -> String {
    (0..5).map(|i| letter(u32::try_from((bits >> (8 * i)) & 0xff).unwrap_or(0))).collect()
}

/// Spells `text` in the safe alphabet, character by character.
pub fn safe_encode(text: &str) -> String {
    text.bytes().map(|b| letter(u32::from(b))).collect()
}

fn letter(number: u32) -> char {
    let index = usize::try_from(number).unwrap_or(0) % ALPHABET.len();
    ALPHABET.get(index).map_or('b', |b| char::from(*b))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn digits_spell_as_in_real_template_hashes() {
        assert_eq!(safe_encode("0123456789"), "456789bcdf");
    }

    #[test]
    fn suffixes_repeat_with_the_seed_and_differ_within_it() {
        let take = |seed| {
            let mut suffixes = Suffixes::new(seed);
            (0..1000).map(|_| suffixes.next_one()).collect::<Vec<_>>()
        };
        assert_eq!(take(7), take(7));
        let distinct: BTreeSet<_> = take(7).into_iter().collect();
        assert!(distinct.len() > 998, "{} of 1000 differ", distinct.len());
        assert!(distinct.iter().all(|s| s.len() == 5 && s.bytes().all(|b| ALPHABET.contains(&b))));
    }
}
