//! Failures of ours as RPC errors, the one place that maps them. An RPC error lets the gateway's own failure mode act:
//! with Envoy's default (`failure_mode_allow: false`) the request is denied with `status_on_error`.

use tonic::Status;

/// Why there is no decision. A request that is wrong or a pipeline that panics is a denial, not a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Time ran out before we decided.
    #[error("no decision within the deadline")]
    DeadlineExceeded,
}

/// The RPC error for a failure.
#[must_use]
pub fn status(failure: Failure) -> Status {
    match failure {
        // Envoy counts `ext_authz_error` and applies its failure mode; the request was never allowed by us.
        Failure::DeadlineExceeded => Status::unavailable(failure.to_string()),
    }
}
