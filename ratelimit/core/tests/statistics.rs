//! Statuses and statistics, number by number. The numbers (R1, N3, ...) are those of our conformance list.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{counted, file, limit, plan, request};
use ratelimit_core::source::{Counting, RateLimit, RuleNode};
use ratelimit_core::{
    BuildOptions, Code, CurrentLimit, Enforcement, GlobalModes, LimitOverride, Outcome, Planned, Rate, Reading,
    ReadingsMismatch, Role, RuleSet, Status, Unit, UnixTime, Unmatched,
};

/// Reads `after` for one descriptor `key=value` under `limit` and returns its status's numbers.
#[track_caller]
fn status_of(node: RuleNode, hits: u64, reading: Reading) -> (Code, u32, Outcome) {
    let rules = RuleSet::build(&[file("domain", vec![node])], BuildOptions::default()).unwrap();
    let request = request("domain", &[(&[("key", "value")], Some(hits))]);
    let plan = plan(&rules, &request, 1_234);
    let decision = plan.decide(&[reading], UnixTime::from_secs(1_234)).unwrap();
    let status = &decision.statuses[0];
    (status.code, status.remaining, status.outcome)
}

fn read(after: u64) -> Reading {
    Reading {
        after,
        known_over: false,
    }
}

fn known_over() -> Reading {
    Reading {
        after: 0,
        known_over: true,
    }
}

/// A row of the table: limit, unit, hits, reply; code, remaining, and what total, over, near and within grow by.
#[track_caller]
fn row(name: &str, asked: (u32, &str, u64, u64), expected: (Code, u32, [u64; 4])) {
    let (requests, unit, hits, after) = asked;
    let (code, remaining, [total, over, near, within]) = expected;
    let outcome = Outcome {
        total,
        over,
        near,
        within,
        ..Outcome::default()
    };
    assert_eq!(
        status_of(limit("key", "", requests, unit), hits, read(after)),
        (code, remaining, outcome),
        "{name}"
    );
}

#[test]
fn n1_to_n9_hits_are_split_between_within_near_and_over() {
    use Code::{Ok, OverLimit};
    row("N1", (15, "hour", 1, 11), (Ok, 4, [1, 0, 0, 1]));
    row("N2", (15, "hour", 1, 13), (Ok, 2, [1, 0, 1, 1]));
    row("N3", (15, "hour", 1, 16), (OverLimit, 0, [1, 1, 0, 0]));
    row("N4", (20, "second", 3, 5), (Ok, 15, [3, 0, 0, 3]));
    row("N5", (8, "second", 2, 7), (Ok, 1, [2, 0, 1, 2]));
    row("N6", (20, "second", 3, 19), (Ok, 1, [3, 0, 3, 3]));
    row("N7", (20, "second", 3, 22), (OverLimit, 0, [3, 2, 1, 0]));
    row("N8", (20, "second", 7, 22), (OverLimit, 0, [7, 2, 4, 0]));
    row("N9", (10, "second", 3, 30), (OverLimit, 0, [3, 3, 0, 0]));
}

#[test]
fn a_limit_of_zero_refuses_the_first_hit_and_none_of_it_is_near() {
    row("zero", (0, "hour", 1, 1), (Code::OverLimit, 0, [1, 1, 0, 0]));
    row("zero, peeked", (0, "hour", 0, 0), (Code::Ok, 0, [0, 0, 0, 0]));
}

#[test]
fn a_peek_is_ok_while_the_counter_stands_on_the_limit() {
    row("on it", (10, "hour", 0, 10), (Code::Ok, 0, [0, 0, 0, 0]));
    row("above it", (10, "hour", 0, 11), (Code::OverLimit, 0, [0, 0, 0, 0]));
}

