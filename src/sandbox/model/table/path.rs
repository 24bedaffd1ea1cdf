//! The JSONPath of printer columns: `.a.b`, `['a.b']`, `[0]`, `[*]` and `[?(@.a=="b")]`.

use serde_json::Value;

/// All values at a path. A path that makes no sense finds nothing.
pub(super) fn find<'a>(object: &'a Value, path: &str) -> Vec<&'a Value> {
    let mut found = vec![object];
    let mut rest = path.trim();
    while !rest.is_empty() {
        let step;
        if let Some(inside) = rest.strip_prefix('[') {
            let Some(end) = closing(inside) else { return Vec::new() };
            step = bracket(&inside[..end]);
            rest = &inside[end + 1..];
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = dotted_end(name);
            if end == 0 {
                return Vec::new();
            }
            step = Some(Step::Field(name[..end].replace("\\.", ".")));
            rest = &name[end..];
        }
        let Some(step) = step else { return Vec::new() };
        found = found.into_iter().flat_map(|value| step.from(value)).collect();
    }
    found.retain(|v| !v.is_null());
    found
}

/// Where a dotted name ends; a backslash keeps a dot in it.
fn dotted_end(text: &str) -> usize {
    let mut escaped = false;
    for (i, c) in text.char_indices() {
        match c {
            '.' | '[' if !escaped => return i,
            _ => escaped = c == '\\',
        }
    }
    text.len()
}

/// Where a bracket closes; brackets within quotes do not count.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (i, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return Some(i),
            (None, '\'' | '"') => quote = Some(c),
            (Some(q), _) if q == c => quote = None,
            _ => {}
        }
    }
    None
}

enum Step {
    Field(String),
    Index(i64),
    All,
    Where(Vec<String>, String),
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['\'', '"'])
}

fn bracket(text: &str) -> Option<Step> {
    if let Some(condition) = text.strip_prefix("?(@").and_then(|t| t.strip_suffix(')')) {
        let (path, value) = condition.split_once("==")?;
        let keys = path.trim().trim_start_matches('.').split('.').map(str::to_owned).collect();
        return Some(Step::Where(keys, unquoted(value).to_owned()));
    }
    match text.trim() {
        "*" => Some(Step::All),
        quoted if quoted.starts_with(['\'', '"']) => Some(Step::Field(unquoted(quoted).to_owned())),
        number => number.parse().ok().map(Step::Index),
    }
}

impl Step {
    fn from<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let items = value.as_array();
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Index(index) => {
                let length = items.map_or(0, Vec::len);
                let index = if *index < 0 {
                    usize::try_from(-index).ok().and_then(|i| length.checked_sub(i))
                } else {
                    usize::try_from(*index).ok()
                };
                index.and_then(|i| value.get(i)).into_iter().collect()
            }
            Self::All => items.into_iter().flatten().chain(value.as_object().into_iter().flat_map(|m| m.values())).collect(),
            Self::Where(keys, wanted) => {
                let holds = |item: &&Value| {
                    let found = keys.iter().fold(*item, |v, key| &v[key.as_str()]);
                    let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
                    text == *wanted
                };
                items.into_iter().flatten().filter(holds).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_printer_columns_want() {
        let object = json!({"a": {"b": [1, 2], "x.y": "z"}, "c": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]});
        let texts = |path: &str| find(&object, path).into_iter().map(Value::to_string).collect::<Vec<_>>();
        assert_eq!(texts(".a.b[0]"), ["1"]);
        assert_eq!(texts(".a.b[-1]"), ["2"]);
        assert_eq!(texts(".a.b[*]"), ["1", "2"]);
        assert_eq!(texts(".a['x.y']"), ["\"z\""]);
        assert_eq!(texts(".a.x\\.y"), ["\"z\""]);
        assert_eq!(texts(".c[?(@.type==\"Ready\")].status"), ["\"True\""]);
        assert!(texts(".no.such").is_empty() && texts(".c[?(@.type").is_empty() && texts("..a").is_empty());
    }
}
