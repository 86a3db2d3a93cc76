//! The rate limit service as an operator runs it: a program, its environment, a directory of limits.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::ports::{self, Port, Ports};
use crate::process::Process;
use crate::{binaries, wait};

/// How one is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The directory of limit files.
    pub limits: PathBuf,
    /// Where Redis listens; without it counters are in memory.
    pub redis: Option<SocketAddr>,
    /// Which ports it takes.
    pub ports: Ports,
    /// Where its log and its file of ports go.
    pub directory: PathBuf,
}

/// A running rate limit service.
#[derive(Debug)]
pub struct RateLimit {
    /// Its process.
    pub process: Process,
    /// Where it answers Envoy.
    pub grpc: SocketAddr,
    /// Where `/healthcheck` and `/json` are.
    pub http: SocketAddr,
    /// Where `/rlconfig` is.
    pub debug: SocketAddr,
    /// Where `/metrics` is.
    pub metrics: SocketAddr,
    setup: Setup,
}

impl RateLimit {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(setup: Setup) -> Result<Self> {
        let ports_file = setup.directory.join("ratelimit.ports.json");
        let command = command(&setup, &ports_file)?;
        let mut process = Process::start("ratelimit", command, &setup.directory)?;
        let told = ports::told_by(&mut process, &ports_file).await?;
        Ok(Self {
            process,
            grpc: told.address("grpc")?,
            http: told.address("http")?,
            debug: told.address("debug")?,
            metrics: told.address("metrics")?,
            setup,
        })
    }

    /// Starts it again at the same addresses, after it has been stopped or killed.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let ports_file = self.setup.directory.join("ratelimit.ports.json");
        std::fs::remove_file(&ports_file)?;
        let mut command = command(&self.setup, &ports_file)?;
        command.env("GRPC_PORT", self.grpc.port().to_string());
        self.process = Process::start("ratelimit", command, &self.setup.directory)?;
        let told = ports::told_by(&mut self.process, &ports_file).await?;
        (self.http, self.debug, self.metrics) =
            (told.address("http")?, told.address("debug")?, told.address("metrics")?);
        Ok(())
    }

    /// Waits until its log has a line that contains all of `words`, and returns the line.
    ///
    /// # Errors
    ///
    /// There is none in time.
    pub async fn until_logged(&self, words: &[&str]) -> Result<String> {
        let what = format!("a log line with {words:?}");
        wait::until(&what, wait::START, async || {
            let log = self.process.log();
            Ok(log
                .lines()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(ToOwned::to_owned))
        })
        .await
    }
}

fn command(setup: &Setup, ports_file: &Path) -> Result<Command> {
    let mut command = Command::new(binaries::find("ratelimit")?);
    command
        .arg("--config")
        .arg(&setup.limits)
        .arg("--ports-file")
        .arg(ports_file);
    let listeners = [
        ("GRPC_HOST", "GRPC_PORT", Port::RatelimitGrpc),
        ("HOST", "PORT", Port::RatelimitHttp),
        ("DEBUG_HOST", "DEBUG_PORT", Port::RatelimitDebug),
    ];
    for (host, number, port) in listeners {
        let address = setup.ports.address(port);
        command
            .env(host, address.ip().to_string())
            .env(number, address.port().to_string());
    }
    command.env(
        "PROMETHEUS_ADDR",
        setup.ports.address(Port::RatelimitMetrics).to_string(),
    );
    command.env("LOG_LEVEL", "info");
    if let Some(redis) = setup.redis {
        command
            .env("REDIS_SOCKET_TYPE", "tcp")
            .env("REDIS_URL", redis.to_string());
    }
    Ok(command)
}
