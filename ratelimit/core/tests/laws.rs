//! Laws that hold for every configuration and every order of requests.

mod common;

use std::collections::HashMap;

use common::{file, limit, plan, request};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use ratelimit_core::source::RuleNode;
use ratelimit_core::{
    BuildOptions, Code, Descriptor, Entry, Hits, KeyFormat, LimitOverride, Plan, Rate, Reading, Request, RuleSet, Unit,
    UnixTime,
};

/// The smallest store there can be: adds, and answers what it holds.
#[derive(Default)]
struct Counters(HashMap<String, u64>);

impl Counters {
    fn apply(&mut self, plan: &Plan<'_>) -> Vec<Reading> {
        let charge = |(key, hits): (&str, Hits)| {
            let counter = self.0.entry(key.to_owned()).or_default();
            *counter = match hits {
                Hits::Charge(hits) => counter.saturating_add(hits.get()),
                Hits::Peek => *counter,
                Hits::Refund(hits) => counter.saturating_sub(hits.get()),
            };
            Reading {
                after: *counter,
                known_over: false,
            }
        };
        plan.charges()
            .map(|charged| (charged.key.as_str(), charged.hits))
            .map(charge)
            .collect()
    }
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 500,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(0x5a11_0002),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever the order and the sizes of requests, no window admits more hits than the limit.
    #[test]
    fn a_window_never_admits_more_than_the_limit(
        requests_per_unit in 0_u32..40,
        asked in prop::collection::vec((0_u64..6, 0_u64..180), 1..120),
    ) {
        let rules = RuleSet::build(&[file("d", vec![limit("k", "", requests_per_unit, "minute")])], BuildOptions::default());
        let rules = rules.unwrap();
        let mut counters = Counters::default();
        let mut admitted: HashMap<u64, u64> = HashMap::new();
        for (hits, now) in asked {
            let request = request("d", &[(&[("k", "v")], Some(hits))]);
            let plan = plan(&rules, &request, now);
            let readings = counters.apply(&plan);
            let decision = plan.decide(&readings, UnixTime::from_secs(now)).unwrap();
            if decision.overall == Code::Ok {
                *admitted.entry(now / 60).or_default() += hits;
            }
        }
        prop_assert!(admitted.values().all(|&hits| hits <= u64::from(requests_per_unit)), "{admitted:?}");
    }

    /// The statistics of one limit add up: what was asked for was within, or over, or crossed the limit.
    #[test]
    fn every_hit_is_counted_once(
        requests_per_unit in 1_u32..40,
        asked in prop::collection::vec(1_u64..9, 1..60),
    ) {
        let rules = RuleSet::build(&[file("d", vec![limit("k", "", requests_per_unit, "year")])], BuildOptions::default());
        let rules = rules.unwrap();
        let mut counters = Counters::default();
        let (mut total, mut within, mut over, mut crossed) = (0, 0, 0, 0);
        for hits in asked {
            let request = request("d", &[(&[("k", "v")], Some(hits))]);
            let plan = plan(&rules, &request, 0);
            let readings = counters.apply(&plan);
            let decision = plan.decide(&readings, UnixTime::from_secs(0)).unwrap();
            let outcome = decision.statuses.first().unwrap().outcome;
            prop_assert!(outcome.near <= hits && outcome.over <= hits);
            total += outcome.total;
            within += outcome.within;
            over += outcome.over;
            if decision.overall == Code::OverLimit {
                crossed += hits - outcome.over;
            }
        }
        prop_assert_eq!(total, within + over + crossed);
    }

