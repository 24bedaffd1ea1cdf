//! `verifier load`: the bare driver, a line a second while it runs, and a report at the end.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use hdrhistogram::serialization::V2DeflateSerializer;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::args::{Format, LaneKind, LoadArgs, RequestArgs};
use super::output::{complain, print, say};
use super::sandbox::{block_on, draw};
use crate::clock::Clock;
use crate::cluster::chain;
use crate::domain::display::{clean, count};
use crate::domain::objective::Ppm;
use crate::domain::outcome::{Blame, Counts};
use crate::domain::secret::Secret;
use crate::domain::time::{At, micros};
use crate::domain::traffic::{
    Arrivals, Authorities, ClientIdentity, Expect, LanePlan, Mode, Name, ProtocolChoice, RequestPlan, Schedule, TlsPlan,
    TrafficPlan,
};
use crate::exit::Exit;
use crate::load::bench::{Bench, BenchError, Interval, LatencyMs, LoadReport, begin_hdr, bench, write_hdr};
use crate::load::{RATE_CEILING, StartError};

/// Requests under way at most, of each lane.
const IN_FLIGHT_MAX: usize = 200_000;

pub(super) fn main(args: &LoadArgs) -> Exit {
    if let Err(message) = pin(&args.pin) {
        return complain(&message, Exit::Usage);
    }
    let seed = match args.seed.map_or_else(draw, Ok) {
        Ok(seed) => seed,
        Err(message) => return complain(&message, Exit::Unreachable),
    };
    let plan = plan(args, seed);
    block_on(go(args, &plan)).unwrap_or_else(|error| complain(&error, Exit::Unreachable))
}

/// Threads that are started later inherit it.
fn pin(cores: &[usize]) -> Result<(), String> {
    if cores.is_empty() {
        return Ok(());
    }
    if let Some(core) = cores.iter().find(|core| **core >= CpuSet::MAX_CPU) {
        return Err(format!("there is no core {core}"));
    }
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).map_err(|e| format!("cannot run on the cores asked for: {e}"))
}

fn plan(args: &LoadArgs, seed: u64) -> TrafficPlan {
    let users = args.connections;
    let arrivals = match (args.closed, args.think, args.poisson) {
        (_, Some(think), _) => Arrivals::Closed { users, think },
        (true, None, _) => Arrivals::Closed { users, think: Duration::ZERO },
        (false, None, true) => Arrivals::Poisson,
        (false, None, false) => Arrivals::Even,
    };
    let mut lanes = args.lanes.clone();
    lanes.dedup();
    let most = f64::from(RATE_CEILING) / lanes.len().max(1) as f64;
    let rate = args.rate.unwrap_or(most);
    let schedule = Schedule { arrivals, stages: args.profile.clone() };
    let lane = |kind: &LaneKind| {
        let (name, mode) = match kind {
            LaneKind::Fresh => ("fresh", Mode::Fresh),
            LaneKind::Kept => ("kept", Mode::Kept { connections: args.connections }),
        };
        LanePlan {
            max_in_flight: in_flight(&schedule, rate, args.request.timeout),
            schedule: schedule.clone(),
            ..lane_plan(&args.request, name, mode, rate)
        }
    };
    TrafficPlan { lanes: lanes.iter().map(lane).collect(), seed, run_id: format!("load-{:08x}", seed & 0xffff_ffff) }
}

/// A lane that asks for what was typed.
pub(super) fn lane_plan(request: &RequestArgs, name: &str, mode: Mode, rate: f64) -> LanePlan {
    LanePlan {
        name: name.into(),
        mode,
        rate,
        schedule: Schedule::default(),
        start: At::ZERO,
        request: RequestPlan {
            url: request.url.clone(),
            connect_to: request.connect_to.clone(),
            method: request.method.clone(),
            headers: request.header.iter().map(|(name, value)| (name.clone(), Secret::new(value.as_str()))).collect(),
            body: request.body.clone().unwrap_or_default(),
            protocol: protocol(request),
            tls: TlsPlan {
                authorities: request.cacert.clone().map_or(Authorities::System, Authorities::File),
                client: client_identity(request),
                insecure_accept_any_certificate: request.insecure,
                resume: None,
            },
        },
        expect: Expect::default(),
        timeout: request.timeout,
        connect_timeout: request.connect_timeout,
        max_in_flight: 1,
        thresholds: Vec::new(),
    }
}

const fn protocol(request: &RequestArgs) -> ProtocolChoice {
    match (request.http2, request.alpn) {
        (true, _) => ProtocolChoice::Http2,
        (false, true) => ProtocolChoice::Auto,
        (false, false) => ProtocolChoice::Http1,
    }
}

fn client_identity(request: &RequestArgs) -> Option<ClientIdentity> {
    let (certificate, key) = request.cert.clone().zip(request.key.clone())?;
    Some(ClientIdentity { certificate, key })
}

