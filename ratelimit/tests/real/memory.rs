//! What the memory store does at its bound and over time.

use ratelimit::counters::{Counters, StoreError};
use ratelimit_core::{Code, Hits, UnixTime};

use crate::asking::{Asked, Asking, charge};

const RULES: &str = "
domain: domain
descriptors:
  - {key: second, rate_limit: {unit: second, requests_per_unit: 5}}
  - {key: hour, rate_limit: {unit: hour, requests_per_unit: 5}}
";

fn keys(asked: &Asked) -> usize {
    match &asked.counters {
        Counters::Memory(memory) => memory.keys(),
        Counters::Redis(_) => panic!("not in memory"),
    }
}

fn sweep(asked: &Asked, now: u64) {
    match &asked.counters {
        Counters::Memory(memory) => memory.sweep(UnixTime::from_secs(now)),
        Counters::Redis(_) => panic!("not in memory"),
    }
}

#[tokio::test]
async fn a_full_store_refuses_new_keys_and_counts_on_with_the_old() {
    let asked = Asked::in_memory(RULES, 3);
    for value in ["a", "b", "c"] {
        asked
            .ask(7_200, &[Asking(&[("hour", value)], charge(5))])
            .await
            .unwrap();
    }
    let refused = asked.ask(7_200, &[Asking(&[("hour", "d")], charge(1))]).await;
    assert_eq!(refused, Err(StoreError::Full));
    for value in ["a", "b", "c"] {
        let answers = asked
            .ask(7_200, &[Asking(&[("hour", value)], charge(1))])
            .await
            .unwrap();
        assert_eq!(answers[0].code, Code::OverLimit, "{value} was forgotten");
    }
    assert_eq!((keys(&asked), asked.metrics.memory().refused_count()), (3, 1));
    asked.end().await;
}

#[tokio::test]
async fn reading_and_giving_back_take_no_room() {
    let asked = Asked::in_memory(RULES, 0);
    let asking = [
        Asking(&[("hour", "a")], Hits::Peek),
        Asking(&[("hour", "a")], charge(1).negated()),
    ];
    let answers = asked.ask(7_200, &asking).await.unwrap();
    assert!(
        answers
            .iter()
            .all(|answer| answer.code == Code::Ok && answer.remaining == 5)
    );
    assert_eq!(keys(&asked), 0);
    asked.end().await;
}

#[tokio::test]
async fn a_full_store_makes_room_of_windows_that_are_over() {
    let asked = Asked::in_memory(RULES, 2);
    for value in ["a", "b"] {
        asked
            .ask(100, &[Asking(&[("second", value)], charge(1))])
            .await
            .unwrap();
    }
    assert_eq!(
        asked.ask(101, &[Asking(&[("second", "c")], charge(1))]).await,
        Err(StoreError::Full)
    );
    let answers = asked.ask(103, &[Asking(&[("second", "c")], charge(1))]).await.unwrap();
    assert_eq!((answers[0].remaining, keys(&asked)), (4, 1));
    asked.end().await;
}

#[tokio::test]
async fn sweeping_drops_what_is_over_and_nothing_else() {
    let asked = Asked::in_memory(RULES, 10);
    asked
        .ask(
            100,
            &[
                Asking(&[("second", "a")], charge(5)),
                Asking(&[("hour", "a")], charge(5)),
            ],
        )
        .await
        .unwrap();
    sweep(&asked, 102);
    assert_eq!(keys(&asked), 2, "requests of the last second may still be on their way");
    sweep(&asked, 103);
    assert_eq!(keys(&asked), 1);
    sweep(&asked, 3_599);
    let answers = asked.ask(3_599, &[Asking(&[("hour", "a")], charge(1))]).await.unwrap();
    assert_eq!(answers[0].code, Code::OverLimit);
    sweep(&asked, 3_602);
    assert_eq!(keys(&asked), 0);
    asked.end().await;
}

#[tokio::test]
async fn huge_hits_stay_over_the_limit() {
    let asked = Asked::in_memory(RULES, 10);
    for _ in 0..3 {
        let answers = asked
            .ask(100, &[Asking(&[("hour", "a")], charge(u64::MAX))])
            .await
            .unwrap();
        assert_eq!((answers[0].code, answers[0].remaining), (Code::OverLimit, 0));
    }
    asked.end().await;
}
