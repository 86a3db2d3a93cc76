//! Which rule a descriptor meets, which statistics it counts in and which counter. The numbers (C1, W1, D1, V1, S1,
//! ...) are those of our conformance list.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ratelimit::rules_file::{self, Text};
use ratelimit_core::{
    BuildOptions, Counted, Descriptor, Enforcement, Entry, Hits, KeyFormat, LimitOverride, Planned, Rate, Request,
    Rule, RuleSet, Unit, UnixTime, Unmatched,
};

const BASIC: &str = include_str!("fixtures/basic.yaml");
const WILDCARD: &str = include_str!("fixtures/wildcard.yaml");

fn rules(texts: &[&str]) -> RuleSet {
    let names: Vec<_> = (0..texts.len()).map(|n| format!("{n}.yaml")).collect();
    let texts = names.iter().zip(texts).map(|(name, text)| Text {
        name,
        bytes: text.as_bytes(),
    });
    rules_file::load(
        texts,
        BuildOptions {
            merge_domains: true,
            ..BuildOptions::default()
        },
    )
    .unwrap()
}

/// `key=value/key=value` to a request of one descriptor.
fn request<'a>(domain: &'a str, entries: &'a str) -> Request<'a> {
    let entry = |text: &'a str| {
        let (key, value) = text.split_once('=').unwrap();
        Entry { key, value }
    };
    // A blank separates, as values may hold slashes.
    let entries = entries.split(' ').filter(|text| !text.is_empty()).map(entry).collect();
    let descriptor = Descriptor {
        entries,
        hits: Hits::resolve(None, 0),
        limit: None,
        stated_hits: None,
    };
    Request {
        domain,
        descriptors: [descriptor].into_iter().collect(),
        stated_hits: 0,
    }
}

/// What a descriptor came to: `5/SECOND domain.path`, `unlimited domain.path` or why nothing.
fn found(rules: &RuleSet, request: &Request<'_>) -> String {
    let plan = rules.plan(request, UnixTime::from_secs(1_234), &KeyFormat::default());
    match plan.planned() {
        [Planned::Counted(counted)] => {
            let stats = counted.stats_key().unwrap().as_str().to_owned();
            format!(
                "{}/{} {stats}",
                counted.rate.requests_per_unit(),
                counted.rate.unit.name()
            )
        }
        [Planned::Unlimited(rule)] => format!("unlimited {}", rule.stats_key()),
        [Planned::Unmatched(why)] => format!("{why:?}"),
        _ => panic!("one descriptor, one plan"),
    }
}

#[track_caller]
fn check(rules: &RuleSet, domain: &str, entries: &str, expected: &str) {
    assert_eq!(found(rules, &request(domain, entries)), expected, "{entries}");
}

#[test]
fn c1_to_c20_the_basic_file() {
    let rules = rules(&[BASIC]);
    check(&rules, "foo_domain", "", "UnknownDomain"); // C1
    check(&rules, "test-domain", "", "Empty"); // C2
    check(&rules, "test-domain", "key1=something", "NoRule"); // C3
    check(&rules, "test-domain", "key1=value1", "NoRule"); // C4
    check(&rules, "test-domain", "key2=value2 subkey=subvalue", "NoRule"); // C5
    check(&rules, "test-domain", "key5=value5 subkey5=subvalue", "NoRule"); // C6
    check(
        &rules,
        "test-domain",
        "key1=value1 subkey1=something",
        "5/SECOND test-domain.key1_value1.subkey1",
    ); // C7
    check(
        &rules,
        "test-domain",
        "key1=value1 subkey1=subvalue1",
        "10/SECOND test-domain.key1_value1.subkey1_subvalue1",
    );
    check(&rules, "test-domain", "key2=something", "20/MINUTE test-domain.key2"); // C9
    check(
        &rules,
        "test-domain",
        "key2=value2",
        "30/MINUTE test-domain.key2_value2",
    ); // C10
    check(&rules, "test-domain", "key2=value3", "NoRule"); // C11
    check(&rules, "test-domain", "key3=foo", "1/HOUR test-domain.key3"); // C12
    check(&rules, "test-domain", "key4=foo", "1/DAY test-domain.key4"); // C13
    check(&rules, "test-domain", "key6=foo", "unlimited test-domain.key6"); // C14
    check(
        &rules,
        "test-domain",
        "key7=unspecified_value",
        "70/MINUTE test-domain.key7_unspecified_value",
    ); // C15
    check(
        &rules,
        "test-domain",
        "key7=another_value",
        "70/MINUTE test-domain.key7_another_value",
    ); // C16
    assert_eq!(rules.domains().collect::<Vec<_>>(), ["test-domain"]); // C17
    check(&rules, "test-domain", "key5=value5", "15/DAY test-domain.key5_value5"); // C18
    check(&rules, "test-domain", "key2=", "20/MINUTE test-domain.key2"); // C19
    check(&rules, "test-domain", "subkey1=x", "NoRule"); // C20
    let names: Vec<_> = rules.rules().map(Rule::name).filter(|name| !name.is_empty()).collect();
    assert_eq!(names, ["key4_rate_limit"]); // C12, C13
}

