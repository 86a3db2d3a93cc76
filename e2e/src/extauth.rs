//! The external authorization service as an operator runs it: a program, its flags, a directory of `AuthConfig`s.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::binaries;
use crate::ports::{self, Port, Ports};
use crate::process::Process;

/// How one is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The directory of `AuthConfig`s.
    pub policies: PathBuf,
    /// Which ports it takes.
    pub ports: Ports,
    /// Where its log and its file of ports go.
    pub directory: PathBuf,
}

/// A running external authorization service.
#[derive(Debug)]
pub struct ExtAuth {
    /// Its process.
    pub process: Process,
    /// Where it answers Envoy.
    pub grpc: SocketAddr,
    /// Where `/healthcheck` and `/metrics` are.
    pub admin: SocketAddr,
    setup: Setup,
}

impl ExtAuth {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(setup: Setup) -> Result<Self> {
        let ports_file = setup.directory.join("extauth.ports.json");
        let command = command(&setup, setup.ports.address(Port::ExtauthGrpc), &ports_file)?;
        let mut process = Process::start("extauth", command, &setup.directory)?;
        let told = ports::told_by(&mut process, &ports_file).await?;
        Ok(Self {
            process,
            grpc: told.address("grpc")?,
            admin: told.address("admin")?,
            setup,
        })
    }

    /// Starts it again at the same address for Envoy, after it has been stopped or killed.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        let ports_file = self.setup.directory.join("extauth.ports.json");
        std::fs::remove_file(&ports_file)?;
        let command = command(&self.setup, self.grpc, &ports_file)?;
        self.process = Process::start("extauth", command, &self.setup.directory)?;
        self.admin = ports::told_by(&mut self.process, &ports_file).await?.address("admin")?;
        Ok(())
    }
}

fn command(setup: &Setup, grpc: SocketAddr, ports_file: &Path) -> Result<Command> {
    let mut command = Command::new(binaries::find("extauth")?);
    command
        .arg("--config")
        .arg(&setup.policies)
        .arg("--ports-file")
        .arg(ports_file);
    command.arg("--grpc-addr").arg(grpc.to_string());
    command
        .arg("--admin-addr")
        .arg(setup.ports.address(Port::ExtauthAdmin).to_string());
    command.arg("--log-level").arg("info");
    Ok(command)
}
