//! What the stores report about themselves. Clones are the same meters.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::stats::sample::{Reading, Visit};

/// Of the memory store.
#[derive(Clone, Debug, Default)]
pub struct MemoryMeters(Arc<Memory>);

#[derive(Debug, Default)]
struct Memory {
    keys: AtomicU64,
    refused: AtomicU64,
}

impl MemoryMeters {
    /// How many counters there are now.
    pub fn set_keys(&self, keys: usize) {
        let keys = u64::try_from(keys).unwrap_or(u64::MAX);
        self.0.keys.store(keys, Ordering::Relaxed);
    }

    /// A new counter was refused because the store is full.
    pub fn refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were refused so far.
    #[must_use]
    pub fn refused_count(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    pub(super) fn visit(&self, visit: &mut Visit<'_>) {
        visit(
            "ratelimit.memory.keys",
            Reading::Gauge(self.0.keys.load(Ordering::Relaxed)),
        );
        visit("ratelimit.memory.refused", Reading::Counter(self.refused_count()));
    }
}

/// Of the Redis store. The first three are names of envoyproxy/ratelimit.
#[derive(Clone, Debug, Default)]
pub struct RedisMeters(Arc<Redis>);

#[derive(Debug, Default)]
struct Redis {
    opened: AtomicU64,
    closed: AtomicU64,
    failed: AtomicU64,
}

impl RedisMeters {
    /// A connection was made.
    pub fn connected(&self) {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended.
    pub fn disconnected(&self) {
        self.0.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection could not be made.
    pub fn connect_failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// `pool` is the part of the names before the counter's own.
    pub(super) fn visit(&self, pool: &str, visit: &mut Visit<'_>) {
        // In this order a connection between the two loads is counted as active once more, never as minus one.
        let closed = self.0.closed.load(Ordering::Relaxed);
        let opened = self.0.opened.load(Ordering::Relaxed);
        let failed = self.0.failed.load(Ordering::Relaxed);
        visit(
            &format!("{pool}.cx_active"),
            Reading::Gauge(opened.saturating_sub(closed)),
        );
        visit(&format!("{pool}.cx_total"), Reading::Counter(opened));
        visit(&format!("{pool}.cx_local_close"), Reading::Counter(closed));
        visit(&format!("{pool}.cx_failed"), Reading::Counter(failed));
    }

    /// Whether there was a connection, or an attempt at one.
    pub(super) fn is_used(&self) -> bool {
        self.0.opened.load(Ordering::Relaxed) > 0 || self.0.failed.load(Ordering::Relaxed) > 0
    }
}

/// Of the memory for keys over their limit. Names are those of envoyproxy/ratelimit; they appear once it is in use.
#[derive(Clone, Debug, Default)]
pub struct OverLimitMeters(Arc<OverLimit>);

#[derive(Debug, Default)]
struct OverLimit {
    is_used: AtomicBool,
    lookups: AtomicU64,
    hits: AtomicU64,
    entries: AtomicU64,
    evacuated: AtomicU64,
}

impl OverLimitMeters {
    /// The memory is in use.
    pub fn switch_on(&self) {
        self.0.is_used.store(true, Ordering::Relaxed);
    }

    /// A key was looked for, and was known to be over or not.
    pub fn looked_up(&self, is_known: bool) {
        self.0.lookups.fetch_add(1, Ordering::Relaxed);
        self.0.hits.fetch_add(u64::from(is_known), Ordering::Relaxed);
    }

    /// Some keys were added, and some are gone.
    pub fn changed(&self, added: usize, gone: usize) {
        let count = |number| u64::try_from(number).unwrap_or(0);
        self.0.entries.fetch_add(count(added), Ordering::Relaxed);
        self.0.entries.fetch_sub(count(gone), Ordering::Relaxed);
    }

    /// Some keys were forgotten to make room.
    pub fn evacuated(&self, keys: usize) {
        self.0
            .evacuated
            .fetch_add(u64::try_from(keys).unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn visit(&self, visit: &mut Visit<'_>) {
        if !self.0.is_used.load(Ordering::Relaxed) {
            return;
        }
        // In this order a lookup between the two loads is a miss for a moment, never minus one.
        let hits = self.0.hits.load(Ordering::Relaxed);
        let lookups = self.0.lookups.load(Ordering::Relaxed);
        let gauges = [
            ("hitCount", hits),
            ("missCount", lookups.saturating_sub(hits)),
            ("lookupCount", lookups),
            ("entryCount", self.0.entries.load(Ordering::Relaxed)),
            ("evacuateCount", self.0.evacuated.load(Ordering::Relaxed)),
            // There is nothing here to measure: the window is in the key, and entries are never replaced.
            ("expiredCount", 0),
            ("overwriteCount", 0),
            ("averageAccessTime", 0),
        ];
        for (name, value) in gauges {
            visit(&format!("ratelimit.localcache.{name}"), Reading::Gauge(value));
        }
    }
}
