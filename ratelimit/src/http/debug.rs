//! The debug port: what is loaded and what was counted, as text. For operators; not to be exposed.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use ratelimit_core::{Enforcement, Limit, Role, Rule};
use server::reload::Current;

use crate::limits::Limits;
use crate::metrics::Metrics;

/// Every path and what it shows, sorted.
const ENDPOINTS: [(&str, &str); 2] = [
    (
        "/rlconfig",
        "print out the currently loaded configuration for debugging",
    ),
    ("/stats", "print out every counter"),
];

/// What the debug port answers. Every other path lists these.
pub fn routes(limits: Current<Limits>, metrics: Arc<Metrics>) -> Router {
    let rlconfig = move || async move { limits.load().map_or_else(String::new, |limits| rlconfig(&limits)) };
    let stats = move || async move { metrics.to_text() };
    Router::new()
        .route("/rlconfig", any(rlconfig))
        .route("/stats", any(stats))
        .fallback(index)
}

async fn index() -> String {
    let lines = ENDPOINTS.map(|(path, help)| format!("{path}: {help}\n"));
    lines.concat()
}

/// A line for each rule, as tools made for envoyproxy/ratelimit parse it.
fn rlconfig(limits: &Limits) -> String {
    let mut text = String::new();
    for rule in limits.rules.rules() {
        // Writing to a string does not fail.
        if write_rule(&mut text, rule).is_err() {
            break;
        }
    }
    text
}

fn write_rule(text: &mut String, rule: &Rule) -> std::fmt::Result {
    let (unit, requests) = match rule.limit() {
        Limit::Rate(rate) => (rate.unit.name(), rate.requests_per_unit()),
        Limit::Unlimited => ("UNKNOWN", rule.stated_requests()),
    };
    writeln!(
        text,
        "{}: unit={unit} requests_per_unit={requests}, shadow_mode: {}, quota_mode: {}",
        rule.stats_key(),
        rule.enforcement() == Enforcement::Shadow,
        rule.role() == Role::Quota,
    )
}

#[cfg(test)]
mod tests {
    use ratelimit_core::BuildOptions;

    use super::*;
    use crate::rules_file::{self, Text};

    #[test]
    fn prints_a_line_for_each_limit() {
        let yaml = "
domain: foo
descriptors:
  - key: k1
    value: v1
    rate_limit: {unit: minute, requests_per_unit: 10}
    descriptors:
      - key: k2
        rate_limit: {unlimited: true}
      - key: k2
        value: v2
        rate_limit: {unit: hour, requests_per_unit: 15}
  - key: j1
    shadow_mode: true
    quota_mode: true
    rate_limit: {unit: day, requests_per_unit: 0}
";
        let text = Text {
            name: "x4",
            bytes: yaml.as_bytes(),
        };
        let rules = rules_file::load([text], BuildOptions::default()).unwrap();
        let printed = rlconfig(&Limits::new(rules, &Metrics::default()));
        let mut lines: Vec<_> = printed.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "foo.j1: unit=DAY requests_per_unit=0, shadow_mode: true, quota_mode: true",
                "foo.k1_v1.k2: unit=UNKNOWN requests_per_unit=0, shadow_mode: false, quota_mode: false",
                "foo.k1_v1.k2_v2: unit=HOUR requests_per_unit=15, shadow_mode: false, quota_mode: false",
                "foo.k1_v1: unit=MINUTE requests_per_unit=10, shadow_mode: false, quota_mode: false",
            ]
        );
    }
}