#[test]
fn c21_merged_files_are_one_domain() {
    let file = |key: &str, number: u32| {
        let limit = format!("{{unit: minute, requests_per_unit: {number}}}");
        format!("domain: test-domain\ndescriptors:\n  - {{key: {key}, value: value{number}, rate_limit: {limit}}}\n")
    };
    let rules = rules(&[&file("key1", 10), &file("key2", 20)]);
    check(
        &rules,
        "test-domain",
        "key1=value10",
        "10/MINUTE test-domain.key1_value10",
    );
    check(
        &rules,
        "test-domain",
        "key2=value20",
        "20/MINUTE test-domain.key2_value20",
    );
    check(&rules, "other", "key1=value10", "UnknownDomain");
    check(&rules, "test-domain", "", "Empty");
}

/// As [`check`], the request bringing along a limit.
#[track_caller]
fn overridden(rules: &RuleSet, domain: &str, entries: &str, rate: Rate, expected: &str) {
    let mut request = request(domain, entries);
    for descriptor in &mut request.descriptors {
        descriptor.limit = Some(LimitOverride { rate });
    }
    assert_eq!(found(rules, &request), expected, "{entries}");
}

#[test]
fn c22_to_c27_a_limit_of_the_requests_own() {
    let rules = rules(&[BASIC]);
    let (ten, forty_two) = (Rate::new(10, Unit::Day), Rate::new(42, Unit::Hour));
    let something = "key1=value1 subkey1=something";
    overridden(&rules, "foo_domain", something, ten, "UnknownDomain"); // C22
    overridden(
        &rules,
        "test-domain",
        something,
        ten,
        "10/DAY test-domain.key1_value1.subkey1_something",
    ); // C23
    overridden(
        &rules,
        "test-domain",
        something,
        forty_two,
        "42/HOUR test-domain.key1_value1.subkey1_something",
    ); // C24
    let other = "42/HOUR test-domain.key1_value1.subkey1_something_else";
    overridden(
        &rules,
        "test-domain",
        "key1=value1 subkey1=something_else",
        forty_two,
        other,
    ); // C25
    overridden(
        &rules,
        "test-domain",
        "no=where at=",
        ten,
        "10/DAY test-domain.no_where.at",
    ); // C26
    overridden(&rules, "test-domain", "", ten, "10/DAY test-domain."); // C26
    assert_eq!([0, 8, -1].map(Unit::from_number), [None; 3]); // C27: such a unit cannot become an override.
}

#[test]
fn c28_shadow_mode_is_of_the_rule_that_was_met() {
    let text = BASIC.replace("value: subvalue1\n", "value: subvalue1\n        shadow_mode: true\n");
    let text = text.replacen("- key: key2\n", "- key: key2\n    shadow_mode: true\n", 1);
    let rules = rules(&[&text]);
    let shadow: Vec<_> = rules
        .rules()
        .filter(|rule| rule.enforcement() == Enforcement::Shadow)
        .collect();
    let shadow: Vec<_> = shadow.into_iter().map(Rule::stats_key).collect();
    assert_eq!(
        shadow,
        ["test-domain.key1_value1.subkey1_subvalue1", "test-domain.key2"]
    );
}

