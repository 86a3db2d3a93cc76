//! Rules and requests in few words, for tests that read like tables.

#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::expect_used,
    reason = "each test file uses its part of this"
)]

use ratelimit_core::source::{RateLimit, RuleFile, RuleNode, Spanned};
use ratelimit_core::{Counted, Descriptor, Entry, Hits, KeyFormat, Plan, Request, RuleSet, UnixTime};

/// Entries and the descriptor's own hits.
pub(crate) type Asked<'a> = (&'a [(&'a str, &'a str)], Option<u64>);

pub(crate) fn file(domain: &str, descriptors: Vec<RuleNode>) -> RuleFile {
    RuleFile {
        name: format!("{domain}.yaml"),
        domain: Spanned::nowhere(domain.to_owned()),
        descriptors,
    }
}

pub(crate) fn limit(key: &str, value: &str, requests_per_unit: u32, unit: &str) -> RuleNode {
    RuleNode {
        key: Spanned::nowhere(key.to_owned()),
        value: Spanned::nowhere(value.to_owned()),
        rate_limit: Some(RateLimit {
            unit: Spanned::nowhere(unit.to_owned()),
            requests_per_unit,
            ..RateLimit::default()
        }),
        ..RuleNode::default()
    }
}

pub(crate) fn request<'a>(domain: &'a str, descriptors: &[Asked<'a>]) -> Request<'a> {
    let descriptor = |&(entries, stated_hits): &Asked<'a>| Descriptor {
        entries: entries.iter().map(|&(key, value)| Entry { key, value }).collect(),
        hits: Hits::resolve(stated_hits, 0),
        limit: None,
        stated_hits,
    };
    Request {
        domain,
        descriptors: descriptors.iter().map(descriptor).collect(),
        stated_hits: 0,
    }
}

pub(crate) fn plan<'r>(rules: &'r RuleSet, request: &Request<'_>, now: u64) -> Plan<'r> {
    rules.plan(request, UnixTime::from_secs(now), &KeyFormat::default())
}

#[track_caller]
pub(crate) fn counted<'p>(plan: &'p Plan<'_>, index: usize) -> &'p Counted<'p> {
    plan.charges().nth(index).expect("a counted descriptor")
}
