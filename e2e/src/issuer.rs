//! The development issuer as the harness runs and asks it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::process::Process;
use crate::{binaries, client, ports};

/// The `iss` of its tokens, as `config/extauth` demands it. A name, not an address.
pub const ISSUER: &str = "https://issuer.sallyport.example";
/// The `aud` of its tokens, as `config/extauth` demands it.
pub const AUDIENCE: &str = "sallyport-demo";

/// Whether its key set can be fetched when it starts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeySet {
    /// At once.
    Up,
    /// Only after [`IssuerClient::up`].
    Down,
}

/// A running issuer.
#[derive(Debug)]
pub struct Issuer {
    /// Its process.
    pub process: Process,
    /// What it answers to.
    pub asks: IssuerClient,
}

impl Issuer {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub async fn start(address: SocketAddr, key_set: KeySet, directory: &Path) -> Result<Self> {
        let ports_file = directory.join("issuer.ports.json");
        let mut command = Command::new(binaries::find("issuer")?);
        command
            .arg("--addr")
            .arg(address.to_string())
            .arg("--ports-file")
            .arg(&ports_file);
        if key_set == KeySet::Down {
            command.arg("--down");
        }
        let mut process = Process::start("issuer", command, directory)?;
        let address = ports::told_by(&mut process, &ports_file).await?.address("http")?;
        Ok(Self {
            process,
            asks: IssuerClient::new(address)?,
        })
    }
}

/// An issuer somewhere, ours or that of a compose file.
#[derive(Clone, Debug)]
pub struct IssuerClient {
    address: SocketAddr,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Stats {
    key_set_fetches: u64,
}

impl IssuerClient {
    /// Asks the issuer at `address`.
    ///
    /// # Errors
    ///
    /// No HTTP client can be made.
    pub fn new(address: SocketAddr) -> Result<Self> {
        Ok(Self {
            address,
            http: client::plain_http()?,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A good token of a tenant.
    ///
    /// # Errors
    ///
    /// The issuer does not answer.
    pub async fn token(&self, tenant: &str) -> Result<String> {
        self.token_with(&format!("tenant={tenant}")).await
    }

    /// A token as the query says: see the issuer's own list.
    ///
    /// # Errors
    ///
    /// The issuer does not answer, or refuses the query.
    pub async fn token_with(&self, query: &str) -> Result<String> {
        Ok(self.get(&format!("token?{query}")).await?.trim_end().to_owned())
    }

    /// Replaces its keys.
    ///
    /// # Errors
    ///
    /// The issuer does not answer.
    pub async fn rotate(&self) -> Result<()> {
        self.post("rotate").await
    }

    /// Puts its key set out of reach.
    ///
    /// # Errors
    ///
    /// The issuer does not answer.
    pub async fn down(&self) -> Result<()> {
        self.post("down").await
    }

    /// Puts its key set back.
    ///
    /// # Errors
    ///
    /// The issuer does not answer.
    pub async fn up(&self) -> Result<()> {
        self.post("up").await
    }

    /// How often its key set has been asked for.
    ///
    /// # Errors
    ///
    /// The issuer does not answer.
    pub async fn key_set_fetches(&self) -> Result<u64> {
        let stats: Stats = serde_json::from_str(&self.get("stats").await?)?;
        Ok(stats.key_set_fetches)
    }

    async fn get(&self, what: &str) -> Result<String> {
        let url = format!("http://{}/{what}", self.address);
        let answer = self
            .http
            .get(&url)
            .send()
            .await
            .with_context(|| format!("no issuer at {}", self.address))?;
        Ok(answer.error_for_status()?.text().await?)
    }

    async fn post(&self, what: &str) -> Result<()> {
        let url = format!("http://{}/{what}", self.address);
        self.http.post(&url).send().await?.error_for_status()?;
        Ok(())
    }
}
