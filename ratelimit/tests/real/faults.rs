//! Redis down, hung, wrong, slow to come back: every call is answered in time, and counting goes on by itself.

use std::time::{Duration, Instant};

use proto::ratelimit::RateLimitServiceClient;
use ratelimit::counters::StoreError;
use ratelimit::counters::redis::HealthPolicy;
use server::clock::monotonic_now;
use tonic::transport::Channel;

use crate::asking::{Asked, Asking, DAY, charge};
use crate::parts::{Proxy, RedisServer, eventually};
use crate::program::{Program, request};

/// The default of `STORE_DEADLINE`.
const DEADLINE: Duration = Duration::from_millis(15);

/// What every answer must be within while Redis is in trouble.
const SOON: Duration = Duration::from_millis(50);

async fn ask(asked: &Asked) -> Result<(), StoreError> {
    let asking = [Asking(&[("key", "x")], charge(1))];
    asked.ask_within(DEADLINE, 1_000_000, &asking).await.map(|_answers| ())
}

/// Asks with patience: on a busy machine a good answer may be late too.
async fn is_answered(asked: &Asked) {
    asked
        .ask(1_000_000, &[Asking(&[("key", "x")], charge(1))])
        .await
        .unwrap();
}

/// Asks 100 times, one after the other: all fail as `is_right` says, and next to all soon. A machine that is busy with
/// other tests may hold one up.
async fn all_fail_soon(asked: &Asked, is_right: fn(&StoreError) -> bool) {
    let mut late = 0;
    for _ in 0..100 {
        let began: Instant = monotonic_now();
        let error = ask(asked).await.unwrap_err();
        assert!(is_right(&error), "{error}");
        late += usize::from(began.elapsed() > SOON);
    }
    assert!(late <= 2, "{late} of 100 answers took longer than {SOON:?}");
}

async fn recovers(asked: &Asked) {
    eventually("recovered", async || ask(asked).await.is_ok()).await;
    assert!(asked.health.is_healthy());
}

#[tokio::test]
async fn a_redis_that_crashed_fails_calls_at_once_and_is_found_again() {
    let mut redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(DAY, &redis).await;
    for _ in 0..2 {
        is_answered(&asked).await;
        redis.crash();
        all_fail_soon(&asked, |error| matches!(error, StoreError::Unavailable(_))).await;
        eventually("unhealthy", async || !asked.health.is_healthy()).await;
        redis.restart();
        recovers(&asked).await;
    }
    asked.end().await;
}

#[tokio::test]
async fn a_redis_that_hangs_costs_a_deadline_and_is_found_again() {
    let redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(DAY, &redis).await;
    is_answered(&asked).await;
    redis.hang();
    let is_right = |error: &StoreError| matches!(error, StoreError::DeadlineExceeded | StoreError::Unavailable(_));
    all_fail_soon(&asked, is_right).await;
    eventually("given up", async || {
        matches!(ask(&asked).await, Err(StoreError::Unavailable(_)))
    })
    .await;
    all_fail_soon(&asked, |error| matches!(error, StoreError::Unavailable(_))).await;
    redis.go_on();
    recovers(&asked).await;
    asked.end().await;
}

#[tokio::test]
async fn an_idle_connection_that_hangs_is_found_without_calls() {
    let redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(DAY, &redis).await;
    redis.hang();
    eventually("unhealthy", async || !asked.health.is_healthy()).await;
    redis.go_on();
    recovers(&asked).await;
    asked.end().await;
}

#[tokio::test]
async fn calls_at_a_hung_redis_are_bounded() {
    let redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(DAY, &redis).await;
    redis.hang();
    let asking = [Asking(&[("key", "x")], charge(1))];
    let calls = (0..20_000).map(|_| asked.ask_within(DEADLINE, 1_000_000, &asking));
    let answers = futures_util::future::join_all(calls).await;
    let busy = answers
        .iter()
        .filter(|answer| **answer == Err(StoreError::Busy))
        .count();
    assert!(answers.iter().all(Result::is_err));
    assert!(busy >= 20_000 - 2 * 4_096, "only {busy} calls were turned away");
    redis.go_on();
    recovers(&asked).await;
    asked.end().await;
}

#[tokio::test]
async fn starts_without_redis_and_says_so_until_it_is_there() {
    let mut redis = RedisServer::start(&[]);
    redis.crash();
    let asked = Asked::in_redis_at(DAY, &redis.url(), HealthPolicy::UntilReached);
    all_fail_soon(&asked, |error| matches!(error, StoreError::Unavailable(_))).await;
    eventually("a reason", async || !asked.health.failing()[0].1.contains("not ready")).await;
    redis.restart();
    recovers(&asked).await;
    redis.crash();
    all_fail_soon(&asked, |error| matches!(error, StoreError::Unavailable(_))).await;
    assert!(
        asked.health.is_healthy(),
        "once reached, losing it fails calls and not health"
    );
    asked.end().await;
}

#[tokio::test]
async fn over_tcp_cut_connections_are_made_again() {
    let redis = RedisServer::start(&["--requirepass", "pw"]);
    let proxy = Proxy::start(redis.url()).await;
    let url = format!("redis://:pw@127.0.0.1:{}/3", proxy.port);
    let asked = Asked::in_redis_at(DAY, &url, HealthPolicy::WhileConnected);
    asked.connected().await;
    is_answered(&asked).await;
    assert_eq!(redis.ask(&["-a", "pw", "--no-auth-warning", "-n", "3", "DBSIZE"]), "1");
    drop(proxy);
    all_fail_soon(&asked, |error| matches!(error, StoreError::Unavailable(_))).await;
    asked.end().await;
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let redis = RedisServer::start(&["--requirepass", "pw"]);
    let proxy = Proxy::start(redis.url()).await;
    let url = format!("redis://:wrong@127.0.0.1:{}", proxy.port);
    let asked = Asked::in_redis_at(DAY, &url, HealthPolicy::UntilReached);
    eventually("told", async || {
        let why = &asked.health.failing()[0].1;
        why.to_lowercase().contains("password") && !why.contains("wrong@")
    })
    .await;
    asked.end().await;
}

