//! The judge against vectors made by an independent implementation: `tests/vectors/verdict.json`, or the file that `VERIFIER_VECTORS`
//! names.

use serde_json::Value;

use super::bounds;
use super::confidence::{interval, is_certified, quantile_ranks};
use super::evidence::{AGAINST, FOR};
use super::monitor::Monitor;
use super::panel::{Alarm, Arm, Armed, Heard, Panel, Settings};

fn vectors() -> Value {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/verdict.json").to_owned();
    let path = std::env::var("VERIFIER_VECTORS").unwrap_or(own);
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))).unwrap()
}

fn rows(name: &str) -> Vec<Value> {
    let rows = vectors()[name].as_array().unwrap_or_else(|| panic!("no rows `{name}`")).clone();
    assert!(!rows.is_empty());
    rows
}

fn f(v: &Value) -> f64 {
    v.as_f64().unwrap_or_else(|| panic!("{v} is no number"))
}

fn u(v: &Value) -> u64 {
    v.as_u64().unwrap_or_else(|| panic!("{v} is no count"))
}

#[track_caller]
fn close(got: f64, want: f64, what: &impl std::fmt::Display) {
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "got {got}, want {want}: {what}");
}

#[test]
fn the_primitive_against_health() {
    for row in rows("primitive_fail") {
        close(AGAINST.log_e(u(&row["S"]), u(&row["n"]), f(&row["A"])), f(&row["log_e"]), &row);
    }
}

#[test]
fn the_primitive_for_health() {
    for row in rows("primitive_pass") {
        let n = u(&row["n"]);
        close(FOR.log_e(u(&row["S"]), n, n as f64 * f(&row["p0"])), f(&row["log_e"]), &row);
    }
}

fn is_bad(row: &Value) -> Vec<bool> {
    let mut bad = Vec::new();
    for pair in row["rle_good_bad"].as_array().into_iter().flatten() {
        bad.extend(std::iter::repeat_n(false, usize::try_from(u(&pair[0])).unwrap()));
        bad.extend(std::iter::repeat_n(true, usize::try_from(u(&pair[1])).unwrap()));
    }
    for part in row["lcg_seed_n_p"].as_array().into_iter().flatten() {
        let mut state = u(&part[0]);
        for _ in 0..u(&part[1]) {
            state = (1_664_525 * state + 1_013_904_223) % (1 << 32);
            bad.push((state as f64 / 4_294_967_296.0) < f(&part[2]));
        }
    }
    bad
}

#[test]
fn sequences_stop_at_the_same_request() {
    for row in rows("sequences") {
        let restart = row["restart_every"].as_u64();
        let limit = (1.0 / f(&row["alpha"])).ln();
        let mut monitor = Monitor::of_rate(f(&row["p0"]));
        monitor.tolerate(f(&row["b"]));
        let (mut stopped, mut highest, mut last) = (None, f64::NEG_INFINITY, 0.0);
        for (i, bad) in (0u64..).zip(is_bad(&row)) {
            if restart.is_some_and(|r| i > 0 && i % r == 0) {
                monitor.restart();
            }
            monitor.add(1, u64::from(bad), 0.0);
            last = monitor.weigh(0);
            highest = f64::max(highest, last);
            if let Some(want) = row["expect"]["probes"].get((i + 1).to_string()) {
                close(last, f(want), &row["name"]);
            }
            if last >= limit {
                stopped = Some(i + 1);
                break;
            }
        }
        assert_eq!(stopped, row["expect"]["stop_index"].as_u64(), "{}", row["name"]);
        match stopped {
            Some(_) => close(last, f(&row["expect"]["log_e_at_stop"]), &row["name"]),
            None => close(last, f(&row["expect"]["log_e_end"]), &row["name"]),
        }
        if stopped.is_none() {
            let want = f(&row["expect"]["max_log_e"]);
            assert!(highest <= want.max(0.0) + 1e-9, "{}: {highest}", row["name"]);
        }
    }
}

