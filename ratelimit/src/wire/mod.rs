//! Between Envoy's messages and the core's values. An Envoy API change touches this folder and nothing else.
//!
//! Parsing rules live here ("no addend means 1"); policy does not ("no rule means OK").

pub mod deadline;
pub mod from_proto;
pub mod status;
pub mod to_proto;
