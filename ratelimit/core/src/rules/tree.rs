//! The compiled tree: nodes in one arena, each with a table of its children.
//!
//! Children are found by the hash of `key_value`, then among the wildcards, then by the hash of `key`. There is no
//! backtracking: the child found first is the one walked into. Filled by `build`, read by `walk`, never changed after.

use std::hash::RandomState;

use hashbrown::HashTable;

use super::RuleId;
use super::joined::Joined;
use super::probes::Probes;
use super::wildcard::{Wildcards, is_wildcard};
use crate::Entry;
use crate::source::{Sharing, ValueInStats};

/// The index of a node. Numbers grow in configuration order among siblings.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct NodeId(u32);

impl NodeId {
    pub(super) fn from_index(index: usize) -> Option<Self> {
        u32::try_from(index).ok().map(Self)
    }

    fn index(self) -> Option<usize> {
        usize::try_from(self.0).ok()
    }
}

/// One configured descriptor.
#[derive(Debug)]
pub(super) struct Node {
    /// `key`, or `key_value`.
    pub(super) composite: Box<str>,
    pub(super) rule: Option<RuleId>,
    pub(super) sharing: Sharing,
    pub(super) value_in_stats: ValueInStats,
    pub(super) children: Children,
}

/// How a node was found: it decides whether a wildcard's counter is shared and how statistics name the level.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Via {
    /// By `key_value`.
    Exact,
    /// By a wildcard.
    Wildcard,
    /// By `key` alone.
    KeyOnly,
}

/// All nodes of all domains.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    state: RandomState,
}

impl Nodes {
    pub(super) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id.index()?)
    }

    pub(super) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id.index()?)
    }

    /// `None` when there are more nodes than ids.
    pub(super) fn push(&mut self, node: Node) -> Option<NodeId> {
        let id = NodeId::from_index(self.nodes.len())?;
        self.nodes.push(node);
        Some(id)
    }

    fn has_text(&self, id: NodeId, text: &Joined<'_>) -> bool {
        self.get(id).is_some_and(|node| text.equals(&node.composite))
    }
}

/// The children of one node, or of a domain's root.
#[derive(Debug, Default)]
pub(super) struct Children {
    // Boxed: most nodes are leaves, and a leaf should cost a pointer.
    tables: Option<Box<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    by_text: HashTable<NodeId>,
    wildcards: Wildcards,
}

impl Children {
    /// Whether a child has exactly this text, wildcards read as text.
    pub(super) fn contains(&self, composite: &str, nodes: &Nodes) -> bool {
        self.by_text(&Joined::text(composite), nodes, &mut Probes::default())
            .is_some()
    }

    /// Adds a child that is in `nodes` already and whose text no sibling has.
    pub(super) fn insert(&mut self, id: NodeId, nodes: &Nodes) {
        let Some(node) = nodes.get(id) else { return };
        let tables = self.tables.get_or_insert_default();
        let hash = |id: NodeId| {
            nodes
                .get(id)
                .map_or(0, |node| Joined::text(&node.composite).hash(&nodes.state))
        };
        tables.by_text.insert_unique(hash(id), id, |&id| hash(id));
        if is_wildcard(&node.composite) {
            tables.wildcards.insert(&node.composite, id, &nodes.state);
        }
    }

    /// The child an entry leads to. Exact goes before wildcards, wildcards before the key alone.
    pub(super) fn find(&self, entry: Entry<'_>, nodes: &Nodes, probes: &mut Probes) -> Option<(NodeId, Via)> {
        let joined = Joined::entry(entry);
        if let Some(id) = self.by_text(&joined, nodes, probes) {
            return Some((id, Via::Exact));
        }
        if let Some(id) = self.tables.as_ref()?.wildcards.find(&joined, &nodes.state, probes) {
            return Some((id, Via::Wildcard));
        }
        self.by_text(&Joined::text(entry.key), nodes, probes)
            .map(|id| (id, Via::KeyOnly))
    }

    fn by_text(&self, text: &Joined<'_>, nodes: &Nodes, probes: &mut Probes) -> Option<NodeId> {
        let tables = self.tables.as_ref()?;
        probes.lookups = probes.lookups.saturating_add(1);
        let found = tables.by_text.find(text.hash(&nodes.state), |&id| {
            probes.comparisons = probes.comparisons.saturating_add(1);
            nodes.has_text(id, text)
        });
        found.copied()
    }
}
