//! Counting in every way in which Redis is run: over TLS, two at once, as a Cluster, behind Sentinels; and what is
//! remembered of it here. Real servers, each test its own, on loopback addresses of its own.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod asking;
mod load;
mod servers;

mod cluster;
mod fleet;
mod program;
mod replay;
mod sentinel;
mod sparing;
mod tls;
