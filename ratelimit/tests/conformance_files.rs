//! Which limit files are accepted and what the refused ones are told. The numbers (E1, E2, ...) are those of our
//! conformance list; texts are those of envoyproxy/ratelimit.

#![expect(clippy::expect_used, reason = "tests")]

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ratelimit::check;
use ratelimit::rules_file::{self, Text};
use ratelimit_core::{BuildOptions, RuleSet};
use server::source::{DotFiles, Extensions, Selection};
use server::{Problem, Problems};

/// A good file with most of what a file can hold.
const BASIC: &str = "
domain: test-domain
descriptors:
  - key: key1
    value: value1
    descriptors:
      - key: subkey1
        rate_limit: {unit: second, requests_per_unit: 5}
  - key: key2
    rate_limit: {unit: minute, requests_per_unit: 20}
";

fn load(files: &[(&str, &str)], merge_domains: bool) -> Result<RuleSet, Problems> {
    let files = files.iter().map(|&(name, text)| Text {
        name,
        bytes: text.as_bytes(),
    });
    rules_file::load(
        files,
        BuildOptions {
            merge_domains,
            ..BuildOptions::default()
        },
    )
}

/// The problems of one file: place, field, message and what is allowed.
#[track_caller]
fn problems(text: &str) -> Vec<String> {
    let problems = load(&[("bad.yaml", text)], false).expect_err("the file is refused");
    problems.iter().map(told).collect()
}

fn told(problem: &Problem) -> String {
    let Problem {
        file, field, message, ..
    } = problem;
    let place = problem
        .position
        .map_or_else(String::new, |position| format!(":{position}"));
    let colon = if field.is_empty() { "" } else { ": " };
    let allowed = problem
        .allowed
        .as_ref()
        .map_or_else(String::new, |allowed| format!(" (allowed: {allowed})"));
    format!("{file}{place}: {field}{colon}{message}{allowed}")
}

/// One descriptor `k` with these lines below it, at column 5.
fn descriptor(lines: &str) -> String {
    format!(
        "domain: d\ndescriptors:\n  - key: k\n    {}\n",
        lines.replace('\n', "\n    ")
    )
}

#[track_caller]
fn accepts(text: &str) {
    assert_eq!(load(&[("good.yaml", text)], false).map(drop), Ok(()), "{text}");
}

#[track_caller]
fn refuses(text: &str, expected: &[&str]) {
    assert_eq!(problems(text), expected, "{text}");
}

#[test]
fn e1_a_file_needs_a_domain() {
    let expected = "config file cannot have empty domain (allowed: a non-empty string)";
    refuses("descriptors:\n", &[&format!("bad.yaml:1:1: domain: {expected}")]);
    refuses("", &[&format!("bad.yaml:1:1: domain: {expected}")]);
    refuses("# nothing\n", &[&format!("bad.yaml:1:1: domain: {expected}")]);
    refuses("\ndomain: ''\n", &[&format!("bad.yaml:2:9: domain: {expected}")]);
    refuses("domain: ~\n", &[&format!("bad.yaml:1:1: domain: {expected}")]);
}

#[test]
fn e2_a_domain_is_in_one_file_unless_domains_are_merged() {
    let second = "domain: test-domain\ndescriptors:\n";
    let problems = load(&[("a.yaml", BASIC), ("b.yaml", second)], false).unwrap_err();
    assert_eq!(
        problems.iter().map(told).collect::<Vec<_>>(),
        ["b.yaml:1:9: domain: duplicate domain 'test-domain' in config file \
         (allowed: one file a domain, unless domains are merged)"]
    );
    load(&[("a.yaml", BASIC), ("b.yaml", second)], true).unwrap();
}

#[test]
fn e3_a_descriptor_needs_a_key() {
    let text = "domain: d\ndescriptors:\n  - value: value1\n";
    refuses(
        text,
        &["bad.yaml:3:5: descriptors[0].key: descriptor has empty key (allowed: a non-empty string)"],
    );
}

