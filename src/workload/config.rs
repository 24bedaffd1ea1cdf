//! What the environment tells the workload.
//!
//! Durations are written `200ms`, `5s`, `1m 30s`; ratios are shares from 0 to 1. Times count from the moment the port opens.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `HOST`, `PORT` | `127.0.0.1`, `8000` | where to listen; port 0 takes a free one and logs it |
//! | `POD_NAME` or `HOSTNAME` | `workload` | `x-pod-name` |
//! | `APP_VERSION` or `IMAGE_TAG` | `unknown` | `x-app-version` |
//! | `SEED` | `0` | with the pod's name, the seed of everything drawn |
//! | `START_DELAY` | `0s` | time before the port opens |
//! | `READY_DELAY` | `0s` | the port is open and `/readyz` says 503 until then |
//! | `SERVE_AFTER` | `0s` | `/api` says 503 until then, and so does `/readyz`, unless it lies |
//! | `READINESS_LIES` | `no` | `error`: ready before `SERVE_AFTER`, `/api` says 503; `hang`: `/api` waits for `SERVE_AFTER` |
//! | `READINESS_FLAPS` | off | ready for the first half of each such period, unready for the second |
//! | `LIVENESS_FAILS_AFTER` | off | `/livez` says 500 from then on |
//! | `LIVENESS_LATENCY` | `0s` | law of the time `/livez` takes, as that of a busy process would |
//! | `CRASH_AFTER`, `CRASH_CODE` | off, `1` | exit without a word |
//! | `ERROR_RATIO` | `0`, or `1` with `ERROR_AFTER` | share of `/api` answers that are 500 |
//! | `ERROR_AFTER` | `0s` | when `ERROR_RATIO` begins |
//! | `HANG_RATIO` | `0` | share of `/api` requests that are never answered |
//! | `TRUNCATE_RATIO` | `0` | share of `/api` answers cut in the middle of the body |
//! | `LATENCY` | `0s` | law of the time `/api` takes: `20ms`, `uniform(5ms,20ms)`, `lognormal(median=20ms,sigma=0.5)` |
//! | `CPU_PER_REQUEST` | `0s` | law of the processor time burnt per `/api` request, during which nothing else runs |
//! | `WARM_UP`, `WARM_UP_CPU` | `0s`, `0.5` | for so long that share of one processor is used beside the requests, as by a compiler or a cache that warms |
//! | `MAX_CONCURRENCY` | none | `/api` requests served at once; more of them queue |
//! | `MAX_CONNECTIONS` | `10000` | connections held at once; more of them wait in the kernel's queue |
//! | `KEEP_ALIVE_TIMEOUT` | `75s` | a connection without a request for this long is closed |
//! | `KEEP_ALIVE_LAG` | `0s` | time from the decision to close a silent connection to its end, as on a network with a distance to cover: what is sent meanwhile is lost |
//! | `BALLAST` | `0` | megabytes held from the start |
//! | `LEAK` | `0` | megabytes lost per second |
//! | `DRAIN` | `graceful` | on SIGTERM or SIGINT. `graceful`: unready at once, serve on, close each connection with its next answer, leave when no connection is left. `close-first`: close port and idle connections at once and finish what is running, as most servers do. `abrupt`: exit at once. `ignore` |
//! | `DRAIN_IDLE` | `1s` | while draining gracefully, how long a silent connection may still send a request |
//! | `DRAIN_TIMEOUT` | `25s` | the longest drain; what is running then is cut |

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use thiserror::Error;

use super::law::Law;

/// A variable that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{name}={value}: {reason}")]
pub struct ConfigError {
    name: &'static str,
    value: String,
    reason: String,
}

/// What `/readyz` says before the workload really serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The truth.
    No,
    /// Ready, but `/api` answers 503.
    Error,
    /// Ready, but `/api` does not answer.
    Hang,
}

/// What a SIGTERM does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Serve until nobody asks any more.
    Graceful,
    /// Close the port and idle connections, finish what is running.
    CloseFirst,
    /// Exit at once.
    Abrupt,
    /// Nothing.
    Ignore,
}

