//! To be written.

pub mod environment;
pub mod stats;
pub mod xds;
