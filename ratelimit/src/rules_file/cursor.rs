//! The walk through one document: typed fields, and a problem for every value that is not of the grammar.
//!
//! The other server walks twice: once over the bare document (known keys, no fractions, lists of maps), once into
//! types. One walk here says what either would say, in document order: a value that does not fit its type is first held
//! to the rules of the bare document, and only reported as unfit when it keeps them. `decode` says what is read where.

use std::collections::HashSet;

use ratelimit_core::source::{Position, Spanned};
use server::document::{Entry, Node, Value};
use server::{Problem, Problems};

use super::decode::{DESCRIPTOR, LEVELS};
use super::go;

/// One kind of map, and the keys that mean something in it.
#[derive(Debug)]
pub(super) struct Level {
    /// What it is to an operator.
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
}

/// Where the walk is, and what it found on the way.
#[derive(Debug)]
pub(super) struct Cursor<'p> {
    file: &'p str,
    /// The path of what is being read: `descriptors[0].rate_limit`.
    field: String,
    problems: &'p mut Problems,
    notices: &'p mut Problems,
}

/// The fields of one map that mean something in it.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    map: &'n Node,
    entries: Vec<(&'n str, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// A field that is there and not null.
    pub(super) fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries
            .iter()
            .find(|(key, node)| *key == name && !node.is_null())
            .map(|&(_, node)| node)
    }

    /// Where a field is, or where the map is that lacks it.
    pub(super) fn place(&self, name: &str) -> Position {
        place(self.get(name).unwrap_or(self.map))
    }
}

// Fields. Absent and null are the same: the default of the type.
impl<'p> Cursor<'p> {
    /// At the root of a document of `file`.
    pub(super) fn new(file: &'p str, problems: &'p mut Problems, notices: &'p mut Problems) -> Self {
        Self {
            file,
            field: String::new(),
            problems,
            notices,
        }
    }

    /// The entries of a map that mean something in it. Those with a key of no level are reported; those with a key of
    /// another level are noticed. Of entries with one key the last counts, and the others are not looked at.
    pub(super) fn fields<'n>(&mut self, map: &'n Node, entries: &'n [Entry], level: &Level) -> Fields<'n> {
        let mut known = Vec::with_capacity(entries.len());
        for entry in last_of_each(entries) {
            let Some(key) = self.check_key(entry, level) else {
                continue;
            };
            if level.keys.contains(&key) {
                known.push((key, &entry.value));
                continue;
            }
            self.within(key, |this| {
                let message = format!("key '{key}' has no effect in {}", level.name);
                let notice = this.problem(&entry.key, message, Some(level.keys.join(", ")));
                this.notices.push(notice);
            });
            self.check_below(key, &entry.value);
        }
        Fields { map, entries: known }
    }

    /// Text as written, also of a number or a boolean; `None` when the value can be no text.
    pub(super) fn text(&mut self, fields: &Fields<'_>, name: &str) -> Option<Spanned<String>> {
        let position = Some(fields.place(name));
        let Some(node) = fields.get(name) else {
            return Some(Spanned {
                value: String::new(),
                position,
            });
        };
        self.within(name, |this| {
            let Some(text) = node.text() else {
                this.mismatch(node, "string", "a string");
                return None;
            };
            (this.check_shape(node) == 0).then(|| Spanned {
                value: text.to_owned(),
                position,
            })
        })
    }

    pub(super) fn flag(&mut self, fields: &Fields<'_>, name: &str) -> bool {
        let Some(node) = fields.get(name) else { return false };
        if node.as_bool().is_none() {
            self.within(name, |this| {
                this.mismatch(node, "bool", "true or false, without quotes");
            });
        }
        node.as_bool().unwrap_or_default()
    }

    pub(super) fn number(&mut self, fields: &Fields<'_>, name: &str) -> u32 {
        let Some(node) = fields.get(name) else { return 0 };
        let number = node.as_int().and_then(|number| u32::try_from(number).ok());
        if number.is_none() {
            self.within(name, |this| {
                this.mismatch(node, "uint32", "0 to 4294967295, without quotes");
            });
        }
        number.unwrap_or_default()
    }

    /// What `read` makes of each map of a list.
    pub(super) fn maps<T>(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        into: &str,
        read: impl Fn(&mut Self, &Node, &[Entry]) -> Option<T>,
    ) -> Vec<T> {
        let Some(node) = fields.get(name) else {
            return Vec::new();
        };
        self.within(name, |this| {
            let Some(items) = node.as_seq() else {
                this.mismatch(node, into, "a list of maps");
                return Vec::new();
            };
            let items = items.iter().enumerate();
            items
                .filter_map(|(index, item)| this.item(index, item, &read).flatten())
                .collect()
        })
    }
}

