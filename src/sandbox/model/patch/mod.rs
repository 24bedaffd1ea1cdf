//! The three patches that change an object in place; server-side apply, the fourth, is in [`super::apply`].

mod strategic;

use serde_json::Value;

use super::error::ApiError;
use super::schema::Type;

/// How a patch is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 6902
    Json,
    /// RFC 7396
    Merge,
    /// Kubernetes' own, which merges lists by key.
    Strategic,
}

const OPERATIONS: usize = 10_000;

/// The object with the patch applied.
pub fn patched(of: Type<'_>, format: Format, object: &Value, patch: Value) -> Result<Value, ApiError> {
    let mut object = object.clone();
    match format {
        Format::Merge => {
            if !patch.is_object() {
                return Err(ApiError::bad_request(
                    "json: cannot unmarshal non-object into Go value of type map[string]interface {}",
                ));
            }
            json_patch::merge(&mut object, &patch);
        }
        Format::Strategic => {
            let Value::Object(patch) = patch else {
                return Err(ApiError::bad_request(
                    "error decoding patch: json: cannot unmarshal non-object into Go value of type map[string]interface {}",
                ));
            };
            let Value::Object(map) = &mut object else { return Err(ApiError::internal("the stored object is no object")) };
            strategic::merge_map(Some(of), map, patch).map_err(ApiError::bad_request)?;
        }
        Format::Json => {
            let operations: Vec<json_patch::PatchOperation> =
                serde_json::from_value(patch).map_err(|e| ApiError::bad_request(format!("error decoding patch: {e}")))?;
            if operations.len() > OPERATIONS {
                let message = format!(
                    "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS}, got {}",
                    operations.len()
                );
                return Err(ApiError::new(413, "RequestEntityTooLarge", message, None));
            }
            json_patch::patch(&mut object, &operations).map_err(|_| {
                let message = "the server rejected our request due to an error in our request";
                ApiError::new(422, "Invalid", message, Some(serde_json::json!({})))
            })?;
        }
    }
    Ok(object)
}

#[cfg(test)]
mod tests;