/// The whole of it; see the table above.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the table above describes each field")]
pub struct Config {
    pub listen: SocketAddr,
    pub pod: HeaderValue,
    pub version: HeaderValue,
    pub seed: u64,
    pub start_delay: Duration,
    pub ready_delay: Duration,
    pub serve_after: Duration,
    pub readiness_lies: Lie,
    pub readiness_flaps: Option<Duration>,
    pub liveness_fails_after: Option<Duration>,
    pub liveness_latency: Law,
    pub crash_after: Option<Duration>,
    pub crash_code: u8,
    pub error_ratio: f64,
    pub error_after: Duration,
    pub hang_ratio: f64,
    pub truncate_ratio: f64,
    pub latency: Law,
    pub cpu_per_request: Law,
    pub warm_up: Duration,
    pub warm_up_cpu: f64,
    pub max_concurrency: Option<usize>,
    pub max_connections: usize,
    pub keep_alive_timeout: Duration,
    pub keep_alive_lag: Duration,
    pub ballast: f64,
    pub leak: f64,
    pub drain: Drain,
    pub drain_idle: Duration,
    pub drain_timeout: Duration,
}

impl Config {
    /// Reads the variables through `lookup`. An empty one counts as not set.
    pub fn from(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let env = Env(&lookup);
        let host = env.get("HOST", IpAddr::from_str)?.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let port = env.get("PORT", u16::from_str)?.unwrap_or(8000);
        let error_after = env.get("ERROR_AFTER", duration)?;
        let config = Self {
            listen: SocketAddr::new(host, port),
            pod: env.first(["POD_NAME", "HOSTNAME"])?.unwrap_or(HeaderValue::from_static("workload")),
            version: env.first(["APP_VERSION", "IMAGE_TAG"])?.unwrap_or(HeaderValue::from_static("unknown")),
            seed: env.get("SEED", u64::from_str)?.unwrap_or(0),
            start_delay: env.get("START_DELAY", duration)?.unwrap_or_default(),
            ready_delay: env.get("READY_DELAY", duration)?.unwrap_or_default(),
            serve_after: env.get("SERVE_AFTER", duration)?.unwrap_or_default(),
            readiness_lies: env.get("READINESS_LIES", lie)?.unwrap_or(Lie::No),
            readiness_flaps: env.get("READINESS_FLAPS", positive)?,
            liveness_fails_after: env.get("LIVENESS_FAILS_AFTER", duration)?,
            liveness_latency: env.get("LIVENESS_LATENCY", Law::from_str)?.unwrap_or(Law::NONE),
            crash_after: env.get("CRASH_AFTER", duration)?,
            crash_code: env.get("CRASH_CODE", u8::from_str)?.unwrap_or(1),
            error_ratio: env.get("ERROR_RATIO", ratio)?.unwrap_or(if error_after.is_some() { 1.0 } else { 0.0 }),
            error_after: error_after.unwrap_or_default(),
            hang_ratio: env.get("HANG_RATIO", ratio)?.unwrap_or(0.0),
            truncate_ratio: env.get("TRUNCATE_RATIO", ratio)?.unwrap_or(0.0),
            latency: env.get("LATENCY", Law::from_str)?.unwrap_or(Law::NONE),
            cpu_per_request: env.get("CPU_PER_REQUEST", Law::from_str)?.unwrap_or(Law::NONE),
            warm_up: env.get("WARM_UP", duration)?.unwrap_or_default(),
            warm_up_cpu: env.get("WARM_UP_CPU", ratio)?.unwrap_or(0.5),
            max_concurrency: env.get("MAX_CONCURRENCY", at_least_one)?,
            max_connections: env.get("MAX_CONNECTIONS", at_least_one)?.unwrap_or(10_000),
            keep_alive_timeout: env.get("KEEP_ALIVE_TIMEOUT", positive)?.unwrap_or(Duration::from_secs(75)),
            keep_alive_lag: env.get("KEEP_ALIVE_LAG", duration)?.unwrap_or_default(),
            ballast: env.get("BALLAST", megabytes)?.unwrap_or(0.0),
            leak: env.get("LEAK", megabytes)?.unwrap_or(0.0),
            drain: env.get("DRAIN", drain)?.unwrap_or(Drain::Graceful),
            drain_idle: env.get("DRAIN_IDLE", positive)?.unwrap_or(Duration::from_secs(1)),
            drain_timeout: env.get("DRAIN_TIMEOUT", duration)?.unwrap_or(Duration::from_secs(25)),
        };
        let sum = config.error_ratio + config.hang_ratio + config.truncate_ratio;
        if sum > 1.0 {
            let reason = "with HANG_RATIO and TRUNCATE_RATIO this is more than 1".to_owned();
            return Err(ConfigError { name: "ERROR_RATIO", value: config.error_ratio.to_string(), reason });
        }
        Ok(config)
    }
}

