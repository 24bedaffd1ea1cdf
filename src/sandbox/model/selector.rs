//! Label and field selectors.

use serde_json::Value;

use super::names;

/// A label selector: all requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

impl LabelSelector {
    /// Reads `a=b,c!=d,e in (f,g),h,!i`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in split_outside_brackets(text) {
            let part = part.trim();
            if part.is_empty() {
                if text.trim().is_empty() {
                    continue;
                }
                return Err(format!("found ',', expected: identifier after ',' in {text:?}"));
            }
            let requirement = Requirement::parse(part)?;
            if let Some(wrong) = names::qualified(&requirement.key).first() {
                return Err(format!("key: Invalid value: {:?}: {wrong}", requirement.key));
            }
            if let Test::In(values) | Test::NotIn(values) = &requirement.test
                && let Some((i, value, wrong)) =
                    values.iter().enumerate().find_map(|(i, v)| Some((i, v, names::label_value(v).into_iter().next()?)))
            {
                return Err(format!("values[{i}][{}]: Invalid value: {value:?}: {wrong}", requirement.key));
            }
            requirements.push(requirement);
        }
        Ok(Self(requirements))
    }

    /// From a `metav1.LabelSelector`; `None` when it is malformed. An absent selector selects nothing, an empty one everything.
    pub fn of_object(selector: &Value) -> Option<Self> {
        let mut requirements = Vec::new();
        for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement { key: key.clone(), test: Test::In(vec![value.as_str()?.to_owned()]) });
        }
        for expression in selector["matchExpressions"].as_array().into_iter().flatten() {
            let values: Vec<String> =
                expression["values"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect();
            let test = match expression["operator"].as_str()? {
                "In" if !values.is_empty() => Test::In(values),
                "NotIn" if !values.is_empty() => Test::NotIn(values),
                "Exists" if values.is_empty() => Test::Exists,
                "DoesNotExist" if values.is_empty() => Test::Absent,
                _ => return None,
            };
            requirements.push(Requirement { key: expression["key"].as_str()?.to_owned(), test });
        }
        selector.is_object().then_some(Self(requirements))
    }

    /// From a plain map of labels, as in a Service.
    pub fn of_map(labels: &Value) -> Self {
        let pairs = labels.as_object().into_iter().flatten();
        Self(
            pairs.filter_map(|(k, v)| Some(Requirement { key: k.clone(), test: Test::In(vec![v.as_str()?.to_owned()]) })).collect(),
        )
    }

    /// Selects everything?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For those to whom a selector of everything is none.
    pub fn not_empty(self) -> Option<Self> {
        (!self.is_empty()).then_some(self)
    }

    /// One `key=value` that every match has, for looking candidates up in an index.
    pub fn one_label(&self) -> Option<(&str, &str)> {
        self.0.iter().find_map(|requirement| match &requirement.test {
            Test::In(values) if values.len() == 1 => Some((requirement.key.as_str(), values[0].as_str())),
            _ => None,
        })
    }

    /// Does it select an object with these labels?
    pub fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(requirement.key.as_str()).and_then(Value::as_str);
            match &requirement.test {
                Test::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
                Test::NotIn(values) => value.is_none_or(|v| !values.iter().any(|w| w == v)),
                Test::Exists => value.is_some(),
                Test::Absent => value.is_none(),
                Test::Greater(n) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v > *n),
                Test::Less(n) => value.and_then(|v| v.parse::<i64>().ok()).is_some_and(|v| v < *n),
            }
        })
    }
}

impl std::fmt::Display for LabelSelector {
    /// As `kubectl` and the scale subresource write it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sorted: Vec<&Requirement> = self.0.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        for (i, Requirement { key, test }) in sorted.into_iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match test {
                Test::In(values) if values.len() == 1 => write!(f, "{comma}{key}={}", values[0])?,
                Test::In(values) => write!(f, "{comma}{key} in ({})", sorted_list(values))?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{comma}{key}!={}", values[0])?,
                Test::NotIn(values) => write!(f, "{comma}{key} notin ({})", sorted_list(values))?,
                Test::Exists => write!(f, "{comma}{key}")?,
                Test::Absent => write!(f, "{comma}!{key}")?,
                Test::Greater(n) => write!(f, "{comma}{key}>{n}")?,
                Test::Less(n) => write!(f, "{comma}{key}<{n}")?,
            }
        }
        Ok(())
    }
}

fn sorted_list(values: &[String]) -> String {
    let mut values = values.to_vec();
    values.sort();
    values.join(",")
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0_i32);
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

