//! Values of flags and environment variables, as Go programs of this field spell them. Each function is a `clap` value
//! parser: it returns the value or says what is allowed; clap adds the name and the value.

use std::time::Duration;

/// A bool as Go's `strconv.ParseBool` reads it.
///
/// # Errors
/// On any other word, the empty one included.
pub fn parse_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("not a bool (allowed: true, false, 1, 0)".to_owned()),
    }
}

/// A duration as Go's `time.ParseDuration` reads it: `150us`, `1h30m`, `1.5s`, `0`. Never negative, never without a
/// unit.
///
/// # Errors
/// On anything else, and beyond what nanoseconds in 64 bits hold (292 years).
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a duration (allowed: numbers with units, as 150us, 1.5s, 1h30m)".to_owned();
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(wrong());
    }
    let mut rest = unsigned;
    let mut nanos: u64 = 0;
    while !rest.is_empty() {
        let number_end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(number_end).ok_or_else(wrong)?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_end).ok_or_else(wrong)?;
        let part = scaled(number, unit_nanos(unit).ok_or_else(wrong)?).ok_or_else(wrong)?;
        nanos = nanos.checked_add(part).ok_or_else(wrong)?;
        rest = next;
    }
    Ok(Duration::from_nanos(nanos))
}

fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 60 * 60 * 1_000_000_000,
        _ => return None,
    })
}

/// `number` (digits with at most one point) times `unit`, in whole nanoseconds.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        place /= 10;
        total = total.checked_add(place.checked_mul(u64::from(digit.to_digit(10)?))?)?;
    }
    Some(total)
}

/// An integer with Go's base prefixes: `10`, `0x1f`, `0b101`, `0o17`, `017`, `1_000`.
///
/// # Errors
/// On anything else, and outside of 64 signed bits.
pub fn parse_int(text: &str) -> Result<i64, String> {
    let wrong = || "not a whole number".to_owned();
    let digits = text.replace('_', "");
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(hex) = lower.strip_prefix("0x") {
        (16, hex)
    } else if let Some(binary) = lower.strip_prefix("0b") {
        (2, binary)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        (8, octal)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.trim_start_matches('0'))
    } else {
        (10, lower.as_str())
    };
    if digits.starts_with(['+', '-']) {
        return Err(wrong());
    }
    let digits = if digits.is_empty() && radix == 8 { "0" } else { digits };
    i64::from_str_radix(&format!("{sign}{digits}"), radix).map_err(|_not_a_number| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_go_durations() {
        let rows = [
            ("0", 0),
            ("150us", 150_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5ms", 500_000),
            ("+2m", 120_000_000_000),
            ("1µs2ns", 1_002),
        ];
        for (text, nanos) in rows {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in [
            "",
            "5",
            "-1s",
            "1",
            "s",
            "1x",
            "1.2.3s",
            ".s",
            "1s ",
            "99999999999h",
            "1sm",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_go_integers() {
        for (text, value) in [
            ("0", 0),
            ("10", 10),
            ("-3", -3),
            ("0x1F", 31),
            ("0b101", 5),
            ("017", 15),
            ("1_000", 1_000),
        ] {
            assert_eq!(parse_int(text), Ok(value), "{text}");
        }
        for text in ["", "-", "0x", "--1", "08", "1.5", "ten", "9223372036854775808", "0x-1"] {
            assert!(parse_int(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reads_go_bools() {
        assert_eq!(parse_bool("T"), Ok(true));
        assert_eq!(parse_bool("False"), Ok(false));
        for text in ["", "yes", "on", "tRUE"] {
            assert!(parse_bool(text).is_err(), "{text}");
        }
    }
}
