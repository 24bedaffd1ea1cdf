use super::*;

#[test]
fn nothing_said_means_the_usual() {
    for text in ["", "{}", " \n"] {
        assert_eq!(PolicySpec::parse(text), Ok(PolicySpec::default()), "{text:?}");
    }
    assert_eq!(PolicySpec::read(json!({})), Ok(PolicySpec::default()));
    let usual = PolicySpec::default();
    assert_eq!((usual.guard, usual.rate(), usual.promise()), (Guard::None, 20.0, Ppm(990_000)));
    assert_eq!((usual.probing.every, usual.freeze_when, usual.way()), (Duration::from_secs(10), None, Way::Ingress(None)));
    let scenario = usual.scenario("todo", "backend").unwrap();
    assert_eq!((&*scenario.target.namespace, &*scenario.target.deployment), ("todo", "backend"));
    assert!(scenario.when.is_empty() && scenario.observe.is_some_and(|o| !o.wait && !o.endless));
    assert_eq!(scenario.then[0].to_string(), "availability >= 99%");
    assert!(scenario.traffic.lanes.values().all(|lane| lane.entry == scenario::Entry::Ingress));
}

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = "then: [availability >= 99.9%, p99 < 300ms]\nguard: hold\npath: /api/todos\nlanes: {fresh: {rate: 50}}\nsoak: 3s\n\
                probing: {every: 1m30s}\nfreezeWhen: budget < 10%\nservice: backend\n";
    let json = json!({"then": ["availability >= 99.9%", "p99 < 300ms"], "guard": "hold", "path": "/api/todos",
        "lanes": {"fresh": {"rate": 50}}, "soak": "3s", "probing": {"every": "1m30s"}, "freezeWhen": "budget < 10%",
        "service": "backend"});
    let spec = PolicySpec::parse(yaml).unwrap();
    assert_eq!(PolicySpec::parse(&json.to_string()).as_ref(), Ok(&spec));
    assert_eq!(PolicySpec::read(json).as_ref(), Ok(&spec));
    assert_eq!((spec.guard, spec.rate(), spec.promise()), (Guard::Hold, 50.0, Ppm(999_000)));
    assert_eq!((spec.probing.every, spec.way()), (Duration::from_secs(90), Way::Service(Some("backend".into()))));
    let scenario = spec.scenario("a", "b").unwrap();
    assert_eq!((&*scenario.traffic.path, scenario.soak, scenario.traffic.lanes.len()), ("/api/todos", spec.soak, 1));
    assert_eq!(scenario.traffic.lanes["fresh"].entry, scenario::Entry::Service);
}

#[test]
fn what_is_written_down_is_read_again() {
    let text = "then: [kept.p99.9 < 1500ms]\nlanes: {fresh: {rate: 0.5}, kept: {rate: 500, path: /slow}}\nsoak: 90s\n\
                deadline: 24h\nfreezeWhen: budget<2.5%\ningress: web\nprobing: {every: 1500ms}\n";
    let spec = PolicySpec::parse(text).unwrap();
    let written = serde_json::to_value(&spec).unwrap();
    assert_eq!(
        (&written["soak"], &written["deadline"], &written["probing"]),
        (&json!("1m30s"), &json!("24h"), &json!({"every": "1s500ms"}))
    );
    assert_eq!((&written["freezeWhen"], &written["then"]), (&json!("budget < 2.5%"), &json!(["kept.p99.9 < 1s 500ms"])));
    assert_eq!(PolicySpec::read(written), Ok(spec));
}

#[test]
fn where_requests_enter_is_what_was_named() {
    let way = |text: &str| format!("{:?}", PolicySpec::parse(text).map(|spec| format!("{:?}", spec.way())));
    for (text, said) in [
        ("entry: ingress", "Ingress(None)"),
        ("entry: service", "Service(None)"),
        ("ingress: web", "Ingress(Some"),
        ("{entry: service, service: web}", "Service(Some"),
        ("{entry: service, ingress: web}", "not `service`"),
        ("{entry: ingress, service: web}", "not `ingress`"),
        ("{ingress: web, service: web}", "not both"),
        ("entry: pods", "pods"),
        ("service: other/web", "a name has lower-case letters"),
    ] {
        assert!(way(text).contains(said), "{text}: {}", way(text));
    }
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let cases = [
        ("gard: hold", "gard"),
        ("guard: pray", "pray"),
        ("then: [uptime >= 99%]", "unknown objective `uptime`"),
        ("then: []", "without an objective"),
        ("then: [kept.p99 < 1s]\nlanes: {fresh: {rate: 1}}", "unknown lane `kept`"),
        ("path: todos", "begins with `/`"),
        ("path: '/a b'", "neither spaces"),
        ("url: http://elsewhere/", "url"),
        ("namespace: elsewhere", "namespace"),
        ("lanes: {fresh: {rate: 501}}", "lane `fresh`: a rate is above 0 and at most 500 requests a second, not 501"),
        ("lanes: {fresh: {rate: 0}}", "lane `fresh`"),
        ("lanes: {fresh: {rate: .nan}}", "lane `fresh`"),
        ("lanes: {slow: {rate: 1}}", "lane `slow`: lanes are named `fresh`, `kept`, `stream`"),
        ("lanes: {fresh: {path: slow}}", "begins with `/`"),
        ("lanes: {}", "at least one lane"),
        ("soak: soon", "is no duration"),
        ("soak: 2h", "from 0s to 1h"),
        ("{soak: 10s, deadline: 10s}", "must be longer than the `soak`"),
        ("deadline: 25h", "from 1s to 24h"),
        ("probing: {every: 999ms}", "`probing.every` is 999ms: it must be a duration from 1s to 10m"),
        ("freezeWhen: budget > 10%", "`budget < 10%`"),
        ("{", ""),
    ];
    for (text, word) in cases {
        let error = PolicySpec::parse(text).unwrap_err();
        assert!(error.contains(word) && !error.contains('\n'), "{text}: {error}");
    }
    assert!(PolicySpec::parse(&" ".repeat(MAX_BYTES + 1)).unwrap_err().contains("more than a policy may have"));
    let many = json!({"then": vec!["p99 < 1s"; MAX_OBJECTIVES + 1]});
    assert!(PolicySpec::read(many).unwrap_err().contains("at most 32 objectives"));
}
