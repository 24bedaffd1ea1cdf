use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn stages(list: &[(u64, f64)]) -> Vec<Stage> {
    list.iter().map(|(over, rate)| Stage { over: Duration::from_millis(*over), rate: *rate }).collect()
}

/// `due` and `due_by` answer each other for the slots from `from` on.
fn assert_inverse(pacer: &mut Pacer, slots: std::ops::Range<u64>, what: &str) {
    for i in slots {
        let due = pacer.due(i);
        if due == At(u64::MAX) {
            return;
        }
        assert!(pacer.due_by(due) > i, "{what}, slot {i}");
        assert!(due.0 == 0 || pacer.due_by(At(due.0 - 1)) <= i || pacer.due(0) == due, "{what}, slot {i}");
    }
}

#[test]
fn due_and_due_by_are_inverse_and_never_drift() {
    for rate in [0.1, 1.0, 3.0, 7.0, 199.9, 200.0, 5_000.0, 33_333.3] {
        let mut pacer = Pacer::constant(At(17), rate).unwrap();
        for i in (0..2_000).chain(1_000_000..1_000_100) {
            let due = pacer.due(i);
            assert!(pacer.due_by(due) > i, "rate {rate}, slot {i}");
            assert!(due == At(17) || pacer.due_by(At(due.0 - 1)) <= i, "rate {rate}, slot {i}");
        }
        assert_eq!(pacer.due_by(At(16)), 0);
    }
    assert_eq!(Pacer::constant(At(0), 200.0).unwrap().due(720_000), At(3_600_000_000));
}

#[test]
fn a_rate_that_is_no_rate_has_no_schedule() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Pacer::constant(At::ZERO, rate), None);
        assert_eq!(Pacer::staged(At::ZERO, 0.0, &stages(&[(5, rate)])), None);
    }
    assert!(!Pacer::constant(At::ZERO, 1.0).unwrap().change(At(5), -1.0));
}

#[test]
fn a_change_of_rate_goes_on_counting_where_the_old_rate_stood() {
    let mut fast = Pacer::constant(At(0), 1.0).unwrap();
    assert!(fast.change(At(2_500_000), 10.0));
    assert_eq!((fast.due(3), fast.due(4)), (At(2_550_000), At(2_650_000)));
    assert_eq!(fast.due_by(At(2_549_999)), 3);
    assert_eq!(fast.due_by(At(0)), 3);
}

#[test]
fn ever_so_many_changes_add_no_slots() {
    let mut pacer = Pacer::constant(At(5), 3.0).unwrap();
    for tenth in 1..=1_000_u64 {
        assert!(pacer.change(At(5 + tenth * 100_000), 3.0));
    }
    assert_eq!(pacer.due_by(At(5 + 100_000_000)), 301);
    let mut before_the_start = Pacer::constant(At(100), 3.0).unwrap();
    assert!(before_the_start.change(At(50), 6.0));
    assert_eq!(before_the_start, Pacer::constant(At(100), 6.0).unwrap());
}

#[test]
fn a_ramp_sends_the_area_under_its_line() {
    let mut ramp = Pacer::staged(At(0), 0.0, &stages(&[(10_000, 100.0)])).unwrap();
    assert_eq!((ramp.due_by(At(5_000_000)), ramp.due_by(At(10_000_000))), (126, 501), "t^2 * 5, and slot 0");
    assert_eq!((ramp.due(125), ramp.due(500), ramp.due(600)), (At(5_000_000), At(10_000_000), At(11_000_000)));
}

#[test]
fn steps_hold_their_rate_and_a_pause_sends_nothing() {
    let mut pacer =
        Pacer::staged(At(0), 10.0, &stages(&[(1_000, 10.0), (0, 0.0), (2_000, 0.0), (0, 50.0), (1_000, 50.0), (0, 0.0)])).unwrap();
    let by: Vec<u64> = (0..=5).map(|second| pacer.due_by(At(second * 1_000_000 + 999_999))).collect();
    assert_eq!(by, [10, 11, 11, 60, 61, 61]);
    assert_eq!((pacer.due(10), pacer.due(11), pacer.due(61)), (At(1_000_000), At(3_020_000), At(u64::MAX)));
}

