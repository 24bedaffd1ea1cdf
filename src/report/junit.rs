//! The summary as JUnit XML, for who shows test results: a case for each objective, and one for what no objective says.

use std::fmt::Write as _;

use crate::domain::findings::Finding;
use crate::domain::summary::{Objective, ObjectiveState, Summary};
use crate::domain::verdict::VerdictKind;

/// The case for everything that is not an objective's: a stuck rollout, a comparison of versions, a run that said nothing.
const ROLLOUT: &str = "the rollout can be judged and completes";

/// How one case ended.
enum Ending {
    Passed,
    Failed {
        kind: String,
        message: String,
    },
    /// Not judged: neither good nor bad.
    Errored {
        kind: String,
        message: String,
    },
    Skipped(String),
}

/// The whole document.
pub fn document(s: &Summary) -> String {
    let mut cases: Vec<(String, Ending)> = s.objectives.iter().map(|o| (o.objective.clone(), objective(o, s))).collect();
    cases.push((ROLLOUT.to_owned(), rollout(s)));
    let number = |is: fn(&Ending) -> bool| cases.iter().filter(|(_, e)| is(e)).count();
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
        cases.len(),
        number(|e| matches!(e, Ending::Failed { .. })),
        number(|e| matches!(e, Ending::Errored { .. })),
        number(|e| matches!(e, Ending::Skipped(_))),
        seconds(s)
    );
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    line(&mut text, format_args!("<testsuites name=\"verifier\" {counts}>"));
    let suite = format!("{} deploy/{}", s.run.scenario, s.run.deployment);
    // Without a zone, as the form has it; it is UTC.
    let stamp = s.run.started.split(['.', 'Z']).next().unwrap_or_default();
    line(&mut text, format_args!("  <testsuite name=\"{}\" timestamp=\"{}\" {counts}>", xml(&suite), xml(stamp)));
    line(&mut text, format_args!("    <properties>"));
    for (name, value) in properties(s) {
        line(&mut text, format_args!("      <property name=\"{name}\" value=\"{}\"/>", xml(&value)));
    }
    line(&mut text, format_args!("    </properties>"));
    for (name, ending) in &cases {
        case(&mut text, name, ending, s);
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn seconds(s: &Summary) -> String {
    format!("{:.3}", s.run.duration_s.length().as_secs_f64())
}

fn properties(s: &Summary) -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("verdict", s.verdict.verdict.map_or("undecided", VerdictKind::label).to_owned()),
        ("run", s.run.id.clone()),
        ("cluster", s.run.cluster.clone()),
        ("namespace", s.run.namespace.clone()),
        ("deployment", s.run.deployment.clone()),
        ("seed", s.run.seed.to_string()),
        ("command", s.run.command.clone()),
    ];
    for (name, revision) in [("old", &s.rollout.old), ("new", &s.rollout.new)] {
        all.extend(revision.as_ref().map(|r| (name, r.revision.clone())));
    }
    all.extend(s.rollout.new.iter().flat_map(|r| &r.images).map(|(_, image)| ("image", image.clone())));
    all.extend(s.traffic.measured.answers.availability.clone().map(|share| ("availability", share)));
    all
}

fn objective(o: &Objective, s: &Summary) -> Ending {
    let why = o.why.clone().unwrap_or_default();
    match (o.state, s.verdict.verdict) {
        (ObjectiveState::Missed, _) => Ending::Failed { kind: word(o).to_owned(), message: why },
        // The statistics spoke before its budget was spent.
        (_, Some(VerdictKind::Breach)) if early(o, s).is_some() => {
            let (kind, message) = early(o, s).unwrap_or_default();
            Ending::Failed { kind, message }
        }
        (ObjectiveState::Met, Some(VerdictKind::Pass | VerdictKind::Breach)) => Ending::Passed,
        (ObjectiveState::Met, _) => Ending::Skipped("the run came to no verdict".into()),
        (ObjectiveState::Open, _) => Ending::Skipped(why),
    }
}

