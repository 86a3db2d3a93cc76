//! One document to a [`RuleFile`], level by level.
//!
//! What is wrong is reported by `cursor` and left out here, so that the rest can still be checked: a limit with a bad
//! unit is no limit, a descriptor with a bad key is none. What the values mean together is not judged here.

use std::collections::BTreeMap;

use ratelimit_core::metadata::Value as MetadataValue;
use ratelimit_core::source::{
    Counting, Position, RateLimit, RuleFile, RuleNode, Sharing, Spanned, StatsDetail, ValueInStats,
};
use ratelimit_core::{Enforcement, Role};
use server::document::{Entry, Node, Value};

use super::cursor::{Cursor, Fields, Level, place};
use super::{go, metadata};

const ROOT: Level = Level {
    name: "the root",
    keys: &["domain", "descriptors"],
};
/// The level of a descriptor; also what keys are compared with where no level is meant.
pub(super) const DESCRIPTOR: Level = Level {
    name: "a descriptor",
    keys: &[
        "key",
        "value",
        "rate_limit",
        "descriptors",
        "shadow_mode",
        "quota_mode",
        "detailed_metric",
        "value_to_metric",
        "share_threshold",
        "metadata",
    ],
};
const RATE_LIMIT: Level = Level {
    name: "rate_limit",
    keys: &["unit", "requests_per_unit", "unlimited", "name", "replaces"],
};
const REPLACES: Level = Level {
    name: "replaces",
    keys: &["name"],
};
/// Every level. A key of one is accepted, and means nothing, at any other.
pub(super) const LEVELS: [&Level; 4] = [&ROOT, &DESCRIPTOR, &RATE_LIMIT, &REPLACES];

/// The file of a text without a document. It lacks its domain at the very start.
pub(super) fn empty(name: &str) -> RuleFile {
    let domain = Spanned {
        value: String::new(),
        position: Some(Position { line: 1, column: 1 }),
    };
    RuleFile {
        name: name.to_owned(),
        domain,
        ..RuleFile::default()
    }
}

/// What a document holds; `None` when it is not even clear in which domain.
pub(super) fn file(name: &str, root: &Node, cursor: &mut Cursor<'_>) -> Option<RuleFile> {
    if root.is_null() {
        return Some(empty(name));
    }
    let Value::Map(entries) = &root.value else {
        cursor.report(root, go::mismatch(root, "map[interface {}]interface {}"), Some("a map"));
        return None;
    };
    let fields = &cursor.fields(root, entries, &ROOT);
    let domain = cursor.text(fields, "domain");
    let descriptors = descriptors(cursor, fields);
    Some(RuleFile {
        name: name.to_owned(),
        domain: domain?,
        descriptors,
    })
}

/// Recursion is bounded by the depth of a document.
fn descriptors(cursor: &mut Cursor<'_>, fields: &Fields<'_>) -> Vec<RuleNode> {
    cursor.maps(fields, "descriptors", "[]config.YamlDescriptor", descriptor)
}

fn descriptor(cursor: &mut Cursor<'_>, node: &Node, entries: &[Entry]) -> Option<RuleNode> {
    let fields = &cursor.fields(node, entries, &DESCRIPTOR);
    let (key, value) = (cursor.text(fields, "key"), cursor.text(fields, "value"));
    let sharing = choose(cursor.flag(fields, "share_threshold"), Sharing::Shared);
    let node = RuleNode {
        position: Some(place(node)),
        rate_limit: rate_limit(cursor, fields),
        enforcement: choose(cursor.flag(fields, "shadow_mode"), Enforcement::Shadow),
        role: choose(cursor.flag(fields, "quota_mode"), Role::Quota),
        sharing: Spanned {
            value: sharing,
            position: Some(fields.place("share_threshold")),
        },
        value_in_stats: choose(cursor.flag(fields, "value_to_metric"), ValueInStats::AsRequested),
        stats_detail: choose(cursor.flag(fields, "detailed_metric"), StatsDetail::Entries),
        metadata: metadata(cursor, fields),
        descriptors: descriptors(cursor, fields),
        ..RuleNode::default()
    };
    Some(RuleNode {
        key: key?,
        value: value?,
        ..node
    })
}

/// What a flag stands for when set; else the default.
fn choose<T: Default>(set: bool, when_set: T) -> T {
    if set { when_set } else { T::default() }
}

fn rate_limit(cursor: &mut Cursor<'_>, fields: &Fields<'_>) -> Option<RateLimit> {
    let node = fields.get("rate_limit")?;
    cursor.within("rate_limit", |cursor| {
        let Value::Map(entries) = &node.value else {
            cursor.mismatch(node, "config.YamlRateLimit", "a map");
            return None;
        };
        let fields = &cursor.fields(node, entries, &RATE_LIMIT);
        let (unit, name) = (cursor.text(fields, "unit"), cursor.text(fields, "name"));
        let limit = RateLimit {
            position: Some(place(node)),
            requests_per_unit: cursor.number(fields, "requests_per_unit"),
            counting: choose(cursor.flag(fields, "unlimited"), Counting::Unlimited),
            replaces: cursor.maps(fields, "replaces", "[]config.yamlReplaces", replaced),
            ..RateLimit::default()
        };
        Some(RateLimit {
            unit: unit?,
            name: name?,
            ..limit
        })
    })
}

fn replaced(cursor: &mut Cursor<'_>, node: &Node, entries: &[Entry]) -> Option<Spanned<String>> {
    let fields = &cursor.fields(node, entries, &REPLACES);
    cursor.text(fields, "name")
}

fn metadata(cursor: &mut Cursor<'_>, fields: &Fields<'_>) -> BTreeMap<String, MetadataValue> {
    let Some(node) = fields.get("metadata") else {
        return BTreeMap::new();
    };
    if let Value::Map(entries) = &node.value {
        return metadata::fields(entries);
    }
    // Nothing at or below metadata has a shape to keep.
    let message = go::mismatch(node, "map[string]interface {}");
    cursor.within("metadata", |cursor| cursor.report(node, message, Some("a map")));
    BTreeMap::new()
}
