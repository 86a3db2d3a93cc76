//! Asking the library: rules, a store, and a clock that the test holds.

use std::sync::Arc;
use std::time::Duration;

use ratelimit::counters::redis::{Address, HealthPolicy, RedisSettings};
use ratelimit::counters::{Redis, StoreError};
use ratelimit::metrics::Metrics;
use ratelimit::rules_file::{self, Text};
use ratelimit_core::{BuildOptions, Code, Descriptor, Entry, Hits, KeyFormat, Outcome, Request, RuleSet, UnixTime};
use server::clock::monotonic_now;
use server::health::{Component, Health};
use server::shutdown::{Shutdown, Timing};
use server::task::Tasks;

use crate::servers::eventually;

/// What a store is made with.
pub(crate) struct Parts {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Health,
    pub(crate) tasks: Tasks,
}

/// Rules and a store, and whoever keeps the store alive.
pub(crate) struct Asked {
    rules: RuleSet,
    pub(crate) store: Redis,
    pub(crate) parts: Parts,
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
    pub(crate) outcome: Outcome,
}

pub(crate) const DAY: &str =
    "domain: domain\ndescriptors: [{key: key, rate_limit: {unit: day, requests_per_unit: 100}}]";

pub(crate) fn charge(hits: u64) -> Hits {
    Hits::resolve(Some(hits), 0)
}

pub(crate) fn settings(address: Address) -> RedisSettings {
    RedisSettings {
        address,
        connections: 2.try_into().unwrap(),
        connect_timeout: Duration::from_secs(1),
        expiry_jitter_max_secs: 0,
        health: HealthPolicy::WhileConnected,
    }
}

impl Parts {
    pub(crate) fn component(&self) -> Component {
        self.health.component("redis")
    }
}

impl Asked {
    /// Counts at one address.
    pub(crate) fn at(yaml: &str, address: Address) -> Self {
        Self::new(yaml, |parts| {
            Redis::start(
                &settings(address),
                parts.metrics.redis(),
                parts.component(),
                &parts.tasks,
            )
        })
    }

    pub(crate) fn new(yaml: &str, store: impl FnOnce(&Parts) -> Redis) -> Self {
        let text = Text {
            name: "test.yaml",
            bytes: yaml.as_bytes(),
        };
        let rules = rules_file::load([text], BuildOptions::default()).unwrap();
        let shutdown = Shutdown::new(Timing::default());
        let parts = Parts {
            metrics: Arc::default(),
            health: Health::new("ratelimit", shutdown.clone()),
            tasks: Tasks::new(shutdown.clone()),
        };
        let store = store(&parts);
        Self {
            rules,
            store,
            parts,
            shutdown,
        }
    }

    /// Waits until health says so.
    pub(crate) async fn connected(self) -> Self {
        eventually("connected", async || self.parts.health.is_healthy()).await;
        self
    }

    /// Takes rules that were reloaded.
    pub(crate) fn reload(&mut self, yaml: &str) {
        let text = Text {
            name: "test.yaml",
            bytes: yaml.as_bytes(),
        };
        self.rules = rules_file::load([text], BuildOptions::default()).unwrap();
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
        let readings = self.store.apply(&plan, monotonic_now() + deadline).await?;
        let decision = plan.decide(&readings, now).unwrap();
        let answers = decision.statuses.iter().map(|status| Answer {
            code: status.code,
            remaining: status.remaining,
            outcome: status.outcome,
        });
        Ok(answers.collect())
    }

    /// Why health is bad, of the store.
    pub(crate) fn why_unhealthy(&self) -> String {
        self.parts
            .health
            .failing()
            .into_iter()
            .map(|(_name, why)| why)
            .collect()
    }

    /// The value of a counter or gauge of ours.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.parts.metrics.to_text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// Ends the tasks of the store.
    pub(crate) async fn end(self) {
        self.shutdown.begin();
        self.shutdown.run(&[]).await.unwrap();
        assert_eq!(self.parts.tasks.finished().await, [""; 0]);
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
