//! `extauth check PATH`: reads the files as the service would and tells everything that is wrong or odd.

use std::fmt;
use std::path::Path;

use server::problem::Problems;
use server::reload::Build;
use server::source::{self, SourceError};

use crate::policy_file::{self, Options};

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// AuthConfigs that would serve.
    pub configs: usize,
    /// What is wrong.
    pub problems: Problems,
    /// What is odd.
    pub notes: Problems,
}

/// Reads the files of `path`.
///
/// # Errors
/// When they cannot be read at all.
pub fn check(path: &Path, options: &Options) -> Result<Report, SourceError> {
    let files = source::read(path, policy_file::SELECTION)?;
    let (loaded, problems) = match policy_file::load(&files, None, options) {
        Build::Good(loaded) => (loaded, Problems::new()),
        Build::Partly(loaded, problems) => (loaded, problems),
        Build::Bad(problems) => (policy_file::Loaded::default(), problems),
    };
    Ok(Report {
        configs: loaded.ready(),
        problems,
        notes: loaded.notes,
    })
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "error: {problem}")?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        let configs = plural(self.configs, "AuthConfig");
        let (problems, notes) = (plural(self.problems.len(), "error"), plural(self.notes.len(), "note"));
        write!(f, "{configs} good, {problems}, {notes}")
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