struct Env<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Env<'_> {
    fn get<T, E: ToString>(&self, name: &'static str, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<Option<T>, ConfigError> {
        let Some(value) = (self.0)(name).filter(|v| !v.is_empty()) else { return Ok(None) };
        match parse(value.trim()) {
            Ok(parsed) => Ok(Some(parsed)),
            Err(error) => Err(ConfigError { name, reason: error.to_string(), value }),
        }
    }

    /// The first of these that is set, as a header value.
    fn first(&self, names: [&'static str; 2]) -> Result<Option<HeaderValue>, ConfigError> {
        let found = self.get(names[0], HeaderValue::from_str)?;
        if found.is_some() { Ok(found) } else { self.get(names[1], HeaderValue::from_str) }
    }
}

/// The longest duration taken: a century is a typing error, and it must not overflow the clock.
const LONGEST: Duration = Duration::from_hours(365 * 24);

/// `200ms`, `5s`, `1m 30s`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).map_err(|e| format!("not a duration such as 200ms or 5s: {e}"))?;
    if parsed > LONGEST { Err("longer than a year".to_owned()) } else { Ok(parsed) }
}

fn positive(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|d| if d.is_zero() { Err("must be longer than 0s".to_owned()) } else { Ok(d) })
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "not a number".to_owned())
}

fn ratio(text: &str) -> Result<f64, String> {
    number(text).and_then(|r| if (0.0..=1.0).contains(&r) { Ok(r) } else { Err("not between 0 and 1".to_owned()) })
}

fn megabytes(text: &str) -> Result<f64, String> {
    number(text).and_then(|m| if (0.0..=10_000.0).contains(&m) { Ok(m) } else { Err("not between 0 and 10000".to_owned()) })
}

/// Up to the most permits a semaphore can hand out, which is far above any number of descriptors.
fn at_least_one(text: &str) -> Result<usize, String> {
    let wanted: usize = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if (1..=1_000_000).contains(&wanted) { Ok(wanted) } else { Err("not between 1 and 1000000".to_owned()) }
}

fn lie(text: &str) -> Result<Lie, &'static str> {
    match text {
        "no" | "false" => Ok(Lie::No),
        "error" | "true" => Ok(Lie::Error),
        "hang" => Ok(Lie::Hang),
        _ => Err("not one of no, error, hang"),
    }
}

