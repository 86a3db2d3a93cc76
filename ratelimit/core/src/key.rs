//! The text of counter keys: the only place that makes one.
//!
//! The layout is that of envoyproxy/ratelimit, to the byte, so that both can count in one Redis:
//! `<prefix><domain>_<key>_<value>_…_<window start>`. It is not injective (`a_b`,`c` and `a`,`b_c` share a counter) and
//! names neither the unit nor the rule; sharing a Redis with running servers demands exactly that. Counters that need
//! not be shared will get keys of another shape, which starts differently.

use std::fmt;

use crate::{Entry, Window};

/// The name of one counter in one window.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct CounterKey(Box<str>);

impl CounterKey {
    /// The key as a store sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for CounterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the keys of this process are spelled.
#[derive(Clone, Debug, Default)]
pub struct KeyFormat {
    /// Put before every key, for several services on one store.
    pub prefix: Box<str>,
}

impl KeyFormat {
    /// The key of `entries` in `window`. One allocation, of the exact size.
    pub(crate) fn key<'a>(
        &self,
        domain: &str,
        entries: impl Iterator<Item = Entry<'a>> + Clone,
        window: Window,
    ) -> CounterKey {
        let mut digits = itoa::Buffer::new();
        let start = digits.format(window.start);
        let size = entries.clone().fold(0_usize, |size, entry| {
            size.saturating_add(entry.key.len())
                .saturating_add(entry.value.len())
                .saturating_add(2)
        });
        let around = [self.prefix.len(), domain.len(), 1, start.len()]
            .into_iter()
            .fold(0, usize::saturating_add);
        let mut key = String::with_capacity(size.saturating_add(around));
        key.push_str(&self.prefix);
        key.push_str(domain);
        key.push('_');
        for entry in entries {
            key.push_str(entry.key);
            key.push('_');
            key.push_str(entry.value);
            key.push('_');
        }
        key.push_str(start);
        CounterKey(key.into_boxed_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unit, UnixTime};

    #[track_caller]
    fn check(prefix: &str, entries: &[(&str, &str)], unit: Unit, expected: &str) {
        let format = KeyFormat { prefix: prefix.into() };
        let entries = entries.iter().map(|&(key, value)| Entry { key, value });
        let window = Window::containing(UnixTime::from_secs(1_234), unit);
        assert_eq!(format.key("domain", entries, window).as_str(), expected);
    }

    #[test]
    fn keys_are_those_of_envoyproxy_ratelimit() {
        check("", &[("key", "value")], Unit::Second, "domain_key_value_1234");
        check(
            "prefix:",
            &[("key", "value")],
            Unit::Second,
            "prefix:domain_key_value_1234",
        );
        check(
            "",
            &[("key2", "value2"), ("subkey2", "subvalue2")],
            Unit::Minute,
            "domain_key2_value2_subkey2_subvalue2_1200",
        );
        check("", &[("key", "")], Unit::Minute, "domain_key__1200");
        check("", &[], Unit::Minute, "domain_1200");
    }
}
