//! A single request, through the code of a lane.

use super::*;
use crate::load::{Asker, JoinError, OnceError, Protocol, Question, once};

#[test]
fn a_single_request_tells_of_a_good_answer_all_that_a_failure_would() {
    let server = Server::start(|peer, _| {
        let asked = peer.request().unwrap_or_default();
        assert!(asked.contains("x-verifier-run: test\r\n") && asked.contains("connection: close\r\n"), "{asked}");
        peer.pause(Duration::from_millis(20));
        peer.say(
            "HTTP/1.1 200 OK\r\nX-Pod: p-1\r\nX-Version: v\"2\r\nServer: s\r\nSet-Cookie: secret\r\nContent-Length: 4\r\n\r\nab",
        );
        peer.pause(Duration::from_millis(20));
        peer.say("cd");
    });
    for plan in [kept(&server.url(), 100.0, 9), fresh(&format!("http://localhost:{}", server.addr.port()), 100.0)] {
        let report = ask(&plan);
        let phases = report.phases;
        let parts = [phases.dns, phases.connect, phases.first_byte, phases.last_byte].map(Option::unwrap_or_default);
        assert_eq!(phases.dns.is_some(), plan.mode == Mode::Fresh, "only a name is looked up");
        assert!(parts[2] >= 20_000 && parts[3] >= 15_000 && parts[1] > 0, "{phases:?}");
        assert!(phases.total >= parts[1] + parts[2] + parts[3], "{phases:?}");
        let headers = [("content-length", "4"), ("server", "s"), ("x-pod", "p-1"), ("x-version", "v\\\"2")];
        let expected = OnceReport {
            outcome: Outcome::Ok,
            status: Some(200),
            protocol: Some(Protocol::Http11),
            peer: Some(server.addr),
            tls: None,
            phases,
            pod: Some("p-1".into()),
            version: Some("v\"2".into()),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            note: String::new(),
        };
        assert_eq!(report, expected);
    }
    assert_eq!(server.accepted(), 2, "each is one request on one connection");
}

#[test]
fn a_single_request_that_fails_says_how_and_when() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = ask(&fresh(&format!("http://{gone}"), 1.0));
    assert_eq!((refused.outcome, refused.peer, refused.protocol), (Outcome::Refused, Some(gone), None));
    assert_eq!(refused.note, "connect: Connection refused (os error 111)");

    let server = Server::start(|peer, _| peer.hang());
    let slow = ask(&LanePlan { timeout: Duration::from_millis(200), ..fresh(&server.url(), 1.0) });
    assert_eq!((slow.outcome, slow.note.as_str()), (Outcome::ResponseTimeout, "no answer by the deadline"));
    assert!((200_000..1_500_000).contains(&slow.phases.total) && slow.phases.first_byte.is_none(), "{slow:?}");

    let nowhere = ask(&fresh("http://no-such-host.invalid/", 1.0));
    assert_eq!((nowhere.outcome, nowhere.peer), (Outcome::Dns, None));
    assert!(nowhere.note.starts_with("no-such-host.invalid: ") && nowhere.phases.dns.is_some(), "{nowhere:?}");
}

#[test]
fn a_request_that_cannot_be_sent_is_refused_before_anything_is() {
    let answer = block_on(once(&fresh("ftp://a/", 1.0), "test", Clock::start()));
    assert!(matches!(&answer, Err(OnceError::Lane(why)) if why.to_string().starts_with("lane `fresh`: ")), "{answer:?}");
}

#[test]
fn a_single_request_that_nobody_waits_for_is_ended() {
    let server = Server::start(|peer, _| peer.hang());
    let lane = LanePlan { timeout: Duration::from_mins(5), ..fresh(&server.url(), 1.0) };
    let clock = Clock::start();
    block_on(async {
        let given_up = tokio::time::timeout(Duration::from_millis(100), once(&lane, "test", clock)).await;
        assert!(given_up.is_err());
    });
    // Its thread was waited for.
    assert!(clock.now().since(At::ZERO) < DEADLINE);
}

#[test]
fn one_thread_sends_many_at_once_and_ends_what_nobody_waits_for() {
    let left = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let gone = left.clone();
    let silent = Server::start(move |peer, _| {
        peer.hang();
        gone.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let good = Server::start(|peer, _| {
        peer.request();
        peer.ok();
    });
    let question = |plan: LanePlan| Question::new(&plan, "test").unwrap();
    let slow = question(LanePlan { timeout: Duration::from_millis(500), ..fresh(&silent.url(), 1.0) });
    let never = question(LanePlan { timeout: Duration::from_mins(5), ..fresh(&silent.url(), 1.0) });
    let quick = question(fresh(&good.url(), 1.0));
    block_on(async {
        let clock = Clock::start();
        let asker = Asker::start(clock).unwrap();
        let slow_ones = futures_util::future::join_all((0..40).map(|_| asker.ask(&slow)));
        let quick_ones = futures_util::future::join_all((0..40).map(|_| asker.ask(&quick)));
        let (slow_ones, quick_ones) = tokio::join!(slow_ones, quick_ones);
        for (answers, wanted) in [(quick_ones, Outcome::Ok), (slow_ones, Outcome::ResponseTimeout)] {
            let outcomes: Vec<Outcome> = answers.into_iter().map(|one| one.unwrap().outcome).collect();
            assert_eq!(outcomes, [wanted; 40]);
        }
        assert!(clock.now().since(At::ZERO) < DEADLINE, "40 times half a second, side by side");

        for _ in 0..3 {
            let given_up = tokio::time::timeout(Duration::from_millis(50), asker.ask(&never)).await;
            assert!(given_up.is_err());
            // In the place that has become free.
            assert_eq!(asker.ask(&quick).await.unwrap().outcome, Outcome::Ok);
        }
        let closed = async {
            while left.load(std::sync::atomic::Ordering::SeqCst) < 43 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let told = tokio::time::timeout(DEADLINE, closed).await;
        assert!(told.is_ok(), "{} of 43 connections were closed", left.load(std::sync::atomic::Ordering::SeqCst));
    });
    assert_eq!((silent.accepted(), good.accepted()), (43, 43));
}

#[test]
fn who_asks_a_thread_that_is_gone_is_told_so() {
    let silent = Server::start(|peer, _| peer.hang());
    let question = Question::new(&LanePlan { timeout: Duration::from_mins(5), ..fresh(&silent.url(), 1.0) }, "test").unwrap();
    block_on(async {
        let asker = Asker::start(Clock::start()).unwrap();
        let asked = async {
            while silent.accepted() == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let gone = async {
            tokio::time::timeout(DEADLINE, asked).await.expect("the request has come");
            asker.end();
        };
        let (under_way, ()) = tokio::join!(asker.ask(&question), gone);
        assert!(matches!(under_way, Err(JoinError::Thread)), "{under_way:?}");
        let late = tokio::time::timeout(DEADLINE, asker.ask(&question)).await.unwrap();
        assert!(matches!(late, Err(JoinError::Thread)), "{late:?}");
    });
}
