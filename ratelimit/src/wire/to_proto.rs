//! From the core's decision to Envoy's reply. Spells what was decided and decides nothing.

use proto::core::HeaderValue;
use proto::google::Duration;
use proto::ratelimit::RateLimitResponse;
use proto::ratelimit::rate_limit_response::{self, DescriptorStatus, RateLimit};
use ratelimit_core::{Code, CurrentLimit, Decision, Status};

/// The names of the rate limit headers, when a reply is to carry them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeaderNames {
    /// How many requests the limit allows.
    pub limit: String,
    /// How many are left.
    pub remaining: String,
    /// Seconds until there are more.
    pub reset: String,
}

/// The reply.
#[must_use]
pub fn response(decision: &Decision<'_>, headers: Option<&HeaderNames>) -> RateLimitResponse {
    RateLimitResponse {
        overall_code: code(decision.overall),
        statuses: decision.statuses.iter().map(status).collect(),
        response_headers_to_add: headers.map_or_else(Vec::new, |names| header_values(decision, names)),
        ..RateLimitResponse::default()
    }
}

fn status(status: &Status<'_>) -> DescriptorStatus {
    DescriptorStatus {
        code: code(status.code),
        current_limit: status.limit.as_ref().map(current_limit),
        limit_remaining: status.remaining,
        duration_until_reset: status.reset_secs.map(|secs| Duration {
            seconds: i64::from(secs),
            nanos: 0,
        }),
        ..DescriptorStatus::default()
    }
}

fn current_limit(limit: &CurrentLimit<'_>) -> RateLimit {
    RateLimit {
        name: limit.name.to_owned(),
        requests_per_unit: limit.requests_per_unit,
        unit: limit.unit.number(),
    }
}

fn code(code: Code) -> i32 {
    match code {
        Code::Ok => rate_limit_response::Code::Ok.into(),
        Code::OverLimit => rate_limit_response::Code::OverLimit.into(),
    }
}

/// In the order in which envoyproxy/ratelimit sends them. None when no limit was counted against.
fn header_values(decision: &Decision<'_>, names: &HeaderNames) -> Vec<HeaderValue> {
    let Some((status, limit)) = decision
        .header_status()
        .and_then(|status| Some((status, status.limit?)))
    else {
        return Vec::new();
    };
    let header = |name: &str, value: u32| HeaderValue {
        key: name.to_owned(),
        value: value.to_string(),
        ..HeaderValue::default()
    };
    vec![
        header(&names.limit, limit.requests_per_unit),
        header(&names.remaining, status.remaining),
        header(&names.reset, status.reset_secs.unwrap_or(0)),
    ]
}
