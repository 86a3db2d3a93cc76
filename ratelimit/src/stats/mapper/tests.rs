//! Mapping rules as a reader of them expects, and files that are refused.

use super::*;

fn read(text: &str) -> Mapping {
    Mapping::read("map.yaml", text.as_bytes()).unwrap()
}

/// `family{label="value"}` or `dropped`.
fn shown(mapping: &Mapping, full_name: &str, metric: Metric) -> String {
    let (name, tags) = Tags::split(full_name);
    let Some(place) = mapping.place(name, &tags, metric) else {
        return "dropped".to_owned();
    };
    let labels: Vec<_> = place
        .labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("{}{{{}}}", place.family, labels.join(","))
}

#[track_caller]
fn check(mapping: &Mapping, full_name: &str, metric: Metric, expected: &str) {
    assert_eq!(shown(mapping, full_name, metric), expected, "{full_name}");
}

#[track_caller]
fn builtin(full_name: &str, metric: Metric, expected: &str) {
    check(
        &Mapping::builtin(ResponseTime::Seconds).unwrap(),
        full_name,
        metric,
        expected,
    );
}

#[test]
fn rules_of_one_descriptor_have_one_key() {
    for counter in ["near_limit", "over_limit", "total_hits", "within_limit", "shadow_mode"] {
        builtin(
            &format!("ratelimit.service.rate_limit.mongo_cps.database_users.{counter}"),
            Metric::Counter,
            &format!("ratelimit_service_rate_limit_{counter}{{domain=mongo_cps,key1=database_users}}"),
        );
    }
}

#[test]
fn rules_of_more_descriptors_have_two_keys_and_lose_the_rest() {
    let two = "ratelimit_service_rate_limit_over_limit{domain=d,key1=a_1,key2=b_2}";
    builtin(
        "ratelimit.service.rate_limit.d.a_1.b_2.over_limit",
        Metric::Counter,
        two,
    );
    builtin(
        "ratelimit.service.rate_limit.d.a_1.b_2.c_3.over_limit",
        Metric::Counter,
        two,
    );
    builtin(
        "ratelimit.service.rate_limit.d.a_1.b_2.c_3.d_4.over_limit",
        Metric::Counter,
        two,
    );
    builtin(
        "ratelimit.service.rate_limit.d.masked_remote_address_0_0_0_0/0.x y.over_limit",
        Metric::Counter,
        "ratelimit_service_rate_limit_over_limit{domain=d,key1=masked_remote_address_0_0_0_0/0,key2=x y}",
    );
}

#[test]
fn other_statistics_of_the_service() {
    builtin(
        "ratelimit.service.call.should_rate_limit.redis_error",
        Metric::Counter,
        "ratelimit_service_should_rate_limit_error{err_type=redis_error}",
    );
    builtin(
        "ratelimit_server.Check.total_requests",
        Metric::Counter,
        "ratelimit_service_total_requests{grpc_method=Check}",
    );
    builtin(
        "ratelimit.service.config_load_error",
        Metric::Counter,
        "ratelimit_service_config_load_error{}",
    );
    builtin(
        "ratelimit.service.config_load_success",
        Metric::Counter,
        "ratelimit_service_config_load_success{}",
    );
}

#[test]
fn names_without_a_rule_keep_themselves() {
    builtin(
        "ratelimit.redis_pool.cx_active",
        Metric::Gauge,
        "ratelimit_redis_pool_cx_active{}",
    );
    builtin(
        "ratelimit.service.global_shadow_mode",
        Metric::Counter,
        "ratelimit_service_global_shadow_mode{}",
    );
    builtin(
        "ratelimit.service.rate_limit.d-x.k/1.over_limit_with_local_cache",
        Metric::Counter,
        "ratelimit_service_rate_limit_d_x_k_1_over_limit_with_local_cache{}",
    );
    builtin("9.lives", Metric::Counter, "_9_lives{}");
}

/// envoyproxy/ratelimit counts these as `over_limit` once more.
#[test]
fn local_cache_hits_of_two_descriptors_are_not_over_limit() {
    builtin(
        "ratelimit.service.rate_limit.d.a.b.over_limit_with_local_cache",
        Metric::Counter,
        "ratelimit_service_rate_limit_d_a_b_over_limit_with_local_cache{}",
    );
}

/// envoyproxy/ratelimit matches none of its globs once `EXTRA_TAGS` is set.
#[test]
fn tags_are_labels_and_rules_match_all_the_same() {
    builtin(
        "ratelimit.service.rate_limit.d.a.total_hits.__region=eu",
        Metric::Counter,
        "ratelimit_service_rate_limit_total_hits{domain=d,key1=a,region=eu}",
    );
    builtin("ratelimit.x.__a-b=1", Metric::Counter, "ratelimit_x{a_b=1}");
}

