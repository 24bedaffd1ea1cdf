//! `verifier probe --once`: a single request, and all that was seen of it.

use std::fmt::Write;
use std::time::Duration;

use super::args::{Format, ProbeArgs};
use super::load::lane_plan;
use super::output::{complain, print};
use super::sandbox::{block_on, draw};
use crate::clock::Clock;
use crate::cluster::chain;
use crate::domain::display::{clean, span};
use crate::domain::outcome::{Blame, Outcome};
use crate::domain::traffic::Mode;
use crate::exit::Exit;
use crate::load::{OnceError, OnceReport, Protocol, TlsFacts, once};

pub(super) fn main(args: &ProbeArgs) -> Exit {
    let run_id = match draw() {
        Ok(number) => format!("probe-{:08x}", number & 0xffff_ffff),
        Err(message) => return complain(&message, Exit::Unreachable),
    };
    let lane = lane_plan(&args.request, "probe", Mode::Fresh, 1.0);
    let report = match block_on(once(&lane, &run_id, Clock::start())) {
        Ok(Ok(report)) => report,
        Ok(Err(error @ OnceError::Lane(_))) => return complain(&chain(&error), Exit::Usage),
        Ok(Err(error)) => return complain(&chain(&error), Exit::Unreachable),
        Err(message) => return complain(&message, Exit::Unreachable),
    };
    let printed = match args.output {
        Format::Text => print(&text(&args.request.url, &report, args.verbose)),
        Format::Json => match serde_json::to_string_pretty(&report) {
            Ok(text) => print(&(text + "\n")),
            Err(error) => complain(&format!("could not write the report: {error}"), Exit::Usage),
        },
    };
    if printed == Exit::Pass { exit(report.outcome) } else { printed }
}

/// A good answer passes; one that is not is a breach when there was one, and otherwise the target could not be reached.
fn exit(outcome: Outcome) -> Exit {
    match (outcome, outcome.blame()) {
        (_, Blame::Nobody) => Exit::Pass,
        (Outcome::Refused | Outcome::ConnectTimeout | Outcome::Dns, _) => Exit::Unreachable,
        (_, Blame::Target) => Exit::Breach,
        (_, Blame::Verifier) => Exit::Inconclusive,
    }
}

fn text(url: &str, report: &OnceReport, verbose: bool) -> String {
    let status = report.status.map(|status| format!(" {status}")).unwrap_or_default();
    let mut text = format!("{}  {}{status} in {}\n", clean(url), report.outcome.label(), time(report.phases.total));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:<16} {value}");
        }
    };
    if report.outcome != Outcome::Ok {
        line(
            "why",
            &format!("{}{}{}", report.outcome.meaning(), if report.note.is_empty() { "" } else { ": " }, clean(&report.note)),
        );
    }
    if !verbose {
        return text;
    }
    let phases = [
        ("name resolved", report.phases.dns),
        ("connected", report.phases.connect),
        ("TLS agreed on", report.phases.tls),
        ("first byte", report.phases.first_byte),
        ("last byte", report.phases.last_byte),
    ];
    for (name, phase) in phases {
        line(name, &phase.map(|micros| format!("+{}", time(micros))).unwrap_or_default());
    }
    line("peer", &report.peer.map(|peer| peer.to_string()).unwrap_or_default());
    line("protocol", report.protocol.map(Protocol::label).unwrap_or_default());
    line("TLS", &report.tls.as_ref().map(tls).unwrap_or_default());
    line("pod", &clean(report.pod.as_deref().unwrap_or_default()));
    line("version", &clean(report.version.as_deref().unwrap_or_default()));
    for (name, value) in &report.headers {
        line(&format!("{}:", clean(name)), &clean(value));
    }
    text
}

fn tls(facts: &TlsFacts) -> String {
    let alpn = facts.alpn.as_deref().map_or_else(|| "no ALPN".to_owned(), |chosen| format!("ALPN {}", clean(chosen)));
    format!("{} {}, {alpn}{}", facts.version, facts.cipher, if facts.resumed { ", resumed" } else { "" })
}

fn time(micros: u64) -> String {
    span(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::OncePhases;

    #[test]
    fn a_probe_tells_its_phases_and_why_it_failed() {
        let phases = OncePhases { connect: Some(1_250), first_byte: Some(20_000), total: 21_300, ..OncePhases::default() };
        let report = OnceReport {
            outcome: Outcome::Truncated,
            status: Some(200),
            protocol: Some(Protocol::Http2),
            tls: Some(TlsFacts {
                version: "TLSv1_3".into(),
                cipher: "X".into(),
                alpn: Some("h2".into()),
                resumed: false,
                certificates: 1,
            }),
            peer: Some("127.0.0.1:80".parse().unwrap()),
            phases,
            pod: Some("a".into()),
            version: None,
            headers: vec![("server".into(), "x".into())],
            note: "closed by the other side".into(),
        };
        let brief = text("http://a/", &report, false);
        let why = format!("  why              {}: closed by the other side\n", Outcome::Truncated.meaning());
        assert_eq!(brief, format!("http://a/  truncated 200 in 21.3 ms\n{why}"));
        let rest = "  connected        +1.25 ms\n  first byte       +20 ms\n  peer             127.0.0.1:80\n  protocol         http/2\n  TLS              TLSv1_3 X, ALPN h2\n  pod              a\n  server:          x\n";
        assert_eq!(text("http://a/", &report, true), brief + rest);
        assert_eq!([Outcome::Ok, Outcome::AppStatus, Outcome::Refused, Outcome::NoPort].map(|o| exit(o).code()), [0, 1, 4, 3]);
    }
}
