//! The wildcards of one level, looked up by what they begin and end with.
//!
//! A pattern is text with `*`, each standing for any run of bytes. Patterns are kept by their literal beginning and end;
//! a look-up tries each pair of lengths that occurs, so that it costs what the lengths cost and not what the patterns
//! do. Patterns alike in both (they differ between two stars) are tried one by one, in configuration order.

use std::hash::{BuildHasher, Hasher, RandomState};

use hashbrown::HashTable;

use super::joined::Joined;
use super::probes::Probes;
use super::tree::NodeId;

/// The wildcard children of one node.
#[derive(Debug, Default)]
pub(super) struct Wildcards {
    /// Every pair of lengths that occurs, the one with the earliest pattern first.
    shapes: Vec<Shape>,
    ends: HashTable<Ends>,
}

/// How long the literal beginning and end of some patterns are.
#[derive(Debug)]
struct Shape {
    prefix_len: usize,
    suffix_len: usize,
    /// The earliest pattern of this shape: no later shape can hold an earlier one.
    earliest: NodeId,
}

/// The patterns with one beginning and end, in configuration order.
#[derive(Debug)]
struct Ends {
    prefix: Box<str>,
    suffix: Box<str>,
    patterns: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    /// The literals between stars; they occur in this order, each as early as it can.
    middles: Box<[Box<str>]>,
    node: NodeId,
}

/// Whether a configured text is a wildcard.
pub(super) fn is_wildcard(composite: &str) -> bool {
    composite.contains('*')
}

impl Wildcards {
    /// Adds a pattern. Nodes are numbered in configuration order and must be added in it.
    pub(super) fn insert(&mut self, composite: &str, node: NodeId, state: &RandomState) {
        let mut literals: Vec<&str> = composite.split('*').collect();
        let suffix = literals.pop().unwrap_or_default();
        let mut literals = literals.into_iter();
        let prefix = literals.next().unwrap_or_default();
        let pattern = Pattern {
            middles: literals.filter(|middle| !middle.is_empty()).map(Into::into).collect(),
            node,
        };

        let shape = (prefix.len(), suffix.len());
        if !self
            .shapes
            .iter()
            .any(|known| (known.prefix_len, known.suffix_len) == shape)
        {
            self.shapes.push(Shape {
                prefix_len: shape.0,
                suffix_len: shape.1,
                earliest: node,
            });
        }
        let hash = hash_ends(&Joined::text(prefix), &Joined::text(suffix), state);
        let same = |known: &Ends| &*known.prefix == prefix && &*known.suffix == suffix;
        if let Some(known) = self.ends.find_mut(hash, same) {
            known.patterns.push(pattern);
            return;
        }
        let ends = Ends {
            prefix: prefix.into(),
            suffix: suffix.into(),
            patterns: vec![pattern],
        };
        let rehash = |known: &Ends| hash_ends(&Joined::text(&known.prefix), &Joined::text(&known.suffix), state);
        self.ends.insert_unique(hash, ends, rehash);
    }

    /// The first pattern in configuration order that matches `text`.
    pub(super) fn find(&self, text: &Joined<'_>, state: &RandomState, probes: &mut Probes) -> Option<NodeId> {
        let mut best: Option<NodeId> = None;
        for shape in &self.shapes {
            if best.is_some_and(|best| best < shape.earliest) {
                break;
            }
            let Some(found) = self.find_shape(shape, text, state, probes) else {
                continue;
            };
            if best.is_none_or(|best| found < best) {
                best = Some(found);
            }
        }
        best
    }

