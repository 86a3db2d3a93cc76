//! The harness: starts the real parts and ours on loopback, on the files of `config/`, and stops them again.
//!
//! It knows both services only from outside, as programs with addresses; nothing of theirs is linked here. The demo and
//! the tests ask [`stack::Stack`] for everything at once, or take the parts one by one. In reading order: what is on this
//! machine ([`parts`], [`binaries`]), how a child process lives ([`process`], [`wait`], [`ports`]), which addresses the
//! configuration gets ([`addresses`]), then each part.

pub mod binaries;
pub mod parts;

pub mod ports;
pub mod process;
pub mod wait;

pub mod addresses;
pub mod tokens;

pub mod envoy;
pub mod extauth;
pub mod issuer;
pub mod oidc_provider;
pub mod ratelimit;
pub mod redis;
pub mod upstream;

pub mod client;
pub mod stack;
pub mod story;

pub mod playground;

use std::path::{Path, PathBuf};

/// The root of the checkout this was built from: the demo and the tests read its `config/` and `e2e/` directories.
#[must_use]
pub fn checkout() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}