#[test]
fn c29_metadata_is_of_the_rule_that_was_met() {
    let text = BASIC.replacen(
        "- key: key2\n",
        "- key: key2\n    metadata: {service: {name: service_2}}\n",
        1,
    );
    let rules = rules(&[&text]);
    let with: Vec<_> = rules
        .rules()
        .filter(|rule| !rule.metadata().is_empty())
        .map(Rule::stats_key)
        .collect();
    assert_eq!(with, ["test-domain.key2"]);
    check(&rules, "test-domain", "key2=something", "20/MINUTE test-domain.key2");
}

#[track_caller]
fn wild(rules: &RuleSet, entries: &str, expected: &str) {
    check(rules, "test-domain", entries, expected);
}

#[test]
fn w1_to_w7_wildcards() {
    let rules = rules(&[WILDCARD]);
    wild(&rules, "noVal=foo1", "20/MINUTE test-domain.noVal"); // W1
    wild(&rules, "noVal=foo2", "20/MINUTE test-domain.noVal");
    wild(&rules, "wild=foo1", "20/MINUTE test-domain.wild_foo*"); // W2
    wild(&rules, "wild=foo2", "20/MINUTE test-domain.wild_foo*");
    wild(
        &rules,
        "nestedWild=val1 wild=goo2",
        "20/MINUTE test-domain.nestedWild_val1.wild_goo*",
    ); // W3
    wild(&rules, "wild=bar", "NoRule"); // W4
    wild(&rules, "noWild=foo1", "NoRule");
    for value in ["barab", "bar123b", "barb"] {
        wild(
            &rules,
            &format!("midWild={value}"),
            "20/MINUTE test-domain.midWild_bar*b",
        ); // W5
    }
    wild(&rules, "midWild=bara", "NoRule");
    wild(&rules, "midWild=xbarb", "NoRule");
    for value in ["foo123bar456baz", "foobarbaz"] {
        wild(
            &rules,
            &format!("multiWild={value}"),
            "10/MINUTE test-domain.multiWild_foo*bar*baz",
        ); // W6, W7
    }
    wild(&rules, "multiWild=foo123baz", "NoRule");
    wild(&rules, "multiWild=bar456baz", "NoRule");
}

/// A file of the domain `domain` with these descriptors in flow style.
fn of(domain: &str, descriptors: &str) -> RuleSet {
    rules(&[&format!("domain: {domain}\ndescriptors: [{descriptors}]\n")])
}

/// A limit of so many a minute, in flow style.
fn per_minute(number: u32) -> String {
    format!("rate_limit: {{unit: minute, requests_per_unit: {number}}}")
}

#[test]
fn w8_to_w10_wildcards_in_statistics() {
    let limit = per_minute(20);
    let twice = |flags: &str| {
        of(
            "test-domain",
            &format!("{{key: wild, value: foo*bar*, {flags} {limit}}}"),
        )
    };
    check(
        &twice(""),
        "test-domain",
        "wild=foo123bar456",
        "20/MINUTE test-domain.wild_foo*bar*",
    ); // W8
    check(
        &twice(""),
        "test-domain",
        "wild=fooXbarY",
        "20/MINUTE test-domain.wild_foo*bar*",
    );
    let named = twice("value_to_metric: true,");
    check(
        &named,
        "test-domain",
        "wild=foo123bar456",
        "20/MINUTE test-domain.wild_foo123bar456",
    );
    let once = |flags: &str| of("test-domain", &format!("{{key: wild, value: foo*, {flags} {limit}}}"));
    let (named, shared) = ("value_to_metric: true,", "share_threshold: true,");
    check(
        &once(named),
        "test-domain",
        "wild=foo1",
        "20/MINUTE test-domain.wild_foo1",
    ); // W9
    check(
        &once(shared),
        "test-domain",
        "wild=foo1",
        "20/MINUTE test-domain.wild_foo*",
    );
    check(
        &once(&format!("{named} {shared}")),
        "test-domain",
        "wild=foo1",
        "20/MINUTE test-domain.wild_foo*",
    );
    let deep = format!(
        "{{key: wild, value: foo*, descriptors: [{{key: other, value_to_metric: true, descriptors: [{{key: limit, {limit}}}]}}]}}"
    );
    let entries = "wild=foo1 other=bar limit=X";
    check(
        &of("test-domain", &deep),
        "test-domain",
        entries,
        "20/MINUTE test-domain.wild_foo*.other_bar.limit",
    ); // W10
}

