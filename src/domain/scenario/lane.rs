//! A lane of a scenario: how it sends, and when.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::human;
use crate::domain::traffic::{Arrivals, LanePlan, Mode, ProtocolChoice, Schedule, Stage};

/// No lane of a scenario sends more slots a second than this.
const MAX_RATE: f64 = 20_000.0;
/// No lane of a scenario keeps more connections, or has more users, than this.
const MAX_CONNECTIONS: usize = 20_000;
/// No rate changes more often than this.
const MAX_LEGS: usize = 100;

/// One way of sending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lane {
    /// Slots a second, at the start; with `users`, the most there may be.
    pub rate: f64,
    /// By the lane's name when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<LaneMode>,
    /// Where its requests enter.
    #[serde(default)]
    pub entry: Entry,
    /// Kept connections; with `users` each has its own instead.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// How the rate changes, leg by leg; the last rate stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profile: Vec<Leg>,
    /// Slots come at random, as users who know nothing of each other, instead of evenly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub poisson: bool,
    /// So many users ask, wait, think and ask again; of a lane `inflight`, so many requests are under way at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<usize>,
    /// How long the users think on average.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "human")]
    pub think: Duration,
    /// Asked for instead of the traffic's path: something slow on a lane `inflight`, something endless on a lane `stream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Instead of the traffic's timeout; nothing when it is zero. On a lane `stream` it is that of the first byte.
    #[serde(default, skip_serializing_if = "Duration::is_zero", with = "human")]
    pub timeout: Duration,
    /// What is spoken: `http1`, `http2`, or `auto`, which over TLS lets the server choose. Over HTTP/2 each kept connection carries up to 100
    /// requests at once, if the other side allows as many: what browsers and gateways do.
    #[serde(default)]
    pub protocol: ProtocolChoice,
    /// A stream is ended after this.
    #[serde(default = "default_length", with = "human")]
    pub length: Duration,
    /// A stream on which nothing comes for so long has failed.
    #[serde(default = "default_stall", with = "human")]
    pub stall: Duration,
}

/// A leg of a profile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leg {
    /// The rate moves evenly within this time; at once when it is zero.
    #[serde(default, with = "human")]
    pub over: Duration,
    /// To so many slots a second.
    pub rate: f64,
}

/// Where requests enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Through the Ingress in front of the target, or the traffic's `url`: as users do.
    #[default]
    Ingress,
    /// At the cluster address of the Service: as other pods do. It must be reachable from here.
    Service,
    /// At each pod's own address in turn, from its first readiness until it is gone. It shows who failed; users do not come this way, so
    /// it counts in no objective and in no figure but its own.
    Pods,
}

/// What happens to connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaneMode {
    /// A new one for each request.
    Fresh,
    /// Opened once and reused.
    Kept,
    /// A new one for each of so many requests that are under way at any time.
    Inflight,
    /// A new one for each stream, kept open for a time.
    Stream,
}

impl LaneMode {
    /// The mode that a lane's name implies.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "fresh" => Some(Self::Fresh),
            "kept" => Some(Self::Kept),
            "inflight" => Some(Self::Inflight),
            "stream" => Some(Self::Stream),
            _ => None,
        }
    }

    /// What a planned lane does.
    pub const fn of(lane: &LanePlan) -> Self {
        match lane.mode {
            Mode::Fresh if lane.schedule.is_closed() => Self::Inflight,
            Mode::Fresh => Self::Fresh,
            Mode::Kept { .. } => Self::Kept,
            Mode::Stream { .. } => Self::Stream,
        }
    }
}

impl Lane {
    /// What happens to the connections of the lane of this name.
    pub fn connection_mode(&self, name: &str) -> Mode {
        match self.mode.or_else(|| LaneMode::by_name(name)) {
            Some(LaneMode::Kept) => Mode::Kept { connections: self.users.unwrap_or(self.connections) },
            Some(LaneMode::Stream) => Mode::Stream { length: self.length, stall: self.stall },
            Some(LaneMode::Fresh | LaneMode::Inflight) | None => Mode::Fresh,
        }
    }

    /// How its slots follow each other.
    pub fn schedule(&self) -> Schedule {
        let arrivals = match (self.users, self.poisson) {
            (Some(users), _) => Arrivals::Closed { users, think: self.think },
            (None, true) => Arrivals::Poisson,
            (None, false) => Arrivals::Even,
        };
        Schedule { arrivals, stages: self.profile.iter().map(|leg| Stage { over: leg.over, rate: leg.rate }).collect() }
    }

