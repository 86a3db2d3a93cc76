//! What counters must do, the same for every store. Numbers in names are those of our conformance list.

use std::sync::Arc;

use ratelimit_core::{Code, Hits, Outcome};
use tokio::task::JoinSet;

use crate::asking::{Answer, Asked, Asking, DAY, charge};
use crate::parts::RedisServer;

const RULES: &str = "
domain: domain
descriptors:
  - {key: key4, value: value4, rate_limit: {unit: hour, requests_per_unit: 15}}
  - {key: key, rate_limit: {unit: second, requests_per_unit: 10}}
  - {key: key20, rate_limit: {unit: second, requests_per_unit: 20}}
  - {key: key8, rate_limit: {unit: second, requests_per_unit: 8}}
  - {key: none, rate_limit: {unit: minute, requests_per_unit: 0}}
  - key: key2
    descriptors: [{key: subkey2, rate_limit: {unit: minute, requests_per_unit: 10}}]
  - key: key3
    rate_limit: {unit: hour, requests_per_unit: 10}
    descriptors: [{key: subkey3, rate_limit: {unit: day, requests_per_unit: 10}}]
";

const KEYS_MAX: usize = 100_000;

/// One test for each store: the same steps with an [`Asked`] on it.
macro_rules! on_every_store {
    ($($name:ident: $rules:expr, $steps:path;)*) => {
        mod memory {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let asked = Arc::new(Asked::in_memory($rules, KEYS_MAX));
                $steps(asked.clone()).await;
                Arc::into_inner(asked).unwrap().end().await;
            })*
        }
        mod redis {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let server = RedisServer::start(&[]);
                let asked = Arc::new(Asked::in_redis($rules, &server).await);
                $steps(asked.clone()).await;
                Arc::into_inner(asked).unwrap().end().await;
            })*
        }
    };
}

on_every_store! {
    n1_to_n9_statuses_and_statistics: RULES, statuses_and_statistics;
    n1_to_n3_one_counter_goes_on: RULES, one_counter_goes_on;
    windows_start_anew: RULES, windows;
    a_descriptor_sent_twice_counts_twice: RULES, sent_twice;
    a_peek_charges_nothing_and_is_ok_on_the_limit: RULES, a_peek;
    a_refund_stops_at_zero: RULES, a_refund;
    nothing_is_allowed_of_zero: RULES, zero;
    a_thousand_at_once_admit_exactly_the_limit_fifty_times: DAY, a_thousand_at_once;
}

/// Asks for `before` and then for `hits` of one counter in one request, and looks at the second answer.
async fn check(asked: &Asked, key: (&str, &str), (before, hits): (u64, u64), expected: (Code, u32, [u64; 4])) {
    let now = if key.0 == "key4" { 1_000_000 } else { 1_234 };
    let asking = [Asking(&[key], charge(before)), Asking(&[key], charge(hits))];
    let answers = asked.ask(now, &asking).await.unwrap();
    let Answer {
        code,
        remaining,
        outcome,
        ..
    } = answers[1].clone();
    let (expected_code, expected_remaining, [total, over, near, within]) = expected;
    let expected_outcome = Outcome {
        total,
        over,
        near,
        within,
        ..Outcome::default()
    };
    assert_eq!(
        (code, remaining, outcome),
        (expected_code, expected_remaining, expected_outcome),
        "{key:?}"
    );
}

async fn statuses_and_statistics(asked: Arc<Asked>) {
    use Code::{Ok, OverLimit};
    check(&asked, ("key4", "value4"), (10, 1), (Ok, 4, [1, 0, 0, 1])).await;
    check(&asked, ("key20", "n4"), (2, 3), (Ok, 15, [3, 0, 0, 3])).await;
    check(&asked, ("key8", "n5"), (5, 2), (Ok, 1, [2, 0, 1, 2])).await;
    check(&asked, ("key20", "n6"), (16, 3), (Ok, 1, [3, 0, 3, 3])).await;
    check(&asked, ("key20", "n7"), (19, 3), (OverLimit, 0, [3, 2, 1, 0])).await;
    check(&asked, ("key20", "n8"), (15, 7), (OverLimit, 0, [7, 2, 4, 0])).await;
    check(&asked, ("key", "n9"), (27, 3), (OverLimit, 0, [3, 3, 0, 0])).await;
}

