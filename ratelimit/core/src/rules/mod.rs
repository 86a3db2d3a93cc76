//! Rules, compiled: what every request is matched against.
//!
//! A [`RuleSet`] is built once from all files, or not at all, and never changes. It knows nothing of files, counters
//! or clocks. `build` makes it; `walk` reads it; [`RuleSet::plan`](crate::RuleSet::plan) turns what `walk` found into
//! a plan.

mod build;
mod joined;
mod probes;
mod rule;
mod tree;
mod walk;
mod wildcard;

use std::collections::HashMap;
use std::sync::Arc;

pub use probes::Probes;
pub use rule::{Origin, Rule, RuleId};
use tree::{Children, Nodes};
pub(crate) use walk::Match;

use crate::source::RuleFile;
use crate::{Entry, NearLimitRatio, RuleProblem};

/// How rules are put together and how their answers are read.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuildOptions {
    /// Whether the top levels of files with one domain are put together; otherwise the second is a problem.
    pub merge_domains: bool,
    /// From where hits count as near a limit.
    pub near_limit_ratio: NearLimitRatio,
    /// Modes that change every answer.
    pub modes: GlobalModes,
}

/// Modes of the whole process.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GlobalModes {
    /// `SHADOW_MODE`: no request is refused; what would have been is in the statistics.
    pub shadow: bool,
    /// `QUOTA_MODE`: every limit counts as a quota, and a descriptor without one as a quota that is never used up.
    pub quota: bool,
}

/// All rules of all domains.
#[derive(Debug, Default)]
pub struct RuleSet {
    domains: HashMap<Arc<str>, Children>,
    nodes: Nodes,
    rules: Vec<Rule>,
    options: BuildOptions,
}

impl RuleSet {
    /// Compiles `files`, in this order. All files or none.
    ///
    /// # Errors
    ///
    /// Every problem of every file, in the order in which they are written.
    pub fn build(files: &[RuleFile], options: BuildOptions) -> Result<Self, Vec<RuleProblem>> {
        build::build(files, options)
    }

    /// The domains, in no order.
    #[must_use]
    pub fn domains(&self) -> impl ExactSizeIterator<Item = &str> {
        self.domains.keys().map(|domain| &**domain)
    }

    /// The rules, in configuration order; a rule's place is its [`RuleId`].
    #[must_use]
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.rules.iter()
    }

    /// The rule of this number.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.index())
    }

    /// What matching these entries costs.
    #[must_use]
    pub fn probes(&self, domain: &str, entries: &[Entry<'_>]) -> Probes {
        let mut probes = Probes::default();
        if let Some(root) = self.domains.get(domain) {
            self.walk(root, entries, &mut probes);
        }
        probes
    }

    pub(crate) fn options(&self) -> &BuildOptions {
        &self.options
    }

    /// The tree of a domain, if it is configured.
    pub(crate) fn domain(&self, domain: &str) -> Option<Domain<'_>> {
        self.domains.get(domain).map(|root| Domain { rules: self, root })
    }
}

/// One domain of a [`RuleSet`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Domain<'r> {
    rules: &'r RuleSet,
    root: &'r Children,
}

impl<'r> Domain<'r> {
    /// The rule these entries lead to.
    pub(crate) fn find(self, entries: &[Entry<'_>]) -> Option<Match<'r>> {
        self.rules.walk(self.root, entries, &mut Probes::default())
    }
}