#[test]
fn e4_e18_siblings_differ_in_what_they_join_to() {
    let allowed = "(allowed: one descriptor a key and value under one parent)";
    let twice = "domain: d\ndescriptors:\n  - {key: key1, value: value1}\n  - {key: key1, value: value1}\n";
    let text =
        format!("bad.yaml:4:11: descriptors[1].key: duplicate descriptor composite key 'd.key1_value1' {allowed}");
    refuses(twice, &[&text]);
    let joined = "domain: d\ndescriptors:\n  - key: p\n    descriptors: [{key: a_b}, {key: a, value: b}]\n";
    let text = format!(
        "bad.yaml:4:37: descriptors[0].descriptors[1].key: duplicate descriptor composite key 'd.p.a_b' {allowed}"
    );
    refuses(joined, &[&text]);
}

#[test]
fn e5_merged_files_are_siblings() {
    let problems = load(&[("a.yaml", BASIC), ("b.yaml", BASIC)], true).unwrap_err();
    let texts: Vec<_> = problems
        .iter()
        .map(|problem| (problem.file.as_str(), problem.message.as_str()))
        .collect();
    assert_eq!(
        texts,
        [
            ("b.yaml", "duplicate descriptor composite key 'test-domain.key1_value1'"),
            ("b.yaml", "duplicate descriptor composite key 'test-domain.key2'"),
        ]
    );
}

#[test]
fn e6_e14_e16_units() {
    let field = "descriptors[0].rate_limit.unit";
    let allowed = "(allowed: second, minute, hour, day, week, month, year)";
    refuses(
        &descriptor("rate_limit: {unit: foo, requests_per_unit: 5}"),
        &[&format!(
            "bad.yaml:4:24: {field}: invalid rate limit unit 'foo' {allowed}"
        )],
    );
    refuses(
        &descriptor("rate_limit: {}"),
        &[&format!("bad.yaml:4:17: {field}: invalid rate limit unit '' {allowed}")],
    );
    refuses(
        &descriptor("rate_limit: {unit: unknown}"),
        &[&format!(
            "bad.yaml:4:24: {field}: invalid rate limit unit 'unknown' {allowed}"
        )],
    );
    refuses(
        &descriptor("rate_limit: {unlimited: true, unit: day, requests_per_unit: 25}"),
        &[&format!(
            "bad.yaml:4:41: {field}: should not specify rate limit unit when unlimited \
             (allowed: either unlimited or a unit)"
        )],
    );
    accepts(&descriptor("rate_limit: {unlimited: true, unit: fortnight}"));
    accepts(&descriptor("rate_limit: {unlimited: true, requests_per_unit: 5}"));
    accepts(&descriptor("rate_limit: {unit: MiNuTe}"));
    accepts(&descriptor("rate_limit: ~"));
}

#[test]
fn e7_e8_replaces() {
    let field = "descriptors[0].rate_limit.replaces[0].name";
    refuses(
        &descriptor("rate_limit: {unit: day, name: self, replaces: [{name: self}]}"),
        &[&format!(
            "bad.yaml:4:59: {field}: replaces should not contain name of same descriptor \
             (allowed: names of other limits)"
        )],
    );
    for empty in ["{name: ~}", "{name: ''}", "{}"] {
        let found = problems(&descriptor(&format!(
            "rate_limit: {{unit: day, name: self, replaces: [{empty}]}}"
        )));
        assert_eq!(found.len(), 1, "{empty}");
        let found = found.first().unwrap();
        assert!(
            found.contains(&format!("{field}: should not have an empty replaces entry")),
            "{found}"
        );
    }
    accepts(&descriptor("rate_limit: {unit: day, replaces: [{name: nobody}]}"));
}

#[test]
fn e9_syntax_errors_are_those_of_libyaml() {
    refuses(
        "'''\n",
        &["bad.yaml:2:1: error loading config file: yaml: line 2: found unexpected end of stream"],
    );
}

#[test]
fn e10_e11_unknown_keys_are_refused_with_what_is_known() {
    refuses(
        &descriptor("ratelimit: {unit: day}"),
        &[
            "bad.yaml:4:5: descriptors[0].ratelimit: config error, unknown key 'ratelimit' \
           (allowed: key, value, rate_limit, descriptors, shadow_mode, quota_mode, detailed_metric, value_to_metric, \
           share_threshold, metadata)",
        ],
    );
    refuses(
        &descriptor("rate_limit: {unit: day, requestsperunit: 5}"),
        &[
            "bad.yaml:4:29: descriptors[0].rate_limit.requestsperunit: config error, unknown key 'requestsperunit' \
           (allowed: unit, requests_per_unit, unlimited, name, replaces)",
        ],
    );
}