/// As many as a target that answers nothing keeps waiting, and a few more.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates and is bounded")]
fn in_flight(schedule: &Schedule, rate: f64, timeout: Duration) -> usize {
    let waiting = schedule.peak(rate) * (timeout.as_secs_f64() + 1.0);
    (waiting as usize).clamp(100, IN_FLIGHT_MAX)
}

async fn go(args: &LoadArgs, plan: &TrafficPlan) -> Exit {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return complain(&format!("could not watch for signals: {error}"), Exit::Unreachable),
    };
    let called_off = async {
        let kind = tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
        };
        stop.cancel();
        kind
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let whole = Bench { plan, workers: args.workers.unwrap_or(cores.min(2)), warm_up: args.warm_up, duration: args.duration };
    let running = run(args, whole, &stop);
    tokio::pin!(running, called_off);
    let (ended, signalled) = tokio::select! {
        ended = &mut running => (ended, None),
        kind = &mut called_off => (running.await, Some(kind)),
    };
    match ended {
        Err(
            error @ BenchError::Start(
                StartError::Lane(_) | StartError::Lanes { .. } | StartError::Ceiling { .. } | StartError::Workers(_),
            ),
        ) => complain(&chain(&error), Exit::Usage),
        Err(error) => complain(&chain(&error), Exit::Unreachable),
        Ok(report) => match (finish(args, &report), signalled) {
            (Exit::Pass, Some(kind)) => Exit::Signal(kind.as_raw_value()),
            (exit, _) => exit,
        },
    }
}

