//! `loadtest`: what one decision costs, as a ratio to the floor measured in the same run.
//!
//! The floor is a tonic server in this very binary that answers a constant; everything a target costs above it is the
//! target's own doing. Rounds of floor and targets alternate, so that a noisy machine disturbs both alike. Nothing
//! here knows how a service works: it sees the protocol, the process's CPU time and memory, and Redis's counters.
//!
//! [`scenario`] says what to send, [`target`] starts or finds whom to send it to, [`drive`] sends it, [`report`] says
//! what came of it.

mod drive;
mod floor;
mod process;
mod report;
mod scenario;
mod target;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::scenario::Scenario;
use crate::target::Named;

/// Measure what one decision costs beside the gRPC call that carries it.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the floor: the same messages, answered with a constant.
    Floor {
        /// Where to listen; port 0 takes a free one and prints it.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// How many statuses each answer carries, as many as the request has descriptors.
        #[arg(long, default_value_t = 2)]
        statuses: usize,
    },
    /// Run scenarios against the floor, this build's `ratelimit`, and any server named with --target.
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Scenario files to run, in order.
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    /// A further server that speaks the protocol: NAME=HOST:PORT or NAME=HOST:PORT,pid=PID to read its CPU time.
    #[arg(long = "target")]
    targets: Vec<Named>,
    /// Where the `ratelimit` binary to measure is; without it only the floor and --target are driven.
    #[arg(long)]
    ratelimit: Option<PathBuf>,
    /// A `redis-server` binary, for scenarios whose store is Redis.
    #[arg(long, default_value = "redis-server")]
    redis_server: PathBuf,
    /// Rounds of each target; the table shows medians.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Write the results as JSON to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match command {
        Command::Floor { listen, statuses } => runtime.block_on(floor::serve(listen, statuses)),
        Command::Run(args) => runtime.block_on(run_scenarios(args)),
    }
}

async fn run_scenarios(args: RunArgs) -> anyhow::Result<()> {
    let scenarios = args
        .scenarios
        .iter()
        .map(|path| Scenario::read(path).with_context(|| path.display().to_string()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut results = Vec::new();
    for scenario in &scenarios {
        let mut targets = target::start(scenario, &args).await?;
        let rounds = drive::rounds(scenario, &mut targets, args.rounds).await?;
        let summary = report::Summary::new(scenario, &targets, &rounds);
        report::print(&summary);
        results.push(summary);
    }
    match args.json {
        Some(path) => report::write_json(&path, &results),
        None => Ok(()),
    }
}