/// `p99` of `kept.p99 < 300ms`.
fn word(o: &Objective) -> &str {
    let metric = o.objective.split(' ').next().unwrap_or_default();
    crate::domain::objective::METRICS.into_iter().find(|m| metric == *m || metric.ends_with(&format!(".{m}"))).unwrap_or(metric)
}

/// The early reason that is about this objective.
fn early(o: &Objective, s: &Summary) -> Option<(String, String)> {
    let whole = o.objective.split(' ').next() == Some(word(o));
    let of_it = |code: &str| code.strip_prefix(word(o)).is_some_and(|who| who == ".new" || who == ".all");
    s.verdict.reasons.iter().find(|r| whole && of_it(&r.code)).map(|r| (r.code.clone(), r.message.clone()))
}

fn rollout(s: &Summary) -> Ending {
    let reason = s.verdict.reasons.first();
    let (kind, message) =
        reason.map_or(("undecided".into(), "the run is not over".into()), |r| (r.code.clone(), r.message.clone()));
    match s.verdict.verdict {
        Some(VerdictKind::Pass) => Ending::Passed,
        Some(VerdictKind::Breach) => {
            let told =
                |code: &str| s.objectives.iter().any(|o| matches!(objective(o, s), Ending::Failed { kind, .. } if kind == code));
            let untold = s.verdict.reasons.iter().find(|r| !told(&r.code));
            untold.map_or(Ending::Passed, |r| Ending::Failed { kind: r.code.clone(), message: r.message.clone() })
        }
        Some(verdict @ (VerdictKind::Inconclusive | VerdictKind::Superseded | VerdictKind::Aborted)) => {
            Ending::Errored { kind: format!("{verdict}.{kind}"), message }
        }
        None => Ending::Errored { kind, message },
    }
}

fn case(text: &mut String, name: &str, ending: &Ending, s: &Summary) {
    let head = format!("<testcase classname=\"verifier.{}\" name=\"{}\" time=\"{}\"", xml(&s.run.scenario), xml(name), seconds(s));
    let (tag, kind, message) = match ending {
        Ending::Passed => return line(text, format_args!("    {head}/>")),
        Ending::Skipped(why) => return line(text, format_args!("    {head}><skipped message=\"{}\"/></testcase>", xml(why))),
        Ending::Failed { kind, message } => ("failure", kind, message),
        Ending::Errored { kind, message } => ("error", kind, message),
    };
    let told = std::iter::once(message.clone())
        .chain(s.next.as_ref().map(|command| format!("next: {command}")))
        .chain(s.findings.iter().map(finding))
        .chain([format!("run it again: {}", s.run.command)])
        .collect::<Vec<_>>()
        .join("\n\n");
    line(text, format_args!("    {head}>"));
    line(text, format_args!("      <{tag} type=\"{}\" message=\"{}\">{}</{tag}>", xml(kind), xml(message), xml(&told)));
    line(text, format_args!("    </testcase>"));
}

fn finding(f: &Finding) -> String {
    let mut text = format!("{} {}", f.code, f.title);
    for sentence in &f.evidence {
        let _ = write!(text, "\n  {sentence}");
    }
    if let Some(p) = &f.prescription {
        let _ = write!(text, "\n  do: {}", p.advice);
        if let Some(field) = &p.field {
            let _ = write!(text, "\n  field: {field}");
        }
        if let Some(patch) = &p.patch {
            let _ = write!(text, "\n  patch: {patch}");
        }
        let _ = write!(text, "\n  gain: {}", p.gain);
    }
    text
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{what}");
}