    fn find_shape(&self, shape: &Shape, text: &Joined<'_>, state: &RandomState, probes: &mut Probes) -> Option<NodeId> {
        let len = text.len();
        let middle_end = len.checked_sub(shape.suffix_len)?;
        if middle_end < shape.prefix_len {
            return None;
        }
        let prefix = text.part(0, shape.prefix_len);
        let suffix = text.part(middle_end, len);
        probes.lookups = probes.lookups.saturating_add(1);
        let ends = self.ends.find(hash_ends(&prefix, &suffix, state), |known| {
            probes.comparisons = probes.comparisons.saturating_add(1);
            prefix.equals(&known.prefix) && suffix.equals(&known.suffix)
        })?;
        let middle = text.part(shape.prefix_len, middle_end);
        ends.first_containing(middle)
    }
}

impl Ends {
    /// The first pattern whose middles are in `text`. Linear in the text for each pattern tried.
    fn first_containing(&self, text: Joined<'_>) -> Option<NodeId> {
        // Mostly there is one pattern and it has no middle: then the text need not be looked at.
        let first = self.patterns.first()?;
        if first.middles.is_empty() {
            return Some(first.node);
        }
        let text = text.to_text();
        let found = self
            .patterns
            .iter()
            .find(|pattern| contains_in_order(&text, &pattern.middles));
        found.map(|pattern| pattern.node)
    }
}

fn contains_in_order(text: &str, literals: &[Box<str>]) -> bool {
    let mut rest = text;
    literals.iter().all(|literal| match rest.split_once(&**literal) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

fn hash_ends(prefix: &Joined<'_>, suffix: &Joined<'_>, state: &RandomState) -> u64 {
    let mut hasher = state.build_hasher();
    prefix.feed(&mut hasher);
    // No UTF-8 text holds this byte, so that the two cannot run into each other.
    hasher.write_u8(0xff);
    suffix.feed(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entry;

    #[track_caller]
    fn check(patterns: &[&str], key: &str, value: &str, expected: Option<usize>) {
        let state = RandomState::new();
        let mut wildcards = Wildcards::default();
        for (index, pattern) in patterns.iter().enumerate() {
            wildcards.insert(pattern, NodeId::from_index(index).unwrap(), &state);
        }
        let found = wildcards.find(&Joined::entry(Entry { key, value }), &state, &mut Probes::default());
        assert_eq!(found, expected.map(|index| NodeId::from_index(index).unwrap()));
    }

    #[test]
    fn a_star_stands_for_any_run_of_bytes() {
        check(&["k_*"], "k", "", Some(0));
        check(&["k_*"], "k", "anything", Some(0));
        check(&["k_*"], "k_x", "y", Some(0));
        check(&["k_*"], "K", "y", None);
        check(&["*"], "", "", Some(0));
        check(&["k_bar*b"], "k", "barb", Some(0));
        check(&["k_bar*b"], "k", "bara", None);
        check(&["k_bar*b"], "k", "xbarb", None);
    }

    #[test]
    fn the_beginning_and_the_end_may_not_overlap() {
        check(&["k_ab*ba"], "k", "aba", None);
        check(&["k_ab*ba"], "k", "abba", Some(0));
    }

    #[test]
    fn middles_occur_in_order_and_do_not_overlap() {
        check(&["k_foo*bar*baz"], "k", "foobarbaz", Some(0));
        check(&["k_foo*bar*baz"], "k", "foo123baz", None);
        check(&["k_*a*b*"], "k", "xbxa", None);
        check(&["k_*a*b*"], "k", "xaxb", Some(0));
        check(&["k_*ab*ba*"], "k", "aba", None);
        check(&["k_**"], "k", "", Some(0));
    }

    #[test]
    fn the_first_in_configuration_order_wins_whatever_its_shape() {
        check(&["k_a*", "k_ab*"], "k", "abc", Some(0));
        check(&["k_ab*", "k_a*"], "k", "abc", Some(0));
        check(&["k_x*", "k_*c", "k_a*", "k_ab*"], "k", "abc", Some(1));
        check(&["k_a*x*c", "k_a*b*c"], "k", "abc", Some(1));
        check(&["k_a*z", "k_*c", "k_a*c"], "k", "abc", Some(1));
    }
}