#[test]
fn comparisons_grow_alike() {
    for row in rows("compare") {
        let mut monitor = Monitor::of_batches();
        monitor.tolerate(f(&row["b"]));
        let limit = (1.0 / f(&row["alpha"])).ln();
        let mut failed = None;
        let slices = row["slices_nnew_nold_badnew_badold_badunknown"].as_array().unwrap();
        for (i, (slice, want)) in (1u64..).zip(slices.iter().zip(row["log_e_after_each"].as_array().unwrap())) {
            let [new, old, bad_new, bad_old, unknown] = [0, 1, 2, 3, 4].map(|k| u(&slice[k]));
            if new > 0 && old > 0 {
                let weighted = f(&row["c"]) * new as f64;
                let bad = bad_new + bad_old + unknown;
                monitor.add(bad, bad_new, bad as f64 * weighted / (weighted + old as f64));
            }
            let log_e = monitor.weigh(0);
            close(log_e, f(want), &row["name"]);
            if log_e >= limit {
                failed = failed.or(Some(i));
            }
        }
        assert_eq!(failed, row["failed_at_slice"].as_u64(), "{}", row["name"]);
    }
}

#[test]
fn confidence_sequences_and_quantile_ranks() {
    for row in rows("cs") {
        let (lower, upper) = interval(u(&row["S"]), u(&row["n"]), f(&row["alpha"]));
        close(lower, f(&row["lower"]), &row);
        close(upper, f(&row["upper"]), &row);
    }
    for row in rows("quantile_ranks") {
        let ranks = quantile_ranks(u(&row["n"]), f(&row["q"]), f(&row["alpha"]));
        assert_eq!(ranks, (u(&row["rank_lo"]), u(&row["rank_hi"])), "{row}");
    }
}

#[test]
fn sample_sizes() {
    for row in rows("min_n_zero_bad") {
        let (n, p0, beta) = (u(&row["n"]), f(&row["p0"]), f(&row["beta"]));
        assert!(is_certified(0, n, p0, beta) && !is_certified(0, n - 1, p0, beta), "{row}");
        assert_eq!(super::confidence::missing(0, 0, p0, beta), n);
    }
    for row in rows("max_consecutive_bad") {
        let limit = (1.0 / f(&row["alpha"])).ln();
        let over = |m: u64| {
            let mut monitor = Monitor::of_rate(f(&row["p0"]));
            monitor.tolerate(f(&row["b"]));
            monitor.add(m, m, 0.0);
            monitor.weigh(0) >= limit
        };
        let m = u(&row["m"]);
        assert!(over(m) && !over(m - 1), "{row}");
    }
}

#[test]
fn budgets_in_integers() {
    for row in rows("budget") {
        let [num, den] = [0, 1].map(|i| u(&row["slo"][i]));
        let ppm = crate::domain::objective::Ppm(u32::try_from(num * 1_000_000 / den).unwrap());
        let allowed = ppm.allowed(u(&row["n_due"]).max(u(&row["n_plan"])));
        assert_eq!((allowed, u(&row["bad"]) > allowed), (u(&row["allowed"]), row["exhausted"].as_bool().unwrap()), "{row}");
    }
}

#[test]
fn physical_bounds() {
    for row in rows("bounds") {
        let [p0, p1, alpha, beta, b] = ["p0", "p1", "alpha", "beta", "b"].map(|k| f(&row[k]));
        let mean = bounds::mean_requests(p0, p1, alpha, beta, b);
        close(mean, f(&row["mean_requests"]), &row);
        close(mean / (f(&row["rate"]) * f(&row["share"])), f(&row["mean_seconds"]), &row);
        assert_eq!(bounds::quantile_requests(p0, p1, alpha, 0.05, b), u(&row["q95_requests"]), "{row}");
    }
    for row in rows("bad_event_bounds_compare") {
        let [p_old, p1, c, alpha, beta, rate, share] = ["p_old", "p1", "c", "alpha", "beta", "rate", "share"].map(|k| f(&row[k]));
        close(bounds::compare_seconds(p_old, p1, c, alpha, beta, rate, share), f(&row["seconds"]), &row);
    }
    for row in rows("burst_allowance") {
        let tau = 0.25 * f(&row["p0"]) * f(&row["t_ref_s"]);
        close(Settings::burst(tau, f(&row["rate"])), f(&row["b"]), &row);
    }
}

