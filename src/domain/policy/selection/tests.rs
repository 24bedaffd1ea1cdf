use serde_json::json;

use super::*;

fn labels(text: &str) -> Labels {
    text.split(',').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (key.into(), value.into())).collect()
}

fn wish(text: &str) -> Wish {
    Wish { labels: labels(text), ..Wish::default() }
}

fn rule(name: &str, created: i64, spec: Value) -> Rule {
    let (whom, policy) = read(spec);
    Rule { key: Key::new("todo", name), uid: name.into(), created, generation: 1, whom, policy }
}

fn selector(spec: &str) -> Selector {
    serde_saphyr::from_str(spec).unwrap()
}

#[test]
fn a_selector_selects_as_kubectl_does() {
    let cases = [
        ("{}", "", true),
        ("{}", "a=1", true),
        ("{matchLabels: {a: '1'}}", "a=1,b=2", true),
        ("{matchLabels: {a: '1'}}", "a=2", false),
        ("{matchLabels: {a: '1'}}", "b=1", false),
        ("{matchLabels: {a: '1', b: '2'}}", "a=1", false),
        ("{matchExpressions: [{key: a, operator: In, values: ['1', '2']}]}", "a=2", true),
        ("{matchExpressions: [{key: a, operator: In, values: ['1', '2']}]}", "a=3", false),
        ("{matchExpressions: [{key: a, operator: In, values: ['1', '2']}]}", "", false),
        ("{matchExpressions: [{key: a, operator: NotIn, values: ['1']}]}", "a=1", false),
        ("{matchExpressions: [{key: a, operator: NotIn, values: ['1']}]}", "a=2", true),
        ("{matchExpressions: [{key: a, operator: NotIn, values: ['1']}]}", "", true),
        ("{matchExpressions: [{key: a, operator: Exists}]}", "a=", true),
        ("{matchExpressions: [{key: a, operator: Exists}]}", "b=1", false),
        ("{matchExpressions: [{key: a, operator: DoesNotExist}]}", "b=1", true),
        ("{matchExpressions: [{key: a, operator: DoesNotExist}]}", "a=1", false),
        ("{matchLabels: {a: '1'}, matchExpressions: [{key: b, operator: Exists}]}", "a=1", false),
        ("{matchLabels: {a: '1'}, matchExpressions: [{key: b, operator: Exists}]}", "a=1,b=", true),
    ];
    for (spec, has, selects) in cases {
        assert_eq!(selector(spec).selects(&labels(has)), selects, "{spec} of {has:?}");
    }
}

#[test]
fn a_policy_says_whom_it_asks_for_in_one_of_two_ways() {
    let whom = |spec: Value| read(spec).0;
    assert_eq!(whom(json!({"deployments": ["b", "a"]})), Ok(Whom::Named(["a".into(), "b".into()].into())));
    assert_eq!(whom(json!({"selector": {}})), Ok(Whom::Selected(Selector::default())));
    let cases = [
        (json!({}), "either `deployments` or a `selector`"),
        (json!({"deployments": ["a"], "selector": {}}), "either `deployments` or a `selector`"),
        (json!({"deployments": []}), "between 1 and 100"),
        (json!({"deployments": vec!["a"; 101]}), "between 1 and 100"),
        (json!({"deployments": ["a", "b", "a"]}), "twice"),
        (json!({"deployments": ["other/a"]}), "`deployments: other/a`: a name has"),
        (json!({"deployments": "a"}), "`deployments`: invalid type"),
        (json!({"selector": {"matchLabel": {}}}), "`selector`: unknown field `matchLabel`"),
        (json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}), "unknown variant `Is`"),
        (json!({"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}), "`In` and `NotIn` need `values`"),
        (json!({"selector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["1"]}]}}), "have none"),
        (json!({"selector": {"matchExpressions": vec![json!({"key": "a", "operator": "Exists"}); 33]}}), "at most 32 labels"),
        (json!("no"), "a `spec` with fields"),
    ];
    for (spec, words) in cases {
        let error = whom(spec.clone()).unwrap_err();
        assert!(error.contains(words), "{spec}: {error}");
    }
}

#[test]
fn whom_a_policy_asks_for_is_known_even_when_what_it_asks_makes_no_sense() {
    let wrong = rule("p", 1, json!({"deployments": ["a"], "guard": "pray"}));
    assert!(wrong.whom.is_ok() && wrong.wrong().unwrap().contains("pray"));
    assert_eq!(Rules::new([&wrong].into_iter()).choose("a", &Wish::default()), Some(Source::Policy("p".into())));
    let elsewhere = rule("p", 1, json!({"deployments": ["a"], "namespace": "other"}));
    assert!(elsewhere.wrong().unwrap().contains("namespace"));
    assert_eq!(rule("p", 1, json!({"selector": {}})).wrong(), None);
}

#[test]
fn the_annotation_comes_first_and_then_the_oldest() {
    let all = rule("all", 20, json!({"selector": {}}));
    let web = rule("web", 10, json!({"selector": {"matchLabels": {"app": "web"}}}));
    let named = rule("named", 10, json!({"deployments": ["backend"]}));
    let broken = rule("broken", 5, json!({"selector": {"matchExpressions": [{"key": "app", "operator": "In"}]}}));
    let rules = Rules::new([&all, &web, &named, &broken].into_iter());
    let policy = |name: &str| Some(Source::Policy(name.into()));
    let annotated = |text: &str, skip| Wish { annotation: Some(text.into()), skip, ..wish("app=web") };
    let cases = [
        ("any", wish(""), policy("all")),
        ("any", wish("app=web"), policy("web")),
        ("backend", wish(""), policy("named")),
        // As old as each other.
        ("backend", wish("app=web"), policy("named")),
        ("any", annotated("guard: hold", false), Some(Source::Annotation)),
        // One that says nothing asks for the usual.
        ("any", annotated("", false), Some(Source::Annotation)),
        ("any", annotated("guard: hold", true), None),
        ("any", Wish { skip: true, ..wish("app=web") }, None),
    ];
    for (name, wish, source) in cases {
        assert_eq!(rules.choose(name, &wish), source, "{name} with {wish:?}");
    }
    assert_eq!(Rules::new(std::iter::empty()).choose("any", &wish("")), None);
}

#[test]
fn each_policy_knows_what_it_has_and_to_whom_it_lost_the_rest() {
    let old = rule("old", 1, json!({"deployments": ["a", "b", "gone"]}));
    let young = rule("young", 2, json!({"selector": {}}));
    let wrong = rule("wrong", 0, json!({}));
    let rules = Rules::new([&young, &old, &wrong].into_iter());
    let deployments: Vec<(Name, Wish)> = vec![
        ("a".into(), Wish::default()),
        ("b".into(), Wish { annotation: Some("{}".into()), ..Wish::default() }),
        ("c".into(), Wish::default()),
        ("d".into(), Wish { skip: true, ..Wish::default() }),
    ];
    let claims = rules.claims(deployments.iter().map(|(name, wish)| (name, wish)));
    let found: BTreeMap<&str, Claim> = claims.into_iter().map(|(rule, claim)| (&*rule.key.name, claim)).collect();
    assert_eq!(found["old"], Claim { has: vec!["a".into()], annotated: 1, missing: vec!["gone".into()], ..Claim::default() });
    let lost = BTreeMap::from([("old".into(), 1)]);
    assert_eq!(found["young"], Claim { has: vec!["c".into()], lost, annotated: 1, skipped: 1, missing: vec![] });
    assert_eq!(found["wrong"], Claim::default());
}
