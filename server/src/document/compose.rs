//! Parser events to nodes: a stack of open lists and maps, anchors, merge keys and the bounds.
//!
//! The stack is explicit, so no text can exhaust the thread's stack. Scalars are resolved in `scalar`.

use std::collections::HashMap;
use std::mem;

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput, Tag};

use super::syntax::{SyntaxError, UNKNOWN_ANCHOR, end_of, position};
use super::{ALIAS_NODES_MAX, DEPTH_MAX, Entry, NODES_MAX, Node, TEXT_BYTES_MAX, Value, scalar};
use crate::problem::Position;

/// Text that counts as one further node when an alias copies it.
const BYTES_PER_NODE: usize = 128;

/// All documents of `text`.
pub(super) fn compose(text: &[u8]) -> Result<Vec<Node>, SyntaxError> {
    let text = decode(text)?;
    let mut composer = Composer::new(Parser::new_from_str(text));
    while let Some(event) = composer.parser.next_event() {
        let (event, span) = event.map_err(|error| SyntaxError::from_scan(&error, text))?;
        composer.take(event, position(span.start))?;
    }
    Ok(composer.documents)
}

/// UTF-8 without byte order mark and without the control characters that YAML forbids.
fn decode(text: &[u8]) -> Result<&str, SyntaxError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(SyntaxError::whole(format!(
            "text is longer than {TEXT_BYTES_MAX} bytes"
        )));
    }
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let text = std::str::from_utf8(text).map_err(|error| {
        let valid = text.get(..error.valid_up_to()).unwrap_or_default();
        let at = end_of(std::str::from_utf8(valid).unwrap_or_default());
        let message = if error.error_len().is_none() {
            "incomplete UTF-8 octet sequence"
        } else {
            "invalid leading UTF-8 octet"
        };
        SyntaxError::at(at, message)
    })?;
    let forbidden = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}');
    match text.split_once(forbidden) {
        Some((before, _)) => Err(SyntaxError::at(end_of(before), "control characters are not allowed")),
        None => Ok(text),
    }
}

struct Composer<'t> {
    parser: Parser<'t, StrInput<'t>>,
    documents: Vec<Node>,
    open: Vec<Open>,
    /// Finished anchored nodes; an anchor that is still open is not in here.
    anchors: HashMap<usize, Anchored>,
    written: usize,
    copied: Copied,
}

/// A list or map whose end has not come yet.
struct Open {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<Node> },
}

struct Anchored {
    node: Node,
    cost: Cost,
}

/// What a copy of a node costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    nodes: usize,
    depth: usize,
}

impl<'t> Composer<'t> {
    fn new(parser: Parser<'t, StrInput<'t>>) -> Self {
        Self {
            parser,
            documents: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            written: 0,
            copied: Copied(0),
        }
    }

    fn take(&mut self, event: Event<'t>, at: Position) -> Result<(), SyntaxError> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::Alias(anchor) => {
                let node = self.copy(anchor, at)?;
                self.place(node)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.count(at)?;
                let node = scalar_node(text.into_owned(), style, tag.as_deref(), at)?;
                self.finish(node, anchor)
            }
            Event::SequenceStart(anchor, _) => self.begin(at, anchor, Content::Seq(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(
                at,
                anchor,
                Content::Map {
                    entries: Vec::new(),
                    key: None,
                },
            ),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
        }
    }

    fn count(&mut self, at: Position) -> Result<(), SyntaxError> {
        self.written = self.written.saturating_add(1);
        if self.written > NODES_MAX {
            return Err(SyntaxError::at(at, format!("text has more than {NODES_MAX} nodes")));
        }
        Ok(())
    }

    fn begin(&mut self, position: Position, anchor: usize, content: Content) -> Result<(), SyntaxError> {
        self.count(position)?;
        if self.open.len() >= DEPTH_MAX {
            return Err(too_deep(position));
        }
        self.open.push(Open {
            position,
            anchor,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::Seq(items) => Value::Seq(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        self.finish(
            Node {
                position: open.position,
                value,
                source: None,
                plain: false,
            },
            open.anchor,
        )
    }

    /// Remembers an anchored node, then puts it where it stands.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        if anchor != 0 {
            let cost = cost(&node);
            self.copied.charge(cost.nodes, self.written, node.position)?;
            self.anchors.insert(
                anchor,
                Anchored {
                    node: node.clone(),
                    cost,
                },
            );
        }
        self.place(node)
    }

    /// What the alias stands for.
    fn copy(&mut self, anchor: usize, at: Position) -> Result<Node, SyntaxError> {
        let Some(anchored) = self.anchors.get(&anchor) else {
            let is_open = self.open.iter().any(|open| open.anchor == anchor);
            let message = if is_open {
                "anchor value contains itself"
            } else {
                UNKNOWN_ANCHOR
            };
            return Err(SyntaxError::at(at, message));
        };
        if self.open.len().saturating_add(anchored.cost.depth) > DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.copied.charge(anchored.cost.nodes, self.written, at)?;
        Ok(anchored.node.clone())
    }

    /// Puts a finished node into the innermost open list or map, or ends a document with it.
    fn place(&mut self, node: Node) -> Result<(), SyntaxError> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.documents.push(node),
            Some(Content::Seq(items)) => items.push(node),
            Some(Content::Map { entries, key }) => match key.take() {
                None => *key = Some(node),
                Some(merge) if is_merge(&merge) => entries.extend(merged(node)?),
                Some(key) => entries.push(Entry { key, value: node }),
            },
        }
        Ok(())
    }
}

