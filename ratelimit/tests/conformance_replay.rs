//! Requests and answers recorded from envoyproxy/ratelimit, played against the core with the smallest store there is.
//!
//! The recordings are not in this repository. `SALLYPORT_VECTORS` names the directory that holds them, and
//! `SALLYPORT_CORPORA` the one with configuration files found in public repositories; without them these tests say so
//! and pass, and every behaviour they hold is also held by the tables beside this file. A recording is JSON: the mode's
//! `environment`, its `scenarios` (configuration, requests, answers), and what `redis`, `rlconfig` and `metrics`
//! held at the end.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests"
)]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use ratelimit::rules_file::{self, Text};
use ratelimit_core::metadata::Value as Metadata;
use ratelimit_core::source::StatsDetail;
use ratelimit_core::{
    BuildOptions, Code, Counted, Decision, Descriptor, Entry, GlobalModes, Hits, KeyFormat, LimitOverride,
    NearLimitRatio, Plan, Rate, Reading, Request, Rule, RuleSet, StatsKey, Status, Unit, UnixTime,
};
use serde_json::{Value, json};

/// A moment at which the windows of all units start at different times.
const NOW: UnixTime = UnixTime::from_secs(1_758_000_123);

/// The directory in this variable, unless it is unset.
fn directory(variable: &str) -> Option<PathBuf> {
    let directory = std::env::var_os(variable).map(PathBuf::from);
    if directory.is_none() {
        eprintln!("{variable} is not set: recordings are absent, nothing was replayed");
    }
    directory
}

fn read(directory: &std::path::Path, name: &str) -> Value {
    serde_json::from_slice(&fs::read(directory.join(name)).unwrap()).unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Everything one mode is played with, and what piles up on the way.
struct Replay {
    rules: Arc<RuleSet>,
    keys: KeyFormat,
    local_cache: bool,
    stop_increment: bool,
    /// Keys known to be over.
    over: HashSet<String>,
    counters: BTreeMap<String, u64>,
    metrics: BTreeMap<String, u64>,
}

impl Replay {
    fn new(mode: &Value) -> Self {
        let setting = |name: &str| mode["environment"][name].as_str();
        let modes = GlobalModes {
            shadow: setting("SHADOW_MODE") == Some("true"),
            quota: setting("QUOTA_MODE") == Some("true"),
        };
        let ratio = setting("NEAR_LIMIT_RATIO").map(|ratio| NearLimitRatio::new(ratio.parse().unwrap()).unwrap());
        let options = BuildOptions {
            near_limit_ratio: ratio.unwrap_or_default(),
            modes,
            merge_domains: false,
        };
        let files = array(&mode["scenarios"]);
        let files = files.iter().map(|file| Text {
            name: text(&file["name"]),
            bytes: text(&file["config"]).as_bytes(),
        });
        Self {
            rules: Arc::new(rules_file::load(files, options).unwrap()),
            local_cache: setting("LOCAL_CACHE_SIZE_IN_BYTES").is_some(),
            stop_increment: setting("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT") == Some("true"),
            over: HashSet::new(),
            keys: KeyFormat {
                prefix: setting("CACHE_KEY_PREFIX").unwrap_or_default().into(),
            },
            counters: BTreeMap::new(),
            metrics: BTreeMap::new(),
        }
    }

    /// Charges a plan as the recorded server does, by its settings.
    fn apply(&mut self, plan: &Plan<'_>) -> Vec<Reading> {
        let charges: Vec<_> = plan.charges().collect();
        let known_over: Vec<_> = charges
            .iter()
            .map(|charge| self.over.contains(charge.key.as_str()))
            .collect();
        let would_be_over = |charge: &&Counted<'_>| {
            let held = self.counters.get(&stem(charge)).copied().unwrap_or_default();
            held + charge.hits.amount() > u64::from(charge.rate.requests_per_unit())
        };
        // Stop-increment: when one descriptor is over, the others' counters stay where they are.
        let any_over = charges.iter().any(would_be_over);
        let is_charged: Vec<bool> = match known_over.contains(&true) {
            _ if !self.stop_increment => vec![true; charges.len()],
            true => vec![false; charges.len()],
            false => charges
                .iter()
                .map(|charge| !any_over || would_be_over(charge))
                .collect(),
        };
        let mut readings = Vec::new();
        for ((charge, known_over), is_charged) in charges.into_iter().zip(known_over).zip(is_charged) {
            if known_over {
                readings.push(Reading { after: 0, known_over });
                continue;
            }
            let counter = self.counters.entry(stem(charge)).or_default();
            *counter += if is_charged { charge.hits.amount() } else { 0 };
            readings.push(Reading {
                after: *counter,
                known_over,
            });
            if self.local_cache && *counter > u64::from(charge.rate.requests_per_unit()) {
                self.over.insert(charge.key.to_string());
            }
        }
        readings
    }

    /// The answer to a recorded request, in the form of the recording.
    fn answer(&mut self, domain: &str, asked: &Value, extras: Extras) -> Value {
        let request = request(domain, asked);
        let rules = Arc::clone(&self.rules);
        let plan = rules.plan(&request, NOW, &self.keys);
        let readings = self.apply(&plan);
        let mut decision = plan.decide(&readings, NOW).unwrap();
        for status in &decision.statuses {
            count(&mut self.metrics, status);
        }
        let statuses: Vec<_> = decision.statuses.iter().map(recorded_status).collect();
        let mut answer = json!({ "overall": number(decision.overall), "statuses": statuses });
        if extras == Extras::HeadersAndMetadata {
            if let Some(headers) = recorded_headers(&decision) {
                answer["headers"] = headers;
            }
            forget_what_the_recorded_server_loses(&self.rules, &mut decision);
            answer["metadata"] = recorded_metadata(&Metadata::Map(decision.dynamic_metadata(&request)));
        }
        answer
    }
}

