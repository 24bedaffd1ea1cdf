//! Findings: each cause with its evidence and what to do about it.

use super::markup::{Element, classed, el};
use super::section;
use crate::domain::display::count;
use crate::domain::findings::{Finding, Prescription};
use crate::domain::summary::Summary;
use crate::report::words;

/// Pods that are named one by one.
const PODS: usize = 8;

/// All causes, or that none was found for what failed.
pub(super) fn findings(s: &Summary) -> Option<Element> {
    if s.findings.is_empty() {
        let unexplained = s.traffic.measured.answers.bad > 0;
        let text = "No cause can be told from what was seen; when and where it failed stands below.";
        return unexplained.then(|| section("Findings").with(classed("p", "soft").text(text)));
    }
    Some(section("Findings").all(s.findings.iter().map(finding)))
}

fn finding(f: &Finding) -> Element {
    let heading = el("h3").with(classed("code", "tag").text(&f.code)).text(format!(" {}", f.title));
    let evidence = f.evidence.iter().map(|text| el("li").text(text));
    let evidence = (!f.evidence.is_empty()).then(|| el("ul").all(evidence));
    el("article").with(heading).all(facts(f)).all(evidence).all(f.prescription.as_ref().map(prescription))
}

/// How much it explains, and where it happened.
fn facts(f: &Finding) -> Option<Element> {
    let share = (f.of > 0).then(|| ("explains", format!("{} of {} failures", count(f.failures), count(f.of))));
    let lanes = (!f.lanes.is_empty()).then(|| ("lanes", f.lanes.join(", ")));
    let phase = f.phase.map(|p| ("while", words::phase(p).to_owned()));
    let beyond = f.pods.len().saturating_sub(PODS);
    let beyond = if beyond > 0 { format!(" and {beyond} more") } else { String::new() };
    let pods = f.pods.iter().take(PODS).map(String::as_str).collect::<Vec<_>>().join(", ");
    let pods = (!f.pods.is_empty()).then(|| ("pods", format!("{pods}{beyond}")));
    let facts: Vec<_> = [share, lanes, phase, pods].into_iter().flatten().collect();
    let fact = |(name, value): (&str, String)| el("div").with(el("dt").text(name)).with(el("dd").text(value));
    (!facts.is_empty()).then(|| classed("dl", "facts").all(facts.into_iter().map(fact)))
}

fn prescription(p: &Prescription) -> Element {
    let field = p.field.as_ref().map(|field| el("p").with(el("code").text(field)));
    let patch = p.patch.as_ref().map(|patch| el("pre").with(el("code").text(format!("{patch:#}"))));
    let gain = (!p.gain.is_empty()).then(|| classed("p", "soft").text(&p.gain));
    let advice = el("p").with(el("strong").text("What to do: ")).text(&p.advice);
    classed("div", "todo").with(advice).all(field).all(patch).all(gain)
}
