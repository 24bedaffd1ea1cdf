//! The scenarios of the repository, unchanged: each ends on a real cluster as its file says and as it does in the sandbox, with the same
//! findings, and takes away what it brought. What is left out here stands in [`LEFT_OUT`], with the reason.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use verifier::domain::verdict::VerdictKind;

use super::Real;
use crate::program::findings::{says_something, scenario};

/// Scenarios that only the sandbox can make, and why.
const LEFT_OUT: [(&str, &str); 1] = [(
    "autoscaler-surge",
    "an autoscaler sees nothing without a metrics server, which the cluster of tests/cluster does not have; and with one it sees new pods up \
     to a minute later than in the sandbox, when this run is over",
)];

/// What the field of each is in a list.
fn texts<'a>(list: &'a Value, field: &str) -> BTreeSet<&'a str> {
    list.as_array().unwrap().iter().filter_map(|item| item[field].as_str()).collect()
}

#[track_caller]
#[expect(clippy::print_stdout, reason = "how each one ended is for people to read")]
fn as_in_the_sandbox(name: &str) {
    let real = Real::take();
    let ended = says_something(|| {
        let ended = real.run(&["--scenario", name]);
        real.is_clean(&ended);
        ended
    });
    let summary = ended.summary();
    let (reasons, findings) = (texts(&summary["verdict"]["reasons"], "code"), texts(&summary["findings"], "code"));
    let measured = &summary["traffic"]["measured"];
    println!(
        "{name}: {} in {:.0} s, because of {reasons:?}, found {findings:?}; {} of {} requests failed",
        summary["verdict"]["verdict"],
        ended.took.as_secs_f64(),
        measured["bad"],
        measured["valid"]
    );
    let expect = scenario(name).expect.expect("each scenario says what it ends in");
    let code = match expect.verdict {
        VerdictKind::Pass => 0,
        VerdictKind::Breach => 1,
        VerdictKind::Inconclusive => 3,
        other => panic!("no scenario ends in {other:?}"),
    };
    assert_eq!((summary["as_expected"].as_bool(), ended.code()), (Some(true), code), "{}", ended.stderr);
    let found: BTreeSet<&str> = expect.findings.iter().map(String::as_str).collect();
    assert_eq!(findings, found, "the same is found as in the sandbox\n{}", ended.stderr);
}

macro_rules! scenarios {
    ($($test:ident $name:literal)*) => {
        $(
            #[test]
            #[ignore = "needs a real cluster, named by VERIFIER_TEST_KUBECONFIG"]
            fn $test() {
                as_in_the_sandbox($name);
            }
        )*

        #[test]
        fn no_scenario_is_left_out_but_for_a_reason() {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
            let there: BTreeSet<String> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
            let known = [$($name),*].into_iter().chain(LEFT_OUT.map(|(name, _)| name));
            assert_eq!(there, known.map(|name| format!("{name}.yaml")).collect());
        }
    };
}

scenarios! {
    rolling_update "rolling-update"
    scale_up_down "scale-up-down"
    ten_thousand_users "ten-thousand-users"
    error_burst "error-burst"
    slow_new_version "slow-new-version"
    abrupt_stop "abrupt-stop"
    short_prestop "short-prestop"
    short_grace "short-grace"
    keep_alive_race "keep-alive-race"
    lying_readiness "lying-readiness"
    flapping_readiness "flapping-readiness"
    liveness_kill "liveness-kill"
    slow_start "slow-start"
    recreate "recreate"
    single_replica "single-replica"
    bad_image "bad-image"
    crash_loop "crash-loop"
    out_of_memory "out-of-memory"
    unschedulable "unschedulable"
    quota "quota"
    late_deadline "late-deadline"
    sick_before "sick-before"
    admission_bad_version "admission-bad-version"
    admission_good "admission-good"
    admission_hangs "admission-hangs"
    admission_liar "admission-liar"
    admission_one_box "admission-one-box"
}