#[test]
fn e12_keys_are_strings() {
    refuses(
        "domain: d\n0.25: x\n",
        &["bad.yaml:2:1: config error, key is not of type string: 0.25"],
    );
    refuses(
        "domain: d\nyes: x\n",
        &["bad.yaml:2:1: config error, key is not of type string: true"],
    );
}

#[test]
fn e13_lists_are_of_maps() {
    let text = |index: u32, column: u32, found: &str| {
        format!(
            "bad.yaml:2:{column}: descriptors[{index}]: config error, yaml file contains list of type other than map: \
             {found} (allowed: a map)"
        )
    };
    let texts = [text(0, 15, "a"), text(1, 18, "b"), text(2, 21, "c")];
    refuses(
        "domain: d\ndescriptors: [a, b, c]\n",
        &texts.each_ref().map(String::as_str),
    );
    let found = problems("domain: d\ndescriptors: [~, 7, [x, z]]\n");
    assert!(
        found.iter().any(|text| text.contains("other than map: <nil>")),
        "{found:?}"
    );
    assert!(
        found.iter().any(|text| text.contains("other than map: [x z]")),
        "{found:?}"
    );
}

#[test]
fn e15_only_a_wildcard_can_be_shared() {
    let text = "share_threshold can only be used with wildcard values (containing '*'), but found key";
    let allowed = "(allowed: share_threshold beside a value with '*')";
    refuses(
        &descriptor("value: v\nshare_threshold: true"),
        &[&format!(
            "bad.yaml:5:22: descriptors[0].share_threshold: {text} 'k_v' {allowed}"
        )],
    );
    refuses(
        &descriptor("share_threshold: yes"),
        &[&format!(
            "bad.yaml:4:22: descriptors[0].share_threshold: {text} 'k' {allowed}"
        )],
    );
    accepts(&descriptor("value: '*'\nshare_threshold: true"));
    accepts("domain: d\ndescriptors: [{key: 'k*', share_threshold: true}]\n");
}

#[test]
fn e17_a_fraction_is_refused_wherever_it_stands() {
    let text = "error checking config";
    let allowed = "(allowed: a string in quotes, or a whole number)";
    refuses(
        &descriptor("value: 1.5"),
        &[&format!("bad.yaml:4:12: descriptors[0].value: {text} {allowed}")],
    );
    refuses(
        &descriptor("rate_limit: {unit: day, requests_per_unit: 5.0}"),
        &[&format!(
            "bad.yaml:4:48: descriptors[0].rate_limit.requests_per_unit: {text} {allowed}"
        )],
    );
    refuses(
        &descriptor("value: 9223372036854775808"),
        &[&format!("bad.yaml:4:12: descriptors[0].value: {text} {allowed}")],
    );
    accepts(&descriptor("value: 9223372036854775807"));
    accepts(&descriptor("value: '1.5'"));
}