/// Text as XML 1.0 takes it, in an attribute or between tags.
fn xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            // Not to be had in XML 1.0 in any way of writing.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fixtures::{breach, crash_loop, fold, healthy, nearly_breached, sick_before};
    use crate::report::golden;

    /// A tag's name, its attributes, and the text after it.
    type Tag = (String, Vec<(String, String)>, String);

    /// Reads a document strictly: tags are closed in order, attributes are quoted and there once, no text has a bare mark. Answers with all
    /// opening tags and the text after each.
    fn parse(document: &str) -> Vec<Tag> {
        let mut rest = document.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
        let (mut tags, mut open): (Vec<Tag>, Vec<String>) = (Vec::new(), Vec::new());
        while let Some(at) = rest.find('<') {
            let text = &rest[..at];
            assert!(
                !text.contains('>')
                    && text.replace("&amp;", "").matches('&').count()
                        == text.matches("&lt;").count() + text.matches("&gt;").count() + text.matches("&quot;").count(),
                "{text}"
            );
            if let Some(last) = tags.last_mut() {
                last.2.push_str(text.trim());
            }
            let end = at + rest[at..].find('>').unwrap();
            let inside = &rest[at + 1..end];
            rest = &rest[end + 1..];
            if let Some(name) = inside.strip_prefix('/') {
                assert_eq!(open.pop().as_deref(), Some(name));
                continue;
            }
            let (inside, closed) = inside.strip_suffix('/').map_or((inside, false), |inside| (inside, true));
            let (name, mut attributes) = inside.split_once(' ').unwrap_or((inside, ""));
            let mut found: Vec<(String, String)> = Vec::new();
            while !attributes.trim().is_empty() {
                let (key, value) = attributes.trim_start().split_once("=\"").unwrap();
                let (value, more) = value.split_once('"').unwrap();
                assert!(found.iter().all(|(k, _)| k != key), "{key} twice");
                found.push((key.into(), value.into()));
                attributes = more;
            }
            if !closed {
                open.push(name.into());
            }
            tags.push((name.into(), found, String::new()));
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?}");
        tags
    }

    fn of(events: &[crate::domain::event::Event]) -> String {
        document(&Summary::of(&fold(events)))
    }

    fn named(text: &str, tag: &str) -> Vec<String> {
        let of_tag = parse(text).into_iter().filter(|(name, _, _)| name == tag);
        of_tag.map(|(_, a, _)| a.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn each_objective_is_a_case_and_a_breach_fails_the_one_it_is_about() {
        let text = of(&breach());
        golden::check("breach.junit.xml", &text);
        assert_eq!(named(&text, "testcase").len(), 5);
        let failures = named(&text, "failure");
        assert!(failures.len() == 1 && failures[0].starts_with("type=availability message="), "{failures:?}");
        let text = of(&healthy());
        assert_eq!((named(&text, "failure").len(), named(&text, "error").len(), named(&text, "skipped").len()), (0, 0, 0));
    }

    #[test]
    fn what_is_no_objectives_fault_and_what_came_to_nothing_is_never_green() {
        let failures = named(&of(&crash_loop()), "failure");
        assert!(failures.iter().any(|f| f.starts_with("type=stuck")), "{failures:?}");
        let errors = named(&of(&sick_before()), "error");
        assert!(errors.len() == 1 && errors[0].starts_with("type=inconclusive.baseline"), "{errors:?}");
        assert_eq!(named(&of(&nearly_breached()), "error").len(), 1, "a run that is not over is not green either");
    }

    #[test]
    fn foreign_text_stays_text() {
        let mut summary = Summary::of(&fold(&breach()));
        let foreign = "\"'--></failure>]]><![CDATA[&\u{1b}\u{ffff}";
        summary.run.scenario = foreign.into();
        summary.objectives[0].why = Some(foreign.into());
        summary.findings.iter_mut().for_each(|f| f.title = foreign.into());
        let text = document(&summary);
        assert_eq!(parse(&text).iter().filter(|(name, _, _)| name == "failure").count(), 1);
        assert!(!text.contains(['\u{1b}', '\u{ffff}']));
    }
}
