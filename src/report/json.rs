//! The summary for programs, and the schema of its form.

use schemars::generate::SchemaSettings;

use crate::domain::summary::Summary;

/// The summary as a JSON document with its line end.
pub fn document(summary: &Summary) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(summary).map(|text| text + "\n")
}

/// The JSON Schema (draft 2020-12) of what [`document`] writes.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Summary>().to_value()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::fixtures::{breach, fold, healthy, nearly_breached, paused};
    use crate::report::golden;

    /// Checks a value against as much of JSON Schema as ours uses; a keyword it does not know is a fault of the test.
    fn check(value: &Value, schema: &Value, root: &Value, path: &str) -> Result<(), String> {
        let Value::Object(rules) = schema else { return Ok(()) };
        for (keyword, rule) in rules {
            let fits = match keyword.as_str() {
                "$ref" => {
                    let target = rule.as_str().and_then(|r| root.pointer(r.strip_prefix('#')?));
                    check(value, target.ok_or(format!("{path}: no {rule}"))?, root, path)?;
                    true
                }
                "anyOf" | "oneOf" => rule.as_array().unwrap().iter().any(|one| check(value, one, root, path).is_ok()),
                "type" => match rule {
                    Value::Array(types) => types.iter().any(|t| has_type(value, t)),
                    one => has_type(value, one),
                },
                "const" => value == rule,
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()),
                "required" => rule.as_array().unwrap().iter().all(|k| value.get(k.as_str().unwrap()).is_some()),
                "items" => {
                    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                        check(item, rule, root, &format!("{path}/{i}"))?;
                    }
                    true
                }
                "properties" => {
                    let known = rule.as_object().unwrap();
                    for (key, below) in value.as_object().into_iter().flatten() {
                        let path = format!("{path}/{key}");
                        check(below, known.get(key).ok_or(format!("{path} is not in the schema"))?, root, &path)?;
                    }
                    true
                }
                "additionalProperties" => {
                    for (key, below) in value.as_object().into_iter().flatten() {
                        check(below, rule, root, &format!("{path}/{key}"))?;
                    }
                    true
                }
                "$schema" | "$defs" | "title" | "description" | "format" | "default" | "maximum" => true,
                unknown => return Err(format!("the test does not know `{unknown}`")),
            };
            if !fits {
                return Err(format!("{path}: {value} is against {keyword}: {rule}"));
            }
        }
        Ok(())
    }

    fn has_type(value: &Value, name: &Value) -> bool {
        match name.as_str().unwrap() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_u64() || value.is_i64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no type {other}"),
        }
    }

    #[test]
    fn a_document_fits_its_schema_and_reads_back_as_the_same_summary() {
        let schema = schema();
        for events in [healthy(), breach(), nearly_breached(), paused()] {
            let summary = Summary::of(&fold(&events));
            let text = document(&summary).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(check(&value, &schema, &schema, ""), Ok(()));
            assert_eq!(serde_json::from_str::<Summary>(&text).unwrap(), summary);
        }
    }

    #[test]
    fn the_schema_refuses_what_lacks_a_field_or_is_of_another_version() {
        let (schema, value) = (schema(), serde_json::to_value(Summary::of(&fold(&healthy()))).unwrap());
        for (pointer, key) in [("", "run"), ("/run", "seed"), ("/traffic/measured", "availability_ppm"), ("/verdict", "reasons")] {
            let mut broken = value.clone();
            broken.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
            assert!(check(&broken, &schema, &schema, "").is_err(), "{pointer}/{key}");
        }
        let mut other = value;
        other["schema"] = "verifier/summary/v2".into();
        assert!(check(&other, &schema, &schema, "").unwrap_err().starts_with("/schema: \"verifier/summary/v2\""));
        assert!(serde_json::from_value::<Summary>(other).is_err());
    }

    #[test]
    fn the_published_form_changes_only_on_purpose() {
        golden::check("breach.json", &document(&Summary::of(&fold(&breach()))).unwrap());
        golden::check("schema.json", &(serde_json::to_string_pretty(&schema()).unwrap() + "\n"));
    }
}
