//! Key sets (JWKS), fetched and refreshed in the background. A request takes what the [`KeyRing`] has and never waits;
//! one that names an unknown key is denied and may start one refetch.
//!
//! `schedule` says when to fetch, `wanted` whether an unknown key may ask for it, `fetch` does it, `follow` puts the
//! three together for one source. A source that several AuthConfigs name is followed once.

mod fetch;
mod follow;
mod schedule;
mod wanted;

pub use fetch::FetchError;
pub use schedule::{REFRESH_DEFAULT, REFRESH_MAX, REFRESH_MIN};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use extauth_core::jose::KeySet;
use extauth_core::{KeyRing, KeySource};
use parking_lot::Mutex;
use server::Snapshot;
use server::clock::monotonic_now;
use server::health::Health;
use server::task::Tasks;
use tokio::sync::watch;

use crate::metrics::Metrics;
use follow::Follower;
use wanted::Wanted;

/// How key sets are fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeySettings {
    /// Time for one fetch.
    pub timeout: Duration,
    /// How long a set that cannot be refreshed is trusted.
    pub stale_max: Duration,
    /// Least time between two refetches of one set for unknown keys.
    pub unknown_key_interval: Duration,
}

impl Default for KeySettings {
    /// Five seconds, a day, thirty seconds.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            stale_max: Duration::from_secs(24 * 60 * 60),
            unknown_key_interval: Duration::from_secs(30),
        }
    }
}

/// The key sets of the process. Clones share them.
#[derive(Clone, Debug)]
pub struct KeySets(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    ring: Snapshot<KeyRing>,
    followed: Mutex<HashMap<KeySource, Followed>>,
    client: reqwest::Client,
    settings: KeySettings,
    health: Health,
    metrics: Arc<Metrics>,
    tasks: Tasks,
}

/// Our end of a follower; dropping `refresh` ends it.
#[derive(Debug)]
struct Followed {
    refresh: watch::Sender<Duration>,
    wanted: Arc<Wanted>,
}

impl KeySets {
    /// No key sets yet.
    ///
    /// # Errors
    /// When the HTTP client cannot be built: no usable certificate authorities, for example.
    pub fn new(
        settings: KeySettings,
        health: Health,
        metrics: Arc<Metrics>,
        tasks: Tasks,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self(Arc::new(Inner {
            ring: Snapshot::new(KeyRing::default()),
            followed: Mutex::default(),
            client: fetch::client(settings.timeout)?,
            settings,
            health,
            metrics,
            tasks,
        })))
    }

    /// The sets loaded now.
    #[must_use]
    pub fn ring(&self) -> Arc<KeyRing> {
        self.0.ring.load_owned()
    }

    /// Follows exactly these sources, each with its refresh interval: starts new ones, forgets others.
    pub fn follow(&self, sources: &BTreeMap<KeySource, Duration>) {
        let mut followed = self.0.followed.lock();
        followed.retain(|source, _| sources.contains_key(source));
        for (source, refresh) in sources {
            if let Some(known) = followed.get(source) {
                known
                    .refresh
                    .send_if_modified(|own| std::mem::replace(own, *refresh) != *refresh);
                continue;
            }
            let (sender, receiver) = watch::channel(*refresh);
            let wanted = Arc::new(Wanted::new(self.0.settings.unknown_key_interval));
            let follower = Follower::new(self.0.clone(), source.clone(), receiver, wanted.clone());
            self.0.tasks.keep_running("key set", move || follower.clone().run());
            followed.insert(
                source.clone(),
                Followed {
                    refresh: sender,
                    wanted,
                },
            );
        }
        let ring = self.0.ring.load_owned();
        let gone = ring.sources().filter(|source| !sources.contains_key(source));
        self.0
            .ring
            .store(gone.fold(KeyRing::clone(&ring), |next, source| next.without(source)));
    }

    /// A token names a key that the set of `source` does not have. Refetches it soon, if the budget allows; never waits.
    pub fn want(&self, source: &KeySource, key_id: &str) {
        let wanted = self
            .0
            .followed
            .lock()
            .get(source)
            .map(|followed| followed.wanted.clone());
        if let Some(wanted) = wanted {
            wanted.ask(key_id, monotonic_now());
        }
    }
}

impl Inner {
    /// Puts a set into the ring, unless its source is no longer followed. The lock of `followed` is every writer's
    /// turn, so that none undoes another's change.
    fn put(&self, source: &KeySource, set: KeySet) {
        let followed = self.followed.lock();
        if followed.contains_key(source) {
            self.ring.store(self.ring.load().with(source.clone(), set));
        }
    }

    /// Takes a set out of the ring.
    fn drop_set(&self, source: &KeySource) {
        let _turn = self.followed.lock();
        self.ring.store(self.ring.load().without(source));
    }
}
