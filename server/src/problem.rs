//! Bad input, reported completely: every problem with its file, position, field, value and what is allowed.
//!
//! Readers collect into [`Problems`] and go on, so that an operator sees all mistakes of a file at once. Nothing
//! here decides what is wrong; `check` commands print it and the reloader logs it.

use std::fmt;

/// A place in a text; both numbers start at 1, columns count characters.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Line number.
    pub line: u32,
    /// Column number.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One mistake in one file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Problem {
    /// The file as the operator knows it; empty when the input is not a file.
    pub file: String,
    /// Where in the file, if the problem has a place.
    pub position: Option<Position>,
    /// Path of the field, as `descriptors[0].rate_limit.unit`; empty for the whole document.
    pub field: String,
    /// The offending value as written, shortened; never a secret.
    pub value: Option<String>,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// What would have been accepted.
    pub allowed: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
            if let Some(position) = self.position {
                write!(f, "{position}:")?;
            }
            f.write_str(" ")?;
        } else if let Some(position) = self.position {
            write!(f, "{position}: ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        if let Some(value) = &self.value
            && !self.message.contains(&format!("'{value}'"))
        {
            write!(f, ", found '{value}'")?;
        }
        if let Some(allowed) = &self.allowed {
            write!(f, " (allowed: {allowed})")?;
        }
        Ok(())
    }
}

/// All mistakes found in one pass. As an error it is never empty: see [`Problems::into_result`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// No problems yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one problem.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// How many problems there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The problems in the order they were found.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Orders the problems as a reader walks the files: by file, then by position.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
    }

    /// `value` if nothing was found.
    ///
    /// # Errors
    /// The problems themselves, at least one.
    pub fn into_result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        self.0.extend(problems);
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        Self(problems.into_iter().collect())
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> Problem {
        Problem {
            file: "ratelimit/basic.yaml".into(),
            position: Some(Position { line: 12, column: 15 }),
            field: "descriptors[0].rate_limit.unit".into(),
            value: Some("foo".into()),
            message: "invalid rate limit unit 'foo'".into(),
            allowed: Some("second, minute".into()),
        }
    }

    #[test]
    fn prints_file_position_field_message_and_what_is_allowed() {
        assert_eq!(
            unit().to_string(),
            "ratelimit/basic.yaml:12:15: descriptors[0].rate_limit.unit: invalid rate limit unit 'foo' \
             (allowed: second, minute)"
        );
    }

    #[test]
    fn prints_the_value_when_the_message_does_not_name_it() {
        let problem = Problem {
            message: "not a unit".into(),
            ..unit()
        };
        assert!(
            problem.to_string().contains("not a unit, found 'foo' (allowed"),
            "{problem}"
        );
    }

    #[test]
    fn leaves_out_what_is_not_known() {
        let problem = Problem {
            message: "no files".into(),
            ..Problem::default()
        };
        assert_eq!(problem.to_string(), "no files");
    }

    #[test]
    fn is_a_result_only_when_empty() {
        assert_eq!(Problems::new().into_result(7), Ok(7));
        assert_eq!(Problems::from(unit()).into_result(7), Err(Problems::from(unit())));
    }

    #[test]
    fn sorts_by_file_then_position() {
        let at = |file: &str, line| Problem {
            file: file.into(),
            position: Some(Position { line, column: 1 }),
            ..Problem::default()
        };
        let mut problems: Problems = [at("b", 1), at("a", 9), at("a", 2)].into_iter().collect();
        problems.sort();
        let order: Vec<_> = problems
            .iter()
            .map(|p| (p.file.as_str(), p.position.unwrap().line))
            .collect();
        assert_eq!(order, [("a", 2), ("a", 9), ("b", 1)]);
    }
}
