use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use verifier::sandbox::wire::keeper::{Ending, Keeper, Report, Spawn};

use super::{DEADLINE, command_line, eventually, processes_with, program};

/// A process, a child of it, one in a session of its own whose parent is gone, and one that has hidden its environment, too.
const FAMILY: &str = "sleep 1001 & setsid sh -c 'sleep 1002 & exit' & env -i sleep 1003 & \
                      trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";

fn shell(script: &str, mark: &str) -> Spawn {
    let path = std::env::var("PATH").unwrap();
    let (name, value) = mark.split_once('=').unwrap();
    Spawn {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: BTreeMap::from([("PATH".to_owned(), path), (name.to_owned(), value.to_owned())]),
        directory: None,
    }
}

/// A variable by which the processes of one test are found.
fn mark(test: &str) -> String {
    format!("KEEPER_TEST={test}-{}", std::process::id())
}

struct Lab {
    keeper: Keeper,
    reports: mpsc::Receiver<Report>,
}

impl Lab {
    fn start() -> Self {
        let (sender, reports) = mpsc::channel(100);
        Self { keeper: Keeper::start(&program(), sender).unwrap(), reports }
    }

    async fn next(&mut self) -> Report {
        tokio::time::timeout(DEADLINE, self.reports.recv()).await.expect("a report in time").expect("a report")
    }