#[test]
fn poisson_arrivals_are_the_same_for_a_seed_and_as_scattered_as_they_should_be() {
    let pacer = |seed| Pacer::constant(At(0), 1_000.0).unwrap().poisson(seed);
    let dues = |seed| (0..100).map(|i| pacer(seed).due(i)).collect::<Vec<_>>();
    assert_eq!(dues(7), dues(7));
    assert_ne!(dues(7), dues(8));
    let mut one = pacer(7);
    let counts: Vec<f64> =
        (1..=1_000_u64).map(|tenth| (one.due_by(At(tenth * 100_000)) - one.due_by(At((tenth - 1) * 100_000))) as f64).collect();
    let mean = counts.iter().sum::<f64>() / 1_000.0;
    let variance = counts.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 999.0;
    // 100 in a tenth on average, and as much variance: the mean is known to 0.3, the variance to 4.5.
    assert!((98.5..101.5).contains(&mean) && (80.0..120.0).contains(&variance), "mean {mean}, variance {variance}");
    assert_eq!(one.due(0), pacer(7).due(0), "an earlier slot can be asked for again");
}

#[test]
fn a_change_of_rate_loses_no_random_slot() {
    let mut fast = Pacer::constant(At(0), 10.0).unwrap().poisson(3);
    let at = At(3_000_000);
    let begun = fast.due_by(at);
    let gap = fast.due(begun).since(at).as_secs_f64();
    assert!(fast.change(at, 1_000.0));
    assert_eq!((fast.due_by(At(at.0 - 1)), fast.due_by(at)), (begun, begun));
    assert!((fast.due(begun).since(at).as_secs_f64() - gap / 100.0).abs() < 2e-6, "what was left of the interval is shortened");
}

proptest! {
    #[test]
    fn any_profile_is_invertible(
        rate in 0.0..300.0_f64,
        legs in prop::collection::vec((0_u64..3_000, prop_oneof![Just(0.0), 0.5..500.0_f64]), 0..6),
        seed in prop::option::of(0_u64..99),
    ) {
        if let Some(pacer) = Pacer::staged(At(1_000), rate, &stages(&legs)) {
            let mut pacer = if let Some(seed) = seed { pacer.poisson(seed) } else { pacer };
            assert_inverse(&mut pacer, 0..200, "any profile");
            let ends: Vec<u64> = (0..100).map(|tenth| pacer.due_by(At(tenth * 100_000))).collect();
            prop_assert!(ends.is_sorted(), "{:?}", ends);
        }
    }
}

#[test]
fn a_schedule_from_the_end_of_time_starts_with_its_first_rate_and_one_of_nothing_rests() {
    let mut pacer = Pacer::constant(At(u64::MAX), 10.0).unwrap();
    assert_eq!((pacer.due(0), pacer.due_by(At(5_000_000))), (At(u64::MAX), 0));
    assert!(pacer.change(At(1_000_000), 10.0));
    assert_eq!((pacer.due(0), pacer.due(1), pacer.due_by(At(1_250_000))), (At(1_000_000), At(1_100_000), 3));
    assert!(pacer.change(At(1_250_000), 0.0));
    assert_eq!((pacer.due(3), pacer.due_by(At(9_000_000))), (At(u64::MAX), 3));
    assert!(pacer.change(At(9_000_000), 1.0));
    assert_eq!((pacer.due(3), pacer.due(4)), (At(9_500_000), At(10_500_000)), "half an interval was over when it began to rest");
}

#[test]
fn slots_that_come_close_together_are_known_before_the_first_of_them() {
    let most = Duration::from_micros(450);
    // Every how-manieth slot, how many a second, and which slot is the last of those within 450 us of slot 12.
    for (of, rate, last) in
        [(1, 10.0, 12), (1, 2_000.0, 12), (1, 2_500.0, 13), (1, 5_000.0, 14), (2, 5_000.0, 14), (1, 100_000.0, 57)]
    {
        let mut pacer = Pacer::constant(At(17), rate).unwrap();
        let due = pacer.due(last);
        assert_eq!(pacer.together(12, of, most), due, "every {of}. of {rate}/s");
    }
    let mut ending = Pacer::staged(At(0), 5_000.0, &stages(&[(1_000, 5_000.0), (0, 0.0)])).unwrap();
    assert_eq!(ending.due(5_000), At(1_000_000));
    assert_eq!(ending.together(4_999, 1, most), ending.due(4_999) + most, "no longer, when no more come");
    let mut falling = Pacer::staged(At(0), 5_000.0, &stages(&[(1, 0.0)])).unwrap();
    assert!(falling.together(1, 1, most) <= falling.due(1) + most);
    let mut random = Pacer::constant(At(0), 5_000.0).unwrap().poisson(3);
    let (first, then) = (random.due(7), random.together(7, 1, most));
    assert_eq!(then.since(first), Duration::from_micros(400), "as many as are to be expected");
}
