//! What one request did: a closed set. Every slot of the schedule ends in exactly one [`Outcome`], every outcome has one [`Blame`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How one slot of the schedule ended. The first failure counts; nothing is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The whole answer arrived in time and met every assertion.
    Ok,
    /// The application answered with a status that is not wanted.
    AppStatus,
    /// A gateway answered for an application that did not: 502, 503 or 504 without a pod's own mark.
    GatewayStatus,
    /// Nobody listened: connection refused.
    Refused,
    /// No connection within the connect deadline.
    ConnectTimeout,
    /// The connection was dead before a byte of the request left.
    ResetBeforeSend,
    /// The connection ended after the request was (partly) sent and before the answer's head was complete.
    ResetAfterSend,
    /// The answer's head came, its body did not come to its end.
    Truncated,
    /// The whole answer came, but its headers or body fail an assertion.
    WrongBody,
    /// The TLS handshake failed.
    Tls,
    /// The name did not resolve.
    Dns,
    /// Connected, but the answer was not complete by the deadline.
    ResponseTimeout,
    /// What came is not HTTP, or breaks its rules.
    Protocol,
    /// Headers or body exceed the verifier's bounds.
    TooLarge,
    /// The other side asked for less: 429, or 503 with Retry-After from a rate limiter.
    Throttled,
    /// Not sent: no local port was free.
    NoPort,
    /// Not sent: no file descriptor was free.
    NoDescriptor,
    /// Not sent: the verifier was late, had too many requests in flight, or its own machine refused.
    NotSent,
    /// Sent, but the verifier was away when the answer was due: nobody saw whether it came in time.
    Unseen,
}

/// Whose failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Nobody's: it went well.
    Nobody,
    /// The service under test, with all that stands before it.
    Target,
    /// The verifier or its own machine: the slot says nothing about the target, good or bad.
    Verifier,
}

impl Outcome {
    /// All outcomes, in their order of declaration.
    pub const ALL: [Self; 19] = [
        Self::Ok,
        Self::AppStatus,
        Self::GatewayStatus,
        Self::Refused,
        Self::ConnectTimeout,
        Self::ResetBeforeSend,
        Self::ResetAfterSend,
        Self::Truncated,
        Self::WrongBody,
        Self::Tls,
        Self::Dns,
        Self::ResponseTimeout,
        Self::Protocol,
        Self::TooLarge,
        Self::Throttled,
        Self::NoPort,
        Self::NoDescriptor,
        Self::NotSent,
        Self::Unseen,
    ];

    /// Whose failure this outcome is.
    pub const fn blame(self) -> Blame {
        match self {
            Self::Ok => Blame::Nobody,
            Self::AppStatus
            | Self::GatewayStatus
            | Self::Refused
            | Self::ConnectTimeout
            | Self::ResetBeforeSend
            | Self::ResetAfterSend
            | Self::Truncated
            | Self::WrongBody
            | Self::Tls
            | Self::ResponseTimeout
            | Self::Protocol
            | Self::TooLarge => Blame::Target,
            Self::Dns | Self::Throttled | Self::NoPort | Self::NoDescriptor | Self::NotSent | Self::Unseen => Blame::Verifier,
        }
    }

    /// The name in files and labels.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::AppStatus => "app_status",
            Self::GatewayStatus => "gateway_status",
            Self::Refused => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ResetBeforeSend => "reset_before_send",
            Self::ResetAfterSend => "reset_after_send",
            Self::Truncated => "truncated",
            Self::WrongBody => "wrong_body",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::ResponseTimeout => "response_timeout",
            Self::Protocol => "protocol",
            Self::TooLarge => "too_large",
            Self::Throttled => "throttled",
            Self::NoPort => "no_port",
            Self::NoDescriptor => "no_descriptor",
            Self::NotSent => "not_sent",
            Self::Unseen => "unseen",
        }
    }

    /// What it means, for a reader who sees the label for the first time.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "answered well and in time",
            Self::AppStatus => "the application answered with a status that is not wanted",
            Self::GatewayStatus => "a gateway answered 502, 503 or 504: no pod behind it did",
            Self::Refused => "nobody listened on the address",
            Self::ConnectTimeout => "no connection within its deadline",
            Self::ResetBeforeSend => "a kept connection was closed just as a request was to be sent on it",
            Self::ResetAfterSend => "the connection ended after the request was sent, before the answer",
            Self::Truncated => "the connection ended in the middle of the answer",
            Self::WrongBody => "the answer came whole, but not with the expected content",
            Self::Tls => "the TLS handshake failed",
            Self::Dns => "the name did not resolve, so nothing was sent",
            Self::ResponseTimeout => "connected, but no whole answer by the deadline",
            Self::Protocol => "what came back is not valid HTTP",
            Self::TooLarge => "the answer was larger than is read",
            Self::Throttled => "the other side asked for fewer requests",
            Self::NoPort => "this machine had no local port free, so nothing was sent",
            Self::NoDescriptor => "this process had no file descriptor free, so nothing was sent",
            Self::NotSent => "the verifier was late or had too many requests in flight, so nothing was sent",
            Self::Unseen => "the verifier was away when the answer was due, so nobody saw it",
        }
    }
}

/// How many slots ended in each outcome. Only the non-zero ones are written.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts([u64; Outcome::ALL.len()]);

impl Counts {
    /// Adds `n` of `outcome`.
    pub const fn add(&mut self, outcome: Outcome, n: u64) {
        self.0[outcome as usize] += n;
    }

    /// How many ended so.
    pub const fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize]
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
    }

    /// What is left when `part`, which was counted in, is taken out again.
    pub fn without(mut self, part: &Self) -> Self {
        self.0.iter_mut().zip(part.0).for_each(|(a, b)| *a = a.saturating_sub(b));
        self
    }

    /// How many are `blame`'s.
    pub fn of(&self, blame: Blame) -> u64 {
        self.iter().filter(|(o, _)| o.blame() == blame).map(|(_, n)| n).sum()
    }

    /// Answered well.
    pub const fn good(&self) -> u64 {
        self.get(Outcome::Ok)
    }

    /// Failed, and the target is to blame.
    pub fn bad(&self) -> u64 {
        self.of(Blame::Target)
    }

    /// Good and bad: what says something about the target.
    pub fn valid(&self) -> u64 {
        self.good() + self.bad()
    }

    /// All slots that ended.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The outcomes that occurred, in order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = (Outcome, u64)> + '_ {
        Outcome::ALL.into_iter().zip(self.0).filter(|(_, n)| *n > 0)
    }
}

impl std::fmt::Debug for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.iter().map(|(o, n)| (o.label(), n))).finish()
    }
}

impl Serialize for Counts {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Counts {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let mut counts = Self::default();
        for (outcome, n) in std::collections::BTreeMap::<Outcome, u64>::deserialize(d)? {
            counts.add(outcome, n);
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_keeps_its_place_and_its_label() {
        for (i, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, i);
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.label());
        }
    }

    #[test]
    fn counts_survive_a_round_trip_and_write_only_what_occurred() {
        let mut counts = Counts::default();
        counts.add(Outcome::Ok, 7);
        counts.add(Outcome::Refused, 2);
        counts.add(Outcome::NotSent, 1);
        let text = serde_json::to_string(&counts).unwrap();
        assert_eq!(text, r#"{"ok":7,"refused":2,"not_sent":1}"#);
        assert_eq!(serde_json::from_str::<Counts>(&text).unwrap(), counts);
        assert_eq!((counts.good(), counts.bad(), counts.valid(), counts.total()), (7, 2, 9, 10));
    }
}
