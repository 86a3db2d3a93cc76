//! Keys known to be over their limit, so that a flood that is refused anyway costs Redis nothing.
//!
//! With a key goes the value it was seen at, and a counter only grows: it is over for certain while that value is above
//! the limit in force. So a limit that is raised takes effect at once, where envoyproxy/ratelimit refuses until the
//! window ends. What others give back to a counter (a refund, a reset) is seen at the end of its window at the latest.
//!
//! The memory is bounded. Keys lie in two generations; when the young one holds half of what may be held it becomes the
//! old one, and what was old is forgotten. The window is in the key, so nothing needs a timer. A key that was
//! forgotten costs one command, and is remembered again.

use std::hash::BuildHasher as _;
use std::mem;

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;
use ratelimit_core::{Counted, CounterKey, Hits};

use crate::metrics::OverLimitMeters;

/// Far more than cores, so that two requests seldom meet in one.
const SHARDS: usize = 64;

/// The least memory, as in envoyproxy/ratelimit.
const BYTES_MIN: usize = 512 * 1024;

/// What an entry takes beside the bytes of its key: itself, its place in the table, the allocation.
const ENTRY_BYTES: usize = 64;

/// The memory.
#[derive(Debug)]
pub(super) struct OverLimit {
    shards: Box<[Mutex<Shard>]>,
    shard_bytes_max: usize,
    hasher: DefaultHashBuilder,
    meters: OverLimitMeters,
}

#[derive(Debug, Default)]
struct Shard {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    keys: HashTable<Seen>,
    bytes: usize,
}

#[derive(Debug)]
struct Seen {
    key: CounterKey,
    value: u64,
}

impl OverLimit {
    /// A memory of `bytes`, but at least [`BYTES_MIN`].
    pub(super) fn new(bytes: usize, meters: OverLimitMeters) -> Self {
        meters.switch_on();
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            shard_bytes_max: bytes.max(BYTES_MIN) / SHARDS,
            hasher: DefaultHashBuilder::default(),
            meters,
        }
    }

    /// Whether the counter is over for certain. Refunds always have to be made.
    pub(super) fn knows(&self, counted: &Counted<'_>) -> bool {
        if matches!(counted.hits, Hits::Refund(_)) {
            return false;
        }
        let hash = self.hash(&counted.key);
        let value = self
            .shard(hash)
            .and_then(|shard| shard.lock().value(hash, &counted.key));
        let is_known = value.is_some_and(|value| value > limit(counted));
        self.meters.looked_up(is_known);
        is_known
    }

    /// Takes note of what a counter was seen at.
    pub(super) fn learn(&self, counted: &Counted<'_>, value: u64) {
        let is_refund = matches!(counted.hits, Hits::Refund(_));
        let is_over = value > limit(counted) && bytes(&counted.key) <= self.shard_bytes_max / 16;
        if !is_over && !is_refund {
            return;
        }
        let hash = self.hash(&counted.key);
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.lock();
        let removed = shard.remove(hash, &counted.key);
        self.meters.changed(0, removed);
        if !is_over {
            return;
        }
        let rotates = shard.young.bytes > self.shard_bytes_max / 2;
        let forgotten = if rotates { shard.rotate() } else { 0 };
        self.meters.evacuated(forgotten);
        shard.young.insert(hash, &counted.key, value, |key| self.hash(key));
        self.meters.changed(1, forgotten);
    }

    fn hash(&self, key: &CounterKey) -> u64 {
        self.hasher.hash_one(key.as_bytes())
    }

    /// The upper half chooses: tables use the lowest and the highest bits.
    fn shard(&self, hash: u64) -> Option<&Mutex<Shard>> {
        let number = usize::try_from(hash >> 32).unwrap_or(0);
        self.shards.get(number % SHARDS)
    }
}

impl Shard {
    fn value(&self, hash: u64, key: &CounterKey) -> Option<u64> {
        let found = [&self.young, &self.old]
            .into_iter()
            .find_map(|generation| generation.find(hash, key));
        found.map(|seen| seen.value)
    }

    /// How often it was there: once or not at all.
    fn remove(&mut self, hash: u64, key: &CounterKey) -> usize {
        self.young.remove(hash, key).saturating_add(self.old.remove(hash, key))
    }

    /// Forgets the old ones; how many.
    fn rotate(&mut self) -> usize {
        let old = mem::replace(&mut self.old, mem::take(&mut self.young));
        old.keys.len()
    }
}

impl Generation {
    fn find(&self, hash: u64, key: &CounterKey) -> Option<&Seen> {
        self.keys.find(hash, |seen| seen.key == *key)
    }

    fn insert(&mut self, hash: u64, key: &CounterKey, value: u64, hasher: impl Fn(&CounterKey) -> u64) {
        self.bytes = self.bytes.saturating_add(bytes(key));
        let seen = Seen {
            key: key.clone(),
            value,
        };
        self.keys.insert_unique(hash, seen, |seen| hasher(&seen.key));
    }

    fn remove(&mut self, hash: u64, key: &CounterKey) -> usize {
        let Ok(found) = self.keys.find_entry(hash, |seen| seen.key == *key) else {
            return 0;
        };
        found.remove();
        self.bytes = self.bytes.saturating_sub(bytes(key));
        1
    }
}

fn bytes(key: &CounterKey) -> usize {
    key.as_bytes().len().saturating_add(ENTRY_BYTES)
}

fn limit(counted: &Counted<'_>) -> u64 {
    u64::from(counted.rate.requests_per_unit())
}