impl Requirement {
    fn parse(part: &str) -> Result<Self, String> {
        let of = |key: &str, test: Test| Ok(Self { key: key.trim().to_owned(), test });
        let one = |value: &str| vec![value.trim().to_owned()];
        if let Some(key) = part.strip_prefix('!') {
            return of(key, Test::Absent);
        }
        if let Some((head, list)) = part.split_once('(') {
            let list = list.strip_suffix(')').ok_or_else(|| format!("found '', expected: ',' or ')' in {part:?}"))?;
            let values = list.split(',').map(|v| v.trim().to_owned()).collect();
            return match head.split_whitespace().collect::<Vec<_>>()[..] {
                [key, "in"] => of(key, Test::In(values)),
                [key, "notin"] => of(key, Test::NotIn(values)),
                _ => Err(format!("unable to parse requirement: found {head:?}, expected: in, notin")),
            };
        }
        if let Some((key, value)) = part.split_once("!=") {
            return of(key, Test::NotIn(one(value)));
        }
        if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            return of(key, Test::In(one(value)));
        }
        for (sign, test) in [('>', Test::Greater as fn(i64) -> Test), ('<', Test::Less)] {
            if let Some((key, value)) = part.split_once(sign) {
                let n = value.trim().parse().map_err(|_| {
                    format!(
                        "values[0][{}]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer",
                        key.trim()
                    )
                })?;
                return of(key, test(n));
            }
        }
        match part.split_whitespace().collect::<Vec<_>>()[..] {
            [key] => of(key, Test::Exists),
            [_, word, ..] => Err(format!("unable to parse requirement: found '{word}', expected: in, notin, =, ==, !=, gt, lt")),
            [] => Err("unable to parse requirement: found '', expected: identifier".into()),
        }
    }
}

/// A field selector: `path=value` and `path!=value`, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    /// Reads `metadata.name=x,status.phase!=Running`. A path outside `known` (and `metadata.name`, `metadata.namespace`) is an error.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, String> {
        let mut tests = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (path, equal, value) = if let Some((path, value)) = part.split_once("!=") {
                (path, false, value)
            } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (path, true, value)
            } else {
                return Err(format!("invalid selector: '{text}'; can't understand '{part}'"));
            };
            if !["metadata.name", "metadata.namespace"].contains(&path) && !known.contains(&path) {
                return Err(match known {
                    [] => format!("{path:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\""),
                    _ => format!("field label not supported: {path}"),
                });
            }
            tests.push((path.to_owned(), equal, value.to_owned()));
        }
        Ok(Self(tests))
    }

    /// Selects everything?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name it asks for, if it asks for one.
    pub fn name(&self) -> Option<&str> {
        self.0.iter().find(|(path, equal, _)| *equal && path == "metadata.name").map(|(_, _, value)| value.as_str())
    }

    /// Does it select this object?
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(path, equal, wanted)| (field_text(object, path) == *wanted) == *equal)
    }
}

/// A field as a selector sees it.
fn field_text(object: &Value, path: &str) -> String {
    let path = match path {
        // Both forms of events, and the source's component.
        "source" if object["source"].is_object() => "source.component",
        "reportingComponent" if object["reportingComponent"].as_str().is_none_or(str::is_empty) => "source.component",
        "reportingController" => "reportingComponent",
        other => other,
    };
    let path = path.strip_prefix("regarding.").map_or_else(|| path.to_owned(), |rest| format!("involvedObject.{rest}"));
    let mut value = object;
    for key in path.split('.') {
        value = &value[key];
    }
    match value {
        Value::String(text) => text.clone(),
        // Absent booleans are false to the API server.
        Value::Null if path.ends_with("unschedulable") || path.ends_with("hostNetwork") => "false".into(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The paths that a resource can be selected by, beyond its name.
pub fn selectable_fields(resource: &str) -> &'static [&'static str] {
    match resource {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingComponent",
            "reportingController",
            "source",
            "type",
        ],
        "namespaces" => &["status.phase", "name"],
        "nodes" => &["spec.unschedulable"],
        "secrets" => &["type"],
        "services" => &["spec.clusterIP", "spec.type"],
        "replicasets.apps" => &["status.replicas"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn label_selectors_select() {
        let labels = json!({"a": "1", "b": "x", "n": "7"});
        for (text, expected) in [
            ("", true),
            ("a=1", true),
            ("a==1,b=x", true),
            ("a=2", false),
            ("a!=2", true),
            ("z!=2", true),
            ("a in (1, 2)", true),
            ("a notin (1,2)", false),
            ("z notin (1)", true),
            ("a", true),
            ("z", false),
            ("!z", true),
            ("!a", false),
            ("n>6,n<8", true),
            ("n>7", false),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(&labels), expected, "{text}");
        }
        for bad in ["a=b c", "a b", "a in (x", "=x", "a,,b", "a/b/c=1"] {
            assert!(LabelSelector::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_selector_object_reads_and_writes() {
        let selector = LabelSelector::of_object(&json!({
            "matchLabels": {"b": "x"},
            "matchExpressions": [{"key": "a", "operator": "In", "values": ["2", "1"]}, {"key": "c", "operator": "DoesNotExist"}]
        }))
        .unwrap();
        assert_eq!(selector.to_string(), "a in (1,2),b=x,!c");
        assert!(selector.matches(&json!({"a": "1", "b": "x"})));
        assert_eq!(LabelSelector::of_object(&json!({"matchExpressions": [{"key": "a", "operator": "In"}]})), None);
        assert_eq!(LabelSelector::of_object(&Value::Null), None);
        assert_eq!(selector.one_label(), Some(("b", "x")));
        assert_eq!(LabelSelector::of_object(&json!({})).and_then(LabelSelector::not_empty), None);
    }

    #[test]
    fn field_selectors_know_their_paths() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"phase": "Running"}});
        let known = selectable_fields("pods");
        assert!(FieldSelector::parse("metadata.name=p,status.phase!=Failed,spec.hostNetwork=false", known).unwrap().matches(&pod));
        assert!(!FieldSelector::parse("spec.nodeName=n", known).unwrap().matches(&pod));
        assert_eq!(FieldSelector::parse("spec.foo=n", known), Err("field label not supported: spec.foo".into()));
    }
}
