//! How long to pause before trying again: pure, the random draw is an argument.
//!
//! Chosen differences from envoyproxy/ratelimit, whose variables these are: there the pauses are computed as
//! `initial * RANDOM_FACTOR ^ attempt`, and a factor of 0.5 makes that a constant, never reset. Here each pause is
//! twice the one before up to the maximum, a good stream starts again from the first, and the random factor is what
//! its name says: how much of a pause jitter may take away.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::settings::PauseSettings;

/// The shortest pause whatever the settings say: a zero would be a hot loop against a server in trouble.
const SHORTEST: Duration = Duration::from_millis(100);

/// The share of a pause that jitter may take away, from 0 (none) to 1 (all).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter(f64);

impl Jitter {
    /// None: every pause is exact.
    pub const NONE: Self = Self(0.0);

    /// The nearest share there is; not a number is none. The other server takes any factor, so none is refused here.
    #[must_use]
    pub fn new(share: f64) -> Self {
        if share.is_nan() {
            Self::NONE
        } else {
            Self(share.clamp(0.0, 1.0))
        }
    }

    /// A pause up to this share shorter than `longest`; `draw` is in 0..1.
    fn shorten(self, longest: Duration, draw: f64) -> Duration {
        let seconds = longest.as_secs_f64() * (1.0 - self.0 * draw);
        Duration::try_from_secs_f64(seconds).unwrap_or(longest)
    }
}

/// Pauses that double.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    initial: Duration,
    max: Duration,
    jitter: Jitter,
    next: Duration,
}

impl Backoff {
    /// After streams that ended.
    pub(super) fn of_streams(settings: &PauseSettings) -> Self {
        Self::new(settings.initial, settings.max, settings.jitter)
    }

    /// After connections that could not be made: always the same but for jitter.
    pub(super) fn of_connections(settings: &PauseSettings) -> Self {
        Self::new(settings.connect, settings.connect, settings.jitter)
    }

    /// Pauses from `initial` to `max`. A maximum below the initial one wins.
    fn new(initial: Duration, max: Duration, jitter: Jitter) -> Self {
        let max = max.max(SHORTEST);
        let initial = initial.clamp(SHORTEST, max);
        Self {
            initial,
            max,
            jitter,
            next: initial,
        }
    }

    /// The pause to make now; `draw` is in 0..1, as [`draw`] makes them.
    pub(super) fn pause(&mut self, draw: f64) -> Duration {
        let longest = self.next;
        self.next = longest.saturating_mul(2).min(self.max);
        self.jitter.shorten(longest, draw).max(SHORTEST)
    }

    /// The longest pause this makes.
    pub(super) fn max(&self) -> Duration {
        self.max
    }

    /// Begins again with the first pause.
    pub(super) fn reset(&mut self) {
        self.next = self.initial;
    }
}

/// A number in 0..1, different in every replica. The standard library keys each [`RandomState`] at random; jitter needs
/// no more than that.
pub(super) fn draw() -> f64 {
    let bits = RandomState::new().hash_one(()) >> 32;
    f64::from(u32::try_from(bits).unwrap_or(u32::MAX)) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The first pauses, in milliseconds, all made with the same draw.
    #[track_caller]
    fn check(mut backoff: Backoff, draw: f64, expected_ms: &[u128]) {
        let pauses: Vec<u128> = expected_ms.iter().map(|_| backoff.pause(draw).as_millis()).collect();
        assert_eq!(pauses, expected_ms);
    }

    #[test]
    fn doubles_up_to_the_maximum() {
        let backoff = Backoff::new(10 * SECOND, 60 * SECOND, Jitter::NONE);
        check(backoff, 0.9, &[10_000, 20_000, 40_000, 60_000, 60_000]);
    }

    #[test]
    fn jitter_takes_away_its_share_at_most() {
        let backoff = Backoff::new(10 * SECOND, 60 * SECOND, Jitter::new(0.5));
        check(backoff.clone(), 0.0, &[10_000, 20_000]);
        check(backoff.clone(), 0.5, &[7_500, 15_000]);
        check(backoff, 1.0, &[5_000, 10_000]);
    }

    #[test]
    fn begins_again_after_a_reset() {
        let mut backoff = Backoff::new(SECOND, 60 * SECOND, Jitter::NONE);
        backoff.pause(0.0);
        backoff.pause(0.0);
        backoff.reset();
        check(backoff, 0.0, &[1_000, 2_000]);
    }

    #[test]
    fn odd_settings_neither_fail_nor_spin() {
        check(Backoff::new(60 * SECOND, SECOND, Jitter::NONE), 0.0, &[1_000, 1_000]);
        check(
            Backoff::new(Duration::ZERO, Duration::ZERO, Jitter::NONE),
            0.0,
            &[100, 100],
        );
        check(Backoff::new(SECOND, SECOND, Jitter::new(7.0)), 1.0, &[100, 100]);
        check(Backoff::new(SECOND, SECOND, Jitter::new(-1.0)), 1.0, &[1_000]);
        check(Backoff::new(SECOND, SECOND, Jitter::new(f64::NAN)), 1.0, &[1_000]);
        check(
            Backoff::new(Duration::MAX, Duration::MAX, Jitter::NONE),
            0.0,
            &[Duration::MAX.as_millis()],
        );
    }

    #[test]
    fn draws_are_within_range_and_differ() {
        let draws: Vec<f64> = (0..100).map(|_| draw()).collect();
        assert!(draws.iter().all(|draw| (0.0..1.0).contains(draw)));
        assert!(draws.windows(2).any(|pair| pair[0] < pair[1]));
        assert!(draws.windows(2).any(|pair| pair[0] > pair[1]));
    }
}
