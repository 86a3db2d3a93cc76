//! Counters in this process: exact under concurrency, bounded, and never forgetting a live one.
//!
//! A key is hashed once; the hash chooses a shard and the place in it. In a shard counters lie together by the end of
//! their window, so that a window that is over is dropped whole and no key needs a timer. Each charge is one addition
//! under the lock of its shard.
//!
//! When as many counters live as may, a key that is not there yet is refused ([`StoreError::Full`]) and counted in
//! [`MemoryMeters::refused`]; keys that are there go on counting. Dropping one to make room would hand its owner a new
//! budget, and an attacker who can invent keys would choose whose.

use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::Mutex;
use ratelimit_core::{Counted, CounterKey, Hits, Plan, Reading, UnixTime};

use super::{Readings, StoreError};
use crate::metrics::MemoryMeters;

/// How many shards. Far more than cores, so that two requests seldom meet in one.
const SHARDS: usize = 128;

/// How long a window outlives its end. A request that read the clock just before the end may be counted just after it,
/// and must still find what was counted. Longer than any request waits.
const GRACE_SECS: u64 = 2;

/// Counters in memory.
#[derive(Debug)]
pub struct Memory {
    shards: Box<[Mutex<Shard>]>,
    hasher: DefaultHashBuilder,
    keys: AtomicUsize,
    keys_max: usize,
    /// The second of the last sweep that a full store asked for; one a second is enough.
    swept_at: AtomicU64,
    meters: MemoryMeters,
}

/// Windows, in no order: one for each unit in use, and a few that are over.
#[derive(Debug, Default)]
struct Shard(Vec<Window>);

/// The counters whose windows end in the same second.
#[derive(Debug)]
struct Window {
    end: u64,
    counters: HashTable<Counter>,
}

#[derive(Debug)]
struct Counter {
    key: CounterKey,
    value: u64,
}

/// A key that is not there, and no room for it.
struct NoRoom;

impl Memory {
    /// An empty store for at most `keys_max` counters.
    #[must_use]
    pub fn new(keys_max: usize, meters: MemoryMeters) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            keys: AtomicUsize::new(0),
            keys_max,
            swept_at: AtomicU64::new(0),
            meters,
        }
    }

    /// Carries out `plan`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when a counter would be one too many. The charges before it stay made.
    pub fn apply(&self, plan: &Plan<'_>, now: UnixTime) -> Result<Readings, StoreError> {
        plan.charges().map(|counted| self.charge(counted, now)).collect()
    }

    /// Drops the windows that are over. To be called once a second: until then they take up room.
    pub fn sweep(&self, now: UnixTime) {
        for shard in &self.shards {
            // Dropped after the lock is released: freeing a large window takes a while.
            let over = shard.lock().take_over(now);
            let freed = over.iter().map(|window| window.counters.len()).sum();
            self.keys.fetch_sub(freed, Ordering::Relaxed);
        }
        self.meters.set_keys(self.keys());
    }

    /// How many counters there are, those of windows just over included.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    fn charge(&self, counted: &Counted<'_>, now: UnixTime) -> Result<Reading, StoreError> {
        let hash = self.hash(&counted.key);
        let after = self.count(hash, counted).or_else(|NoRoom| {
            self.sweep_once(now);
            self.count(hash, counted)
        });
        let after = after.map_err(|NoRoom| {
            self.meters.refused();
            StoreError::Full
        })?;
        Ok(Reading {
            after,
            known_over: false,
        })
    }

    /// The counter's value after the hits.
    fn count(&self, hash: u64, counted: &Counted<'_>) -> Result<u64, NoRoom> {
        let Some(shard) = self.shard(hash) else {
            return Err(NoRoom);
        };
        let mut shard = shard.lock();
        let window = shard.window(counted.window.end());
        let is_it = |counter: &Counter| counter.key == counted.key;
        let hits = match counted.hits {
            Hits::Charge(hits) => hits,
            Hits::Peek => return Ok(window.counters.find(hash, is_it).map_or(0, |counter| counter.value)),
            Hits::Refund(hits) => return Ok(refund(window.counters.find_mut(hash, is_it), hits)),
        };
        match window.counters.entry(hash, is_it, |counter| self.hash(&counter.key)) {
            Entry::Occupied(mut found) => {
                let counter = found.get_mut();
                counter.value = counter.value.saturating_add(hits.get());
                Ok(counter.value)
            }
            Entry::Vacant(place) => {
                self.take_room()?;
                place.insert(Counter {
                    key: counted.key.clone(),
                    value: hits.get(),
                });
                Ok(hits.get())
            }
        }
    }

    fn take_room(&self) -> Result<(), NoRoom> {
        let one_more = |keys: usize| keys.checked_add(1).filter(|keys| *keys <= self.keys_max);
        let taken = self.keys.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.map(|_before| ()).map_err(|_full| NoRoom)
    }

    /// Sweeps unless that was done in this second.
    fn sweep_once(&self, now: UnixTime) {
        if self.swept_at.swap(now.secs(), Ordering::Relaxed) != now.secs() {
            self.sweep(now);
        }
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
    /// The window with this end.
    fn window(&mut self, end: u64) -> &mut Window {
        let place = self.0.iter().position(|window| window.end == end);
        let place = place.unwrap_or_else(|| {
            self.0.push(Window {
                end,
                counters: HashTable::new(),
            });
            self.0.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "found or pushed just above")]
        &mut self.0[place]
    }

    /// Takes out the windows that are over.
    fn take_over(&mut self, now: UnixTime) -> Vec<Window> {
        let is_over = |window: &mut Window| window.end.saturating_add(GRACE_SECS) <= now.secs();
        self.0.extract_if(.., is_over).collect()
    }
}

/// Stops at zero. A counter that is not there has nothing to give back to.
fn refund(counter: Option<&mut Counter>, hits: NonZeroU64) -> u64 {
    counter.map_or(0, |counter| {
        counter.value = counter.value.saturating_sub(hits.get());
        counter.value
    })
}