fn drain(text: &str) -> Result<Drain, &'static str> {
    match text {
        "graceful" => Ok(Drain::Graceful),
        "close-first" => Ok(Drain::CloseFirst),
        "abrupt" => Ok(Drain::Abrupt),
        "ignore" => Ok(Drain::Ignore),
        _ => Err("not one of graceful, close-first, abrupt, ignore"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A configuration from the given variables alone.
    pub(crate) fn given(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[track_caller]
    fn refusal(variables: &[(&str, &str)]) -> String {
        given(variables).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_environment_is_a_healthy_workload() {
        let config = given(&[("LATENCY", "")]).unwrap();
        let healthy = Config {
            listen: "127.0.0.1:8000".parse().unwrap(),
            pod: HeaderValue::from_static("workload"),
            version: HeaderValue::from_static("unknown"),
            seed: 0,
            start_delay: Duration::ZERO,
            ready_delay: Duration::ZERO,
            serve_after: Duration::ZERO,
            readiness_lies: Lie::No,
            readiness_flaps: None,
            liveness_fails_after: None,
            liveness_latency: Law::NONE,
            crash_after: None,
            crash_code: 1,
            error_ratio: 0.0,
            error_after: Duration::ZERO,
            hang_ratio: 0.0,
            truncate_ratio: 0.0,
            latency: Law::NONE,
            cpu_per_request: Law::NONE,
            warm_up: Duration::ZERO,
            warm_up_cpu: 0.5,
            max_concurrency: None,
            max_connections: 10_000,
            keep_alive_timeout: Duration::from_secs(75),
            keep_alive_lag: Duration::ZERO,
            ballast: 0.0,
            leak: 0.0,
            drain: Drain::Graceful,
            drain_idle: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(25),
        };
        assert_eq!(config, healthy);
    }

    #[test]
    fn the_second_name_counts_when_the_first_is_not_set() {
        let config = given(&[("HOSTNAME", "host"), ("IMAGE_TAG", "v2")]).unwrap();
        assert_eq!((config.pod, config.version), (HeaderValue::from_static("host"), HeaderValue::from_static("v2")));
        let config = given(&[("POD_NAME", "pod"), ("HOSTNAME", "host"), ("APP_VERSION", "v3"), ("IMAGE_TAG", "v2")]).unwrap();
        assert_eq!((config.pod, config.version), (HeaderValue::from_static("pod"), HeaderValue::from_static("v3")));
    }

    #[test]
    fn error_after_alone_means_all_of_them() {
        assert_eq!(given(&[("ERROR_AFTER", "5s")]).unwrap().error_ratio.to_bits(), 1f64.to_bits());
        assert_eq!(given(&[("ERROR_AFTER", "5s"), ("ERROR_RATIO", "0.5")]).unwrap().error_ratio.to_bits(), 0.5f64.to_bits());
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        assert_eq!(
            refusal(&[("START_DELAY", "5")]),
            "START_DELAY=5: not a duration such as 200ms or 5s: time unit needed, for example 5sec or 5ms"
        );
        assert_eq!(refusal(&[("ERROR_RATIO", "50")]), "ERROR_RATIO=50: not between 0 and 1");
        assert_eq!(refusal(&[("WARM_UP_CPU", "2")]), "WARM_UP_CPU=2: not between 0 and 1");
        assert_eq!(refusal(&[("HANG_RATIO", "NaN")]), "HANG_RATIO=NaN: not between 0 and 1");
        assert_eq!(
            refusal(&[("ERROR_RATIO", "0.6"), ("HANG_RATIO", "0.6")]),
            "ERROR_RATIO=0.6: with HANG_RATIO and TRUNCATE_RATIO this is more than 1"
        );
        assert_eq!(refusal(&[("DRAIN", "gracefull")]), "DRAIN=gracefull: not one of graceful, close-first, abrupt, ignore");
        assert_eq!(refusal(&[("READINESS_FLAPS", "0s")]), "READINESS_FLAPS=0s: must be longer than 0s");
        assert_eq!(refusal(&[("MAX_CONCURRENCY", "0")]), "MAX_CONCURRENCY=0: not between 1 and 1000000");
        assert_eq!(refusal(&[("READY_DELAY", "9000weeks")]), "READY_DELAY=9000weeks: longer than a year");
        assert!(refusal(&[("LATENCY", "normal(1ms)")]).starts_with("LATENCY=normal(1ms): "));
        assert!(refusal(&[("PORT", "http")]).starts_with("PORT=http: "));
        assert!(refusal(&[("POD_NAME", "a\nb")]).starts_with("POD_NAME=a\nb: "));
    }
}
