//! The program `ratelimit`: reads what it is told, does it, and says with its exit code how that went.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use ratelimit::app;
use ratelimit::check::{self, Report};
use ratelimit::rules_file::Text;
use ratelimit::settings::{Command, Settings, UsageError};
use ratelimit_core::BuildOptions;
use server::listen::Address;
use server::source::{self, DotFiles, Extensions, Selection};

/// The command line or a variable is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let command = match Command::read(std::env::args_os(), &variable) {
        Ok(command) => command,
        Err(error) => return explain(&error),
    };
    let done = match command {
        Command::Serve(settings) => serve(*settings),
        Command::Check { path, options } => check(&path, options),
        Command::Healthcheck { http } => healthcheck(&http),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say(&format!("ratelimit: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    server::log::init(settings.log_level, settings.log_format)?;
    runtime()?.block_on(app::serve(settings))?;
    Ok(ExitCode::SUCCESS)
}

fn check(path: &Path, options: BuildOptions) -> anyhow::Result<ExitCode> {
    let selection = Selection {
        dot_files: DotFiles::Ignore,
        extensions: Extensions::Documents,
    };
    let files = source::read(path, selection)?;
    let texts = files.iter().map(|file| Text {
        name: &file.name,
        bytes: &file.bytes,
    });
    let report: Report = check::check(texts, options);
    writeln!(std::io::stdout(), "{report}")?;
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn healthcheck(http: &Address) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(server::health_probe::probe(http, "/healthcheck"))?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Help and version are what was asked for; anything else is not.
fn explain(error: &UsageError) -> ExitCode {
    match error {
        UsageError::CommandLine(error) => {
            let printed = error.print();
            if error.use_stderr() || printed.is_err() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            }
        }
        UsageError::Values(problems) => {
            say(&problems.to_string());
            ExitCode::from(USAGE)
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the settings are given the environment here and read it nowhere else"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Tells people. If standard error is closed there is nobody to tell.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
