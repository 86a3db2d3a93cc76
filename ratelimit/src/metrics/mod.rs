//! What is counted, and under which names: the only place that names a metric.
//!
//! Counters are plain atomics that only grow; [`Metrics::source`] shows them to a sink of [`crate::stats`]. Those of a
//! rule are found when a configuration is loaded ([`Metrics::rule`]) and reached by the rule's number afterwards, so no
//! request looks up a name. They outlive reloads: the same rule goes on where it was.
//!
//! Names come from configuration. Where a client has a hand in one (rules with `detailed_metric`, overridden limits,
//! unknown domains) there are at most [`CLIENT_NAMES_MAX`]; further ones share `other`.

mod meters;
mod rule;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

pub use self::meters::{MemoryMeters, OverLimitMeters, RedisMeters};
pub use self::rule::RuleCounters;
use crate::counters::StoreError;
use crate::stats::bounded::{Bounded, CLIENT_NAMES_MAX};
use crate::stats::names::{self, sanitised};
use crate::stats::sample::{Reading, Source, Visit};

/// Counters of rules that were ever loaded. Beyond it those of rules no longer in force go first.
const RULES_MAX: usize = 200_000;

/// What names beyond a bound are counted under.
const OTHER: &str = "other";

/// The timer of decisions.
pub const RESPONSE_TIME: &str = "ratelimit_server.ShouldRateLimit.response_time";

/// Every counter of the process.
#[derive(Debug)]
pub struct Metrics {
    rules: Mutex<HashMap<Box<str>, Arc<RuleCounters>>>,
    client_named: Bounded<RuleCounters>,
    unknown_domains: Bounded<AtomicU64>,
    service: [AtomicU64; Event::ALL.len()],
    memory: MemoryMeters,
    redis: RedisMeters,
    redis_per_second: RedisMeters,
    over_limit: OverLimitMeters,
}

/// What happens to a process as a whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A gRPC call for a decision.
    DecisionAsked,
    /// A request that could not be answered because the caller or the configuration is at fault.
    ServiceError,
    /// A request that could not be answered because the store failed. Named after Redis, as dashboards know it.
    RedisError,
    /// Of [`Event::RedisError`]: there was no connection.
    StoreUnavailable,
    /// Of [`Event::RedisError`]: no answer by the deadline.
    StoreDeadlineExceeded,
    /// Of [`Event::RedisError`]: too many calls waited.
    StoreBusy,
    /// Of [`Event::RedisError`]: the memory store was full.
    StoreFull,
    /// Of [`Event::RedisError`]: the store refused a command.
    StoreRejected,
    /// A configuration was put in force.
    ConfigLoaded,
    /// A configuration was refused.
    ConfigRefused,
    /// A refusal that only `SHADOW_MODE` turned into a pass.
    GlobalShadow,
}

impl Event {
    const ALL: [(Self, &'static str); 11] = [
        (Self::DecisionAsked, "ratelimit_server.ShouldRateLimit.total_requests"),
        (
            Self::ServiceError,
            "ratelimit.service.call.should_rate_limit.service_error",
        ),
        (Self::RedisError, "ratelimit.service.call.should_rate_limit.redis_error"),
        (Self::StoreUnavailable, "ratelimit.store.unavailable"),
        (Self::StoreDeadlineExceeded, "ratelimit.store.deadline_exceeded"),
        (Self::StoreBusy, "ratelimit.store.busy"),
        (Self::StoreFull, "ratelimit.store.full"),
        (Self::StoreRejected, "ratelimit.store.rejected"),
        (Self::ConfigLoaded, "ratelimit.service.config_load_success"),
        (Self::ConfigRefused, "ratelimit.service.config_load_error"),
        (Self::GlobalShadow, "ratelimit.service.global_shadow_mode"),
    ];
}

impl From<&StoreError> for Event {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::StoreUnavailable,
            StoreError::DeadlineExceeded => Self::StoreDeadlineExceeded,
            StoreError::Busy => Self::StoreBusy,
            StoreError::Full => Self::StoreFull,
            StoreError::Rejected(_) => Self::StoreRejected,
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            rules: Mutex::default(),
            client_named: Bounded::new(CLIENT_NAMES_MAX, RuleCounters::default()),
            unknown_domains: Bounded::new(CLIENT_NAMES_MAX, AtomicU64::new(0)),
            service: std::array::from_fn(|_| AtomicU64::new(0)),
            memory: MemoryMeters::default(),
            redis: RedisMeters::default(),
            redis_per_second: RedisMeters::default(),
            over_limit: OverLimitMeters::default(),
        }
    }
}

