//! A real Redis that keeps nothing on disk; can be killed and brought back at the same address.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::parts::Parts;
use crate::ports;
use crate::process::Process;

/// A running Redis.
#[derive(Debug)]
pub struct Redis {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    program: PathBuf,
    directory: PathBuf,
}

impl Redis {
    /// Starts the newest Redis that we have, and waits until it answers.
    ///
    /// # Errors
    ///
    /// Redis is missing or does not start.
    pub async fn start(parts: &Parts, directory: &Path) -> Result<Self> {
        let program = parts.program("redis-server")?;
        let address = ports::unused()?;
        let process = launch(&program, address, directory).await?;
        Ok(Self {
            process,
            address,
            program,
            directory: directory.to_path_buf(),
        })
    }

    /// Starts it again, empty, at the same address, after it has been stopped or killed.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.process = launch(&self.program, self.address, &self.directory).await?;
        Ok(())
    }
}

async fn launch(program: &Path, address: SocketAddr, directory: &Path) -> Result<Process> {
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .arg("--dir")
        .arg(directory);
    let mut process = Process::start("redis", command, directory)?;
    process
        .until("PONG", async || Ok(pong(address).await.then_some(())))
        .await?;
    Ok(process)
}

async fn pong(address: SocketAddr) -> bool {
    let Ok(mut connection) = TcpStream::connect(address).await else {
        return false;
    };
    let mut answer = [0; 5];
    let asked = connection.write_all(b"PING\r\n").await;
    asked.is_ok() && connection.read_exact(&mut answer).await.is_ok() && &answer == b"+PONG"
}