#[test]
fn w11_to_w13_precedence() {
    let node = |value: &str, number: u32| format!("{{key: k, value: '{value}', {}}}", per_minute(number));
    let siblings = of("d", &[node("ab", 1), node("a*", 2), node("", 3)].join(","));
    check(&siblings, "d", "k=ab", "1/MINUTE d.k_ab"); // W11
    check(&siblings, "d", "k=ax", "2/MINUTE d.k_a*");
    check(&siblings, "d", "k=zz", "3/MINUTE d.k");
    let two = of("d", &[node("a*", 1), node("ab*", 2)].join(","));
    check(&two, "d", "k=abc", "1/MINUTE d.k_a*"); // W12
    let child = |key: &str| format!("descriptors: [{{key: {key}, {}}}]", per_minute(1));
    let parents = of(
        "d",
        &format!("{{key: k, value: 'a*', {}}}, {{key: k, {}}}", child("x"), child("y")),
    );
    check(&parents, "d", "k=abc x=1", "1/MINUTE d.k_a*.x"); // W13
    check(&parents, "d", "k=abc y=1", "NoRule");
    check(&parents, "d", "k=z y=1", "1/MINUTE d.k.y");
}

#[test]
fn matching_is_of_the_joined_text() {
    let rules = of(
        "d",
        &[
            format!("{{key: a_b, value: c, {}}}", per_minute(1)),
            format!("{{key: k, value: '*', {}}}", per_minute(2)),
            format!("{{key: s, value: 'x*', share_threshold: true, {}}}", per_minute(3)),
        ]
        .join(","),
    );
    check(&rules, "d", "a=b_c", "1/MINUTE d.a_b_c");
    check(&rules, "d", "k=", "2/MINUTE d.k_*");
    // The pattern of the key `k` reaches across the underscore. The name of the level then repeats it.
    check(&rules, "d", "k_x=y", "2/MINUTE d.k_x_k_*");
    // A literal star is an exact match and shares nothing.
    let request = request("d", "s=x*");
    assert_eq!(key(&rules, &request), "d_s_x*_1200");
}

fn key(rules: &RuleSet, request: &Request<'_>) -> String {
    let plan = rules.plan(request, UnixTime::from_secs(1_234), &KeyFormat::default());
    let counted: Vec<&Counted<'_>> = plan.charges().collect();
    assert!(counted.len() == 1, "{request:?}");
    counted.iter().map(|counted| counted.key.to_string()).collect()
}

#[test]
fn d1_to_d7_detailed_metric() {
    let detailed = |on: bool| {
        let flag = format!("detailed_metric: {on}");
        let child = format!("{{key: key-2, {flag}, {}}}", per_minute(5));
        of(
            "nested",
            &format!("{{key: key-1, {flag}, {}, descriptors: [{child}]}}", per_minute(100)),
        )
    };
    check(
        &detailed(true),
        "nested",
        "key-1=value-1",
        "100/MINUTE nested.key-1_value-1",
    ); // D1
    check(&detailed(false), "nested", "key-1=value-1", "100/MINUTE nested.key-1"); // D2
    let both = "key-1=value-1 key-2=value-2";
    check(
        &detailed(true),
        "nested",
        both,
        "5/MINUTE nested.key-1_value-1.key-2_value-2",
    ); // D3
    check(&detailed(false), "nested", both, "5/MINUTE nested.key-1.key-2"); // D4
    check(&detailed(true), "nested", "key-1=", "100/MINUTE nested.key-1_");

    let rules = rules(&[include_str!("fixtures/detailed.yaml")]);
    check(
        &rules,
        "nested",
        "key_1=value-for-key-1",
        "500/MINUTE nested.key_1_value-for-key-1",
    ); // D5
    check(
        &rules,
        "nested",
        "key_2=key-2-value",
        "5000/MINUTE nested.key_2_key-2-value",
    ); // D6
    let requested = "key_2=key-2-value key_3=requested-key3-value";
    check(
        &rules,
        "nested",
        requested,
        "5/MINUTE nested.key_2_key-2-value.key_3_requested-key3-value",
    ); // D7
}