#[test]
fn r1_a_counted_descriptor_has_a_complete_status() {
    let rules = RuleSet::build(
        &[file("domain", vec![limit("key", "value", 10, "second")])],
        BuildOptions::default(),
    );
    let rules = rules.unwrap();
    let request = request("domain", &[(&[("key", "value")], None)]);
    let plan = plan(&rules, &request, 1_234);
    let charge = plan.charges().next().unwrap();
    assert_eq!(
        (charge.key.as_str(), charge.hits.amount()),
        ("domain_key_value_1234", 1)
    );
    assert_eq!(charge.window.length_secs, 1);

    let decision = plan.decide(&[read(5)], UnixTime::from_secs(1_234)).unwrap();
    let status = &decision.statuses[0];
    assert_eq!(decision.overall, Code::Ok);
    assert_eq!(
        status.limit,
        Some(CurrentLimit {
            requests_per_unit: 10,
            unit: Unit::Second,
            name: ""
        })
    );
    assert_eq!((status.remaining, status.reset_secs), (5, Some(1)));
    assert_eq!(
        status.outcome,
        Outcome {
            total: 1,
            within: 1,
            ..Outcome::default()
        }
    );
    assert_eq!(status.stats.unwrap().as_str(), "domain.key_value");
}

#[test]
fn r2_an_unmatched_descriptor_is_bare_and_takes_no_reading() {
    let parent = RuleNode {
        rate_limit: None,
        descriptors: vec![limit("subkey2", "subvalue2", 10, "minute")],
        ..limit("key2", "value2", 0, "")
    };
    let rules = RuleSet::build(&[file("domain", vec![parent])], BuildOptions::default()).unwrap();
    let request = request(
        "domain",
        &[
            (&[("key2", "value2")], Some(0)),
            (&[("key2", "value2"), ("subkey2", "subvalue2")], Some(1)),
        ],
    );
    let plan = plan(&rules, &request, 1_234);
    let keys: Vec<_> = plan.charges().map(|charge| charge.key.as_str()).collect();
    assert_eq!(keys, ["domain_key2_value2_subkey2_subvalue2_1200"]);

    let decision = plan.decide(&[read(11)], UnixTime::from_secs(1_234)).unwrap();
    assert_eq!(decision.overall, Code::OverLimit);
    let bare = &decision.statuses[0];
    assert_eq!(
        (bare.code, bare.remaining, bare.limit, bare.reset_secs),
        (Code::Ok, 0, None, None)
    );
    assert_eq!(bare.unmatched, Some(Unmatched::NoRule));
    let over = &decision.statuses[1];
    assert_eq!(
        (over.code, over.remaining, over.reset_secs),
        (Code::OverLimit, 0, Some(26))
    );
    assert_eq!(
        over.outcome,
        Outcome {
            total: 1,
            over: 1,
            ..Outcome::default()
        }
    );
}

#[test]
fn r3_each_level_of_one_path_has_its_own_counter_and_window() {
    let parent = RuleNode {
        descriptors: vec![limit("subkey3", "subvalue3", 10, "day")],
        ..limit("key3", "value3", 10, "hour")
    };
    let rules = RuleSet::build(&[file("domain", vec![parent])], BuildOptions::default()).unwrap();
    let request = request(
        "domain",
        &[
            (&[("key3", "value3")], Some(0)),
            (&[("key3", "value3"), ("subkey3", "subvalue3")], Some(1)),
        ],
    );
    let plan = plan(&rules, &request, 1_000_000);
    let keys: Vec<_> = plan.charges().map(|charge| charge.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "domain_key3_value3_997200",
            "domain_key3_value3_subkey3_subvalue3_950400"
        ]
    );

    let decision = plan
        .decide(&[read(11), read(13)], UnixTime::from_secs(1_000_000))
        .unwrap();
    let over = |status: &Status<'_>| (status.code, status.outcome.total, status.outcome.over);
    assert_eq!(over(&decision.statuses[0]), (Code::OverLimit, 0, 0));
    assert_eq!(over(&decision.statuses[1]), (Code::OverLimit, 1, 1));
}

