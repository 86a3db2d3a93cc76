//! A second Redis for limits per second, the memory for keys over their limit, and companions that are spared. Numbers
//! are those of our conformance list.

use std::time::Duration;

use ratelimit::counters::StoreError;
use ratelimit::counters::redis::{Address, Companions};
use ratelimit::counters::{Redis, redis::RedisSettings};
use ratelimit_core::{Code, Hits};

use crate::asking::{Answer, Asked, Asking, Parts, charge, settings};
use crate::servers::{RedisServer, eventually, own_address};

const RULES: &str = "domain: domain
descriptors:
- {key: key4, value: value4, rate_limit: {unit: hour, requests_per_unit: 15}}
- {key: key5, value: value5, rate_limit: {unit: hour, requests_per_unit: 14}}
- {key: second, rate_limit: {unit: second, requests_per_unit: 10}}
- {key: shadow, rate_limit: {unit: hour, requests_per_unit: 15}, shadow_mode: true}
";
const NOW: u64 = 1_000_000;
const KEY4: &[(&str, &str)] = &[("key4", "value4")];
const KEY5: &[(&str, &str)] = &[("key5", "value5")];
const SECOND: &[(&str, &str)] = &[("second", "x")];
const SHADOW: &[(&str, &str)] = &[("shadow", "x")];

/// More than any test here fills.
const BYTES: usize = 1024 * 1024;

fn at(redis: &RedisServer) -> RedisSettings {
    settings(Address::parse(&redis.url(), None, "").unwrap())
}

fn start(redis: &RedisServer, parts: &Parts) -> Redis {
    Redis::start(&at(redis), parts.metrics.redis(), parts.component(), &parts.tasks)
}

async fn with_memory(redis: &RedisServer, companions: Companions) -> Asked {
    let store = |parts: &Parts| {
        let store = start(redis, parts).with_over_limit_memory(BYTES, parts.metrics.over_limit());
        store.with_companions(companions)
    };
    Asked::new(RULES, store).connected().await
}

async fn one(asked: &Asked, entries: &[(&str, &str)], hits: Hits) -> Answer {
    asked.ask(NOW, &[Asking(entries, hits)]).await.unwrap().remove(0)
}

/// Adds what an answer adds to total, over, near and within.
fn add(sums: &mut [u64; 4], Answer { outcome, .. }: &Answer) -> [u64; 4] {
    for (sum, more) in sums
        .iter_mut()
        .zip([outcome.total, outcome.over, outcome.near, outcome.within])
    {
        *sum += more;
    }
    *sums
}

/// hit, miss, lookup, entries.
fn memory(asked: &Asked) -> [u64; 4] {
    ["hit", "miss", "lookup", "entry"].map(|name| asked.metric(&format!("ratelimit.localcache.{name}Count")))
}

#[tokio::test]
async fn l1_l2_l3_what_is_known_to_be_over_costs_no_command() {
    let redis = RedisServer::start(own_address(), &[]);
    redis.ask(&["SET", "domain_key4_value4_997200", "10"]);
    let asked = with_memory(&redis, Companions::Charge).await;
    let mut sum = [0; 4];
    // N1 to N3: the counter answers 11, 13, 16.
    let expected = [
        (0, (Code::Ok, 4), [1, 0, 0, 1], [0, 1, 1, 0]),
        (1, (Code::Ok, 2), [2, 0, 1, 2], [0, 2, 2, 0]),
        (2, (Code::OverLimit, 0), [3, 1, 1, 2], [0, 3, 3, 1]),
    ];
    for (others, status, sums, lookups) in expected {
        redis.ask(&["INCRBY", "domain_key4_value4_997200", &others.to_string()]);
        let answer = one(&asked, KEY4, charge(1)).await;
        assert_eq!((answer.code, answer.remaining), status);
        assert_eq!(add(&mut sum, &answer), sums);
        assert_eq!(memory(&asked), lookups, "L1");
    }
    let before = redis.calls("incrby");
    let answer = one(&asked, KEY4, charge(1)).await;
    assert_eq!((answer.code, answer.remaining), (Code::OverLimit, 0), "L2");
    assert_eq!(
        (add(&mut sum, &answer), answer.outcome.over_from_local),
        ([4, 2, 1, 2], 1),
        "L2"
    );
    assert_eq!(memory(&asked), [1, 3, 4, 1], "L2");
    assert_eq!(redis.calls("incrby"), before, "L2");
    let names = asked.parts.metrics.to_text();
    assert_eq!(names.matches("ratelimit.localcache.").count(), 8, "L3");
    asked.end().await;
}

