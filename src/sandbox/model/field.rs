//! Where in an object something is wrong, and what: the causes of a 422.

use std::fmt;

use serde_json::{Value, json};

/// A place in an object; cheap to extend, written only when something is wrong there.
#[derive(Clone, Copy, Debug)]
pub enum Path<'a> {
    /// The object itself.
    Root,
    /// A field of it.
    Field(&'a Path<'a>, &'a str),
    /// An item of a list.
    Index(&'a Path<'a>, usize),
    /// A key of a map.
    Key(&'a Path<'a>, &'a str),
}

impl<'a> Path<'a> {
    /// The place of a field.
    pub fn field(&'a self, name: &'a str) -> Path<'a> {
        Path::Field(self, name)
    }

    /// The place of an item.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path::Index(self, index)
    }

    /// The place of a map's key.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path::Key(self, key)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

/// What kind of wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nothing is there.
    Required,
    /// Malformed or out of bounds.
    Invalid,
    /// Not one of a closed set.
    NotSupported,
    /// There is another one.
    Duplicate,
    /// Not now, or not together with something else.
    Forbidden,
    /// Too many bytes.
    TooLong,
    /// Too many items.
    TooMany,
    /// It names something that is not there.
    NotFound,
    /// Not of the schema's type.
    Type,
}

impl Problem {
    const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Required => ("FieldValueRequired", "Required value"),
            Self::Invalid => ("FieldValueInvalid", "Invalid value"),
            Self::NotSupported => ("FieldValueNotSupported", "Unsupported value"),
            Self::Duplicate => ("FieldValueDuplicate", "Duplicate value"),
            Self::Forbidden => ("FieldValueForbidden", "Forbidden"),
            Self::TooLong => ("FieldValueTooLong", "Too long"),
            Self::TooMany => ("FieldValueTooMany", "Too many"),
            Self::NotFound => ("FieldValueNotFound", "Not found"),
            Self::Type => ("FieldValueTypeInvalid", "Invalid value"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What kind of wrong.
    pub problem: Problem,
    /// Where.
    pub field: String,
    /// In words, the kind included.
    pub message: String,
}

impl Cause {
    /// As `status.details.causes` has it.
    pub fn to_json(&self) -> Value {
        json!({"reason": self.problem.texts().0, "message": self.message, "field": self.field})
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// Everything that is wrong with one object, in the order it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes(pub Vec<Cause>);

impl Causes {
    fn add(&mut self, problem: Problem, at: &Path<'_>, value: Option<&Value>, detail: &str) {
        let mut message = problem.texts().1.to_owned();
        for part in [value.map(Value::to_string).as_deref(), Some(detail).filter(|d| !d.is_empty())].into_iter().flatten() {
            message.push_str(": ");
            message.push_str(part);
        }
        self.0.push(Cause { problem, field: at.to_string(), message });
    }

    /// Something must be there. `detail` may be empty, here and below.
    pub fn required(&mut self, at: &Path<'_>, detail: &str) {
        self.add(Problem::Required, at, None, detail);
    }

    /// The value is malformed or out of bounds.
    pub fn invalid(&mut self, at: &Path<'_>, value: impl Into<Value>, detail: &str) {
        self.add(Problem::Invalid, at, Some(&value.into()), detail);
    }

    /// The value is not of the schema's type.
    pub fn wrong_type(&mut self, at: &Path<'_>, value: impl Into<Value>, detail: &str) {
        self.add(Problem::Type, at, Some(&value.into()), detail);
    }

    /// The value is not one of `supported`.
    pub fn not_supported(&mut self, at: &Path<'_>, value: impl Into<Value>, supported: &[&str]) {
        let listed: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        self.add(Problem::NotSupported, at, Some(&value.into()), &format!("supported values: {}", listed.join(", ")));
    }

    /// The value occurs twice.
    pub fn duplicate(&mut self, at: &Path<'_>, value: impl Into<Value>) {
        self.add(Problem::Duplicate, at, Some(&value.into()), "");
    }

    /// Not allowed here or now.
    pub fn forbidden(&mut self, at: &Path<'_>, detail: &str) {
        self.add(Problem::Forbidden, at, None, detail);
    }

    /// More than `most` bytes.
    pub fn too_long(&mut self, at: &Path<'_>, most: usize) {
        self.add(Problem::TooLong, at, None, &format!("may not be more than {most} byte{}", if most == 1 { "" } else { "s" }));
    }

    /// More than `most` items.
    pub fn too_many(&mut self, at: &Path<'_>, count: usize, most: usize) {
        let items = if most == 1 { "item" } else { "items" };
        self.add(Problem::TooMany, at, Some(&count.into()), &format!("must have at most {most} {items}"));
    }

    /// The value names something that is not there.
    pub fn not_found(&mut self, at: &Path<'_>, value: impl Into<Value>) {
        self.add(Problem::NotFound, at, Some(&value.into()), "");
    }

    /// Adds `Invalid` for each message.
    pub fn all_invalid(&mut self, at: &Path<'_>, value: &Value, details: impl IntoIterator<Item = String>) {
        for detail in details {
            self.invalid(at, value.clone(), &detail);
        }
    }

    /// Is nothing wrong?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_read_as_the_api_server_words_them() {
        let mut causes = Causes::default();
        let (spec, root) = (Path::Root.field("spec"), Path::Root);
        let list = spec.field("containers");
        causes.required(&list.index(0).field("image"), "");
        causes.invalid(&spec.field("replicas"), -1, "must be greater than or equal to 0");
        causes.not_supported(&spec.field("type"), "Foo", &["A", "B"]);
        causes.too_long(&root.field("metadata").field("annotations"), 262_144);
        causes.duplicate(&list.index(1).field("name"), "a");
        let texts: Vec<String> = causes.0.iter().map(Cause::to_string).collect();
        assert_eq!(
            texts,
            [
                "spec.containers[0].image: Required value",
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.type: Unsupported value: \"Foo\": supported values: \"A\", \"B\"",
                "metadata.annotations: Too long: may not be more than 262144 bytes",
                "spec.containers[1].name: Duplicate value: \"a\"",
            ]
        );
    }
}
