//! A decision as a CheckResponse.
//!
//! Envoy allows on `status.code == 0` alone, so an empty message allows: every message here is built from a decision
//! and its status is always written. Header options say `append: false` *and* `OVERWRITE_IF_EXISTS_OR_ADD`, because
//! Envoy versions differ in which of the two they read and what each means when it is absent (envoyproxy/envoy#43310).

use extauth_core::{Allow, Decision, Denial, HeaderMutations, Status};
use proto::auth::check_response::HttpResponse;
use proto::auth::{self, CheckResponse, DeniedHttpResponse, OkHttpResponse};
use proto::core::{HeaderAppendAction, HeaderValue, HeaderValueOption, HttpStatus, StatusCode};
use proto::google::{self, BoolValue, ListValue, NullValue, Struct, value::Kind};
use serde_json::{Map, Number, Value};
use tonic::Code;

/// The largest whole number up to which a double holds each: 2^53.
const EXACT_MAX: i128 = 1 << 53;

/// The message for a decision.
#[must_use]
pub fn response(decision: &Decision) -> CheckResponse {
    let (code, http_response) = match decision {
        Decision::Allow(allow) => (Code::Ok, HttpResponse::OkResponse(ok(allow))),
        Decision::Deny(denial) => (code(denial.public.status), HttpResponse::DeniedResponse(denied(denial))),
    };
    let metadata = decision.metadata();
    CheckResponse {
        status: Some(auth::Status {
            code: code.into(),
            ..auth::Status::default()
        }),
        dynamic_metadata: (!metadata.is_empty()).then(|| structure(metadata)),
        http_response: Some(http_response),
    }
}

fn ok(allow: &Allow) -> OkHttpResponse {
    let HeaderMutations { set, remove } = allow.mutations();
    OkHttpResponse {
        headers: set
            .iter()
            .map(|(name, value)| overwrite(name.as_str(), value))
            .collect(),
        headers_to_remove: remove.clone(),
        ..OkHttpResponse::default()
    }
}

fn denied(denial: &Denial) -> DeniedHttpResponse {
    let challenge = denial.public.challenge.iter();
    DeniedHttpResponse {
        status: Some(HttpStatus {
            code: http_status(denial.public.status).into(),
        }),
        headers: challenge.map(|value| overwrite("www-authenticate", value)).collect(),
        body: denial.public.body.to_owned(),
    }
}

/// Any code but 0 denies; which one is for logs.
const fn code(status: Status) -> Code {
    match status {
        Status::BadRequest => Code::InvalidArgument,
        Status::Unauthorized => Code::Unauthenticated,
        Status::Forbidden => Code::PermissionDenied,
    }
}

const fn http_status(status: Status) -> StatusCode {
    match status {
        Status::BadRequest => StatusCode::BadRequest,
        Status::Unauthorized => StatusCode::Unauthorized,
        Status::Forbidden => StatusCode::Forbidden,
    }
}

#[expect(deprecated, reason = "`append` is what every Envoy version reads first")]
fn overwrite(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.to_owned(),
            value: value.to_owned(),
            ..HeaderValue::default()
        }),
        append: Some(BoolValue { value: false }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

fn structure(members: &Map<String, Value>) -> Struct {
    Struct {
        fields: members
            .iter()
            .map(|(name, value)| (name.clone(), self::value(value)))
            .collect(),
    }
}

fn value(value: &Value) -> google::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(NullValue::NullValue.into()),
        Value::Bool(flag) => Kind::BoolValue(*flag),
        Value::Number(number) => self::number(number),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue {
            values: items.iter().map(self::value).collect(),
        }),
        Value::Object(members) => Kind::StructValue(structure(members)),
    };
    google::Value { kind: Some(kind) }
}

/// Envoy keeps numbers as doubles: a whole number that a double does not hold goes as text, or two ids would be one.
fn number(number: &Number) -> Kind {
    let is_exact = number
        .as_i128()
        .is_none_or(|whole| (-EXACT_MAX..=EXACT_MAX).contains(&whole));
    match number.as_f64() {
        Some(double) if is_exact => Kind::NumberValue(double),
        _ => Kind::StringValue(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use extauth_core::Reason;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_denial_has_its_status_on_both_levels() {
        let denial = Denial::outside(Reason::Panicked);
        let response = response(&Decision::Deny(denial));
        assert_eq!(response.status.map(|status| status.code), Some(7));
        let Some(HttpResponse::DeniedResponse(denied)) = response.http_response else {
            panic!("not a denial");
        };
        assert_eq!(denied.status.map(|status| status.code), Some(403));
        assert_eq!((denied.headers, denied.body.as_str()), (vec![], "forbidden"));
        assert_eq!(response.dynamic_metadata, None);
    }

    #[test]
    fn every_header_option_overwrites_on_every_version_of_envoy() {
        // The golden bytes of HeaderValueOption { header: { "x": "y" }, append: { false }, append_action: 2 }.
        let golden = [0x0a, 6, 0x0a, 1, b'x', 0x12, 1, b'y', 0x12, 0, 0x18, 2];
        assert_eq!(prost::Message::encode_to_vec(&overwrite("x", "y")), golden);
    }

    #[test]
    fn metadata_keeps_kinds_and_never_rounds_an_id() {
        let members = json!({
            "n": null, "b": true, "i": 7, "f": 2.5, "s": "x", "l": [1, "a"], "o": {"k": "v"},
            "exact": 9_007_199_254_740_992_u64, "big": 9_007_199_254_740_993_u64,
        });
        let fields = structure(members.as_object().unwrap()).fields;
        let kind = |name: &str| fields[name].kind.clone().unwrap();
        assert_eq!(kind("n"), Kind::NullValue(0));
        assert_eq!(kind("b"), Kind::BoolValue(true));
        assert_eq!(kind("i"), Kind::NumberValue(7.0));
        assert_eq!(kind("f"), Kind::NumberValue(2.5));
        assert_eq!(kind("exact"), Kind::NumberValue(9_007_199_254_740_992.0));
        assert_eq!(kind("big"), Kind::StringValue("9007199254740993".to_owned()));
        assert!(matches!(kind("l"), Kind::ListValue(list) if list.values.len() == 2));
        assert!(matches!(kind("o"), Kind::StructValue(inner) if inner.fields.contains_key("k")));
    }
}
