//! What all descriptors of a request come to together: the overall code, replacements, headers, dynamic metadata.
//!
//! The numbers (Q1, G2, ...) are those of our conformance list.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use common::{file, limit, plan, request};
use ratelimit_core::metadata::Value;
use ratelimit_core::source::{Counting, RateLimit, RuleNode, Spanned};
use ratelimit_core::{
    BuildOptions, Code, Enforcement, GlobalModes, Planned, Reading, Role, RuleSet, UnixTime, Unmatched,
};

const OK: Code = Code::Ok;
const OVER: Code = Code::OverLimit;

const QUOTA_MODE: GlobalModes = GlobalModes {
    shadow: false,
    quota: true,
};
const SHADOW_MODE: GlobalModes = GlobalModes {
    shadow: true,
    quota: false,
};

/// Rules by first letter: `r` a limit, `q` a quota, `s` in shadow mode, `u` unlimited; 10 an hour each.
fn rules(modes: GlobalModes) -> RuleSet {
    let unlimited = Some(RateLimit {
        counting: Counting::Unlimited,
        ..RateLimit::default()
    });
    let nodes = ["1", "2", "3"].map(|n| {
        [
            limit(&format!("r{n}"), "", 10, "hour"),
            RuleNode {
                role: Role::Quota,
                ..limit(&format!("q{n}"), "", 10, "hour")
            },
            RuleNode {
                enforcement: Enforcement::Shadow,
                ..limit(&format!("s{n}"), "", 10, "hour")
            },
            RuleNode {
                rate_limit: unlimited.clone(),
                ..limit(&format!("u{n}"), "", 0, "")
            },
        ]
    });
    let options = BuildOptions {
        modes,
        ..BuildOptions::default()
    };
    RuleSet::build(&[file("d", nodes.concat())], options).unwrap()
}

/// `asked` is a list of `key=reading`; a key without a reading is not counted. Returns the decision's parts.
#[track_caller]
fn decide(rules: &RuleSet, asked: &str) -> (Code, Vec<Code>, Option<(usize, u32)>) {
    let (mut keys, mut readings) = (Vec::new(), Vec::new());
    for word in asked.split(' ') {
        let (key, after) = word.split_once('=').unwrap_or((word, ""));
        keys.push([(key, "x")]);
        readings.extend(after.parse().map(|after| Reading {
            after,
            known_over: false,
        }));
    }
    let descriptors: Vec<_> = keys.iter().map(|entries| (entries.as_slice(), None)).collect();
    let request = request("d", &descriptors);
    let plan = plan(rules, &request, 2_222);
    let decision = plan.decide(&readings, UnixTime::from_secs(2_222)).unwrap();
    let header = decision.header_status().map(|chosen| {
        let index = decision.statuses.iter().position(|status| std::ptr::eq(status, chosen));
        (index.unwrap(), chosen.remaining)
    });
    (
        decision.overall,
        decision.statuses.iter().map(|status| status.code).collect(),
        header,
    )
}

#[track_caller]
fn overall(modes: GlobalModes, asked: &str, expected: Code, statuses: &[Code]) {
    let (overall, codes, _) = decide(&rules(modes), asked);
    assert_eq!((overall, codes.as_slice()), (expected, statuses), "{asked}");
}

#[test]
fn q1_to_q10_a_request_is_refused_by_any_limit_or_by_all_quotas() {
    let none = GlobalModes::default();
    overall(QUOTA_MODE, "r1=11 r2=11", OVER, &[OVER, OVER]); // Q1
    overall(none, "r1=11 q1=1", OVER, &[OVER, OK]); // Q2
    overall(none, "r1=1 q1=11", OVER, &[OK, OVER]); // Q3
    overall(none, "r1=1 q1=1", OK, &[OK, OK]); // Q4
    overall(none, "q1=11 q2=11", OVER, &[OVER, OVER]); // Q5
    overall(none, "q1=11 q2=1", OK, &[OVER, OK]); // Q6
    overall(SHADOW_MODE, "q1=11 q2=11", OK, &[OVER, OVER]); // Q7
    overall(SHADOW_MODE, "r1=11 q1=11", OK, &[OVER, OVER]); // Q8
    overall(QUOTA_MODE, "r1=11 unmatched", OK, &[OVER, OK]); // Q9
    overall(QUOTA_MODE, "r1=11 u1", OVER, &[OVER, OK]); // Q10
}

