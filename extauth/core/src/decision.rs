//! What was decided. An [`Allow`] holds a [`Permit`]; a [`Denial`] keeps apart what the client may see and what only
//! our log may.

use serde_json::{Map, Value};

use crate::claims_to_headers::ValueError;
use crate::header_name::HeaderName;
use crate::jose::TokenError;
use crate::key_ring::KeySource;
use crate::pipeline::Permit;
use crate::policy::SelectError;

/// The answer to a request.
#[derive(Debug)]
pub enum Decision {
    /// The request may go on.
    Allow(Allow),
    /// It may not.
    Deny(Denial),
}

impl Decision {
    /// Metadata for the gateway: `userId` of a verified caller and, below its name, what each step has to say.
    #[must_use]
    pub const fn metadata(&self) -> &Map<String, Value> {
        match self {
            Self::Allow(allow) => &allow.metadata,
            Self::Deny(denial) => &denial.metadata,
        }
    }
}

/// A request that may go on.
#[derive(Debug)]
pub struct Allow {
    permit: Permit,
    mutations: HeaderMutations,
    metadata: Map<String, Value>,
}

impl Allow {
    /// The only way to allow.
    pub(crate) const fn new(permit: Permit, mutations: HeaderMutations, metadata: Map<String, Value>) -> Self {
        Self {
            permit,
            mutations,
            metadata,
        }
    }

    /// The proof that every step passed.
    #[must_use]
    pub const fn permit(&self) -> &Permit {
        &self.permit
    }

    /// How the request changes on its way upstream.
    #[must_use]
    pub const fn mutations(&self) -> &HeaderMutations {
        &self.mutations
    }
}

/// How a request's headers change. No name is both set and removed: Envoy removes last.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HeaderMutations {
    /// Headers to set, whatever the client sent.
    pub set: Vec<(HeaderName, String)>,
    /// Headers to remove, lower case.
    pub remove: Vec<String>,
}

/// A request that may not go on.
#[derive(Debug)]
pub struct Denial {
    /// What the client sees.
    pub public: PublicDenial,
    /// Why, for our log.
    pub reason: Reason,
    /// Metadata for the gateway's log and limits; never a claim that did not verify.
    pub metadata: Map<String, Value>,
}

/// What the client sees of a denial.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicDenial {
    /// The HTTP status.
    pub status: Status,
    /// The value of `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// The body, plain text.
    pub body: &'static str,
}

/// The statuses that we deny with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Status {
    /// 400: the request itself is wrong.
    BadRequest,
    /// 401: no credentials, or bad ones.
    Unauthorized,
    /// 403: this caller, or nobody, may.
    Forbidden,
}

/// Why a request was denied. For logs and metrics, never for the client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reason {
    /// The request itself is wrong, before any policy.
    #[error("the request is not acceptable: {0}")]
    BadRequest(BadRequest),
    /// The header of a credential stands twice or is joined from several.
    #[error("more than one credential")]
    CredentialRepeated,
    /// There is no credential.
    #[error("no credential")]
    CredentialMissing,
    /// A header of a credential that is not what its scheme wants.
    #[error("the credential is malformed")]
    CredentialMalformed,
    /// A verified claim cannot be written into its header.
    #[error("the claim for header '{header}' {error}")]
    HeaderValue {
        /// The header.
        header: HeaderName,
        /// What is wrong with the value.
        error: ValueError,
    },
    /// All identity headers together are too large.
    #[error("the identity headers are too large together")]
    HeadersTooLarge,
    /// A state that the code rules out; denied and counted rather than trusted.
    #[error("an impossible state: {0}")]
    Internal(&'static str),
    /// No policy guards the request.
    #[error(transparent)]
    NoPolicy(SelectError),
    /// The pipeline panicked.
    #[error("the pipeline panicked")]
    Panicked,
    /// The caller is verified but lacks a scope.
    #[error("a required scope is missing")]
    ScopeMissing,
    /// The token is not accepted.
    #[error("{error}")]
    Token {
        /// Why.
        error: TokenError,
        /// The key set that was asked, if it is a remote one.
        keys: Option<KeySource>,
    },
}

/// What is wrong with a request before any policy looks at it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRequest {
    /// It has no HTTP attributes.
    #[error("it is not an HTTP request")]
    NotHttp,
    /// It is not a protobuf message of its type: bytes that are not UTF-8 where text must be, for example.
    #[error("it does not decode")]
    Undecodable,
}

impl Reason {
    /// A word for metrics and metadata, from a closed list.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::BadRequest(BadRequest::NotHttp) => "not_http",
            Self::BadRequest(BadRequest::Undecodable) => "undecodable",
            Self::CredentialRepeated => "credential_repeated",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialMalformed => "credential_malformed",
            Self::HeaderValue { .. } | Self::HeadersTooLarge => "header_value",
            Self::Internal(_) => "internal",
            Self::NoPolicy(error) => error.class(),
            Self::Panicked => "panic",
            Self::ScopeMissing => "scope_missing",
            Self::Token { error, .. } => error.class(),
        }
    }

    /// The key that a newer version of a remote key set may have.
    #[must_use]
    pub fn wanted_key(&self) -> Option<(&KeySource, &str)> {
        let Self::Token {
            error: TokenError::UnknownKey { key_id },
            keys: Some(keys),
        } = self
        else {
            return None;
        };
        Some((keys, key_id))
    }
}

impl Denial {
    /// A denial outside of any policy: the request is wrong, unguarded, or we failed on it.
    #[must_use]
    pub fn outside(reason: Reason) -> Self {
        let (status, body) = if matches!(reason, Reason::BadRequest(_)) {
            (Status::BadRequest, "bad request")
        } else {
            (Status::Forbidden, "forbidden")
        };
        let public = PublicDenial {
            status,
            challenge: None,
            body,
        };
        Self {
            public,
            reason,
            metadata: Map::new(),
        }
    }
}
