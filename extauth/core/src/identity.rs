//! Who the caller is. An [`Identity`] is made only from a credential that verified; search for [`VerifiedToken`] to
//! find every way in.

use serde_json::{Map, Value};

use crate::jose::VerifiedToken;
use crate::pipeline::steps::access_token::Scope;

/// A caller whose credential verified.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    token: VerifiedToken,
}

impl Identity {
    /// The caller that a token is about.
    #[must_use]
    pub const fn from_token(token: VerifiedToken) -> Self {
        Self { token }
    }

    /// The id that headers and metadata carry: the subject of the token.
    #[must_use]
    pub fn user_id(&self) -> Option<&str> {
        self.token.subject()
    }

    /// Whether the caller was granted all of `scopes`.
    #[must_use]
    pub fn grants(&self, scopes: &[Scope]) -> bool {
        self.token.grants(scopes.iter().map(Scope::as_str))
    }

    /// What is known about the caller.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        self.token.claims()
    }
}
