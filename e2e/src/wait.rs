//! Waiting for a fact by asking again, never by sleeping for a while and hoping.

use std::time::Duration;

use anyhow::{Result, bail};

/// How long a part may take to start, with a slow and busy machine in mind.
pub const START: Duration = Duration::from_secs(20);
/// The window of the limits in `config/`.
pub const MINUTE: Duration = Duration::from_secs(60);
/// How often a question is asked again.
const AGAIN: Duration = Duration::from_millis(10);

/// Asks until there is an answer.
///
/// # Errors
///
/// There is none within the time, or the question itself failed.
pub async fn until<T>(what: &str, within: Duration, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let asking = async {
        let mut again = tokio::time::interval(AGAIN);
        loop {
            again.tick().await;
            if let Some(answer) = ask().await? {
                return Ok(answer);
            }
        }
    };
    match tokio::time::timeout(within, asking).await {
        Ok(answer) => answer,
        Err(_) => bail!("{what}: not within {within:?}"),
    }
}

/// Waits until at least `room` is left of the current minute, so that a burst of calls falls into one window of a limit per
/// minute. Windows follow the wall clock; nothing but time brings the next one.
pub async fn for_room_in_the_minute(room: Duration) {
    let now = server::clock::unix_now();
    let next = Duration::from_secs(now.as_secs().next_multiple_of(MINUTE.as_secs()));
    let left = next.saturating_sub(now);
    if left < room {
        tokio::time::sleep(left).await;
    }
}
