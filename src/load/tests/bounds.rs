//! What is not done for an answer: no redirect is followed, no body decompressed, no time given beyond the timeout.

use super::*;

/// The two bytes that begin every gzip, and some more.
const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03ok";

#[test]
fn a_redirect_is_an_answer_and_is_not_followed() {
    let server = Server::start(|peer, _| {
        let to = peer.stream.local_addr().unwrap();
        while let Some(asked) = peer.request() {
            assert!(asked.starts_with("GET / "), "somebody followed: {asked}");
            peer.say(format!("HTTP/1.1 302 Found\r\nLocation: http://{to}/elsewhere\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let lanes = [fresh(&server.url(), 50.0), kept(&server.url(), 50.0, 2)];
    assert_eq!(run(&plan(lanes.clone()), 20).seen(), [Outcome::Ok]);
    let strict = lanes.map(|mut lane| {
        lane.expect.status = vec![(200, 299)];
        lane
    });
    let told = run(&plan(strict), 20);
    assert_eq!(told.seen(), [Outcome::AppStatus]);
    assert!(told.failures.iter().filter(|f| f.outcome == Outcome::AppStatus).all(|f| f.status == Some(302)));
}

#[test]
fn a_compressed_body_is_looked_at_as_it_came_and_the_note_says_so() {
    let server = Server::start(|peer, _| {
        while let Some(asked) = peer.request() {
            assert!(asked.contains("accept-encoding: identity\r\n"), "{asked}");
            peer.say(format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", GZIP.len()));
            peer.say(GZIP);
        }
    });
    let mut lane = fresh(&server.url(), 1.0);
    lane.expect.body_contains = Some("ok".into());
    assert_eq!(ask(&lane).outcome, Outcome::Ok, "what stands in the compressed bytes stands there");
    lane.expect.body_contains = Some("healthy".into());
    let report = ask(&lane);
    assert_eq!(report.outcome, Outcome::WrongBody);
    let note = "the body came compressed (gzip), though unasked, and is looked at as it came: the body does not contain `healthy`";
    assert!(report.note.starts_with(note), "{report:?}");
    lane.expect.body_contains = None;
    assert_eq!(ask(&lane).outcome, Outcome::Ok, "nothing is said of the body");
}

#[test]
fn the_timeout_is_that_of_the_whole_request_however_lively_the_answer_is() {
    let server = Server::start(|peer, _| {
        if peer.request().is_some() && peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") {
            while peer.say("1\r\nx\r\n") {
                peer.pause(Duration::from_millis(5));
            }
        }
    });
    let report = ask(&LanePlan { timeout: Duration::from_millis(250), ..fresh(&server.url(), 1.0) });
    assert_eq!((report.outcome, report.note.as_str()), (Outcome::ResponseTimeout, "the body was not complete by the deadline"));
    assert!((250_000..1_000_000).contains(&report.phases.total), "{:?}", report.phases);
}
