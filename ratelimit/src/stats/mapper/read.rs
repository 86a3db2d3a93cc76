//! Mapping files to rules. What `statsd_exporter` has and we do not is refused where it stands, never skipped.

use std::cell::RefCell;
use std::sync::Arc;

use server::document::{Node, Reader, Value};
use server::problem::{Problem, Problems};

use super::{BUCKETS, Mapping, Metric, Rule, Target};
use crate::stats::pattern::Pattern;
use crate::stats::template::{Syntax, Template};

/// Most rules of a file.
const RULES_MAX: usize = 10_000;

const DEFAULTS_FIELDS: [&str; 7] = [
    "buckets",
    "glob_disable_ordering",
    "histogram_options",
    "match_type",
    "observer_type",
    "timer_type",
    "ttl",
];
const RULE_FIELDS: [&str; 14] = [
    "action",
    "buckets",
    "help",
    "histogram_options",
    "honor_labels",
    "labels",
    "match",
    "match_metric_type",
    "match_type",
    "name",
    "observer_type",
    "scale",
    "timer_type",
    "ttl",
];
/// Native histograms are not part of the text format, so that these change nothing that a scrape shows.
const HISTOGRAM_FIELDS: [&str; 3] = [
    "buckets",
    "native_histogram_bucket_factor",
    "native_histogram_max_buckets",
];