#[test]
fn an_unmatched_descriptor_is_no_quota_of_its_own() {
    overall(GlobalModes::default(), "q1=11 unmatched", OVER, &[OVER, OK]);
}

#[test]
fn v4_shadow_rules_do_not_refuse_and_do_not_shield_others() {
    overall(GlobalModes::default(), "s1=11 s2=11", OK, &[OK, OK]);
    overall(GlobalModes::default(), "s1=11 r1=11", OVER, &[OK, OVER]);
}

#[track_caller]
fn header(asked: &str, expected: Option<(usize, u32)>) {
    assert_eq!(decide(&rules(GlobalModes::default()), asked).2, expected, "{asked}");
}

#[test]
fn headers_describe_the_last_limit_over_else_the_first_with_least_remaining() {
    header("r1=11 r2=1", Some((0, 0)));
    header("r1=7 r2=9 unmatched", Some((1, 1)));
    header("r1=9 r2=9", Some((0, 1)));
    header("r1=11 r2=12", Some((1, 0)));
    header("r1=11 r2=10", Some((0, 0)));
    header("r2=10 r1=11", Some((1, 0)));
    header("s1=11 r1=8", Some((0, 0)));
    header("q1=11 q2=11", Some((0, 0)));
    header("r1=8 q1=11 r2=11 q2=11", Some((2, 0)));
    header("u1 unmatched", None);
}

/// A limit with a name that takes out others.
fn named(key: &str, name: &str, replaces: &[&str]) -> RuleNode {
    let node = limit(key, "", 1, "hour");
    let rate_limit = node.rate_limit.map(|limit| RateLimit {
        name: Spanned::nowhere(name.to_owned()),
        replaces: replaces.iter().map(|&name| Spanned::nowhere(name.to_owned())).collect(),
        ..limit
    });
    RuleNode {
        rate_limit,
        ..limit(key, "", 1, "hour")
    }
}

/// Which descriptors are still counted, as a string of `c` (counted), `r` (replaced), `u` (unlimited), `-`.
#[track_caller]
fn replaced(nodes: Vec<RuleNode>, asked: &[&str], expected: &str) {
    let rules = RuleSet::build(&[file("d", nodes)], BuildOptions::default()).unwrap();
    let keys: Vec<_> = asked.iter().map(|&key| [(key, "x")]).collect();
    let descriptors: Vec<_> = keys.iter().map(|entries| (entries.as_slice(), None)).collect();
    let request = request("d", &descriptors);
    let plan = plan(&rules, &request, 0);
    let letters = plan.planned().iter().map(|planned| match planned {
        Planned::Counted(_) => 'c',
        Planned::Unlimited(_) => 'u',
        Planned::Unmatched(Unmatched::Replaced) => 'r',
        Planned::Unmatched(_) => '-',
    });
    assert_eq!(letters.collect::<String>(), expected);
}

#[test]
fn a_limit_named_by_another_of_the_request_is_taken_out() {
    let nodes = || {
        vec![
            named("a", "a", &["b"]),
            named("b", "b", &["c"]),
            named("c", "c", &[]),
            named("d", "", &["d"]),
        ]
    };
    replaced(nodes(), &["b"], "c");
    replaced(nodes(), &["a", "b"], "cr");
    replaced(nodes(), &["b", "a"], "rc");
    // One pass: a replaced limit still replaces.
    replaced(nodes(), &["a", "b", "c"], "crr");
    replaced(nodes(), &["c", "b", "b"], "rcc");
    let several = named("s", "s", &["z", "c", "a", "y", "b"]);
    replaced([nodes(), vec![several]].concat(), &["s", "a", "b", "c", "d"], "crrrc");
    // A limit without a name cannot be taken out.
    replaced(nodes(), &["d", "a"], "cc");
    // Two that take out each other are both gone.
    replaced(
        vec![named("x", "x", &["y"]), named("y", "y", &["x"])],
        &["x", "y"],
        "rr",
    );
}

