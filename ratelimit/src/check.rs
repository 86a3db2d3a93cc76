//! `ratelimit check PATH`: whether limit files would be loaded, and everything that speaks against it.
//!
//! The same reading as at start and at reload, without a server. The caller prints the [`Report`] and exits with 1 when
//! there is a problem, and 0 otherwise: notices are for people and fail nothing.

use std::fmt;

use ratelimit_core::BuildOptions;
use server::Problems;
use server::source::SourceFile;

use crate::rules_file::{self, Text};

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// How many files were read.
    pub files: usize,
    /// How many domains and rules they hold; `None` when there is a problem.
    pub rules: Option<Counts>,
    /// Why they would not be loaded, every reason at once.
    pub problems: Problems,
    /// What has no effect.
    pub notices: Problems,
}

/// What good files hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Counts {
    /// Domains.
    pub domains: usize,
    /// Descriptors with a limit.
    pub rules: usize,
}

/// Checks files that were read from disk, in the order read. Problems name them by their path, so that an editor finds
/// the place; the service names them by their runtime key.
#[must_use]
pub fn check_files(files: &[SourceFile], options: BuildOptions) -> Report {
    let names: Vec<_> = files.iter().map(|file| file.path.display().to_string()).collect();
    let texts = names.iter().zip(files).map(|(name, file)| Text {
        name,
        bytes: &file.bytes,
    });
    check(texts, options)
}

/// Checks files under the options they would be loaded with.
pub fn check<'a>(files: impl IntoIterator<Item = Text<'a>>, options: BuildOptions) -> Report {
    let mut count = 0_usize;
    let files = files.into_iter().inspect(|_| count = count.saturating_add(1));
    let loaded = rules_file::load_with_notices(files, options);
    let (rules, problems) = match loaded.rules {
        Ok(rules) => (
            Some(Counts {
                domains: rules.domains().len(),
                rules: rules.rules().len(),
            }),
            Problems::new(),
        ),
        Err(problems) => (None, problems),
    };
    Report {
        files: count,
        rules,
        problems,
        notices: loaded.notices,
    }
}

impl Report {
    /// Whether the files would be loaded.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// One line for each problem and notice, and a last one that sums up.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        for notice in &self.notices {
            writeln!(f, "{notice} [no effect]")?;
        }
        let files = counted(self.files, "file");
        match self.rules {
            Some(Counts { domains, rules }) => {
                write!(
                    f,
                    "ok: {files}, {}, {}",
                    counted(domains, "domain"),
                    counted(rules, "rule")
                )
            }
            None => write!(f, "refused: {} in {files}", counted(self.problems.len(), "problem")),
        }
    }
}

fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_texts(texts: &[&str], expected: &str) -> Report {
        let names: Vec<_> = (0..texts.len()).map(|index| format!("{index}.yaml")).collect();
        let texts = names.iter().zip(texts).map(|(name, text)| Text {
            name,
            bytes: text.as_bytes(),
        });
        let report = check(texts, BuildOptions::default());
        assert_eq!(report.to_string(), expected);
        report
    }

    #[test]
    fn sums_up_good_files() {
        let text = "domain: d\ndescriptors: [{key: a, rate_limit: {unit: day}}, {key: b}]\n";
        assert!(check_texts(&[text], "ok: 1 file, 1 domain, 1 rule").is_ok());
        assert!(check_texts(&[], "ok: 0 files, 0 domains, 0 rules").is_ok());
    }

    #[test]
    fn tells_every_problem_of_every_file() {
        let report = check_texts(
            &[
                "domain: ''\n",
                "domain: d\nunit: day\ndescriptors: [{key: a, rate_limit: {unit: days}}]\n",
            ],
            "0.yaml:1:9: domain: config file cannot have empty domain (allowed: a non-empty string)\n\
             1.yaml:3:43: descriptors[0].rate_limit.unit: invalid rate limit unit 'days' \
             (allowed: second, minute, hour, day, week, month, year)\n\
             1.yaml:2:1: unit: key 'unit' has no effect in the root (allowed: domain, descriptors) [no effect]\n\
             refused: 2 problems in 2 files",
        );
        assert!(!report.is_ok());
    }
}
