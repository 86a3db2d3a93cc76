//! Every metric of the process, by name. Label values come from the configuration or from closed lists, never from
//! clients.

use std::time::Duration;

use extauth_core::KeySource;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

/// What a decision was, for its label.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The request goes on.
    Allow,
    /// It does not.
    Deny,
    /// We failed; the gateway decides.
    Fail,
}

impl Verdict {
    const fn label(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Fail => "fail",
        }
    }
}

/// The label of decisions that no AuthConfig made.
pub const NO_CONFIG: &str = "none";

/// Bounds of the time for one decision, in seconds: a cached token is some microseconds, an RSA one tens.
const CHECK_SECONDS: [f64; 10] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1,
];

/// The metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    decisions: IntCounterVec,
    config_not_found: IntCounter,
    panics: IntCounter,
    check_seconds: Histogram,
    key_set_fetches: IntCounterVec,
    key_set_fetched: GaugeVec,
    key_set_keys: IntGaugeVec,
    config_loads: IntCounterVec,
    config_problems: IntGauge,
    configs: IntGauge,
    started: Gauge,
}

impl Metrics {
    /// Registers everything with a registry of its own.
    ///
    /// # Errors
    /// When two names are equal: a defect that any start shows.
    pub fn new() -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        let check_seconds = HistogramOpts::new("extauth_check_seconds", "Time for one decision.");
        let metrics = Self {
            registry: Registry::new(),
            decisions: counters(
                "extauth_decisions_total",
                "Decisions by AuthConfig, verdict and class of reason.",
                &["config", "verdict", "reason"],
            )?,
            config_not_found: IntCounter::new(
                "extauth_config_not_found_total",
                "Requests that no AuthConfig guards; they are denied.",
            )?,
            panics: IntCounter::new(
                "extauth_panics_total",
                "Pipelines that panicked; their requests are denied.",
            )?,
            check_seconds: Histogram::with_opts(check_seconds.buckets(CHECK_SECONDS.to_vec()))?,
            key_set_fetches: counters(
                "extauth_key_set_fetches_total",
                "Fetches of key sets by outcome.",
                &["key_set", "outcome"],
            )?,
            key_set_fetched: GaugeVec::new(
                Opts::new(
                    "extauth_key_set_fetched_timestamp_seconds",
                    "When a key set was last fetched or confirmed.",
                ),
                &["key_set"],
            )?,
            key_set_keys: IntGaugeVec::new(
                Opts::new("extauth_key_set_keys", "Usable keys of a key set."),
                &["key_set"],
            )?,
            config_loads: counters(
                "extauth_config_loads_total",
                "Loads of the configuration by outcome.",
                &["outcome"],
            )?,
            config_problems: IntGauge::new(
                "extauth_config_problems",
                "Problems of the configuration as its files are now.",
            )?,
            configs: IntGauge::new("extauth_configs", "AuthConfigs in force.")?,
            started: Gauge::new("extauth_start_time_seconds", "When the process started.")?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        self.registry.register(Box::new(self.decisions.clone()))?;
        self.registry.register(Box::new(self.config_not_found.clone()))?;
        self.registry.register(Box::new(self.panics.clone()))?;
        self.registry.register(Box::new(self.check_seconds.clone()))?;
        self.registry.register(Box::new(self.key_set_fetches.clone()))?;
        self.registry.register(Box::new(self.key_set_fetched.clone()))?;
        self.registry.register(Box::new(self.key_set_keys.clone()))?;
        self.registry.register(Box::new(self.config_loads.clone()))?;
        self.registry.register(Box::new(self.config_problems.clone()))?;
        self.registry.register(Box::new(self.configs.clone()))?;
        self.registry.register(Box::new(self.started.clone()))
    }

    /// What is scraped.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// The process has started.
    pub fn started(&self, now: Duration) {
        self.started.set(now.as_secs_f64());
    }

    /// A decision was made by `config`, or by none.
    pub fn decided(&self, config: Option<&str>, verdict: Verdict, reason: &str, took: Duration) {
        let labels = [config.unwrap_or(NO_CONFIG), verdict.label(), reason];
        self.decisions.with_label_values(&labels).inc();
        self.check_seconds.observe(took.as_secs_f64());
    }

    /// No AuthConfig guards a request.
    pub fn config_not_found(&self) {
        self.config_not_found.inc();
    }

    /// A pipeline panicked.
    pub fn panicked(&self) {
        self.panics.inc();
    }

    /// A key set was fetched, or confirmed as it is.
    pub fn key_set_fetched(&self, source: &KeySource, now: Duration) {
        self.key_set_fetches.with_label_values(&[source.as_str(), "ok"]).inc();
        self.key_set_fetched
            .with_label_values(&[source.as_str()])
            .set(now.as_secs_f64());
    }

    /// A key set was not fetched.
    pub fn key_set_failed(&self, source: &KeySource, class: &str) {
        self.key_set_fetches.with_label_values(&[source.as_str(), class]).inc();
    }

    /// How many keys of a set are usable.
    pub fn key_set_keys(&self, source: &KeySource, keys: usize) {
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        self.key_set_keys.with_label_values(&[source.as_str()]).set(keys);
    }

    /// A load put `configs` AuthConfigs in force, and found `problems`.
    pub fn config_loaded(&self, configs: usize, problems: usize) {
        let outcome = if problems == 0 { "ok" } else { "partly" };
        self.config_loads.with_label_values(&[outcome]).inc();
        self.configs.set(i64::try_from(configs).unwrap_or(i64::MAX));
        self.config_problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
    }

    /// A load changed nothing because of `problems`.
    pub fn config_refused(&self, problems: usize) {
        self.config_loads.with_label_values(&["failed"]).inc();
        self.config_problems.set(i64::try_from(problems).unwrap_or(i64::MAX));
    }
}
