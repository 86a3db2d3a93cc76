//! The issuer's key set is down, comes back, changes, and is asked for keys that never were.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use e2e::client::{Client, Request};
use e2e::issuer::KeySet;
use e2e::stack::{Options, Stack, Store};
use e2e::tokens::{self, Algorithm, SigningKey};
use e2e::{client, story, wait};

/// How soon a service must recover by itself. Longer than any back-off between two fetches of a key set.
const RECOVERY: Duration = Duration::from_secs(20);
/// How many tokens name a key that nobody has.
const MADE_UP: u32 = 1000;

#[tokio::test]
async fn denies_every_token_while_the_key_set_is_down_and_recovers_by_itself() {
    let mut options = Options::for_test(Store::Memory);
    options.key_set = KeySet::Down;
    let stack = Stack::start(options).await.unwrap();
    let client = stack.client().unwrap();
    let request = Request::to(story::CHEAP).bearing(&stack.issuer.asks.token("acme").await.unwrap());

    for _ in 0..20 {
        let answer = client.send(&request).await.unwrap();
        assert!(matches!(answer.status, 401 | 403), "{}", answer.status);
    }
    let (status, why) = health(&stack).await;
    assert_ne!(status, 200, "health says nothing of the missing keys: {why}");
    assert!(why.contains("jwks.json"), "health does not say which key set: {why}");

    stack.issuer.asks.up().await.unwrap();
    accepted(&client, &request).await;
    wait::until("healthy", RECOVERY, async || {
        Ok((health(&stack).await.0 == 200).then_some(()))
    })
    .await
    .unwrap();
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn keeps_the_last_keys_while_the_key_set_is_down() {
    let stack = Stack::start(Options::for_test(Store::Memory)).await.unwrap();
    let client = stack.client().unwrap();
    let token = stack.issuer.asks.token("acme").await.unwrap();
    accepted(&client, &Request::to(story::CHEAP).bearing(&token)).await;
    stack.issuer.asks.down().await.unwrap();
    // A token never seen before, so that no cache of verified tokens answers.
    let other = stack.issuer.asks.token("globex").await.unwrap();
    let answer = client.send(&Request::to(story::CHEAP).bearing(&other)).await.unwrap();
    assert_eq!(answer.status, 200);
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn takes_up_rotated_keys_and_lets_the_old_ones_go() {
    let mut options = Options::for_test(Store::Memory);
    options.key_refresh = Some("1s");
    let stack = Stack::start(options).await.unwrap();
    let client = stack.client().unwrap();
    let old = Request::to(story::CHEAP).bearing(&stack.issuer.asks.token("acme").await.unwrap());
    accepted(&client, &old).await;

    stack.issuer.asks.rotate().await.unwrap();
    let new = Request::to(story::CHEAP).bearing(&stack.issuer.asks.token("acme").await.unwrap());
    accepted(&client, &new).await;
    let answer = client.send(&old).await.unwrap();
    assert!(
        matches!(answer.status, 401 | 403),
        "a token of a retired key: {}",
        answer.status
    );
    stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_thousand_made_up_keys_cause_at_most_one_fetch() {
    let mut options = Options::for_test(Store::Memory);
    // No fetch that would be made anyway is taken for one that was caused.
    options.key_refresh = Some("1h");
    let stack = Stack::start(options).await.unwrap();
    let client = stack.client().unwrap();
    let good = stack.issuer.asks.token("acme").await.unwrap();
    accepted(&client, &Request::to(story::CHEAP).bearing(&good)).await;

    let key = SigningKey::generate("nobody's", Algorithm::Es256).unwrap();
    let claims = tokens::claims(&good).unwrap();
    let before = stack.issuer.asks.key_set_fetches().await.unwrap();
    for number in 0..MADE_UP {
        let token = key.token_under(&format!("made-up-{number}"), &claims).unwrap();
        let answer = client.send(&Request::to(story::CHEAP).bearing(&token)).await.unwrap();
        assert!(matches!(answer.status, 401 | 403), "{}", answer.status);
    }
    let fetches = stack.issuer.asks.key_set_fetches().await.unwrap() - before;
    assert!(fetches <= 1, "{fetches} fetches for {MADE_UP} made-up keys");
    stack.stop().await.unwrap();
}

async fn accepted(client: &Client, request: &Request) {
    wait::until("the token is accepted", RECOVERY, async || {
        Ok((client.send(request).await?.status == 200).then_some(()))
    })
    .await
    .unwrap();
}

/// What the service says of itself.
async fn health(stack: &Stack) -> (u16, String) {
    let url = format!("http://{}/healthcheck", stack.extauth.admin);
    let answer = client::plain_http().unwrap().get(url).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}
