//! `verifier simulate`: a few hundred rollouts in virtual time.

use super::verifier;

#[test]
fn a_few_hundred_rollouts_are_the_same_for_a_seed_and_hold_what_is_promised() {
    let one = || verifier(&["simulate", "--seed", "7", "--rollouts", "100", "--only", "new/200/50/100", "-o", "json"]);
    let (first, second) = (one(), one());
    assert_eq!((first.code(), &first.stdout), (0, &second.stdout), "{}", first.stderr);
    let tables: serde_json::Value = serde_json::from_str(&first.stdout).unwrap();
    let row = &tables["delays"][0];
    assert_eq!((&tables["seed"], &row["rollouts"], &row["missed"]), (&7.into(), &100.into(), &0.into()), "{}", first.stdout);
    assert!(row["times_the_bound"].as_f64().is_some_and(|times| times < 3.5), "{}", first.stdout);

    let healthy = verifier(&["simulate", "--seed", "7", "--rollouts", "100", "--only", "pod-ends-4"]);
    assert_eq!(healthy.code(), 0, "{}", healthy.stderr);
    assert!(healthy.stdout.contains("  pod-ends-4       100      100        0"), "{}", healthy.stdout);
    assert!(healthy.stderr.contains("100 rollouts") && healthy.stderr.contains("seed 7"), "{}", healthy.stderr);
}

#[test]
fn a_row_that_there_is_not_is_answered_with_those_there_are() {
    let ended = verifier(&["simulate", "--only", "nonsense"]);
    assert_eq!(ended.code(), 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("no row is named like `nonsense`") && ended.stderr.contains("healthy/quiet"), "{}", ended.stderr);
}
