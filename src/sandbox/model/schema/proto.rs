//! The protobuf form of built-in objects, which typed clients send (`kubectl create`, `kubectl auth can-i`). It is only read: answers
//! are JSON, which the same clients take as well.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};

use super::{Scalar, Shape, Struct, Type, builtin};
use crate::sandbox::model::kinds::builtin::type_name;

/// What such a body begins with.
pub const MAGIC: &[u8] = b"k8s\0";
const DEEPEST: usize = 64;
/// The seconds of Go's zero time.
const NEVER: i64 = -62_135_596_800;

/// A body that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtoError {
    /// It does not begin as one.
    #[error("the body does not begin with the protobuf prefix")]
    Prefix,
    /// It ends too early, or holds what protobuf does not know.
    #[error("the protobuf body is malformed")]
    Malformed,
    /// Nothing is known of its kind.
    #[error("no protobuf form of {0} is known")]
    Kind(String),
}

/// Decodes a whole body: the envelope and the object in it.
pub fn decode(body: &[u8]) -> Result<Value, ProtoError> {
    let mut envelope = Reader(body.strip_prefix(MAGIC).ok_or(ProtoError::Prefix)?);
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    while let Some((number, wire)) = envelope.field()? {
        match (number, wire) {
            (1, Wire::Bytes(bytes)) => {
                let mut meta = Reader(bytes);
                while let Some((number, wire)) = meta.field()? {
                    match number {
                        1 => api_version = wire.text()?,
                        2 => kind = wire.text()?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let name = match kind.as_str() {
        "DeleteOptions" => "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions".to_owned(),
        kind => type_name(group, version, kind),
    };
    let types = builtin();
    let of = types.named(&name).ok_or_else(|| ProtoError::Kind(format!("{api_version}, Kind={kind}")))?;
    let mut object = message(of, raw, 0)?;
    object["apiVersion"] = api_version.into();
    object["kind"] = kind.into();
    Ok(object)
}

enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn bytes(&self) -> Result<&'a [u8], ProtoError> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(ProtoError::Malformed) }
    }

    fn text(&self) -> Result<String, ProtoError> {
        std::str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| ProtoError::Malformed)
    }

    /// Negative numbers are written as large ones.
    fn number(&self) -> Result<i64, ProtoError> {
        if let Self::Varint(n) = self { Ok(n.cast_signed()) } else { Err(ProtoError::Malformed) }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn varint(&mut self) -> Result<u64, ProtoError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(ProtoError::Malformed)?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtoError::Malformed)
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], ProtoError> {
        let count = usize::try_from(count).map_err(|_| ProtoError::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ProtoError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<Option<(u32, Wire<'a>)>, ProtoError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| ProtoError::Malformed)?;
        let wire = match key & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| ProtoError::Malformed)?)),
            2 => {
                let length = self.varint()?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| ProtoError::Malformed)?)),
            _ => return Err(ProtoError::Malformed),
        };
        Ok(Some((number, wire)))
    }
}

fn message(of: Type<'_>, bytes: &[u8], depth: usize) -> Result<Value, ProtoError> {
    if depth > DEEPEST {
        return Err(ProtoError::Malformed);
    }
    match of.shape() {
        Shape::Struct(s) => {
            let mut out = Map::new();
            fields(of, s, &[], bytes, &mut out, depth)?;
            Ok(Value::Object(out))
        }
        Shape::Scalar(Scalar::Time) => time(bytes),
        Shape::Scalar(Scalar::Quantity) => first(bytes)?.map_or(Ok(json!("0")), |wire| wire.text().map(Value::from)),
        Shape::Scalar(Scalar::IntOrString) => int_or_string(bytes),
        // Kubernetes wraps free JSON, and lists that are a type of their own, into a message with one field.
        Shape::Any { .. } => match first(bytes)? {
            Some(wire) => serde_json::from_slice(wire.bytes()?).map_err(|_| ProtoError::Malformed),
            None => Ok(Value::Null),
        },
        Shape::List(list) => {
            let mut reader = Reader(bytes);
            let mut items = Vec::new();
            while let Some((_, wire)) = reader.field()? {
                items.push(value(of.at(list.items), &wire, depth + 1)?);
            }
            Ok(items.into())
        }
        Shape::Map { .. } | Shape::Scalar(_) => Err(ProtoError::Malformed),
    }
}

/// Reads the fields of a struct that are in the message reached by `path`; deeper ones are in messages that JSON does not have.
fn fields(
    of: Type<'_>,
    s: &Struct,
    path: &[u32],
    bytes: &[u8],
    out: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtoError> {
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        let place = [path, &[number]].concat();
        if let Some(field) = s.fields.iter().find(|f| f.proto == place) {
            let of = of.at(field.of);
            match of.shape() {
                Shape::List(list) => {
                    let item = value(of.at(list.items), &wire, depth + 1)?;
                    if let Value::Array(items) = out.entry(field.name.as_str()).or_insert_with(|| json!([])) {
                        items.push(item);
                    }
                }
                Shape::Map { values, .. } => {
                    let (key, value) = entry(of.at(*values), wire.bytes()?, depth + 1)?;
                    if let Value::Object(map) = out.entry(field.name.as_str()).or_insert_with(|| json!({})) {
                        map.insert(key, value);
                    }
                }
                _ => {
                    out.insert(field.name.clone(), value(of, &wire, depth + 1)?);
                }
            }
        } else if s.fields.iter().any(|f| f.proto.len() > place.len() && f.proto.starts_with(&place)) {
            fields(of, s, &place, wire.bytes()?, out, depth + 1)?;
        }
    }
    Ok(())
}

