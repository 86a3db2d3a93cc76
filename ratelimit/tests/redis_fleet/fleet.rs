//! Two replicas of ours on one Redis: together they admit exactly the limit, and leave what envoyproxy/ratelimit leaves.

use std::sync::Arc;

use ratelimit::counters::Redis;
use ratelimit::counters::redis::{Address, RedisSettings};
use ratelimit_core::Code;
use tokio::task::JoinSet;

use crate::asking::{Asked, Asking, Parts, charge, settings};
use crate::servers::{RedisServer, own_address};

const RULES: &str = "domain: domain\ndescriptors: [{key: key, rate_limit: {unit: day, requests_per_unit: 1000}}]";
const NOW: u64 = 1_000_000;
const REQUESTS: u64 = 10_000;

#[derive(Clone, Copy)]
enum Memory {
    Off,
    On,
}

async fn replica(redis: &RedisServer, memory: Memory) -> Arc<Asked> {
    let settings = RedisSettings {
        expiry_jitter_max_secs: 300,
        ..settings(Address::parse(&redis.url(), None, "").unwrap())
    };
    let store = |parts: &Parts| {
        let store = Redis::start(&settings, parts.metrics.redis(), parts.component(), &parts.tasks);
        match memory {
            Memory::Off => store,
            Memory::On => store.with_over_limit_memory(0, parts.metrics.over_limit()),
        }
    };
    Arc::new(Asked::new(RULES, store).connected().await)
}

/// How many of the requests, spread over both, are admitted.
async fn admitted(replicas: &[Arc<Asked>; 2]) -> usize {
    let mut asking = JoinSet::new();
    for number in 0..REQUESTS {
        let asked = replicas[usize::from(number % 2 == 0)].clone();
        asking.spawn(async move {
            let answers = asked.ask(NOW, &[Asking(&[("key", "x")], charge(1))]).await.unwrap();
            answers[0].code
        });
    }
    asking
        .join_all()
        .await
        .into_iter()
        .filter(|code| *code == Code::Ok)
        .count()
}

async fn check(memories: [Memory; 2], value: std::ops::RangeInclusive<u64>) {
    let redis = RedisServer::start(own_address(), &[]);
    let replicas = [replica(&redis, memories[0]).await, replica(&redis, memories[1]).await];
    assert_eq!(admitted(&replicas).await, 1_000);
    assert_eq!(redis.ask(&["KEYS", "*"]), "domain_key_x_950400");
    let held = redis.ask(&["GET", "domain_key_x_950400"]).parse().unwrap();
    assert!(value.contains(&held), "{held}");
    let left: u64 = redis.ask(&["TTL", "domain_key_x_950400"]).parse().unwrap();
    assert!((86_340..86_700).contains(&left), "{left}");
    for asked in replicas {
        Arc::into_inner(asked).unwrap().end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_admit_exactly_the_limit() {
    check([Memory::Off, Memory::Off], REQUESTS..=REQUESTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_in_one_or_both_changes_nothing_about_it() {
    check([Memory::Off, Memory::On], 1_001..=REQUESTS).await;
    check([Memory::On, Memory::On], 1_001..=REQUESTS).await;
}
