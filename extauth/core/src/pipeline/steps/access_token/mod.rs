//! `oauth2.accessTokenValidation.jwt`: a bearer token that a known issuer signed for us.

mod bearer;
mod challenge;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Passed, Progress, Refusal, RefusalKind};
use crate::claims_to_headers::{self, ClaimToHeader};
use crate::decision::Reason;
use crate::identity::Identity;
use crate::jose::{self, KeySet, TokenError, TokenRules};
use crate::key_ring::KeySource;
use crate::pipeline::Context;
use bearer::Bearer;

pub use challenge::{Scope, ScopeError};

/// The step, configured.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// Where the keys are.
    pub keys: Keys,
    /// Which tokens are accepted.
    pub rules: TokenRules,
    /// Scopes that a token must all have.
    pub required_scopes: Vec<Scope>,
    /// Claims for the upstream.
    pub claims_to_headers: Vec<ClaimToHeader>,
    /// Metadata keys and the claims they take.
    pub metadata_from_claims: Vec<(String, String)>,
}

/// Where a step's keys are.
#[derive(Clone, Debug)]
pub enum Keys {
    /// In the configuration.
    Local(Arc<KeySet>),
    /// Fetched in the background; a request takes what the [`crate::KeyRing`] has.
    Remote(KeySource),
}

impl AccessToken {
    pub(super) fn run(&self, context: &Context<'_>) -> Progress {
        match self.authenticate(context).and_then(|identity| self.authorize(identity)) {
            Ok(passed) => Progress::Passed(passed),
            Err(refusal) => Progress::Refused(*refusal),
        }
    }

    /// The caller, if the token verifies.
    fn authenticate(&self, context: &Context<'_>) -> Result<Identity, Box<Refusal>> {
        let token = match Bearer::read(&context.request.headers) {
            Bearer::Token(token) => token,
            Bearer::Absent => return Err(Box::new(unauthenticated(Reason::CredentialMissing))),
            Bearer::Malformed => return Err(Box::new(unauthenticated(Reason::CredentialMalformed))),
            Bearer::Repeated => return Err(Box::new(repeated())),
        };
        let (keys, source) = match &self.keys {
            Keys::Local(keys) => (Some(keys.as_ref()), None),
            Keys::Remote(source) => (context.keys.get(source), Some(source)),
        };
        keys.ok_or(TokenError::KeySetUnavailable)
            .and_then(|keys| jose::verify(token, &self.rules, keys, context.now))
            .map(Identity::from_token)
            .map_err(|error| {
                let keys = source.cloned();
                Box::new(unauthenticated(Reason::Token { error, keys }))
            })
    }

    /// What a verified caller brings along, if it may.
    fn authorize(&self, identity: Identity) -> Result<Passed, Box<Refusal>> {
        if !identity.grants(&self.required_scopes) {
            let challenge = challenge::insufficient_scope(&self.required_scopes);
            return Err(Box::new(forbidden(identity, Reason::ScopeMissing, Some(challenge))));
        }
        match self.headers(identity.claims()) {
            Ok(headers) => {
                let metadata = self.metadata(identity.claims());
                Ok(Passed {
                    identity,
                    headers,
                    metadata,
                })
            }
            Err(reason) => Err(Box::new(forbidden(identity, reason, None))),
        }
    }

    fn headers(&self, claims: &Map<String, Value>) -> Result<Vec<super::HeaderLine>, Reason> {
        let mut headers = Vec::with_capacity(self.claims_to_headers.len());
        for line in &self.claims_to_headers {
            let Some(claim) = claims_to_headers::find(claims, &line.claim) else {
                continue;
            };
            let value = claims_to_headers::value(claim).map_err(|error| Reason::HeaderValue {
                header: line.header.clone(),
                error,
            })?;
            if let Some(value) = value {
                headers.push((line.header.clone(), value, line.existing));
            }
        }
        Ok(headers)
    }

    fn metadata(&self, claims: &Map<String, Value>) -> Map<String, Value> {
        let found =
            |(key, claim): &(String, String)| Some((key.clone(), claims_to_headers::find(claims, claim)?.clone()));
        self.metadata_from_claims.iter().filter_map(found).collect()
    }
}

fn unauthenticated(reason: Reason) -> Refusal {
    let challenge = if reason == Reason::CredentialMissing {
        challenge::missing()
    } else {
        challenge::invalid_token()
    };
    Refusal {
        kind: RefusalKind::Unauthenticated { challenge },
        reason,
        identity: None,
    }
}

fn repeated() -> Refusal {
    Refusal {
        kind: RefusalKind::BadRequest {
            challenge: challenge::invalid_request(),
        },
        reason: Reason::CredentialRepeated,
        identity: None,
    }
}

fn forbidden(identity: Identity, reason: Reason, challenge: Option<String>) -> Refusal {
    Refusal {
        kind: RefusalKind::Forbidden { challenge },
        reason,
        identity: Some(identity),
    }
}
