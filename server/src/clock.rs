//! The only place that reads the clock.
//!
//! Everything that decides takes `now` as an argument and gets it from here at the edge, once per request.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since the Unix epoch; zero on a machine whose clock stands before it.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
#[must_use]
pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// An instant to measure spans with; never goes back.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the monotonic clock")]
#[must_use]
pub fn monotonic_now() -> Instant {
    Instant::now()
}
