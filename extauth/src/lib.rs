//! The edges of the external authorization service: wire, files, key sets, settings. What is decided, and why, is in
//! `extauth_core`, which knows none of these.
//!
//! ```text
//! CheckRequest ─wire::codec, wire::from_proto▶ request ─service: the core decides▶ Decision ─wire::to_proto▶ CheckResponse
//! files ─policy_file▶ Loaded (policies, key sources)            key sources ─keys▶ KeyRing
//! ```

pub mod app;
pub mod check;
mod decision_log;
mod grpc;
pub mod keys;
pub mod metrics;
pub mod policy_file;
pub mod service;
pub mod settings;
pub mod wire;
