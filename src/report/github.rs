//! What GitHub Actions shows of a run: annotations, outputs of the step, and its summary.

use super::markdown;
use crate::domain::summary::Summary;
use crate::domain::verdict::VerdictKind;

/// A step shows ten annotations of a kind; one is the verdict's.
const FINDINGS: usize = 9;
/// GitHub refuses a step summary of more than a mebibyte.
const SUMMARY_MAX: usize = 1_000_000;

/// Workflow commands, a line each: the verdict, unless it is a pass, and each finding.
pub fn annotations(s: &Summary) -> Vec<String> {
    let level = match s.verdict.verdict {
        Some(VerdictKind::Breach) => "error",
        Some(VerdictKind::Pass | VerdictKind::Inconclusive | VerdictKind::Superseded | VerdictKind::Aborted) | None => "warning",
    };
    let word = s.verdict.verdict.map_or("undecided", VerdictKind::label).to_uppercase();
    let reason = s.verdict.reasons.first().map_or("the run is not over", |r| &r.message);
    let next = s.next.as_ref().map(|command| format!("\n{command}")).unwrap_or_default();
    let verdict = (s.verdict.verdict != Some(VerdictKind::Pass))
        .then(|| command(level, &format!("{word} deploy/{}", s.run.deployment), &format!("{reason}{next}")));
    let finding = |f: &crate::domain::findings::Finding| {
        let advice = f.prescription.as_ref().map(|p| format!("\ndo: {}", p.advice)).unwrap_or_default();
        command(level, &f.code, &format!("{}{advice}", f.title))
    };
    verdict.into_iter().chain(s.findings.iter().take(FINDINGS).map(finding)).collect()
}

/// Lines for the file of the step's outputs: `verdict`, `availability` as a share of one (empty when nothing was measured), `findings` with
/// commas between, `run-id`.
pub fn outputs(s: &Summary) -> String {
    let verdict = s.verdict.verdict.map_or("undecided", VerdictKind::label);
    let share = s.traffic.measured.answers.availability_ppm.map(|ppm| format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000));
    let findings: Vec<&str> = s.findings.iter().map(|f| f.code.as_str()).collect();
    let lines = [
        ("verdict", verdict.to_owned()),
        ("availability", share.unwrap_or_default()),
        ("findings", findings.join(",")),
        ("run-id", s.run.id.clone()),
    ];
    // A line break in a value would begin another output.
    let line = |(key, value): (&str, String)| [key, "=", &value.replace(['\r', '\n'], " "), "\n"].concat();
    lines.map(line).concat()
}

/// The step's summary, no longer than GitHub takes it.
pub fn step_summary(s: &Summary) -> String {
    let mut text = markdown::document(s);
    if text.len() > SUMMARY_MAX {
        text.truncate(text.floor_char_boundary(SUMMARY_MAX));
        text.push_str("\n\n(cut here)\n");
    }
    text
}

fn command(level: &str, title: &str, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    format!("::{level} title={}::{}", data(title).replace(':', "%3A").replace(',', "%2C"), data(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{breach, crash_loop, fold, healthy, sick_before};

    fn of(events: &[crate::domain::event::Event]) -> Summary {
        Summary::of(&fold(events))
    }

    #[test]
    fn a_breach_is_an_error_and_what_is_no_verdict_a_warning() {
        let all = annotations(&of(&crash_loop()));
        assert!(all[0].starts_with("::error title=BREACH deploy/backend::the rollout cannot complete: pod"), "{all:?}");
        assert!(all[0].contains("%0Akubectl logs -n todo"), "{all:?}");
        assert!(all[1].starts_with("::error title=V301::"), "{all:?}");
        assert!(annotations(&of(&sick_before()))[0].starts_with("::warning title=INCONCLUSIVE deploy/backend::"));
        assert_eq!(annotations(&of(&healthy())), Vec::<String>::new());
    }

    #[test]
    fn nothing_in_a_message_ends_it_or_begins_another() {
        assert_eq!(command("error", "a,b:c%", "50 %\n::set-output x"), "::error title=a%2Cb%3Ac%25::50 %25%0A::set-output x");
        let mut summary = of(&breach());
        summary.run.id = "r\nverdict=pass".into();
        assert_eq!(outputs(&summary).lines().count(), 4);
    }

    #[test]
    fn outputs_are_for_programs() {
        let lines: Vec<String> = outputs(&of(&healthy())).lines().map(str::to_owned).collect();
        assert_eq!(lines, ["verdict=pass", "availability=1.000000", "findings=", "run-id=r-7f3a"]);
        assert!(outputs(&of(&breach())).contains("findings=V101\n"), "{}", outputs(&of(&breach())));
    }

    #[test]
    fn a_summary_is_cut_before_github_refuses_it() {
        let mut summary = of(&breach());
        summary.verdict.reasons[0].message = "ä".repeat(SUMMARY_MAX);
        let text = step_summary(&summary);
        assert!(text.len() < SUMMARY_MAX + 100 && text.ends_with("(cut here)\n"));
    }
}
