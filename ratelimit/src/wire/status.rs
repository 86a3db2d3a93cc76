//! The one map from our errors to gRPC statuses, each with what Envoy then does.
//!
//! For Envoy's rate limit filter every status but OK is the same event: `failure_mode_deny` decides, by default the
//! request passes (`envoy.ratelimit.failure_mode_allowed`), else it is answered 500. So the codes differ for people and
//! for other callers: whether to try again, and who has to act.

use tonic::{Code, Status};

use super::from_proto::BadRequest;
use crate::counters::StoreError;
use crate::service::Refusal;

/// The status of a request that got no decision.
#[must_use]
pub fn of(refusal: &Refusal) -> Status {
    Status::new(code(refusal), refusal.to_string())
}

fn code(refusal: &Refusal) -> Code {
    match refusal {
        // As envoyproxy/ratelimit. Envoy sends no such request; until there is a configuration it is the answer to all, and
        // the failure mode decides.
        Refusal::Request(BadRequest::EmptyDomain | BadRequest::NoDescriptors) | Refusal::NoConfiguration => {
            Code::Unknown
        }
        // Envoy makes overrides from dynamic metadata and sends none without a unit; envoyproxy/ratelimit crashes. The
        // failure mode decides.
        Refusal::Request(BadRequest::UnknownOverrideUnit { .. }) => Code::InvalidArgument,
        // envoyproxy/ratelimit says UNKNOWN, which no client retries. The failure mode decides; with a retry policy on
        // the rate limit cluster (`retry_on: unavailable`) Envoy asks another replica first. A full store is not
        // RESOURCE_EXHAUSTED: gateways that turn gRPC codes into HTTP ones would answer 429, and this is no refusal.
        Refusal::Store(StoreError::Unavailable(_) | StoreError::Busy | StoreError::Rejected(_) | StoreError::Full) => {
            Code::Unavailable
        }
        // Envoy's own timeout (20 ms by default) ends the call at about this time, to the same effect: the failure mode
        // decides.
        Refusal::Store(StoreError::DeadlineExceeded) => Code::DeadlineExceeded,
        // A defect of ours. The failure mode decides for this one request.
        Refusal::Internal(_) => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use ratelimit_core::ReadingsMismatch;

    use super::*;

    #[track_caller]
    fn check(refusal: impl Into<Refusal>, code: Code, message: &str) {
        let status = of(&refusal.into());
        assert_eq!((status.code(), status.message()), (code, message));
    }

    #[test]
    fn failures_of_the_store_are_worth_another_try_and_requests_without_sense_are_not() {
        check(StoreError::Full, Code::Unavailable, "the counter store is full");
        check(
            StoreError::Busy,
            Code::Unavailable,
            "too many calls wait for the counter store",
        );
        check(
            StoreError::Rejected("WRONGTYPE x".to_owned()),
            Code::Unavailable,
            "WRONGTYPE x",
        );
        let late = "the counter store did not answer in time";
        check(StoreError::DeadlineExceeded, Code::DeadlineExceeded, late);
        let none = "rate limit descriptor list must not be empty";
        check(BadRequest::NoDescriptors, Code::Unknown, none);
        check(
            Refusal::NoConfiguration,
            Code::Unknown,
            "no rate limit configuration loaded",
        );
        let mismatch = ReadingsMismatch {
            charges: 2,
            readings: 1,
        };
        let text = "internal error: the store returned 1 readings for 2 charges";
        check(mismatch, Code::Internal, text);
    }
}
