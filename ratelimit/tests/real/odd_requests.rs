//! What clients may send that makes no sense: it is answered, and the next good request too.

use proto::google::UInt64Value;
use proto::ratelimit::rate_limit_descriptor::RateLimitOverride;
use proto::ratelimit::rate_limit_response::Code;
use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest};
use tempfile::TempDir;

use crate::program::{Program, request};

const LIMITS: &str = "
domain: d
descriptors:
  - {key: k, rate_limit: {unit: year, requests_per_unit: 2, name: two}}
  - {key: free, rate_limit: {unlimited: true}}
";

const GOOD: &str = r#"{"domain":"d","descriptors":[{"entries":[{"key":"k","value":"json"}]}]}"#;

async fn program(environment: &[(&str, &str)]) -> (TempDir, Program) {
    let limits = tempfile::tempdir().unwrap();
    std::fs::write(limits.path().join("limits.yaml"), LIMITS).unwrap();
    let program = Program::start(limits.path(), environment).await;
    (limits, program)
}

/// Status, content type and body of `/json`.
async fn post(program: &Program, body: impl Into<reqwest::Body>) -> (u16, String, String) {
    let client = reqwest::Client::new();
    let answer = client
        .post(program.url("http", "/json"))
        .body(body)
        .send()
        .await
        .unwrap();
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), content_type, answer.text().await.unwrap())
}

/// J1; numbers are those of our conformance list.
#[tokio::test]
async fn j1_json_answers_by_the_decision() {
    let (_limits, program) = program(&[]).await;
    for expected in [200, 200, 429] {
        let (status, content_type, body) = post(&program, GOOD).await;
        assert_eq!(
            (status, content_type.as_str()),
            (expected, "application/json"),
            "{body}"
        );
    }
    let (_, _, body) = post(&program, GOOD).await;
    let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
    let status = &answer["statuses"][0];
    assert_eq!(
        (&answer["overallCode"], &status["code"]),
        (&"OVER_LIMIT".into(), &"OVER_LIMIT".into())
    );
    let limit = serde_json::json!({"requestsPerUnit": 2, "unit": "YEAR", "name": "two"});
    assert_eq!((&status["currentLimit"], status.get("limitRemaining")), (&limit, None));
    assert!(status["durationUntilReset"].as_str().unwrap().ends_with('s'));
    let (status, _, body) = post(
        &program,
        r#"{"domain":"d","descriptors":[{"entries":[{"key":"free"}]}]}"#,
    )
    .await;
    let unlimited = r#"{"overallCode":"OK","statuses":[{"code":"OK","limitRemaining":4294967295}]}"#;
    assert_eq!((status, body.as_str()), (200, unlimited));
    assert_eq!(program.get("http", "/other").await.0, 404);
}

#[tokio::test]
async fn odd_bytes_are_bad_requests_and_hurt_nobody() {
    let (_limits, program) = program(&[]).await;
    let deep = "[".repeat(100_000);
    let huge = vec![b' '; 5 * 1024 * 1024];
    let bodies: [&[u8]; 12] = [
        b"",
        b"}",
        b"null",
        b"\xff\xfe\x00",
        b"{\"domain\":\"\xff\"}",
        b"{\"domain\":\"d\"}",
        b"{\"descriptors\":[{}]}",
        b"{\"domain\":\"d\",\"descriptors\":[{}],\"x\":1}",
        b"{\"domain\":\"d\",\"descriptors\":[{\"limit\":{\"unit\":0}}]}",
        b"{\"domain\":\"d\",\"descriptors\":[{\"hitsAddend\":1e999}]}",
        deep.as_bytes(),
        &huge,
    ];
    for body in bodies {
        let (status, content_type, text) = post(&program, body.to_vec()).await;
        let found = (status, content_type.as_str(), text.as_str());
        let start = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(found, (400, "text/plain; charset=utf-8", "Bad Request\n"), "{start}");
    }
    assert_eq!(post(&program, GOOD).await.0, 200);
}

#[track_caller]
fn refused(
    answer: Result<tonic::Response<proto::ratelimit::RateLimitResponse>, tonic::Status>,
    expected: (tonic::Code, &str),
) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), expected);
}

/// V-6 and what envoyproxy/ratelimit crashes on.
#[tokio::test]
async fn v6_requests_without_sense_are_refused_in_order() {
    let (_limits, program) = program(&[]).await;
    let mut client = program.client().await;
    let empty = "rate limit domain must not be empty";
    refused(
        client.should_rate_limit(RateLimitRequest::default()).await,
        (tonic::Code::Unknown, empty),
    );
    let none = "rate limit descriptor list must not be empty";
    refused(
        client.should_rate_limit(request("d", &[])).await,
        (tonic::Code::Unknown, none),
    );
    let with_override = |unit| RateLimitRequest {
        domain: "d".to_owned(),
        descriptors: vec![RateLimitDescriptor {
            limit: Some(RateLimitOverride {
                requests_per_unit: 1,
                unit,
            }),
            ..RateLimitDescriptor::default()
        }],
        hits_addend: 0,
    };
    let unknown = "rate limit override has unknown unit 0";
    refused(
        client.should_rate_limit(with_override(0)).await,
        (tonic::Code::InvalidArgument, unknown),
    );
    let overridden = client.should_rate_limit(with_override(6)).await.unwrap().into_inner();
    assert_eq!(
        overridden.statuses[0].current_limit.as_ref().unwrap().requests_per_unit,
        1
    );
    assert_eq!(
        program
            .counter("ratelimit.service.call.should_rate_limit.service_error")
            .await,
        3
    );
}

#[tokio::test]
async fn empty_texts_and_huge_hits_are_answered() {
    let (_limits, program) = program(&[]).await;
    let mut client = program.client().await;
    let odd: [&[(&str, &str)]; 4] = [&[], &[("", "")], &[("k", "")], &[("k", "ü\u{0}\n_")]];
    let answer = client.should_rate_limit(request("d", &odd)).await.unwrap().into_inner();
    let counted: Vec<_> = answer
        .statuses
        .iter()
        .map(|status| status.current_limit.is_some())
        .collect();
    assert_eq!(counted, [false, false, true, true]);
    let mut huge = request("d", &[&[("k", "huge")]]);
    huge.descriptors[0].hits_addend = Some(UInt64Value { value: u64::MAX });
    for _ in 0..2 {
        let answer = client.should_rate_limit(huge.clone()).await.unwrap().into_inner();
        assert_eq!(answer.overall_code(), Code::OverLimit);
    }
    let unknown = client
        .should_rate_limit(request("nobody's", &[&[("k", "v")]]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(unknown.overall_code(), Code::Ok);
    assert_eq!(
        program
            .counter("ratelimit.service.rate_limit.nobody's.domain_not_found")
            .await,
        1
    );
}

#[tokio::test]
async fn v5_headers_are_added_when_asked_for() {
    let (_limits, program) = program(&[
        ("LIMIT_RESPONSE_HEADERS_ENABLED", "true"),
        ("LIMIT_REMAINING_HEADER", "x-left"),
    ])
    .await;
    let mut client = program.client().await;
    let answer = client
        .should_rate_limit(request("d", &[&[("k", "v")], &[("free", "")]]))
        .await
        .unwrap()
        .into_inner();
    let headers = answer.response_headers_to_add.iter();
    let headers: Vec<_> = headers
        .map(|header| (header.key.as_str(), header.value.as_str()))
        .collect();
    assert_eq!(headers[..2], [("RateLimit-Limit", "2"), ("x-left", "1")]);
    assert_eq!(headers[2].0, "RateLimit-Reset");
}
