//! A few seconds of what `cargo bench --bench fuzz` does for as long as it is let.

#[path = "../benches/fuzz/cases.rs"]
mod cases;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::TryRng;
use rand::rngs::SysRng;

#[test]
#[expect(clippy::disallowed_methods, reason = "has a budget of time")]
fn whatever_bytes_come_the_answer_has_one_outcome_however_they_are_cut() {
    let seed = SysRng.try_next_u64().unwrap();
    // Each failure says the seed.
    let mut checker = cases::Checker::new(seed);
    checker.corpus().unwrap();
    let (start, mut outcomes) = (Instant::now(), BTreeSet::new());
    // At least so many on a busy machine, so that it is never a test of nothing.
    let mut number = 0;
    while number < 500 || start.elapsed() < Duration::from_secs(3) {
        outcomes.insert(checker.case(number).unwrap_or_else(|why| panic!("{why}")));
        number += 1;
    }
    assert!(outcomes.len() >= 6, "seed {seed}: the mutations reach too little: {outcomes:?}");
}
