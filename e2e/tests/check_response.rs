//! Every answer of `extauth`, asked directly: an explicit status always, and identity headers that overwrite on every version
//! of Envoy (`append: false` and `OVERWRITE_IF_EXISTS_OR_ADD`), whatever is asked.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use e2e::issuer::{AUDIENCE, ISSUER};
use e2e::stack::{Options, Stack, Store};
use e2e::{story, tokens, wait};
use proto::auth::attribute_context::{HttpRequest, Request};
use proto::auth::{AttributeContext, AuthorizationClient, CheckRequest, CheckResponse, check_response::HttpResponse};
use proto::core::{HeaderAppendAction, HeaderMap, HeaderValue};
use serde_json::json;
use tonic::transport::Channel;

const CONFIG: &str = "sallyport.tenants";

#[tokio::test]
async fn every_answer_has_a_status_and_every_identity_header_overwrites() {
    let stack = Stack::start(Options::for_test(Store::Memory)).await.unwrap();
    let mut extauth = AuthorizationClient::connect(format!("http://{}", stack.extauth.grpc))
        .await
        .unwrap();
    let token = stack.issuer.asks.token("acme").await.unwrap();
    let bearer = format!("Bearer {token}");
    wait::until("keys", wait::START, async || {
        let answer = extauth
            .check(request(CONFIG, &[("authorization", &bearer)]))
            .await
            .unwrap()
            .into_inner();
        Ok((code(&answer) == Some(0)).then_some(()))
    })
    .await
    .unwrap();

    let raw = request(CONFIG, &[("authorization", &bearer), ("x-tenant-id", "evil")]);
    let mapped = in_plain_map(raw.clone());
    for allowed in [raw, mapped] {
        let answer = asked(&mut extauth, allowed).await;
        assert_eq!(code(&answer), Some(0), "{answer:?}");
        let Some(HttpResponse::OkResponse(ok)) = answer.http_response else {
            panic!("an allow without an ok_response");
        };
        let tenants: Vec<_> = ok
            .headers
            .iter()
            .filter(|option| named(option) == "x-tenant-id")
            .collect();
        assert_eq!(tenants.len(), 1);
        assert!(
            !ok.headers_to_remove.iter().any(|name| name == "x-tenant-id"),
            "set and removed: Envoy would remove it"
        );
    }
    for (row, denied) in denials(&bearer, &token) {
        let answer = asked(&mut extauth, denied).await;
        assert!(code(&answer).is_some_and(|code| code != 0), "{row}: {answer:?}");
        assert!(
            !matches!(answer.http_response, Some(HttpResponse::OkResponse(_))),
            "{row}: {answer:?}"
        );
    }
    stack.stop().await.unwrap();
}

/// Requests that must be denied, each with a name.
fn denials(bearer: &str, token: &str) -> Vec<(&'static str, CheckRequest)> {
    let of = |value: &str| request(CONFIG, &[("authorization", value)]);
    let expired = json!({"iss": ISSUER, "aud": AUDIENCE, "tenant": "acme", "exp": 1});
    vec![
        ("an empty request", CheckRequest::default()),
        ("no config_id", request("", &[("authorization", bearer)])),
        (
            "an unknown config_id",
            request("sallyport.nobody", &[("authorization", bearer)]),
        ),
        (
            "a config_id without a namespace",
            request("tenants", &[("authorization", bearer)]),
        ),
        ("no headers", request(CONFIG, &[])),
        ("an empty header", of("")),
        ("a scheme alone", of("Bearer")),
        ("a scheme and a space", of("Bearer ")),
        ("another scheme", of(&format!("Basic {token}"))),
        ("no scheme", of(token)),
        ("two tokens in one header", of(&format!("{bearer} {token}"))),
        (
            "two authorization headers",
            request(CONFIG, &[("authorization", bearer), ("authorization", "Bearer x.y.z")]),
        ),
        ("two parts", of("Bearer e30.e30")),
        ("four parts", of(&format!("{bearer}.e30"))),
        ("dots alone", of("Bearer ..")),
        ("a cut signature", of(bearer.get(..bearer.len() - 4).unwrap())),
        ("no signature", of(&format!("Bearer {}", tokens::unsigned(&expired)))),
        (
            "claims of another",
            of(&format!(
                "Bearer {}",
                tokens::tampered(token, &json!({"tenant": "globex"}))
            )),
        ),
        ("a long token", of(&format!("Bearer {}", "A".repeat(200_000)))),
        (
            "bytes that are not text",
            request_of_bytes(CONFIG, vec![("authorization", b"Bearer \xff\xfe".to_vec())]),
        ),
    ]
}

