//! From a domain's root along a descriptor's entries to a rule, or to none.
//!
//! The last entry must end on a node with a rule: a descriptor deeper than the configuration has no limit, and neither
//! has one that stops short. Which counter and which statistics the match has is decided by how each level was found.

use smallvec::SmallVec;

use super::probes::Probes;
use super::tree::{Children, Node, Nodes, Via};
use super::{Rule, RuleSet};
use crate::Entry;
use crate::source::{Sharing, StatsDetail, ValueInStats};

/// A rule and the levels that led to it, one for each entry of the descriptor.
#[derive(Debug)]
pub(crate) struct Match<'r> {
    pub(crate) rule: &'r Rule,
    levels: SmallVec<[Level<'r>; 4]>,
}

/// One level of a match.
#[derive(Clone, Copy, Debug)]
struct Level<'r> {
    node: &'r Node,
    via: Via,
}

impl RuleSet {
    /// The rule for `entries`, the tree of `domain` being `root`.
    pub(super) fn walk(&self, root: &Children, entries: &[Entry<'_>], probes: &mut Probes) -> Option<Match<'_>> {
        let nodes: &Nodes = &self.nodes;
        let mut levels = SmallVec::new();
        let mut children = root.find(*entries.first()?, nodes, probes);
        let mut rest = entries.iter().skip(1);
        loop {
            let (id, via) = children?;
            let node = nodes.get(id)?;
            levels.push(Level { node, via });
            let Some(entry) = rest.next() else {
                return Some(Match {
                    rule: self.rule(node.rule?)?,
                    levels,
                });
            };
            children = node.children.find(*entry, nodes, probes);
        }
    }
}

impl Match<'_> {
    /// The entries as the counter's key has them: a shared wildcard stands for the values it matched.
    pub(crate) fn key_entries<'a>(&'a self, entries: &'a [Entry<'a>]) -> impl Iterator<Item = Entry<'a>> + Clone {
        entries.iter().zip(&self.levels).map(|(entry, level)| Entry {
            key: entry.key,
            value: level.shared_pattern(entry.key).unwrap_or(entry.value),
        })
    }

    /// The name of the statistics when it depends on the request; `None` when it is the rule's own.
    pub(crate) fn stats_key(&self, entries: &[Entry<'_>]) -> Option<Box<str>> {
        let levels = || entries.iter().copied().zip(self.levels.iter().copied());
        let is_shared = || levels().any(|(entry, level)| level.shared_pattern(entry.key).is_some());
        let naming = match self.rule.stats_detail() {
            StatsDetail::Rule => Naming::AsMatched,
            StatsDetail::Entries if is_shared() => Naming::EntriesAndPatterns,
            StatsDetail::Entries => Naming::Entries,
        };
        let own = levels().all(|(entry, level)| level.is_configured_as(entry.key, level.value_in(naming, entry)));
        if own {
            return None;
        }
        let mut name = self.rule.domain().to_owned();
        for (entry, level) in levels() {
            name.push('.');
            name.push_str(entry.key);
            if let Some(value) = level.value_in(naming, entry) {
                name.push('_');
                name.push_str(value);
            }
        }
        Some(name.into_boxed_str())
    }
}

/// How statistics name the levels of a match.
#[derive(Clone, Copy, Debug)]
enum Naming {
    /// As configured, with the request's value where `value_to_metric` asks for it.
    AsMatched,
    /// `detailed_metric`: every value, also an empty one.
    Entries,
    /// `detailed_metric` with a shared wildcard on the way: its pattern there, the value elsewhere unless empty.
    EntriesAndPatterns,
}

impl<'r> Level<'r> {
    /// The pattern that stands for the value, when this level is a wildcard whose counter is shared.
    fn shared_pattern(self, key: &str) -> Option<&'r str> {
        match (self.via, self.node.sharing) {
            (Via::Wildcard, Sharing::Shared) => Some(self.pattern(key)),
            (Via::Wildcard, Sharing::PerValue) | (Via::Exact | Via::KeyOnly, _) => None,
        }
    }

    /// The configured text without the request's key before it. A wildcard may also match across the underscore
    /// (`k_*` matches the key `k_x`): then there is no such beginning, and the whole text is used.
    fn pattern(self, key: &str) -> &'r str {
        let composite: &'r str = &self.node.composite;
        composite
            .strip_prefix(key)
            .and_then(|rest| rest.strip_prefix('_'))
            .unwrap_or(composite)
    }

    /// What follows the key in the name of the statistics, if anything does.
    fn value_in<'a>(self, naming: Naming, entry: Entry<'a>) -> Option<&'a str>
    where
        'r: 'a,
    {
        let value = match naming {
            Naming::Entries => return Some(entry.value),
            Naming::EntriesAndPatterns => self.shared_pattern(entry.key).unwrap_or(entry.value),
            Naming::AsMatched => self.value_as_matched(entry),
        };
        Some(value).filter(|value| !value.is_empty())
    }

    fn value_as_matched<'a>(self, entry: Entry<'a>) -> &'a str
    where
        'r: 'a,
    {
        match (self.via, self.node.sharing, self.node.value_in_stats) {
            (Via::Wildcard, Sharing::Shared, _) | (Via::Wildcard, _, ValueInStats::AsConfigured) => {
                self.pattern(entry.key)
            }
            (Via::KeyOnly, _, ValueInStats::AsConfigured) => "",
            (Via::Exact, _, _) | (Via::KeyOnly | Via::Wildcard, _, ValueInStats::AsRequested) => entry.value,
        }
    }

    /// Whether key and value are what the configuration says, so that the rule's own name can stand.
    fn is_configured_as(self, key: &str, value: Option<&str>) -> bool {
        let rest = self.node.composite.strip_prefix(key);
        match value {
            Some(value) => rest.and_then(|rest| rest.strip_prefix('_')) == Some(value),
            None => rest == Some(""),
        }
    }
}
