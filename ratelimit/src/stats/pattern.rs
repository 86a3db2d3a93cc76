//! What a name is held against: globs of whole dot-separated parts, and regular expressions.

use regex::{Regex, RegexBuilder};

/// Most bytes that one compiled expression may take.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// A form that names may have.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Parts between dots; `None` stands for any one part.
    Glob(Vec<Option<String>>),
    /// Found anywhere in the name unless it has anchors.
    Expression(Regex),
}

/// Why a text is no pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PatternError {
    /// Not parts of letters, digits, `_` and `-`, or `*`, between dots.
    #[error("a glob is made of `*` and names of letters, digits, `_` and `-`, joined by dots")]
    Glob,
    /// Not an expression of the RE2 kind, or too big.
    #[error("not a regular expression: {0}")]
    Expression(String),
}

/// What the groups of a pattern took from a name.
#[derive(Debug)]
pub(super) enum Captured<'a> {
    /// Group 0, the whole name, then what each `*` took.
    Parts(Vec<&'a str>),
    /// Groups of the expression.
    Groups(regex::Captures<'a>),
}

impl Pattern {
    /// Reads a glob.
    ///
    /// # Errors
    /// [`PatternError::Glob`] with a part that is neither `*` nor a name.
    pub(super) fn glob(text: &str) -> Result<Self, PatternError> {
        let is_part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        let part = |part: &str| match part {
            "*" => Ok(None),
            name if is_part(name) => Ok(Some(name.to_owned())),
            _ => Err(PatternError::Glob),
        };
        text.split('.').map(part).collect::<Result<_, _>>().map(Self::Glob)
    }

    /// Compiles an expression. Its time is linear in the name, whatever it says.
    ///
    /// # Errors
    /// [`PatternError::Expression`] when it does not compile within 1 MiB.
    pub(super) fn expression(text: &str) -> Result<Self, PatternError> {
        let built = RegexBuilder::new(text).size_limit(EXPRESSION_BYTES_MAX).build();
        built.map(Self::Expression).map_err(|error| {
            // The lines before the last draw the place; a log line has no room for drawings.
            let whole = error.to_string();
            let last = whole.lines().next_back().unwrap_or_default();
            PatternError::Expression(last.trim_start_matches("error: ").to_owned())
        })
    }

    /// What the groups take from a name; `None` if it does not have the form.
    #[must_use]
    pub(super) fn captures<'n>(&self, name: &'n str) -> Option<Captured<'n>> {
        match self {
            Self::Expression(regex) => regex.captures(name).map(Captured::Groups),
            Self::Glob(parts) => glob_captures(parts, name).map(Captured::Parts),
        }
    }

    /// Number of a group that a template names; `None` if there is no such group.
    #[must_use]
    pub(super) fn group_number(&self, place: &str) -> Option<usize> {
        let groups = match self {
            Self::Glob(parts) => parts.iter().filter(|part| part.is_none()).count().saturating_add(1),
            Self::Expression(regex) => regex.captures_len(),
        };
        match (place.parse::<usize>(), self) {
            (Ok(number), _) => (number < groups).then_some(number),
            (Err(_), Self::Glob(_)) => None,
            (Err(_), Self::Expression(regex)) => regex.capture_names().position(|name| name == Some(place)),
        }
    }
}

/// The whole name and what each `*` takes, if every part fits.
fn glob_captures<'n>(parts: &[Option<String>], name: &'n str) -> Option<Vec<&'n str>> {
    let mut taken = vec![name];
    let mut given = name.split('.');
    for part in parts {
        match (part, given.next()?) {
            (None, any) => taken.push(any),
            (Some(wanted), found) if wanted == found => {}
            (Some(_), _) => return None,
        }
    }
    given.next().is_none().then_some(taken)
}

impl Captured<'_> {
    /// Text of a group; empty if it took no part.
    #[must_use]
    pub(super) fn group(&self, number: usize) -> &str {
        match self {
            Self::Parts(parts) => parts.get(number).copied().unwrap_or_default(),
            Self::Groups(groups) => groups.get(number).map_or("", |found| found.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn glob(pattern: &str, name: &str, expected: Option<&[&str]>) {
        let pattern = Pattern::glob(pattern).unwrap();
        match (pattern.captures(name), expected) {
            (Some(Captured::Parts(parts)), Some(expected)) => assert_eq!(parts[1..], *expected),
            (None, None) => {}
            (got, expected) => panic!("{name}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_star_takes_exactly_one_part() {
        glob("a.*.c", "a.b.c", Some(&["b"]));
        glob("a.*.c", "a.b.b.c", None);
        glob("a.*.c", "a..c", Some(&[""]));
        glob("a.*", "a.b", Some(&["b"]));
        glob("a.*", "a", None);
        glob("*.*", "a/x b.c", Some(&["a/x b", "c"]));
        glob("a.b", "a.b", Some(&[]));
        glob("a.b", "a.b.c", None);
    }

    #[test]
    fn globs_of_other_signs_are_refused() {
        for bad in ["", "a..b", "a.*x", ".", "a b", "a.**", "9a", "a.b?"] {
            assert_eq!(Pattern::glob(bad).unwrap_err(), PatternError::Glob, "{bad}");
        }
    }

    #[test]
    fn expressions_that_are_wrong_or_huge_are_refused() {
        for bad in ["(", "a{1000}{1000}", "(?=look)"] {
            assert!(
                matches!(Pattern::expression(bad), Err(PatternError::Expression(_))),
                "{bad}"
            );
        }
    }

    #[test]
    fn expressions_match_anywhere() {
        let pattern = Pattern::expression("b(.)").unwrap();
        assert_eq!(pattern.captures("abcd").unwrap().group(1), "c");
        assert!(pattern.captures("x").is_none());
    }
}