async fn run(args: &LoadArgs, whole: Bench<'_>, stop: &CancellationToken) -> Result<LoadReport, BenchError> {
    let names: Vec<Name> = whole.plan.lanes.iter().map(|lane| lane.name.clone()).collect();
    let Some(path) = &args.hdr else {
        return bench(whole, stop, |interval| {
            say(&line(&names, interval));
            Ok(())
        })
        .await;
    };
    let told = |error: io::Error| BenchError::Told(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
    let mut file = BufWriter::new(File::create(path).map_err(told)?);
    let mut serializer = V2DeflateSerializer::new();
    let start = Clock::start().wall_start().into();
    let mut log = begin_hdr(&mut file, &mut serializer, start).map_err(|e| told(e.into()))?;
    let report = bench(whole, stop, |interval| {
        say(&line(&names, interval));
        if interval.warm_up {
            return Ok(());
        }
        Ok(write_hdr(&mut log, &names, interval)?)
    })
    .await?;
    file.flush().map_err(told)?;
    Ok(report)
}

fn finish(args: &LoadArgs, report: &LoadReport) -> Exit {
    let printed = match args.output {
        Format::Text => print(&text(report)),
        Format::Json => match report.document() {
            Ok(text) => print(&text),
            Err(error) => complain(&format!("could not write the report: {error}"), Exit::Usage),
        },
    };
    match (printed, report.reached || report.outcomes.total() == 0) {
        (Exit::Pass, false) => complain(&format!("nothing could be reached at {}", clean(&report.url)), Exit::Unreachable),
        (exit, _) => exit,
    }
}

/// A second in one line.
fn line(names: &[Name], interval: &Interval) -> String {
    let second = interval.to.0.div_ceil(1_000_000);
    let lanes = names.iter().zip(&interval.lanes).map(|(name, lane)| {
        let quantile = |ppm| lane.latency.quantile(Ppm(ppm)).map_or("-".into(), |time| ms(Some(micros(time) as f64 / 1_000.0)));
        let failed = lane.counts.bad();
        let excluded = lane.counts.of(Blame::Verifier);
        let bad = match (failed, excluded) {
            (0, 0) => String::new(),
            (_, 0) => format!("  {} failed", count(failed)),
            (0, _) => format!("  {} not measured", count(excluded)),
            (..) => format!("  {} failed, {} not measured", count(failed), count(excluded)),
        };
        format!("{name} {:>7} ok  p50 {} ms  p99 {} ms{bad}", count(lane.counts.good()), quantile(500_000), quantile(990_000))
    });
    let lanes: Vec<String> = lanes.collect();
    let what = if interval.warm_up { "  (warm-up)" } else { "" };
    format!("{second:>4}s  {}  {} under way{what}", lanes.join("  |  "), count(interval.in_flight))
}

/// Milliseconds with three digits.
fn ms(value: Option<f64>) -> String {
    match value {
        None => "-".into(),
        Some(v) if v < 10.0 => format!("{v:.2}"),
        Some(v) if v < 100.0 => format!("{v:.1}"),
        Some(v) => format!("{v:.0}"),
    }
}

/// The report for people.
fn text(report: &LoadReport) -> String {
    let mut lines = vec![format!(
        "{}  {:.1} s{}, {} sending{}, run {}, seed {}",
        clean(&report.url),
        report.duration_s,
        if report.interrupted { " (called off)" } else { "" },
        crate::domain::display::plural(report.workers as u64, "thread"),
        if report.closed { ", closed loop" } else { "" },
        report.run_id,
        report.seed,
    )];
    let head = ["lane", "planned", "ok", "failed", "not measured", "rate/s", "p50", "p90", "p99", "p99.9", "max ms"];
    let row = |name: &str, planned: u64, counts: &Counts, rate: f64, l: &LatencyMs| {
        let mut cells = vec![name.to_owned(), count(planned), count(counts.good()), count(counts.bad())];
        cells.push(count(counts.of(Blame::Verifier)));
        cells.push(format!("{rate:.1}"));
        cells.extend([l.p50, l.p90, l.p99, l.p999, l.max].map(ms));
        cells
    };
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(report.lanes.iter().map(|l| row(&l.name, l.planned, &l.outcomes, l.achieved_rate, &l.latency_ms)));
    if report.lanes.len() > 1 {
        let planned = report.lanes.iter().map(|lane| lane.planned).sum();
        rows.push(row("all", planned, &report.outcomes, report.achieved_rate, &report.latency_ms));
    }
    lines.extend(aligned(&rows));
    let failures = report.outcomes.iter().filter(|(outcome, _)| outcome.blame() != Blame::Nobody);
    lines.extend(failures.map(|(outcome, n)| format!("{:>9}  {}: {}", count(n), outcome.label(), outcome.meaning())));
    if report.unfinished > 0 {
        lines.push(format!("{} had not ended when it was called off", count(report.unfinished)));
    }
    if report.closed {
        lines.push("closed loop: the target was asked only when it had answered; these latencies are not those of users who come on their own".into());
    }
    let record = &report.validity.record;
    let lag = format!(
        "sent {} ms late (p99 of the worst second), {} ms at most",
        ms(Some(micros_ms(record.lag.p99))),
        ms(Some(micros_ms(record.lag.max)))
    );
    lines.push(format!("the measurement is {}: {lag}", if report.validity.valid { "valid" } else { "NOT valid" }));
    lines.extend(report.validity.doubts.iter().map(|doubt| format!("  {doubt}")));
    lines.join("\n") + "\n"
}

fn micros_ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// Columns: the first to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
    let cell = |(column, text): (usize, &String)| {
        let width = widths.get(column).copied().unwrap_or(0);
        if column == 0 { format!("{text:<width$}") } else { format!("{text:>width$}") }
    };
    rows.iter().map(|row| row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Args, Command};
    use super::*;
    use crate::domain::latency::Latencies;
    use crate::domain::outcome::Outcome;
    use crate::domain::traffic::Stage;
    use crate::load::bench::LaneInterval;

    fn typed(words: &str) -> Result<TrafficPlan, String> {
        let args = Args::try_parse_from(["verifier", "load"].into_iter().chain(words.split(' '))).map_err(|e| e.to_string())?;
        let Command::Load(args) = args.command else { panic!("{args:?}") };
        Ok(plan(&args, 7))
    }

    #[test]
    fn what_is_typed_is_what_is_sent() {
        let plan = typed("http://a/ --rate 50 --profile 10s:500,0s:5 --poisson --lanes kept,fresh -c 4").unwrap();
        let stages = vec![Stage { over: Duration::from_secs(10), rate: 500.0 }, Stage { over: Duration::ZERO, rate: 5.0 }];
        let kept = &plan.lanes[0];
        assert_eq!((kept.mode, kept.rate, kept.max_in_flight), (Mode::Kept { connections: 4 }, 50.0, 5_500));
        assert_eq!(kept.schedule, Schedule { arrivals: Arrivals::Poisson, stages });
        assert_eq!((&*plan.lanes[1].name, plan.lanes[1].mode, plan.lanes.len()), ("fresh", Mode::Fresh, 2));
        let closed = typed("http://a/ --closed -c 100").unwrap();
        let users = |think| Arrivals::Closed { users: 100, think };
        assert_eq!((closed.lanes[0].rate, closed.lanes[0].schedule.arrivals), (200_000.0, users(Duration::ZERO)));
        let thinking = typed("http://a/ --think 2s -c 100").unwrap();
        assert_eq!(thinking.lanes[0].schedule.arrivals, users(Duration::from_secs(2)));
        assert!(typed("http://a/").unwrap_err().contains("--rate"));
        assert!(typed("http://a/ --closed --poisson").unwrap_err().contains("cannot be used with"));
    }

    #[test]
    fn a_second_is_one_line() {
        let mut latency = Latencies::default();
        latency.add(1_000, 1);
        latency.add(250_000, 1);
        let mut lane = LaneInterval { latency, ..LaneInterval::default() };
        lane.counts.add(Outcome::Ok, 2);
        lane.counts.add(Outcome::Refused, 1_500);
        let interval = Interval { to: At(3_000_000), in_flight: 2, lanes: vec![lane], ..Interval::default() };
        let expected = "   3s  kept       2 ok  p50 1.00 ms  p99 250 ms  1,500 failed  2 under way";
        assert_eq!(line(&["kept".into()], &interval), expected);
    }
}
