//! The real service on free ports, before a real key set server, driven over gRPC as a gateway does.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod answers;
mod bypasses;
mod files;
mod issuer;
mod key_sets;
mod process;
mod program;
mod requests;

use std::time::Duration;

/// How long anything that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until `check` says yes. What it waits for has no event to wait on.
async fn eventually<F>(what: &str, mut check: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let asking = async {
        while !check().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect(what);
}
