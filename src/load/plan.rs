//! From a traffic plan to what the workers need: everything checked and prepared once, before the first slot.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use thiserror::Error;

use super::expect::{AssertionError, Checks};
use super::http2::Prepared;
use super::request::Request;
use super::tls::{Setup, TlsError};
use super::transport::{HTTP1, HTTP2};
use crate::domain::pacing::Pacer;
use crate::domain::time::{At, micros};
use crate::domain::traffic::{Arrivals, Expect, LanePlan, Micros, Mode, Name, ProtocolChoice, Schedule, TrafficPlan};

/// Slots a second that one process sends at most, whatever it is asked for.
pub const RATE_CEILING: u32 = 200_000;

const LANES_MAX: usize = 16;
const CONNECTIONS_MAX: usize = 100_000;
const THRESHOLDS_MAX: usize = 8;
const STAGES_MAX: usize = 1_000;
/// A day.
const STAGE_MAX: Micros = 86_400_000_000;
const TIMEOUT_MAX: Micros = 600_000_000;
const BODY_MAX: usize = 1 << 30;

/// Why a traffic plan is refused.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("lane `{lane}`: {why}")]
pub struct LaneError {
    /// The lane.
    pub lane: Name,
    /// What is wrong with it.
    pub why: Unfit,
}

/// What is wrong with a lane.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum Unfit {
    /// No schedule can be made of it.
    #[error("a rate of {0} slots a second is no rate")]
    Rate(f64),
    /// Another lane has the same name.
    #[error("the name is taken by another lane")]
    Name,
    /// The URL cannot be parsed, or has no host.
    #[error("`{0}` is no URL of the form http://host:port/path")]
    Url(String),
    /// A scheme that this driver does not speak.
    #[error("`{0}`: only http:// and https:// are supported")]
    Scheme(String),
    /// A user or password in the URL.
    #[error("a URL must not hold credentials: set an authorization header")]
    Credentials,
    /// An IPv6 address with a zone.
    #[error("`{0}` names an IPv6 zone, which means something on one machine only")]
    Zone(String),
    /// A body with a method that has none.
    #[error("a request with a body needs a method that has one, not {0}")]
    Body(String),
    /// TLS that cannot be begun.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An assertion that cannot be checked.
    #[error(transparent)]
    Assertion(#[from] AssertionError),
    /// A method that is none, or that would turn the connection into something else.
    #[error("`{0}` is no request method that can be sent")]
    Method(String),
    /// A header that is malformed, or that the driver itself must set.
    #[error("the header `{0}` cannot be set")]
    Header(String),
    /// A number out of range.
    #[error("{what} must be between {min} and {max}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its least value.
        min: u64,
        /// Its greatest value.
        max: u64,
    },
    /// Thresholds out of order.
    #[error("the latency thresholds must ascend")]
    Thresholds,
    /// A range of statuses that contains none.
    #[error("the wanted statuses {0}-{1} are no range within 200-599")]
    Status(u16, u16),
}

/// A lane, ready to be sent.
#[derive(Debug)]
pub(crate) struct LaneSpec {
    pub(crate) name: Name,
    pub(crate) mode: Mode,
    pub(crate) rate: f64,
    pub(crate) schedule: Schedule,
    pub(crate) start: At,
    pub(crate) endpoint: Endpoint,
    /// The bytes of every request of this lane, in HTTP/1.1.
    pub(crate) request: Vec<u8>,
    /// And in HTTP/2, if that may be spoken.
    pub(crate) http2: Prepared,
    pub(crate) protocol: ProtocolChoice,
    /// For `https://`.
    pub(crate) tls: Option<Setup>,
    /// The method is HEAD.
    pub(crate) bodiless: bool,
    pub(crate) expect: Expect,
    /// What `expect` says of headers and body, prepared.
    pub(crate) checks: Checks,
    pub(crate) timeout: Micros,
    pub(crate) connect_timeout: Micros,
    pub(crate) thresholds: Vec<Micros>,
    pub(crate) max_in_flight: usize,
    /// Response headers that a trace keeps: none but for a single request.
    pub(crate) kept_headers: Vec<String>,
}

/// Where a lane connects to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Endpoint {
    /// An address: nothing to resolve.
    Address(SocketAddr),
    /// A name, resolved again and again while the lane runs.
    Name { host: String, port: u16 },
    /// The pods that the driver is told of while the lane runs.
    Pods,
}

