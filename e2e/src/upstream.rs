//! The upstream as the harness runs it: a program that answers with what it saw.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::process::Process;
use crate::{binaries, ports};

/// What the upstream saw of one request; the body of its answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Seen {
    /// How many requests it has seen, this one included.
    pub count: u64,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Every header with all its values, in order.
    pub headers: BTreeMap<String, Vec<String>>,
}

impl Seen {
    /// All values of a header; none if it was not sent.
    #[must_use]
    pub fn header(&self, name: &str) -> &[String] {
        self.headers.get(name).map_or(&[], Vec::as_slice)
    }
}

/// A running upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Upstream {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(address: SocketAddr, directory: &Path) -> Result<Self> {
        let ports_file = directory.join("upstream.ports.json");
        let mut command = Command::new(binaries::find("upstream")?);
        command
            .arg("--addr")
            .arg(address.to_string())
            .arg("--ports-file")
            .arg(&ports_file);
        let mut process = Process::start("upstream", command, directory)?;
        let address = ports::told_by(&mut process, &ports_file).await?.address("http")?;
        Ok(Self { process, address })
    }
}
