//! What a sink is fed: one [`Sample`] a name and flush, made from the process's ever-growing counters.
//!
//! [`Deltas`] remembers what was flushed before, so that the counters themselves stay plain atomics that nobody
//! resets. Sinks ([`statsd`](super::statsd), [`Families`](super::families::Families)) take the samples from here; no
//! sink reads a counter itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::tags::Tags;

/// What a name stands at when it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reading {
    /// All that was counted since the name exists.
    Counter(u64),
    /// A value that goes up and down.
    Gauge(u64),
}

/// Takes one name and what it stands at. A name may end in tags, as `memcache.add.__code=success`.
pub type Visit<'v> = dyn FnMut(&str, Reading) + 'v;

/// Where the numbers are: calls the visitor once for each name of the process. Names are bounded by what gives them.
#[derive(Clone)]
pub struct Source(Arc<dyn Fn(&mut Visit<'_>) + Send + Sync>);

impl Source {
    /// A source that is read by `visit_all`.
    pub fn new(visit_all: impl Fn(&mut Visit<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(visit_all))
    }

    /// This source, and one counter more.
    #[must_use]
    pub(super) fn with_counter(self, name: &'static str, counter: Arc<AtomicU64>) -> Self {
        Self::new(move |visit| {
            (self.0)(visit);
            visit(name, Reading::Counter(counter.load(Ordering::Relaxed)));
        })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// One statistic at one flush.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample<'a> {
    /// The name, dots and all, without tags.
    pub name: &'a str,
    /// The tags of every sample, then those of this name.
    pub tags: Cow<'a, Tags>,
    /// What is said about the name.
    pub kind: Kind,
}

/// What a sample says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Counted since the flush before; never 0.
    Counter(u64),
    /// Stands at this now.
    Gauge(u64),
    /// Took this long, once.
    Timer(Duration),
}

impl<'a> Sample<'a> {
    /// A sample of a name that may end in tags, with the tags that every sample has.
    #[must_use]
    pub fn new(full_name: &'a str, common: &'a Tags, kind: Kind) -> Self {
        let (name, own) = Tags::split(full_name);
        let tags = if own.is_empty() {
            Cow::Borrowed(common)
        } else {
            Cow::Owned(common.followed_by(own))
        };
        Self { name, tags, kind }
    }
}

/// Turns totals into what was counted since the flush before.
#[derive(Debug, Default)]
pub struct Deltas {
    seen: HashMap<String, Seen>,
    round: u64,
}

/// A counter that is or was not zero.
#[derive(Debug)]
struct Seen {
    flushed: u64,
    total: u64,
    round: u64,
}

impl Deltas {
    /// Reads the source once: every gauge, then counters that moved, in no order. Names that the source no longer has
    /// are forgotten. A name that it has twice stands at the sum: different texts may be the same name once sanitised.
    pub fn collect(&mut self, source: &Source, common: &Tags, mut each: impl FnMut(Sample<'_>)) {
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        (source.0)(&mut |name, reading| match reading {
            Reading::Gauge(value) => each(Sample::new(name, common, Kind::Gauge(value))),
            Reading::Counter(total) => self.read(name, total),
        });
        self.seen.retain(|_, seen| seen.round == round);
        for (name, seen) in &mut self.seen {
            let delta = seen.delta();
            if delta > 0 {
                each(Sample::new(name, common, Kind::Counter(delta)));
            }
        }
    }

    fn read(&mut self, name: &str, total: u64) {
        let round = self.round;
        if let Some(seen) = self.seen.get_mut(name) {
            let before = if seen.round == round { seen.total } else { 0 };
            seen.total = before.saturating_add(total);
            seen.round = round;
        } else if total > 0 {
            self.seen.insert(
                name.to_owned(),
                Seen {
                    flushed: 0,
                    total,
                    round,
                },
            );
        }
    }
}

impl Seen {
    /// A total below the one before was counted by a new counter: a rule that went and came back.
    fn delta(&mut self) -> u64 {
        let delta = self.total.checked_sub(self.flushed).unwrap_or(self.total);
        self.flushed = self.total;
        delta
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What one flush of these totals says, as `name=delta`.
    fn flush(deltas: &mut Deltas, totals: &[(&'static str, u64)]) -> Vec<String> {
        let totals = totals.to_vec();
        let source = Source::new(move |visit| {
            for (name, total) in &totals {
                visit(name, Reading::Counter(*total));
            }
        });
        let mut said = Vec::new();
        deltas.collect(&source, &Tags::default(), |sample| match sample.kind {
            Kind::Counter(delta) => said.push(format!("{}={delta}", sample.name)),
            Kind::Gauge(_) | Kind::Timer(_) => panic!("a counter became {sample:?}"),
        });
        said.sort();
        said
    }

    #[test]
    fn says_only_what_moved() {
        let mut deltas = Deltas::default();
        assert_eq!(flush(&mut deltas, &[("a", 3), ("b", 0)]), ["a=3"]);
        assert_eq!(flush(&mut deltas, &[("a", 3), ("b", 2)]), ["b=2"]);
        assert_eq!(flush(&mut deltas, &[("a", 10), ("b", 2)]), ["a=7"]);
    }

    #[test]
    fn a_counter_that_began_anew_counts_from_zero() {
        let mut deltas = Deltas::default();
        assert_eq!(flush(&mut deltas, &[("a", 100)]), ["a=100"]);
        assert_eq!(flush(&mut deltas, &[("a", 4)]), ["a=4"]);
        assert_eq!(flush(&mut deltas, &[]), [""; 0]);
        assert_eq!(flush(&mut deltas, &[("a", 5)]), ["a=5"], "forgotten while it was gone");
    }

    /// Domains `a:b` and `a|b` are both `a_b` in names.
    #[test]
    fn a_name_that_is_there_twice_stands_at_the_sum() {
        let mut deltas = Deltas::default();
        assert_eq!(flush(&mut deltas, &[("a", 5), ("a", 3)]), ["a=8"]);
        assert_eq!(flush(&mut deltas, &[("a", 5), ("a", 3)]), [""; 0]);
        assert_eq!(flush(&mut deltas, &[("a", 5), ("a", 4), ("a", 0)]), ["a=1"]);
    }

    #[test]
    fn remembers_no_name_that_never_counted_or_is_gone() {
        let mut deltas = Deltas::default();
        flush(&mut deltas, &[("a", 1), ("b", 0)]);
        assert_eq!(deltas.seen.len(), 1);
        flush(&mut deltas, &[("b", 0)]);
        assert_eq!(deltas.seen.len(), 0);
    }

    #[test]
    fn says_gauges_at_every_flush() {
        let source = Source::new(|visit| visit("pool", Reading::Gauge(0)));
        let said = Mutex::new(Vec::new());
        let mut deltas = Deltas::default();
        for _ in 0..2 {
            deltas.collect(&source, &Tags::default(), |sample| {
                said.lock().unwrap().push(sample.kind);
            });
        }
        assert_eq!(said.into_inner().unwrap(), [Kind::Gauge(0), Kind::Gauge(0)]);
    }

    #[test]
    fn tags_of_a_name_follow_the_common_ones() {
        let common = Tags::extra([("region", "eu")]);
        let sample = Sample::new("memcache.add.__code=success", &common, Kind::Counter(1));
        let tags: Vec<_> = sample.tags.iter().collect();
        assert_eq!(
            (sample.name, tags),
            ("memcache.add", vec![("region", "eu"), ("code", "success")])
        );
    }
}
