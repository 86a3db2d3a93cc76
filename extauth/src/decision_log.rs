//! The log of decisions: each at debug, denials also at info, one per interval with a count of those held back.
//!
//! What a client chose is written escaped (`?`), so that it cannot forge a line; queries, which may hold tokens, and
//! headers are not written at all.

use std::time::Duration;

use extauth_core::{CheckRequest, Decision};
use server::clock::monotonic_now;
use server::log::Throttle;

use crate::metrics::NO_CONFIG;

/// Least time between two denials at info.
const DENIALS_EVERY: Duration = Duration::from_secs(1);

/// Writes decisions.
#[derive(Debug)]
pub(crate) struct DecisionLog {
    denials: Throttle,
}

impl Default for DecisionLog {
    fn default() -> Self {
        Self {
            denials: Throttle::new(DENIALS_EVERY),
        }
    }
}

impl DecisionLog {
    /// Writes one decision on a request, which may have been unreadable.
    pub(crate) fn write(&self, config: Option<&str>, request: Option<&CheckRequest>, decision: &Decision) {
        let config = config.unwrap_or(NO_CONFIG);
        let method = request.map(|request| request.method.as_str());
        let host = request.map(|request| request.host.as_str());
        let path = request.map(path);
        let denial = match decision {
            Decision::Allow(_) => {
                return tracing::debug!(config, ?method, ?host, ?path, "allowed");
            }
            Decision::Deny(denial) => denial,
        };
        let reason = &denial.reason;
        tracing::debug!(config, ?method, ?host, ?path, class = reason.class(), %reason, "denied");
        if let Some(held_back) = self.denials.admit(monotonic_now()) {
            tracing::info!(config, ?method, ?host, ?path, class = reason.class(), %reason, held_back, "denying requests");
        }
    }
}

/// The path without its query.
fn path(request: &CheckRequest) -> &str {
    request.path.split(['?', '#']).next().unwrap_or_default()
}
