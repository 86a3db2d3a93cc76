//! `make demo`: everything on this machine, from one command, and the story of what the two doors do.
//!
//! It starts the parts on loopback, tells the story through Envoy, prints what to play with and waits for Ctrl-C; then nothing
//! of it is left. What is told is in [`e2e::story`], how it looks in `narrator.rs`.

mod narrator;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use e2e::client::Client;
use e2e::issuer::{IssuerClient, KeySet};
use e2e::ports::{Choice, Port, Ports};
use e2e::stack::{Limits, Options, Stack, Store};
use e2e::story;
use tokio::signal::unix::{SignalKind, signal};

use narrator::Narrator;

/// Starts Envoy and both services on the files of config/, sends requests through Envoy and shows what happens and why.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// End after the story instead of waiting for Ctrl-C.
    #[arg(long, env = "CI")]
    once: bool,
    /// Start nothing: tell the story to what already runs, such as the compose file.
    #[arg(long)]
    attach: bool,
    /// Where to keep counters.
    #[arg(long, value_enum, default_value = "memory")]
    store: Store,
    /// Which ports to take: those of the documentation, or any that are free.
    #[arg(long, value_enum, default_value = "documented")]
    ports: From,
    /// Take another port for one part, such as envoy=20000. May be repeated.
    #[arg(long = "port", value_name = "NAME=NUMBER")]
    port: Vec<Choice>,
}

/// Where port numbers come from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum From {
    Documented,
    Free,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut narrator = Narrator::on_stdout();
    match run(&arguments, &mut narrator).await {
        Ok(Outcome::Told { wrong: 0 }) => ExitCode::SUCCESS,
        Ok(Outcome::Told { .. }) => ExitCode::FAILURE,
        // As a shell reports a program that Ctrl-C has ended.
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            narrator.error(&error);
            ExitCode::from(2)
        }
    }
}

enum Outcome {
    Told { wrong: u32 },
    Interrupted,
}

async fn run(arguments: &Arguments, narrator: &mut Narrator) -> Result<Outcome> {
    let mut ports = match arguments.ports {
        From::Documented => Ports::documented(),
        From::Free => Ports::free(),
    };
    arguments.port.iter().for_each(|&choice| ports.set(choice));
    if arguments.attach {
        let client = Client::new(ports.address(Port::Envoy))?;
        let issuer = IssuerClient::new(ports.address(Port::Issuer))?;
        return told(&client, &issuer, narrator).await;
    }
    ports.ensure_untaken()?;
    narrator.starting(arguments.store);
    let options = Options {
        store: arguments.store,
        limits: Limits::Shipped,
        key_set: KeySet::Up,
        key_refresh: None,
        ports,
    };
    // Interrupted while starting, it drops what has been started, which ends it.
    let Some(mut stack) = unless_signalled(Stack::start(options)).await? else {
        return Ok(Outcome::Interrupted);
    };
    narrator.started(&stack);
    let client = stack.client()?;
    let outcome = unless_signalled(told(&client, &stack.issuer.asks, narrator)).await?;
    if outcome.is_some() && !arguments.once {
        narrator.invite(&stack);
        unless_signalled(part_ended(&mut stack)).await?;
    }
    narrator.stopping();
    stack.stop().await?;
    Ok(outcome.unwrap_or(Outcome::Interrupted))
}

async fn told(client: &Client, issuer: &IssuerClient, narrator: &mut Narrator) -> Result<Outcome> {
    let mut wrong: u32 = 0;
    story::tell(client, issuer, |step| {
        wrong = wrong.saturating_add(u32::from(!step.wrong.is_empty()));
        narrator.step(&step);
    })
    .await?;
    narrator.verdict(wrong);
    Ok(Outcome::Told { wrong })
}

/// Does `work` unless Ctrl-C, SIGTERM or the end of the terminal comes first.
async fn unless_signalled<T>(work: impl Future<Output = Result<T>>) -> Result<Option<T>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        done = work => done.map(Some),
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
        _ = hangup.recv() => Ok(None),
    }
}

/// Runs until a part ends that should not; says which.
async fn part_ended(stack: &mut Stack) -> Result<()> {
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        look.tick().await;
        if let Some(ended) = stack.ended()? {
            anyhow::bail!(ended);
        }
    }
}