const METRICS: [(&str, Metric); 4] = [
    ("counter", Metric::Counter),
    ("gauge", Metric::Gauge),
    ("observer", Metric::Timer),
    ("timer", Metric::Timer),
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum MatchType {
    Glob,
    Regex,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Action {
    Map,
    Drop,
}

pub(super) fn mapping(file: &str, text: &[u8]) -> Result<Mapping, Problems> {
    let documents = server::document::parse(text).map_err(|error| Problem {
        file: file.to_owned(),
        position: error.position,
        message: error.message,
        ..Problem::default()
    })?;
    let problems = RefCell::new(Problems::new());
    let mapping = match documents.as_slice() {
        [] => Mapping {
            rules: Vec::new(),
            buckets: Arc::from(BUCKETS),
        },
        [document, more @ ..] => read(file, document, more, &problems),
    };
    problems.into_inner().into_result(mapping)
}

fn read(file: &str, document: &Node, more: &[Node], problems: &RefCell<Problems>) -> Mapping {
    if let Some(second) = more.first() {
        Reader::root(file, second, problems).reject("a mapping file holds one document");
    }
    let root = Reader::root(file, document, problems);
    root.deny_unknown(&["defaults", "mappings"]);
    let mut match_type = MatchType::Glob;
    let mut buckets = None;
    if let Some(defaults) = root.map("defaults") {
        defaults.deny_unknown(&DEFAULTS_FIELDS);
        match_type = read_match_type(&defaults).unwrap_or(MatchType::Glob);
        buckets = read_observer(&defaults);
        refuse_ttl(&defaults);
        if defaults.optional_bool("glob_disable_ordering") == Some(true)
            && let Some(field) = defaults.field("glob_disable_ordering")
        {
            field.reject_allowing("rules are tried in the order of the file", "false");
        }
    }
    let items = root.list("mappings");
    if let Some(first_over) = items.get(RULES_MAX) {
        first_over.reject(format!("a mapping file holds at most {RULES_MAX} rules"));
    }
    let rules = items
        .iter()
        .take(RULES_MAX)
        .filter_map(|item| read_rule(item, match_type));
    let (globs, expressions): (Vec<_>, Vec<_>) = rules.partition(|rule| matches!(rule.pattern, Pattern::Glob(_)));
    Mapping {
        rules: globs.into_iter().chain(expressions).collect(),
        buckets: buckets.unwrap_or_else(|| Arc::from(BUCKETS)),
    }
}

fn read_rule(rule: &Reader<'_>, default_type: MatchType) -> Option<Rule> {
    rule.deny_unknown(&RULE_FIELDS);
    let match_type = read_match_type(rule).unwrap_or(default_type);
    let only = rule.field("match_metric_type").and_then(|field| field.one_of(&METRICS));
    let actions = [("map", Action::Map), ("drop", Action::Drop)];
    let action = rule
        .field("action")
        .and_then(|field| field.one_of(&actions))
        .unwrap_or(Action::Map);
    let buckets = read_observer(rule);
    refuse_ttl(rule);

    let pattern = read_pattern(&rule.required("match")?, match_type)?;
    let target = match action {
        Action::Drop => None,
        Action::Map => Some(Target {
            name: read_name(&rule.required("name")?, &pattern),
            labels: read_labels(rule, &pattern),
            labels_of_tags_win: rule.optional_bool("honor_labels").unwrap_or(false),
            help: rule.optional_str("help").map(Arc::from),
            scale: rule.field("scale").and_then(|field| number(&field)).unwrap_or(1.0),
            buckets,
        }),
    };
    Some(Rule { pattern, only, target })
}

fn read_match_type(reader: &Reader<'_>) -> Option<MatchType> {
    let types = [("glob", MatchType::Glob), ("regex", MatchType::Regex)];
    reader.field("match_type").and_then(|field| field.one_of(&types))
}

fn read_pattern(field: &Reader<'_>, match_type: MatchType) -> Option<Pattern> {
    let text = field.str()?;
    let pattern = match match_type {
        MatchType::Glob => Pattern::glob(text),
        MatchType::Regex => Pattern::expression(text),
    };
    pattern.map_err(|error| field.reject(error.to_string())).ok()
}

fn read_name(field: &Reader<'_>, pattern: &Pattern) -> Template {
    let text = field.str().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_:${}".contains(c);
    if text.is_empty() || !text.chars().all(is_name) || text.starts_with(|c: char| c.is_ascii_digit()) {
        field.reject_allowing(
            "not the name of a metric",
            "letters, digits, `_`, `:` and places as `$1`",
        );
    }
    Template::parse(text, Syntax::Names, |place| pattern.group_number(place))
}

fn read_labels(rule: &Reader<'_>, pattern: &Pattern) -> Vec<(String, Template)> {
    let Some(labels) = rule.map("labels") else {
        return Vec::new();
    };
    let read = |(name, value): (&str, Reader<'_>)| {
        if name.is_empty() || super::label_name(name) != name {
            value.reject_allowing(
                format!("'{name}' is not the name of a label"),
                "letters, digits and `_`",
            );
        }
        let template = Template::parse(value.str()?, Syntax::Names, |place| pattern.group_number(place));
        Some((name.to_owned(), template))
    };
    labels.pairs().into_iter().filter_map(read).collect()
}

/// Reads how timers are observed, for a rule or by default; gives the upper bounds.
fn read_observer(reader: &Reader<'_>) -> Option<Arc<[f64]>> {
    for name in ["observer_type", "timer_type"] {
        if let Some(field) = reader.field(name) {
            let _histogram = field.one_of(&[("histogram", ())]);
        }
    }
    let options = reader.map("histogram_options");
    if let Some(options) = &options {
        options.deny_unknown(&HISTOGRAM_FIELDS);
    }
    let own = options.and_then(|options| options.field("buckets"));
    let list = own.or_else(|| reader.field("buckets"))?;
    let bounds: Vec<f64> = list.items().iter().filter_map(number).collect();
    if !bounds.is_sorted_by(|low, high| low < high) {
        list.reject("upper bounds grow from one to the next");
    }
    (!bounds.is_empty()).then(|| Arc::from(bounds))
}

fn refuse_ttl(reader: &Reader<'_>) {
    if let Some(field) = reader.field("ttl")
        && !matches!(field.str(), Some("0" | "0s"))
    {
        field.reject_allowing("series are bounded and do not expire", "0");
    }
}

fn number(field: &Reader<'_>) -> Option<f64> {
    let number = match &field.node().value {
        Value::Float(number) if number.is_finite() => Some(*number),
        Value::Int(number) => i32::try_from(*number).ok().map(f64::from),
        Value::Float(_) | Value::Null | Value::Bool(_) | Value::String(_) | Value::Seq(_) | Value::Map(_) => None,
    };
    if number.is_none() {
        field.reject_allowing("not a number that can be used", "a finite number");
    }
    number
}
