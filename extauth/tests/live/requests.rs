//! Requests as Envoy makes them, and what its answers mean.

use proto::auth::attribute_context::{HttpRequest, Request};
use proto::auth::check_response::HttpResponse;
use proto::auth::{AttributeContext, CheckRequest, CheckResponse, OkHttpResponse};
use proto::core::{HeaderMap, HeaderValue};

/// The AuthConfig that [`manifest`] makes.
pub(crate) const AUTH_CONFIG: &str = "demo.api";

/// An AuthConfig whose keys come from `url`, with more lines below `accessTokenValidation`.
pub(crate) fn manifest(url: &str, more: &str) -> String {
    format!(
        "apiVersion: extauth.solo.io/v1
kind: AuthConfig
metadata: {{name: api, namespace: demo}}
spec:
  configs:
  - oauth2:
      accessTokenValidation:
        jwt:
          remoteJwks: {{url: '{url}', refreshInterval: 1s}}
          issuer: https://issuer.example
          audiences: [api]
        claimsToHeaders:
        - {{claim: tenant, header: x-tenant-id}}
        - {{claim: roles, header: x-roles, append: true}}
        dynamicMetadataFromClaims: {{tenant: tenant}}
{more}"
    )
}

/// A GET with these headers on a route that names `config_id`.
pub(crate) fn get(config_id: &str, headers: &[(&str, &str)]) -> CheckRequest {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let http = HttpRequest {
        method: "GET".to_owned(),
        host: "app.example".to_owned(),
        path: "/api?token=secret".to_owned(),
        headers: headers.collect(),
        ..HttpRequest::default()
    };
    with(config_id, http)
}

/// The same with `encode_raw_headers: true`: lines kept apart, as bytes.
pub(crate) fn get_raw(config_id: &str, headers: &[(&str, &[u8])]) -> CheckRequest {
    let line = |(name, value): &(&str, &[u8])| HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.to_vec(),
        ..HeaderValue::default()
    };
    let http = HttpRequest {
        method: "GET".to_owned(),
        header_map: Some(HeaderMap {
            headers: headers.iter().map(line).collect(),
        }),
        ..HttpRequest::default()
    };
    with(config_id, http)
}

fn with(config_id: &str, http: HttpRequest) -> CheckRequest {
    let attributes = AttributeContext {
        request: Some(Request {
            http: Some(http),
            ..Request::default()
        }),
        context_extensions: [("config_id".to_owned(), config_id.to_owned())].into_iter().collect(),
        ..AttributeContext::default()
    };
    CheckRequest {
        attributes: Some(attributes),
    }
}

/// What the client gets: 200 stands for what the upstream answers. Holds every answer to the rules that all must keep.
pub(crate) fn http_status(response: &CheckResponse) -> i32 {
    let status = response.status.as_ref().expect("every answer has an explicit status");
    match response.http_response.as_ref().expect("every answer has its HTTP part") {
        HttpResponse::OkResponse(ok) => {
            assert_eq!(status.code, 0);
            assert_overwrites(&ok.headers);
            200
        }
        HttpResponse::DeniedResponse(denied) => {
            assert_ne!(status.code, 0, "a denial must not allow");
            assert_overwrites(&denied.headers);
            denied.status.as_ref().expect("a denial has a status").code
        }
        HttpResponse::ErrorResponse(_) => panic!("older Envoys do not know error_response"),
    }
}

#[expect(deprecated, reason = "`append` is what every Envoy version reads first")]
fn assert_overwrites(headers: &[proto::core::HeaderValueOption]) {
    for option in headers {
        assert_eq!(
            option.append.as_ref().map(|append| append.value),
            Some(false),
            "{option:?}"
        );
        assert_eq!(option.append_action, 2, "OVERWRITE_IF_EXISTS_OR_ADD");
    }
}

pub(crate) fn ok(response: &CheckResponse) -> &OkHttpResponse {
    assert_eq!(http_status(response), 200, "{response:?}");
    match &response.http_response {
        Some(HttpResponse::OkResponse(ok)) => ok,
        other => panic!("{other:?}"),
    }
}

/// The headers set upstream.
pub(crate) fn set(response: &CheckResponse) -> Vec<(String, String)> {
    let pair = |header: &HeaderValue| (header.key.clone(), header.value.clone());
    ok(response)
        .headers
        .iter()
        .map(|option| pair(option.header.as_ref().unwrap()))
        .collect()
}

/// The value of a header of a denial.
pub(crate) fn denied_header(response: &CheckResponse, name: &str) -> Option<String> {
    let Some(HttpResponse::DeniedResponse(denied)) = &response.http_response else {
        panic!("{response:?}")
    };
    let headers = denied.headers.iter().filter_map(|option| option.header.as_ref());
    headers
        .filter(|header| header.key == name)
        .map(|header| header.value.clone())
        .next()
}
