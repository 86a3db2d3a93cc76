//! Ports: the documented ones of the demo, free ones for tests, and how a child tells which it got.
//!
//! A part that can be told port 0 chooses its own and writes the real address to a file, so that no two tests race.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};

use crate::process::Process;

/// Every port that a stack opens, all on loopback.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Port {
    Envoy,
    EnvoyAdmin,
    Issuer,
    Upstream,
    RatelimitGrpc,
    RatelimitHttp,
    RatelimitDebug,
    RatelimitMetrics,
    ExtauthGrpc,
    ExtauthAdmin,
}

impl Port {
    /// All of them, each with its name on the command line and its documented number.
    pub const ALL: [(Self, &'static str, u16); 10] = [
        (Self::Envoy, "envoy", 10000),
        (Self::EnvoyAdmin, "envoy-admin", 9901),
        (Self::Issuer, "issuer", 10001),
        (Self::Upstream, "upstream", 10002),
        (Self::RatelimitGrpc, "ratelimit-grpc", 8081),
        (Self::RatelimitHttp, "ratelimit-http", 8080),
        (Self::RatelimitDebug, "ratelimit-debug", 6070),
        (Self::RatelimitMetrics, "ratelimit-metrics", 9090),
        (Self::ExtauthGrpc, "extauth-grpc", 9000),
        (Self::ExtauthAdmin, "extauth-admin", 9001),
    ];
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(port, ..)| port == self);
        f.write_str(name.map_or("?", |(_, name, _)| name))
    }
}

/// Which number each port gets.
#[derive(Clone, Debug)]
pub struct Ports(BTreeMap<Port, u16>);

impl Ports {
    /// A free one for each.
    #[must_use]
    pub fn free() -> Self {
        Self(BTreeMap::new())
    }

    /// The ones that the documentation and the compose file name.
    #[must_use]
    pub fn documented() -> Self {
        Self(Port::ALL.into_iter().map(|(port, _, number)| (port, number)).collect())
    }

    /// Replaces one.
    pub fn set(&mut self, choice: Choice) {
        self.0.insert(choice.port, choice.number);
    }

    /// The address to listen on; port 0 stands for a free one.
    #[must_use]
    pub fn address(&self, port: Port) -> SocketAddr {
        loopback(self.0.get(&port).copied().unwrap_or(0))
    }

    /// Fails if another program listens on one of them.
    ///
    /// # Errors
    ///
    /// Names each port that is taken, and the flag that chooses another.
    pub fn ensure_untaken(&self) -> Result<()> {
        let taken = self
            .0
            .iter()
            .filter(|&(_, &number)| TcpListener::bind(loopback(number)).is_err());
        let taken: Vec<String> = taken
            .map(|(port, number)| {
                format!("port {number} is taken by another program: choose one with --port {port}=NUMBER")
            })
            .collect();
        ensure!(taken.is_empty(), "{}", taken.join("\n"));
        Ok(())
    }
}

/// One port and the number it shall have: `envoy=20000` on a command line.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    port: Port,
    number: u16,
}

impl FromStr for Choice {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let names = || Port::ALL.map(|(_, name, _)| name).join(", ");
        let (wanted, number) = text.split_once('=').context("expected NAME=NUMBER")?;
        let Some((port, ..)) = Port::ALL.into_iter().find(|&(_, name, _)| name == wanted) else {
            bail!("no port is called {wanted:?} (allowed: {})", names());
        };
        Ok(Self {
            port,
            number: number.parse()?,
        })
    }
}

/// A port that nobody listens on now, for the parts that cannot choose one themselves.
///
/// # Errors
///
/// The system has none.
pub fn unused() -> Result<SocketAddr> {
    Ok(TcpListener::bind(loopback(0))?.local_addr()?)
}

/// Waits for the file in which `process` names the addresses it listens on.
///
/// # Errors
///
/// The process ended or took too long.
pub async fn told_by(process: &mut Process, file: &Path) -> Result<Told> {
    let addresses = process
        .until("its addresses", async || Ok(std::fs::read(file).ok()))
        .await?;
    Ok(Told(serde_json::from_slice(&addresses)?))
}

/// The addresses that a process listens on, by their names.
#[derive(Clone, Debug)]
pub struct Told(BTreeMap<String, String>);

impl Told {
    /// One of them.
    ///
    /// # Errors
    ///
    /// The process has not named it.
    pub fn address(&self, name: &str) -> Result<SocketAddr> {
        let text = self
            .0
            .get(name)
            .with_context(|| format!("no address called {name} in {:?}", self.0))?;
        text.parse().with_context(|| format!("{name}: {text}"))
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
