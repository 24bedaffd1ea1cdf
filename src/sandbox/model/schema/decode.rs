//! Reading a request's object as its type: what a round trip through the API server's structs does to it.
//!
//! Unknown fields are noted and dropped, nulls are absent, empty values are dropped or written as the type's encoder would, quantities
//! become canonical. So two objects that mean the same are equal, which comparisons of pod templates rely on.

use serde_json::{Map, Value};

use super::{Empty, List, Scalar, Shape, Struct, Type};
use crate::sandbox::model::field::Path;
use crate::sandbox::model::quantity::Quantity;

/// A value that is not of its field's type: the text that follows "cannot be handled as a Deployment: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// Fields that were dropped because the type does not have them.
pub type Unknown = Vec<String>;

/// Decodes a whole object. A `lenient` reading is that of custom resources: nulls and values of a wrong type stay, except in the
/// metadata, for their schema's rules are going to judge them.
pub fn decode(object: Type<'_>, value: Value, lenient: bool, unknown: &mut Unknown) -> Result<Value, Mismatch> {
    Decoder { unknown, lenient, owner: String::new(), dotted: Vec::new() }.value(object, value, &Path::Root)
}

struct Decoder<'u> {
    unknown: &'u mut Unknown,
    lenient: bool,
    /// The struct last entered, by its type's name without the version.
    owner: String,
    dotted: Vec<String>,
}

impl Decoder<'_> {
    fn value(&mut self, of: Type<'_>, value: Value, at: &Path<'_>) -> Result<Value, Mismatch> {
        match (of.shape(), value) {
            (Shape::Struct(s), Value::Object(map)) => self.fields(of, s, map, at),
            (Shape::Map { values, .. }, Value::Object(map)) => {
                let mut out = Map::new();
                for (key, value) in map {
                    let value =
                        if value.is_null() { zero(of.at(*values)) } else { self.value(of.at(*values), value, &at.key(&key))? };
                    out.insert(key, value);
                }
                Ok(Value::Object(out))
            }
            (Shape::List(list), Value::Array(items)) => self.items(of, list, items, at),
            (Shape::Scalar(scalar), value) => self.scalar(*scalar, of, value),
            (Shape::Any { .. }, value) => Ok(value),
            (_, value) if self.lenient => Ok(value),
            (_, value) => Err(self.mismatch(of, &value)),
        }
    }

    fn fields(&mut self, of: Type<'_>, s: &Struct, mut map: Map<String, Value>, at: &Path<'_>) -> Result<Value, Mismatch> {
        let mut out = Map::new();
        let short = of.name().rsplit('.').next().unwrap_or_default().to_owned();
        let outer = std::mem::replace(&mut self.owner, short);
        for field in &s.fields {
            let of = of.at(field.of);
            let given = map.swap_remove(&field.name).filter(|v| self.lenient || !v.is_null());
            let value = match (given, field.empty) {
                (Some(value), _) => {
                    self.dotted.push(field.name.clone());
                    let lenient = self.lenient;
                    self.lenient &= !(s.embedded && field.name == "metadata");
                    let value = self.value(of, value, &at.field(&field.name))?;
                    self.lenient = lenient;
                    self.dotted.pop();
                    if field.empty == Empty::Drop && is_empty(&value) { None } else { Some(value) }
                }
                (None, Empty::Write) => Some(zero(of)),
                (None, Empty::Null) => Some(Value::Null),
                (None, Empty::Keep | Empty::Drop) => None,
            };
            if let Some(value) = value {
                out.insert(field.name.clone(), value);
            }
        }
        self.owner = outer;
        for (key, value) in map {
            if s.open {
                out.insert(key, value);
            } else {
                self.unknown.push(at.field(&key).to_string());
            }
        }
        Ok(Value::Object(out))
    }

    fn items(&mut self, of: Type<'_>, list: &List, items: Vec<Value>, at: &Path<'_>) -> Result<Value, Mismatch> {
        let item = of.at(list.items);
        let decode =
            |(i, value): (usize, Value)| if value.is_null() { Ok(zero(item)) } else { self.value(item, value, &at.index(i)) };
        Ok(Value::Array(items.into_iter().enumerate().map(decode).collect::<Result<_, _>>()?))
    }

    fn scalar(&self, scalar: Scalar, of: Type<'_>, value: Value) -> Result<Value, Mismatch> {
        let fits = match scalar {
            Scalar::String | Scalar::Bytes | Scalar::Time => value.is_string(),
            Scalar::Boolean => value.is_boolean(),
            Scalar::Double => value.is_number(),
            Scalar::Int64 => value.as_i64().is_some(),
            Scalar::Int32 => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Scalar::IntOrString => value.is_string() || value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
            Scalar::Quantity => return quantity(value),
        };
        if !fits {
            return if self.lenient { Ok(value) } else { Err(self.mismatch(of, &value)) };
        }
        match (scalar, value.as_str()) {
            (Scalar::Time, Some(text)) if chrono::DateTime::parse_from_rfc3339(text).is_err() => {
                Err(Mismatch(format!("parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\"")))
            }
            _ => Ok(value),
        }
    }

    fn mismatch(&self, of: Type<'_>, value: &Value) -> Mismatch {
        let (found, literal) = match value {
            Value::Null => ("null", String::new()),
            Value::Bool(_) => ("bool", String::new()),
            // The server quotes a number only where it would not fit another number.
            Value::Number(n) if matches!(of.shape(), Shape::Scalar(Scalar::Int32 | Scalar::Int64)) => ("number", format!(" {n}")),
            Value::Number(_) => ("number", String::new()),
            Value::String(_) => ("string", String::new()),
            Value::Array(_) => ("array", String::new()),
            Value::Object(_) => ("object", String::new()),
        };
        let owner = self.owner.as_str();
        let place = self.dotted.join(".");
        Mismatch(format!("json: cannot unmarshal {found}{literal} into Go struct field {owner}.{place} of type {}", of.name()))
    }
}