impl LaneSpec {
    /// Checks and prepares one lane.
    pub(crate) fn new(plan: &LanePlan, run_id: &str) -> Result<Self, Unfit> {
        check_schedule(plan)?;
        let max_in_flight = ranged("max_in_flight", plan.max_in_flight, 1, 10_000_000)?;
        if let Mode::Kept { connections } = plan.mode {
            ranged("connections", connections, 1, CONNECTIONS_MAX)?;
        }
        ranged("max_body", plan.expect.max_body, 1, BODY_MAX)?;
        ranged("the number of thresholds", plan.thresholds.len(), 0, THRESHOLDS_MAX)?;
        if plan.thresholds.first() == Some(&0) || !plan.thresholds.is_sorted_by(|a, b| a < b) {
            return Err(Unfit::Thresholds);
        }
        if let Some((from, to)) = plan.expect.status.iter().find(|(from, to)| *from < 200 || *to > 599 || from > to) {
            return Err(Unfit::Status(*from, *to));
        }
        let request = Request::new(&plan.request, run_id)?;
        let endpoint = request.endpoint(plan.request.connect_to.as_deref())?;
        let protocol = plan.request.protocol;
        let alpn: &[&[u8]] = match protocol {
            ProtocolChoice::Http1 => &[HTTP1],
            ProtocolChoice::Http2 => &[HTTP2],
            ProtocolChoice::Auto => &[HTTP2, HTTP1],
        };
        let setup = || Setup::new(&plan.request.tls, request.host(), plan.mode, alpn);
        Ok(Self {
            name: plan.name.clone(),
            mode: plan.mode,
            rate: plan.rate,
            schedule: plan.schedule.clone(),
            start: plan.start,
            endpoint,
            request: request.http1(plan.mode),
            http2: if protocol == ProtocolChoice::Http1 { Prepared::default() } else { request.http2() },
            protocol,
            tls: request.is_https().then(setup).transpose()?,
            bodiless: request.method == Method::HEAD,
            expect: plan.expect.clone(),
            checks: Checks::new(&plan.expect)?,
            timeout: ranged("timeout", micros(plan.timeout), 1_000, TIMEOUT_MAX)?,
            connect_timeout: ranged("connect_timeout", micros(plan.connect_timeout), 1_000, TIMEOUT_MAX)?,
            thresholds: plan.thresholds.clone(),
            max_in_flight,
            kept_headers: Vec::new(),
        })
    }
}

impl LaneSpec {
    /// The highest rate of the schedule, in slots a second.
    pub(crate) fn peak(&self) -> f64 {
        self.schedule.peak(self.rate)
    }
}

/// Whether a lane can be sent as it is planned.
pub fn check(plan: &LanePlan) -> Result<(), Unfit> {
    LaneSpec::new(plan, "").map(drop)
}

fn check_schedule(plan: &LanePlan) -> Result<(), Unfit> {
    let Schedule { arrivals, stages } = &plan.schedule;
    ranged("the number of stages", stages.len(), 0, STAGES_MAX)?;
    for stage in stages {
        ranged("the length of a stage", micros(stage.over), 0, STAGE_MAX)?;
    }
    if let Arrivals::Closed { users, think } = *arrivals {
        ranged("users", users, 1, CONNECTIONS_MAX)?;
        ranged("think time", micros(think), 0, STAGE_MAX)?;
    }
    if let Mode::Stream { length, stall } = plan.mode {
        ranged("the length of a stream", micros(length), 1_000, STAGE_MAX)?;
        ranged("the silence that fails a stream", micros(stall), 1_000, TIMEOUT_MAX)?;
    }
    if Pacer::staged(At::ZERO, plan.rate, stages).is_none() {
        let wrong = stages.iter().map(|stage| stage.rate).chain([plan.rate]).find(|rate| !(rate.is_finite() && *rate > 0.0));
        return Err(Unfit::Rate(wrong.unwrap_or(plan.rate)));
    }
    Ok(())
}

