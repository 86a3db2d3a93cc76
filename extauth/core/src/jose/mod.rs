//! Signed tokens (RFC 7515, RFC 7519) under the rules attacks have taught (RFC 8725).
//!
//! ```text
//! text ─compact▶ three parts ─header▶ algorithm, kid ─keyset▶ key ─verify▶ SignedClaims ─claims▶ VerifiedToken
//! ```
//!
//! Nothing of a payload is looked at before its signature holds. What a token says about itself never widens what is
//! allowed: algorithms come from the rules and the key, keys only from the key set of the step.

mod algorithm;
mod base64url;
mod claims;
mod compact;
mod error;
mod header;
mod json;
mod key;
mod keyset;
mod verify;

pub use algorithm::{Algorithm, AlgorithmSet};
pub use claims::{Audience, ClaimRules, LEEWAY_DEFAULT, TokenType, VerifiedToken};
pub use compact::TOKEN_BYTES_MAX;
pub use error::{Part, TokenError};
pub use json::JsonError;
pub use key::KeyError;
pub use keyset::{IgnoredKey, KEYS_MAX, KeySet, KeySetError};
pub use verify::{SignedClaims, TokenRules, verify};

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
