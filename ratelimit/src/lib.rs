//! To be written.

pub mod environment;
pub mod stats;