    /// Any request and any readings of the right number have an answer, and it never remains more than the limit.
    #[test]
    fn deciding_is_total(
        descriptors in prop::collection::vec(
            (prop::sample::select(&["k", "w", "none"][..]), 0_u8..3, any::<u64>(), any::<u64>(), any::<bool>(), any::<u32>()),
            0..6,
        ),
        now in any::<u64>(),
    ) {
        let nodes: Vec<RuleNode> = vec![limit("k", "", 10, "second"), limit("w", "*", u32::MAX, "week")];
        let rules = RuleSet::build(&[file("d", nodes)], BuildOptions::default()).unwrap();
        let (mut request, mut readings) = (
            Request { domain: "d", descriptors: [].into_iter().collect(), stated_hits: 0 },
            Vec::new(),
        );
        for (key, kind, hits, after, known_over, requests) in descriptors {
            let hits = Hits::resolve(Some(hits), 0);
            request.descriptors.push(Descriptor {
                entries: [Entry { key, value: "v" }].into_iter().collect(),
                hits: if kind == 0 { hits.negated() } else { hits },
                limit: (kind == 2).then(|| LimitOverride { rate: Rate::new(requests, Unit::Year) }),
                stated_hits: None,
            });
            readings.push(Reading { after, known_over });
        }
        let plan = rules.plan(&request, UnixTime::from_secs(now), &KeyFormat::default());
        readings.truncate(plan.charges().count());
        let decision = plan.decide(&readings, UnixTime::from_secs(now)).unwrap();
        prop_assert_eq!(decision.statuses.len(), request.descriptors.len());
        for status in &decision.statuses {
            if let Some(limit) = status.limit {
                prop_assert!(status.remaining <= limit.requests_per_unit);
                let reset = status.reset_secs.unwrap();
                prop_assert!((1..=limit.unit.window_secs()).contains(&reset));
            }
        }
    }
}

/// One tenant's minute, request by request: a limit for the tenant and a tighter one for one path of it. A call
/// refused by the tighter one is charged to both, so that 999 of the 1,000 are admitted.
#[test]
fn the_worked_example_of_a_tenant_and_an_expensive_path() {
    let expensive = limit("path", "/api/v1/expensive", 10, "minute");
    let tenant = RuleNode {
        descriptors: vec![expensive],
        ..limit("tenant-id", "", 1_000, "minute")
    };
    let prefix = RuleNode {
        rate_limit: None,
        descriptors: vec![tenant],
        ..limit("generic_key", "kgateway-system.per-tenant-per-path", 0, "")
    };
    let rules = RuleSet::build(&[file("solo.io", vec![prefix])], BuildOptions::default()).unwrap();
    let mut counters = Counters::default();
    let mut call = |tenant: &str, path: &str| {
        let prefix = ("generic_key", "kgateway-system.per-tenant-per-path");
        let (one, two) = (
            [prefix, ("tenant-id", tenant)],
            [prefix, ("tenant-id", tenant), ("path", path)],
        );
        let request = request("solo.io", &[(&one, None), (&two, None)]);
        let plan = plan(&rules, &request, 1_200);
        let readings = counters.apply(&plan);
        let decision = plan.decide(&readings, UnixTime::from_secs(1_210)).unwrap();
        let statuses = decision.statuses.iter().map(|status| {
            let limit = status.limit.map(|limit| limit.requests_per_unit);
            (status.code, limit, status.remaining, status.reset_secs)
        });
        (decision.overall, statuses.collect::<Vec<_>>())
    };

    for _ in 0..10 {
        assert_eq!(call("a", "/api/v1/expensive").0, Code::Ok);
    }
    let eleventh = call("a", "/api/v1/expensive");
    assert_eq!(eleventh.0, Code::OverLimit);
    let tenant_left = (Code::Ok, Some(1_000), 989, Some(50));
    assert_eq!(eleventh.1, [tenant_left, (Code::OverLimit, Some(10), 0, Some(50))]);
    for _ in 0..988 {
        assert_eq!(call("a", "/api/v1/cheap").0, Code::Ok);
    }
    let thousandth = call("a", "/api/v1/cheap");
    assert_eq!(thousandth.0, Code::Ok);
    assert_eq!(
        thousandth.1,
        [(Code::Ok, Some(1_000), 0, Some(50)), (Code::Ok, None, 0, None)]
    );
    assert_eq!(call("a", "/api/v1/cheap").0, Code::OverLimit);
    let both = call("a", "/api/v1/expensive");
    assert!(both.1.iter().all(|status| status.0 == Code::OverLimit));
    assert_eq!(call("b", "/api/v1/expensive").0, Code::Ok);
    // The query is part of the value: the tighter limit does not see this call.
    assert_eq!(
        call("b", "/api/v1/expensive?x=1").1.get(1),
        Some(&(Code::Ok, None, 0, None))
    );

    for _ in 0..1_000 {
        assert_eq!(call("c", "/api/v1/cheap").0, Code::Ok);
    }
    assert_eq!(call("c", "/api/v1/cheap").0, Code::OverLimit);
}
