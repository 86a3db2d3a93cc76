//! Free-form metadata: any YAML map to the values of a protobuf `Struct`.

use std::collections::BTreeMap;

use ratelimit_core::metadata::Value;
use server::document::{Entry, Node, Value as Yaml};

use super::go;

/// The fields of a rule's metadata. Their keys are text as written: a rule may name a field `n`.
pub(super) fn fields(entries: &[Entry]) -> BTreeMap<String, Value> {
    let key = |key: &Node| {
        if key.is_null() {
            String::new()
        } else {
            key.text().map_or_else(|| go::printed(key), str::to_owned)
        }
    };
    entries
        .iter()
        .map(|entry| (key(&entry.key), value(&entry.value)))
        .collect()
}

/// A map within. The other server has typed its keys by then, and prints them: `n` is `false`.
fn map(entries: &[Entry]) -> BTreeMap<String, Value> {
    entries
        .iter()
        .map(|entry| (go::printed(&entry.key), value(&entry.value)))
        .collect()
}

/// Recursion is bounded by the depth of a document.
fn value(node: &Node) -> Value {
    match &node.value {
        Yaml::Null => Value::Null,
        Yaml::Bool(flag) => Value::Bool(*flag),
        Yaml::Int(number) => Value::Number(double(*number)),
        Yaml::Float(number) => Value::Number(*number),
        Yaml::String(text) => Value::Text(text.clone()),
        Yaml::Seq(items) => Value::List(items.iter().map(value).collect()),
        Yaml::Map(entries) => Value::Map(map(entries)),
    }
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a protobuf Struct has no other numbers"
)]
fn double(number: i128) -> f64 {
    number as f64
}
