//! Requests and replies in protobuf's JSON form: names in camel case or as in the proto, unknown ones refused, numbers
//! as numbers or texts, enums by name or number, `null` for the default, defaults left out, durations as `58s`.

use std::fmt;
use std::marker::PhantomData;

use proto::core::HeaderValue;
use proto::google::UInt64Value;
use proto::ratelimit::rate_limit_descriptor::{Entry, RateLimitOverride};
use proto::ratelimit::rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit::Unit};
use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest, RateLimitResponse, RateLimitUnit};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// `RateLimitRequest`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RequestMessage {
    #[serde(deserialize_with = "or_default")]
    domain: String,
    #[serde(deserialize_with = "or_default")]
    descriptors: Vec<Object<DescriptorMessage>>,
    #[serde(alias = "hitsAddend", deserialize_with = "or_default")]
    hits_addend: Number<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DescriptorMessage {
    #[serde(deserialize_with = "or_default")]
    entries: Vec<Object<EntryMessage>>,
    limit: Option<Object<OverrideMessage>>,
    #[serde(alias = "hitsAddend")]
    hits_addend: Option<Number<u64>>,
    #[serde(alias = "isNegativeHits", deserialize_with = "or_default")]
    is_negative_hits: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct EntryMessage {
    #[serde(deserialize_with = "or_default")]
    key: String,
    #[serde(deserialize_with = "or_default")]
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct OverrideMessage {
    #[serde(alias = "requestsPerUnit", deserialize_with = "or_default")]
    requests_per_unit: Number<u32>,
    #[serde(deserialize_with = "or_default")]
    unit: UnitMessage,
}

impl RequestMessage {
    /// The message that gRPC would have brought.
    pub(super) fn into_proto(self) -> RateLimitRequest {
        RateLimitRequest {
            domain: self.domain,
            descriptors: self
                .descriptors
                .into_iter()
                .map(|Object(message)| message.into_proto())
                .collect(),
            hits_addend: self.hits_addend.0,
        }
    }
}

impl DescriptorMessage {
    fn into_proto(self) -> RateLimitDescriptor {
        let limit = |Object(limit): Object<OverrideMessage>| RateLimitOverride {
            requests_per_unit: limit.requests_per_unit.0,
            unit: limit.unit.0,
        };
        let entry = |Object(entry): Object<EntryMessage>| Entry {
            key: entry.key,
            value: entry.value,
        };
        RateLimitDescriptor {
            entries: self.entries.into_iter().map(entry).collect(),
            limit: self.limit.map(limit),
            hits_addend: self.hits_addend.map(|Number(value)| UInt64Value { value }),
            is_negative_hits: self.is_negative_hits,
        }
    }
}

/// A message that is an object. By itself serde reads a struct from an array as well.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// `null` stands for the default of any field.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An unsigned number, as a number or in a text, with or without a point and an exponent as long as it is whole.
#[derive(Debug, Default)]
struct Number<T>(T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Number<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || D::Error::custom("not an unsigned number of this size");
        let value = Value::deserialize(deserializer)?;
        let number = match &value {
            Value::Number(number) => whole(number),
            Value::String(text) => json::<serde_json::Number>(text).as_ref().and_then(whole),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number
            .and_then(|number| T::try_from(number).ok())
            .map(Number)
            .ok_or_else(wrong)
    }
}

fn whole(number: &serde_json::Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && *float >= 0.0)?;
        // The text of a whole float has no point and no exponent.
        format!("{float}").parse().ok()
    })
}

/// A text that holds one JSON value and nothing around it.
fn json<T: DeserializeOwned>(text: &str) -> Option<T> {
    let has_space = text.contains(char::is_whitespace);
    serde_json::from_str(text).ok().filter(|_| !has_space)
}

/// A unit's number, by name or number.
#[derive(Debug, Default)]
struct UnitMessage(i32);

impl<'de> Deserialize<'de> for UnitMessage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let number = match &value {
            Value::String(name) => RateLimitUnit::from_str_name(name).map(i32::from),
            Value::Number(number) => number.as_i64().and_then(|number| i32::try_from(number).ok()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        number.map(Self).ok_or_else(|| D::Error::custom("not a unit"))
    }
}

