//! From what was seen on the wire to an outcome: every way in which a request can end has exactly one.
//!
//! A wanted status is judged by its body; an unwanted one decides by itself, whatever becomes of the body after it:
//! - 429 is `Throttled`: whoever sent it, it asks for less and says nothing about the rollout.
//! - 503 is `Throttled` only when it carries both `Retry-After` and a rate limiter's own header and names no pod. `Retry-After` alone is
//!   also what maintenance pages and overloaded gateways send, and their users are hurt.
//! - 502, 503 and 504 without a pod's mark are `GatewayStatus`: a gateway answered in place of the application.
//! - Everything else is `AppStatus`.

use rustix::io::Errno;

use super::http1::{Head, Violation};
use super::http2::{Code, Over};
use super::transport::Fault;
use crate::domain::outcome::Outcome;
use crate::domain::traffic::Expect;

/// Headers that only rate limiters set.
const LIMITER_HEADERS: [&str; 5] =
    ["x-envoy-ratelimited", "ratelimit", "ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"];

/// The outcome that a head decides by itself; `None` when the body decides.
pub(crate) fn by_head(head: &Head<'_>, expect: &Expect, names_pod: bool) -> Option<Outcome> {
    if expect.status.iter().any(|(from, to)| (*from..=*to).contains(&head.status)) {
        return None;
    }
    let limited = || head.get("retry-after").is_some() && LIMITER_HEADERS.iter().any(|name| head.get(name).is_some());
    Some(match head.status {
        429 => Outcome::Throttled,
        503 if !names_pod && limited() => Outcome::Throttled,
        502..=504 if !names_pod => Outcome::GatewayStatus,
        _ => Outcome::AppStatus,
    })
}

/// A connection could not be opened.
pub(crate) fn connecting(errno: Errno) -> Outcome {
    match errno {
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => Outcome::NoPort,
        Errno::MFILE | Errno::NFILE => Outcome::NoDescriptor,
        Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::HOSTDOWN => Outcome::Refused,
        // The handshake had been done, else it would be a refusal.
        Errno::CONNRESET | Errno::PIPE => Outcome::ResetBeforeSend,
        Errno::TIMEDOUT => Outcome::ConnectTimeout,
        // No route, no buffers, forbidden by our own firewall, no such address family: our machine never sent anything.
        _ => Outcome::NotSent,
    }
}

/// The TLS handshake failed. Whoever ended the connection during it, and however: it was the handshake that failed, and no byte of the
/// request had left.
pub(crate) fn handshake(fault: &Fault) -> Outcome {
    match fault {
        Fault::System(Errno::NOBUFS | Errno::NOMEM) => Outcome::NotSent,
        Fault::System(_) | Fault::Tls(_) => Outcome::Tls,
    }
}

/// A connection that stood has ended. In TLS 1.3 a server says only after the handshake that it does not accept our certificate.
pub(crate) fn broken(fault: Option<&Fault>, sent: bool, has_head: bool) -> Outcome {
    match (fault, sent, has_head) {
        (Some(Fault::System(Errno::NOBUFS | Errno::NOMEM)), false, _) => Outcome::NotSent,
        (Some(Fault::Tls(_)), _, false) => Outcome::Tls,
        (_, _, true) => Outcome::Truncated,
        (_, true, false) => Outcome::ResetAfterSend,
        (_, false, false) => Outcome::ResetBeforeSend,
    }
}

/// What came is no acceptable answer.
pub(crate) fn violation(violation: Violation) -> (Outcome, &'static str) {
    match violation {
        Violation::Protocol(why) => (Outcome::Protocol, why),
        Violation::TooLarge(what) => (Outcome::TooLarge, what),
    }
}

