//! The edges of the service against the real parts: a Redis server, the program itself over gRPC and HTTP, files that
//! change under load. Every test starts what it needs and ends it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod asking;
mod parts;
mod program;

mod counting;
mod faults;
mod memory;
mod odd_requests;
mod reloading;
mod settings;
mod worked_example;