#[test]
fn globs_are_tried_before_expressions_and_both_in_order() {
    let mapping = read(
        r#"
mappings:
  - {match: "^a.*", match_type: regex, name: expression}
  - {match: "a.*", name: star}
  - {match: "a.b", name: exact}
  - {match: "^a\\.b\\.(?P<rest>.+)$", match_type: regex, name: never}
"#,
    );
    check(&mapping, "a.b", Metric::Counter, "star{}");
    check(&mapping, "a.b.c", Metric::Counter, "expression{}");
}

#[test]
fn a_rule_for_another_kind_is_passed_over() {
    let mapping = read(
        r#"
mappings:
  - {match: "a.*", match_metric_type: gauge, name: gauges}
  - {match: "a.*", match_metric_type: timer, name: timers}
  - {match: "a.*", match_metric_type: observer, name: never}
  - {match: "a.*", action: drop}
"#,
    );
    check(&mapping, "a.b", Metric::Gauge, "gauges{}");
    check(&mapping, "a.b", Metric::Timer, "timers{}");
    check(&mapping, "a.b", Metric::Counter, "dropped");
    check(&mapping, "b", Metric::Counter, "b{}");
}

#[test]
fn defaults_hold_for_rules_that_say_nothing() {
    let mapping = read(
        r#"
defaults: {match_type: regex, timer_type: histogram, buckets: [1, 2.5], glob_disable_ordering: false, ttl: 0s}
mappings:
  - {match: "(b)(x)?", name: "m_${1}_$3", labels: {l: "$1$2", fixed: v}, help: Own., scale: 10}
  - {match: "c.*", match_type: glob, name: "globbed", buckets: [7]}
"#,
    );
    let place = mapping.place("abc", &Tags::default(), Metric::Timer).unwrap();
    assert_eq!(
        (place.family.as_str(), &*place.help, place.scale),
        ("m_b_", "Own.", 10.0)
    );
    assert_eq!(
        place.labels,
        Labels::from([("l".into(), "b".into()), ("fixed".into(), "v".into())])
    );
    assert_eq!(*place.buckets, [1.0, 2.5]);
    assert_eq!(
        *mapping.place("c.c", &Tags::default(), Metric::Timer).unwrap().buckets,
        [7.0]
    );
}

#[test]
fn labels_of_the_rule_win_over_tags_unless_it_honours_them() {
    let rule = |honor| format!("mappings: [{{match: a, name: a, labels: {{l: rule}}, honor_labels: {honor}}}]");
    check(&read(&rule(false)), "a.__l=tag", Metric::Counter, "a{l=rule}");
    check(&read(&rule(true)), "a.__l=tag", Metric::Counter, "a{l=tag}");
}

#[test]
fn an_empty_file_has_no_rules() {
    for text in ["", "mappings:\n", "# nothing\n"] {
        check(&read(text), "ratelimit.x", Metric::Counter, "ratelimit_x{}");
    }
}

