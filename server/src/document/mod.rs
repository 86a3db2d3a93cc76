//! YAML documents as trees whose every node knows its line and column.
//!
//! [`parse`] turns bytes into [`Node`]s within fixed bounds; `read` then turns nodes into typed values and collects
//! problems. Scalars follow the YAML 1.1 rules of Go's yaml.v2 (see `scalar`), anchors, aliases and `<<` are resolved
//! here (see `compose`). What a field means is not known here.

mod compose;
mod read;
mod scalar;
mod syntax;

pub use read::{Bounded, Names, Reader};
pub use syntax::SyntaxError;

use crate::problem::Position;

/// Most bytes of one text.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Most levels of lists and maps inside each other, counting what aliases bring in.
pub const DEPTH_MAX: usize = 200;
/// Most nodes written in one text.
pub const NODES_MAX: usize = 4_000_000;
/// Most nodes that aliases may add, or ten times what is written if that is more.
pub const ALIAS_NODES_MAX: usize = 100_000;

/// Reads all documents of a text. An empty text has no document; `---` alone is one null document.
///
/// # Errors
/// The first syntax error, or the first bound that the text exceeds.
///
/// ```
/// let documents = server::document::parse(b"domain: demo\n---\nport: 010\n")?;
/// assert_eq!(documents[0].field("domain").and_then(|node| node.as_str()), Some("demo"));
/// assert_eq!(documents[1].field("port").and_then(|node| node.as_int()), Some(8));
/// # Ok::<(), server::document::SyntaxError>(())
/// ```
pub fn parse(text: &[u8]) -> Result<Vec<Node>, SyntaxError> {
    compose::compose(text)
}

/// A value and where it stands. A value that came by an alias stands where its anchor is.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where the value begins.
    pub position: Position,
    /// The value.
    pub value: Value,
    /// Source text of a scalar that is not a string; a string is its own source text.
    source: Option<Box<str>>,
    plain: bool,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `~`, `null` or nothing.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// A whole number that fits i64 or u64.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// Text, quoted or not.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map, in the order written, duplicates included.
    Map(Vec<Entry>),
}

/// One `key: value` of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key, of any kind.
    pub key: Node,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The text of a scalar as written, quotes and escapes resolved: `010`, not 8. `None` for lists and maps.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.as_str().or(self.source.as_deref())
    }

    /// Whether this is a scalar without quotes and without a tag.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.plain
    }

    /// Whether this is null.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The kind of value, as a message names it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::String(_) => "a string",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// The value of the map entry `name`; of duplicates the last, as in yaml.v2.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        let entry = self
            .as_map()?
            .iter()
            .rev()
            .find(|entry| entry.key.as_str() == Some(name))?;
        Some(&entry.value)
    }

    /// The entries of a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[Entry]> {
        if let Value::Map(entries) = &self.value {
            Some(entries)
        } else {
            None
        }
    }

    /// The items of a list.
    #[must_use]
    pub fn as_seq(&self) -> Option<&[Self]> {
        if let Value::Seq(items) = &self.value {
            Some(items)
        } else {
            None
        }
    }

    /// The text of a string; `None` for other scalars, see [`Node::text`].
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value {
            Some(text)
        } else {
            None
        }
    }

    /// A whole number.
    #[must_use]
    pub const fn as_int(&self) -> Option<i128> {
        if let Value::Int(number) = self.value {
            Some(number)
        } else {
            None
        }
    }

    /// A boolean.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(flag) = self.value {
            Some(flag)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
