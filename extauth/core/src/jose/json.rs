//! JSON objects read strictly: each member once, a bounded depth, nothing after the end, UTF-8, numbers in range.
//!
//! Two parsers that disagree on which of two equal members counts are a way around a check (RFC 8725 section 2.9 and
//! RFC 7515 section 10.12), so there are never two.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Most levels of objects and arrays inside each other.
const DEPTH_MAX: u8 = 16;

/// Why a text is not a strict JSON object.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, not UTF-8, a number out of range, or bytes after the end.
    #[error("is not JSON")]
    Malformed,
    /// JSON, but not an object.
    #[error("is not a JSON object")]
    NotAnObject,
    /// A member stands twice in one object.
    #[error("has a member twice")]
    RepeatedMember,
    /// Deeper than sixteen levels.
    #[error("is nested too deep")]
    TooDeep,
}

/// Reads one object.
pub(super) fn parse_object(text: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let fault = Cell::new(JsonError::Malformed);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let strict = Strict {
        depth_left: DEPTH_MAX,
        fault: &fault,
    };
    let value = strict.deserialize(&mut reader).map_err(|_serde| fault.get())?;
    reader.end().map_err(|_trailing| JsonError::Malformed)?;
    match value {
        Value::Object(members) => Ok(members),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(JsonError::NotAnObject)
        }
    }
}

/// Builds a [`Value`] and remembers our own reason when it stops; serde's errors carry only text.
#[derive(Clone, Copy)]
struct Strict<'a> {
    depth_left: u8,
    fault: &'a Cell<JsonError>,
}

impl Strict<'_> {
    fn stop<E: serde::de::Error>(&self, fault: JsonError) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }

    fn inside<E: serde::de::Error>(&self) -> Result<Self, E> {
        let depth_left = self
            .depth_left
            .checked_sub(1)
            .ok_or_else(|| self.stop(JsonError::TooDeep))?;
        Ok(Self { depth_left, ..*self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::from(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(self.stop(JsonError::RepeatedMember));
            }
            map.insert(name, members.next_value_seed(inside)?);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_serde_json_reads() {
        let text = br#"{"a":[1,-2,3.5,true,null,"x"],"b":{"c":{}}," ":"\u00e9"}"#;
        let expected: Value = serde_json::from_slice(text).unwrap();
        assert_eq!(parse_object(text).map(Value::Object), Ok(expected));
    }

    #[test]
    fn refuses_with_the_reason() {
        let deep = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        parse_object(deep(16).as_bytes()).unwrap();
        let too_deep = deep(17);
        let rows: [(&str, &[u8], JsonError); 12] = [
            ("repeated", br#"{"a":1,"a":1}"#, JsonError::RepeatedMember),
            (
                "repeated inside",
                br#"{"x":[{"a":1,"a":2}]}"#,
                JsonError::RepeatedMember,
            ),
            (
                "repeated by escape",
                br#"{"iss":1,"\u0069ss":2}"#,
                JsonError::RepeatedMember,
            ),
            ("deep", too_deep.as_bytes(), JsonError::TooDeep),
            ("trailing", b"{} x", JsonError::Malformed),
            ("second object", b"{}{}", JsonError::Malformed),
            ("huge number", br#"{"exp":1e400}"#, JsonError::Malformed),
            ("not a number", br#"{"exp":NaN}"#, JsonError::Malformed),
            ("not utf-8", b"{\"a\":\"\xff\"}", JsonError::Malformed),
            ("lone surrogate", br#"{"a":"\ud800"}"#, JsonError::Malformed),
            ("array", b"[]", JsonError::NotAnObject),
            ("empty", b"", JsonError::Malformed),
        ];
        for (name, text, fault) in rows {
            assert_eq!(parse_object(text), Err(fault), "{name}");
        }
    }
}