/// Nested keys, `!` before those whose value goes into the statistics; the last has the limit.
fn nested(domain: &str, keys: &[&str], last: &str) -> RuleSet {
    let mut node = String::new();
    for key in keys.iter().rev() {
        let (flag, key) = key
            .strip_prefix('!')
            .map_or(("", *key), |key| ("value_to_metric: true,", key));
        let inner = if node.is_empty() {
            format!("{last} {}", per_minute(60))
        } else {
            format!("descriptors: [{node}]")
        };
        node = format!("{{key: {key}, {flag} {inner}}}");
    }
    of(domain, &node)
}

#[test]
fn v1_to_v5_v8_value_to_metric() {
    let route = nested("domain", &["!route", "!http_method", "subject_id"], "");
    let request = "route=draw http_method=GET subject_id=123";
    check(
        &route,
        "domain",
        request,
        "60/MINUTE domain.route_draw.http_method_GET.subject_id",
    ); // V1
    check(
        &nested("d", &["!k1", "k2"], ""),
        "d",
        "k1=A k2=foo",
        "60/MINUTE d.k1_A.k2",
    ); // V2
    check(
        &nested("d", &["k1", "!k2", "k3"], ""),
        "d",
        "k1=X k2=Y k3=Z",
        "60/MINUTE d.k1.k2_Y.k3",
    ); // V3
    check(&nested("d", &["k1", "k2"], ""), "d", "k1=A k2=foo", "60/MINUTE d.k1.k2"); // V4
    let detailed = nested(
        "domain",
        &["!route", "!http_method", "subject_id"],
        "detailed_metric: true,",
    );
    check(
        &detailed,
        "domain",
        request,
        "60/MINUTE domain.route_draw.http_method_GET.subject_id_123",
    ); // V5
    check(
        &route,
        "domain",
        "route= http_method=GET subject_id=1",
        "60/MINUTE domain.route.http_method_GET.subject_id",
    ); // V8
    check(
        &route,
        "domain",
        "route=draw http_method= subject_id=1",
        "60/MINUTE domain.route_draw.http_method.subject_id",
    );
    check(
        &route,
        "domain",
        "route= http_method= subject_id=1",
        "60/MINUTE domain.route.http_method.subject_id",
    );
}

#[test]
fn v6_v7_value_to_metric_beside_values_and_wildcards() {
    let method = |name: &str, number: u32| {
        let leaf = format!("descriptors: [{{key: subject_id, {}}}]", per_minute(number));
        format!("{{key: http_method, value: {name}, value_to_metric: true, {leaf}}}")
    };
    let methods = [method("GET", 60), method("POST", 30)].join(",");
    let rules = of(
        "test-domain",
        &format!("{{key: route, value_to_metric: true, descriptors: [{methods}]}}"),
    );
    let get = "60/MINUTE test-domain.route_api.http_method_GET.subject_id";
    check(
        &rules,
        "test-domain",
        "route=api http_method=GET subject_id=user123",
        get,
    ); // V6
    let post = "30/MINUTE test-domain.route_api.http_method_POST.subject_id";
    check(
        &rules,
        "test-domain",
        "route=api http_method=POST subject_id=user456",
        post,
    );
    let leaf = format!("descriptors: [{{key: resource, {}}}]", per_minute(100));
    let action = format!("{{key: action, value: 'read*', value_to_metric: true, {leaf}}}");
    let rules = of(
        "domain",
        &format!("{{key: user, value_to_metric: true, descriptors: [{action}]}}"),
    );
    let alice = "100/MINUTE domain.user_alice.action_readfile.resource";
    check(&rules, "domain", "user=alice action=readfile resource=documents", alice); // V7
}

