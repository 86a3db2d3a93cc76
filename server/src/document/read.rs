//! Typed reading of [`Node`]s: a cursor that knows file and field path and collects every problem it meets.
//!
//! A getter answers `None` both for "absent" and for "wrong"; the second has been reported. A file is good when no
//! problem was collected, so read on with a default and let the caller look at the problems at the end.
//!
//! ```
//! use server::document::{Reader, parse};
//! use server::problem::Problems;
//!
//! let documents = parse(b"domain: demo\nrateLimit: {unit: hour, requests: 70000}")?;
//! let problems = std::cell::RefCell::new(Problems::new());
//! let root = Reader::root("demo.yaml", &documents[0], &problems);
//!
//! root.deny_unknown(&["domain", "rateLimit", "rate_limit"]);
//! let domain = root.required_str("domain");
//! if let Some(limit) = root.map(["rateLimit", "rate_limit"]) {
//!     let requests: Option<u16> = limit.optional_int("requests");
//!     let unit = limit.field("unit").and_then(|unit| unit.one_of(&[("hour", 3600), ("day", 86_400)]));
//!     assert_eq!((unit, requests), (Some(3600), None));
//! }
//! assert_eq!(domain, Some("demo"));
//! assert_eq!(
//!     problems.into_inner().to_string(),
//!     "demo.yaml:2:35: rateLimit.requests: number is out of range, found '70000' (allowed: 0 to 65535)"
//! );
//! # Ok::<(), server::document::SyntaxError>(())
//! ```

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use super::{Entry, Node, Value};
use crate::problem::{Problem, Problems};

/// Longest value that a problem repeats, in characters.
const VALUE_SHOWN_MAX: usize = 80;

/// One node of a file and the way to it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    file: &'a str,
    node: &'a Node,
    path: Path<'a>,
    secrecy: Secrecy,
    problems: &'a RefCell<Problems>,
}

/// A list from the node up to the root, written out only when there is a problem.
#[derive(Clone, Debug)]
enum Path<'a> {
    Root,
    Field(Rc<Self>, &'a str),
    Item(Rc<Self>, usize),
}

#[derive(Clone, Copy, Debug)]
enum Secrecy {
    Shown,
    Hidden,
}

/// The spellings of one field: a name, or an array of names of which the first is used in messages.
pub trait Names: Copy {
    /// Whether `key` is one of the spellings.
    fn matches(&self, key: &str) -> bool;
    /// The spelling for messages.
    fn canonical(&self) -> &str;
}

impl Names for &str {
    fn matches(&self, key: &str) -> bool {
        *self == key
    }

    fn canonical(&self) -> &str {
        self
    }
}

impl<const N: usize> Names for [&str; N] {
    fn matches(&self, key: &str) -> bool {
        self.contains(&key)
    }

    fn canonical(&self) -> &str {
        self.first().copied().unwrap_or_default()
    }
}

impl<'a> Reader<'a> {
    /// Begins at the root of a document of `file`.
    #[must_use]
    pub const fn root(file: &'a str, node: &'a Node, problems: &'a RefCell<Problems>) -> Self {
        Self {
            file,
            node,
            path: Path::Root,
            secrecy: Secrecy::Shown,
            problems,
        }
    }