    async fn started(&mut self, id: u64, spawn: Spawn) -> i32 {
        self.keeper.processes().spawn(id, spawn).unwrap();
        match self.next().await {
            Report::Started { id: of, pid } if of == id => pid,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the process has written `text`.
    async fn wrote(&self, id: u64, text: &str) {
        eventually(async || {
            let output = self.keeper.processes().output(id, 0).await;
            if output.as_ref().is_some_and(|o| o.text.contains(text)) { Ok(()) } else { Err(format!("{output:?}")) }
        })
        .await;
    }
}

/// Waits until `count` processes bear the mark.
async fn family(mark: &str, count: usize) -> Vec<(i32, String)> {
    eventually(async || {
        let found = processes_with(mark);
        if found.len() >= count { Ok(found) } else { Err(format!("{found:?}")) }
    })
    .await
}

async fn nobody_left(mark: &str, and: &[i32]) {
    eventually(async || {
        let mut left = processes_with(mark);
        left.extend(and.iter().map(|pid| (*pid, command_line(*pid))).filter(|(_, line)| line == "sleep 1003"));
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await;
}

/// The processes of a family that have no mark to be found by, but are in the process group of their main process; waits until there is one.
async fn hiding(main: i32) -> Vec<i32> {
    eventually(async || {
        let found = without_mark(main);
        if found.is_empty() { Err(format!("nobody hides in the group of {main}")) } else { Ok(found) }
    })
    .await
}

fn without_mark(main: i32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids = entries.filter_map(|e| e.unwrap().file_name().to_str()?.parse::<i32>().ok());
    let in_group = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(2)?.parse().ok()) == Some(main)
    };
    pids.filter(in_group).filter(|pid| command_line(*pid) == "sleep 1003").collect()
}

#[tokio::test]
async fn processes_are_started_signalled_and_reaped_and_their_output_is_kept() {
    let mark = mark("plain");
    let mut lab = Lab::start();
    lab.started(1, shell("echo one; echo two >&2; exit 3", &mark)).await;
    assert_eq!(lab.next().await, Report::Exited { id: 1, how: Ending::Code(3) });
    let output = lab.keeper.processes().output(1, 0).await.unwrap();
    assert_eq!((output.text.as_str(), output.next), ("one\ntwo\n", 8));
    assert_eq!(lab.keeper.processes().output(1, 4).await.unwrap().text, "two\n");
    lab.keeper.processes().forget(1).unwrap();
    assert_eq!(lab.keeper.processes().output(1, 0).await, None);

    lab.started(2, shell("kill -9 $$", &mark)).await;
    assert_eq!(lab.next().await, Report::Exited { id: 2, how: Ending::Signal(9) });

    let nope = Spawn { argv: vec!["/nope".into(), "x".into()], ..shell("", &mark) };
    lab.keeper.processes().spawn(3, nope).unwrap();
    let error = "exec: \"/nope\": stat /nope: no such file or directory".to_owned();
    assert_eq!(lab.next().await, Report::Failed { id: 3, error });
    let directory = Spawn { argv: vec!["/tmp".into()], ..shell("", &mark) };
    lab.keeper.processes().spawn(4, directory).unwrap();
    assert_eq!(lab.next().await, Report::Failed { id: 4, error: "exec: \"/tmp\": permission denied".into() });
    lab.keeper.stop().await.unwrap();
}

#[tokio::test]
async fn a_process_with_no_handler_for_term_does_not_get_it_just_as_in_a_container() {
    let mark = mark("term");
    let mut lab = Lab::start();
    lab.started(1, shell("echo ready; while :; do sleep 0.05; done", &mark)).await;
    lab.wrote(1, "ready").await;
    lab.keeper.processes().term(1).unwrap();
    assert_eq!(lab.next().await, Report::TermIgnored { id: 1 });
    lab.keeper.processes().kill(1).unwrap();
    assert_eq!(lab.next().await, Report::Exited { id: 1, how: Ending::Signal(9) });

    lab.started(2, shell(FAMILY, &mark)).await;
    lab.wrote(2, "ready").await;
    lab.keeper.processes().term(2).unwrap();
    assert_eq!(lab.next().await, Report::Exited { id: 2, how: Ending::Code(7) });
    lab.keeper.stop().await.unwrap();
}

#[tokio::test]
async fn when_the_main_process_ends_all_that_came_from_it_is_gone_before_it_is_told() {
    let mark = mark("family");
    let mut lab = Lab::start();
    lab.started(1, shell("exec sleep 1000", &mark)).await;
    let main = lab.started(2, shell(FAMILY, &mark)).await;
    lab.wrote(2, "ready").await;
    family(&mark, 4).await;
    kill_process(Pid::from_raw(main).unwrap(), Signal::KILL).unwrap();
    assert_eq!(lab.next().await, Report::Exited { id: 2, how: Ending::Signal(9) });
    let left: Vec<_> = processes_with(&mark).into_iter().map(|(_, line)| line).collect();
    assert_eq!(left, ["sleep 1000"], "the other container is not touched");
    lab.keeper.stop().await.unwrap();
    nobody_left(&mark, &[]).await;
}

#[tokio::test]
async fn output_never_blocks_a_process_and_its_end_is_kept() {
    let mut lab = Lab::start();
    let script = "head -c 20000000 /dev/zero | tr '\\0' x; echo; echo done";
    lab.started(1, shell(script, &mark("output"))).await;
    assert_eq!(lab.next().await, Report::Exited { id: 1, how: Ending::Code(0) });
    let output = lab.keeper.processes().output(1, 0).await.unwrap();
    assert_eq!((output.text.len(), output.next, output.text.ends_with("x\ndone\n")), (64 << 10, 20_000_006, true));
    lab.keeper.stop().await.unwrap();
}

#[tokio::test]
async fn when_the_keeper_is_killed_its_processes_go_with_it_and_that_is_told() {
    let mark = mark("keeper");
    let mut lab = Lab::start();
    let main = lab.started(1, shell(FAMILY, &mark)).await;
    lab.wrote(1, "ready").await;
    let family = family(&mark, 4).await;
    let hidden = hiding(main).await;
    assert_eq!(hidden.len(), 1);
    let keeper = i32::try_from(lab.keeper.pid().unwrap()).unwrap();
    kill_process(Pid::from_raw(keeper).unwrap(), Signal::KILL).unwrap();
    assert_eq!(lab.next().await, Report::KeeperEnded { how: Some(Ending::Signal(9)) });
    let left = (processes_with(&mark), command_line(hidden[0]));
    assert_eq!(left, (vec![], String::new()), "of {family:?}");
    assert!(lab.keeper.processes().output(1, 0).await.is_none());
    assert!(lab.keeper.stop().await.unwrap_err().to_string().contains("Signal(9)"));
}

#[tokio::test]
async fn no_process_outlives_a_node_that_was_killed() {
    let mark = mark("node");
    // The node's part is played by this very program, started anew, so that it can be killed.
    let me = std::env::current_exe().unwrap();
    let mut node = Command::new(me)
        .args(["--exact", "node::keeper::a_node_to_be_killed", "--ignored", "--nocapture", "--test-threads=1"])
        .env("NODE_TO_BE_KILLED", &mark)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(node.stdout.take().unwrap()).lines();
    let ready = tokio::task::spawn_blocking(move || lines.find_map(|l| Some(l.unwrap().split_once("ready ")?.1.to_owned())));
    let ready = tokio::time::timeout(DEADLINE, ready).await.unwrap().unwrap().expect("the node got ready");
    let pids: Vec<i32> = ready.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let [keeper, mains @ ..] = pids.as_slice() else { panic!("{ready}") };
    let all = family(&mark, 8).await;
    let mut hidden = Vec::new();
    for main in mains {
        hidden.extend(hiding(*main).await);
    }
    assert!(hidden.len() == 2 && command_line(*keeper).contains("sandbox-keeper"), "{all:?} {hidden:?}");

    node.kill().unwrap();
    node.wait().unwrap();
    nobody_left(&mark, &hidden).await;
    eventually(async || if command_line(*keeper).is_empty() { Ok(()) } else { Err("the keeper is still there".to_owned()) }).await;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "its line of communication")]
#[ignore = "is started by no_process_outlives_a_node_that_was_killed, and killed"]
async fn a_node_to_be_killed() {
    let mark = std::env::var("NODE_TO_BE_KILLED").expect("to be started by another test");
    let mut lab = Lab::start();
    let mut mains = [0; 2];
    for (id, main) in (1..).zip(&mut mains) {
        *main = lab.started(id, shell(FAMILY, &mark)).await;
        lab.wrote(id, "ready").await;
    }
    println!("ready {} {}", lab.keeper.pid().unwrap(), mains.map(|m| m.to_string()).join(" "));
    tokio::time::sleep(Duration::from_mins(1)).await;
    panic!("nobody killed this node");
}
