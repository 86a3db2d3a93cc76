//! By when the caller wants an answer, from `grpc-timeout`.

use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;

/// How many parts of a hundred of the caller's time the store may take; the rest is for the answer's way back.
const STORE_PERCENT: u32 = 80;

/// By when the store has to answer: most of what the caller gives, or `default`.
#[must_use]
pub fn of_store(metadata: &MetadataMap, now: Instant, default: Duration) -> Instant {
    let stated = metadata
        .get("grpc-timeout")
        .and_then(|value| parse(value.to_str().ok()?));
    let time = stated.map_or(default, |time| (time / 100).saturating_mul(STORE_PERCENT));
    // An instant that does not exist lies further off than anybody waits.
    now.checked_add(time).unwrap_or_else(|| now + default)
}

/// Up to eight digits and a unit, as the gRPC protocol over HTTP/2 has it. `None` for anything else.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number).saturating_mul(3_600),
        "M" => Duration::from_secs(number).saturating_mul(60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stated: Option<&str>, expected: Duration) {
        let mut metadata = MetadataMap::new();
        if let Some(stated) = stated {
            metadata.insert("grpc-timeout", stated.parse().unwrap());
        }
        let now = server::clock::monotonic_now();
        assert_eq!(of_store(&metadata, now, Duration::from_millis(15)), now + expected);
    }

    #[test]
    fn most_of_the_callers_time_is_the_stores() {
        check(Some("20m"), Duration::from_millis(16));
        check(Some("1S"), Duration::from_millis(800));
        check(Some("5000u"), Duration::from_millis(4));
        check(Some("100n"), Duration::from_nanos(80));
        check(Some("1M"), Duration::from_secs(48));
        check(Some("99999999H"), Duration::from_secs(99_999_999 * 3_600 / 100 * 80));
    }

    #[test]
    fn without_a_readable_time_the_default_holds() {
        for stated in [
            None,
            Some(""),
            Some("m"),
            Some("20"),
            Some("-5m"),
            Some("1s"),
            Some("123456789m"),
            Some("1 m"),
        ] {
            check(stated, Duration::from_millis(15));
        }
    }
}
