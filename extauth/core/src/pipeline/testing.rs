//! Policies and requests for tests.

use std::sync::Arc;

use super::steps::StepConfig;
use super::steps::access_token::{AccessToken, Keys};
use crate::claims_to_headers::{ClaimToHeader, Existing};
use crate::header_name::HeaderName;
use crate::jose::{KeySet, TokenRules};
use crate::policy::{AuthConfig, ConfigId, NamedStep, Statuses};

/// A step that accepts tokens of `keys` without further wishes.
pub(crate) fn step(keys: KeySet) -> AccessToken {
    AccessToken {
        keys: Keys::Local(Arc::new(keys)),
        rules: TokenRules::default(),
        required_scopes: Vec::new(),
        claims_to_headers: Vec::new(),
        metadata_from_claims: Vec::new(),
    }
}

/// A line of `claimsToHeaders`.
pub(crate) fn line(claim: &str, header: &str, existing: Existing) -> ClaimToHeader {
    ClaimToHeader {
        claim: claim.to_owned(),
        header: HeaderName::new(header).unwrap(),
        existing,
    }
}

/// An AuthConfig of steps named `config_0`, `config_1` and so on.
pub(crate) fn config(steps: Vec<AccessToken>, statuses: Statuses) -> AuthConfig {
    let named = |(index, step)| NamedStep {
        name: format!("config_{index}"),
        step: StepConfig::AccessToken(Box::new(step)),
    };
    let steps = steps.into_iter().enumerate().map(named).collect();
    let user_id = HeaderName::new("x-user-id").unwrap();
    AuthConfig::new(ConfigId::parse("demo.api").unwrap(), steps, statuses, Some(user_id)).unwrap()
}

/// An AuthConfig of this id whose key set is empty: it exists, and accepts nobody.
pub(crate) fn closed(id: &str) -> Arc<AuthConfig> {
    let step = StepConfig::AccessToken(Box::new(step(KeySet::default())));
    let steps = vec![NamedStep {
        name: "config_0".to_owned(),
        step,
    }];
    Arc::new(AuthConfig::new(ConfigId::parse(id).unwrap(), steps, Statuses::Standard, None).unwrap())
}