#[tokio::test]
async fn l4_a_shadow_limit_known_to_be_over_passes() {
    let redis = RedisServer::start(own_address(), &[]);
    redis.ask(&["SET", "domain_shadow_x_997200", "15"]);
    let asked = with_memory(&redis, Companions::Charge).await;
    for from_local in [0, 1] {
        let answer = one(&asked, SHADOW, charge(1)).await;
        assert_eq!((answer.code, answer.remaining), (Code::Ok, 0));
        assert_eq!((answer.outcome.over, answer.outcome.shadow), (1, 1));
        assert_eq!(answer.outcome.over_from_local, from_local);
    }
    asked.end().await;
}

#[tokio::test]
async fn l5_without_a_memory_nothing_is_known() {
    let redis = RedisServer::start(own_address(), &[]);
    redis.ask(&["SET", "domain_key4_value4_997200", "15"]);
    let asked = Asked::new(RULES, |parts| start(&redis, parts)).connected().await;
    for _ in 0..2 {
        let answer = one(&asked, KEY4, charge(1)).await;
        assert_eq!((answer.code, answer.outcome.over_from_local), (Code::OverLimit, 0));
    }
    assert_eq!(redis.calls("incrby"), 2);
    assert!(!asked.parts.metrics.to_text().contains("localcache"));
    asked.end().await;
}

#[tokio::test]
async fn a_raised_limit_and_a_refund_unblock_at_once() {
    let redis = RedisServer::start(own_address(), &[]);
    let mut asked = with_memory(&redis, Companions::Charge).await;
    assert_eq!(one(&asked, KEY4, charge(16)).await.code, Code::OverLimit);
    assert_eq!(one(&asked, KEY4, charge(1)).await.outcome.over_from_local, 1);
    asked.reload(&RULES.replace("requests_per_unit: 15", "requests_per_unit: 20"));
    let answer = one(&asked, KEY4, charge(1)).await;
    assert_eq!((answer.code, answer.remaining), (Code::Ok, 3));
    assert_eq!(one(&asked, KEY4, charge(9)).await.code, Code::OverLimit);
    one(&asked, KEY4, charge(10).negated()).await;
    let answer = one(&asked, KEY4, charge(1)).await;
    assert_eq!((answer.code, answer.remaining, memory(&asked)[3]), (Code::Ok, 3, 0));
    asked.end().await;
}

#[tokio::test]
async fn the_memory_is_bounded() {
    let redis = RedisServer::start(own_address(), &[]);
    let rules = "domain: domain\ndescriptors: [{key: key, rate_limit: {unit: hour, requests_per_unit: 0}}]";
    let store = |parts: &Parts| start(&redis, parts).with_over_limit_memory(1, parts.metrics.over_limit());
    let asked = Asked::new(rules, store).connected().await;
    for chunk in 0..100 {
        let values: Vec<_> = (0..200).map(|number| format!("{chunk} {number}")).collect();
        let entries: Vec<_> = values.iter().map(|value| [("key", value.as_str())]).collect();
        let asking: Vec<_> = entries.iter().map(|entries| Asking(entries, charge(1))).collect();
        asked.ask(NOW, &asking).await.unwrap();
    }
    let [_hit, _miss, _lookup, entries] = memory(&asked);
    // 512 KiB at about 90 bytes a key.
    assert!((2_000..6_500).contains(&entries), "{entries}");
    assert_eq!(entries + asked.metric("ratelimit.localcache.evacuateCount"), 20_000);
    asked.end().await;
}

