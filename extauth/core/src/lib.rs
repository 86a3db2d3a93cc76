//! The external authorization service without its edges: policies, tokens, identities, header mutations, decisions.
//!
//! A request selects an [`AuthConfig`]; its pipeline says what it still needs or what it decided. Nothing here awaits,
//! logs, reads a clock or knows a wire format: `now` is an argument, key sets are values, and every function is total.
//! The edges are the crate `extauth`.
//!
//! ```text
//! CheckRequest ─Policies::select▶ AuthConfig ─pipeline::begin▶ Step::Need(lookup) ⇄ the edge … Step::Done(Decision)
//! ```
//!
//! What must stay true: no [`Allow`] without a [`Permit`], no [`Permit`] unless every step passed, no [`Identity`]
//! without a verified credential, no header of an identity that is neither set by us nor removed.

// Times and sizes name what they do at their bounds. Tests use small numbers.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod claims_to_headers;
mod decision;
mod header_name;
mod identity;
pub mod jose;
mod key_ring;
pub mod pipeline;
mod policy;
mod request;

pub use decision::{Allow, BadRequest, Decision, Denial, HeaderMutations, PublicDenial, Reason, Status};
pub use header_name::{HeaderName, HeaderNameError};
pub use identity::Identity;
pub use key_ring::{KeyRing, KeySource};
pub use pipeline::Permit;
pub use policy::{
    AuthConfig, AuthConfigError, ConfigId, ConfigIdError, NamedStep, Policies, Policy, SelectError, Statuses,
};
pub use request::{CheckRequest, Headers, RepeatedHeader};
