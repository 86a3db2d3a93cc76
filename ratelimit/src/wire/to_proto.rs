//! From the core's decision to Envoy's reply. Spells what was decided and decides nothing.

use std::collections::BTreeMap;

use proto::core::HeaderValue;
use proto::google::{self, Duration, ListValue, NullValue, Struct, value::Kind};
use proto::ratelimit::RateLimitResponse;
use proto::ratelimit::rate_limit_response::{self, DescriptorStatus, RateLimit};
use ratelimit_core::metadata::Value;
use ratelimit_core::{Code, CurrentLimit, Decision, Request, Status};

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

/// Whether replies say in dynamic metadata how they came about (`RESPONSE_DYNAMIC_METADATA`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DynamicMetadata {
    /// They do.
    Sent,
    /// They do not.
    #[default]
    Omitted,
}

/// What replies carry beside the decision.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// The rate limit headers, if replies carry them.
    pub headers: Option<HeaderNames>,
    /// How the decision came about.
    pub dynamic_metadata: DynamicMetadata,
}

/// The reply to `request`.
#[must_use]
pub fn response(request: &Request<'_>, decision: &Decision<'_>, extras: &Extras) -> RateLimitResponse {
    let names = extras.headers.as_ref();
    let metadata = match extras.dynamic_metadata {
        DynamicMetadata::Sent => Some(structure(&decision.dynamic_metadata(request))),
        DynamicMetadata::Omitted => None,
    };
    RateLimitResponse {
        overall_code: code(decision.overall),
        statuses: decision.statuses.iter().map(status).collect(),
        response_headers_to_add: names.map_or_else(Vec::new, |names| header_values(decision, names)),
        dynamic_metadata: metadata,
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

fn structure(members: &BTreeMap<String, Value>) -> Struct {
    let fields = members.iter().map(|(name, member)| (name.clone(), value(member)));
    Struct {
        fields: fields.collect(),
    }
}

/// As deep as a document of rules may be, so recursion is bounded.
fn value(value: &Value) -> google::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(NullValue::NullValue.into()),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => Kind::NumberValue(*number),
        Value::Text(text) => Kind::StringValue(text.clone()),
        Value::List(items) => Kind::ListValue(ListValue {
            values: items.iter().map(self::value).collect(),
        }),
        Value::Map(members) => Kind::StructValue(structure(members)),
    };
    google::Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use proto::ratelimit::rate_limit_descriptor::Entry;
    use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest};
    use ratelimit_core::{BuildOptions, KeyFormat, Reading, UnixTime};

    use super::*;
    use crate::rules_file::{self, Text};
    use crate::wire::from_proto;

    /// The reply for one hit on a rule with metadata.
    fn reply(extras: &Extras) -> RateLimitResponse {
        let bytes = b"domain: d
descriptors:
  - key: k
    rate_limit: {unit: hour, requests_per_unit: 5}
    metadata: {tier: gold, weights: [1, null], nested: {open: true}}
";
        let files = [Text { name: "d.yaml", bytes }];
        let rules = rules_file::load(files, BuildOptions::default()).unwrap();
        let entries = vec![Entry {
            key: "k".to_owned(),
            value: "v".to_owned(),
        }];
        let descriptor = RateLimitDescriptor {
            entries,
            ..RateLimitDescriptor::default()
        };
        let message = RateLimitRequest {
            domain: "d".to_owned(),
            descriptors: vec![descriptor],
            hits_addend: 2,
        };
        let request = from_proto::request(&message).unwrap();
        let now = UnixTime::since_epoch(std::time::Duration::from_secs(7_200));
        let plan = rules.plan(&request, now, &KeyFormat::default());
        let decision = plan
            .decide(
                &[Reading {
                    after: 2,
                    known_over: false,
                }],
                now,
            )
            .unwrap();
        response(&request, &decision, extras)
    }

    #[test]
    fn metadata_tells_the_question_and_what_the_passed_rules_hold() {
        let extras = Extras {
            dynamic_metadata: DynamicMetadata::Sent,
            ..Extras::default()
        };
        let metadata = reply(&extras).dynamic_metadata.unwrap();
        let kind = |fields: &Struct, name: &str| fields.fields[name].kind.clone().unwrap();
        assert_eq!(kind(&metadata, "domain"), Kind::StringValue("d".to_owned()));
        assert_eq!(kind(&metadata, "hitsAddend"), Kind::NumberValue(2.0));
        let Kind::StructValue(of_rule) = kind(&metadata, "metadata") else {
            panic!("no metadata")
        };
        assert_eq!(kind(&of_rule, "tier"), Kind::StringValue("gold".to_owned()));
        let Kind::ListValue(weights) = kind(&of_rule, "weights") else {
            panic!("no list")
        };
        assert_eq!(weights.values[1].kind, Some(Kind::NullValue(0)));
        let Kind::StructValue(nested) = kind(&of_rule, "nested") else {
            panic!("no struct")
        };
        assert_eq!(kind(&nested, "open"), Kind::BoolValue(true));
    }

    #[test]
    fn replies_are_plain_unless_asked() {
        let plain = reply(&Extras::default());
        assert_eq!(
            (plain.dynamic_metadata, plain.response_headers_to_add),
            (None, Vec::new())
        );
    }
}