    /// What types alone cannot say. Answers the field at fault and the message.
    pub(super) fn check(&self, name: &str) -> Result<(), (&'static str, String)> {
        let wrong = |field, what: &str| Err((field, format!("lane `{name}`: {what}")));
        let mode = self.mode.or_else(|| LaneMode::by_name(name));
        let starts_at_nothing = self.rate == 0.0 && self.profile.iter().any(|leg| leg.rate > 0.0);
        if !(self.rate > 0.0 || starts_at_nothing) || self.rate > MAX_RATE {
            return wrong("rate", &format!("a rate is above 0 and at most {MAX_RATE} a second"));
        }
        if self.profile.len() > MAX_LEGS || self.profile.iter().any(|leg| !(0.0..=MAX_RATE).contains(&leg.rate)) {
            return wrong("profile", &format!("at most {MAX_LEGS} legs, with rates from 0 to {MAX_RATE} a second"));
        }
        if self.connections == 0 || self.connections > MAX_CONNECTIONS {
            return wrong("connections", &format!("between 1 and {MAX_CONNECTIONS} connections"));
        }
        if self.users.is_some_and(|users| users == 0 || users > MAX_CONNECTIONS) {
            return wrong("users", &format!("between 1 and {MAX_CONNECTIONS} users"));
        }
        if self.users.is_some() && (self.poisson || !self.profile.is_empty()) {
            return wrong("users", "users come when they are answered: neither `poisson` nor `profile` can be said of them");
        }
        if self.users.is_none() && !self.think.is_zero() {
            return wrong("think", "only `users` think");
        }
        match mode {
            None => wrong("lanes", "needs a `mode`: fresh, kept, inflight or stream"),
            Some(LaneMode::Inflight) if self.users.is_none() => wrong("lanes", "needs `users`: how many requests are in flight"),
            Some(LaneMode::Stream) if self.length.is_zero() || self.stall.is_zero() => {
                wrong("lanes", "a stream has a `length` and a `stall` of more than nothing")
            }
            Some(LaneMode::Inflight | LaneMode::Stream) if self.entry == Entry::Pods => {
                wrong("entry", "pods are asked by lanes that are fresh or kept")
            }
            Some(_) if self.path.as_ref().is_some_and(|path| !path.starts_with('/')) => wrong("path", "a path begins with `/`"),
            Some(_) => Ok(()),
        }
    }
}

const fn default_connections() -> usize {
    10
}
const fn default_length() -> Duration {
    Duration::from_secs(10)
}
const fn default_stall() -> Duration {
    Duration::from_secs(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(yaml: &str) -> Lane {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn fault(name: &str, yaml: &str) -> &'static str {
        lane(yaml).check(name).unwrap_err().0
    }

    #[test]
    fn a_lane_says_how_it_sends_and_when() {
        let slow = lane("{rate: 50, users: 4, path: /slow, timeout: 20s}");
        let closed = |users, think| Schedule { arrivals: Arrivals::Closed { users, think }, stages: vec![] };
        assert_eq!((slow.connection_mode("inflight"), slow.schedule()), (Mode::Fresh, closed(4, Duration::ZERO)));
        let users = lane("{rate: 5000, users: 10000, think: 2s}");
        assert_eq!(
            (users.connection_mode("kept"), users.schedule()),
            (Mode::Kept { connections: 10_000 }, closed(10_000, Duration::from_secs(2)))
        );
        let seconds = Duration::from_secs;
        assert_eq!(lane("{rate: 2}").connection_mode("stream"), Mode::Stream { length: seconds(10), stall: seconds(2) });
        let ramp = lane("{rate: 0, poisson: true, profile: [{over: 10s, rate: 500}, {rate: 20}]}");
        let stages = vec![Stage { over: seconds(10), rate: 500.0 }, Stage { over: Duration::ZERO, rate: 20.0 }];
        assert_eq!((ramp.check("fresh"), ramp.schedule()), (Ok(()), Schedule { arrivals: Arrivals::Poisson, stages }));
        let protocols = ["{rate: 1}", "{rate: 1, protocol: http2}", "{rate: 1, protocol: auto}"].map(|yaml| lane(yaml).protocol);
        assert_eq!(protocols, [ProtocolChoice::Http1, ProtocolChoice::Http2, ProtocolChoice::Auto]);
        let text = serde_json::to_string(&slow).unwrap();
        assert_eq!(serde_json::from_str::<Lane>(&text).unwrap(), slow);
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_its_field() {
        let all = [
            ("fresh", "{rate: 0}", "rate"),
            ("fresh", "{rate: 1, profile: [{rate: -1}]}", "profile"),
            ("kept", "{rate: 1, users: 0}", "users"),
            ("kept", "{rate: 1, users: 5, poisson: true}", "users"),
            ("kept", "{rate: 1, think: 1s}", "think"),
            ("inflight", "{rate: 1}", "lanes"),
            ("stream", "{rate: 1, stall: 0s}", "lanes"),
            ("mine", "{rate: 1}", "lanes"),
            ("fresh", "{rate: 1, path: x}", "path"),
            ("stream", "{rate: 1, entry: pods}", "entry"),
        ];
        for (name, yaml, field) in all {
            assert_eq!(fault(name, yaml), field, "{name} {yaml}");
        }
    }
}
