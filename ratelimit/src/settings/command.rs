//! The command line: a flag for every environment variable, made from the table of [`crate::environment`], and the
//! subcommands. Values stay text here; [`super::values`] reads them.

use std::path::PathBuf;

use clap::{Arg, ArgAction, Command, value_parser};

use super::ours;
use crate::environment::{self, Effect, Variable};

/// What `-h` shows; `--help` shows all.
const SHOWN_SHORT: [&str; 8] = [
    "RATELIMIT_CONFIG",
    "GRPC_PORT",
    "PORT",
    "DEBUG_PORT",
    "PROMETHEUS_ADDR",
    "REDIS_URL",
    "LOG_LEVEL",
    "LOG_FORMAT",
];

const ABOUT: &str = "A rate limit service for Envoy. Serves when no command is given.";

const MORE: &str =
    "Each flag is also an environment variable, whose name is shown in brackets. --help shows all of them.";

/// The command line. Arguments go by the names of their variables.
pub(super) fn command() -> Command {
    let path = Arg::new("path")
        .value_name("PATH")
        .required(true)
        .value_parser(value_parser!(PathBuf));
    let check = Command::new("check")
        .about("Check limit files without serving them: exit code 1 and every problem if they would be refused")
        .arg(path.help("A file, or a directory of files"));
    let healthcheck =
        Command::new("healthcheck").about("Ask the running service for its health: exit code 1 if it has none");
    Command::new("ratelimit")
        .about(ABOUT)
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(MORE)
        .after_long_help("Each flag is also an environment variable, whose name is shown in brackets.")
        .subcommands([check, healthcheck])
        .args(
            ours::GROUP
                .variables
                .iter()
                .map(|variable| flag(variable, ours::GROUP.title)),
        )
        .args(environment::GROUPS.iter().flat_map(|group| {
            let single = group.variables.iter().filter(|variable| !variable.is_family());
            single.map(|variable| flag(variable, group.title))
        }))
}

fn flag(variable: &'static Variable, heading: &'static str) -> Arg {
    let help = match (variable.effect, variable.default) {
        (Effect::Accepted(_) | Effect::NotRead(_), _) => format!("{} (no effect)", variable.meaning),
        (Effect::Setting, "") => variable.meaning.to_owned(),
        (Effect::Setting, default) => format!("{} [default: {default}]", variable.meaning),
    };
    Arg::new(variable.name)
        .long(ours::flag_name(variable.name))
        .env(variable.name)
        .hide_env_values(true)
        .action(ArgAction::Set)
        .allow_hyphen_values(true)
        .value_name(variable.kind.as_str())
        .help(help)
        .help_heading(heading)
        .hide_short_help(!SHOWN_SHORT.contains(&variable.name))
}