#[tokio::test]
async fn p1_to_p3_companions_of_a_counter_that_would_be_over_are_spared() {
    let redis = RedisServer::start(own_address(), &[]);
    for key in ["domain_key4_value4_997200", "domain_key5_value5_997200"] {
        redis.ask(&["SET", key, "10"]);
    }
    let asked = with_memory(&redis, Companions::Spare).await;
    let (ok, over) = (Code::Ok, Code::OverLimit);
    let mut sums = [[0; 4]; 2];
    let cases = [
        ("P1", 1, [(ok, 4), (ok, 3)], [[1, 0, 0, 1], [1, 0, 0, 1]], [0, 2, 2, 0]),
        ("P2", 2, [(ok, 2), (ok, 1)], [[3, 0, 1, 3], [3, 0, 2, 3]], [0, 4, 4, 0]),
        (
            "P3",
            2,
            [(ok, 2), (over, 0)],
            [[5, 0, 2, 5], [5, 1, 3, 3]],
            [0, 6, 6, 1],
        ),
    ];
    for (name, hits, statuses, expected, lookups) in cases {
        let asking = [Asking(KEY4, charge(hits)), Asking(KEY5, charge(hits))];
        let answers = asked.ask(NOW, &asking).await.unwrap();
        let found: Vec<_> = answers.iter().map(|answer| (answer.code, answer.remaining)).collect();
        assert_eq!(found, statuses, "{name}");
        for (sums, answer) in sums.iter_mut().zip(&answers) {
            add(sums, answer);
        }
        assert_eq!(sums, expected, "{name}");
        assert_eq!(memory(&asked), lookups, "{name}");
    }
    assert_eq!(redis.ask(&["GET", "domain_key4_value4_997200"]), "13");
    assert_eq!(redis.ask(&["GET", "domain_key5_value5_997200"]), "15");
    let left: u32 = redis.ask(&["TTL", "domain_key4_value4_997200"]).parse().unwrap();
    assert!((3_580..=3_600).contains(&left), "{left}");
    // One is known to be over: no look, no charge for either.
    let gets = redis.calls("get");
    asked
        .ask(NOW, &[Asking(KEY4, charge(2)), Asking(KEY5, charge(2))])
        .await
        .unwrap();
    assert_eq!(redis.calls("get"), gets);
    assert_eq!(redis.ask(&["GET", "domain_key4_value4_997200"]), "13");
    assert_eq!(redis.ask(&["GET", "domain_key5_value5_997200"]), "15");
    asked.end().await;
}

#[tokio::test]
async fn r1_limits_per_second_are_counted_elsewhere() {
    let (mut slow, fast) = (
        RedisServer::start(own_address(), &[]),
        RedisServer::start(own_address(), &[]),
    );
    let store = |parts: &Parts| {
        let health = parts.health.component("redis per second");
        let meters = parts.metrics.redis_per_second();
        start(&slow, parts).with_per_second(&at(&fast), meters, health, &parts.tasks)
    };
    let asked = Asked::new(RULES, store).connected().await;
    let asking = [
        Asking(SECOND, charge(3)),
        Asking(KEY4, charge(4)),
        Asking(SECOND, charge(3)),
    ];
    let answers = asked.ask(1_234, &asking).await.unwrap();
    let remaining: Vec<_> = answers.iter().map(|answer| answer.remaining).collect();
    assert_eq!(remaining, [7, 11, 4]);
    assert_eq!(slow.ask(&["KEYS", "*"]), "domain_key4_value4_0");
    assert_eq!((slow.calls("incrby"), fast.calls("incrby")), (1, 2));
    // Each is used where it is needed only, and one that is down fails its own requests.
    slow.crash();
    eventually("unhealthy", async || !asked.parts.health.is_healthy()).await;
    asked.ask(1_234, &[Asking(SECOND, charge(1))]).await.unwrap();
    let error = asked
        .ask_within(Duration::from_millis(15), 1_234, &asking)
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    asked.end().await;
}
