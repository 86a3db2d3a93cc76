//! Typed values of variables, and every problem with them at once.
//!
//! A variable is what its flag or the environment says, else its default. Set and empty is a value: text, lists and maps
//! become empty, anything else is a problem, as in envoyproxy/ratelimit.

use std::cell::RefCell;
use std::collections::HashSet;
use std::str::FromStr;
use std::time::Duration;

use clap::ArgMatches;
use server::settings::{parse_bool, parse_duration, parse_int};
use server::{Problem, Problems};

use super::ours;
use crate::environment::{self, Kind, Variable};

/// Variables whose text may hold a password.
const SECRETS: [&str; 7] = [
    "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS",
    "REDIS_URL",
    "REDIS_AUTH",
    "REDIS_SENTINEL_AUTH",
    "REDIS_PERSECOND_URL",
    "REDIS_PERSECOND_AUTH",
    "REDIS_PERSECOND_SENTINEL_AUTH",
];

/// The variables as set, and the problems found so far.
#[derive(Debug)]
pub(super) struct Values<'m> {
    matches: &'m ArgMatches,
    problems: Problems,
    /// Variables whose value somebody asked for.
    used: RefCell<HashSet<String>>,
}

/// Every variable that a flag stands for.
pub(super) fn variables() -> impl Iterator<Item = &'static Variable> {
    let theirs = environment::variables().filter(|variable| !variable.is_family());
    ours::GROUP.variables.iter().chain(theirs)
}

impl<'m> Values<'m> {
    /// Reads every variable once by its kind, those without effect too: what is no number today is none tomorrow.
    pub(super) fn read(matches: &'m ArgMatches) -> Self {
        let mut values = Self {
            matches,
            problems: Problems::new(),
            used: RefCell::default(),
        };
        for variable in variables() {
            let Some(text) = values.stated(variable.name) else {
                continue;
            };
            if let Err(message) = check(variable.kind, text) {
                values.problem(variable.name, message);
            }
        }
        values
    }

    /// The text a variable was set to.
    pub(super) fn set(&self, name: &str) -> Option<&'m str> {
        self.used.borrow_mut().insert(name.to_owned());
        self.stated(name)
    }

    /// Whether a variable was set. Does not count as using its value.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.stated(name).is_some()
    }

    /// Variables that were set and whose value nobody asked for.
    pub(super) fn unused(&self) -> Vec<&'static str> {
        let used = self.used.borrow();
        let names = variables().map(|variable| variable.name);
        names
            .filter(|name| self.is_set(name) && !used.contains(*name))
            .collect()
    }

    fn stated(&self, name: &str) -> Option<&'m str> {
        self.matches.get_one::<String>(name).map(String::as_str)
    }

    /// The text a variable was set to, or its default.
    pub(super) fn text(&self, name: &str) -> &'m str {
        let default = || {
            variables()
                .find(|variable| variable.name == name)
                .map_or("", |variable| variable.default)
        };
        self.set(name).unwrap_or_else(default)
    }

    /// A bool. Where the text is none, that is a problem already and the value does not matter; so for all kinds.
    pub(super) fn bool(&self, name: &str) -> bool {
        parse_bool(self.text(name)).unwrap_or_default()
    }

    pub(super) fn duration(&self, name: &str) -> Duration {
        parse_duration(self.text(name)).unwrap_or_default()
    }

    /// A number of the range of `T`.
    pub(super) fn int<T: TryFrom<i64> + Default>(&mut self, name: &str) -> T {
        let Ok(number) = parse_int(self.text(name)) else {
            return T::default();
        };
        T::try_from(number).unwrap_or_else(|_out_of_range| {
            self.problem(name, "out of range".to_owned());
            T::default()
        })
    }

    /// Anything that reads itself from text. `None` is a problem already.
    pub(super) fn parsed<T: FromStr<Err: ToString>>(&mut self, name: &str) -> Option<T> {
        let parsed = self.text(name).parse().map_err(|error: T::Err| error.to_string());
        parsed.map_err(|message| self.problem(name, message)).ok()
    }

    /// Adds a problem with a variable.
    pub(super) fn problem(&mut self, name: &str, message: String) {
        let is_secret = SECRETS.contains(&name);
        self.problems.push(Problem {
            field: name.to_owned(),
            value: self.stated(name).filter(|_| !is_secret).map(ToOwned::to_owned),
            message,
            ..Problem::default()
        });
    }

    /// What was made of these values; nothing was made only if there was a problem.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, Problems> {
        made.filter(|_| self.problems.is_empty()).ok_or(self.problems)
    }
}

fn check(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::List => Ok(()),
        Kind::Bool => parse_bool(text).map(|_| ()),
        Kind::Int => parse_int(text).map(|_| ()),
        Kind::Float => text
            .parse::<f64>()
            .map(|_| ())
            .map_err(|_not_a_number| "not a number".to_owned()),
        Kind::Duration => parse_duration(text).map(|_| ()),
        Kind::Map => {
            let is_pair = |pair: &str| pair.matches(':').count() == 1;
            let is_map = text.is_empty() || text.split(',').all(is_pair);
            is_map
                .then_some(())
                .ok_or_else(|| "not a map (allowed: key:value pairs between commas)".to_owned())
        }
    }
}
