//! Which pod template a Deployment has, in a word that stays the same: it is kept in objects, and read by later versions of the program.

use serde_json::Value;

use crate::domain::traffic::Name;

/// FNV-1a over the canonical JSON of a template, as 16 hexadecimal digits: keys in order, nothing between the signs, and what is `null` is
/// not there.
pub fn fingerprint(template: &Value) -> Name {
    let mut hash = Fnv::default();
    hash.value(template);
    format!("{:016x}", hash.0).into()
}

struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    fn text(&mut self, text: &str) {
        self.0 = text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Array(items) => {
                self.text("[");
                for (i, item) in items.iter().enumerate() {
                    self.text(if i == 0 { "" } else { "," });
                    self.value(item);
                }
                self.text("]");
            }
            Value::Object(map) => {
                let mut there: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
                there.sort_unstable_by_key(|(key, _)| *key);
                self.text("{");
                for (i, (key, value)) in there.into_iter().enumerate() {
                    self.text(if i == 0 { "" } else { "," });
                    self.text(&Value::from(key.as_str()).to_string());
                    self.text(":");
                    self.value(value);
                }
                self.text("}");
            }
            plain => self.text(&plain.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fingerprint_never_changes() {
        // Reckoned elsewhere, over the text that stands beside it.
        for (template, text, hash) in [
            (json!({}), "{}", "08f44b07b5901a25"),
            (
                json!({"spec": {"containers": [{"name": "ä\n", "image": "i:1"}, 2.5, true]}, "metadata": {"labels": {"b": "1", "a": "2"}}}),
                r#"{"metadata":{"labels":{"a":"2","b":"1"}},"spec":{"containers":[{"image":"i:1","name":"ä\n"},2.5,true]}}"#,
                "d011a59067189652",
            ),
        ] {
            let mut direct = Fnv::default();
            direct.text(text);
            assert_eq!((&*fingerprint(&template), direct.0), (hash, u64::from_str_radix(hash, 16).unwrap()), "{text}");
        }
    }

    #[test]
    fn neither_the_order_of_keys_nor_what_is_null_makes_another_template() {
        let read = |text: &str| fingerprint(&serde_json::from_str(text).unwrap());
        let one = read(r#"{"metadata":{"creationTimestamp":null,"labels":{"a":"1"}},"spec":{"x":[1,2]}}"#);
        assert_eq!(read(r#"{"spec":{"x":[1,2]},"metadata":{"labels":{"a":"1"}}}"#), one);
        assert_ne!(read(r#"{"spec":{"x":[2,1]},"metadata":{"labels":{"a":"1"}}}"#), one);
        assert_ne!(read(r#"{"spec":{"x":[1,2]},"metadata":{"labels":{"a":1}}}"#), one);
    }
}
