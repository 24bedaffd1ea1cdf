//! Answers mutated for as long as wanted: `cargo bench --bench fuzz -- --seconds 60 --seed 1`. Ends at the first that breaks a promise, and says
//! which; a case that does not end at all is told after a while.

#![allow(clippy::expect_used, clippy::print_stdout, clippy::panic, reason = "ends by failing, and its output is its purpose")]
#![allow(clippy::disallowed_methods, reason = "it measures itself")]

mod cases;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cases::Checker;

/// No case takes anywhere near as long, even on a busy machine.
const STUCK: Duration = Duration::from_secs(20);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| arguments.iter().position(|a| a == name).map(|at| arguments[at + 1].parse().expect("a number"));
    let seed = option("--seed").unwrap_or(1);
    let budget = Duration::from_secs(option("--seconds").unwrap_or(5));
    println!("fuzzing answers for {budget:?}, seed {seed}");
    let begun = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&begun);
    let worker = std::thread::spawn(move || run(seed, budget, &counted));
    let (mut last, mut since) = (0, Instant::now());
    while !worker.is_finished() {
        std::thread::sleep(Duration::from_millis(50));
        let now = begun.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < STUCK, "seed {seed}, case {last} does not end");
    }
    match worker.join() {
        Ok(Ok(())) => {}
        Ok(Err(why)) => panic!("{why}"),
        Err(panicked) => {
            println!("seed {seed}, case {} or soon after it panicked", begun.load(Ordering::Relaxed));
            std::panic::resume_unwind(panicked)
        }
    }
}

fn run(seed: u64, budget: Duration, begun: &AtomicU64) -> Result<(), String> {
    let mut checker = Checker::new(seed);
    checker.corpus()?;
    let (start, mut outcomes) = (Instant::now(), BTreeMap::new());
    let mut number = 0;
    while start.elapsed() < budget {
        begun.store(number, Ordering::Relaxed);
        *outcomes.entry(checker.case(number)?).or_insert(0_u64) += 1;
        number += 1;
    }
    println!("{number} cases");
    for (outcome, n) in outcomes {
        println!("{n:>10}  {}", outcome.label());
    }
    Ok(())
}
