//! Keeps the key set of one source in the ring: fetch, wait, fetch again. While fetches fail the last good set serves,
//! until it is too old to trust; a good answer without a key drops that key at once.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use extauth_core::KeySource;
use extauth_core::jose::{IgnoredKey, KeySet};
use server::clock::{monotonic_now, unix_now};
use server::health::Component;
use tokio::sync::watch;

use super::Inner;
use super::fetch::{FetchError, Fetched, fetch};
use super::schedule::{after_failures, after_success};
use super::wanted::Wanted;

/// One source and what it needs to be followed.
#[derive(Clone)]
pub(super) struct Follower {
    sets: Arc<Inner>,
    source: KeySource,
    refresh: watch::Receiver<Duration>,
    wanted: Arc<Wanted>,
}

/// What is known of the set between two fetches.
#[derive(Default)]
struct Known {
    etag: Option<Vec<u8>>,
    /// When the set in the ring was last confirmed; `None` if there is none.
    confirmed: Option<Instant>,
    failures: u32,
    /// The keys that were left out of the last set, which has been told.
    ignored: Vec<IgnoredKey>,
}

impl Follower {
    pub(super) const fn new(
        sets: Arc<Inner>,
        source: KeySource,
        refresh: watch::Receiver<Duration>,
        wanted: Arc<Wanted>,
    ) -> Self {
        Self {
            sets,
            source,
            refresh,
            wanted,
        }
    }

    /// Follows until nobody wants the source any more. Dropping it loses only a fetch in flight.
    pub(super) async fn run(mut self) {
        let health = self.sets.health.component(format!("key set {}", self.source));
        let mut known = Known::default();
        loop {
            let fetched = fetch(&self.sets.client, &self.source, known.etag.as_deref()).await;
            let wait = match fetched {
                Ok(fetched) => self.succeeded(fetched, &mut known, &health),
                Err(error) => self.failed(&error, &mut known, &health),
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.wanted.granted() => {}
                changed = self.refresh.changed() => if changed.is_err() { return },
            }
        }
    }

    fn succeeded(&self, fetched: Fetched, known: &mut Known, health: &Component) -> Duration {
        let Fetched { set, etag, max_age } = fetched;
        if let Some(set) = set {
            self.tell_ignored(&set, known);
            tracing::debug!(key_set = %self.source, keys = set.len(), "key set fetched");
            self.sets.metrics.key_set_keys(&self.source, set.len());
            self.sets.put(&self.source, set);
        }
        if known.failures > 0 || known.confirmed.is_none() {
            tracing::info!(key_set = %self.source, "key set loaded");
        }
        self.sets.metrics.key_set_fetched(&self.source, unix_now());
        health.set_healthy();
        known.etag = etag;
        known.confirmed = Some(monotonic_now());
        known.failures = 0;
        after_success(*self.refresh.borrow(), max_age, random())
    }

    fn failed(&self, error: &FetchError, known: &mut Known, health: &Component) -> Duration {
        known.failures = known.failures.saturating_add(1);
        self.sets.metrics.key_set_failed(&self.source, error.class());
        // Once when it begins to fail; how it goes on is in health and metrics.
        if known.failures == 1 {
            tracing::warn!(key_set = %self.source, %error, "cannot fetch a key set");
        }
        let age = known.confirmed.map(|at| monotonic_now().saturating_duration_since(at));
        let left = age.and_then(|age| self.sets.settings.stale_max.checked_sub(age));
        let wait = after_failures(known.failures, random());
        if let Some(left) = left.filter(|left| !left.is_zero()) {
            return wait.min(left);
        }
        if known.confirmed.take().is_some() {
            tracing::error!(key_set = %self.source, "key set is too old to trust, its tokens are denied");
            self.sets.drop_set(&self.source);
            known.etag = None;
        }
        health.set_failing(&error.to_string());
        wait
    }

    /// Tells which keys are not used, once for each list of them.
    fn tell_ignored(&self, set: &KeySet, known: &mut Known) {
        if known.ignored != set.ignored() {
            for IgnoredKey { index, error } in set.ignored() {
                tracing::warn!(key_set = %self.source, index, %error, "a key is left out");
            }
            known.ignored = set.ignored().to_vec();
        }
        if set.is_empty() {
            tracing::warn!(key_set = %self.source, "the key set has no usable key, its tokens are denied");
        }
    }
}

/// A number for jitter. Not for secrets.
fn random() -> u32 {
    let [a, b, c, d, ..] = RandomState::new().hash_one(0_u8).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