// What holds for a value wherever it stands.
impl Cursor<'_> {
    /// What `read` makes of an item of a list, which must be a map.
    fn item<T>(&mut self, index: usize, item: &Node, read: impl FnOnce(&mut Self, &Node, &[Entry]) -> T) -> Option<T> {
        self.below(["[", &index.to_string(), "]"], |this| {
            if let Some(entries) = item.as_map() {
                return Some(read(this, item, entries));
            }
            let printed = go::printed(item);
            let message = format!("config error, yaml file contains list of type other than map: {printed}");
            this.report(item, message, Some("a map"));
            None
        })
    }

    /// The key of an entry, when it is one of the grammar.
    fn check_key<'n>(&mut self, entry: &'n Entry, level: &Level) -> Option<&'n str> {
        let Some(key) = entry.key.as_str() else {
            let printed = go::printed(&entry.key);
            self.report(
                &entry.key,
                format!("config error, key is not of type string: {printed}"),
                None,
            );
            return None;
        };
        if LEVELS.iter().any(|level| level.keys.contains(&key)) {
            return Some(key);
        }
        let message = format!("config error, unknown key '{key}'");
        self.within(key, |this| {
            this.report(&entry.key, message, Some(&level.keys.join(", ")));
        });
        None
    }

    /// Reports what no value may hold, however it is read: fractions, lists of other things than maps, unknown keys.
    /// Returns how many there were. Recursion is bounded by the depth of a document.
    fn check_shape(&mut self, node: &Node) -> usize {
        let before = self.problems.len();
        match &node.value {
            Value::Null | Value::Bool(_) | Value::String(_) => {}
            Value::Int(number) if i64::try_from(*number).is_ok() => {}
            Value::Int(_) | Value::Float(_) => {
                self.report(
                    node,
                    "error checking config".to_owned(),
                    Some("a string in quotes, or a whole number"),
                );
            }
            Value::Seq(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.item(index, item, |this, _, entries| this.check_entries(entries));
                }
            }
            Value::Map(entries) => self.check_entries(entries),
        }
        self.problems.len().saturating_sub(before)
    }

    fn check_entries(&mut self, entries: &[Entry]) {
        for entry in last_of_each(entries) {
            if let Some(key) = self.check_key(entry, &DESCRIPTOR) {
                self.check_below(key, &entry.value);
            }
        }
    }

    /// Nothing at or below metadata has a shape to keep.
    fn check_below(&mut self, key: &str, value: &Node) {
        if key != "metadata" {
            self.within(key, |this| this.check_shape(value));
        }
    }

    /// Reports a value that does not fit its type, unless its shape has been reported.
    pub(super) fn mismatch(&mut self, node: &Node, into: &str, allowed: &str) {
        if self.check_shape(node) == 0 {
            self.report(node, go::mismatch(node, into), Some(allowed));
        }
    }
}

// The path and the reports.
impl Cursor<'_> {
    /// Reads the field `name` of what is being read.
    pub(super) fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let dot = if self.field.is_empty() { "" } else { "." };
        self.below([dot, name], read)
    }

    fn below<T, const N: usize>(&mut self, step: [&str; N], read: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.field.len();
        self.field.extend(step);
        let made = read(self);
        self.field.truncate(len);
        made
    }

    pub(super) fn report(&mut self, node: &Node, message: String, allowed: Option<&str>) {
        let problem = self.problem(node, message, allowed.map(ToOwned::to_owned));
        self.problems.push(problem);
    }

    fn problem(&self, node: &Node, message: String, allowed: Option<String>) -> Problem {
        Problem {
            file: self.file.to_owned(),
            position: Some(node.position),
            field: self.field.clone(),
            value: node.text().map(ToOwned::to_owned),
            message,
            allowed,
        }
    }
}

/// The entries that count: of several with one key the last, as in yaml.v2.
fn last_of_each<'e>(entries: &'e [Entry]) -> impl Iterator<Item = &'e Entry> {
    let mut seen = HashSet::new();
    let is_last = |entry: &&'e Entry| entry.key.as_str().is_none_or(|key| seen.insert(key));
    let mut last: Vec<_> = entries.iter().rev().filter(is_last).collect();
    last.reverse();
    last.into_iter()
}

pub(super) fn place(node: &Node) -> Position {
    Position {
        line: node.position.line,
        column: node.position.column,
    }
}
