//! What the values of a custom resource must be: the validation half of its OpenAPI schema. CEL rules are not evaluated.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value};

use super::ListKind;
use crate::sandbox::model::field::{Causes, Path};

/// The rules of one schema and of all below it.
#[derive(Debug, Default)]
pub struct Rules {
    types: Vec<String>,
    nullable: bool,
    format: Option<String>,
    required: Vec<String>,
    allowed: Vec<Value>,
    pattern: Option<Regex>,
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    multiple_of: Option<f64>,
    length: (Option<u64>, Option<u64>),
    items_count: (Option<u64>, Option<u64>),
    keys_count: (Option<u64>, Option<u64>),
    unique: bool,
    list: Option<ListKind>,
    properties: BTreeMap<String, Rules>,
    additional: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
    all_of: Vec<Rules>,
    any_of: Vec<Rules>,
    one_of: Vec<Rules>,
    not: Option<Box<Rules>>,
}

impl Rules {
    /// Reads a schema. A pattern that is no regular expression here is left out.
    pub fn read(schema: &Value) -> Self {
        let each = |name: &str| schema[name].as_array().into_iter().flatten().map(Self::read).collect();
        let below = |name: &str| schema[name].is_object().then(|| Box::new(Self::read(&schema[name])));
        let bounds = |low: &str, high: &str| (schema[low].as_u64(), schema[high].as_u64());
        let limit = |name: &str, exclusive: &str| schema[name].as_f64().map(|n| (n, schema[exclusive] == true));
        let types = match schema["type"].as_str() {
            _ if schema["x-kubernetes-int-or-string"] == true => vec!["integer".to_owned(), "string".to_owned()],
            Some(one) => vec![one.to_owned()],
            None => Vec::new(),
        };
        Self {
            types,
            nullable: schema["nullable"] == true,
            format: schema["format"].as_str().map(str::to_owned),
            required: schema["required"].as_array().into_iter().flatten().filter_map(|r| r.as_str().map(str::to_owned)).collect(),
            allowed: schema["enum"].as_array().cloned().unwrap_or_default(),
            pattern: schema["pattern"].as_str().and_then(|p| Regex::new(p).ok()),
            minimum: limit("minimum", "exclusiveMinimum"),
            maximum: limit("maximum", "exclusiveMaximum"),
            multiple_of: schema["multipleOf"].as_f64(),
            length: bounds("minLength", "maxLength"),
            items_count: bounds("minItems", "maxItems"),
            keys_count: bounds("minProperties", "maxProperties"),
            unique: schema["uniqueItems"] == true,
            list: schema["x-kubernetes-list-type"].as_str().map(|_| super::compile::list_kind(schema)),
            properties: schema["properties"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), Self::read(v))).collect(),
            additional: below("additionalProperties"),
            items: below("items"),
            all_of: each("allOf"),
            any_of: each("anyOf"),
            one_of: each("oneOf"),
            not: below("not"),
        }
    }

    /// Adds what is wrong with `value`.
    pub fn check(&self, value: &Value, at: &Path<'_>, causes: &mut Causes) {
        if value.is_null() && self.nullable {
            return;
        }
        if !self.types.is_empty() && !self.types.iter().any(|t| is_of(value, t)) {
            let found = type_of(value);
            causes.wrong_type(at, found, &format!("{at} in body must be of type {}: {found:?}", self.types.join(",")));
            return;
        }
        match value {
            Value::Object(map) => self.object(map, at, causes),
            Value::Array(items) => self.array(items, at, causes),
            Value::String(text) => self.text(text, at, causes),
            Value::Number(n) => self.number(n.as_f64().unwrap_or(0.0), value, at, causes),
            Value::Null | Value::Bool(_) => {}
        }
        if !self.allowed.is_empty() && !self.allowed.contains(value) {
            let texts: Vec<String> = self.allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
            causes.not_supported(at, value.clone(), &texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
        self.logic(value, at, causes);
    }

    fn object(&self, map: &Map<String, Value>, at: &Path<'_>, causes: &mut Causes) {
        for name in self.required.iter().filter(|r| !map.contains_key(*r)) {
            causes.required(&at.field(name), "");
        }
        let count = map.len() as u64;
        if let Some(least) = self.keys_count.0.filter(|least| count < *least) {
            causes.invalid(at, count, &format!("{at} in body should have at least {least} properties"));
        }
        if let Some(most) = self.keys_count.1.filter(|most| count > *most) {
            causes.too_many(at, map.len(), usize::try_from(most).unwrap_or(usize::MAX));
        }
        for (key, value) in map {
            if let Some(rules) = self.properties.get(key).or(self.additional.as_deref()) {
                rules.check(value, &at.field(key), causes);
            }
        }
    }

    fn array(&self, items: &[Value], at: &Path<'_>, causes: &mut Causes) {
        let count = items.len() as u64;
        if let Some(least) = self.items_count.0.filter(|least| count < *least) {
            causes.invalid(at, count, &format!("{at} in body should have at least {least} items"));
        }
        if let Some(most) = self.items_count.1.filter(|most| count > *most) {
            causes.too_many(at, items.len(), usize::try_from(most).unwrap_or(usize::MAX));
        }
        if let Some(rules) = &self.items {
            items.iter().enumerate().for_each(|(i, item)| rules.check(item, &at.index(i), causes));
        }
        let mut seen: Vec<Value> = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let identity = match &self.list {
                Some(ListKind::Set) => item.clone(),
                Some(ListKind::Map(keys)) => keys.iter().filter_map(|k| Some((k.clone(), item.get(k)?.clone()))).collect(),
                Some(ListKind::Atomic) | None if self.unique => item.clone(),
                Some(ListKind::Atomic) | None => continue,
            };
            if seen.contains(&identity) {
                causes.duplicate(&at.index(i), identity);
            } else {
                seen.push(identity);
            }
        }
    }

    fn text(&self, text: &str, at: &Path<'_>, causes: &mut Causes) {
        let count = text.chars().count() as u64;
        if let Some(least) = self.length.0.filter(|least| count < *least) {
            causes.invalid(at, text, &format!("{at} in body should be at least {least} chars long"));
        }
        if let Some(most) = self.length.1.filter(|most| count > *most) {
            causes.too_long(at, usize::try_from(most).unwrap_or(usize::MAX));
        }
        if let Some(pattern) = self.pattern.as_ref().filter(|p| !p.is_match(text)) {
            causes.invalid(at, text, &format!("{at} in body should match '{}'", pattern.as_str()));
        }
        if let Some(format) = self.format.as_deref().filter(|f| !has_format(text, f)) {
            causes.wrong_type(at, text, &format!("{at} in body must be of type {format}: {text:?}"));
        }
    }

    fn number(&self, n: f64, value: &Value, at: &Path<'_>, causes: &mut Causes) {
        if let Some((low, exclusive)) = self.minimum.filter(|(low, exclusive)| n < *low || (*exclusive && n <= *low)) {
            let relation = if exclusive { "greater than" } else { "greater than or equal to" };
            causes.invalid(at, value.clone(), &format!("{at} in body should be {relation} {low}"));
        }
        if let Some((high, exclusive)) = self.maximum.filter(|(high, exclusive)| n > *high || (*exclusive && n >= *high)) {
            let relation = if exclusive { "less than" } else { "less than or equal to" };
            causes.invalid(at, value.clone(), &format!("{at} in body should be {relation} {high}"));
        }
        if let Some(factor) = self.multiple_of.filter(|f| *f > 0.0 && (n / f).fract().abs() > 1e-9) {
            causes.invalid(at, value.clone(), &format!("{at} in body should be a multiple of {factor}"));
        }
    }

    fn logic(&self, value: &Value, at: &Path<'_>, causes: &mut Causes) {
        let wrong = |rules: &Self| {
            let mut found = Causes::default();
            rules.check(value, at, &mut found);
            found
        };
        let mut fail = |text: &str| causes.invalid(&Path::Root.field("<nil>"), "", &format!("\"{at}\" {text}"));
        let mut nested = Causes::default();
        for found in self.all_of.iter().map(wrong).filter(|f| !f.is_empty()) {
            nested.0.extend(found.0);
        }
        if !nested.is_empty() {
            fail("must validate all the schemas (allOf)");
        }
        if !self.any_of.is_empty() {
            let found: Vec<Causes> = self.any_of.iter().map(wrong).collect();
            if found.iter().all(|f| !f.is_empty()) {
                fail("must validate at least one schema (anyOf)");
                nested.0.extend(found.into_iter().next().into_iter().flat_map(|f| f.0));
            }
        }
        if !self.one_of.is_empty() {
            match self.one_of.iter().filter(|rules| wrong(rules).is_empty()).count() {
                1 => {}
                0 => fail("must validate one and only one schema (oneOf). Found none valid"),
                _ => fail("must validate one and only one schema (oneOf). Found more than one valid schema"),
            }
        }
        if self.not.as_deref().is_some_and(|rules| wrong(rules).is_empty()) {
            fail("must not validate the schema (not)");
        }
        causes.0.extend(nested.0);
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() && n.as_f64().is_some_and(|f| f.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn is_of(value: &Value, wanted: &str) -> bool {
    let found = type_of(value);
    found == wanted || (found == "integer" && wanted == "number")
}

/// The formats the API server checks; any other is for people.
fn has_format(text: &str, format: &str) -> bool {
    match format {
        "date-time" => chrono::DateTime::parse_from_rfc3339(text).is_ok(),
        "date" => chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "cidr" => {
            text.split_once('/').is_some_and(|(ip, bits)| ip.parse::<std::net::IpAddr>().is_ok() && bits.parse::<u8>().is_ok())
        }
        "uri" => text.starts_with('/') || text.split_once(':').is_some_and(|(scheme, _)| !scheme.is_empty()),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(schema: &Value, value: &Value) -> Vec<String> {
        let mut causes = Causes::default();
        Rules::read(schema).check(value, &Path::Root, &mut causes);
        causes.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_rule_is_worded_as_the_api_server_words_it() {
        let schema = json!({"type": "object", "required": ["spec"], "properties": {"spec": {"type": "object", "required": ["mode"], "properties": {
            "replicas": {"type": "integer", "minimum": 1, "maximum": 5},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "name": {"type": "string", "pattern": "^x.*$", "maxLength": 5},
            "port": {"x-kubernetes-int-or-string": true},
            "items": {"type": "array", "maxItems": 2, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "rules": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                      "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "number"}}}},
            "when": {"type": "string", "format": "date-time", "nullable": true},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "either": {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
        }}}});
        assert_eq!(wrong(&schema, &json!({})), ["spec: Required value"]);
        assert_eq!(
            wrong(&schema, &json!({"spec": "x"})),
            ["spec: Invalid value: \"string\": spec in body must be of type object: \"string\""]
        );
        assert_eq!(
            wrong(
                &schema,
                &json!({"spec": {"mode": "a", "replicas": 2, "port": "http", "when": null, "rules": [{"name": "r", "v": 1}], "either": {"a": 1}}})
            ),
            Vec::<String>::new()
        );
        let bad = json!({"spec": {
            "replicas": 9, "mode": "z", "name": "yyyyyyyy", "port": true, "items": ["a", "a", "b"],
            "rules": [{"name": "r"}, {"name": "r"}, {"v": "x"}], "when": "zz", "labels": {"a": 1}, "either": {"a": 1, "b": 1}
        }});
        assert_eq!(
            wrong(&schema, &bad),
            [
                "spec.replicas: Invalid value: 9: spec.replicas in body should be less than or equal to 5",
                "spec.mode: Unsupported value: \"z\": supported values: \"a\", \"b\"",
                "spec.name: Too long: may not be more than 5 bytes",
                "spec.name: Invalid value: \"yyyyyyyy\": spec.name in body should match '^x.*$'",
                "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
                "spec.items: Too many: 3: must have at most 2 items",
                "spec.items[1]: Duplicate value: \"a\"",
                "spec.rules[2].name: Required value",
                "spec.rules[2].v: Invalid value: \"string\": spec.rules[2].v in body must be of type number: \"string\"",
                "spec.rules[1]: Duplicate value: {\"name\":\"r\"}",
                "spec.when: Invalid value: \"zz\": spec.when in body must be of type date-time: \"zz\"",
                "spec.labels.a: Invalid value: \"integer\": spec.labels.a in body must be of type string: \"integer\"",
                "<nil>: Invalid value: \"\": \"spec.either\" must validate one and only one schema (oneOf). Found more than one valid schema",
            ]
        );
    }
}
