//! The example this product is about: 1,000 requests a minute for a tenant, 10 of them to the expensive path. Through the
//! program over gRPC, with counters in memory and in Redis.

use std::time::Duration;

use proto::google;
use proto::ratelimit::rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit::Unit};
use proto::ratelimit::{RateLimitResponse, RateLimitServiceClient};
use server::clock::unix_now;
use tonic::transport::Channel;

use crate::parts::RedisServer;
use crate::program::{Program, request};

const LIMITS: &str = "
domain: solo.io
descriptors:
  - key: generic_key
    value: kgateway-system.per-tenant-per-path
    descriptors:
      - key: tenant-id
        rate_limit: {unit: minute, requests_per_unit: 1000}
        descriptors:
          - {key: path, value: /api/v1/expensive, rate_limit: {unit: minute, requests_per_unit: 10}}
";

const EXPENSIVE: &str = "/api/v1/expensive";
const CHEAP: &str = "/api/v1/cheap";

/// Longer than any of the runs below takes.
const RUN_SECS: u64 = 25;

/// What Envoy asks for a request of a tenant to a path.
async fn ask(client: &mut RateLimitServiceClient<Channel>, tenant: &str, path: &str) -> RateLimitResponse {
    let prefix = ("generic_key", "kgateway-system.per-tenant-per-path");
    let tenant = ("tenant-id", tenant);
    let asked = request("solo.io", &[&[prefix, tenant], &[prefix, tenant, ("path", path)]]);
    let mut asked = tonic::Request::new(asked);
    // Generous: this is about counting, on machines that do other things too.
    asked.set_timeout(Duration::from_secs(5));
    client.should_rate_limit(asked).await.unwrap().into_inner()
}

/// Waits for the next minute unless this one has enough left for a run.
async fn in_one_minute() {
    let left = 60 - unix_now().as_secs() % 60;
    if left < RUN_SECS {
        tokio::time::sleep(Duration::from_secs(left)).await;
    }
}

/// A status of a limit per minute; its time to reset is checked apart.
fn counted(code: Code, limit: u32, remaining: u32, reset: Option<google::Duration>) -> DescriptorStatus {
    DescriptorStatus {
        code: code.into(),
        current_limit: Some(RateLimit {
            requests_per_unit: limit,
            unit: Unit::Minute.into(),
            name: String::new(),
        }),
        limit_remaining: remaining,
        duration_until_reset: reset,
        ..DescriptorStatus::default()
    }
}

async fn one_tenants_minute(program: &Program) {
    in_one_minute().await;
    let mut client = program.client().await;
    let client = &mut client;
    for number in 1..=10 {
        assert_eq!(
            ask(client, "A", EXPENSIVE).await.overall_code(),
            Code::Ok,
            "expensive request {number}"
        );
    }
    let eleventh = ask(client, "A", EXPENSIVE).await;
    let reset = eleventh.statuses[0].duration_until_reset;
    let secs = reset.as_ref().unwrap().seconds;
    assert!((1..=60).contains(&secs), "{secs}");
    assert_eq!(eleventh.overall_code(), Code::OverLimit);
    assert_eq!(
        eleventh.statuses,
        [
            counted(Code::Ok, 1_000, 989, reset),
            counted(Code::OverLimit, 10, 0, reset)
        ]
    );

    let bare = DescriptorStatus {
        code: Code::Ok.into(),
        ..DescriptorStatus::default()
    };
    for number in 1..=989 {
        let answer = ask(client, "A", CHEAP).await;
        assert_eq!(
            (answer.overall_code(), &answer.statuses[1]),
            (Code::Ok, &bare),
            "cheap request {number}"
        );
    }
    let next = ask(client, "A", CHEAP).await;
    assert_eq!(
        (next.overall_code(), next.statuses[0].code()),
        (Code::OverLimit, Code::OverLimit),
        "request 1,001"
    );
    let both = ask(client, "A", EXPENSIVE).await;
    assert!(both.statuses.iter().all(|status| status.code() == Code::OverLimit));
    assert_eq!(
        ask(client, "B", EXPENSIVE).await.overall_code(),
        Code::Ok,
        "another tenant"
    );
}

async fn only_cheap_requests(program: &Program) {
    in_one_minute().await;
    let mut client = program.client().await;
    for number in 1..=1_000 {
        assert_eq!(
            ask(&mut client, "C", CHEAP).await.overall_code(),
            Code::Ok,
            "cheap request {number}"
        );
    }
    assert_eq!(ask(&mut client, "C", CHEAP).await.overall_code(), Code::OverLimit);
}

async fn run(environment: &[(&str, &str)]) {
    let limits = tempfile::tempdir().unwrap();
    std::fs::write(limits.path().join("limits.yaml"), LIMITS).unwrap();
    let program = Program::start(limits.path(), environment).await;
    program.healthy().await;
    one_tenants_minute(&program).await;
    only_cheap_requests(&program).await;
    let over = "ratelimit_service_rate_limit_over_limit{domain=\"solo.io\"";
    let (status, metrics) = program.get("metrics", "/metrics").await;
    assert!(
        status == 200 && metrics.contains("# TYPE ratelimit_service_rate_limit_over_limit counter"),
        "{over}"
    );
    assert_eq!(
        program.counter("ratelimit_server.ShouldRateLimit.total_requests").await,
        11 + 989 + 3 + 1_001
    );
}

#[tokio::test]
async fn h4_counts_as_the_example_says_in_memory() {
    run(&[]).await;
}

#[tokio::test]
async fn h4_counts_as_the_example_says_in_redis() {
    let redis = RedisServer::start(&[]);
    run(&[("REDIS_URL", &redis.url()), ("REDIS_SOCKET_TYPE", "unix")]).await;
}

/// Limits per year: no run meets the end of a window.
const YEAR: &str = "domain: d\ndescriptors: [{key: k, rate_limit: {unit: year, requests_per_unit: 100}}]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_redis_admit_exactly_the_limit() {
    let redis = RedisServer::start(&[]);
    let limits = tempfile::tempdir().unwrap();
    std::fs::write(limits.path().join("limits.yaml"), YEAR).unwrap();
    let url = redis.url();
    let environment = [("REDIS_URL", url.as_str()), ("STORE_DEADLINE", "5s")];
    let programs = [
        Program::start(limits.path(), &environment).await,
        Program::start(limits.path(), &environment).await,
    ];
    for program in &programs {
        program.healthy().await;
    }
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..400 {
        let mut client = programs[number % 2].client().await;
        asking.spawn(async move {
            let answer = client.should_rate_limit(request("d", &[&[("k", "v")]])).await.unwrap();
            answer.into_inner().overall_code()
        });
    }
    let codes = asking.join_all().await;
    let admitted = codes.iter().filter(|code| **code == Code::Ok).count();
    assert_eq!((codes.len(), admitted), (400, 100));
    assert_eq!(redis.ask(&["KEYS", "d_k_v_*"]).lines().count(), 1);
}
