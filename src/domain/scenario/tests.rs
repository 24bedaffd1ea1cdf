use super::*;

const GOOD: &str = "\
name: rolling
about: |
  Shows something.
target: {deployment: backend, namespace: todo}
given:
  apply: [k8s/todo/backend]
  healthy_for: 4s
traffic:
  path: /api/todos
  lanes:
    fresh: {rate: 200}
    kept: {rate: 100, connections: 5}
when:
  - set: {image: 'todo/backend:v2', env: {ERROR_RATIO: '0.3'}}
  - wait: 3s
  - wait: rollout
  - restart
  - scale: 10
then:
  - availability >= 99%
  - kept.p99 < 500ms
expect: {verdict: breach, because: [availability]}
";

fn good() -> Scenario {
    parse("good.yaml", GOOD, &[]).unwrap_or_else(|e| panic!("{e}"))
}

fn error(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    parse("s.yaml", &GOOD.replace(from, to), &[]).unwrap_err().to_string()
}

#[test]
fn a_scenario_reads_as_given_when_then() {
    let s = good();
    assert_eq!(s.target, Target { deployment: "backend".into(), namespace: "todo".into() });
    assert_eq!(s.given.healthy_for, Duration::from_secs(4));
    assert_eq!(
        s.when[1..],
        [Step::Wait(Wait::For(Duration::from_secs(3))), Step::Wait(Wait::Rollout), Step::Restart, Step::Scale(10)]
    );
    assert_eq!(s.then[1].to_string(), "kept.p99 < 500ms");
    let again = serde_json::to_string(&s).unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&again).unwrap(), s, "a recording holds the scenario whole");
}

#[test]
fn a_broken_scenario_names_file_line_fault_and_the_nearest_valid_word() {
    assert_eq!(error("healthy_for", "heatlhy_for"), "s.yaml:7:3: unknown field `heatlhy_for`, did you mean `healthy_for`?");
    assert_eq!(error("  - restart", "  - restrat"), "s.yaml:17:5: unknown word `restrat`, did you mean `restart`?");
    assert_eq!(error("healthy_for: 4s", "healthy_for: soon"), "s.yaml:7:16: `soon` is no duration, as in `1m30s` or `250ms`");
    assert_eq!(
        error("- availability >= 99%", "- avalability >= 99%"),
        "s.yaml:20:5: unknown objective `avalability`, did you mean `availability`?"
    );
    assert_eq!(error("kept.p99", "keep.p99"), "s.yaml:19:1: unknown lane `keep`, did you mean `kept`?");
    assert_eq!(error("rate: 200", "rate: 0"), "s.yaml:11:13: lane `fresh`: a rate is above 0 and at most 20000 a second");
    assert_eq!(error("wait: rollout", "wait: rolout"), "s.yaml:16:11: `rolout` is neither `rollout` nor a duration such as `3s`");
    assert_eq!(
        error("name: rolling", "name: Rolling Update"),
        "s.yaml:1:1: `Rolling Update` is no name: lower-case letters, digits and dashes, at most 63"
    );
    assert_eq!(
        error("verdict: breach", "verdict: bad"),
        "s.yaml:22:19: unknown word `bad`, valid are pass, breach, inconclusive, superseded, aborted"
    );
    let syntax = error("    fresh: {rate: 200}", "    fresh: {rate: 200");
    assert!(syntax.starts_with("s.yaml:1"), "{syntax}");
    assert!(parse("big.yaml", &" ".repeat(300_000), &[]).unwrap_err().message.contains("bytes are more"));
}

#[test]
fn settings_override_what_exists_and_nothing_else() {
    let set = |s: &str| parse("s.yaml", GOOD, &[s.to_owned()]);
    assert!((set("traffic.lanes.fresh.rate=50").unwrap().traffic.lanes["fresh"].rate - 50.0).abs() < 1e-9);
    assert_eq!(set("when.4.scale=3").unwrap().when[4], Step::Scale(3));
    assert_eq!(set("then.0=availability >= 99.9%").unwrap().then[0].to_string(), "availability >= 99.9%");
    assert_eq!(
        set("traffic.lanes.frsh.rate=50").unwrap_err().to_string(),
        "s.yaml: --set traffic.lanes.frsh.rate=50: unknown key `frsh`, did you mean `fresh`?"
    );
    assert!(set("soak=never").unwrap_err().message.contains("`never` is no duration"));
}
