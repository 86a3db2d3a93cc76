//! Why a text is not a YAML document, in the words of libyaml, which operators know and search for.

use std::fmt;

use saphyr_parser::{Marker, ScanError};

use crate::problem::{Position, Problem};

/// In the words of yaml.v2, less the name.
pub(super) const UNKNOWN_ANCHOR: &str = "unknown anchor referenced";

/// The first place where a text stops being YAML.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct SyntaxError {
    /// Where, unless the text as a whole is refused.
    pub position: Option<Position>,
    /// What is wrong, without the place.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "line {}: ", position.line)?;
        }
        f.write_str(&self.message)
    }
}

impl SyntaxError {
    /// The same as a [`Problem`] of `file`.
    #[must_use]
    pub fn in_file(self, file: &str) -> Problem {
        Problem {
            file: file.to_owned(),
            position: self.position,
            message: self.message,
            ..Problem::default()
        }
    }

    pub(super) fn at(position: Position, message: impl Into<String>) -> Self {
        Self {
            position: Some(position),
            message: message.into(),
        }
    }

    pub(super) fn whole(message: impl Into<String>) -> Self {
        Self {
            position: None,
            message: message.into(),
        }
    }

    /// Translates what the parser says about `text`.
    pub(super) fn from_scan(error: &ScanError, text: &str) -> Self {
        let wording = Wording::of(error.info());
        let at = match wording.place {
            Place::End => end_of(text),
            Place::LastLine if error.marker().index() >= text.trim_end().chars().count() => end_of(text.trim_end()),
            Place::Mark | Place::LastLine => position(*error.marker()),
        };
        Self::at(at, wording.message)
    }
}

/// Which place to show for an error.
enum Place {
    /// Where the parser stood.
    Mark,
    /// The end of the text: the parser names the opening quote, libyaml the end it ran into.
    End,
    /// Where the parser stood, but for an error at the end the last line that holds text.
    LastLine,
}

struct Wording<'a> {
    message: &'a str,
    place: Place,
}

impl<'a> Wording<'a> {
    fn of(info: &'a str) -> Self {
        if info.contains("unexpected end of stream") {
            return Self {
                message: "found unexpected end of stream",
                place: Place::End,
            };
        }
        if info.starts_with("tabs disallowed") || info.starts_with("unexpected character") {
            return Self {
                message: "found character that cannot start any token",
                place: Place::Mark,
            };
        }
        if info == "did not find expected next token" || info == "unexpected eof" {
            return Self {
                message: "did not find expected node content",
                place: Place::LastLine,
            };
        }
        if info.contains("unknown anchor") {
            return Self {
                message: UNKNOWN_ANCHOR,
                place: Place::Mark,
            };
        }
        if info.contains("while parsing a flow sequence") {
            return Self {
                message: "did not find expected ',' or ']'",
                place: Place::LastLine,
            };
        }
        // "while parsing a node, did not find …": libyaml keeps the two parts apart and prints the second.
        let message = match info.split_once(", ") {
            Some((context, message)) if context.starts_with("while ") => message,
            _ => info,
        };
        Self {
            message,
            place: Place::LastLine,
        }
    }
}

/// The parser counts lines from 1 and columns from 0.
pub(super) fn position(marker: Marker) -> Position {
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position {
        line: number(marker.line()).max(1),
        column: number(marker.col()).saturating_add(1),
    }
}

/// The position just behind the last character of `text`.
pub(super) fn end_of(text: &str) -> Position {
    let line = text.split('\n').count();
    let column = text.rsplit('\n').next().unwrap_or_default().chars().count();
    position(Marker::new(0, line, column))
}