/// `RateLimitResponse`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResponseMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    overall_code: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<StatusMessage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    response_headers_to_add: Vec<HeaderMessage>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_limit: Option<LimitMessage>,
    #[serde(skip_serializing_if = "is_zero")]
    limit_remaining: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_until_reset: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitMessage {
    #[serde(skip_serializing_if = "is_zero")]
    requests_per_unit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
}

#[derive(Debug, Serialize)]
struct HeaderMessage {
    key: String,
    value: String,
}

impl ResponseMessage {
    /// What gRPC would have sent. Only the fields that we fill are known here.
    pub(super) fn from_proto(response: RateLimitResponse) -> Self {
        let header = |HeaderValue { key, value, .. }| HeaderMessage { key, value };
        Self {
            overall_code: code(response.overall_code()),
            statuses: response.statuses.into_iter().map(StatusMessage::from_proto).collect(),
            response_headers_to_add: response.response_headers_to_add.into_iter().map(header).collect(),
        }
    }
}

impl StatusMessage {
    fn from_proto(status: DescriptorStatus) -> Self {
        Self {
            code: code(status.code()),
            current_limit: status.current_limit.map(LimitMessage::from_proto),
            limit_remaining: status.limit_remaining,
            duration_until_reset: status
                .duration_until_reset
                .map(|duration| format!("{}s", duration.seconds)),
        }
    }
}

impl LimitMessage {
    fn from_proto(limit: RateLimit) -> Self {
        let unit = limit.unit();
        Self {
            requests_per_unit: limit.requests_per_unit,
            unit: (unit != Unit::Unknown).then(|| unit.as_str_name()),
            name: limit.name,
        }
    }
}