/// Checks and prepares all lanes of a plan.
pub(crate) fn lanes(plan: &TrafficPlan) -> Result<Vec<LaneSpec>, super::StartError> {
    if plan.lanes.is_empty() || plan.lanes.len() > LANES_MAX {
        return Err(super::StartError::Lanes { given: plan.lanes.len(), max: LANES_MAX });
    }
    let mut specs: Vec<LaneSpec> = Vec::new();
    for lane in &plan.lanes {
        let unfit = |why| LaneError { lane: lane.name.clone(), why };
        if specs.iter().any(|spec| spec.name == lane.name) || *lane.name == *super::echo::LANE {
            return Err(unfit(Unfit::Name).into());
        }
        specs.push(LaneSpec::new(lane, &plan.run_id).map_err(unfit)?);
    }
    Ok(specs)
}

fn ranged<T: Copy + TryInto<u64>>(what: &'static str, value: T, min: u64, max: impl TryInto<u64>) -> Result<T, Unfit> {
    let max = max.try_into().unwrap_or(u64::MAX);
    let within = value.try_into().is_ok_and(|v| (min..=max).contains(&v));
    if within { Ok(value) } else { Err(Unfit::Range { what, min, max }) }
}

/// Slots a second promised to the running drivers of this process.
static PROMISED: AtomicU64 = AtomicU64::new(0);

/// A driver's share of the process's ceiling; given back when dropped.
#[derive(Debug)]
pub(crate) struct Share(u64);

impl Share {
    /// Nothing yet.
    pub(crate) fn none() -> Self {
        Self(0)
    }

    /// Asks for `rate` slots a second in place of what was promised before. `false`, and no change, when that is too much.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, which is above the ceiling")]
    pub(crate) fn resize(&mut self, rate: f64) -> bool {
        let wanted = rate.ceil() as u64;
        let grant = |promised: u64| {
            let all = (promised - self.0).saturating_add(wanted);
            (all <= u64::from(RATE_CEILING) || wanted <= self.0).then_some(all)
        };
        let granted = PROMISED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, grant).is_ok();
        if granted {
            self.0 = wanted;
        }
        granted
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        PROMISED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::traffic::{RequestPlan, Stage};

    fn plan(url: &str) -> LanePlan {
        LanePlan {
            name: "fresh".into(),
            mode: Mode::Fresh,
            rate: 10.0,
            schedule: Schedule::default(),
            start: At::ZERO,
            request: RequestPlan { url: url.into(), ..RequestPlan::default() },
            expect: Expect::default(),
            timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            max_in_flight: 100,
            thresholds: vec![],
        }
    }

    fn spec(url: &str) -> Result<LaneSpec, Unfit> {
        LaneSpec::new(&plan(url), "r1")
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_its_reason() {
        assert_eq!(spec("ftp://a/").unwrap_err(), Unfit::Scheme("ftp://a/".into()));
        let refused = |change: fn(&mut LanePlan)| {
            let mut plan = plan("http://a/");
            change(&mut plan);
            LaneSpec::new(&plan, "r").unwrap_err().to_string()
        };
        assert_eq!(refused(|p| p.rate = 0.0), "a rate of 0 slots a second is no rate");
        assert_eq!(
            refused(|p| p.schedule.arrivals = Arrivals::Closed { users: 0, think: Duration::ZERO }),
            "users must be between 1 and 100000"
        );
        let stage = Stage { over: Duration::from_secs(1), rate: f64::NAN };
        let mut staged = plan("http://a/");
        staged.schedule.stages.push(stage);
        assert_eq!(LaneSpec::new(&staged, "r").unwrap_err().to_string(), "a rate of NaN slots a second is no rate");
        assert_eq!(
            refused(|p| p.request.connect_to = Some("noport".into())),
            "`noport` is no URL of the form http://host:port/path"
        );
        assert_eq!(refused(|p| p.mode = Mode::Kept { connections: 0 }), "connections must be between 1 and 100000");
        assert_eq!(refused(|p| p.timeout = Duration::ZERO), "timeout must be between 1000 and 600000000");
        assert_eq!(refused(|p| p.thresholds = vec![5, 5]), "the latency thresholds must ascend");
        assert_eq!(refused(|p| p.expect.status = vec![(200, 199)]), "the wanted statuses 200-199 are no range within 200-599");
    }

    #[test]
    fn the_process_has_one_ceiling_for_all_its_drivers() {
        let (mut a, mut b) = (Share::none(), Share::none());
        assert!(!a.resize(200_001.0));
        assert!(a.resize(150_000.0));
        assert!(!b.resize(50_001.0));
        assert!(b.resize(100.5));
        assert!(a.resize(1_000.0), "less is always granted");
        drop(a);
        assert!(b.resize(120_000.0));
    }
}