#[test]
fn l2_a_key_known_to_be_over_is_over_without_a_reading() {
    let expected = Outcome {
        total: 1,
        over: 1,
        over_from_local: 1,
        ..Outcome::default()
    };
    assert_eq!(
        status_of(limit("key", "", 15, "hour"), 1, known_over()),
        (Code::OverLimit, 0, expected)
    );
}

#[test]
fn l4_shadow_mode_answers_ok_and_counts_what_it_let_through() {
    let shadowed = || RuleNode {
        enforcement: Enforcement::Shadow,
        ..limit("key", "", 15, "hour")
    };
    let third = Outcome {
        total: 1,
        over: 1,
        shadow: 1,
        ..Outcome::default()
    };
    assert_eq!(status_of(shadowed(), 1, read(16)), (Code::Ok, 0, third));
    let fourth = Outcome {
        total: 1,
        over: 1,
        over_from_local: 1,
        shadow: 1,
        ..Outcome::default()
    };
    assert_eq!(status_of(shadowed(), 1, known_over()), (Code::Ok, 0, fourth));
    let within = Outcome {
        total: 1,
        within: 1,
        ..Outcome::default()
    };
    assert_eq!(status_of(shadowed(), 1, read(11)), (Code::Ok, 4, within));
}

#[test]
fn p3_a_counter_that_moved_by_less_than_the_hits_still_splits_them() {
    // Stop-increment: INCRBY 0 answered 13, statistics count the two hits asked for.
    row("P3, key4", (15, "hour", 2, 13), (Code::Ok, 2, [2, 0, 1, 2]));
    row("P3, key5", (14, "hour", 2, 15), (Code::OverLimit, 0, [2, 1, 1, 0]));
    row("P3, empty", (15, "hour", 2, 0), (Code::Ok, 15, [2, 0, 0, 2]));
    // Fewer than the hits: the counter before them is taken to be beyond any threshold.
    row("P3, wrapped", (15, "hour", 20, 13), (Code::Ok, 2, [20, 0, 20, 20]));
}

#[test]
fn a_refund_is_ok_even_while_the_counter_is_over() {
    let rules = RuleSet::build(&[file("d", vec![limit("key", "", 5, "hour")])], BuildOptions::default()).unwrap();
    let mut request = request("d", &[(&[("key", "x")], Some(3))]);
    request.descriptors[0].hits = request.descriptors[0].hits.negated();
    let plan = plan(&rules, &request, 0);
    let decision = plan.decide(&[read(7)], UnixTime::from_secs(0)).unwrap();
    assert_eq!((decision.overall, decision.statuses[0].remaining), (Code::Ok, 0));
    assert_eq!(
        decision.statuses[0].outcome,
        Outcome {
            refunded: 3,
            ..Outcome::default()
        }
    );
}

#[test]
fn one_counter_asked_for_twice_in_a_request_is_read_twice() {
    let rules = RuleSet::build(&[file("d", vec![limit("key", "", 1, "hour")])], BuildOptions::default()).unwrap();
    let request = request("d", &[(&[("key", "x")], None), (&[("key", "x")], None)]);
    let plan = plan(&rules, &request, 0);
    let decision = plan.decide(&[read(1), read(2)], UnixTime::from_secs(0)).unwrap();
    let codes: Vec<_> = decision
        .statuses
        .iter()
        .map(|status| (status.code, status.remaining))
        .collect();
    assert_eq!(codes, [(Code::Ok, 0), (Code::OverLimit, 0)]);
}

#[test]
fn an_unlimited_rule_counts_nothing_and_says_so() {
    let rate_limit = Some(RateLimit {
        counting: Counting::Unlimited,
        ..RateLimit::default()
    });
    let node = RuleNode {
        rate_limit,
        ..limit("key", "", 0, "")
    };
    let rules = RuleSet::build(&[file("d", vec![node])], BuildOptions::default()).unwrap();
    let request = request("d", &[(&[("key", "x")], None)]);
    let plan = plan(&rules, &request, 0);
    assert!(matches!(plan.planned(), [Planned::Unlimited(_)]));
    let decision = plan.decide(&[], UnixTime::from_secs(0)).unwrap();
    let status = &decision.statuses[0];
    assert_eq!(
        (status.remaining, status.limit, status.reset_secs),
        (u32::MAX, None, None)
    );
    assert!(status.stats.is_none());
}

