//! What the stores report about themselves. Clones are the same meters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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

    pub(super) fn visit(&self, visit: &mut Visit<'_>) {
        // In this order a connection between the two loads is counted as active once more, never as minus one.
        let closed = self.0.closed.load(Ordering::Relaxed);
        let opened = self.0.opened.load(Ordering::Relaxed);
        visit(
            "ratelimit.redis_pool.cx_active",
            Reading::Gauge(opened.saturating_sub(closed)),
        );
        visit("ratelimit.redis_pool.cx_total", Reading::Counter(opened));
        visit("ratelimit.redis_pool.cx_local_close", Reading::Counter(closed));
        visit(
            "ratelimit.redis_pool.cx_failed",
            Reading::Counter(self.0.failed.load(Ordering::Relaxed)),
        );
    }
}
