//! What a scrape shows.

use std::sync::Mutex as StdMutex;
use std::time::Duration;

use prometheus::{Encoder as _, Registry, TextEncoder};

use super::*;
use crate::stats::mapper::ResponseTime;
use crate::stats::names::{self, RuleCounter};
use crate::stats::sample::Reading;

type Totals = Arc<StdMutex<Vec<(String, Reading)>>>;

fn families(response_time: ResponseTime, common: &[(&str, &str)]) -> (Families, Totals) {
    let totals = Totals::default();
    let read = Arc::clone(&totals);
    let source = Source::new(move |visit| {
        for (name, reading) in read.lock().unwrap().iter() {
            visit(name, *reading);
        }
    });
    let mapping = Mapping::builtin(response_time).unwrap();
    let families = Families::new(mapping, Tags::extra(common.iter().copied()), source).unwrap();
    (families, totals)
}

fn set(totals: &Totals, rows: &[(&str, Reading)]) {
    *totals.lock().unwrap() = rows
        .iter()
        .map(|(name, reading)| ((*name).to_owned(), *reading))
        .collect();
}

/// The lines of a scrape that begin so, through a registry as the process does it.
fn scrape(families: &Families, beginning: &str) -> Vec<String> {
    let registry = Registry::new();
    registry.register(Box::new(families.clone())).unwrap();
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines()
        .filter(|line| line.starts_with(beginning))
        .map(str::to_owned)
        .collect()
}

/// T3; numbers are those of our conformance list.
#[test]
fn t3_requests_are_counted_by_method() {
    let (families, totals) = families(ResponseTime::Seconds, &[]);
    set(
        &totals,
        &[("ratelimit_server.ShouldRateLimit.total_requests", Reading::Counter(1))],
    );
    let expected = r#"ratelimit_service_total_requests{grpc_method="ShouldRateLimit"} 1"#;
    assert_eq!(scrape(&families, "ratelimit_service"), [expected]);
    assert_eq!(
        scrape(&families, "ratelimit_service"),
        [expected],
        "a scrape counts nothing twice"
    );
    assert_eq!(
        scrape(&families, "# TYPE ratelimit_service"),
        ["# TYPE ratelimit_service_total_requests counter"]
    );
}

#[test]
fn t3_deeper_descriptors_are_added_up() {
    let (families, totals) = families(ResponseTime::Seconds, &[]);
    let rows = [
        ("key1_val1", 1),
        ("key1_val1.key2_val2", 2),
        ("key3_val3.key4_val4", 1),
        ("key3_val3.key4_val4.key5_val5", 2),
    ];
    let named = rows.map(|(keys, total)| {
        (
            format!("ratelimit.service.rate_limit.domain1.{keys}.over_limit"),
            Reading::Counter(total),
        )
    });
    *totals.lock().unwrap() = named.into();
    assert_eq!(
        scrape(&families, "ratelimit_service_rate_limit"),
        [
            r#"ratelimit_service_rate_limit_over_limit{domain="domain1",key1="key1_val1"} 1"#,
            r#"ratelimit_service_rate_limit_over_limit{domain="domain1",key1="key1_val1",key2="key2_val2"} 2"#,
            r#"ratelimit_service_rate_limit_over_limit{domain="domain1",key1="key3_val3",key2="key4_val4"} 3"#,
        ]
    );
}

#[test]
fn t3_a_gauge_of_another_name_keeps_its_name() {
    let (families, totals) = families(ResponseTime::Seconds, &[]);
    set(
        &totals,
        &[(
            "ratelimit.service.rate_limit.domain1.key1.test_gauge",
            Reading::Gauge(7),
        )],
    );
    assert_eq!(
        scrape(&families, "ratelimit_service_rate_limit"),
        ["ratelimit_service_rate_limit_domain1_key1_test_gauge 7"]
    );
}

#[test]
fn t3_a_timer_on_a_rules_name_is_a_histogram() {
    let (families, _totals) = families(ResponseTime::Seconds, &[]);
    let timer = families
        .timer("ratelimit.service.rate_limit.mongo_cps.database_users.total_hits")
        .unwrap();
    timer.observe(Duration::from_millis(1));
    let labels = r#"{domain="mongo_cps",key1="database_users"}"#;
    let family = "ratelimit_service_rate_limit_total_hits";
    assert_eq!(
        scrape(&families, &format!("{family}_sum")),
        [format!("{family}_sum{labels} 1")]
    );
    assert_eq!(
        scrape(&families, &format!("{family}_count")),
        [format!("{family}_count{labels} 1")]
    );
}

