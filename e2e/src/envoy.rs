//! A real Envoy on a configuration of ours, on ports of its own choice, beside any other Envoy of this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::client;
use crate::parts::Parts;
use crate::process::Process;

/// A running Envoy.
#[derive(Debug)]
pub struct Envoy {
    /// Its process.
    pub process: Process,
    /// Where its first listener listens.
    pub address: SocketAddr,
    /// Where its admin interface listens.
    pub admin: SocketAddr,
    http: reqwest::Client,
}

impl Envoy {
    /// Starts it on a bootstrap configuration and waits until it serves.
    ///
    /// # Errors
    ///
    /// Envoy is missing, refuses the configuration or does not become ready.
    pub async fn start(parts: &Parts, bootstrap: &Value, directory: &Path) -> Result<Self> {
        let file = directory.join("envoy.json");
        std::fs::write(&file, serde_json::to_vec_pretty(bootstrap)?)?;
        let admin_file = directory.join("envoy.admin");
        let mut command = Command::new(parts.program("envoy")?);
        // Without hot restart there is no shared memory, so any number of Envoys live side by side.
        command
            .arg("--config-path")
            .arg(&file)
            .arg("--admin-address-path")
            .arg(&admin_file);
        command.args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "warning"]);
        let mut process = Process::start("envoy", command, directory)?;
        let admin = process.until("its admin address", async || {
            let text = std::fs::read_to_string(&admin_file).unwrap_or_default();
            Ok(text.trim().parse::<SocketAddr>().ok())
        });
        let admin = admin.await?;
        let http = client::plain_http()?;
        let ready = process.until("ready", async || {
            let answer = http.get(format!("http://{admin}/ready")).send().await;
            Ok(answer.is_ok_and(|answer| answer.status().is_success()).then_some(()))
        });
        ready.await?;
        let address = first_listener(&http, admin).await?;
        Ok(Self {
            process,
            address,
            admin,
            http,
        })
    }

    /// The value of a counter or gauge; 0 if Envoy has none of this name.
    ///
    /// # Errors
    ///
    /// Envoy's admin interface does not answer.
    pub async fn stat(&self, name: &str) -> Result<u64> {
        let url = format!("http://{}/stats?format=json", self.admin);
        let text = self.http.get(url).send().await?.text().await?;
        let stats: Value = serde_json::from_str(&text)?;
        let stats = stats.get("stats").and_then(Value::as_array).context("no stats")?;
        let stat = stats
            .iter()
            .find(|stat| stat.get("name").and_then(Value::as_str) == Some(name));
        Ok(stat
            .and_then(|stat| stat.get("value"))
            .and_then(Value::as_u64)
            .unwrap_or(0))
    }
}

async fn first_listener(http: &reqwest::Client, admin: SocketAddr) -> Result<SocketAddr> {
    let text = http
        .get(format!("http://{admin}/listeners?format=json"))
        .send()
        .await?
        .text()
        .await?;
    let listeners: Value = serde_json::from_str(&text)?;
    let socket = listeners
        .pointer("/listener_statuses/0/local_address/socket_address")
        .context("Envoy has no listener")?;
    let host = socket
        .get("address")
        .and_then(Value::as_str)
        .context("a listener without an address")?;
    let port = socket
        .get("port_value")
        .and_then(Value::as_u64)
        .context("a listener without a port")?;
    Ok(SocketAddr::new(host.parse()?, u16::try_from(port)?))
}