#[test]
fn whole_rollouts_end_alike() {
    for row in rows("engine") {
        let cfg = &row["cfg"];
        let p0 = 1.0 - f(&cfg["slo_num"]) / f(&cfg["slo_den"]);
        let settings = Settings {
            p0,
            p_slow: None,
            alpha: f(&cfg["alpha"]),
            beta: f(&cfg["beta"]),
            monitors: u32::try_from(u(&cfg["monitors"])).unwrap(),
            tau_all: f(&cfg["tau_all_s"]),
            tau_new: f(&cfg["tau_new_s"]),
            c: f(&cfg["c"]),
            delta: f(&cfg["delta"]),
            max_slices: u(&cfg["t_max_slices"]),
            armed: Armed::ALL,
        };
        close(settings.threshold(), f(&row["threshold"]), &row["name"]);
        let ended = play(&row, settings);
        let want = (row["verdict"].as_str().unwrap(), row["reason"].as_str().unwrap(), u(&row["at_slice"]));
        assert_eq!((ended.0, ended.1.as_str(), ended.2), want, "{}", row["name"]);
        let (relative, absolute) = ended.3.compare_parts();
        let wealth = &row["log_wealth_at_end"];
        close(ended.3.log_w(Alarm::AvailabilityAll), f(&wealth["availability.all"]), &row["name"]);
        close(ended.3.log_w(Alarm::AvailabilityNew), f(&wealth["availability.new"]), &row["name"]);
        close(relative, f(&wealth["compare.relative"]), &row["name"]);
        close(absolute, f(&wealth["compare.absolute"]), &row["name"]);
    }
}

/// Plays the slices of an engine row: exact budget first, then the monitors, then the certificate, then the deadline.
fn play(row: &Value, settings: Settings) -> (&'static str, String, u64, Panel) {
    let cfg = &row["cfg"];
    let slo = crate::domain::objective::Ppm(u32::try_from(u(&cfg["slo_num"]) * 1_000_000 / u(&cfg["slo_den"])).unwrap());
    let mut panel = Panel::new(settings);
    let (mut due, mut failed, mut slice) = (0, 0, 0);
    for block in row["blocks"].as_array().unwrap() {
        for _ in 0..u(&block["repeat"]) {
            for step in block["pattern"].as_array().unwrap() {
                for _ in 0..u(&step[1]) {
                    let s = &step[0];
                    let arm = |who: &str| Arm {
                        resolved: u(&s[format!("res_{who}")]),
                        failed: u(&s[format!("fail_{who}")]),
                        ..Arm::default()
                    };
                    let heard = Heard {
                        due: u(&s["due"]),
                        resolved: u(&s["resolved"]),
                        failed: u(&s["fail"]),
                        slow: 0,
                        new: arm("new"),
                        old: arm("old"),
                        rate: f(&s["lam_all"]),
                        rate_new: f(&s["lam_new"]),
                    };
                    slice += 1;
                    due += heard.due;
                    failed += heard.failed;
                    let alarm = panel.hear(&heard);
                    if failed > slo.allowed(due.max(u(&cfg["n_plan"]))) {
                        return ("FAIL", "budget".into(), slice, panel);
                    }
                    if let Some(alarm) = alarm {
                        return ("FAIL", alarm.label().into(), slice, panel);
                    }
                    if s["done"] == true && failed <= slo.allowed(due) && panel.is_certified() {
                        return ("PASS", "certified".into(), slice, panel);
                    }
                    if slice >= settings.max_slices {
                        return ("INCONCLUSIVE", "deadline".into(), slice, panel);
                    }
                }
            }
        }
    }
    panic!("{} ran out of slices", row["name"]);
}
