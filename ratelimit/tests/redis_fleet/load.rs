//! One caller after another, with what came of each call and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ratelimit::counters::StoreError;
use ratelimit_core::Hits;
use server::clock::monotonic_now;
use tokio::task::JoinSet;

use crate::asking::{Asked, Asking};
use crate::servers::eventually;

/// What each call may take.
const DEADLINE: Duration = Duration::from_millis(50);

/// What a busy machine may add.
const GRACE: Duration = Duration::from_millis(50);

/// From a new master to the last error.
pub(crate) const SOON: Duration = Duration::from_millis(500);

const CALLERS: usize = 8;

/// Callers that look at one counter, each as fast as it is answered but not above 1,000 times a second.
pub(crate) struct Load {
    calls: Arc<Mutex<Vec<Call>>>,
    is_over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

struct Call {
    began: Instant,
    took: Duration,
    error: Option<StoreError>,
}

impl Call {
    /// A busy machine may hold a call up; it never makes a server unavailable.
    fn is_held_up(&self) -> bool {
        self.error == Some(StoreError::DeadlineExceeded)
    }
}

/// What came of a load.
pub(crate) struct Calls(Vec<Call>);

impl Load {
    pub(crate) fn start(asked: &Arc<Asked>, now: u64, value: &str) -> Self {
        let mut load = Self {
            calls: Arc::default(),
            is_over: Arc::default(),
            callers: JoinSet::new(),
        };
        for _ in 0..CALLERS {
            let (calls, is_over) = (load.calls.clone(), load.is_over.clone());
            load.callers
                .spawn(keep_calling(asked.clone(), now, value.to_owned(), calls, is_over));
        }
        load
    }

    pub(crate) async fn succeeds(&self) {
        self.succeeds_since(monotonic_now()).await;
    }

    pub(crate) async fn succeeds_since(&self, since: Instant) {
        eventually("a call succeeds", async || self.has(since, true)).await;
    }

    pub(crate) async fn fails(&self) {
        let since = monotonic_now();
        eventually("a call fails", async || self.has(since, false)).await;
    }

    /// Goes on for as long as errors may come, and ends.
    pub(crate) async fn end(mut self) -> Calls {
        let until = monotonic_now() + SOON + SOON;
        eventually("a while has passed", async || monotonic_now() > until).await;
        self.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended.unwrap();
        }
        Calls(std::mem::take(&mut *self.calls.lock()))
    }

    fn has(&self, since: Instant, is_ok: bool) -> bool {
        let calls = self.calls.lock();
        calls
            .iter()
            .rev()
            .take_while(|call| call.began >= since)
            .any(|call| call.error.is_none() == is_ok)
    }
}

impl Calls {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Errors of calls that began after this, but for a few calls that were held up.
    pub(crate) fn errors_after(&self, moment: Instant) -> usize {
        let calls = self.0.iter().filter(|call| call.began > moment);
        let (held_up, others): (Vec<_>, Vec<_>) = calls.partition(|call| call.is_held_up());
        let errors = others.iter().filter(|call| call.error.is_some()).count();
        let few = others.len() / 50;
        errors + held_up.len().saturating_sub(few)
    }

    /// Calls that took longer than they may.
    pub(crate) fn late(&self) -> usize {
        self.0.iter().filter(|call| call.took > DEADLINE + GRACE).count()
    }
}

async fn keep_calling(
    asked: Arc<Asked>,
    now: u64,
    value: String,
    calls: Arc<Mutex<Vec<Call>>>,
    is_over: Arc<AtomicBool>,
) {
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    while !is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let call = call(&asked, now, &value).await;
        calls.lock().push(call);
    }
}

async fn call(asked: &Asked, now: u64, value: &str) -> Call {
    let began = monotonic_now();
    let answer = asked
        .ask_within(DEADLINE, now, &[Asking(&[("key", value)], Hits::Peek)])
        .await;
    Call {
        began,
        took: began.elapsed(),
        error: answer.err(),
    }
}