fn quantity(value: Value) -> Result<Value, Mismatch> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => String::from("?"),
    };
    text.parse::<Quantity>().map(|q| q.to_string().into()).map_err(|e| Mismatch(e.to_string()))
}

/// Would `omitempty` drop it?
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// What the encoder writes for an absent value.
pub fn zero(of: Type<'_>) -> Value {
    match of.shape() {
        Shape::Struct(s) => {
            let written = s.fields.iter().filter_map(|f| match f.empty {
                Empty::Write => Some((f.name.clone(), zero(of.at(f.of)))),
                Empty::Null => Some((f.name.clone(), Value::Null)),
                Empty::Keep | Empty::Drop => None,
            });
            Value::Object(written.collect())
        }
        Shape::Map { .. } | Shape::List(_) | Shape::Any { .. } | Shape::Scalar(Scalar::Bytes | Scalar::Time) => Value::Null,
        Shape::Scalar(Scalar::String) => "".into(),
        Shape::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::IntOrString | Scalar::Double) => 0.into(),
        Shape::Scalar(Scalar::Boolean) => false.into(),
        Shape::Scalar(Scalar::Quantity) => "0".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sandbox::model::schema::builtin;

    fn deployment(spec: &Value) -> (Result<Value, String>, Unknown) {
        let set = builtin();
        let mut unknown = Vec::new();
        let value = json!({"metadata": {"name": "x"}, "spec": spec});
        let decoded = decode(set.named("io.k8s.api.apps.v1.Deployment").unwrap(), value, false, &mut unknown);
        (decoded.map(|d| d["spec"].clone()).map_err(|e| e.to_string()), unknown)
    }

    #[test]
    fn empty_values_are_dropped_or_written_as_the_servers_encoder_would() {
        let (decoded, unknown) = deployment(&json!({
            "paused": false, "replicas": 0, "minReadySeconds": 0, "selector": null,
            "template": {"metadata": {"labels": {}, "creationTimestamp": null}, "spec": {"containers": [
                {"name": "a", "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}, "env": [], "stdin": false}]}}
        }));
        assert_eq!(
            decoded.unwrap(),
            json!({
                "replicas": 0, "selector": null, "strategy": {},
                "template": {"metadata": {}, "spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}}}]}}
            })
        );
        assert_eq!(unknown, Vec::<String>::new());
    }

    #[test]
    fn unknown_fields_are_named_by_their_path() {
        let (_, unknown) =
            deployment(&json!({"foo": 1, "template": {"bar": 2, "spec": {"containers": [{"name": "a", "baz": 5}]}}}));
        let mut unknown = unknown;
        unknown.sort();
        assert_eq!(unknown, ["spec.foo", "spec.template.bar", "spec.template.spec.containers[0].baz"]);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_as_the_server_names_it() {
        let message = |spec| deployment(&spec).0.unwrap_err();
        assert_eq!(
            message(json!({"replicas": "a"})),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            message(json!({"replicas": 3_000_000_000_u64})),
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"
        );
        assert_eq!(
            message(json!({"template": {"spec": {"containers": [{"name": 5}]}}})),
            "json: cannot unmarshal number into Go struct field Container.spec.template.spec.containers.name of type string"
        );
        assert_eq!(
            message(json!({"template": {"spec": {"containers": {}}}})),
            "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container"
        );
        assert_eq!(
            message(json!({"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "abc"}}}]}}})),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        );
    }
}
