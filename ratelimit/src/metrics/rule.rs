//! The counters of one rule.

use std::sync::atomic::{AtomicU64, Ordering};

use ratelimit_core::Outcome;

use crate::stats::names::{self, RuleCounter};
use crate::stats::sample::{Reading, Visit};

/// What happened to a rule's hits so far.
#[derive(Debug, Default)]
pub struct RuleCounters {
    total: AtomicU64,
    over: AtomicU64,
    near: AtomicU64,
    over_from_local: AtomicU64,
    within: AtomicU64,
    shadow: AtomicU64,
}

impl RuleCounters {
    /// Adds the outcome of one status.
    pub fn add(&self, outcome: &Outcome) {
        let Outcome {
            total,
            over,
            near,
            within,
            shadow,
            over_from_local,
            refunded: _,
        } = *outcome;
        let additions = [
            (&self.total, total),
            (&self.over, over),
            (&self.near, near),
            (&self.over_from_local, over_from_local),
            (&self.within, within),
            (&self.shadow, shadow),
        ];
        for (counter, hits) in additions {
            // Most are zero, and a write that changes nothing still takes the cache line from the other cores.
            if hits > 0 {
                counter.fetch_add(hits, Ordering::Relaxed);
            }
        }
    }

    /// Adds hits that were asked for and never answered, because the store failed.
    pub fn add_unanswered(&self, hits: u64) {
        self.total.fetch_add(hits, Ordering::Relaxed);
    }

    pub(super) fn visit(&self, stats_key: &str, visit: &mut Visit<'_>) {
        let mut name = String::new();
        for counter in RuleCounter::ALL {
            names::write_rule(&mut name, stats_key, counter);
            visit(&name, Reading::Counter(self.value(counter)));
        }
    }

    fn value(&self, counter: RuleCounter) -> u64 {
        let counter = match counter {
            RuleCounter::TotalHits => &self.total,
            RuleCounter::OverLimit => &self.over,
            RuleCounter::NearLimit => &self.near,
            RuleCounter::OverLimitWithLocalCache => &self.over_from_local,
            RuleCounter::WithinLimit => &self.within,
            RuleCounter::ShadowMode => &self.shadow,
        };
        counter.load(Ordering::Relaxed)
    }
}
