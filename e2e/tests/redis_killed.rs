//! Redis dies under traffic: each call is answered at once, through Envoy by its failure mode and directly by an error, and
//! counting goes on by itself when Redis is back.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use e2e::client::Request;
use e2e::stack::{Options, Stack, Store};
use e2e::{story, wait};
use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest, RateLimitServiceClient, rate_limit_descriptor::Entry};
use server::clock;
use tonic::transport::Channel;

/// How long any call may take while Redis is away.
const ANSWER: Duration = Duration::from_millis(50);
/// How many calls are made while it is away, each way.
const CALLS: u32 = 200;
/// How soon counting must go on when it is back.
const BACK: Duration = Duration::from_secs(5);
const ERRORS: &str = "cluster.upstream.ratelimit.error";
const ALLOWED: &str = "cluster.upstream.ratelimit.failure_mode_allowed";

#[tokio::test]
async fn every_call_is_answered_at_once_and_counting_comes_back() {
    let mut stack = Stack::start(Options::for_test(Store::Redis)).await.unwrap();
    let client = stack.client().unwrap();
    let request = Request::to(story::CHEAP).bearing(&stack.issuer.asks.token("acme").await.unwrap());
    let mut direct = RateLimitServiceClient::connect(format!("http://{}", stack.ratelimit.grpc))
        .await
        .unwrap();
    assert!(
        client
            .send(&request)
            .await
            .unwrap()
            .header("x-ratelimit-limit")
            .is_some()
    );
    direct.should_rate_limit(one_hit()).await.unwrap();

    stack.redis.as_mut().unwrap().process.kill().unwrap();

    let mut slowest = Duration::ZERO;
    for _ in 0..CALLS {
        let before = clock::monotonic_now();
        let error = direct.should_rate_limit(one_hit()).await.unwrap_err();
        slowest = slowest.max(before.elapsed());
        assert_eq!(error.code(), tonic::Code::Unavailable, "{error}");
    }
    assert!(slowest < ANSWER, "a direct call took {slowest:?}");

    let mut slowest = Duration::ZERO;
    for _ in 0..CALLS {
        let before = clock::monotonic_now();
        let answer = client.send(&request).await.unwrap();
        slowest = slowest.max(before.elapsed());
        // The shipped configuration fails open: served, and not counted.
        assert_eq!(answer.status, 200);
        assert!(answer.header("x-ratelimit-limit").is_none());
    }
    assert!(slowest < ANSWER, "a call through Envoy took {slowest:?}");
    assert_eq!(stack.envoy.stat(ERRORS).await.unwrap(), u64::from(CALLS));
    assert_eq!(stack.envoy.stat(ALLOWED).await.unwrap(), u64::from(CALLS));

    stack.redis.as_mut().unwrap().start_again().await.unwrap();
    counts_again(&mut direct).await;
    let answer = client.send(&request).await.unwrap();
    assert!(
        answer.header("x-ratelimit-limit").is_some(),
        "not counted through Envoy"
    );
    stack.stop().await.unwrap();
}

async fn counts_again(direct: &mut RateLimitServiceClient<Channel>) {
    wait::until("counting goes on", BACK, async || {
        Ok(direct.should_rate_limit(one_hit()).await.ok())
    })
    .await
    .unwrap();
}

fn one_hit() -> RateLimitRequest {
    let entry = Entry {
        key: "tenant".to_owned(),
        value: "direct".to_owned(),
    };
    let descriptor = RateLimitDescriptor {
        entries: vec![entry],
        ..RateLimitDescriptor::default()
    };
    RateLimitRequest {
        domain: "sallyport".to_owned(),
        descriptors: vec![descriptor],
        ..RateLimitRequest::default()
    }
}
