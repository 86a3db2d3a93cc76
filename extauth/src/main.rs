//! The program `extauth`: reads what it is told, does it, and says with its exit code how that went.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use extauth::policy_file::Options;
use extauth::settings::{Command, Settings};
use extauth::{app, check};
use server::listen::Address;

/// The command line or a variable is wrong (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let command = match Command::read(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => return explain(&error),
    };
    let done = match command {
        Command::Serve(settings) => serve(*settings),
        Command::Check { path, options } => check(&path, &options),
        Command::Healthcheck { admin } => healthcheck(&admin),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            say(&format!("extauth: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    server::log::init(settings.log_level, settings.log_format)?;
    runtime()?.block_on(app::serve(settings))?;
    Ok(ExitCode::SUCCESS)
}

fn check(path: &Path, options: &Options) -> anyhow::Result<ExitCode> {
    let report = check::check(path, options)?;
    writeln!(std::io::stdout(), "{report}")?;
    Ok(if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn healthcheck(admin: &Address) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(server::health_probe::probe(admin, "/healthcheck"))?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// Help and version are what was asked for; anything else is not.
fn explain(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if error.use_stderr() || printed.is_err() {
        ExitCode::from(USAGE)
    } else {
        ExitCode::SUCCESS
    }
}

/// Tells people. If standard error is closed there is nobody to tell.
fn say(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