/// A counter's key in the form of the recording: the start of its window by the name of the unit.
fn stem(charge: &Counted<'_>) -> String {
    let (stem, start) = charge.key.as_str().rsplit_once('_').unwrap();
    assert_eq!(start, charge.window.start.to_string());
    format!("{stem}_<{}>", charge.rate.unit.name())
}

#[derive(Clone, Copy, PartialEq)]
enum Extras {
    None,
    HeadersAndMetadata,
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

fn number(code: Code) -> u32 {
    match code {
        Code::Ok => 1,
        Code::OverLimit => 2,
    }
}

fn recorded_status(status: &Status<'_>) -> Value {
    let mut recorded = json!({ "code": number(status.code), "remaining": status.remaining });
    if let Some(limit) = status.limit {
        recorded["limit"] = json!([limit.requests_per_unit, limit.unit.name(), limit.name]);
        let window = ratelimit_core::Window::containing(NOW, limit.unit);
        recorded["reset"] = json!(status.reset_secs.map(u64::from) == Some(window.end() - NOW.secs()));
    }
    recorded
}

fn recorded_headers(decision: &Decision<'_>) -> Option<Value> {
    let status = decision.header_status()?;
    let limit = status.limit?.requests_per_unit.to_string();
    Some(json!([
        ["RateLimit-Limit", limit],
        ["RateLimit-Remaining", status.remaining.to_string()],
        ["RateLimit-Reset", "#"]
    ]))
}

fn recorded_metadata(value: &Metadata) -> Value {
    match value {
        Metadata::Null => Value::Null,
        Metadata::Bool(flag) => json!(flag),
        Metadata::Number(number) => json!(number),
        Metadata::Text(text) => json!(text),
        Metadata::List(values) => values.iter().map(recorded_metadata).collect(),
        // The recording leaves out how an override is printed.
        Metadata::Map(values) => {
            let fields = values.iter().filter(|(name, _)| *name != "limit");
            fields
                .map(|(name, value)| (name.clone(), recorded_metadata(value)))
                .collect()
        }
    }
}

/// The recorded server loses the metadata of a rule when it makes the rule anew to name its statistics: under
/// `detailed_metric` when the rule has no children, and else when the name has a value of the request. We keep it
/// (docs/compatibility.md), so that what is compared is what is left there.
fn forget_what_the_recorded_server_loses(rules: &RuleSet, decision: &mut Decision<'_>) {
    let has_children = |rule: &Rule| {
        let below = format!("{}.", rule.stats_key());
        rules.rules().any(|other| other.stats_key().starts_with(&below))
    };
    for status in &mut decision.statuses {
        let is_lost = status.rule.is_some_and(|rule| match rule.stats_detail() {
            StatsDetail::Entries => !has_children(rule),
            StatsDetail::Rule => matches!(status.stats, Some(StatsKey::Dynamic(_))),
        });
        if is_lost {
            status.rule = None;
        }
    }
}

/// Adds a status to the series that the recorded server shows: the first two levels of the statistics' name.
fn count(metrics: &mut BTreeMap<String, u64>, status: &Status<'_>) {
    let Some(stats) = status.stats else { return };
    let name = stats.as_str().replace("10.0.0.1", "10_0_0_1").replace([':', '|'], "_");
    let mut levels = name.split('.');
    // The recorded server's mapping takes `over_limit_with_local_cache` for `over_limit` below two levels.
    let from_local = if levels.clone().count() > 2 {
        status.outcome.over_from_local
    } else {
        0
    };
    let labels = ["domain", "key1", "key2"].iter().zip(levels.by_ref());
    let labels: Vec<_> = labels.map(|(label, level)| format!("{label}=\"{level}\"")).collect();
    let outcome = status.outcome;
    let counts = [
        ("near_limit", outcome.near),
        ("over_limit", outcome.over + from_local),
        ("shadow_mode", outcome.shadow),
        ("total_hits", outcome.total),
        ("within_limit", outcome.within),
    ];
    for (name, grown) in counts.into_iter().filter(|(_, grown)| *grown > 0) {
        let series = format!("ratelimit_service_rate_limit_{name}{{{}}}", labels.join(","));
        *metrics.entry(series).or_default() += grown;
    }
}

/// Plays one mode and returns every difference.
fn replay(mode: &Value, extras: Extras) -> (Replay, Vec<String>) {
    let mut replay = Replay::new(mode);
    let mut differences = Vec::new();
    for scenario in array(&mode["scenarios"]) {
        let asked = array(&scenario["requests"]).iter().zip(array(&scenario["answers"]));
        // The edge refuses a request without descriptors before the core sees it.
        for (asked, recorded) in asked.filter(|(_, recorded)| recorded["error"].is_null()) {
            let answer = replay.answer(text(&scenario["domain"]), asked, extras);
            if answer != *recorded {
                let name = text(&scenario["name"]);
                differences.push(format!("{name}: {asked}\n    ours {answer}\n  theirs {recorded}"));
            }
        }
    }
    let keys = json!(replay.counters);
    if keys != mode["redis"] {
        differences.push(format!("counters: ours {keys}\n  theirs {}", mode["redis"]));
    }
    (replay, differences)
}

fn dumped(rules: &RuleSet) -> Vec<String> {
    let flag = |set: bool| if set { "true" } else { "false" };
    let line = |rule: &Rule| {
        let unit = match rule.limit() {
            ratelimit_core::Limit::Rate(rate) => rate.unit.name(),
            ratelimit_core::Limit::Unlimited => "UNKNOWN",
        };
        let (shadow, quota) = (
            flag(rule.enforcement() == ratelimit_core::Enforcement::Shadow),
            flag(rule.role() == ratelimit_core::Role::Quota),
        );
        let (key, number) = (rule.stats_key(), rule.stated_requests());
        format!("{key}: unit={unit} requests_per_unit={number}, shadow_mode: {shadow}, quota_mode: {quota}")
    };
    let mut lines: Vec<_> = rules.rules().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn recorded_answers_are_ours() {
    let Some(directory) = directory("SALLYPORT_VECTORS") else {
        return;
    };
    for (name, extras) in [
        ("default", Extras::None),
        ("shadow", Extras::None),
        ("quota", Extras::None),
        ("prefix", Extras::None),
        ("headers", Extras::HeadersAndMetadata),
        ("local-cache", Extras::None),
        ("stop-increment", Extras::None),
        ("stop-increment-local-cache", Extras::None),
    ] {
        let mode = read(&directory, &format!("{name}.json"));
        let (replay, differences) = replay(&mode, extras);
        assert!(
            differences.is_empty(),
            "{name}: {} differences\n{}",
            differences.len(),
            differences.join("\n")
        );
        assert_eq!(
            dumped(&replay.rules),
            array(&mode["rlconfig"]).iter().map(text).collect::<Vec<_>>(),
            "{name}"
        );
        if mode["environment"]["EXTRA_TAGS"].is_null() {
            check_metrics(&mode, &replay.metrics, name);
        }
    }
}

#[track_caller]
fn check_metrics(mode: &Value, metrics: &BTreeMap<String, u64>, name: &str) {
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ').unwrap();
        (series.to_owned(), value.parse::<f64>().unwrap().to_string())
    };
    // Series without labels are those that its mapping misses.
    let labelled = array(&mode["metrics"])
        .iter()
        .map(text)
        .filter(|line| line.contains('{'));
    let recorded: HashMap<_, _> = labelled.map(sample).collect();
    let ours: HashMap<_, _> = metrics
        .iter()
        .map(|(series, value)| (series.clone(), value.to_string()))
        .collect();
    let mut differences: Vec<_> = recorded
        .iter()
        .filter(|(series, value)| ours.get(*series) != Some(value))
        .collect();
    differences.extend(ours.iter().filter(|(series, _)| !recorded.contains_key(*series)));
    assert!(differences.is_empty(), "{name}: {differences:#?}");
}

/// Loads some texts and compares with what the recorded server said: accepted, or refused with this text. Returns the
/// difference.
fn verdict(texts: &[Text<'_>], merge_domains: bool, recorded: &Value) -> Option<String> {
    let options = BuildOptions {
        merge_domains,
        ..BuildOptions::default()
    };
    let problems = match (rules_file::load(texts.iter().copied(), options), recorded.as_str()) {
        (Ok(_), None) => return None,
        (Ok(_), Some(recorded)) => return Some(format!("accepted, recorded: {recorded}")),
        (Err(problems), None) => return Some(format!("refused, recorded as accepted: {problems}")),
        (Err(problems), Some(_)) => problems,
    };
    // `panic: 0.yaml: config error, ...`: how the server died, the file, the text.
    let (before, recorded) = text(recorded).split_once(".yaml: ")?;
    let file = format!("{}.yaml", before.rsplit(' ').next()?);
    let is_placed = problems.iter().all(|problem| problem.position.is_some());
    let is_told = problems
        .iter()
        .any(|problem| problem.file == file && problem.message.starts_with(recorded));
    (!is_placed || !is_told).then(|| format!("recorded: {recorded}\n  told: {problems}"))
}

#[test]
fn recorded_verdicts_on_small_files_are_ours() {
    let Some(directory) = directory("SALLYPORT_VECTORS") else {
        return;
    };
    let mut differences = Vec::new();
    for case in array(&read(&directory, "config-files.json")) {
        let files = array(&case["files"]);
        let names: Vec<_> = (0..files.len()).map(|index| format!("{index}.yaml")).collect();
        // The one text that JSON cannot hold.
        let bytes = |file: &Value| match text(file) {
            "<bytes: domain d, one descriptor whose key is FF FE>" => {
                b"domain: d\ndescriptors:\n- key: \xff\xfe\n".to_vec()
            }
            text => text.as_bytes().to_vec(),
        };
        let bytes: Vec<_> = files.iter().map(bytes).collect();
        let texts: Vec<_> = names
            .iter()
            .zip(&bytes)
            .map(|(name, bytes)| Text { name, bytes })
            .collect();
        let difference = verdict(&texts, case["merge"].as_bool().unwrap(), &case["error"]);
        differences.extend(difference.map(|difference| format!("{}: {difference}", text(&case["name"]))));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn recorded_verdicts_on_files_of_others_are_ours() {
    let (Some(vectors), Some(corpora)) = (directory("SALLYPORT_VECTORS"), directory("SALLYPORT_CORPORA")) else {
        return;
    };
    let mut differences = Vec::new();
    for (name, recorded) in read(&vectors, "corpus-verdicts.json").as_object().unwrap() {
        let bytes = fs::read(corpora.join("ratelimit-configs").join(name)).unwrap();
        let mut difference = verdict(
            &[Text {
                name: "c.yaml",
                bytes: &bytes,
            }],
            false,
            recorded,
        );
        // A Kubernetes document is refused by its kind, there by whichever unknown key comes up first.
        if bytes.windows(6).any(|window| window == b"\nkind:") && !recorded.is_null() {
            difference = difference.filter(|difference| !difference.contains("documents of this kind are not served"));
        }
        differences.extend(difference.map(|difference| format!("{name}: {difference}")));
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
