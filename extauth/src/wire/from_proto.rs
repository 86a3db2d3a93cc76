//! A CheckRequest as the core's request. Envoy sends headers either joined in a map (`headers`) or, with
//! `encode_raw_headers`, line by line as bytes (`header_map`); both are read, and if a sender fills both, both count.

use std::collections::HashMap;

use extauth_core::{BadRequest, CheckRequest, Headers};
use proto::auth;
use proto::core::HeaderMap;

/// Reads a message.
///
/// # Errors
/// When it has no HTTP attributes: there is nothing in it to authenticate.
pub fn request(message: auth::CheckRequest) -> Result<CheckRequest, BadRequest> {
    let attributes = message.attributes.unwrap_or_default();
    let http = attributes.request.and_then(|request| request.http);
    let http = http.ok_or(BadRequest::NotHttp)?;
    let headers = headers(http.headers, http.header_map);
    Ok(CheckRequest {
        method: http.method,
        host: http.host,
        path: http.path,
        headers,
        context_extensions: attributes.context_extensions,
    })
}

fn headers(joined: HashMap<String, String>, raw: Option<HeaderMap>) -> Headers {
    let mut headers = Headers::default();
    for (name, value) in joined {
        headers.push(name, value);
    }
    for line in raw.into_iter().flat_map(|HeaderMap { headers }| headers) {
        // Envoy fills `raw_value` only; `value` is what a sender fills that does not know it.
        let value = if line.raw_value.is_empty() {
            line.value.into_bytes()
        } else {
            line.raw_value
        };
        headers.push(line.key, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use proto::auth::attribute_context::HttpRequest;
    use proto::core::HeaderValue;

    use super::*;

    fn message(http: HttpRequest) -> auth::CheckRequest {
        let request = auth::attribute_context::Request {
            http: Some(http),
            ..Default::default()
        };
        let attributes = auth::AttributeContext {
            request: Some(request),
            ..Default::default()
        };
        auth::CheckRequest {
            attributes: Some(attributes),
        }
    }

    fn line(key: &str, raw_value: &[u8]) -> HeaderValue {
        HeaderValue {
            key: key.to_owned(),
            raw_value: raw_value.to_vec(),
            ..Default::default()
        }
    }

    #[test]
    fn reads_joined_headers() {
        let headers = [("authorization".to_owned(), "Bearer a".to_owned())]
            .into_iter()
            .collect();
        let request = request(message(HttpRequest {
            headers,
            ..Default::default()
        }))
        .unwrap();
        assert_eq!(
            request.headers.single("authorization"),
            Ok(Some(b"Bearer a".as_slice()))
        );
    }

    #[test]
    fn reads_raw_headers_and_sees_repetitions_in_each_order() {
        for values in [[&b"Bearer a"[..], b"Bearer \xff"], [b"Bearer \xff", b"Bearer a"]] {
            let lines = values.map(|value| line("authorization", value)).into_iter();
            let header_map = Some(HeaderMap {
                headers: lines.chain([line("X-Bytes", b"\xff")]).collect(),
            });
            let request = request(message(HttpRequest {
                header_map,
                ..Default::default()
            }))
            .unwrap();
            request.headers.single("authorization").unwrap_err();
            assert_eq!(request.headers.single("x-bytes"), Ok(Some(b"\xff".as_slice())));
        }
    }

    #[test]
    fn a_sender_that_fills_both_repeats() {
        let http = HttpRequest {
            headers: [("authorization".to_owned(), "Bearer a".to_owned())]
                .into_iter()
                .collect(),
            header_map: Some(HeaderMap {
                headers: vec![line("authorization", b"Bearer b")],
            }),
            ..Default::default()
        };
        let request = request(message(http)).unwrap();
        request.headers.single("authorization").unwrap_err();
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert_eq!(request(auth::CheckRequest::default()), Err(BadRequest::NotHttp));
        let tcp = auth::CheckRequest {
            attributes: Some(auth::AttributeContext {
                request: Some(auth::attribute_context::Request::default()),
                ..Default::default()
            }),
        };
        assert_eq!(request(tcp), Err(BadRequest::NotHttp));
    }
}
