//! Structured logs on standard error: text for people (colour only on a terminal), JSON lines for machines.

use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

impl FromStr for Format {
    type Err = String;

    /// `json` in any case is JSON; `text` or nothing is text.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "json" => Ok(Self::Json),
            "text" | "" => Ok(Self::Text),
            _ => Err(format!("'{text}' is not a log format (allowed: text, json)")),
        }
    }
}

/// The least severe events to write. Words as logrus has them, any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Level(LevelFilter);

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text.to_ascii_lowercase().as_str() {
            "panic" | "fatal" | "error" => LevelFilter::ERROR,
            "warn" | "warning" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            "trace" => LevelFilter::TRACE,
            _ => {
                return Err(format!(
                    "'{text}' is not a log level (allowed: error, warn, info, debug, trace)"
                ));
            }
        }))
    }
}

/// Starts logging for the whole process. Libraries below us stay at `warn` until we are at `trace`.
///
/// # Errors
/// When logging was started before.
pub fn init(level: Level, format: Format) -> Result<(), TryInitError> {
    let libraries = if level.0 == LevelFilter::TRACE {
        LevelFilter::TRACE
    } else {
        level.0.min(LevelFilter::WARN)
    };
    let ours = [
        "ratelimit",
        "ratelimit_core",
        "extauth",
        "extauth_core",
        "server",
        "e2e",
        "demo",
        "issuer",
        "upstream",
    ];
    let filter = ours.iter().fold(EnvFilter::new(libraries.to_string()), |filter, name| {
        match format!("{name}={}", level.0).parse() {
            Ok(directive) => filter.add_directive(directive),
            Err(_unparsable) => filter,
        }
    });
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    match format {
        Format::Text => lines.with_ansi(std::io::stderr().is_terminal()).finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    }
}

/// Lets a repeating warning through once per interval.
#[derive(Debug)]
pub struct Throttle {
    interval: Duration,
    last: Mutex<Option<Instant>>,
    held_back: AtomicU64,
}

impl Throttle {
    /// Lets one event through per `interval`.
    #[must_use]
    pub const fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Mutex::new(None),
            held_back: AtomicU64::new(0),
        }
    }

    /// `Some(n)` if the event at `now` may be logged, `n` having been held back since the last one.
    pub fn admit(&self, now: Instant) -> Option<u64> {
        let mut last = self.last.lock();
        if last.is_some_and(|last| now.saturating_duration_since(last) < self.interval) {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *last = Some(now);
        Some(self.held_back.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_words_of_logrus() {
        for (text, level) in [
            ("WARNING", LevelFilter::WARN),
            ("fatal", LevelFilter::ERROR),
            ("Debug", LevelFilter::DEBUG),
        ] {
            assert_eq!(text.parse(), Ok(Level(level)));
        }
        let error = "loud".parse::<Level>().unwrap_err();
        assert!(error.contains("'loud'") && error.contains("warn"), "{error}");
    }

    #[test]
    fn a_throttle_counts_what_it_holds_back() {
        let throttle = Throttle::new(Duration::from_secs(1));
        let start = crate::clock::monotonic_now();
        assert_eq!(throttle.admit(start), Some(0));
        assert_eq!(throttle.admit(start + Duration::from_millis(10)), None);
        assert_eq!(throttle.admit(start + Duration::from_millis(20)), None);
        assert_eq!(throttle.admit(start + Duration::from_secs(1)), Some(2));
    }
}
