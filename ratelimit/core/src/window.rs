//! Time as the core sees it: whole seconds since the Unix epoch, cut into windows of one unit.
//!
//! The only arithmetic on time. Windows start at multiples of their length since the epoch, so every replica that
//! reads the same clock counts in the same window without talking to another.

use std::time::Duration;

use crate::Unit;

/// Whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct UnixTime(u64);

impl UnixTime {
    /// From whole seconds.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// From what a clock says; the fraction of the second is dropped.
    #[must_use]
    pub const fn since_epoch(elapsed: Duration) -> Self {
        Self(elapsed.as_secs())
    }

    /// Whole seconds.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0
    }
}

/// One window: the seconds from `start` to before `start + length_secs`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Window {
    /// Its first second; a multiple of the length.
    pub start: u64,
    /// Its length in seconds, at least 1.
    pub length_secs: u32,
}

impl Window {
    /// The window of `unit` in which `now` lies.
    #[must_use]
    pub fn containing(now: UnixTime, unit: Unit) -> Self {
        let length_secs = unit.window_secs();
        Self {
            start: now.secs().saturating_sub(elapsed_secs(now, length_secs)),
            length_secs,
        }
    }

    /// The first second after it.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start.saturating_add(u64::from(self.length_secs))
    }
}

/// Seconds from `now` to the start of the next window of `unit`: 1 to the unit's length.
#[must_use]
pub(crate) fn reset_secs(now: UnixTime, unit: Unit) -> u32 {
    let length_secs = unit.window_secs();
    let elapsed = u32::try_from(elapsed_secs(now, length_secs)).unwrap_or(0);
    length_secs.saturating_sub(elapsed)
}

fn elapsed_secs(now: UnixTime, length_secs: u32) -> u64 {
    now.secs().checked_rem(u64::from(length_secs)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(now: u64, unit: Unit, start: u64, reset: u32) {
        let now = UnixTime::from_secs(now);
        let window = Window::containing(now, unit);
        assert_eq!((window.start, reset_secs(now, unit)), (start, reset));
        assert_eq!(window.end() - now.secs(), u64::from(reset));
    }

    #[test]
    fn windows_are_multiples_of_their_length_since_the_epoch() {
        check(1_234, Unit::Second, 1_234, 1);
        check(1_234, Unit::Minute, 1_200, 26);
        check(1_000_000, Unit::Hour, 997_200, 800);
        check(1_000_000, Unit::Day, 950_400, 36_800);
        check(1_000_000, Unit::Week, 604_800, 209_600);
        check(1_000_000, Unit::Month, 0, 1_592_000);
        check(31_536_000, Unit::Year, 31_536_000, 31_536_000);
        check(0, Unit::Minute, 0, 60);
        check(59, Unit::Minute, 0, 1);
        check(60, Unit::Minute, 60, 60);
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        let window = Window::containing(UnixTime::from_secs(u64::MAX), Unit::Year);
        assert!(window.end() >= window.start);
    }
}