/// A descriptor under a shared wildcard: the counter's key and the name of the statistics.
#[track_caller]
fn shared(rules: &RuleSet, entries: &str, key_entries: &str, stats: &str) {
    let request = request("test-domain", entries);
    assert_eq!(
        key(rules, &request),
        format!("test-domain_{key_entries}_1200"),
        "{entries}"
    );
    assert_eq!(found(rules, &request).split(' ').nth(1), Some(stats), "{entries}");
}

#[test]
fn s1_to_s12_share_threshold() {
    let rules = rules(&[include_str!("fixtures/share.yaml")]);
    for file in ["files/a.pdf", "files/b.csv", "files/c.txt", "files/subdir/f.txt"] {
        shared(
            &rules,
            &format!("files={file}"),
            "files_files/*",
            "test-domain.files_files/*",
        ); // S1, K2
    }
    shared(
        &rules,
        "route=api/v1 method=GET",
        "route_api/*_method_GET",
        "test-domain.route_api/*.method",
    ); // S2
    let endpoint = "test-domain.service_svc/*.endpoint_get";
    shared(
        &rules,
        "service=svc/user endpoint=get",
        "service_svc/*_endpoint_get",
        endpoint,
    ); // S3
    let nested = "test-domain.nested_parent.files_nested/*";
    shared(
        &rules,
        "nested=parent files=nested/x",
        "nested_parent_files_nested/*",
        nested,
    ); // S4, K3
    let top = "test-domain.top_top/*.files_nested/*";
    shared(&rules, "top=top/a files=nested/b", "top_top/*_files_nested/*", top); // S5, K4
    let path = "test-domain.path_path/*.file_file/*.type";
    shared(
        &rules,
        "path=path/foo file=file/doc1 type=pdf",
        "path_path/*_file_file/doc1_type_pdf",
        path,
    ); // S6
    let user = "test-domain.user_user/*.resource_res/*.action";
    shared(
        &rules,
        "user=user/1 resource=res/2 action=read",
        "user_user/*_resource_res/*_action_read",
        user,
    ); // S7
    shared(&rules, "file=test1", "file_test1", "test-domain.file_test1"); // S8
    shared(&rules, "file=test2", "file_test*", "test-domain.file_test*");
    shared(&rules, "file=test123", "file_test*", "test-domain.file_test*");
    for path in ["/api/v1", "/api-beta-v1", "/apiXYZv1"] {
        shared(
            &rules,
            &format!("midpath={path}"),
            "midpath_/api*v1",
            "test-domain.midpath_/api*v1",
        ); // S9
    }
    check(&rules, "test-domain", "midpath=/api/v2", "NoRule");
    for value in ["svcAepBrpc", "svcXXXepYYYrpc", "svceprpc"] {
        shared(
            &rules,
            &format!("multiroute={value}"),
            "multiroute_svc*ep*rpc",
            "test-domain.multiroute_svc*ep*rpc",
        ); // S10
    }
    check(&rules, "test-domain", "multiroute=svcABCrpc", "NoRule");
    shared(
        &rules,
        "midroute=/api/v2",
        "midroute_/api*v2",
        "test-domain.midroute_/api*v2",
    ); // S11
    let tenant = "test-domain.tenant_t*prod.resource_res*v2";
    shared(
        &rules,
        "tenant=t99prod resource=resBBBv2",
        "tenant_t*prod_resource_res*v2",
        tenant,
    ); // S12
}

#[test]
fn an_empty_set_of_files_has_no_domain() {
    let rules = rules(&[]);
    assert_eq!(rules.domains().len(), 0);
    let plan = rules.plan(&request("d", "k=v"), UnixTime::from_secs(0), &KeyFormat::default());
    assert!(matches!(plan.planned(), [Planned::Unmatched(Unmatched::UnknownDomain)]));
}
