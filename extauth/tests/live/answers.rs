//! What a gateway is told: statuses, headers, metadata, and that a panic denies.

use std::sync::Arc;
use std::time::Duration;

use proto::auth::AuthorizationClient;
use serde_json::json;
use tonic::{Code, Request};

use crate::issuer::{Issuer, Key};
use crate::process::Process;
use crate::requests::{AUTH_CONFIG, denied_header, get, http_status, manifest, ok, set};

async fn start(more: &str) -> (Key, Issuer, Process) {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let process = Process::start(&manifest(&issuer.url(), more)).await;
    process.until(&key.token(&json!({"scope": "read"})), 200).await;
    (key, issuer, process)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[tokio::test]
async fn a_good_token_sets_the_tenant_and_tells_who_it_was() {
    let (key, _issuer, process) = start("").await;
    let authorization = bearer(&key.token(&json!({"tenant": "acme"})));
    let sent = [
        ("authorization", authorization.as_str()),
        ("x-tenant-id", "evil"),
        ("x-roles", "admin"),
    ];
    let response = process.check(get(AUTH_CONFIG, &sent)).await;
    let expected = [("x-tenant-id", "acme"), ("x-user-id", "alice")];
    assert_eq!(
        set(&response),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert_eq!(
        ok(&response).headers_to_remove,
        ["x-roles", "x_roles", "x_tenant_id", "x_user_id"]
    );
    let metadata = format!("{:?}", response.dynamic_metadata.unwrap());
    for expected in [
        "\"userId\"",
        "StringValue(\"alice\")",
        "\"config_0\"",
        "StringValue(\"acme\")",
    ] {
        assert!(metadata.contains(expected), "{metadata}");
    }
}

#[tokio::test]
async fn no_token_and_bad_tokens_are_401_with_a_challenge() {
    let (key, _issuer, process) = start("").await;
    let missing = process.check(get(AUTH_CONFIG, &[])).await;
    assert_eq!(http_status(&missing), 401);
    assert_eq!(
        denied_header(&missing, "www-authenticate").as_deref(),
        Some("Bearer realm=\"extauth\"")
    );

    let stranger = Key::new("one");
    let good = key.token(&json!({}));
    let (input, _) = good.rsplit_once('.').unwrap();
    let other = key.token(&json!({"sub": "root"}));
    let tampered = format!("{input}.{}", other.rsplit_once('.').unwrap().1);
    let bad = [
        ("another issuer's key", stranger.token(&json!({}))),
        ("another issuer", key.token(&json!({"iss": "https://evil.example"}))),
        ("another audience", key.token(&json!({"aud": "other"}))),
        ("expired", key.token(&json!({"exp": 1}))),
        ("tampered", tampered),
        ("nonsense", "x".to_owned()),
    ];
    for (name, token) in bad {
        let authorization = bearer(&token);
        let response = process
            .check(get(AUTH_CONFIG, &[("authorization", &authorization)]))
            .await;
        assert_eq!(http_status(&response), 401, "{name}");
        let challenge = denied_header(&response, "www-authenticate");
        assert_eq!(
            challenge.as_deref(),
            Some("Bearer realm=\"extauth\", error=\"invalid_token\""),
            "{name}"
        );
    }
    // Metadata is there on denials too, and has nothing of the token.
    let metadata = format!("{:?}", missing.dynamic_metadata.unwrap());
    assert!(metadata.contains("credential_missing"), "{metadata}");
}

#[tokio::test]
async fn a_missing_scope_is_403() {
    let (key, _issuer, process) = start("        requiredScopes: {scope: [read]}\n").await;
    assert_eq!(
        process.status_of(&key.token(&json!({"scope": "read write"}))).await,
        200
    );
    assert_eq!(process.status_of(&key.token(&json!({"scope": "write"}))).await, 403);
}

#[tokio::test]
async fn routes_without_an_auth_config_are_denied_and_counted() {
    let (key, _issuer, process) = start("").await;
    let authorization = bearer(&key.token(&json!({})));
    for config_id in ["demo.other", "nonsense", "demo/api/x"] {
        let response = process
            .check(get(config_id, &[("authorization", &authorization)]))
            .await;
        assert_eq!(http_status(&response), 403, "{config_id}");
    }
    assert!(process.metric("extauth_config_not_found_total").await >= 3);
    let response = process
        .check(get("demo/api", &[("authorization", &authorization)]))
        .await;
    assert_eq!(http_status(&response), 200);
}

#[tokio::test]
async fn a_panic_denies_its_request_and_no_other() {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let inspect = |request: &extauth_core::CheckRequest| {
        assert!(request.headers.single("x-panic") == Ok(None), "on purpose");
    };
    let process = Process::start_with(&manifest(&issuer.url(), ""), |_settings| {}, Some(Arc::new(inspect))).await;
    let token = key.token(&json!({}));
    process.until(&token, 200).await;
    let authorization = bearer(&token);
    for round in 1..=3 {
        let headers = [("authorization", authorization.as_str()), ("x-panic", "now")];
        assert_eq!(http_status(&process.check(get(AUTH_CONFIG, &headers)).await), 403);
        assert_eq!(process.metric("extauth_panics_total").await, round);
        assert_eq!(process.status_of(&token).await, 200);
    }
    assert!(process.is_healthy().await);
}

#[tokio::test]
async fn time_that_ran_out_is_an_error_of_the_call_and_not_an_answer() {
    let (key, _issuer, process) = start("").await;
    let slow = Process::start_with(
        &manifest("http://127.0.0.1:9/jwks.json", ""),
        |settings| settings.deadline = Duration::ZERO,
        None,
    )
    .await;
    let authorization = bearer(&key.token(&json!({})));
    let request = get(AUTH_CONFIG, &[("authorization", &authorization)]);
    let mut client = AuthorizationClient::new(slow.channel.clone());
    let status = client.check(Request::new(request.clone())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    // A caller that gives no time has not been allowed either.
    let mut client = AuthorizationClient::new(process.channel.clone());
    let mut hurried = Request::new(request);
    hurried.metadata_mut().insert("grpc-timeout", "0n".parse().unwrap());
    client.check(hurried).await.unwrap_err();
}

#[tokio::test]
async fn series_come_from_the_configuration_only() {
    let (key, issuer, process) = start("").await;
    for n in 0..20 {
        let token = key.token(&json!({"iss": format!("https://evil-{n}.example")}));
        assert_eq!(process.status_of(&token).await, 401);
        process.check(get(&format!("demo.made-up-{n}"), &[])).await;
    }
    let (_, text) = process.page("/metrics").await;
    assert!(!text.contains("evil") && !text.contains("made-up"), "{text}");
    let denied =
        process.metric("extauth_decisions_total{config=\"demo.api\",reason=\"wrong_issuer\",verdict=\"deny\"}");
    assert_eq!(denied.await, 20);
    let series = format!(
        "extauth_key_set_fetched_timestamp_seconds{{key_set=\"{}\"}}",
        issuer.url()
    );
    assert!(process.metric(&series).await > 1);
}
