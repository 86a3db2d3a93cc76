//! An AuthConfig ready to run, made once per load and immutable. Raw documents are read at the edge; what arrives here
//! is typed, and [`AuthConfig::new`] checks only what concerns the whole.

mod select;

pub use select::{ConfigId, ConfigIdError, Policies, Policy, SelectError};

use crate::header_name::HeaderName;
use crate::pipeline::steps::StepConfig;

/// Which statuses denials have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Statuses {
    /// 401 with `WWW-Authenticate` for no or bad credentials, 403 for a verified caller who may not.
    #[default]
    Standard,
    /// The manifests' own: 403 without a challenge for every token that is not accepted.
    Manifest,
}

/// A step and its name, which is also its key in metadata.
#[derive(Clone, Debug)]
pub struct NamedStep {
    /// The name.
    pub name: String,
    /// The step.
    pub step: StepConfig,
}

/// Why steps do not make an AuthConfig.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AuthConfigError {
    /// No step: nothing would be asked of anybody.
    #[error("there is no step")]
    NoSteps,
    /// Two steps of one name would share a key in metadata.
    #[error("two steps are named '{0}'")]
    RepeatedName(String),
    /// The name is a key of the metadata itself.
    #[error("'userId' is a key of the metadata itself and cannot name a step")]
    ReservedName,
}

/// Steps that must all pass, and what of the caller goes upstream.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    id: ConfigId,
    steps: Vec<NamedStep>,
    statuses: Statuses,
    user_id_header: Option<HeaderName>,
    identity_headers: Vec<HeaderName>,
}

impl AuthConfig {
    /// Puts an AuthConfig together.
    ///
    /// # Errors
    /// See [`AuthConfigError`].
    pub fn new(
        id: ConfigId,
        steps: Vec<NamedStep>,
        statuses: Statuses,
        user_id_header: Option<HeaderName>,
    ) -> Result<Self, AuthConfigError> {
        if steps.is_empty() {
            return Err(AuthConfigError::NoSteps);
        }
        for (index, named) in steps.iter().enumerate() {
            if named.name == crate::pipeline::USER_ID_KEY {
                return Err(AuthConfigError::ReservedName);
            }
            if steps.iter().take(index).any(|earlier| earlier.name == named.name) {
                return Err(AuthConfigError::RepeatedName(named.name.clone()));
            }
        }
        let of_steps = steps.iter().flat_map(|named| named.step.headers());
        let mut identity_headers: Vec<_> = of_steps.chain(&user_id_header).cloned().collect();
        identity_headers.sort();
        identity_headers.dedup();
        Ok(Self {
            id,
            steps,
            statuses,
            user_id_header,
            identity_headers,
        })
    }

    /// Its namespace and name.
    #[must_use]
    pub const fn id(&self) -> &ConfigId {
        &self.id
    }

    /// The steps, in order.
    #[must_use]
    pub fn steps(&self) -> &[NamedStep] {
        &self.steps
    }

    /// Which statuses denials have.
    #[must_use]
    pub const fn statuses(&self) -> Statuses {
        self.statuses
    }

    /// The header for the caller's id, if it is wanted.
    #[must_use]
    pub const fn user_id_header(&self) -> Option<&HeaderName> {
        self.user_id_header.as_ref()
    }

    /// Every header that any step can set: each is set by us or removed, on every request that goes on.
    #[must_use]
    pub fn identity_headers(&self) -> &[HeaderName] {
        &self.identity_headers
    }
}
