//! The limits in force: rules, and for each rule the counters of its statistics.
//!
//! Built as a whole from files and replaced as a whole; a request that holds one sees it to the end. Rules and counters
//! go together so that a decision finds the counters by the rule's number.

use std::sync::Arc;

use ratelimit_core::{BuildOptions, Rule, RuleSet};
use server::reload::Build;
use server::source::SourceFile;

use crate::metrics::{Metrics, RuleCounters};
use crate::rules_file::{self, Text};

/// One version of the configuration.
#[derive(Debug)]
pub struct Limits {
    /// What requests are matched against.
    pub rules: RuleSet,
    /// By [`RuleId`](ratelimit_core::RuleId).
    counters: Box<[Arc<RuleCounters>]>,
}

impl Limits {
    /// Binds rules to their counters.
    #[must_use]
    pub fn new(rules: RuleSet, metrics: &Metrics) -> Self {
        let counters = rules.rules().map(|rule| metrics.rule(rule.stats_key())).collect();
        Self { rules, counters }
    }

    /// The counters of a rule of these limits.
    #[must_use]
    pub fn counters_of(&self, rule: &Rule) -> Option<&RuleCounters> {
        self.counters.get(rule.id().index()).map(Arc::as_ref)
    }
}

/// Builds limits from files, logging what has no effect.
pub fn build<'f>(
    files: impl IntoIterator<Item = &'f SourceFile>,
    options: BuildOptions,
    metrics: &Metrics,
) -> Build<Limits> {
    let texts = files.into_iter().map(|file| Text {
        name: &file.name,
        bytes: &file.bytes,
    });
    let loaded = rules_file::load_with_notices(texts, options);
    for notice in &loaded.notices {
        tracing::warn!("{notice}");
    }
    loaded.rules.map(|rules| Limits::new(rules, metrics)).into()
}
