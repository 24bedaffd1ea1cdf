//! Label selectors, read once from JSON and then matched against labels.

use serde_json::{Map, Value};

/// A compiled `metav1.LabelSelector`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<(String, String)>,
    expressions: Vec<Expression>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Expression {
    key: String,
    operator: Operator,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    /// Reads `matchLabels` and `matchExpressions`. `None` for a selector nothing can be selected with: absent, empty or malformed.
    pub fn read(selector: &Value) -> Option<Self> {
        let expressions = selector["matchExpressions"].as_array().map_or(&[][..], Vec::as_slice);
        let expressions = expressions.iter().map(Expression::read).collect::<Option<Vec<_>>>()?;
        Self { labels: pairs(selector["matchLabels"].as_object()), expressions }.if_not_empty()
    }

    /// Reads a plain map, as `spec.selector` of a Service is. `None` when it is empty.
    pub fn read_map(labels: &Value) -> Option<Self> {
        Self { labels: pairs(labels.as_object()), expressions: Vec::new() }.if_not_empty()
    }

    fn if_not_empty(self) -> Option<Self> {
        (!self.labels.is_empty() || !self.expressions.is_empty()).then_some(self)
    }

    /// Does an object with these labels (`metadata.labels`) match?
    pub fn matches(&self, labels: &Value) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key).and_then(Value::as_str) == Some(value))
            && self.expressions.iter().all(|e| e.matches(labels.get(&e.key).and_then(Value::as_str)))
    }

    /// One `key=value` that every match has, for looking candidates up in an index.
    pub fn one_label(&self) -> Option<(&str, &str)> {
        self.labels.first().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl std::fmt::Display for Selector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts: Vec<String> = self.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        parts.extend(self.expressions.iter().map(|e| match e.operator {
            Operator::In => format!("{} in ({})", e.key, e.values.join(",")),
            Operator::NotIn => format!("{} notin ({})", e.key, e.values.join(",")),
            Operator::Exists => e.key.clone(),
            Operator::DoesNotExist => format!("!{}", e.key),
        }));
        f.write_str(&parts.join(","))
    }
}

impl Expression {
    fn read(expression: &Value) -> Option<Self> {
        let operator = match expression["operator"].as_str()? {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            _ => return None,
        };
        let values = expression["values"].as_array().map_or(&[][..], Vec::as_slice);
        let values = values.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
        Some(Self { key: expression["key"].as_str()?.to_owned(), operator, values })
    }

    fn matches(&self, label: Option<&str>) -> bool {
        let listed = || label.is_some_and(|l| self.values.iter().any(|v| v == l));
        match self.operator {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        }
    }
}

fn pairs(labels: Option<&Map<String, Value>>) -> Vec<(String, String)> {
    let mut pairs: Vec<_> =
        labels.into_iter().flatten().map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect();
    pairs.sort();
    pairs
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_expressions_must_all_hold() {
        let selector = Selector::read(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["a", "b"]},
                {"key": "canary", "operator": "DoesNotExist"},
                {"key": "zone", "operator": "NotIn", "values": ["x"]},
                {"key": "app", "operator": "Exists"},
            ],
        }))
        .unwrap();
        let matches = [
            json!({"app": "web", "tier": "a"}),
            json!({"app": "web", "tier": "c"}),
            json!({"app": "web", "tier": "b", "canary": ""}),
            json!({"app": "web", "tier": "b", "zone": "x"}),
            json!({"app": "api", "tier": "b"}),
            json!(null),
        ]
        .map(|labels| selector.matches(&labels));
        assert_eq!(matches, [true, false, false, false, false, false]);
        assert_eq!(selector.to_string(), "app=web,tier in (a,b),!canary,zone notin (x),app");
    }

    #[test]
    fn an_empty_or_unknown_selector_selects_nothing() {
        assert_eq!(Selector::read(&json!({})), None);
        assert_eq!(Selector::read(&json!({"matchExpressions": [{"key": "a", "operator": "Like"}]})), None);
        assert_eq!(Selector::read_map(&json!({})), None);
    }
}
