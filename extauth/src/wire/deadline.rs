//! How long a decision may take: our own limit, and always less than what the caller gives.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// Parts of a hundred of the caller's time that we use; the rest is for the answer's way back.
const PERCENT: u32 = 90;

/// The time for one decision: `own`, or most of what `grpc-timeout` says if that is less.
#[must_use]
pub fn budget(metadata: &MetadataMap, own: Duration) -> Duration {
    let stated = metadata
        .get("grpc-timeout")
        .and_then(|value| parse(value.to_str().ok()?));
    stated.map_or(own, |stated| own.min((stated / 100).saturating_mul(PERCENT)))
}

/// Up to eight digits and a unit, as gRPC over HTTP/2 has it. `None` for anything else.
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

    #[test]
    fn is_under_the_callers() {
        let rows = [
            (None, 150_000),
            (Some("200m"), 150_000),
            (Some("100m"), 90_000),
            (Some("100000u"), 90_000),
            (Some("1S"), 150_000),
            (Some("0m"), 0),
            (Some("soon"), 150_000),
            (Some("-1m"), 150_000),
            (Some("999999999m"), 150_000),
            (Some("m"), 150_000),
        ];
        for (stated, expected_us) in rows {
            let mut metadata = MetadataMap::new();
            if let Some(stated) = stated {
                metadata.insert("grpc-timeout", stated.parse().unwrap());
            }
            let budget = budget(&metadata, Duration::from_millis(150));
            assert_eq!(budget, Duration::from_micros(expected_us), "{stated:?}");
        }
    }
}
