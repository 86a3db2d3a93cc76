//! What a plain YAML scalar means, by the YAML 1.1 rules of Go's yaml.v2.
//!
//! Those are the rules under which existing rate limit files and Kubernetes manifests were written: `yes` is a
//! boolean, `010` is eight, `1_000` is a thousand, a timestamp is text. Pure text to [`Value`]; never an error.

use super::Value;

/// Resolves an unquoted, untagged scalar.
pub(super) fn resolve(text: &str) -> Value {
    if let Some(value) = word(text) {
        return value;
    }
    match text.bytes().next() {
        Some(b'.') if underscores_separate_digits(text) => {
            go_float(&text.replace('_', "")).map_or_else(|| Value::String(text.to_owned()), Value::Float)
        }
        Some(b'+' | b'-' | b'0'..=b'9') => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
        _ => Value::String(text.to_owned()),
    }
}

/// Reads a number as [`resolve`] does, in spite of quotes: for values tagged `!!int` or `!!float`.
pub(super) fn number(text: &str) -> Option<Value> {
    let digits = text.replace('_', "");
    if let Some(int) = go_int(&digits) {
        return Some(Value::Int(int));
    }
    is_float(&digits).then(|| go_float(&digits)).flatten().map(Value::Float)
}

/// The words that are not strings.
fn word(text: &str) -> Option<Value> {
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Value::Float(f64::NEG_INFINITY),
        _ => return None,
    })
}

/// Go's integer literals: `0x`, `0o`, `0b` and a leading `0` choose the base. From `i64::MIN` to `u64::MAX`.
fn go_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = radix(digits);
    // `from_str_radix` would take a second sign.
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    // A sign `+` keeps the value within i64, as `strconv.ParseUint` refuses it.
    let max = if text.starts_with('+') {
        i128::from(i64::MAX)
    } else {
        i128::from(u64::MAX)
    };
    (i128::from(i64::MIN)..=max).contains(&value).then_some(value)
}

fn radix(digits: &str) -> (u32, &str) {
    let prefixes = [("0x", 16), ("0X", 16), ("0o", 8), ("0O", 8), ("0b", 2), ("0B", 2)];
    for (prefix, radix) in prefixes {
        if let Some(rest) = digits.strip_prefix(prefix) {
            return (radix, rest);
        }
    }
    match digits.strip_prefix('0') {
        Some(rest) if !rest.is_empty() => (8, rest),
        _ => (10, digits),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(digits)
}

/// What Go asks of a number that begins with a point; yaml.v2 takes underscores out of all others first.
fn underscores_separate_digits(text: &str) -> bool {
    let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_digit());
    let mut pieces = text.split('_').map(str::as_bytes).peekable();
    while let Some(piece) = pieces.next() {
        let Some(next) = pieces.peek() else { return true };
        if !is_digit(piece.last().copied()) || !is_digit(next.first().copied()) {
            return false;
        }
    }
    true
}

/// Go refuses a decimal number beyond f64 where Rust answers infinity.
fn go_float(text: &str) -> Option<f64> {
    is_float(text)
        .then(|| text.parse().ok())
        .flatten()
        .filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &Value) {
        // NaN is not equal to itself, its Debug text is.
        assert_eq!(format!("{:?}", resolve(text)), format!("{expected:?}"), "{text:?}");
    }

    #[test]
    fn reads_null_and_booleans_in_their_1_1_spellings() {
        for text in ["", "~", "null", "Null", "NULL"] {
            check(text, &Value::Null);
        }
        for text in ["y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"] {
            check(text, &Value::Bool(true));
        }
        for text in [
            "n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE",
        ] {
            check(text, &Value::Bool(false));
        }
    }

    #[test]
    fn reads_integers_of_every_base() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("+7", 7),
            ("12", 12),
            ("1_000", 1000),
            ("0x10", 16),
            ("-0X1f", -31),
            ("010", 8),
            ("0o17", 15),
            ("0b101", 5),
            ("-0b11", -3),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("-9223372036854775808", i128::from(i64::MIN)),
        ] {
            check(text, &Value::Int(value));
        }
    }

    #[test]
    fn reads_floats() {
        for (text, value) in [
            ("1.5", 1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1e3),
            ("-1E-3", -1e-3),
            ("1_0.5", 10.5),
            (".1_5", 0.15),
            // Eight and nine are not octal digits: a float, as in Go.
            ("09", 9.0),
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            (".inf", f64::INFINITY),
            ("-.INF", f64::NEG_INFINITY),
            (".NaN", f64::NAN),
        ] {
            check(text, &Value::Float(value));
        }
    }

    #[test]
    fn keeps_all_else_as_text() {
        for text in [
            "yEs",
            "tRUE",
            "nULL",
            "2001-12-14",
            "2001-12-14T21:59:43.10-05:00",
            "1:30",
            "1.2.3",
            "+-1",
            "--1",
            "0x",
            "0b2",
            "1e",
            "e1",
            ".",
            "-",
            "+",
            "_1",
            "._5",
            ".5_",
            ".1__5",
            "1e400",
            "infinity",
            "nan",
            "1 000",
            "0o8",
            "٣",
        ] {
            check(text, &Value::String(text.to_owned()));
        }
    }
}
