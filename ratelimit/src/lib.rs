//! To be written.

pub mod check;
pub mod environment;
pub mod rules_file;
pub mod stats;
pub mod xds;