/// A stream of HTTP/2 has ended, but not its connection. `None` when the whole answer came. What the other side never began to process
/// can be sent again without harm, but nothing here sends it again: whoever meets it waits for nothing.
pub(crate) fn over(how: Over<'_>, has_head: bool) -> Option<(Outcome, String)> {
    let broken = if has_head { Outcome::Truncated } else { Outcome::ResetAfterSend };
    Some(match how {
        Over::Whole => return None,
        Over::Short => (Outcome::Truncated, "the stream ended before its content-length".into()),
        Over::Reset(Code::HTTP_1_1_REQUIRED) => (Outcome::Protocol, "the other side wants HTTP/1.1 for this".into()),
        Over::Reset(code) => (broken, format!("RST_STREAM ({code})")),
        Over::Unprocessed(said) if has_head => (broken, said.to_owned()),
        Over::Unprocessed(said) => (Outcome::ResetBeforeSend, format!("{said}: the request was never processed")),
        Over::Broken(what) => {
            let (outcome, why) = violation(what);
            (outcome, why.to_owned())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::http1::{Decoder, Rules, Sink};
    use super::*;

    /// Judges one head; the flag says whether it names a pod.
    struct Judge(Vec<Option<Outcome>>, bool);

    impl Sink for Judge {
        fn head(&mut self, head: &Head<'_>) {
            self.0.push(by_head(head, &Expect::default(), self.1));
        }
        fn body(&mut self, _: &[u8]) {}
    }

    fn outcome(status: u16, headers: &str, names_pod: bool) -> Option<Outcome> {
        let mut sink = Judge(Vec::new(), names_pod);
        let text = format!("HTTP/1.1 {status} X\r\n{headers}\r\n");
        Decoder::default().feed(text.as_bytes(), Rules { bodiless: true, max_body: 1 }, &mut sink).unwrap();
        sink.0[0]
    }

    #[test]
    fn who_answers_decides_whose_status_it_is() {
        for status in [200, 204, 301, 399] {
            assert_eq!(outcome(status, "", false), None);
        }
        for status in [400, 404, 500, 501, 505, 599] {
            assert_eq!(outcome(status, "", false), Some(Outcome::AppStatus));
        }
        for status in [502, 503, 504] {
            assert_eq!(outcome(status, "", false), Some(Outcome::GatewayStatus));
            assert_eq!(outcome(status, "", true), Some(Outcome::AppStatus));
        }
    }

    #[test]
    fn only_a_rate_limiter_throttles() {
        let both = "Retry-After: 1\r\nX-RateLimit-Remaining: 0\r\n";
        assert_eq!(outcome(429, "", true), Some(Outcome::Throttled));
        assert_eq!(outcome(503, both, false), Some(Outcome::Throttled));
        assert_eq!(outcome(503, both, true), Some(Outcome::AppStatus));
        assert_eq!(outcome(503, "Retry-After: 1\r\n", false), Some(Outcome::GatewayStatus));
        assert_eq!(outcome(503, "RateLimit: x\r\n", false), Some(Outcome::GatewayStatus));
        assert_eq!(outcome(502, both, false), Some(Outcome::GatewayStatus));
    }

    #[test]
    fn a_refusal_is_the_targets_and_a_missing_resource_ours() {
        let all = [
            (Errno::CONNREFUSED, Outcome::Refused),
            (Errno::HOSTUNREACH, Outcome::Refused),
            (Errno::CONNRESET, Outcome::ResetBeforeSend),
            (Errno::TIMEDOUT, Outcome::ConnectTimeout),
            (Errno::ADDRNOTAVAIL, Outcome::NoPort),
            (Errno::MFILE, Outcome::NoDescriptor),
            (Errno::NFILE, Outcome::NoDescriptor),
            (Errno::NETUNREACH, Outcome::NotSent),
            (Errno::PERM, Outcome::NotSent),
            (Errno::NOBUFS, Outcome::NotSent),
        ];
        for (errno, expected) in all {
            assert_eq!(connecting(errno), expected, "{errno:?}");
        }
    }

    #[test]
    fn an_ended_connection_is_told_by_how_far_it_came() {
        let (reset, full, tls) = (Fault::System(Errno::CONNRESET), Fault::System(Errno::NOBUFS), Fault::Tls("x".into()));
        assert_eq!(broken(None, false, false), Outcome::ResetBeforeSend);
        assert_eq!(broken(Some(&reset), true, false), Outcome::ResetAfterSend);
        assert_eq!(broken(Some(&reset), true, true), Outcome::Truncated);
        assert_eq!(broken(Some(&full), false, false), Outcome::NotSent);
        assert_eq!([broken(Some(&tls), true, false), broken(Some(&tls), true, true)], [Outcome::Tls, Outcome::Truncated]);
        assert_eq!([&reset, &full, &tls].map(handshake), [Outcome::Tls, Outcome::NotSent, Outcome::Tls]);
    }
}