/// The rules that Envoy Gateway mounts have this form.
#[test]
fn files_of_the_usual_form_are_read() {
    let mapping = read(
        r#"
mappings:
  - match: "ratelimit.service.rate_limit.*.*.near_limit"
    name: "ratelimit_service_rate_limit_near_limit"
    timer_type: "histogram"
    labels:
      domain: "$1"
      key1: "$2"
  - match: "ratelimit\\.service\\.rate_limit\\.([^.]+)\\.([^.]+)\\.([^.]+).*\\.near_limit"
    name: "ratelimit_service_rate_limit_near_limit"
    timer_type: "histogram"
    match_type: "regex"
    labels:
      domain: "$1"
      key1: "$2"
      key2: "$3"
  - match: "ratelimit_server.*.response_time"
    name: "ratelimit_service_response_time_seconds"
    timer_type: histogram
    histogram_options:
      native_histogram_bucket_factor: 1.1
      native_histogram_max_buckets: 256
    scale: 0.001
    labels: {grpc_method: "$1"}
  - match: "."
    match_type: "regex"
    action: "drop"
    name: "dropped"
"#,
    );
    let two = "ratelimit_service_rate_limit_near_limit{domain=d,key1=a,key2=b}";
    check(
        &mapping,
        "ratelimit.service.rate_limit.d.a.b.c.near_limit",
        Metric::Counter,
        two,
    );
    check(&mapping, "ratelimit.go.numGoroutine", Metric::Gauge, "dropped");
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let problems = Mapping::read("map.yaml", text.as_bytes()).unwrap_err();
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn what_is_wrong_or_not_supported_is_refused_where_it_stands() {
    refused(
        "mappings:\n  - match: a..b\n    name: a\n  - match: '('\n    match_type: regex\n    name: 9a\n",
        &[
            "map.yaml:2:12: mappings[0].match: a glob is made of `*` and names of letters, digits, `_` and `-`, \
             joined by dots, found 'a..b'",
            "map.yaml:4:12: mappings[1].match: not a regular expression: unclosed group, found '('",
        ],
    );
    refused(
        "mappings:\n  - {match: a, name: 9a, labels: {b-c: x}}\n",
        &[
            "map.yaml:2:22: mappings[0].name: not the name of a metric, found '9a' (allowed: letters, digits, `_`, \
             `:` and places as `$1`)",
            "map.yaml:2:40: mappings[0].labels.b-c: 'b-c' is not the name of a label, found 'x' (allowed: letters, \
             digits and `_`)",
        ],
    );
    refused(
        "mappings: [{match: a, name: a, observer_type: summary, ttl: 5m}]",
        &[
            "map.yaml:1:47: mappings[0].observer_type: unknown value, found 'summary' (allowed: histogram)",
            "map.yaml:1:61: mappings[0].ttl: series are bounded and do not expire, found '5m' (allowed: 0)",
        ],
    );
    refused(
        "mappings: [{match: a, name: a, buckets: [2, 1]}, {match: a, name: a, scale: x}, {name: a}, {match: a}]",
        &[
            "map.yaml:1:41: mappings[0].buckets: upper bounds grow from one to the next",
            "map.yaml:1:77: mappings[1].scale: not a number that can be used, found 'x' (allowed: a finite number)",
            "map.yaml:1:81: mappings[2]: field 'match' is required",
            "map.yaml:1:92: mappings[3]: field 'name' is required",
        ],
    );
}

#[test]
fn fields_that_are_not_known_are_refused_with_those_that_are() {
    let problems = Mapping::read(
        "m",
        b"defaults: {quantiles: []}\nmappings: [{match: a, name: a, x: 1}]\ny: 1",
    )
    .unwrap_err();
    let shown = problems.to_string();
    for part in [
        "'quantiles' (allowed: buckets,",
        "'x' (allowed: action,",
        "'y' (allowed: defaults, mappings)",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn what_is_no_yaml_or_more_than_one_document_is_refused() {
    let position = |text: &str| {
        Mapping::read("m", text.as_bytes())
            .unwrap_err()
            .iter()
            .next()
            .unwrap()
            .position
    };
    assert!(position("mappings: [").is_some());
    assert!(position("a: 1\n---\nb: 1\n").is_some());
    assert!(position("- 1").is_some());
    assert!(position("mappings: 1").is_some());
}

#[test]
fn more_rules_than_the_bound_are_refused() {
    let text = format!("mappings:\n{}", "  - {match: a, name: a}\n".repeat(10_001));
    refused(
        &text,
        &["map.yaml:10002:5: mappings[10000]: a mapping file holds at most 10000 rules"],
    );
}

proptest::proptest! {
    /// Whatever a file, a name and its tags hold, what comes out is a family and labels that Prometheus takes.
    #[test]
    fn whatever_is_placed_has_valid_names(
        template in "[a-z$1{}_:]{1,8}",
        name in "\\PC{0,12}|[a-z0-9.]{0,12}",
        key in "\\PC{0,6}",
    ) {
        let text = format!("mappings: [{{match: '(.*)', match_type: regex, name: '{template}', labels: {{l: '{template}'}}}}]");
        let mapping = Mapping::read("m", text.as_bytes()).or_else(|_refused| Mapping::read("m", b"")).unwrap();
        let tags = Tags::verbatim(vec![(key, String::new())]);
        let place = mapping.place(&name, &tags, Metric::Counter).unwrap();
        let is_name = |text: &str, more: char| {
            let rest = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == more;
            !text.is_empty() && !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(rest)
        };
        proptest::prop_assert!(is_name(&place.family, ':'), "{}", place.family);
        for label in place.labels.keys() {
            proptest::prop_assert!(is_name(label, '_'), "{}", label);
        }
    }

    #[test]
    fn no_text_breaks_the_reader(text in "(mappings: |- |\\{|\\}|\\[|match: |name: |'|\\$|\n|  |[a-z*.(:]){0,40}") {
        drop(Mapping::read("m", text.as_bytes()));
    }
}