async fn one_counter_goes_on(asked: Arc<Asked>) {
    let key4: &[_] = &[("key4", "value4")];
    let mut sum = Outcome::default();
    let mut found = Vec::new();
    for hits in [10, 1, 1, 1, 1, 1, 1] {
        let answers = asked.ask(1_000_000, &[Asking(key4, charge(hits))]).await.unwrap();
        let Answer {
            code,
            remaining,
            outcome,
            ..
        } = &answers[0];
        if hits == 1 {
            sum.over += outcome.over;
            sum.near += outcome.near;
            sum.within += outcome.within;
        }
        found.push((*code, *remaining, sum.over, sum.near, sum.within));
    }
    let expected = [
        (Code::Ok, 5, 0, 0, 0),
        (Code::Ok, 4, 0, 0, 1),
        (Code::Ok, 3, 0, 0, 2),
        (Code::Ok, 2, 0, 1, 3),
        (Code::Ok, 1, 0, 2, 4),
        (Code::Ok, 0, 0, 3, 5),
        (Code::OverLimit, 0, 1, 3, 5),
    ];
    assert_eq!(found, expected);
}

async fn windows(asked: Arc<Asked>) {
    let key3: &[_] = &[("key3", "value3")];
    let full = asked.ask(1_000_000, &[Asking(key3, charge(11))]).await.unwrap();
    assert_eq!((full[0].code, full[0].reset_secs), (Code::OverLimit, Some(800)));
    let next = asked.ask(1_000_800, &[Asking(key3, charge(1))]).await.unwrap();
    assert_eq!(
        (next[0].code, next[0].remaining, next[0].reset_secs),
        (Code::Ok, 9, Some(3_600))
    );
    let late = asked.ask(1_000_799, &[Asking(key3, charge(1))]).await.unwrap();
    assert_eq!(
        late[0].code,
        Code::OverLimit,
        "who read the clock just before still finds the old window"
    );
}

async fn sent_twice(asked: Arc<Asked>) {
    let twice = [Asking(&[("key", "twice")], charge(6)); 2];
    let answers = asked.ask(1_234, &twice).await.unwrap();
    let codes: Vec<_> = answers.iter().map(|answer| (answer.code, answer.remaining)).collect();
    assert_eq!(codes, [(Code::Ok, 4), (Code::OverLimit, 0)]);
}

async fn a_peek(asked: Arc<Asked>) {
    let key: &[_] = &[("key", "peek")];
    let asking = [
        Asking(key, Hits::Peek),
        Asking(key, charge(10)),
        Asking(key, Hits::Peek),
        Asking(key, charge(1)),
        Asking(key, Hits::Peek),
    ];
    let answers = asked.ask(1_234, &asking).await.unwrap();
    let found: Vec<_> = answers.iter().map(|answer| (answer.code, answer.remaining)).collect();
    let (ok, over) = (Code::Ok, Code::OverLimit);
    assert_eq!(found, [(ok, 10), (ok, 0), (ok, 0), (over, 0), (over, 0)]);
}

async fn a_refund(asked: Arc<Asked>) {
    let key: &[_] = &[("key", "refund")];
    let asking = [
        Asking(key, charge(3).negated()),
        Asking(key, charge(10)),
        Asking(key, charge(4).negated()),
        Asking(key, charge(100).negated()),
        Asking(key, charge(1)),
    ];
    let answers = asked.ask(1_234, &asking).await.unwrap();
    let found: Vec<_> = answers.iter().map(|answer| (answer.code, answer.remaining)).collect();
    assert_eq!(found, [10, 0, 4, 10, 9].map(|remaining| (Code::Ok, remaining)));
}

