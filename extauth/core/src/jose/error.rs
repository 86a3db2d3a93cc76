//! Why a token is not accepted. Each variant blames the token or its sender; the texts go to our log, never to the
//! client, and hold nothing of the token but names from the standards.

use std::fmt;

use super::json::JsonError;

/// A part of a compact token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    /// The JOSE header.
    Header,
    /// The claims.
    Payload,
    /// The signature.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Payload => "payload",
            Self::Signature => "signature",
        })
    }
}

/// Why a token is not accepted.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TokenError {
    /// `alg` is unknown, `none`, or symmetric, or not in the list of the step.
    #[error("the algorithm is not allowed")]
    AlgorithmNotAllowed,
    /// More than one key of the set fits; a set must not leave a choice.
    #[error("several keys of the key set fit")]
    AmbiguousKey,
    /// The signature does not verify with the key.
    #[error("the signature does not verify")]
    BadSignature,
    /// A claim is there in a form that RFC 7519 does not allow.
    #[error("claim '{0}' has the wrong form")]
    ClaimMalformed(&'static str),
    /// A claim that must be there is not.
    #[error("claim '{0}' is missing")]
    ClaimMissing(&'static str),
    /// `zip` asks to inflate the payload.
    #[error("the payload is compressed")]
    Compressed,
    /// `crit` or `b64`: the sender wants rules that we do not have.
    #[error("the header has critical extensions")]
    CriticalExtension,
    /// Five parts: a JWE.
    #[error("the token is encrypted")]
    Encrypted,
    /// `exp` has passed.
    #[error("the token has expired")]
    Expired,
    /// A header member is there in a form that RFC 7515 does not allow.
    #[error("header member '{0}' has the wrong form")]
    HeaderMalformed(&'static str),
    /// `nonce`, `at_hash` or `c_hash`: an ID token, which is not for us.
    #[error("this is an ID token where an access token is wanted")]
    IdToken,
    /// `iat` lies in the future.
    #[error("the token was issued in the future")]
    IssuedInTheFuture,
    /// The key named by `kid` is not for this algorithm.
    #[error("the key does not fit the algorithm")]
    KeyDoesNotFit,
    /// There is no key set yet, or it is too old to trust.
    #[error("there is no key set to verify with")]
    KeySetUnavailable,
    /// `cty`: the payload is a token itself.
    #[error("the payload is another token")]
    Nested,
    /// No `kid`, and the set does not have exactly one usable key.
    #[error("the token names no key")]
    NoKeyId,
    /// A part is not base64url in its one spelling.
    #[error("the {0} is not base64url")]
    NotBase64Url(Part),
    /// A part is not a strict JSON object.
    #[error("the {0} {1}")]
    NotJson(Part, JsonError),
    /// Not three parts.
    #[error("the token does not have three parts")]
    NotThreeParts,
    /// `nbf` lies in the future.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// Longer than [`super::TOKEN_BYTES_MAX`].
    #[error("the token is too long")]
    TooLong,
    /// The set has no key of this `kid`; a newer set may.
    #[error("the key set has no such key")]
    UnknownKey {
        /// What the token calls the key. The sender chose it: good for comparing, not for printing.
        key_id: String,
    },
    /// `aud` does not name us.
    #[error("the audience is another")]
    WrongAudience,
    /// `iss` is not the issuer of the step.
    #[error("the issuer is another")]
    WrongIssuer,
    /// `typ` names another kind of token.
    #[error("the token is of another type")]
    WrongType,
}

impl TokenError {
    /// A word for metrics and metadata, from a closed list.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::AmbiguousKey => "ambiguous_key",
            Self::BadSignature => "bad_signature",
            Self::ClaimMalformed(_) => "claim_malformed",
            Self::ClaimMissing(_) => "claim_missing",
            Self::Expired => "expired",
            Self::IssuedInTheFuture => "issued_in_the_future",
            Self::KeyDoesNotFit => "key_does_not_fit",
            Self::KeySetUnavailable => "key_set_unavailable",
            Self::NoKeyId => "no_key_id",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownKey { .. } => "unknown_key",
            Self::WrongAudience => "wrong_audience",
            Self::WrongIssuer => "wrong_issuer",
            Self::IdToken | Self::WrongType => "wrong_type",
            Self::Compressed
            | Self::CriticalExtension
            | Self::Encrypted
            | Self::HeaderMalformed(_)
            | Self::Nested
            | Self::NotBase64Url(_)
            | Self::NotJson(..)
            | Self::NotThreeParts
            | Self::TooLong => "malformed",
        }
    }
}
