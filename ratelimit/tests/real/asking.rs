//! Asking the library without a server: rules, a store, and a clock that the test holds.

use std::time::Duration;

use ratelimit::counters::redis::{Address, HealthPolicy, RedisSettings};
use ratelimit::counters::{Counters, Memory, Redis, StoreError};
use ratelimit::metrics::Metrics;
use ratelimit::rules_file::{self, Text};
use ratelimit_core::{
    BuildOptions, Code, CurrentLimit, Descriptor, Entry, Hits, KeyFormat, Outcome, Request, RuleSet, UnixTime,
};
use server::clock::monotonic_now;
use server::health::Health;
use server::shutdown::{Shutdown, Timing};
use server::task::Tasks;

use crate::parts::{RedisServer, eventually};

/// Rules and a store, and whoever keeps the store alive.
pub(crate) struct Asked {
    rules: RuleSet,
    pub(crate) counters: Counters,
    pub(crate) metrics: Metrics,
    pub(crate) health: Health,
    tasks: Tasks,
    shutdown: Shutdown,
}

/// One descriptor: entries and hits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a>(pub(crate) &'a [(&'a str, &'a str)], pub(crate) Hits);

/// What was answered to one descriptor, owned.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) remaining: u32,
    pub(crate) reset_secs: Option<u32>,
    pub(crate) limit: Option<u32>,
    pub(crate) outcome: Outcome,
}

pub(crate) const DAY: &str =
    "domain: domain\ndescriptors: [{key: key, rate_limit: {unit: day, requests_per_unit: 100}}]";

pub(crate) fn charge(hits: u64) -> Hits {
    Hits::resolve(Some(hits), 0)
}

impl Asked {
    /// Counts in memory.
    pub(crate) fn in_memory(yaml: &str, keys_max: usize) -> Self {
        Self::new(yaml, |metrics, _health, _tasks| {
            Counters::Memory(Memory::new(keys_max, metrics.memory()))
        })
    }

    /// Counts in a Redis, and waits for it.
    pub(crate) async fn in_redis(yaml: &str, redis: &RedisServer) -> Self {
        let asked = Self::in_redis_at(yaml, &redis.url(), HealthPolicy::WhileConnected);
        asked.connected().await;
        asked
    }

    pub(crate) fn in_redis_at(yaml: &str, url: &str, policy: HealthPolicy) -> Self {
        let settings = RedisSettings {
            address: Address::parse(url, None, "").unwrap(),
            connections: 2.try_into().unwrap(),
            connect_timeout: Duration::from_secs(1),
            expiry_jitter_max_secs: 0,
            health: policy,
        };
        Self::new(yaml, |metrics, health, tasks| {
            Counters::Redis(Redis::start(
                &settings,
                metrics.redis(),
                health.component("redis"),
                tasks,
            ))
        })
    }

    fn new(yaml: &str, counters: impl FnOnce(&Metrics, &Health, &Tasks) -> Counters) -> Self {
        let text = Text {
            name: "test.yaml",
            bytes: yaml.as_bytes(),
        };
        let rules = rules_file::load([text], BuildOptions::default()).unwrap();
        let shutdown = Shutdown::new(Timing::default());
        let health = Health::new("ratelimit", shutdown.clone());
        let tasks = Tasks::new(shutdown.clone());
        let metrics = Metrics::default();
        let counters = counters(&metrics, &health, &tasks);
        Self {
            rules,
            counters,
            metrics,
            health,
            tasks,
            shutdown,
        }
    }

    pub(crate) async fn connected(&self) {
        eventually("connected", async || self.health.is_healthy()).await;
    }

    /// Asks at a time; gives the store a while to answer.
    pub(crate) async fn ask(&self, now: u64, asking: &[Asking<'_>]) -> Result<Vec<Answer>, StoreError> {
        self.ask_within(Duration::from_secs(10), now, asking).await
    }

    pub(crate) async fn ask_within(
        &self,
        deadline: Duration,
        now: u64,
        asking: &[Asking<'_>],
    ) -> Result<Vec<Answer>, StoreError> {
        let now = UnixTime::from_secs(now);
        let request = Request {
            domain: "domain",
            descriptors: asking
                .iter()
                .map(|Asking(entries, hits)| descriptor(entries, *hits))
                .collect(),
            stated_hits: 0,
        };
        let plan = self.rules.plan(&request, now, &KeyFormat::default());
        let readings = self.counters.apply(&plan, now, monotonic_now() + deadline).await?;
        let decision = plan.decide(&readings, now).unwrap();
        let answers = decision.statuses.iter().map(|status| Answer {
            code: status.code,
            remaining: status.remaining,
            reset_secs: status.reset_secs,
            limit: status
                .limit
                .map(|CurrentLimit { requests_per_unit, .. }| requests_per_unit),
            outcome: status.outcome,
        });
        Ok(answers.collect())
    }

    /// Ends the tasks of the store.
    pub(crate) async fn end(self) {
        self.shutdown.begin();
        self.shutdown.run(&[]).await.unwrap();
        assert_eq!(self.tasks.finished().await, [""; 0]);
    }
}

fn descriptor<'a>(entries: &'a [(&'a str, &'a str)], hits: Hits) -> Descriptor<'a> {
    Descriptor {
        entries: entries.iter().map(|&(key, value)| Entry { key, value }).collect(),
        hits,
        limit: None,
        stated_hits: None,
    }
}
