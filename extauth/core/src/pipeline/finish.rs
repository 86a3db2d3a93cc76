//! The end of a pipeline: what all steps said becomes one [`Decision`].
//!
//! Every identity header of the AuthConfig leaves here set by us or removed, in every spelling that an upstream may
//! take for it; a request that goes on never carries the client's own copy.

use serde_json::{Map, Value, json};

use super::steps::{HeaderLine, Passed, Refusal, RefusalKind};
use super::{Permit, USER_ID_KEY};
use crate::claims_to_headers::{self, Existing};
use crate::decision::{Allow, Decision, Denial, HeaderMutations, PublicDenial, Reason, Status};
use crate::header_name::HeaderName;
use crate::identity::Identity;
use crate::policy::{AuthConfig, NamedStep, Statuses};
use crate::request::CheckRequest;

/// Most bytes of all headers that we set on one request; beyond Envoy's own limit it would answer 500.
const HEADERS_BYTES_MAX: usize = 16 * 1024;

/// All steps have passed.
pub(super) fn allow(config: &AuthConfig, request: &CheckRequest, passed: &[Passed]) -> Decision {
    let mutations = header_lines(config, passed).and_then(|lines| mutations(config, request, lines));
    let permit = Permit::for_steps(config, passed);
    let reason = match (mutations, permit) {
        (Ok(mutations), Some(permit)) => {
            return Decision::Allow(Allow::new(permit, mutations, metadata(config, passed, None)));
        }
        (Err(reason), _) => reason,
        (Ok(_), None) => Reason::Internal("not every step passed"),
    };
    let kind = RefusalKind::Forbidden { challenge: None };
    Decision::Deny(deny(
        config,
        passed,
        Refusal {
            kind,
            reason,
            identity: None,
        },
    ))
}

/// A step has refused.
pub(super) fn deny(config: &AuthConfig, passed: &[Passed], refusal: Refusal) -> Denial {
    let mut metadata = metadata(config, passed, refusal.identity.as_ref());
    if let Some(NamedStep { name, .. }) = config.steps().get(passed.len()) {
        metadata.insert(name.clone(), json!({"reason": refusal.reason.class()}));
    }
    Denial {
        public: public(refusal.kind, config.statuses()),
        reason: refusal.reason,
        metadata,
    }
}

fn public(kind: RefusalKind, statuses: Statuses) -> PublicDenial {
    let forbidden = |challenge| PublicDenial {
        status: Status::Forbidden,
        challenge,
        body: "forbidden",
    };
    match (statuses, kind) {
        (Statuses::Manifest, _) => forbidden(None),
        (Statuses::Standard, RefusalKind::Forbidden { challenge }) => forbidden(challenge),
        (Statuses::Standard, RefusalKind::BadRequest { challenge }) => PublicDenial {
            status: Status::BadRequest,
            challenge: Some(challenge),
            body: "bad request",
        },
        (Statuses::Standard, RefusalKind::Unauthenticated { challenge }) => PublicDenial {
            status: Status::Unauthorized,
            challenge: Some(challenge),
            body: "unauthorized",
        },
    }
}

/// What the steps want set, the caller's id last so that no claim takes its place.
fn header_lines(config: &AuthConfig, passed: &[Passed]) -> Result<Vec<HeaderLine>, Reason> {
    let mut lines: Vec<_> = passed
        .iter()
        .flat_map(|passed| passed.headers.iter().cloned())
        .collect();
    let user_id = passed.iter().rev().find_map(|passed| passed.identity.user_id());
    if let (Some(header), Some(user_id)) = (config.user_id_header(), user_id) {
        let value = claims_to_headers::value(&Value::from(user_id)).map_err(|error| Reason::HeaderValue {
            header: header.clone(),
            error,
        })?;
        lines.extend(value.map(|value| (header.clone(), value, Existing::Overwrite)));
    }
    Ok(lines)
}

fn mutations(config: &AuthConfig, request: &CheckRequest, lines: Vec<HeaderLine>) -> Result<HeaderMutations, Reason> {
    let mut set: Vec<(HeaderName, String)> = Vec::with_capacity(lines.len());
    for (header, value, existing) in lines {
        match (set.iter_mut().find(|(name, _)| *name == header), existing) {
            (None, _) => set.push((header, value)),
            (Some((_, own)), Existing::Overwrite) => *own = value,
            (Some((_, own)), Existing::Append) => *own = format!("{own},{value}"),
        }
    }
    let lengths = set
        .iter()
        .map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    if lengths.fold(0, usize::saturating_add) > HEADERS_BYTES_MAX {
        return Err(Reason::HeadersTooLarge);
    }
    let remove = removals(config, request, &set);
    Ok(HeaderMutations { set, remove })
}

/// Every identity header that we do not set, and every other spelling of each: the one with underscores always (the
/// gateway may hide it from us), mixed ones when the client sent them.
fn removals(config: &AuthConfig, request: &CheckRequest, set: &[(HeaderName, String)]) -> Vec<String> {
    let headers = config.identity_headers();
    let own = headers.iter().map(|header| header.as_str().to_owned());
    let underscored = headers.iter().map(HeaderName::underscored);
    let sent = request
        .headers
        .names()
        .filter(|name| headers.iter().any(|header| header.is_spelling(name)));
    let mut remove: Vec<_> = own.chain(underscored).chain(sent.map(str::to_owned)).collect();
    remove.sort();
    remove.dedup();
    remove.retain(|name| set.iter().all(|(header, _)| header.as_str() != name));
    remove
}

/// `userId` of the last caller that verified, and each passed step's own data below its name.
fn metadata(config: &AuthConfig, passed: &[Passed], refused: Option<&Identity>) -> Map<String, Value> {
    let steps = config.steps().iter().zip(passed);
    let mut metadata: Map<_, _> = steps
        .filter(|(_, passed)| !passed.metadata.is_empty())
        .map(|(named, passed)| (named.name.clone(), Value::Object(passed.metadata.clone())))
        .collect();
    let identities = passed.iter().map(|passed| &passed.identity).chain(refused);
    if let Some(user_id) = identities.rev().find_map(Identity::user_id) {
        metadata.insert(USER_ID_KEY.to_owned(), Value::from(user_id));
    }
    metadata
}
