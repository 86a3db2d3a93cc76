//! The story of the demo, demanded: a real Envoy, both services, a real issuer, on the files of `config/`.

#![expect(clippy::unwrap_used, reason = "tests")]

use e2e::stack::{Options, Stack, Store};
use e2e::story;

#[tokio::test]
async fn every_caller_gets_the_right_answer_with_counters_in_memory() {
    told_right(Store::Memory).await;
}

#[tokio::test]
async fn every_caller_gets_the_right_answer_with_counters_in_redis() {
    told_right(Store::Redis).await;
}

async fn told_right(store: Store) {
    let stack = Stack::start(Options::for_test(store)).await.unwrap();
    let mut steps = 0;
    let mut wrong = Vec::new();
    story::tell(&stack.client().unwrap(), &stack.issuer.asks, |step| {
        steps += 1;
        if !step.wrong.is_empty() {
            wrong.push(format!(
                "{} (GET {}): {}",
                step.title,
                step.request.path,
                step.wrong.join("; ")
            ));
        }
    })
    .await
    .unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(steps > 20, "only {steps} steps were told");
    stack.stop().await.unwrap();
}
