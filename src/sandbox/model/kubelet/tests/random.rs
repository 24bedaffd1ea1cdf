use super::*;

/// A pod of an init container, a sidecar and two others, whose processes, probes and images behave as `seed` has it.
fn lab(seed: u64) -> Lab {
    let probe = |period: i64| json!({"tcpSocket": {"port": 80}, "periodSeconds": period, "failureThreshold": 2});
    let restart = ["Always", "OnFailure", "Never"][usize::try_from(seed % 3).unwrap()];
    let mut object = pod(json!({}), json!({"restartPolicy": restart}));
    object["spec"]["initContainers"] = json!([
        {"name": "i", "image": "web:1"},
        {"name": "s", "image": "web:1", "restartPolicy": "Always", "startupProbe": probe(1)},
    ]);
    object["spec"]["containers"] = json!([
        {"name": "x", "image": "web:1", "livenessProbe": probe(2), "lifecycle": {"preStop": {"sleep": {"seconds": seed % 7}}}},
        {"name": "y", "image": "web:1", "readinessProbe": probe(1), "lifecycle": {"postStart": {"exec": {"command": ["a"]}}}},
    ]);
    let mut lab = Lab::new(object);
    lab = lab.starts(move |name, attempt| {
        let roll = mix(seed, &(name, attempt));
        let long = i64::try_from(roll / 16 % 60_000).unwrap();
        match roll % 16 {
            0 => Start::Fails(StartError::Config("no".into())),
            1 => Start::Fails(StartError::Exec("no".into())),
            2..=5 => Start::RunsFor(long, Exit::Code(1)),
            6..=8 => Start::RunsFor(long, Exit::Code(0)),
            _ if name == "i" => Start::RunsFor(long / 10, Exit::Code(0)),
            _ => Start::Runs,
        }
    });
    lab = lab.probes(move |kind, now| match mix(seed, &(kind.name(), now / 1000)) % 5 {
        0 => ProbeResult::Failure("refused".into()),
        1 => ProbeResult::Error("odd".into()),
        _ => ProbeResult::Success,
    });
    lab.pull = if mix(seed, &"pull").is_multiple_of(8) { Pull::Unknown } else { Pull::Available };
    lab.hook_result = if seed.is_multiple_of(5) { Err("no".into()) } else { Ok(()) };
    lab.hook_takes = i64::try_from(seed % 11 * 300).unwrap();
    lab.on_term = (!seed.is_multiple_of(4)).then_some((i64::try_from(seed % 5 * 900).unwrap(), Exit::Signal(15)));
    lab
}

/// A number that depends on all of its arguments and looks like none of them.
fn mix(seed: u64, of: &impl std::fmt::Debug) -> u64 {
    let start = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xcbf2_9ce4_8422_2325;
    let hash = format!("{of:?}").bytes().fold(start, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 20
}

#[test]
fn whatever_happens_a_pod_obeys_the_rules_of_its_life() {
    let mut ended_by_kill = 0;
    for seed in 0..200 {
        let mut lab = lab(seed);
        let deleted = i64::try_from(mix(seed, &"deleted") % 120_000).unwrap();
        let grace = i64::try_from(mix(seed, &"grace") % 20).unwrap();
        lab.run(deleted).delete(grace);
        // A start that was ordered, a grace period of at least one second, and two seconds after an overrun.
        lab.run(deleted + grace.max(1) * 1000 + 2_000);
        assert!(lab.machine.is_gone(), "seed {seed}: not gone {grace} s after {deleted}: {:#?}", lab.log);
        assert!(matches!(lab.status()["phase"].as_str(), Some("Succeeded" | "Failed")), "seed {seed}: {}", lab.status());

        let mut up = std::collections::BTreeMap::new();
        let mut termed = std::collections::BTreeMap::new();
        for (at, line) in &lab.log {
            let (what, of) = line.split_once(' ').unwrap_or((line, ""));
            let name = of.split('/').next().unwrap();
            match what {
                "up" => assert_eq!(up.insert(name, at), None, "seed {seed}: {name} runs twice at {at}"),
                "exit" => {
                    assert!(up.remove(name).is_some(), "seed {seed}: {line}, which was not up");
                    termed.remove(name);
                }
                "TERM" => assert_eq!(termed.insert(name, *at), None, "seed {seed}: {name} is told twice at {at}"),
                "KILL" => {
                    ended_by_kill += 1;
                    let since = at - termed[name];
                    assert!(since >= 2_000, "seed {seed}: {name} is killed {since} ms after TERM");
                }
                "start" => assert!(*at <= deleted, "seed {seed}: {line} at {at}, deleted at {deleted}"),
                "release" => assert!(up.is_empty(), "seed {seed}: the address goes while {up:?} are up"),
                _ => {}
            }
        }
    }
    assert!(ended_by_kill > 20, "{ended_by_kill}");
}