#[test]
fn e19_one_bad_file_refuses_all_and_every_problem_is_told() {
    let bad = "domain: d\nlimits: 5\ndescriptors:\n  - value: x\n    rate_limit: {unit: foo, requests_per_unit: -5}\n";
    let problems = load(&[("a.yaml", BASIC), ("b.yaml", bad), ("c.yaml", "'''\n")], false).unwrap_err();
    let found: Vec<_> = problems
        .iter()
        .map(|problem| {
            (
                problem.file.as_str(),
                problem.position.unwrap().line,
                problem.message.as_str(),
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("b.yaml", 2, "config error, unknown key 'limits'"),
            ("b.yaml", 4, "descriptor has empty key"),
            ("b.yaml", 5, "invalid rate limit unit 'foo'"),
            (
                "b.yaml",
                5,
                "error loading config file: yaml: unmarshal errors: line 5: cannot unmarshal !!int `-5` into uint32"
            ),
            (
                "c.yaml",
                2,
                "error loading config file: yaml: line 2: found unexpected end of stream"
            ),
        ]
    );
}

#[test]
fn a_value_that_does_not_fit_is_told_in_the_words_of_yaml_v2() {
    #[track_caller]
    fn unfit(lines: &str, expected: &str) {
        let found = problems(&descriptor(lines));
        assert_eq!(found.len(), 1, "{found:?}");
        let found = found.first().unwrap();
        assert!(
            found.contains("error loading config file: yaml: unmarshal errors: line "),
            "{found}"
        );
        assert!(found.contains(&format!("cannot unmarshal {expected}")), "{found}");
    }
    unfit(
        "rate_limit: {unit: day, requests_per_unit: \"5\"}",
        "!!str `5` into uint32",
    );
    unfit(
        "rate_limit: {unit: day, requests_per_unit: 4294967296}",
        "!!int `4294967296` into uint32",
    );
    unfit(
        "rate_limit: {unit: day, requests_per_unit: many}",
        "!!str `many` into uint32",
    );
    unfit("rate_limit: [{unit: day}]", "!!seq into config.YamlRateLimit");
    unfit("rate_limit: none", "!!str `none` into config.YamlRateLimit");
    unfit("descriptors: none", "!!str `none` into []config.YamlDescriptor");
    unfit("descriptors: {key: a}", "!!map into []config.YamlDescriptor");
    unfit("shadow_mode: more than ten", "!!str `more th...` into bool");
    unfit("shadow_mode: maybe", "!!str `maybe` into bool");
    unfit("shadow_mode: \"true\"", "!!str `true` into bool");
    unfit("value: {key: x}", "!!map into string");
    unfit("value: []", "!!seq into string");
    unfit("metadata: [a]", "!!seq into map[string]interface {}");
}

#[test]
fn a_document_that_is_no_map_is_refused() {
    refuses(
        "just words",
        &[
            "bad.yaml:1:1: error loading config file: yaml: unmarshal errors: line 1: cannot unmarshal !!str `just words` \
           into map[interface {}]interface {} (allowed: a map)",
        ],
    );
}

#[test]
fn numbers_and_booleans_are_those_of_yaml_1_1() {
    for number in ["0x10", "010", "1_000", "0", "4294967295"] {
        accepts(&descriptor(&format!(
            "rate_limit: {{unit: day, requests_per_unit: {number}}}"
        )));
    }
    accepts(&descriptor("shadow_mode: yes\nquota_mode: off"));
    let rules = load(
        &[("f", &descriptor("rate_limit: {unit: day, requests_per_unit: 010}"))],
        false,
    )
    .unwrap();
    assert_eq!(rules.rules().next().unwrap().stated_requests(), 8);
}

#[test]
fn what_the_other_server_accepts_is_accepted() {
    accepts("domain: d\nunit: minute\ndescriptors: []\n");
    accepts("domain: d\ndescriptors:\n");
    accepts(&descriptor("value: 123"));
    accepts(&descriptor("value: true"));
    accepts(&descriptor("key: again\nvalue: ~"));
    accepts(&descriptor("metadata: {1: x, any: {thing: [1.5, {}]}}"));
    accepts("{\"domain\": \"d\", \"descriptors\": [{\"key\": \"a\"}]}");
    accepts("\u{feff}domain: d\r\ndescriptors:\r\n  - key: a\r\n");
    accepts(
        "domain: d\ndescriptors:\n  - key: a\n    rate_limit: &l {unit: day}\n  - key: b\n    rate_limit: {<<: *l}\n",
    );
}

#[test]
fn metadata_keeps_its_keys_as_written_and_prints_those_within() {
    use ratelimit_core::metadata::Value;
    let text = descriptor("rate_limit: {unit: day}\nmetadata: {n: y, 1: [~, 2, x], deep: {n: 1.5, 7: x}}");
    let rules = load(&[("f.yaml", &text)], false).unwrap();
    let metadata = rules.rules().next().unwrap().metadata();
    assert_eq!(metadata.keys().collect::<Vec<_>>(), ["1", "deep", "n"]);
    assert_eq!(metadata.get("n"), Some(&Value::Bool(true)));
    assert_eq!(
        metadata.get("1"),
        Some(&Value::List(vec![Value::Null, Value::Number(2.0), Value::from("x")]))
    );
    let deep = [
        ("false".to_owned(), Value::Number(1.5)),
        ("7".to_owned(), Value::from("x")),
    ];
    assert_eq!(metadata.get("deep"), Some(&Value::Map(deep.into_iter().collect())));
}

#[test]
fn what_has_no_effect_is_noticed_and_not_refused() {
    let text = "domain: d\nunit: minute\ndescriptors:\n  - key: k\n    requests_per_unit: 5\n---\ndomain: e\n";
    let loaded = rules_file::load_with_notices(
        [Text {
            name: "f.yaml",
            bytes: text.as_bytes(),
        }],
        BuildOptions::default(),
    );
    assert_eq!(loaded.rules.unwrap().domains().collect::<Vec<_>>(), ["d"]);
    let notices: Vec<_> = loaded.notices.iter().map(told).collect();
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert!(
        notices
            .iter()
            .any(|text| text.starts_with("f.yaml:2:1: unit: key 'unit' has no effect in the root"))
    );
    assert!(
        notices
            .iter()
            .any(|text| text.starts_with("f.yaml:5:5: descriptors[0].requests_per_unit: key"))
    );
    assert!(
        notices
            .iter()
            .any(|text| text == "f.yaml:7:1: only the first document of a file is read")
    );
}

#[test]
fn documents_of_kubernetes_are_refused_by_name() {
    let text = "apiVersion: v1\nkind: ConfigMap\ndata: {config.yaml: 'domain: d'}\n";
    refuses(
        text,
        &["bad.yaml:2:7: kind: documents of this kind are not served \
           (allowed: a document with domain and descriptors)"],
    );
    let second = format!("{BASIC}---\n{text}");
    assert_eq!(problems(&second).len(), 1);
}

/// Pieces of the grammar in any order and at any depth, right and wrong.
fn documents() -> impl Strategy<Value = String> {
    let scalar = prop::sample::select(
        &[
            "x", "'*'", "a*b", "7", "-1", "1.5", "yes", "~", "minute", "''", "[]", "{}", "[a]",
        ][..],
    );
    let key = prop::sample::select(
        &[
            "domain",
            "descriptors",
            "key",
            "value",
            "rate_limit",
            "unit",
            "requests_per_unit",
            "unlimited",
            "name",
            "replaces",
            "metadata",
            "share_threshold",
            "shadow_mode",
            "value_to_metric",
            "unknown",
            "5",
            "yes",
        ][..],
    );
    let leaf = scalar.prop_map(str::to_owned);
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let map = prop::collection::vec((key.clone(), inner.clone()), 0..6).prop_map(|fields| {
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key}: {value}")).collect();
            format!("{{{}}}", fields.join(", "))
        });
        let list = prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", ")));
        prop_oneof![3 => map, 1 => list]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5a11_0003),
        ..ProptestConfig::default()
    })]

    /// Whatever a file says, it is rules or it is problems, each with its file and place.
    #[test]
    fn any_document_is_rules_or_problems(documents in prop::collection::vec(documents(), 1..3)) {
        let names: Vec<_> = (0..documents.len()).map(|index| format!("{index}.yaml")).collect();
        let files: Vec<_> = names.iter().zip(&documents).map(|(name, text)| (name.as_str(), text.as_str())).collect();
        if let Err(problems) = load(&files, true) {
            prop_assert!(!problems.is_empty());
            for problem in &problems {
                prop_assert!(names.contains(&problem.file) && problem.position.is_some(), "{problem}");
            }
        }
    }
}

#[test]
fn the_shipped_configuration_is_good_and_holds_nothing_without_effect() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/ratelimit");
    let selection = Selection {
        dot_files: DotFiles::Ignore,
        extensions: Extensions::All,
    };
    let files = server::source::read(directory.as_ref(), selection).expect("config/ratelimit is there");
    let report = check::check_files(&files, BuildOptions::default());
    assert!(report.is_ok() && report.notices.is_empty(), "{report}");
}
