//! What manifests foretell: for people, and for programs.

use schemars::generate::SchemaSettings;

use super::line::{Line, Paint, rendered};
use super::look::Look;
use super::text::{wrap, yaml};
use crate::domain::display::plural;
use crate::domain::lint::{Level, Problem, Report};

/// Where the text of a problem begins, and where it is broken.
const INDENT: &str = "         ";
const WIDTH: usize = 110;

/// The report as a JSON document with its line end.
pub fn document(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}

/// The JSON Schema (draft 2020-12) of what [`document`] writes.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Report>().to_value()
}

/// The report as text.
pub fn text(report: &Report, look: Look) -> String {
    let mut lines: Vec<Line> = report.problems.iter().flat_map(problem).collect();
    let (errors, warnings) = (report.count(Level::Error) as u64, report.count(Level::Warning) as u64);
    let paint = if errors > 0 { Paint::Bad } else { Paint::Strong };
    let counts = format!("{}, {}", plural(errors, "error"), plural(warnings, "warning"));
    lines.push(Line::default().plus(paint, counts).text(format!(" in {}", report.deployments.join(", "))));
    rendered(&lines, look)
}

fn problem(p: &Problem) -> Vec<Line> {
    let paint = match p.level {
        Level::Error => Paint::Bad,
        Level::Warning => Paint::Warn,
    };
    let code = p.code.as_deref().map(|code| format!(" ({code})")).unwrap_or_default();
    let mut title = wrap(&format!("{}{code}: {}", p.rule, p.title), WIDTH).into_iter();
    let mut lines =
        vec![Line::default().plus(paint, p.level.label()).to(INDENT.len()).plus(Paint::Strong, title.next().unwrap_or_default())];
    lines.extend(title.map(|rest| Line::plain(INDENT).plus(Paint::Strong, rest)));
    lines.push(Line::plain(INDENT).plus(Paint::Faint, format!("{}: {}", p.object, p.field)));
    let loss = p.loss.iter().flat_map(|loss| wrap(&format!("costs: {loss}"), WIDTH));
    lines.extend(loss.map(|text| Line::plain(INDENT).text(text)));
    if let Some(patch) = &p.patch {
        let mut shown = Vec::new();
        yaml("spec", &patch["spec"], 0, &mut shown);
        lines.extend(shown.into_iter().map(|line| Line::plain(INDENT).text("  ").plus(Paint::Good, line)));
    }
    lines.push(Line::default());
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::lint::lint;
    use crate::report::golden;

    #[test]
    fn a_problem_is_told_with_its_field_its_cost_and_its_patch() {
        let deployment = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
            "spec": {"replicas": 2, "minReadySeconds": 5, "progressDeadlineSeconds": 100, "template": {"spec": {"containers": [{
                "name": "web", "image": "w", "readinessProbe": {"tcpSocket": {"port": 1}},
                "resources": {"requests": {"cpu": "1", "memory": "1"}},
            }]}}},
        });
        let report = lint(&[deployment]);
        golden::check("lint.txt", &text(&report, Look { colour: false, unicode: false, live: false }));
        golden::check("lint_schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
        assert_eq!(serde_json::from_str::<Report>(&document(&report).unwrap()).unwrap(), report);
    }
}
