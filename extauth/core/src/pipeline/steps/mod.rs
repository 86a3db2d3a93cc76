//! The kinds of steps. A new kind is a folder here, a variant of [`StepConfig`] and a line in each `match` below; if it
//! asks the world something, a variant of [`super::Lookup`] too.

pub mod access_token;

use serde_json::{Map, Value};

use super::{Context, Lookup};
use crate::claims_to_headers::Existing;
use crate::decision::Reason;
use crate::header_name::HeaderName;
use crate::identity::Identity;
use access_token::AccessToken;

/// A configured step.
#[derive(Clone, Debug)]
pub enum StepConfig {
    /// `oauth2.accessTokenValidation.jwt`.
    AccessToken(Box<AccessToken>),
}

impl StepConfig {
    pub(super) fn run(&self, context: &Context<'_>) -> Progress {
        match self {
            Self::AccessToken(step) => step.run(context),
        }
    }

    /// Every header that the step can set.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        match self {
            Self::AccessToken(step) => step.claims_to_headers.iter().map(|line| &line.header),
        }
    }
}

/// What a step came to.
pub(super) enum Progress {
    /// It needs this first. No step of today does.
    #[expect(dead_code, reason = "the first step that looks something up constructs it")]
    Need(Lookup),
    Passed(Passed),
    Refused(Refusal),
}

/// A header that a step wants set.
pub(super) type HeaderLine = (HeaderName, String, Existing);

/// A step that passed, and what it adds.
#[derive(Debug)]
pub(super) struct Passed {
    pub identity: Identity,
    pub headers: Vec<HeaderLine>,
    pub metadata: Map<String, Value>,
}

/// A step that did not pass.
#[derive(Debug)]
pub(super) struct Refusal {
    pub kind: RefusalKind,
    pub reason: Reason,
    /// The caller, if it verified before it was refused.
    pub identity: Option<Identity>,
}

/// How a step refuses, before statuses are chosen.
#[derive(Debug)]
pub(super) enum RefusalKind {
    /// The request carries credentials in a way that nobody may.
    BadRequest { challenge: String },
    /// No credentials, or bad ones.
    Unauthenticated { challenge: String },
    /// A verified caller who may not.
    Forbidden { challenge: Option<String> },
}
