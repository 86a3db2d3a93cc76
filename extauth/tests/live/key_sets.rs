//! Key sets that are down, rotate, or are asked for what they do not have. Numbers are those of our list of JWT rules.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;

use crate::eventually;
use crate::issuer::{Answer, Issuer, Key};
use crate::process::Process;
use crate::requests::{get, http_status, manifest};

#[tokio::test]
async fn jwt_14_down_at_start_denies_says_so_and_recovers_by_itself() {
    let key = Key::new("one");
    let issuer = Issuer::start(Answer::Status(StatusCode::SERVICE_UNAVAILABLE)).await;
    let process = Process::start(&manifest(&issuer.url(), "")).await;
    let token = key.token(&json!({}));
    eventually("it was asked", || async { issuer.asked() > 0 }).await;
    assert_eq!(process.status_of(&token).await, 401);
    let (status, text) = process.page("/healthcheck").await;
    assert_eq!(status, 500);
    assert!(text.contains(&issuer.url()), "{text}");
    assert_eq!(process.grpc_health().await, 2, "NOT_SERVING");

    issuer.answers(Issuer::set(&[&key]));
    process.until(&token, 200).await;
    eventually("it is healthy", || process.is_healthy()).await;
    assert_eq!(process.grpc_health().await, 1, "SERVING");
}

#[tokio::test]
async fn jwt_14_while_it_is_down_the_last_good_set_serves() {
    let (key, next) = (Key::new("one"), Key::new("two"));
    let issuer = Issuer::of(&[&key]).await;
    let process = Process::start(&manifest(&issuer.url(), "")).await;
    let token = key.token(&json!({}));
    process.until(&token, 200).await;
    let garbage = [
        Answer::Status(StatusCode::INTERNAL_SERVER_ERROR),
        Answer::Text(b"<html>".to_vec()),
        Answer::Text(b"{\"keys\": [".to_vec()),
        Answer::Text(vec![b' '; 2 << 20]),
        Answer::Redirect("http://localhost:1/jwks.json".to_owned()),
    ];
    for answer in garbage {
        issuer.answers(answer.clone());
        let asked = issuer.asked();
        eventually("it was asked twice", || async { issuer.asked() > asked + 1 }).await;
        assert_eq!(process.status_of(&token).await, 200, "{answer:?}");
        // A good answer in between ends the growing waits.
        issuer.answers(Issuer::set(&[&key]));
        let failed = issuer.asked();
        eventually("it was asked again", || async { issuer.asked() > failed }).await;
    }
    issuer.answers(Issuer::set(&[&next]));
    process.until(&next.token(&json!({})), 200).await;
}

#[tokio::test]
async fn jwt_14_a_set_that_is_too_old_is_not_trusted() {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let stale = |settings: &mut extauth::settings::Settings| settings.keys.stale_max = Duration::from_millis(1);
    let process = Process::start_with(&manifest(&issuer.url(), ""), stale, None).await;
    let token = key.token(&json!({}));
    process.until(&token, 200).await;
    issuer.answers(Answer::Status(StatusCode::BAD_GATEWAY));
    process.until(&token, 401).await;
    assert!(!process.is_healthy().await);
    issuer.answers(Issuer::set(&[&key]));
    process.until(&token, 200).await;
}

#[tokio::test]
async fn jwt_14_rotated_keys_pass_within_a_refresh_and_revoked_ones_stop() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::of(&[&old]).await;
    let process = Process::start(&manifest(&issuer.url(), "")).await;
    process.until(&old.token(&json!({})), 200).await;
    issuer.answers(Issuer::set(&[&old, &new]));
    process.until(&new.token(&json!({})), 200).await;
    assert_eq!(process.status_of(&old.token(&json!({}))).await, 200);
    issuer.answers(Issuer::set(&[&new]));
    process.until(&old.token(&json!({})), 401).await;
    assert_eq!(process.status_of(&new.token(&json!({}))).await, 200);
}

#[tokio::test]
async fn jwt_14_an_unchanged_set_is_not_sent_again() {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let process = Process::start(&manifest(&issuer.url(), "")).await;
    eventually("it was confirmed", || async { issuer.unchanged() > 1 }).await;
    assert_eq!(process.status_of(&key.token(&json!({}))).await, 200);
}

/// An AuthConfig whose key set is refreshed only when somebody asks.
fn rarely(url: &str) -> String {
    manifest(url, "").replace("refreshInterval: 1s", "refreshInterval: 24h")
}

#[tokio::test]
async fn jwt_5_an_unknown_key_is_fetched_once_in_the_background() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let issuer = Issuer::of(&[&old]).await;
    let process = Process::start(&rarely(&issuer.url())).await;
    process.until(&old.token(&json!({})), 200).await;
    assert_eq!(issuer.asked(), 1);
    issuer.answers(Issuer::set(&[&old, &new]));
    // The request that saw it does not wait: it is denied, and a later one passes.
    assert_eq!(process.status_of(&new.token(&json!({}))).await, 401);
    process.until(&new.token(&json!({})), 200).await;
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn jwt_5_a_thousand_made_up_keys_cause_one_fetch() {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let process = Process::start(&rarely(&issuer.url())).await;
    process.until(&key.token(&json!({})), 200).await;
    for n in 0..1_000 {
        let header = json!({"alg": "ES256", "kid": format!("made-up-{n}")});
        assert_eq!(process.status_of(&key.sign(&header, &json!({}))).await, 401);
    }
    eventually("the one fetch", || async { issuer.asked() == 2 }).await;
    assert_eq!(process.status_of(&key.token(&json!({}))).await, 200);
    assert_eq!(issuer.asked(), 2);
}

#[tokio::test]
async fn jwt_14_one_url_in_several_auth_configs_is_followed_once() {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let one = rarely(&issuer.url());
    let two = one.replace("name: api", "name: two");
    let process = Process::start(&format!("{one}---\n{two}")).await;
    let token = key.token(&json!({}));
    process.until(&token, 200).await;
    let authorization = format!("Bearer {token}");
    let response = process
        .check(get("demo.two", &[("authorization", &authorization)]))
        .await;
    assert_eq!(http_status(&response), 200);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn jwt_14_a_key_set_that_no_auth_config_names_is_forgotten() {
    let (key, other) = (Key::new("one"), Key::new("two"));
    let (issuer, others) = (
        Issuer::of(&[&key]).await,
        Issuer::start(Answer::Status(StatusCode::NOT_FOUND)).await,
    );
    let process = Process::start(&manifest(&issuer.url(), "")).await;
    process.until(&key.token(&json!({})), 200).await;
    process.write("auth.yaml", &manifest(&others.url(), ""));
    process.until(&key.token(&json!({})), 401).await;
    eventually("health names the new one", || async {
        process.page("/healthcheck").await.1.contains(&others.url())
    })
    .await;
    others.answers(Issuer::set(&[&other]));
    process.until(&other.token(&json!({})), 200).await;
    eventually("nothing of the old one is left", || process.is_healthy()).await;
}
