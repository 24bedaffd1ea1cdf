//! How server-side apply walks a value: which parts are owned one by one, and how each is called.

use serde_json::{Map, Value};

use crate::sandbox::model::schema::{ListKind, Shape, Type};

/// What a value is to an apply.
pub(super) enum Part<'a> {
    /// Owned as a whole.
    Leaf,
    /// Fields or keys, each owned by itself.
    Fields,
    /// List items, each called by its keys or its value.
    Items(&'a ListKind, Option<Type<'a>>),
}

/// A type that may be unknown; what is unknown is walked by its values: objects by field, lists as a whole.
#[derive(Clone, Copy)]
pub(super) struct Kind<'a> {
    of: Option<Type<'a>>,
    /// The field makes it atomic, although the type is not.
    atomic: bool,
}

impl<'a> Kind<'a> {
    pub(super) fn of(of: Type<'a>) -> Self {
        Self { of: Some(of), atomic: false }
    }

    /// How values of this type are walked; `sample` stands in where the type does not say.
    pub(super) fn part(self, sample: Option<&Value>) -> Part<'a> {
        if self.atomic {
            return Part::Leaf;
        }
        match self.of.map(Type::shape) {
            Some(Shape::Struct(s)) if !s.atomic => Part::Fields,
            Some(Shape::Map { atomic: false, .. }) => Part::Fields,
            Some(Shape::List(list)) if list.kind != ListKind::Atomic => Part::Items(&list.kind, self.of.map(|t| t.at(list.items))),
            None | Some(Shape::Any { granular: true }) if sample.is_some_and(Value::is_object) => Part::Fields,
            _ => Part::Leaf,
        }
    }

    /// The type of a field.
    pub(super) fn field(self, name: &str) -> Self {
        match self.of.map(Type::shape) {
            Some(Shape::Struct(s)) => match s.field(name) {
                Some(field) => Self { of: self.of.map(|t| t.at(field.of)), atomic: field.atomic },
                None => Self { of: None, atomic: false },
            },
            _ => Self { of: self.of.and_then(|t| t.under(name)), atomic: false },
        }
    }

    /// Is this a named field of a struct (and no key of a map)?
    pub(super) fn has_field(self, name: &str) -> bool {
        matches!(self.of.map(Type::shape), Some(Shape::Struct(s)) if s.field(name).is_some())
    }

    /// The type of list items.
    pub(super) fn item(of: Option<Type<'a>>) -> Self {
        Self { of, atomic: false }
    }

    /// The type below a step, for walking a set without a value.
    pub(super) fn below(self, step: &str) -> Self {
        match (step.split_once(':'), self.of.map(Type::shape)) {
            (Some(("f", name)), _) => self.field(name),
            (Some(("k", _)), Some(Shape::List(list))) => Self::item(self.of.map(|t| t.at(list.items))),
            _ => Self { of: None, atomic: false },
        }
    }
}

/// How an item of a list is called, or why it cannot be.
pub(super) fn step_of(kind: &ListKind, of: Option<Type<'_>>, item: &Value) -> Result<String, String> {
    let ListKind::Map(keys) = kind else { return Ok(format!("v:{item}")) };
    let mut names: Vec<&String> = keys.iter().collect();
    names.sort();
    let mut found = Map::new();
    for name in names {
        let default = || match of.map(Type::shape) {
            Some(Shape::Struct(s)) => s.field(name).and_then(|f| f.default.clone()),
            _ => None,
        };
        match item.get(name).filter(|v| !v.is_null()).cloned().or_else(default) {
            Some(value) => found.insert(name.clone(), value),
            None => {
                return Err(format!(
                    "associative list with keys has an element that omits key field {name:?} (and doesn't have default value)"
                ));
            }
        };
    }
    Ok(format!("k:{}", Value::Object(found)))
}
