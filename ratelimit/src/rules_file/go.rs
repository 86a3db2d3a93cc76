//! The words of Go and its yaml.v2, in which the other server speaks of a bad file. Scripts search logs for them.

use server::document::{Node, SyntaxError, Value};

/// Longest text of a scalar that yaml.v2 repeats whole.
const VALUE_SHOWN_MAX: usize = 10;

/// A syntax error. Those of the text's encoding come without a line.
pub(super) fn syntax(error: &SyntaxError) -> String {
    let is_encoding = error.message.contains("UTF-8") || error.message.starts_with("control characters");
    if is_encoding {
        format!("yaml: {}", error.message)
    } else {
        format!("yaml: {error}")
    }
}

/// A value that does not fit the Go type `into`.
pub(super) fn mismatch(node: &Node, into: &str) -> String {
    let tag = match node.value {
        Value::Null => "!!null",
        Value::Bool(_) => "!!bool",
        Value::Int(_) => "!!int",
        Value::Float(_) => "!!float",
        Value::String(_) => "!!str",
        Value::Seq(_) => "!!seq",
        Value::Map(_) => "!!map",
    };
    let value = node
        .text()
        .map(|text| format!(" `{}`", shortened(text)))
        .unwrap_or_default();
    let line = node.position.line;
    format!("error loading config file: yaml: unmarshal errors: line {line}: cannot unmarshal {tag}{value} into {into}")
}

fn shortened(text: &str) -> String {
    if text.len() <= VALUE_SHOWN_MAX {
        return text.to_owned();
    }
    text.chars()
        .take(VALUE_SHOWN_MAX.saturating_sub(3))
        .chain("...".chars())
        .collect()
}

/// A value as `%v` prints it.
pub(super) fn printed(node: &Node) -> String {
    let list = |values: Vec<String>| values.join(" ");
    match &node.value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Seq(items) => format!("[{}]", list(items.iter().map(printed).collect())),
        Value::Map(entries) => {
            let pair = |entry: &server::document::Entry| format!("{}:{}", printed(&entry.key), printed(&entry.value));
            format!("map[{}]", list(entries.iter().map(pair).collect()))
        }
    }
}