async fn zero(asked: Arc<Asked>) {
    let answers = asked.ask(1_234, &[Asking(&[("none", "")], charge(1))]).await.unwrap();
    let Answer {
        code,
        remaining,
        limit,
        outcome,
        ..
    } = &answers[0];
    assert_eq!(
        (*code, *remaining, *limit, outcome.over, outcome.near),
        (Code::OverLimit, 0, Some(0), 1, 0)
    );
}

async fn a_thousand_at_once(asked: Arc<Asked>) {
    for round in 0..50 {
        let mut asking = JoinSet::new();
        for _ in 0..1_000 {
            let asked = asked.clone();
            asking.spawn(async move {
                let value = format!("round {round}");
                let answers = asked
                    .ask(1_000_000, &[Asking(&[("key", &value)], charge(1))])
                    .await
                    .unwrap();
                answers[0].code
            });
        }
        let codes = asking.join_all().await;
        let admitted = codes.iter().filter(|code| **code == Code::Ok).count();
        assert_eq!((codes.len(), admitted), (1_000, 100), "round {round}");
    }
}

/// R1, R2, R3: what is in Redis afterwards.
#[tokio::test]
async fn r1_to_r3_keys_values_and_expiry() {
    let redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(RULES, &redis).await;
    let r2: [&[(&str, &str)]; 2] = [&[("key2", "value2")], &[("key2", "value2"), ("subkey2", "subvalue2")]];
    let answers = asked
        .ask(1_234, &[Asking(r2[0], Hits::Peek), Asking(r2[1], charge(11))])
        .await
        .unwrap();
    assert_eq!(
        (answers[0].limit, answers[0].reset_secs, answers[0].code),
        (None, None, Code::Ok),
        "R2 unmatched"
    );
    assert_eq!(
        (answers[1].code, answers[1].reset_secs),
        (Code::OverLimit, Some(26)),
        "R2"
    );

    let r3: [&[(&str, &str)]; 2] = [&[("key3", "value3")], &[("key3", "value3"), ("subkey3", "subvalue3")]];
    asked
        .ask(1_000_000, &[Asking(r3[0], charge(11)), Asking(r3[1], charge(12))])
        .await
        .unwrap();
    let answers = asked
        .ask(1_000_000, &[Asking(r3[0], Hits::Peek), Asking(r3[1], charge(1))])
        .await
        .unwrap();
    let outcomes = answers
        .iter()
        .map(|answer| (answer.code, answer.outcome.total, answer.outcome.over));
    assert_eq!(
        outcomes.collect::<Vec<_>>(),
        [(Code::OverLimit, 0, 0), (Code::OverLimit, 1, 1)],
        "R3"
    );

    for (key, value, expiry) in [
        ("domain_key2_value2_subkey2_subvalue2_1200", "11", 60),
        ("domain_key3_value3_997200", "11", 3_600),
        ("domain_key3_value3_subkey3_subvalue3_950400", "13", 86_400),
    ] {
        let left: i64 = redis.ask(&["TTL", key]).parse().unwrap();
        assert_eq!(redis.ask(&["GET", key]), value, "{key}");
        assert!((expiry - 20..=expiry).contains(&left), "{key} expires in {left} s");
    }
    assert_eq!(redis.ask(&["DBSIZE"]), "3");
    // One INCRBY and one EXPIRE for each charge, nothing for what is unmatched.
    assert_eq!((redis.calls("incrby"), redis.calls("expire")), (5, 5));
    asked.end().await;
}

#[tokio::test]
async fn a_plan_without_charges_does_not_talk_to_redis() {
    let mut redis = RedisServer::start(&[]);
    let asked = Asked::in_redis(RULES, &redis).await;
    redis.crash();
    let answers = asked
        .ask(1_234, &[Asking(&[("unknown", "x")], charge(1))])
        .await
        .unwrap();
    assert_eq!((answers[0].code, answers[0].limit), (Code::Ok, None));
    asked.end().await;
}
