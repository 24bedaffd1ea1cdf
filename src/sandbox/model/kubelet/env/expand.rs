//! `$(NAME)` in values, commands and arguments.

/// Replaces each `$(NAME)` that `lookup` knows; `$$` stands for `$`, and what is not known stays as it is.
pub(super) fn expand<'a>(text: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|r| r.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_escapes_are_kept_and_the_unknown_stays() {
        let lookup = |name: &str| (name == "A").then_some("1");
        let cases = ["$(A)", "x$(A)y$(A)", "$$(A)", "$$$(A)", "$(B)", "$A", "$(A", "$", "$()", "a$(A)$"];
        let expected = ["1", "x1y1", "$(A)", "$1", "$(B)", "$A", "$(A", "$", "$()", "a1$"];
        assert_eq!(cases.map(|c| expand(c, lookup)), expected);
    }
}
