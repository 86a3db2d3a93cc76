//! Requests and answers recorded from envoyproxy/ratelimit, played against a real Redis: answers, keys and values.
//!
//! The recordings are not in this repository: `SALLYPORT_VECTORS` names the directory that holds them. Without it this
//! test says so and passes; what it holds is also held by the cases beside it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write as _;

use ratelimit::counters::Redis;
use ratelimit::counters::redis::{Address, Companions};
use ratelimit::rules_file::{self, Text};
use ratelimit_core::{
    BuildOptions, Code, Descriptor, Entry, Hits, KeyFormat, LimitOverride, Plan, Planned, Rate, Request, RuleSet, Unit,
    UnixTime,
};
use serde_json::{Value, json};
use server::clock::monotonic_now;

use crate::asking::{Asked, DAY, Parts, settings};
use crate::servers::{PATIENCE, RedisServer, own_address};

/// A moment at which the windows of all units start at different times.
const NOW: UnixTime = UnixTime::from_secs(1_758_000_123);

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn request<'a>(domain: &'a str, asked: &'a Value) -> Request<'a> {
    let stated_hits = u32::try_from(asked["hits_addend"].as_u64().unwrap()).unwrap();
    let entry = |entry: &'a Value| Entry {
        key: text(&entry[0]),
        value: text(&entry[1]),
    };
    let descriptor = |asked: &'a Value| {
        let requests = asked["limit"][0]
            .as_u64()
            .map(|requests| u32::try_from(requests).unwrap());
        let unit = Unit::from_name(text(&asked["limit"][1]));
        Descriptor {
            entries: array(&asked["entries"]).iter().map(entry).collect(),
            hits: Hits::resolve(asked["hits"].as_u64(), stated_hits),
            limit: requests.zip(unit).map(|(requests, unit)| LimitOverride {
                rate: Rate::new(requests, unit),
            }),
            stated_hits: asked["hits"].as_u64(),
        }
    };
    Request {
        domain,
        descriptors: array(&asked["descriptors"]).iter().map(descriptor).collect(),
        stated_hits,
    }
}

fn rules(mode: &Value) -> RuleSet {
    let files = array(&mode["scenarios"]).iter().map(|file| Text {
        name: text(&file["name"]),
        bytes: text(&file["config"]).as_bytes(),
    });
    rules_file::load(files, BuildOptions::default()).unwrap()
}

fn store(mode: &Value, redis: &RedisServer, parts: &Parts) -> Redis {
    let setting = |name: &str| mode["environment"][name].as_str();
    let address = Address::parse(&redis.url(), None, "").unwrap();
    let mut store = Redis::start(
        &settings(address),
        parts.metrics.redis(),
        parts.component(),
        &parts.tasks,
    );
    if let Some(bytes) = setting("LOCAL_CACHE_SIZE_IN_BYTES") {
        store = store.with_over_limit_memory(bytes.parse().unwrap(), parts.metrics.over_limit());
    }
    if setting("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT") == Some("true") {
        store = store.with_companions(Companions::Spare);
    }
    store
}

/// Keys that the recorded server goes on refusing under a limit that is higher than the one that they went over: it
/// remembers keys and not by what they were over. Here they count on, and with them what was asked for beside them.
#[derive(Default)]
struct Unblocked {
    over_by: HashMap<String, u32>,
    keys: HashSet<String>,
}

impl Unblocked {
    /// Whether a request is about such keys.
    fn look_at(&mut self, plan: &Plan<'_>, theirs: &[Value]) -> bool {
        let mut is_about = false;
        for (planned, status) in plan.planned().iter().zip(theirs) {
            let Planned::Counted(counted) = planned else { continue };
            let (key, limit) = (counted.key.to_string(), counted.rate.requests_per_unit());
            is_about |= self.keys.contains(&key);
            if status["code"] == 2 {
                is_about |= *self.over_by.entry(key).or_insert(limit) < limit;
            }
        }
        if is_about {
            self.keys.extend(plan.charges().map(|counted| counted.key.to_string()));
        }
        is_about
    }
}

async fn play(mode: &Value, name: &str) -> usize {
    let redis = RedisServer::start(own_address(), &[]);
    let asked = Asked::new(DAY, |parts| store(mode, &redis, parts)).connected().await;
    let rules = rules(mode);
    let has_memory = !mode["environment"]["LOCAL_CACHE_SIZE_IN_BYTES"].is_null();
    let (mut units, mut unblocked) = (BTreeMap::new(), Unblocked::default());
    for scenario in array(&mode["scenarios"]) {
        let pairs = array(&scenario["requests"]).iter().zip(array(&scenario["answers"]));
        // The edge refuses a request without descriptors before a store sees it.
        for (request_asked, recorded) in pairs.filter(|(_, recorded)| recorded["error"].is_null()) {
            let request = request(text(&scenario["domain"]), request_asked);
            let plan = rules.plan(&request, NOW, &KeyFormat::default());
            for counted in plan.charges() {
                units.insert(counted.key.to_string(), counted.rate.unit.name());
            }
            let is_unblocked = unblocked.look_at(&plan, array(&recorded["statuses"])) && has_memory;
            let readings = asked.store.apply(&plan, monotonic_now() + PATIENCE).await.unwrap();
            let decision = plan.decide(&readings, NOW).unwrap();
            let number = |code| if code == Code::Ok { 1 } else { 2 };
            let ours = decision
                .statuses
                .iter()
                .map(|status| json!([number(status.code), status.remaining]));
            let theirs = array(&recorded["statuses"]).iter();
            let theirs = theirs.map(|status| json!([status["code"], status["remaining"]]));
            let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
            assert!(
                ours == theirs || is_unblocked,
                "{name}: {request_asked}\n  ours {ours:?}\ntheirs {theirs:?}"
            );
            assert!(
                json!(number(decision.overall)) == recorded["overall"] || is_unblocked,
                "{name}: {request_asked}"
            );
        }
    }
    let mut held = BTreeMap::new();
    let mut theirs: BTreeMap<String, Value> = serde_json::from_value(mode["redis"].clone()).unwrap();
    assert_eq!(redis.ask(&["DBSIZE"]), theirs.len().to_string(), "{name}");
    for (key, unit) in units {
        let value = redis.ask(&["GET", &key]);
        let (stem, _start) = key.rsplit_once('_').unwrap();
        let stem = format!("{stem}_<{unit}>");
        if unblocked.keys.contains(&key) && has_memory {
            theirs.remove(&stem);
        } else if !value.is_empty() {
            held.insert(stem, json!(value.parse::<u64>().unwrap()));
        }
    }
    assert_eq!(held, theirs, "{name}");
    asked.end().await;
    if has_memory { unblocked.keys.len() } else { 0 }
}

#[tokio::test]
async fn recorded_answers_and_what_redis_held_are_ours() {
    let Some(directory) = std::env::var_os("SALLYPORT_VECTORS").map(std::path::PathBuf::from) else {
        writeln!(std::io::stderr(), "SALLYPORT_VECTORS is not set: nothing was replayed").unwrap();
        return;
    };
    let mut unblocked = Vec::new();
    for name in ["default", "local-cache", "stop-increment", "stop-increment-local-cache"] {
        let bytes = std::fs::read(directory.join(format!("{name}.json"))).unwrap();
        unblocked.push(play(&serde_json::from_slice(&bytes).unwrap(), name).await);
    }
    // Of some 700 keys.
    assert_eq!(unblocked, [0, 7, 0, 7]);
}