#[tokio::test]
async fn what_redis_refuses_is_said_in_its_words_and_costs_no_connection() {
    let redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(DAY, &redis).await;
    redis.ask(&["RPUSH", "domain_key_x_950400", "a list"]);
    let asking = [Asking(&[("key", "x")], charge(1))];
    let error = asked.ask(1_000_000, &asking).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Rejected(text) if text.contains("WRONGTYPE")),
        "{error}"
    );
    let other = [Asking(&[("key", "y")], charge(1))];
    asked.ask(1_000_000, &other).await.unwrap();

    let huge = [Asking(&[("key", "z")], charge(u64::MAX))];
    let error = asked.ask(1_000_000, &huge).await.unwrap_err();
    assert!(matches!(&error, StoreError::Rejected(_)), "{error}");
    let counted = asked.metrics.to_text();
    assert!(!counted.contains("cx_local_close"), "{counted}");
    asked.end().await;
}

#[tokio::test]
async fn a_demoted_master_is_left() {
    let redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(DAY, &redis).await;
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let asking = [Asking(&[("key", "x")], charge(1))];
    let error = asked.ask(1_000_000, &asking).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Rejected(text) if text.contains("READONLY")),
        "{error}"
    );
    redis.ask(&["REPLICAOF", "NO", "ONE"]);
    recovers(&asked).await;
    asked.end().await;
}

const LIMITS: &str = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: year, requests_per_unit: 1000000}}]";

/// What the program answers over gRPC, and whether it took longer than [`SOON`].
async fn answer(client: &mut RateLimitServiceClient<Channel>) -> (tonic::Code, bool) {
    let began = monotonic_now();
    let answer = client.should_rate_limit(request("d", &[&[("k", "v")]])).await;
    let code = answer.map_or_else(|status| status.code(), |_ok| tonic::Code::Ok);
    (code, began.elapsed() > SOON)
}

/// Asks 100 times; the answers must all be among `codes`, and next to all come soon.
async fn all_are(client: &mut RateLimitServiceClient<Channel>, codes: &[tonic::Code]) {
    let mut late = 0;
    for _ in 0..100 {
        let (code, is_late) = answer(client).await;
        assert!(codes.contains(&code), "{code:?}");
        late += usize::from(is_late);
    }
    assert!(late <= 2, "{late} of 100 answers took longer than {SOON:?}");
}

#[tokio::test]
async fn the_program_answers_soon_while_redis_is_in_trouble_and_counts_on_afterwards() {
    let mut redis = RedisServer::start(&[]);
    let limits = tempfile::tempdir().unwrap();
    std::fs::write(limits.path().join("limits.yaml"), LIMITS).unwrap();
    let program = Program::start(limits.path(), &[("REDIS_URL", &redis.url())]).await;
    program.healthy().await;
    let mut client = program.client().await;
    let asking = program.client().await;
    eventually("answered", async || {
        answer(&mut asking.clone()).await.0 == tonic::Code::Ok
    })
    .await;

    redis.crash();
    all_are(&mut client, &[tonic::Code::Unavailable]).await;
    redis.restart();
    eventually("recovered", async || {
        answer(&mut asking.clone()).await.0 == tonic::Code::Ok
    })
    .await;

    redis.hang();
    all_are(&mut client, &[tonic::Code::DeadlineExceeded, tonic::Code::Unavailable]).await;
    redis.go_on();
    eventually("recovered", async || {
        answer(&mut asking.clone()).await.0 == tonic::Code::Ok
    })
    .await;

    let failed = program
        .counter("ratelimit.service.call.should_rate_limit.redis_error")
        .await;
    let asked = program.counter("ratelimit_server.ShouldRateLimit.total_requests").await;
    let hits = program.counter("ratelimit.service.rate_limit.d.k.total_hits").await;
    assert!(failed >= 200, "{failed}");
    assert_eq!(hits, asked, "what the store failed is counted too");
    let (_, metrics) = program.get("metrics", "/metrics").await;
    let line = format!("ratelimit_service_should_rate_limit_error{{err_type=\"redis_error\"}} {failed}");
    assert!(metrics.contains(&line), "{metrics}");
}

#[tokio::test]
async fn the_program_starts_without_redis_and_says_so() {
    let mut redis = RedisServer::start(&[]);
    redis.crash();
    let limits = tempfile::tempdir().unwrap();
    std::fs::write(limits.path().join("limits.yaml"), LIMITS).unwrap();
    let program = Program::start(limits.path(), &[("REDIS_URL", &redis.url())]).await;
    let (status, why) = program.get("http", "/healthcheck").await;
    assert!(status == 500 && why.contains("redis: "), "{why}");
    all_are(&mut program.client().await, &[tonic::Code::Unavailable]).await;
    redis.restart();
    program.healthy().await;
    let asking = program.client().await;
    eventually("answered", async || {
        answer(&mut asking.clone()).await.0 == tonic::Code::Ok
    })
    .await;
}