async fn asked(extauth: &mut AuthorizationClient<Channel>, request: CheckRequest) -> CheckResponse {
    let answer = extauth.check(request).await.unwrap().into_inner();
    assert!(
        answer.status.is_some(),
        "no status: Envoy would read it as OK: {answer:?}"
    );
    let headers = match &answer.http_response {
        Some(HttpResponse::OkResponse(ok)) => ok.headers.clone(),
        Some(HttpResponse::DeniedResponse(denied)) => denied.headers.clone(),
        Some(HttpResponse::ErrorResponse(_)) | None => Vec::new(),
    };
    for option in headers {
        #[expect(deprecated, reason = "where Envoy still reads it, it wins over append_action")]
        let append = option.append.as_ref().map(|append| append.value);
        assert_eq!(append, Some(false), "append must be false, not absent: {option:?}");
        assert_eq!(
            option.append_action(),
            HeaderAppendAction::OverwriteIfExistsOrAdd,
            "{option:?}"
        );
    }
    answer
}

fn code(answer: &CheckResponse) -> Option<i32> {
    answer.status.as_ref().map(|status| status.code)
}

fn named(option: &proto::core::HeaderValueOption) -> &str {
    option.header.as_ref().map_or("", |header| header.key.as_str())
}

fn request(config: &str, headers: &[(&str, &str)]) -> CheckRequest {
    request_of_bytes(
        config,
        headers
            .iter()
            .map(|&(name, value)| (name, value.as_bytes().to_vec()))
            .collect(),
    )
}

/// A request as Envoy sends it with `encode_raw_headers: true`.
fn request_of_bytes(config: &str, headers: Vec<(&str, Vec<u8>)>) -> CheckRequest {
    let pseudo = [
        (":method", b"GET".to_vec()),
        (":path", story::CHEAP.into()),
        (":authority", b"api.example".to_vec()),
    ];
    let headers = pseudo.into_iter().chain(headers).map(|(key, raw_value)| HeaderValue {
        key: key.to_owned(),
        raw_value,
        ..HeaderValue::default()
    });
    let http = HttpRequest {
        method: "GET".to_owned(),
        path: story::CHEAP.to_owned(),
        host: "api.example".to_owned(),
        header_map: Some(HeaderMap {
            headers: headers.collect(),
        }),
        ..HttpRequest::default()
    };
    let mut extensions = HashMap::new();
    if !config.is_empty() {
        extensions.insert("config_id".to_owned(), config.to_owned());
    }
    CheckRequest {
        attributes: Some(AttributeContext {
            request: Some(Request {
                http: Some(http),
                ..Request::default()
            }),
            context_extensions: extensions,
            ..AttributeContext::default()
        }),
    }
}

/// The same request as Envoy sends it without `encode_raw_headers`.
fn in_plain_map(mut request: CheckRequest) -> CheckRequest {
    let http = request
        .attributes
        .as_mut()
        .unwrap()
        .request
        .as_mut()
        .unwrap()
        .http
        .as_mut()
        .unwrap();
    for header in http.header_map.take().unwrap().headers {
        http.headers
            .insert(header.key, String::from_utf8(header.raw_value).unwrap());
    }
    request
}
