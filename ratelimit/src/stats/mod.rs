//! Statistics under the names, and through the sinks, that operators of envoyproxy/ratelimit use.
//!
//! ```text
//!                        ┌─▶ Families ─▶ /metrics        (mapping file or built-in rules)
//! counters ─▶ Source ─▶ Deltas ─▶ Sample ─▶ StatsdSink ─▶ TCP, UDP   (statsd or `DogStatsD`)
//! timers ───────────────┴─▶ LogSink
//! ```
//!
//! What is counted, and when, is not known here: the process gives a [`sample::Source`] to read and records times
//! through the timer that its sink hands out. One sink is chosen and opened at start, by [`sink::open`].

pub mod sample;
pub mod tags;

pub mod names;

pub mod choice;
pub mod sink;

pub mod bounded;

pub mod flush;
pub mod log;
pub mod statsd;

pub mod dogstatsd;
mod line;
mod link;
mod queue;

pub mod families;
pub mod mapper;

mod pattern;
mod template;

pub use link::Protocol;
pub use pattern::PatternError;