fn code(code: Code) -> Option<&'static str> {
    (code != Code::Unknown).then(|| code.as_str_name())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::google::Duration;

    // `Value` is a type of proptest's traits too.
    use super::{
        Code, DescriptorStatus, Entry, Object, RateLimit, RateLimitDescriptor, RateLimitOverride, RateLimitRequest,
        RateLimitResponse, RequestMessage, ResponseMessage, UInt64Value, Unit,
    };

    fn read(text: &str) -> Result<RateLimitRequest, String> {
        let message = serde_json::from_str::<Object<RequestMessage>>(text);
        message
            .map(|Object(message)| message.into_proto())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn both_spellings_of_names_are_read() {
        let camel = r#"{"domain":"d","hitsAddend":2,"descriptors":[{"entries":[{"key":"k","value":"v"}],
            "hitsAddend":"0","isNegativeHits":true,"limit":{"requestsPerUnit":5,"unit":"HOUR"}}]}"#;
        let snake = r#"{"domain":"d","hits_addend":"2","descriptors":[{"entries":[{"key":"k","value":"v"}],
            "hits_addend":0,"is_negative_hits":true,"limit":{"requests_per_unit":"5","unit":3}}]}"#;
        let expected = RateLimitRequest {
            domain: "d".to_owned(),
            descriptors: vec![RateLimitDescriptor {
                entries: vec![Entry {
                    key: "k".to_owned(),
                    value: "v".to_owned(),
                }],
                limit: Some(RateLimitOverride {
                    requests_per_unit: 5,
                    unit: 3,
                }),
                hits_addend: Some(UInt64Value { value: 0 }),
                is_negative_hits: true,
            }],
            hits_addend: 2,
        };
        assert_eq!(read(camel).as_ref(), Ok(&expected));
        assert_eq!(read(snake), Ok(expected));
    }

    #[track_caller]
    fn check_hits(text: &str, expected: Option<u64>) {
        let request = read(&format!(r#"{{"descriptors":[{{"hitsAddend":{text}}}]}}"#));
        let found = request
            .ok()
            .and_then(|request| request.descriptors[0].hits_addend.map(|hits| hits.value));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn numbers_may_be_texts_and_must_be_whole() {
        check_hits("7", Some(7));
        check_hits(r#""18446744073709551615""#, Some(u64::MAX));
        check_hits("1e2", Some(100));
        check_hits(r#""2.0""#, Some(2));
        check_hits("null", None);
        for text in [
            "-1",
            "1.5",
            r#""""#,
            r#"" 1""#,
            r#""0x1""#,
            "true",
            "[]",
            "18446744073709551616",
            "1e400",
        ] {
            assert!(
                read(&format!(r#"{{"descriptors":[{{"hitsAddend":{text}}}]}}"#)).is_err(),
                "{text}"
            );
        }
        assert!(read(r#"{"hitsAddend":4294967296}"#).is_err(), "more than 32 bits");
    }

    #[test]
    fn null_is_the_default() {
        let request = read(r#"{"domain":null,"descriptors":null,"hitsAddend":null}"#);
        assert_eq!(request, Ok(RateLimitRequest::default()));
        let request = read(r#"{"descriptors":[{"entries":[{"key":null}],"limit":null}]}"#).unwrap();
        assert_eq!(request.descriptors[0].entries, [Entry::default()]);
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        for text in [
            "",
            "}",
            "{",
            "null x",
            "[]",
            "1",
            r#"{"domain":1}"#,
            r#"{"unknown":1}"#,
            r#"{"domain":"a","domain":"b"}"#,
            r#"{"hitsAddend":1,"hits_addend":1}"#,
            r#"{"descriptors":[null]}"#,
            r#"{"descriptors":[[]]}"#,
            r#"{"descriptors":[{"limit":[5,1]}]}"#,
            r#"{"descriptors":{}}"#,
            r#"{"descriptors":[{"limit":{"unit":"FORTNIGHT"}}]}"#,
            r#"{"descriptors":[{"limit":{"unit":1.5}}]}"#,
            r#"{"domain":"a"} {"domain":"b"}"#,
            r#"{"domain":"\ud800"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn replies_leave_defaults_out() {
        let limit = RateLimit {
            requests_per_unit: 10,
            unit: Unit::Minute.into(),
            name: String::new(),
        };
        let counted = DescriptorStatus {
            code: Code::OverLimit.into(),
            current_limit: Some(limit),
            duration_until_reset: Some(Duration { seconds: 58, nanos: 0 }),
            ..DescriptorStatus::default()
        };
        let bare = DescriptorStatus {
            code: Code::Ok.into(),
            ..DescriptorStatus::default()
        };
        let response = RateLimitResponse {
            overall_code: Code::OverLimit.into(),
            statuses: vec![counted, bare],
            ..RateLimitResponse::default()
        };
        let text = serde_json::to_string(&ResponseMessage::from_proto(response)).unwrap();
        assert_eq!(
            text,
            r#"{"overallCode":"OVER_LIMIT","statuses":[{"code":"OVER_LIMIT","currentLimit":{"requestsPerUnit":10,"unit":"MINUTE"},"durationUntilReset":"58s"},{"code":"OK"}]}"#
        );
        let empty = serde_json::to_string(&ResponseMessage::from_proto(RateLimitResponse::default())).unwrap();
        assert_eq!(empty, "{}");
    }

    /// JSON of the right shape with odd values in odd places.
    fn odd_json() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "domain",
            "descriptors",
            "hitsAddend",
            "entries",
            "key",
            "limit",
            "unit",
            "x",
        ]);
        let leaf = prop::sample::select(vec![
            "null",
            "1",
            "-0.0",
            "1e308",
            "\"\\u0000\"",
            "\"7\"",
            "true",
            "\"MINUTE\"",
        ]);
        leaf.prop_map(str::to_owned).prop_recursive(4, 32, 4, move |inner| {
            let member = (name.clone(), inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
            let object = prop::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(",")));
            let array = prop::collection::vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(",")));
            prop_oneof![object, array]
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in prop_oneof![odd_json(), any::<String>()]) {
            if let Ok(request) = read(&text) {
                prop_assert!(text.trim_start().starts_with('{'), "{request:?}");
            }
        }
    }
}
