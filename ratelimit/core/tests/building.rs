//! What makes rules of files, and what is told about files that are none. The texts and the limit files that lead to
//! them are held by the conformance tests of the service; here it is the values.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{file, limit, plan, request};
use ratelimit_core::source::{Counting, Position, RateLimit, RuleFile, RuleNode, Sharing, Spanned};
use ratelimit_core::{BuildOptions, Planned, RuleProblemKind, RuleSet};

const MERGED: BuildOptions = BuildOptions {
    merge_domains: true,
    ..DEFAULT
};
const DEFAULT: BuildOptions = BuildOptions {
    merge_domains: false,
    near_limit_ratio: ratelimit_core::NearLimitRatio::DEFAULT,
    modes: ratelimit_core::GlobalModes {
        shadow: false,
        quota: false,
    },
};

/// The problems of some files: file, field and what.
#[track_caller]
fn problems(files: &[RuleFile], options: BuildOptions) -> Vec<(String, String, RuleProblemKind)> {
    let problems = RuleSet::build(files, options).unwrap_err();
    problems
        .into_iter()
        .map(|problem| (problem.file, problem.field, problem.kind))
        .collect()
}

#[track_caller]
fn refuses(node: RuleNode, field: &str, kind: RuleProblemKind) {
    let expected = vec![("d.yaml".to_owned(), format!("descriptors[0].{field}"), kind)];
    assert_eq!(problems(&[file("d", vec![node])], DEFAULT), expected);
}

fn limited(rate_limit: RateLimit) -> RuleNode {
    RuleNode {
        rate_limit: Some(rate_limit),
        ..limit("k", "v", 0, "")
    }
}

fn named(unit: &str, name: &str, replaces: &str) -> RuleNode {
    limited(RateLimit {
        unit: Spanned::nowhere(unit.to_owned()),
        name: Spanned::nowhere(name.to_owned()),
        replaces: vec![Spanned::nowhere(replaces.to_owned())],
        ..RateLimit::default()
    })
}

#[test]
fn each_problem_is_a_value_with_its_field() {
    refuses(limit("", "v", 1, "day"), "key", RuleProblemKind::EmptyKey);
    let unit = "rate_limit.unit";
    refuses(
        limit("k", "", 1, "days"),
        unit,
        RuleProblemKind::InvalidUnit {
            unit: "days".to_owned(),
        },
    );
    refuses(
        limit("k", "", 1, ""),
        unit,
        RuleProblemKind::InvalidUnit { unit: String::new() },
    );
    let unlimited = RateLimit {
        unit: Spanned::nowhere("Day".to_owned()),
        counting: Counting::Unlimited,
        ..RateLimit::default()
    };
    refuses(
        limited(unlimited),
        unit,
        RuleProblemKind::UnitWhenUnlimited { unit: "Day".to_owned() },
    );
    let name = "rate_limit.replaces[0].name";
    refuses(named("day", "me", ""), name, RuleProblemKind::EmptyReplaces);
    refuses(
        named("day", "me", "me"),
        name,
        RuleProblemKind::ReplacesItself { name: "me".to_owned() },
    );
    let shared = RuleNode {
        sharing: Spanned::nowhere(Sharing::Shared),
        ..limit("k", "v", 1, "day")
    };
    let composite = "k_v".to_owned();
    refuses(
        shared,
        "share_threshold",
        RuleProblemKind::SharingWithoutWildcard { composite },
    );
}

#[test]
fn every_problem_is_told_in_file_order_and_depth_first() {
    let deep = RuleNode {
        descriptors: vec![limit("", "", 1, "day"), limit("x", "", 1, "foo")],
        ..limit("", "", 1, "bar")
    };
    let files = [
        file("", vec![deep]),
        file("d", vec![limit("a", "", 1, "day"), limit("a", "", 1, "day")]),
        file("d", vec![limit("a", "", 1, "day")]),
    ];
    let fields: Vec<_> = problems(&files, DEFAULT)
        .into_iter()
        .map(|(_, field, _)| field)
        .collect();
    assert_eq!(
        fields,
        [
            "domain",
            "descriptors[0].key",
            "descriptors[0].rate_limit.unit",
            "descriptors[0].descriptors[0].key",
            "descriptors[0].descriptors[1].rate_limit.unit",
            "descriptors[1].key",
            "domain",
        ]
    );
}

#[test]
fn a_problem_has_the_place_of_what_is_wrong() {
    let place = |line| Some(Position { line, column: 7 });
    let mut node = limit("k", "", 1, "days");
    node.position = place(1);
    node.rate_limit = node.rate_limit.map(|mut limit| {
        limit.position = place(2);
        limit
    });
    let whole = RuleSet::build(&[file("d", vec![node.clone()])], DEFAULT).unwrap_err();
    assert_eq!(whole.first().unwrap().position, place(2), "a unit that was not written");
    node.rate_limit = node.rate_limit.map(|mut limit| {
        limit.unit.position = place(3);
        limit
    });
    let unit = RuleSet::build(&[file("d", vec![node])], DEFAULT).unwrap_err();
    let unit = unit.first().unwrap();
    assert_eq!(unit.position, place(3));
    assert_eq!(unit.to_string(), "d.yaml: invalid rate limit unit 'days'");
}

#[test]
fn files_of_one_domain_are_merged_at_the_top_level_in_order() {
    let files = [
        file("d", vec![limit("k", "a*", 1, "day")]),
        file("d", vec![limit("k", "ab*", 2, "day")]),
    ];
    let duplicate = RuleProblemKind::DuplicateDomain { domain: "d".to_owned() };
    assert_eq!(
        problems(&files, DEFAULT),
        [("d.yaml".to_owned(), "domain".to_owned(), duplicate)]
    );

    let rules = RuleSet::build(&files, MERGED).unwrap();
    let request = request("d", &[(&[("k", "abc")], None)]);
    let found = plan(&rules, &request, 0);
    assert!(matches!(found.planned(), [Planned::Counted(counted)] if counted.rate.requests_per_unit() == 1));

    let twice = [
        file("d", vec![limit("k", "", 1, "day")]),
        file("d", vec![limit("k", "", 2, "day")]),
    ];
    let duplicate = RuleProblemKind::DuplicateDescriptor { path: "d.k".to_owned() };
    assert_eq!(
        problems(&twice, MERGED),
        [("d.yaml".to_owned(), "descriptors[0].key".to_owned(), duplicate)]
    );
}

#[test]
fn rules_are_numbered_densely_in_configuration_order() {
    let nested = RuleNode {
        descriptors: vec![limit("b", "", 2, "day")],
        rate_limit: None,
        ..limit("a", "", 0, "")
    };
    let files = [
        file("d", vec![nested, limit("c", "", 3, "day")]),
        file("e", vec![limit("f", "", 4, "day")]),
    ];
    let rules = RuleSet::build(&files, DEFAULT).unwrap();
    let keys: Vec<_> = rules
        .rules()
        .map(|rule| (rule.id().index(), rule.stats_key(), rule.domain()))
        .collect();
    assert_eq!(keys, [(0, "d.a.b", "d"), (1, "d.c", "d"), (2, "e.f", "e")]);
    for rule in rules.rules() {
        assert_eq!(rules.rule(rule.id()).unwrap().stats_key(), rule.stats_key());
    }
}
