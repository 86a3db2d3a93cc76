//! One immutable value that is replaced as a whole: readers never wait and never see half a change.
//!
//! A request loads the snapshot once and uses that one value to its end; the reloader stores the next.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// A borrowed snapshot. Take it for a short, synchronous use; keep [`Snapshot::load_owned`] across an await.
pub type Loaded<T> = arc_swap::Guard<Arc<T>>;

/// Holds the current value of type `T`.
pub struct Snapshot<T>(ArcSwap<T>);

impl<T> Snapshot<T> {
    /// Starts with `value`.
    pub fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    /// The current value, without touching a counter shared by all cores.
    pub fn load(&self) -> Loaded<T> {
        self.0.load()
    }

    /// The current value, owned.
    pub fn load_owned(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Replaces the value for all loads that begin after this returns.
    pub fn store(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Snapshot").field(&*self.load()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_was_loaded_while_the_next_value_is_stored() {
        let snapshot = Snapshot::new(1);
        let before = snapshot.load_owned();
        snapshot.store(2);
        assert_eq!((*before, **snapshot.load()), (1, 2));
    }
}
