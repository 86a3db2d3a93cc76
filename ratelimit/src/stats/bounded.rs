//! Values by names that clients have a hand in, within a bound.
//!
//! Statistics of rules with `detailed_metric` and of unknown domains have names made of request values. The first
//! [`Bounded`] names get a value of their own; all others share one, and are counted. Lookups of known names share no
//! lock with those of most others.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::RwLock;

/// Most names that clients can make, of all kinds of statistics together unless the operator says otherwise.
pub const CLIENT_NAMES_MAX: usize = 10_000;

/// Enough that cores seldom meet.
const SHARDS: usize = 16;

/// A map that grows up to a bound. Names are never taken out.
#[derive(Debug)]
pub struct Bounded<T> {
    shards: [RwLock<HashMap<Box<str>, Arc<T>>>; SHARDS],
    hasher: RandomState,
    count: AtomicUsize,
    names_max: usize,
    overflow: Arc<T>,
    overflowed: AtomicU64,
}

impl<T> Bounded<T> {
    /// A map of at most `names_max` names; `overflow` is the value that all further names share.
    #[must_use]
    pub fn new(names_max: usize, overflow: T) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            names_max,
            overflow: Arc::new(overflow),
            overflowed: AtomicU64::new(0),
        }
    }

    /// The value of a name, made if there is room, else the shared one.
    pub fn value(&self, name: &str, make: impl FnOnce() -> T) -> Arc<T> {
        let Some(shard) = self.shard(name) else {
            return self.shared();
        };
        if let Some(value) = shard.read().get(name) {
            return Arc::clone(value);
        }
        let mut names = shard.write();
        if let Some(value) = names.get(name) {
            return Arc::clone(value);
        }
        let reserve = |count: usize| (count < self.names_max).then(|| count.saturating_add(1));
        if self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve)
            .is_err()
        {
            return self.shared();
        }
        let value = Arc::new(make());
        names.insert(name.into(), Arc::clone(&value));
        value
    }

    /// Calls `visit` for each name with a value of its own. Takes no lock for longer than one shard.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &T)) {
        for shard in &self.shards {
            for (name, value) in shard.read().iter() {
                visit(name, value);
            }
        }
    }

    /// The value that names without room share.
    #[must_use]
    pub fn overflow(&self) -> &T {
        &self.overflow
    }

    /// How often a name found no room.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// How many names have a value of their own.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether no name has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, name: &str) -> Option<&RwLock<HashMap<Box<str>, Arc<T>>>> {
        let [byte, ..] = self.hasher.hash_one(name).to_le_bytes();
        self.shards.get(usize::from(byte) % SHARDS)
    }

    fn shared(&self) -> Arc<T> {
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        Arc::clone(&self.overflow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_share_one_value() {
        let map = Bounded::new(2, AtomicU64::new(0));
        for name in ["a", "b", "c", "d", "a"] {
            map.value(name, || AtomicU64::new(0)).fetch_add(1, Ordering::Relaxed);
        }
        let mut seen = Vec::new();
        map.for_each(|name, value| seen.push((name.to_owned(), value.load(Ordering::Relaxed))));
        seen.sort();
        assert_eq!(seen, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert_eq!(
            (map.overflow().load(Ordering::Relaxed), map.overflowed(), map.len()),
            (2, 2, 2)
        );
    }

    #[test]
    fn threads_together_stay_within_the_bound() {
        let map = Bounded::new(50, AtomicU64::new(0));
        let count = |thread: usize| {
            for number in 0..200 {
                let name = format!("{}", (number + thread * 50) % 300);
                map.value(&name, || AtomicU64::new(0)).fetch_add(1, Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                scope.spawn(move || count(thread));
            }
        });
        let (mut names, mut total) = (0, map.overflow().load(Ordering::Relaxed));
        map.for_each(|_, value| {
            names += 1;
            total += value.load(Ordering::Relaxed);
        });
        assert_eq!((names, map.len(), total), (50, 50, 800));
    }
}