    /// The node itself.
    #[must_use]
    pub const fn node(&self) -> &'a Node {
        self.node
    }

    /// The file that is read.
    #[must_use]
    pub const fn file(&self) -> &'a str {
        self.file
    }

    /// The way from the root, as `descriptors[0].rate_limit`.
    #[must_use]
    pub fn path(&self) -> String {
        self.path.to_string()
    }

    /// The same node, but problems of it and of all below do not show the value.
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.secrecy = Secrecy::Hidden;
        self
    }

    // Fields of a map.

    /// The value of a field, `None` if it is absent or null. Of several the last one wins, as in yaml.v2.
    ///
    /// Reports a node that is not a map; a null node is an empty map.
    #[must_use]
    pub fn field(&self, names: impl Names) -> Option<Self> {
        let is_named = |entry: &&'a Entry| entry.key.as_str().is_some_and(|key| names.matches(key));
        let entry = self.entries().iter().rev().find(is_named)?;
        (!entry.value.is_null()).then(|| self.child(entry))
    }

    /// As [`Reader::field`], and reports a field that is absent or null.
    #[must_use]
    pub fn required(&self, names: impl Names) -> Option<Self> {
        let field = self.field(names);
        if field.is_none() && matches!(self.node.value, Value::Map(_) | Value::Null) {
            self.reject(format!("field '{}' is required", names.canonical()));
        }
        field
    }

    /// A field that must hold a map.
    #[must_use]
    pub fn map(&self, names: impl Names) -> Option<Self> {
        let field = self.field(names)?;
        if field.node.as_map().is_none() {
            field.reject_kind("a map");
            return None;
        }
        Some(field)
    }

    /// The items of a field that must hold a list; empty if it is absent.
    #[must_use]
    pub fn list(&self, names: impl Names) -> Vec<Self> {
        self.field(names).map(|field| field.items()).unwrap_or_default()
    }

    /// Text of a field; see [`Reader::str`].
    #[must_use]
    pub fn optional_str(&self, names: impl Names) -> Option<&'a str> {
        self.field(names)?.str()
    }

    /// Text of a field that must be there.
    #[must_use]
    pub fn required_str(&self, names: impl Names) -> Option<&'a str> {
        self.required(names)?.str()
    }

    /// Boolean of a field.
    #[must_use]
    pub fn optional_bool(&self, names: impl Names) -> Option<bool> {
        self.field(names)?.bool()
    }

    /// Whole number of a field; see [`Reader::int`].
    #[must_use]
    pub fn optional_int<T: Bounded>(&self, names: impl Names) -> Option<T> {
        self.field(names)?.int()
    }

    /// Each entry of a map whose key is a scalar, with the key's text; duplicates included.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'a str, Self)> {
        let pair = |entry: &'a Entry| Some((entry.key.text()?, self.child(entry)));
        self.entries().iter().filter_map(pair).collect()
    }

    /// The entries of a map that are not named in `known`: to warn about, or see [`Reader::deny_unknown`].
    #[must_use]
    pub fn unknown(&self, known: &[&str]) -> Vec<&'a Entry> {
        let is_unknown = |entry: &&'a Entry| entry.key.as_str().is_none_or(|key| !known.contains(&key));
        self.node
            .as_map()
            .unwrap_or_default()
            .iter()
            .filter(is_unknown)
            .collect()
    }

    /// Reports each entry that is not named in `known`, at its key.
    pub fn deny_unknown(&self, known: &[&str]) {
        for entry in self.unknown(known) {
            let key = Self {
                node: &entry.key,
                ..self.clone()
            };
            let name = entry.key.text().unwrap_or_else(|| entry.key.kind());
            key.report(None, format!("unknown field '{name}'"), Some(known.join(", ")));
        }
    }

    // The node itself.

    /// The items of a list; reports a node that is not one. Null is an empty list.
    #[must_use]
    pub fn items(&self) -> Vec<Self> {
        if !matches!(self.node.value, Value::Seq(_) | Value::Null) {
            self.reject_kind("a list");
        }
        let parent = Rc::new(self.path.clone());
        let items = self.node.as_seq().unwrap_or_default().iter().enumerate();
        items
            .map(|(index, node)| Self {
                node,
                path: Path::Item(Rc::clone(&parent), index),
                ..self.clone()
            })
            .collect()
    }

    /// The text of any scalar, as written (`010` is "010", null is ""), as yaml.v2 fills a string.
    #[must_use]
    pub fn str(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Null => Some(""),
            Value::Seq(_) | Value::Map(_) => {
                self.reject_kind("a string");
                None
            }
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => self.node.text(),
        }
    }

    /// A boolean, written without quotes.
    #[must_use]
    pub fn bool(&self) -> Option<bool> {
        let flag = self.node.as_bool();
        if flag.is_none() {
            self.reject_kind("a boolean");
        }
        flag
    }

    /// A whole number, written without quotes, that fits `T`.
    #[must_use]
    pub fn int<T: Bounded>(&self) -> Option<T> {
        let Some(number) = self.node.as_int() else {
            self.reject_kind("a whole number");
            return None;
        };
        let fitting = T::try_from(number).ok();
        if fitting.is_none() {
            let (min, max) = T::RANGE;
            self.report(self.shown(), "number is out of range", Some(format!("{min} to {max}")));
        }
        fitting
    }

    /// The value that belongs to the node's text in a table; letter case counts.
    #[must_use]
    pub fn one_of<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.str()?;
        let choice = choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if choice.is_none() {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.report(self.shown(), "unknown value", Some(names.join(", ")));
        }
        choice
    }

    /// Reports a problem of this node.
    pub fn reject(&self, message: impl Into<String>) {
        self.report(self.shown(), message, None);
    }

    /// Reports a problem of this node and says what would be accepted.
    pub fn reject_allowing(&self, message: impl Into<String>, allowed: impl Into<String>) {
        self.report(self.shown(), message, Some(allowed.into()));
    }

    fn reject_kind(&self, wanted: &str) {
        self.report(
            self.shown(),
            format!("expected {wanted}, got {}", self.node.kind()),
            None,
        );
    }

    fn report(&self, value: Option<String>, message: impl Into<String>, allowed: Option<String>) {
        self.problems.borrow_mut().push(Problem {
            file: self.file.to_owned(),
            position: Some(self.node.position),
            field: self.path(),
            value,
            message: message.into(),
            allowed,
        });
    }

    fn entries(&self) -> &'a [Entry] {
        if !matches!(self.node.value, Value::Map(_) | Value::Null) {
            self.reject_kind("a map");
        }
        self.node.as_map().unwrap_or_default()
    }

    fn child(&self, entry: &'a Entry) -> Self {
        let name = entry.key.text().unwrap_or("?");
        Self {
            node: &entry.value,
            path: Path::Field(Rc::new(self.path.clone()), name),
            ..self.clone()
        }
    }

    /// The value as a problem may show it.
    fn shown(&self) -> Option<String> {
        let text = self.node.text()?;
        match self.secrecy {
            Secrecy::Hidden => None,
            Secrecy::Shown if text.chars().count() > VALUE_SHOWN_MAX => {
                Some(text.chars().take(VALUE_SHOWN_MAX).chain(['…']).collect())
            }
            Secrecy::Shown => Some(text.to_owned()),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(parent, name) if matches!(**parent, Self::Root) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// Whole numbers that [`Reader::int`] can fill.
pub trait Bounded: TryFrom<i128> {
    /// Least and greatest value, for messages.
    const RANGE: (i128, i128);
}

/// `lossless` conversions are `From`, which is not const; hence literals.
macro_rules! bounded {
    ($($number:ty: $min:literal to $max:literal),*) => {
        $(impl Bounded for $number {
            const RANGE: (i128, i128) = ($min, $max);
        })*
    };
}

bounded!(
    u8: 0 to 255,
    u16: 0 to 65_535,
    u32: 0 to 4_294_967_295,
    u64: 0 to 18_446_744_073_709_551_615,
    i64: -9_223_372_036_854_775_808 to 9_223_372_036_854_775_807
);