#[test]
fn a_store_that_answers_too_little_or_too_much_is_an_error() {
    let rules = RuleSet::build(&[file("d", vec![limit("key", "", 1, "hour")])], BuildOptions::default()).unwrap();
    let request = request("d", &[(&[("key", "x")], None), (&[("other", "x")], None)]);
    let plan = plan(&rules, &request, 0);
    let now = UnixTime::from_secs(0);
    assert_eq!(
        plan.decide(&[], now).unwrap_err(),
        ReadingsMismatch {
            charges: 1,
            readings: 0
        }
    );
    assert_eq!(
        plan.decide(&[read(1), read(1)], now).unwrap_err(),
        ReadingsMismatch {
            charges: 1,
            readings: 2
        }
    );
}

#[test]
fn an_override_uses_the_ordinary_counter_and_its_own_limit() {
    let rules = RuleSet::build(&[file("d", vec![limit("key", "", 1, "hour")])], BuildOptions::default()).unwrap();
    let mut request = request("d", &[(&[("key", "x"), ("k2", "")], None)]);
    request.descriptors[0].limit = Some(LimitOverride {
        rate: Rate::new(42, Unit::Hour),
    });
    let now = UnixTime::from_secs(3_700);
    let overridden = plan(&rules, &request, 3_700);
    let charge = counted(&overridden, 0);
    assert_eq!(charge.key.as_str(), "d_key_x_k2__3600");
    assert_eq!(charge.stats_key().unwrap().as_str(), "d.key_x.k2");
    let decision = overridden.decide(&[read(2)], now).unwrap();
    let status = &decision.statuses[0];
    assert_eq!(
        status.limit,
        Some(CurrentLimit {
            requests_per_unit: 42,
            unit: Unit::Hour,
            name: ""
        })
    );
    assert_eq!((status.role, status.remaining), (Role::Limit, 40));

    request.domain = "unknown";
    let plan = plan(&rules, &request, 3_700);
    assert!(matches!(plan.planned(), [Planned::Unmatched(Unmatched::UnknownDomain)]));
}

#[test]
fn an_override_without_entries_has_a_counter_of_the_domain() {
    let rules = RuleSet::build(&[file("d", vec![])], BuildOptions::default()).unwrap();
    let mut request = request("d", &[(&[], None)]);
    request.descriptors[0].limit = Some(LimitOverride {
        rate: Rate::new(1, Unit::Day),
    });
    let plan = plan(&rules, &request, 0);
    let charge = counted(&plan, 0);
    assert_eq!(
        (charge.key.as_str(), charge.stats_key().unwrap().as_str()),
        ("d_0", "d.")
    );
}

#[test]
fn global_shadow_mode_answers_ok_and_leaves_the_statuses() {
    let modes = GlobalModes {
        shadow: true,
        quota: false,
    };
    let options = BuildOptions {
        modes,
        ..BuildOptions::default()
    };
    let rules = RuleSet::build(&[file("d", vec![limit("key", "", 1, "hour")])], options).unwrap();
    let request = request("d", &[(&[("key", "x")], None)]);
    let plan = plan(&rules, &request, 0);
    let over = plan.decide(&[read(2)], UnixTime::from_secs(0)).unwrap();
    assert_eq!(
        (over.overall, over.shadowed, over.statuses[0].code),
        (Code::Ok, true, Code::OverLimit)
    );
    let within = plan.decide(&[read(1)], UnixTime::from_secs(0)).unwrap();
    assert!(!within.shadowed);
}
