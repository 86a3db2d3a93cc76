//! When a key set is fetched next. Pure: random numbers and times are arguments.

use std::time::Duration;

/// How often a set is refreshed when the manifest does not say.
pub const REFRESH_DEFAULT: Duration = Duration::from_secs(5 * 60);
/// The shortest refresh interval.
pub const REFRESH_MIN: Duration = Duration::from_secs(1);
/// The longest refresh interval.
pub const REFRESH_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The least that a server's `max-age` counts for.
const MAX_AGE_MIN: Duration = Duration::from_secs(60);
/// The most that it counts for.
const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The first wait after a failed fetch; it doubles.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait after a failed fetch.
const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// The part of a wait, in hundredths, that jitter takes away, so that replicas do not ask at the same moment.
const JITTER_PERCENT: u32 = 10;

/// The wait after a good fetch: the manifest's interval, or the server's `max-age` if that is shorter, and a little
/// ahead of it.
pub(super) fn after_success(refresh: Duration, max_age: Option<Duration>, random: u32) -> Duration {
    let max_age = max_age.map_or(MAX_AGE_MAX, |age| age.clamp(MAX_AGE_MIN, MAX_AGE_MAX));
    ahead(refresh.clamp(REFRESH_MIN, REFRESH_MAX).min(max_age), random)
}

/// The wait after `failures` failed fetches in a row.
pub(super) fn after_failures(failures: u32, random: u32) -> Duration {
    let doubled = BACKOFF.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    ahead(doubled.min(BACKOFF_MAX), random)
}

fn ahead(wait: Duration, random: u32) -> Duration {
    let percent = random.checked_rem(JITTER_PERCENT).unwrap_or_default();
    wait.saturating_sub((wait / 100).saturating_mul(percent))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_shorter_of_manifest_and_server_counts() {
        let rows = [
            (secs(300), None, secs(300)),
            (secs(300), Some(secs(3_600)), secs(300)),
            (secs(300), Some(secs(120)), secs(120)),
            (secs(300), Some(secs(0)), secs(60)),
            (secs(30), Some(secs(0)), secs(30)),
            (secs(90_000), Some(Duration::MAX), secs(86_400)),
            (secs(0), None, secs(1)),
        ];
        for (refresh, max_age, expected) in rows {
            assert_eq!(after_success(refresh, max_age, 0), expected, "{refresh:?} {max_age:?}");
        }
    }

    #[test]
    fn failures_back_off_to_five_minutes() {
        let waits = [1, 2, 3, 9, 10, 1_000, u32::MAX].map(|failures| after_failures(failures, 0).as_secs());
        assert_eq!(waits, [1, 2, 4, 256, 300, 300, 300]);
    }

    #[test]
    fn jitter_is_ahead_and_at_most_a_tenth() {
        for random in [0, 1, 9, 10, 12_345, u32::MAX] {
            let wait = after_success(secs(100), None, random);
            assert!(wait > secs(90) && wait <= secs(100), "{random}: {wait:?}");
        }
    }
}