fn value(of: Type<'_>, wire: &Wire<'_>, depth: usize) -> Result<Value, ProtoError> {
    match (of.shape(), wire) {
        (Shape::Scalar(Scalar::String), _) => wire.text().map(Value::from),
        (Shape::Scalar(Scalar::Bytes), _) => Ok(STANDARD.encode(wire.bytes()?).into()),
        (Shape::Scalar(Scalar::Int32 | Scalar::Int64), _) => wire.number().map(Value::from),
        (Shape::Scalar(Scalar::Boolean), _) => Ok((wire.number()? != 0).into()),
        (Shape::Scalar(Scalar::Double), Wire::Fixed64(bits)) => Ok(f64::from_bits(*bits).into()),
        (Shape::Scalar(Scalar::Double), Wire::Fixed32(bits)) => Ok(f64::from(f32::from_bits(*bits)).into()),
        _ => message(of, wire.bytes()?, depth),
    }
}

fn entry(values: Type<'_>, bytes: &[u8], depth: usize) -> Result<(String, Value), ProtoError> {
    let mut reader = Reader(bytes);
    let (mut key, mut found) = (String::new(), super::decode::zero(values));
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => key = wire.text()?,
            2 => found = value(values, &wire, depth)?,
            _ => {}
        }
    }
    Ok((key, found))
}

fn first(bytes: &[u8]) -> Result<Option<Wire<'_>>, ProtoError> {
    let mut reader = Reader(bytes);
    while let Some((number, wire)) = reader.field()? {
        if number == 1 {
            return Ok(Some(wire));
        }
    }
    Ok(None)
}

fn time(bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut reader = Reader(bytes);
    let (mut seconds, mut nanos) = (0, 0);
    while let Some((number, wire)) = reader.field()? {
        match number {
            1 => seconds = wire.number()?,
            2 => nanos = wire.number()?,
            _ => {}
        }
    }
    if seconds == NEVER || (seconds == 0 && nanos == 0) {
        return Ok(Value::Null);
    }
    let nanos = u32::try_from(nanos).map_err(|_| ProtoError::Malformed)?;
    let moment = DateTime::from_timestamp(seconds, nanos).ok_or(ProtoError::Malformed)?;
    let format = if nanos == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros };
    Ok(moment.to_rfc3339_opts(format, true).into())
}

fn int_or_string(bytes: &[u8]) -> Result<Value, ProtoError> {
    let mut reader = Reader(bytes);
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    while let Some((field, wire)) = reader.field()? {
        match field {
            1 => is_text = wire.number()? == 1,
            2 => number = wire.number()?,
            3 => text = wire.text()?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One length-delimited field.
    fn bytes(number: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        out.extend(content);
        out
    }

    fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), bytes(1, &meta), bytes(2, raw), bytes(3, b""), bytes(4, b"")].concat()
    }

    #[test]
    fn a_config_map_and_a_service_are_read() {
        let entry = [bytes(1, b"k"), bytes(2, b"v")].concat();
        let mut never = vec![8];
        let mut rest = NEVER.cast_unsigned();
        while rest >= 0x80 {
            never.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        never.push(u8::try_from(rest).unwrap());
        let meta = [bytes(1, b"c"), bytes(3, b"shop"), bytes(8, &never)].concat();
        let raw = [bytes(1, &meta), bytes(2, &entry)].concat();
        assert_eq!(
            decode(&body("v1", "ConfigMap", &raw)).unwrap(),
            json!({"metadata": {"name": "c", "namespace": "shop", "creationTimestamp": null}, "data": {"k": "v"}, "apiVersion": "v1", "kind": "ConfigMap"})
        );
        // port 80, target port "http", which is an int-or-string.
        let target = [vec![8, 1, 16, 0], bytes(3, b"http")].concat();
        let port = [bytes(1, b"web"), bytes(2, b"TCP"), vec![24, 80], bytes(4, &target)].concat();
        let raw = bytes(2, &bytes(1, &port));
        assert_eq!(
            decode(&body("v1", "Service", &raw)).unwrap()["spec"],
            json!({"ports": [{"name": "web", "protocol": "TCP", "port": 80, "targetPort": "http"}]})
        );
    }

    #[test]
    fn messages_that_json_does_not_have_are_seen_through() {
        // PodSpec.containers[0].readinessProbe.handler.httpGet.port
        let get = [bytes(1, b"/x"), bytes(2, &[8, 0, 16, 90])].concat();
        let probe = [bytes(1, &bytes(2, &get)), vec![32, 3]].concat();
        let container = [bytes(1, b"c"), bytes(11, &probe)].concat();
        let raw = bytes(2, &bytes(2, &container));
        assert_eq!(
            decode(&body("v1", "Pod", &raw)).unwrap()["spec"]["containers"],
            json!([{"name": "c", "readinessProbe": {"httpGet": {"path": "/x", "port": 90}, "periodSeconds": 3}}])
        );
    }

    #[test]
    fn what_is_not_protobuf_is_refused() {
        assert_eq!(decode(b"{}"), Err(ProtoError::Prefix));
        assert_eq!(decode(&body("v1", "Nothing", b"")), Err(ProtoError::Kind("v1, Kind=Nothing".into())));
        assert_eq!(decode(&body("v1", "Pod", &[0x0a, 0x7f])), Err(ProtoError::Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(raw in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = decode(&body("v1", "Pod", &raw));
            let _ = decode(&[MAGIC, &raw].concat());
        }
    }
}
