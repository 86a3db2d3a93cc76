//! The compiled tree answers what a naive interpreter of the written rules answers, at a cost that does not grow.
//!
//! The interpreter below reads the rules as text, one sibling after another, and knows no table, hash or index.

#![expect(clippy::unwrap_used, clippy::string_slice, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ratelimit_core::source::{RateLimit, RuleFile, RuleNode, Sharing, Spanned, StatsDetail, ValueInStats};
use ratelimit_core::{BuildOptions, Descriptor, Entry, Hits, KeyFormat, Planned, Request, RuleSet, UnixTime};

// Texts that collide when joined: underscores inside keys and values, stars, prefixes of each other.
const KEYS: &[&str] = &["a", "b", "a_b", "a_", "_", "a*", "ab"];
const VALUES: &[&str] = &[
    "", "a", "b", "b_a", "_", "*", "a*", "*b", "a*b", "*a*", "a*_*b", "_*", "**", "ab",
];

/// One level of what the interpreter walked: the node, and the pattern if it was a wildcard.
struct Level<'n> {
    node: &'n RuleNode,
    via: Via,
}

#[derive(PartialEq)]
enum Via {
    Exact,
    Wildcard,
    KeyOnly,
}

fn composite(node: &RuleNode) -> String {
    if node.value.value.is_empty() {
        node.key.value.clone()
    } else {
        format!("{}_{}", node.key.value, node.value.value)
    }
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|skipped| glob(&pattern[1..], &text[skipped..])),
        Some(c) => text.starts_with(c) && glob(&pattern[1..], &text[1..]),
    }
}

fn naive<'n>(mut level: &'n [RuleNode], entries: &[Entry<'_>]) -> Option<Vec<Level<'n>>> {
    let mut levels = Vec::new();
    for entry in entries {
        let joined = format!("{}_{}", entry.key, entry.value);
        let exact = level
            .iter()
            .find(|node| composite(node) == joined)
            .map(|node| (node, Via::Exact));
        let wildcard = || {
            level
                .iter()
                .find(|node| composite(node).contains('*') && glob(&composite(node), &joined))
        };
        let key_only = || {
            level
                .iter()
                .find(|node| composite(node) == entry.key)
                .map(|node| (node, Via::KeyOnly))
        };
        let (node, via) = exact
            .or_else(|| wildcard().map(|node| (node, Via::Wildcard)))
            .or_else(key_only)?;
        levels.push(Level { node, via });
        level = &node.descriptors;
    }
    levels.last()?.node.rate_limit.is_some().then_some(levels)
}

fn naive_pattern(level: &Level<'_>, key: &str) -> String {
    let text = composite(level.node);
    text.strip_prefix(&format!("{key}_")).unwrap_or(&text).to_owned()
}

fn naive_shared(level: &Level<'_>, key: &str) -> Option<String> {
    (level.via == Via::Wildcard && level.node.sharing.value == Sharing::Shared).then(|| naive_pattern(level, key))
}

fn naive_shared_or_value(level: &Level<'_>, entry: &Entry<'_>) -> String {
    naive_shared(level, entry.key).unwrap_or_else(|| entry.value.to_owned())
}

fn naive_key(levels: &[Level<'_>], entries: &[Entry<'_>]) -> String {
    let pair = |(entry, level): (&Entry<'_>, &Level<'_>)| [entry.key.to_owned(), naive_shared_or_value(level, entry)];
    let parts: Vec<_> = entries.iter().zip(levels).flat_map(pair).collect();
    format!("d_{}_60", parts.join("_"))
}

fn naive_stats_key(levels: &[Level<'_>], entries: &[Entry<'_>]) -> String {
    let pairs = || entries.iter().zip(levels);
    let shared = pairs().any(|(entry, level)| naive_shared(level, entry.key).is_some());
    let detailed = levels.last().unwrap().node.stats_detail == StatsDetail::Entries;
    let level = |(entry, level): (&Entry<'_>, &Level<'_>)| {
        let as_requested = level.node.value_in_stats == ValueInStats::AsRequested;
        let value = match level.via {
            _ if detailed => naive_shared_or_value(level, entry),
            Via::Exact => entry.value.to_owned(),
            Via::Wildcard if as_requested => naive_shared_or_value(level, entry),
            Via::Wildcard => naive_pattern(level, entry.key),
            Via::KeyOnly if as_requested => entry.value.to_owned(),
            Via::KeyOnly => String::new(),
        };
        // Only plain detail keeps the underscore before an empty value.
        let bare = value.is_empty() && (shared || !detailed);
        if bare {
            entry.key.to_owned()
        } else {
            format!("{}_{value}", entry.key)
        }
    };
    let path: Vec<_> = pairs().map(level).collect();
    format!("d.{}", path.join("."))
}

fn nodes(depth: u32) -> BoxedStrategy<Vec<RuleNode>> {
    let children = if depth == 0 {
        Just(Vec::new()).boxed()
    } else {
        nodes(depth - 1)
    };
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let node = (
        prop::sample::select(KEYS),
        prop::sample::select(VALUES),
        flags,
        children,
    );
    let node = node.prop_map(
        |(key, value, (limited, shared, in_stats, detailed), descriptors)| RuleNode {
            key: Spanned::nowhere(key.to_owned()),
            value: Spanned::nowhere(value.to_owned()),
            rate_limit: limited.then(|| RateLimit {
                unit: Spanned::nowhere("minute".to_owned()),
                requests_per_unit: 1,
                ..RateLimit::default()
            }),
            sharing: Spanned::nowhere(if shared && (key.contains('*') || value.contains('*')) {
                Sharing::Shared
            } else {
                Sharing::PerValue
            }),
            value_in_stats: if in_stats {
                ValueInStats::AsRequested
            } else {
                ValueInStats::AsConfigured
            },
            stats_detail: if detailed {
                StatsDetail::Entries
            } else {
                StatsDetail::Rule
            },
            descriptors,
            ..RuleNode::default()
        },
    );
    let distinct = |mut level: Vec<RuleNode>| {
        let mut seen = std::collections::HashSet::new();
        level.retain(|node| seen.insert(composite(node)));
        level
    };
    prop::collection::vec(node, 0..9).prop_map(distinct).boxed()
}

/// Gives each limit the place of its node as a name, so that two sides can say which one they found.
fn name_limits(level: &mut [RuleNode], path: &str) {
    for (index, node) in level.iter_mut().enumerate() {
        let path = format!("{path}/{index}");
        if let Some(limit) = &mut node.rate_limit {
            limit.name = Spanned::nowhere(path.clone());
        }
        name_limits(&mut node.descriptors, &path);
    }
}

fn file(descriptors: Vec<RuleNode>) -> RuleFile {
    RuleFile {
        name: "f".to_owned(),
        domain: Spanned::nowhere("d".to_owned()),
        descriptors,
    }
}

fn requests() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    prop::collection::vec((prop::sample::select(KEYS), prop::sample::select(VALUES)), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5a11_0001),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_compiled_tree_equals_the_naive_interpreter(
        mut level in nodes(2),
        requests in prop::collection::vec(requests(), 1..12),
    ) {
        name_limits(&mut level, "");
        let file = file(level);
        let rules = RuleSet::build(std::slice::from_ref(&file), BuildOptions::default()).unwrap();
        for entries in requests {
            let entries: Vec<_> = entries.into_iter().map(|(key, value)| Entry { key, value }).collect();
            let expected = naive(&file.descriptors, &entries);
            let descriptor =
                Descriptor { entries: entries.iter().copied().collect(), hits: Hits::Peek, limit: None, stated_hits: None };
            let request = Request { domain: "d", descriptors: [descriptor].into_iter().collect(), stated_hits: 0 };
            let plan = rules.plan(&request, UnixTime::from_secs(119), &KeyFormat::default());
            let found = match &plan.planned()[0] {
                Planned::Counted(counted) => Some(counted),
                Planned::Unmatched(_) | Planned::Unlimited(_) => None,
            };
            prop_assert_eq!(found.is_some(), expected.is_some(), "{:?}", &entries);
            let (Some(found), Some(expected)) = (found, expected) else { continue };
            let leaf = expected.last().unwrap().node;
            prop_assert_eq!(found.rule.unwrap().name(), &leaf.rate_limit.as_ref().unwrap().name.value, "{:?}", &entries);
            prop_assert_eq!(found.key.as_str(), naive_key(&expected, &entries));
            prop_assert_eq!(found.stats_key().unwrap().as_str(), naive_stats_key(&expected, &entries), "{:?}", &entries);
        }
    }
}

