//! The key sets that are loaded at one moment, by where they come from. Immutable: a request that began with one ring
//! ends with it, whatever is fetched meanwhile.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::jose::KeySet;

/// Where a key set comes from: a URL.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeySource(Arc<str>);

impl KeySource {
    /// The source at `url`, which the edge has checked.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self(url.into())
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Key sets by source. A source that is absent has no keys to trust: never loaded, or too old.
#[derive(Clone, Debug, Default)]
pub struct KeyRing {
    sets: HashMap<KeySource, Arc<KeySet>>,
}

impl KeyRing {
    /// The set of a source.
    #[must_use]
    pub fn get(&self, source: &KeySource) -> Option<&KeySet> {
        self.sets.get(source).map(Arc::as_ref)
    }

    /// Where the sets come from.
    pub fn sources(&self) -> impl Iterator<Item = &KeySource> {
        self.sets.keys()
    }

    /// This ring with a set replaced.
    #[must_use]
    pub fn with(&self, source: KeySource, set: KeySet) -> Self {
        let mut next = self.clone();
        next.sets.insert(source, Arc::new(set));
        next
    }

    /// This ring without the set of a source.
    #[must_use]
    pub fn without(&self, source: &KeySource) -> Self {
        let mut next = self.clone();
        next.sets.remove(source);
        next
    }
}
