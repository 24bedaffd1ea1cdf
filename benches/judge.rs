//! What the judge costs: `cargo bench --bench judge`. An update without a new bad event must take less than 100 ns, one with a new bad event
//! less than 50 us, and a core must judge 100,000 requests a second when each is heard by itself. It fails when one of them does not hold.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench ends by failing, its output is its purpose, and it measures real time"
)]

use std::hint::black_box;
use std::time::Instant;

use verifier::domain::judge::panel::{Arm, Heard, Panel, Settings};

/// Updates that are timed together.
const BATCH: u32 = 20_000;
/// The best of so many batches counts: what other processes take is not the judge's.
const BATCHES: u32 = 15;

fn main() {
    let settings = Settings { p_slow: Some(0.01), ..Settings::for_share(0.01, 6_000) };
    let quiet = Heard { due: 20, resolved: 20, new: arm(10, 0), old: arm(10, 0), rate: 200.0, rate_new: 100.0, ..Heard::default() };
    let panel = late(settings, &quiet);
    let mut within = true;
    let mut check = |what: &str, nanos: f64, most: f64| {
        println!("{what:<66} {nanos:>9.0} ns, at most {most:.0}");
        within &= nanos < most;
    };

    check("no new bad event", each(&panel, &[quiet]), 100.0);
    let failure = Heard { failed: 1, new: arm(10, 1), ..quiet };
    let calm = each(&panel, &std::iter::once(failure).chain(std::iter::repeat_n(quiet, 19)).collect::<Vec<_>>());
    check(
        "one failure of the new version in 400 requests, within the burst",
        calm * 20.0 - 19.0 * each(&panel, &[quiet]),
        50_000.0,
    );
    let worst = every_monitor(&failure);
    check("news for every monitor in every slice, beyond every burst", each(&ill(&panel, &worst), &[worst]), 50_000.0);
    let one = Heard { due: 1, resolved: 1, new: arm(1, 0), old: Arm::default(), ..quiet };
    let failed = Heard { failed: 1, new: arm(1, 1), ..one };
    let mix: Vec<Heard> = std::iter::once(failed).chain(std::iter::repeat_n(one, 99)).collect();
    let nanos = each(&ill(&panel, &failure), &mix);
    check("a request, each heard by itself, one in 100 fails", nanos, 10_000.0);
    println!("that is {:.0} requests a second", 1e9 / nanos);
    assert!(within, "slower than it must be");
}

/// Answers of a version.
fn arm(resolved: u64, failed: u64) -> Arm {
    Arm { resolved, failed, ..Arm::default() }
}

/// The same slice with slow answers beside the failure, so that no monitor can be left out.
fn every_monitor(failure: &Heard) -> Heard {
    let slower = |arm: Arm, beyond: [u64; 3]| Arm { slow: 1, timed: 9, beyond, ..arm };
    Heard { slow: 2, new: slower(failure.new, [9, 9, 9]), old: slower(failure.old, [4, 1, 0]), ..*failure }
}

/// A panel in the last tenth of its time, when all its processes have begun.
fn late(settings: Settings, quiet: &Heard) -> Panel {
    let mut panel = Panel::new(settings);
    for _ in 0..settings.max_slices {
        panel.hear(quiet);
    }
    panel
}

/// The same after an outage, so that every process has seen more than health allows it.
fn ill(panel: &Panel, failure: &Heard) -> Panel {
    let mut panel = panel.clone();
    let outage = Heard { failed: 20, new: arm(10, 10), old: arm(10, 10), ..*failure };
    for _ in 0..200 {
        panel.hear(&outage);
    }
    panel
}

/// Nanoseconds of an update, in the best batch.
fn each(panel: &Panel, heard: &[Heard]) -> f64 {
    let batch = || {
        let mut panel = panel.clone();
        let before = Instant::now();
        for slice in heard.iter().cycle().take(BATCH as usize) {
            black_box(panel.hear(black_box(slice)));
        }
        before.elapsed().as_nanos() as f64 / f64::from(BATCH)
    };
    (0..BATCHES).map(|_| batch()).fold(f64::INFINITY, f64::min)
}
