//! Claims as header values. What cannot be written so that every reader reads the same is refused, never bent: the
//! request is denied instead.
//!
//! | claim | header value |
//! |---|---|
//! | text | as it is; no control character, no space at an end |
//! | number, bool | `42`, `2.5`, `true` |
//! | list of the above | joined with `,`; text with a comma inside is refused |
//! | object, list with one inside | compact JSON |
//! | null, absent, empty text, empty list | no header |

use serde_json::{Map, Number, Value};

use crate::header_name::HeaderName;

/// Most bytes of one value. Envoy's limit for all headers of a request is 60 KiB.
pub const VALUE_BYTES_MAX: usize = 4 * 1024;
/// Greatest whole number that a double holds exactly: 2^53.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// One line of `claimsToHeaders`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimToHeader {
    /// The claim: its literal name, or else a path with dots.
    pub claim: String,
    /// The header that carries it.
    pub header: HeaderName,
    /// What to do when we already set this header.
    pub existing: Existing,
}

/// What to do with a value that we set before. What the client sent is gone in both cases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Existing {
    /// Join the two with a comma.
    Append,
    /// The later one stays.
    Overwrite,
}

/// Why a claim cannot be a header value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ValueError {
    /// Text in a list holds the comma that separates the list.
    #[error("a list holds text with a comma")]
    CommaInList,
    /// A control character, or DEL: it could end the header or the line.
    #[error("holds a control character")]
    ControlCharacter,
    /// A number that is not exact any more after parsing.
    #[error("holds a number too large to be exact")]
    InexactNumber,
    /// A space at an end, which HTTP parsers take away: two identities would become one.
    #[error("begins or ends with a space")]
    OuterSpace,
    /// Longer than [`VALUE_BYTES_MAX`].
    #[error("is too long")]
    TooLong,
}

/// The claim of this name, or at this path.
#[must_use]
pub fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    rest.split('.')
        .try_fold(claims.get(first)?, |value, member| value.get(member))
}

/// A claim as the value of a header; `None` if there is nothing to write.
///
/// # Errors
/// When the value could be read as something else, see [`ValueError`].
pub fn value(claim: &Value) -> Result<Option<String>, ValueError> {
    let text = match claim {
        Value::Null => None,
        Value::Array(items) => list(items)?,
        Value::Object(_) => Some(json(claim)?),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => scalar(claim)?,
    };
    text.filter(|text| !text.is_empty()).map(checked).transpose()
}

/// The text of a scalar, `None` for a list or an object.
fn scalar(claim: &Value) -> Result<Option<String>, ValueError> {
    Ok(match claim {
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => Some(decimal(number)?),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    })
}

fn list(items: &[Value]) -> Result<Option<String>, ValueError> {
    let Some(words) = items.iter().map(scalar).collect::<Result<Option<Vec<_>>, _>>()? else {
        return json(&Value::Array(items.to_vec())).map(Some);
    };
    if words.iter().any(|word| word.contains(',')) {
        return Err(ValueError::CommaInList);
    }
    Ok(Some(words.join(",")))
}

/// Compact JSON, members in the order of their names.
fn json(value: &Value) -> Result<String, ValueError> {
    if has_inexact_number(value) {
        return Err(ValueError::InexactNumber);
    }
    Ok(value.to_string())
}

fn has_inexact_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => decimal(number).is_err(),
        Value::Array(items) => items.iter().any(has_inexact_number),
        Value::Object(members) => members.values().any(has_inexact_number),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A number without exponent, and without `.0` where it is whole.
fn decimal(number: &Number) -> Result<String, ValueError> {
    if number.is_i64() || number.is_u64() {
        return Ok(number.to_string());
    }
    let float = number.as_f64().ok_or(ValueError::InexactNumber)?;
    if float.abs() > EXACT_MAX {
        return Err(ValueError::InexactNumber);
    }
    Ok(float.to_string())
}

fn checked(text: String) -> Result<String, ValueError> {
    if text.len() > VALUE_BYTES_MAX {
        return Err(ValueError::TooLong);
    }
    if text.chars().any(char::is_control) {
        return Err(ValueError::ControlCharacter);
    }
    if text.starts_with(' ') || text.ends_with(' ') {
        return Err(ValueError::OuterSpace);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(claim: &Value, expected: Result<Option<&str>, ValueError>) {
        assert_eq!(value(claim), expected.map(|text| text.map(str::to_owned)), "{claim}");
    }

    #[test]
    fn writes_each_kind_of_claim() {
        check(&json!("acme"), Ok(Some("acme")));
        check(&json!("Doe, John"), Ok(Some("Doe, John")));
        check(&json!("Zoë 🚀"), Ok(Some("Zoë 🚀")));
        check(&json!(42), Ok(Some("42")));
        check(&json!(-7), Ok(Some("-7")));
        check(&json!(18_446_744_073_709_551_615_u64), Ok(Some("18446744073709551615")));
        check(&json!(1.0), Ok(Some("1")));
        check(&json!(2.5), Ok(Some("2.5")));
        check(&json!(1e15), Ok(Some("1000000000000000")));
        check(&json!(true), Ok(Some("true")));
        check(&json!(["a", 1, false]), Ok(Some("a,1,false")));
        check(&json!({"b": [1], "a": "x"}), Ok(Some(r#"{"a":"x","b":[1]}"#)));
        check(&json!(["a", {"b": 1}]), Ok(Some(r#"["a",{"b":1}]"#)));
        check(&json!(["a", null]), Ok(Some(r#"["a",null]"#)));
    }

    #[test]
    fn writes_nothing_for_nothing() {
        for nothing in [json!(null), json!(""), json!([]), json!([""])] {
            check(&nothing, Ok(None));
        }
    }

    #[test]
    fn refuses_what_could_be_read_as_something_else() {
        for text in ["a\rb", "a\nb", "a\0b", "a\tb", "a\x7fb", "a\u{85}b", "\n"] {
            check(&json!(text), Err(ValueError::ControlCharacter));
        }
        check(&json!({"a": "x\x7f"}), Err(ValueError::ControlCharacter));
        check(&json!(["a,admin"]), Err(ValueError::CommaInList));
        check(&json!(" acme"), Err(ValueError::OuterSpace));
        check(&json!("acme "), Err(ValueError::OuterSpace));
        check(&json!(" "), Err(ValueError::OuterSpace));
        check(&json!(1e16), Err(ValueError::InexactNumber));
        check(&json!({"id": 1e300}), Err(ValueError::InexactNumber));
        check(
            &json!("x".repeat(VALUE_BYTES_MAX)),
            Ok(Some(&"x".repeat(VALUE_BYTES_MAX))),
        );
        check(&json!("x".repeat(VALUE_BYTES_MAX + 1)), Err(ValueError::TooLong));
    }

    #[test]
    fn the_literal_name_wins_over_the_path() {
        let claims = json!({
            "https://x.example/roles": ["a"], "a.b": 1, "a": {"b": 2, "c": {"d": 3}}, "list": [{"x": 1}]
        });
        let claims = claims.as_object().unwrap();
        let rows = [
            ("https://x.example/roles", Some(json!(["a"]))),
            ("a.b", Some(json!(1))),
            ("a.c.d", Some(json!(3))),
            ("a.c.e", None),
            ("a.b.c", None),
            ("list.0", None),
            ("list.x", None),
            ("", None),
            (".", None),
        ];
        for (name, expected) in rows {
            assert_eq!(find(claims, name), expected.as_ref(), "{name}");
        }
    }
}