impl Metrics {
    /// Counts one event.
    pub fn count(&self, event: Event) {
        let place = Event::ALL.iter().position(|(known, _)| *known == event);
        if let Some(counter) = place.and_then(|place| self.service.get(place)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a request that the store failed.
    pub fn store_failed(&self, error: &StoreError) {
        self.count(Event::RedisError);
        self.count(Event::from(error));
    }

    /// The counters of a rule, by the name of its statistics. For loading, not for requests.
    #[must_use]
    pub fn rule(&self, stats_key: &str) -> Arc<RuleCounters> {
        let name = sanitised(stats_key);
        let mut rules = self.rules.lock();
        if let Some(known) = rules.get(&*name) {
            return known.clone();
        }
        if rules.len() >= RULES_MAX {
            rules.retain(|_, counters| Arc::strong_count(counters) > 1);
        }
        let counters = Arc::new(RuleCounters::default());
        rules.insert(name.into(), counters.clone());
        counters
    }

    /// The counters of a name that depends on the request.
    #[must_use]
    pub fn client_named(&self, stats_key: &str) -> Arc<RuleCounters> {
        self.client_named.value(&sanitised(stats_key), RuleCounters::default)
    }

    /// Counts a descriptor of a domain that nobody configured.
    pub fn unknown_domain(&self, domain: &str) {
        let counter = self.unknown_domains.value(domain, AtomicU64::default);
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// What the memory store reports to.
    #[must_use]
    pub fn memory(&self) -> MemoryMeters {
        self.memory.clone()
    }

    /// What the Redis store reports to.
    #[must_use]
    pub fn redis(&self) -> RedisMeters {
        self.redis.clone()
    }

    /// What the Redis store for limits per second reports to.
    #[must_use]
    pub fn redis_per_second(&self) -> RedisMeters {
        self.redis_per_second.clone()
    }

    /// What the memory for keys over their limit reports to.
    #[must_use]
    pub fn over_limit(&self) -> OverLimitMeters {
        self.over_limit.clone()
    }

    /// Everything, for a sink to read.
    #[must_use]
    pub fn source(self: &Arc<Self>) -> Source {
        let metrics = self.clone();
        Source::new(move |visit| metrics.visit(visit))
    }

    /// Everything that is not zero, a line each, sorted.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut lines = Vec::new();
        self.visit(&mut |name, reading| match reading {
            Reading::Counter(0) => {}
            Reading::Counter(value) | Reading::Gauge(value) => lines.push(format!("{name}: {value}\n")),
        });
        lines.sort_unstable();
        lines.concat()
    }

    fn visit(&self, visit: &mut Visit<'_>) {
        for ((_, name), counter) in Event::ALL.iter().zip(&self.service) {
            visit(name, Reading::Counter(counter.load(Ordering::Relaxed)));
        }
        self.memory.visit(visit);
        self.redis.visit("ratelimit.redis_pool", visit);
        if self.redis_per_second.is_used() {
            self.redis_per_second.visit("ratelimit.redis_per_second_pool", visit);
        }
        self.over_limit.visit(visit);
        for (stats_key, counters) in &*self.rules.lock() {
            counters.visit(stats_key, visit);
        }
        self.client_named
            .for_each(|stats_key, counters| counters.visit(stats_key, visit));
        self.client_named.overflow().visit(OTHER, visit);
        let mut domain = |name: &str, counter: &AtomicU64| {
            visit(
                &names::domain_not_found(name),
                Reading::Counter(counter.load(Ordering::Relaxed)),
            );
        };
        self.unknown_domains.for_each(&mut domain);
        domain(OTHER, self.unknown_domains.overflow());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use ratelimit_core::Outcome;

    use super::*;

    /// The names that are not zero.
    fn counted(metrics: &Metrics) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        metrics.visit(&mut |name, reading| match reading {
            Reading::Counter(0) | Reading::Gauge(0) => {}
            Reading::Counter(value) | Reading::Gauge(value) => {
                found.insert(name.to_owned(), value);
            }
        });
        found
    }

    #[test]
    fn every_event_has_a_counter_of_its_own() {
        let metrics = Metrics::default();
        for (event, _) in Event::ALL {
            metrics.count(event);
        }
        let counted = counted(&metrics);
        assert_eq!(counted.len(), Event::ALL.len());
        assert!(counted.values().all(|count| *count == 1), "{counted:?}");
    }

    #[test]
    fn a_rules_counters_outlive_its_configuration() {
        let metrics = Metrics::default();
        let outcome = Outcome {
            total: 3,
            over: 2,
            within: 1,
            ..Outcome::default()
        };
        metrics.rule("domain.ip_10.0.0.1").add(&outcome);
        metrics.rule("domain.ip_10.0.0.1").add(&outcome);
        let name = "ratelimit.service.rate_limit.domain.ip_10_0_0_1";
        let expected = [("over_limit", 4), ("total_hits", 6), ("within_limit", 2)];
        let expected = expected.map(|(counter, value)| (format!("{name}.{counter}"), value));
        assert_eq!(counted(&metrics), BTreeMap::from(expected));
    }

    #[test]
    fn names_made_by_clients_are_bounded() {
        let metrics = Metrics::default();
        let outcome = Outcome {
            total: 1,
            ..Outcome::default()
        };
        for number in 0..CLIENT_NAMES_MAX + 5 {
            metrics.client_named(&format!("domain.user_{number}")).add(&outcome);
            metrics.unknown_domain(&format!("domain{number}"));
        }
        let counted = counted(&metrics);
        assert_eq!(counted.len(), 2 * (CLIENT_NAMES_MAX + 1));
        assert_eq!(counted.get("ratelimit.service.rate_limit.other.total_hits"), Some(&5));
        assert_eq!(
            counted.get("ratelimit.service.rate_limit.other.domain_not_found"),
            Some(&5)
        );
    }

    #[test]
    fn a_failure_of_the_store_is_counted_by_kind_too() {
        let metrics = Metrics::default();
        metrics.store_failed(&StoreError::Busy);
        let expected = [
            "ratelimit.service.call.should_rate_limit.redis_error",
            "ratelimit.store.busy",
        ];
        assert_eq!(counted(&metrics).into_keys().collect::<Vec<_>>(), expected);
    }
}