/// Nodes that aliases brought in, bounded so that a few lines cannot fill the memory ("billion laughs").
struct Copied(usize);

impl Copied {
    fn charge(&mut self, nodes: usize, written: usize, at: Position) -> Result<(), SyntaxError> {
        self.0 = self.0.saturating_add(nodes);
        if self.0 > ALIAS_NODES_MAX.max(written.saturating_mul(10)) {
            return Err(SyntaxError::at(at, "document contains excessive aliasing"));
        }
        Ok(())
    }
}

fn too_deep(at: Position) -> SyntaxError {
    SyntaxError::at(at, format!("document is nested deeper than {DEPTH_MAX} levels"))
}

/// Recursion is bounded: every node was built under [`DEPTH_MAX`].
fn cost(node: &Node) -> Cost {
    let children = |costs: &mut dyn Iterator<Item = Cost>| {
        costs.fold(Cost { nodes: 1, depth: 1 }, |sum, child| Cost {
            nodes: sum.nodes.saturating_add(child.nodes),
            depth: sum.depth.max(child.depth.saturating_add(1)),
        })
    };
    match &node.value {
        Value::Seq(items) => children(&mut items.iter().map(cost)),
        Value::Map(entries) => children(&mut entries.iter().flat_map(|entry| [cost(&entry.key), cost(&entry.value)])),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => Cost {
            nodes: 1 + node.text().map_or(0, str::len) / BYTES_PER_NODE,
            depth: 0,
        },
    }
}

fn is_merge(key: &Node) -> bool {
    key.plain && key.as_str() == Some("<<")
}

/// The entries that `<<: value` stands for. They take the place of the `<<`, so that with "last wins" an entry written
/// after it wins and one before it loses: yaml.v2 does the same. Of several maps the first wins.
fn merged(node: Node) -> Result<Vec<Entry>, SyntaxError> {
    let wrong = SyntaxError::at(node.position, "map merge requires map or sequence of maps as the value");
    match node.value {
        Value::Map(entries) => Ok(entries),
        Value::Seq(mut maps) => {
            let mut entries = Vec::new();
            for map in maps.iter_mut().rev() {
                let Value::Map(more) = mem::replace(&mut map.value, Value::Null) else {
                    return Err(wrong);
                };
                entries.extend(more);
            }
            Ok(entries)
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => Err(wrong),
    }
}

fn scalar_node(text: String, style: ScalarStyle, tag: Option<&Tag>, position: Position) -> Result<Node, SyntaxError> {
    let plain = matches!(style, ScalarStyle::Plain) && tag.is_none();
    let value = match tag {
        None if plain => scalar::resolve(&text),
        Some(tag) if tag.is_yaml_core_schema() => tagged(&tag.suffix, text.clone(), position)?,
        None | Some(_) => Value::String(text.clone()),
    };
    let source = (!matches!(value, Value::String(_))).then(|| text.into_boxed_str());
    Ok(Node {
        position,
        value,
        source,
        plain,
    })
}

/// `!!int "5"` and the like: the tag overrules the quotes, and must fit.
fn tagged(tag: &str, text: String, at: Position) -> Result<Value, SyntaxError> {
    let value = match (tag, scalar::resolve(&text)) {
        ("int", value @ Value::Int(_))
        | ("float", value @ Value::Float(_))
        | ("bool", value @ Value::Bool(_))
        | ("null", value @ Value::Null) => Some(value),
        ("float", Value::Int(_)) => text.replace('_', "").parse().ok().map(Value::Float),
        ("int" | "float" | "bool" | "null", _) => None,
        _ => return Ok(Value::String(text)),
    };
    value.ok_or_else(|| SyntaxError::at(at, format!("cannot decode `{text}` as a !!{tag}")))
}