#[test]
fn an_unlimited_rule_takes_out_others_and_is_never_taken_out() {
    let mut free = named("free", "free", &["b"]);
    free.rate_limit = free.rate_limit.map(|limit| RateLimit {
        counting: Counting::Unlimited,
        unit: Spanned::default(),
        ..limit
    });
    replaced(vec![free, named("b", "b", &["free"])], &["free", "b"], "ur");
}

fn text(pairs: &[(&str, &str)]) -> BTreeMap<String, Value> {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}

/// The `metadata` of the answer to one descriptor a rule, each with its metadata and reading.
#[track_caller]
fn metadata(modes: GlobalModes, rules: &[(&[(&str, &str)], u64)], expected: &[(&str, &str)]) {
    let keys: Vec<_> = (0..rules.len()).map(|n| format!("k{n}")).collect();
    let nodes = keys.iter().zip(rules);
    let nodes = nodes.map(|(key, (metadata, _))| RuleNode {
        metadata: text(metadata),
        ..limit(key, "", 10, "hour")
    });
    let options = BuildOptions {
        modes,
        ..BuildOptions::default()
    };
    let built = RuleSet::build(&[file("d", nodes.collect())], options).unwrap();
    let entries: Vec<_> = keys.iter().map(|key| [(key.as_str(), "x")]).collect();
    let descriptors: Vec<_> = entries.iter().map(|entries| (entries.as_slice(), None)).collect();
    let request = request("d", &descriptors);
    let plan = plan(&built, &request, 0);
    let readings: Vec<_> = rules
        .iter()
        .map(|&(_, after)| Reading {
            after,
            known_over: false,
        })
        .collect();
    let decision = plan.decide(&readings, UnixTime::from_secs(0)).unwrap();
    assert_eq!(decision.passed_metadata(), text(expected));
}

#[test]
fn g3_g5_to_g7_metadata_comes_from_the_limits_that_passed_and_the_first_wins() {
    let none = GlobalModes::default();
    metadata(
        none,
        &[(&[("name", "1")], 11), (&[("name", "2")], 1), (&[("name", "3")], 1)],
        &[("name", "2")],
    ); // G3
    metadata(
        QUOTA_MODE,
        &[(&[("name", "1")], 1), (&[("name", "2")], 11)],
        &[("name", "1")],
    ); // G5
    metadata(
        QUOTA_MODE,
        &[(&[("a", "1")], 1), (&[("b", "2")], 1)],
        &[("a", "1"), ("b", "2")],
    ); // G6
    metadata(QUOTA_MODE, &[(&[("a", "1")], 1), (&[("a", "2")], 1)], &[("a", "1")]); // G7
    metadata(none, &[(&[("name", "1")], 11)], &[]);
}

#[test]
fn g1_g2_g4_dynamic_metadata_repeats_the_request() {
    let node = RuleNode {
        metadata: text(&[("name", "service_1")]),
        ..limit("key1", "", 10, "hour")
    };
    let rules = RuleSet::build(&[file("d", vec![node])], BuildOptions::default()).unwrap();
    let mut request = request(
        "d",
        &[(&[("key1", "val1")], Some(0)), (&[("key2", ""), ("k", "v")], None)],
    );
    request.stated_hits = 5;
    let plan = plan(&rules, &request, 0);
    let described = |after| {
        let decision = plan
            .decide(
                &[Reading {
                    after,
                    known_over: false,
                }],
                UnixTime::from_secs(0),
            )
            .unwrap();
        decision.dynamic_metadata(&request)
    };
    let list = |texts: &[&str]| Value::List(texts.iter().map(|&text| Value::from(text)).collect());
    let map = |pairs: &[(&str, Value)]| {
        Value::Map(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    };
    let descriptors = Value::List(vec![
        map(&[("entries", list(&["key1=val1"])), ("hitsAddend", Value::Number(0.0))]),
        map(&[("entries", list(&["key2=", "k=v"]))]),
    ]);
    let over = map(&[
        ("domain", "d".into()),
        ("descriptors", descriptors),
        ("hitsAddend", Value::Number(5.0)),
    ]);
    assert_eq!(Value::Map(described(11)), over);
    assert_eq!(described(1)["metadata"], map(&[("name", "service_1".into())]));
}
