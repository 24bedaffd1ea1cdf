//! A verifier that hardly gets to run, before a healthy service: the result may be worth nothing, but it never blames the service.

use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::*;

const INNER: &str = "load::tests::starved::inner_starved";
const RUNNING: Duration = Duration::from_millis(12);
const STOPPED: Duration = Duration::from_millis(88);

#[test]
fn a_verifier_with_an_eighth_of_a_processor_blames_nobody() {
    let server = Server::start(|peer, _| while peer.request().is_some() && peer.ok() {});
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--ignored", INNER]).env("STARVED_URL", server.url()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = Pid::from_child(&child);
    let clock = Clock::start();
    while child.try_wait().unwrap().is_none() && clock.now() < At::ZERO + DEADLINE * 2 {
        kill_process(pid, Signal::STOP).unwrap();
        std::thread::sleep(STOPPED);
        kill_process(pid, Signal::CONT).unwrap();
        std::thread::sleep(RUNNING);
    }
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "started, and stopped again and again, by a_verifier_with_an_eighth_of_a_processor_blames_nobody"]
fn inner_starved() {
    let url = std::env::var("STARVED_URL").unwrap();
    let bounds = |lane| LanePlan { timeout: Duration::from_millis(120), thresholds: vec![40_000], ..lane };
    let told = run(&plan([bounds(fresh(&url, 100.0)), bounds(kept(&url, 100.0, 4))]), 400);
    let counts = told.counts();
    assert_eq!(counts.of(Blame::Target), 0, "{:?}", told.failures);
    let slow: Vec<&Slice> = told.slices.iter().filter(|slice| slice.parts.iter().any(|part| part.slow != [0])).collect();
    assert!(slow.is_empty(), "{slow:?}");
    assert!(counts.get(Outcome::Unseen) + counts.get(Outcome::NotSent) > 50, "it was starved: {counts:?}");
    let away: u64 = told.validity.iter().map(|v| v.away).sum();
    assert!(away > 500_000, "and knows it: {away} us away");
}
