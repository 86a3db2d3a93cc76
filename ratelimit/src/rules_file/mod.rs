//! Limit files: YAML text to rules, or to every problem of every file at once.
//!
//! The grammar, the YAML dialect and the error texts are those of envoyproxy/ratelimit; what it accepts we accept, what
//! it refuses we refuse, with file, line, column and field. `decode` reads the documents and reports what is not of
//! the grammar; what the grammar cannot say (units, duplicates, ...) is checked by [`RuleSet::build`]. Loading is all
//! or nothing: one bad file and the rules in force stay.
//!
//! Of a text with several documents only the first is read, as there; the rest is a notice. Kubernetes documents
//! (`kind: RateLimitConfig`, `ConfigMap`, ...) are refused by name until we serve them: passing over one in silence
//! would leave an operator without the limits that it holds.

mod cursor;
mod decode;
mod go;
mod metadata;

use ratelimit_core::source::RuleFile;
use ratelimit_core::{BuildOptions, RuleProblem, RuleSet};
use server::document;
use server::{Position, Problem, Problems};

use self::cursor::Cursor;

/// One file: its name in problems, and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// The name.
    pub name: &'a str,
    /// What the file holds.
    pub bytes: &'a [u8],
}

/// What loading found besides rules.
#[derive(Debug)]
pub struct Loaded {
    /// The rules, unless there is a problem.
    pub rules: Result<RuleSet, Problems>,
    /// What has no effect and was probably meant to have one. Never a reason to refuse: the other server accepts it.
    pub notices: Problems,
}

/// Reads files, in the order in which wildcards and duplicates across merged files are resolved.
///
/// # Errors
///
/// Every problem of every file, by file and position.
pub fn load<'a>(files: impl IntoIterator<Item = Text<'a>>, options: BuildOptions) -> Result<RuleSet, Problems> {
    load_with_notices(files, options).rules
}

/// As [`load`], with what is not worth refusing.
pub fn load_with_notices<'a>(files: impl IntoIterator<Item = Text<'a>>, options: BuildOptions) -> Loaded {
    let mut read = Read::default();
    for file in files {
        read.file(file);
    }
    let mut problems = read.problems;
    let built = RuleSet::build(&read.files, options);
    let rules = match built {
        Ok(rules) => Some(rules),
        Err(found) => {
            problems.extend(found.into_iter().map(problem));
            None
        }
    };
    problems.sort();
    let rules = match rules {
        Some(rules) => problems.into_result(rules),
        None => Err(problems),
    };
    Loaded {
        rules,
        notices: read.notices,
    }
}

/// What has been read so far.
#[derive(Debug, Default)]
struct Read {
    files: Vec<RuleFile>,
    problems: Problems,
    notices: Problems,
}

impl Read {
    fn file(&mut self, Text { name, bytes }: Text<'_>) {
        let documents = match document::parse(bytes) {
            Ok(documents) => documents,
            Err(error) => {
                let message = format!("error loading config file: {}", go::syntax(&error));
                self.problems.push(Problem {
                    message,
                    ..error.in_file(name)
                });
                return;
            }
        };
        for (index, document) in documents.iter().enumerate() {
            if let Some(kind) = document.field("kind") {
                self.problems.push(Problem {
                    file: name.to_owned(),
                    position: Some(kind.position),
                    field: "kind".to_owned(),
                    value: kind.text().map(ToOwned::to_owned),
                    message: "documents of this kind are not served".to_owned(),
                    allowed: Some("a document with domain and descriptors".to_owned()),
                });
            } else if index == 0 {
                let mut cursor = Cursor::new(name, &mut self.problems, &mut self.notices);
                self.files.extend(decode::file(name, document, &mut cursor));
            } else {
                self.notices.push(Problem {
                    file: name.to_owned(),
                    position: Some(document.position),
                    message: "only the first document of a file is read".to_owned(),
                    ..Problem::default()
                });
            }
        }
        if documents.is_empty() {
            self.files.push(decode::empty(name));
        }
    }
}

/// A problem of rules, as documents tell theirs.
pub(crate) fn problem(found: RuleProblem) -> Problem {
    Problem {
        file: found.file,
        position: found.position.map(|place| Position {
            line: place.line,
            column: place.column,
        }),
        field: found.field,
        value: found.kind.value().map(ToOwned::to_owned),
        message: found.kind.to_string(),
        allowed: found.kind.allowed().map(ToOwned::to_owned),
    }
}
