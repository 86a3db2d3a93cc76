//! From the text of a token to claims whose signature holds. `claims` then asks whether they are for us, now.
//!
//! The two halves are apart because only the first costs: what it returns may be kept as long as the key set it was
//! made with, while time and audience are asked again each time.

use super::algorithm::AlgorithmSet;
use super::claims::{ClaimRules, VerifiedToken};
use super::error::{Part, TokenError};
use super::header::Header;
use super::keyset::KeySet;
use super::{compact, json};

use serde_json::{Map, Value};
use std::time::Duration;

/// Which tokens a step accepts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TokenRules {
    /// Algorithms that may be used.
    pub algorithms: AlgorithmSet,
    /// What the claims must say.
    pub claims: ClaimRules,
}

/// Claims that the holder of one of the step's keys signed. Not checked yet for time or audience.
#[derive(Debug)]
pub struct SignedClaims {
    pub(super) claims: Map<String, Value>,
}

/// Verifies a token completely.
///
/// # Errors
/// The first rule that the token breaks.
pub fn verify(token: &str, rules: &TokenRules, keys: &KeySet, now: Duration) -> Result<VerifiedToken, TokenError> {
    SignedClaims::verify(token, rules, keys)?.check(&rules.claims, now)
}

impl SignedClaims {
    /// Verifies the signature of a token.
    ///
    /// # Errors
    /// The first rule of form, algorithm or key that the token breaks, or that its signature does not verify.
    pub fn verify(token: &str, rules: &TokenRules, keys: &KeySet) -> Result<Self, TokenError> {
        let compact = compact::split(token)?;
        let header = Header::parse(&compact.header)?;
        header.check_type(rules.claims.token_type)?;
        if !rules.algorithms.contains(header.algorithm) {
            return Err(TokenError::AlgorithmNotAllowed);
        }
        let key = keys.select(&header, rules.algorithms)?;
        key.verify(header.algorithm, compact.signing_input.as_bytes(), &compact.signature)?;
        let payload = compact::decode_payload(compact.payload)?;
        let claims = json::parse_object(&payload).map_err(|fault| TokenError::NotJson(Part::Payload, fault))?;
        Ok(Self { claims })
    }
}