/// `count` rules of each of four shapes under one key, and as many subtrees.
fn wide(count: u32) -> RuleSet {
    let limited = |key: &str, value: String| RuleNode {
        key: Spanned::nowhere(key.to_owned()),
        value: Spanned::nowhere(value),
        rate_limit: Some(RateLimit {
            unit: Spanned::nowhere("minute".to_owned()),
            ..RateLimit::default()
        }),
        ..RuleNode::default()
    };
    let level = (0..count).flat_map(|n| {
        let n = format!("{n:06}");
        let parent = RuleNode {
            descriptors: vec![limited("sub", n.clone())],
            ..limited("parent", n.clone())
        };
        [
            limited("exact", n.clone()),
            limited("prefix", format!("{n}*")),
            limited("suffix", format!("*{n}")),
            limited(&format!("key{n}"), String::new()),
            parent,
        ]
    });
    RuleSet::build(&[file(level.collect())], BuildOptions::default()).unwrap()
}

#[test]
fn a_look_up_among_100_000_rules_costs_what_it_costs_among_100() {
    let (few, many) = (wide(20), wide(20_000));
    assert_eq!((few.rules().len(), many.rules().len()), (120, 120_000));
    let asked: &[&[(&str, &str)]] = &[
        &[("exact", "000007")],
        &[("exact", "absent")],
        &[("prefix", "000007/x")],
        &[("suffix", "x/000007")],
        &[("key000007", "any")],
        &[("parent", "000007"), ("sub", "000007")],
        &[("parent", "000007"), ("sub", "absent")],
        &[("nothing", "like it")],
    ];
    for entries in asked {
        let entries: Vec<_> = entries.iter().map(|&(key, value)| Entry { key, value }).collect();
        let (in_few, in_many) = (few.probes("d", &entries), many.probes("d", &entries));
        assert_eq!(in_few.lookups, in_many.lookups, "{entries:?}");
        // Two hashes agree in the table's 7-bit tag now and then; a comparison more each time, whatever the size.
        assert!(
            in_many.comparisons <= in_few.comparisons + 8,
            "{entries:?}: {in_few:?} {in_many:?}"
        );
        assert!(in_many.lookups <= 10, "{entries:?}: {in_many:?}");
    }
}
