//! Whether a token that names an unknown key may start a refetch. Senders choose the names, so this is a budget: one
//! refetch per interval and set, and not for a name that was tried already.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Most names that are remembered as tried; the interval holds also without them.
const TRIED_MAX: usize = 1_024;
/// How many intervals a name is remembered as tried.
const TRIED_INTERVALS: u32 = 10;

/// Unknown keys of one set.
#[derive(Debug)]
pub(super) struct Wanted {
    budget: Mutex<Budget>,
    wake: Notify,
}

#[derive(Debug)]
struct Budget {
    interval: Duration,
    last: Option<Instant>,
    /// Names are kept as hashes under a random key: they are the sender's.
    tried: HashMap<u64, Instant>,
    hasher: RandomState,
}

impl Wanted {
    pub(super) fn new(interval: Duration) -> Self {
        let budget = Budget {
            interval,
            last: None,
            tried: HashMap::new(),
            hasher: RandomState::new(),
        };
        Self {
            budget: Mutex::new(budget),
            wake: Notify::new(),
        }
    }

    /// Asks for a refetch because of `key_id`.
    pub(super) fn ask(&self, key_id: &str, now: Instant) {
        if self.budget.lock().admits(key_id, now) {
            self.wake.notify_one();
        }
    }

    /// Waits until a refetch was granted. Cancel-safe.
    pub(super) async fn granted(&self) {
        self.wake.notified().await;
    }
}

impl Budget {
    fn admits(&mut self, key_id: &str, now: Instant) -> bool {
        let is_within = |then: Instant, time| now.saturating_duration_since(then) < time;
        if self.last.is_some_and(|last| is_within(last, self.interval)) {
            return false;
        }
        let remembered = self.interval.saturating_mul(TRIED_INTERVALS);
        self.tried.retain(|_, then| is_within(*then, remembered));
        let name = self.hasher.hash_one(key_id);
        if self.tried.contains_key(&name) {
            return false;
        }
        if self.tried.len() < TRIED_MAX {
            self.tried.insert(name, now);
        }
        self.last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refetch_per_interval_and_none_for_a_name_tried_before() {
        let interval = Duration::from_secs(30);
        let wanted = Wanted::new(interval);
        let start = server::clock::monotonic_now();
        let admits = |key_id: &str, after: u64| {
            let at = start + Duration::from_secs(after);
            wanted.budget.lock().admits(key_id, at)
        };
        assert!(admits("a", 0));
        assert!((0..1_000).all(|n| !admits(&format!("made-up-{n}"), 1)));
        assert!(!admits("b", 29));
        assert!(!admits("a", 30), "tried before");
        assert!(admits("b", 30));
        assert!(!admits("a", 60));
        assert!(admits("a", 300), "forgotten after ten intervals");
    }

    #[test]
    fn memory_is_bounded() {
        let wanted = Wanted::new(Duration::from_nanos(1));
        let start = server::clock::monotonic_now();
        for n in 0..5_000 {
            wanted
                .budget
                .lock()
                .admits(&n.to_string(), start + Duration::from_nanos(n));
        }
        assert!(wanted.budget.lock().tried.len() <= TRIED_MAX);
    }
}