/// The values that the end-to-end tests of Envoy Gateway look for, from the statistics keys of rules to a scrape.
#[test]
fn masked_addresses_have_the_names_that_gateways_look_for() {
    let (families, totals) = families(ResponseTime::Seconds, &[]);
    let keys = [
        "masked_remote_address_0.0.0.0/0",
        "masked_remote_address_invert_192.0.2.0/24",
    ];
    let named = keys.map(|key| {
        let mut name = String::new();
        let stats_key = format!("ns/eg/http.route/rule/x.{key}");
        names::write_rule(&mut name, &names::sanitised(&stats_key), RuleCounter::OverLimit);
        (name, Reading::Counter(1))
    });
    *totals.lock().unwrap() = named.into();
    let labels = [
        "masked_remote_address_0_0_0_0/0",
        "masked_remote_address_invert_192_0_2_0/24",
    ];
    let family = "ratelimit_service_rate_limit_over_limit";
    let expected =
        labels.map(|key2| format!("{family}{{domain=\"ns/eg/http\",key1=\"route/rule/x\",key2=\"{key2}\"}} 1"));
    assert_eq!(scrape(&families, family), expected);
    assert_eq!(
        scrape(&families, "# TYPE ratelimit_service"),
        [format!("# TYPE {family} counter")]
    );
}

#[track_caller]
fn response_time(unit: ResponseTime, expected: &str) {
    let (families, _totals) = families(unit, &[]);
    let timer = families
        .timer("ratelimit_server.ShouldRateLimit.response_time")
        .unwrap();
    timer.observe(Duration::from_secs(1));
    let family = "ratelimit_service_response_time_seconds";
    let sum = format!("{family}_sum{{grpc_method=\"ShouldRateLimit\"}} {expected}");
    assert_eq!(scrape(&families, &format!("{family}_sum")), [sum]);
    assert_eq!(scrape(&families, &format!("{family}_bucket")).len(), 12);
}

#[test]
fn t3_response_times_are_seconds_or_milliseconds() {
    response_time(ResponseTime::Seconds, "1");
    response_time(ResponseTime::Milliseconds, "1000");
}

#[test]
fn common_tags_are_labels_of_everything() {
    let (families, totals) = families(ResponseTime::Seconds, &[("region", "eu")]);
    set(
        &totals,
        &[
            ("ratelimit.x", Reading::Gauge(1)),
            ("ratelimit.add.__code=miss", Reading::Counter(2)),
        ],
    );
    drop(families.timer("ratelimit_server.A.response_time").unwrap());
    assert_eq!(scrape(&families, "ratelimit_x"), [r#"ratelimit_x{region="eu"} 1"#]);
    assert_eq!(
        scrape(&families, "ratelimit_add"),
        [r#"ratelimit_add{code="miss",region="eu"} 2"#]
    );
    assert_eq!(
        scrape(&families, "ratelimit_service_response_time_seconds_count"),
        [r#"ratelimit_service_response_time_seconds_count{grpc_method="A",region="eu"} 0"#]
    );
}

#[test]
fn counters_survive_rules_that_go_and_come_back() {
    let (families, totals) = families(ResponseTime::Seconds, &[]);
    for (rows, expected) in [
        (&[("ratelimit.x", Reading::Counter(5))][..], "ratelimit_x 5"),
        (&[], "ratelimit_x 5"),
        (&[("ratelimit.x", Reading::Counter(2))], "ratelimit_x 7"),
    ] {
        set(&totals, rows);
        assert_eq!(scrape(&families, "ratelimit_x"), [expected]);
    }
}

#[test]
fn a_name_of_another_kind_is_refused_and_counted() {
    let (families, totals) = families(ResponseTime::Seconds, &[]);
    set(&totals, &[("a.b", Reading::Counter(5)), ("a_b", Reading::Gauge(9))]);
    let lines = scrape(&families, "");
    for expected in [
        "a_b 9",
        r#"ratelimit_statistics_refused{reason="kind"} 1"#,
        r#"ratelimit_statistics_refused{reason="series"} 0"#,
    ] {
        assert!(lines.iter().any(|line| line == expected), "{expected}: {lines:?}");
    }
}
