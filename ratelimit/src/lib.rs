//! The edges of the rate limit service. What a limit means is the crate `ratelimit-core`; this one reads files, speaks
//! gRPC and HTTP, keeps counters and tells how it is doing.
//!
//! ```text
//! RateLimitRequest ─wire/from_proto▶ Request ─core▶ Plan ─counters▶ Readings ─core▶ Decision ─wire/to_proto▶ reply
//! ```

pub mod service;

pub mod wire;

pub mod counters;

pub mod limits;

pub mod rules_file;
pub mod xds;

pub mod http;

pub mod metrics;
pub mod stats;

pub mod check;

pub mod app;
pub mod environment;
pub mod settings;
