//! Whom to send to: the floor and this build's `ratelimit`, started here and ended when dropped, and servers that the
//! user started and named.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::RunArgs;
use crate::scenario::{Scenario, Store};

/// How long a server may take to come up, a configuration of 100,000 rules included.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// A server under load.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its name in the table.
    pub(crate) name: String,
    /// `host:port` of its gRPC listener.
    pub(crate) address: String,
    /// Its process, when it runs on this machine and is known.
    pub(crate) pid: Option<u32>,
    redis: Option<redis::aio::MultiplexedConnection>,
    /// Ended with the target.
    _children: Vec<Child>,
    _directory: Option<TempDir>,
}

impl Target {
    /// Commands its Redis has executed so far.
    pub(crate) async fn redis_commands(&mut self) -> anyhow::Result<Option<u64>> {
        let Some(connection) = self.redis.as_mut() else {
            return Ok(None);
        };
        let info: redis::InfoDict = redis::cmd("INFO").arg("stats").query_async(connection).await?;
        Ok(info.get("total_commands_processed"))
    }
}

/// A server that the user started: `NAME=HOST:PORT` or `NAME=HOST:PORT,pid=PID`.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    name: String,
    address: String,
    pid: Option<u32>,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("'{text}' is not NAME=HOST:PORT or NAME=HOST:PORT,pid=PID");
        let (name, rest) = text.split_once('=').ok_or_else(wanted)?;
        let (address, pid) = match rest.split_once(",pid=") {
            Some((address, pid)) => (address, Some(pid.parse().map_err(|_not_a_number| wanted())?)),
            None => (rest, None),
        };
        if name.is_empty() || !address.contains(':') {
            return Err(wanted());
        }
        Ok(Self {
            name: name.to_owned(),
            address: address.to_owned(),
            pid,
        })
    }
}

/// Starts the floor, and `ratelimit` where one was given; the floor comes first.
pub(crate) async fn start(scenario: &Scenario, args: &RunArgs) -> anyhow::Result<Vec<Target>> {
    let mut targets = vec![start_floor(scenario.descriptors.len()).await?];
    if let Some(binary) = &args.ratelimit {
        targets.push(start_ratelimit(binary, scenario, &args.redis_server).await?);
    }
    targets.extend(args.targets.iter().map(|named| Target {
        name: named.name.clone(),
        address: named.address.clone(),
        pid: named.pid,
        redis: None,
        _children: Vec::new(),
        _directory: None,
    }));
    Ok(targets)
}

async fn start_floor(statuses: usize) -> anyhow::Result<Target> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(["floor", "--statuses", &statuses.to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().context("the floor has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let address = tokio::time::timeout(START_DEADLINE, lines.next_line())
        .await??
        .context("the floor printed no address")?;
    let pid = child.id();
    Ok(Target {
        name: "floor".to_owned(),
        address,
        pid,
        redis: None,
        _children: vec![child],
        _directory: None,
    })
}

async fn start_ratelimit(binary: &Path, scenario: &Scenario, redis_server: &Path) -> anyhow::Result<Target> {
    let directory = tempfile::tempdir()?;
    let ports = directory.path().join("ports.json");
    let rules = directory.path().join("config");
    std::fs::create_dir(&rules)?;
    std::fs::write(rules.join("bench.yaml"), scenario.rules_text())?;

    let mut command = Command::new(binary);
    command
        .env("LOG_LEVEL", "error")
        .env("PORTS_FILE", &ports)
        .arg("--config")
        .arg(&rules);
    for (host, port) in [
        ("HOST", "PORT"),
        ("GRPC_HOST", "GRPC_PORT"),
        ("DEBUG_HOST", "DEBUG_PORT"),
    ] {
        command.env(host, "127.0.0.1").env(port, "0");
    }
    command.env("PROMETHEUS_ADDR", "127.0.0.1:0");
    let mut children = Vec::new();
    let mut connection = None;
    if scenario.store == Store::Redis {
        let socket = directory.path().join("redis.sock");
        children.push(start_redis(redis_server, &socket)?);
        connection = Some(connect_redis(&socket).await?);
        command.env("REDIS_SOCKET_TYPE", "unix").env("REDIS_URL", &socket);
    }
    let child = command
        .kill_on_drop(true)
        .spawn()
        .with_context(|| binary.display().to_string())?;
    let pid = child.id();
    children.push(child);
    let address = grpc_address(&ports).await?;
    let name = "ratelimit".to_owned();
    Ok(Target {
        name,
        address,
        pid,
        redis: connection,
        _children: children,
        _directory: Some(directory),
    })
}

fn start_redis(binary: &Path, socket: &PathBuf) -> anyhow::Result<Child> {
    Command::new(binary)
        .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
        .arg(socket)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{}: give the binary with --redis-server", binary.display()))
}

async fn connect_redis(socket: &Path) -> anyhow::Result<redis::aio::MultiplexedConnection> {
    let client = redis::Client::open(format!("unix://{}", socket.display()))?;
    within_start_deadline("redis", || async {
        client.get_multiplexed_async_connection().await.ok()
    })
    .await
}

async fn grpc_address(ports: &Path) -> anyhow::Result<String> {
    let read = || async {
        let text = std::fs::read_to_string(ports).ok()?;
        let value: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some(value.get("grpc")?.as_str()?.to_owned())
    };
    within_start_deadline("ratelimit", read).await
}

/// Asks every 10 ms until the answer is there.
async fn within_start_deadline<T, F>(what: &str, ask: impl Fn() -> F) -> anyhow::Result<T>
where
    F: Future<Output = Option<T>>,
{
    let mut pause = tokio::time::interval(Duration::from_millis(10));
    let asking = async {
        loop {
            pause.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    match tokio::time::timeout(START_DEADLINE, asking).await {
        Ok(answer) => Ok(answer),
        Err(_elapsed) => bail!("{what} was not up within {} s", START_DEADLINE.as_secs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_named_targets() {
        let named: Named = "peer=127.0.0.1:8081,pid=12".parse().unwrap();
        assert_eq!(
            (named.name.as_str(), named.address.as_str(), named.pid),
            ("peer", "127.0.0.1:8081", Some(12))
        );
        let named: Named = "peer=localhost:8081".parse().unwrap();
        assert_eq!(named.pid, None);
    }

    #[test]
    fn refuses_what_names_no_target() {
        for text in ["", "peer", "=a:1", "peer=host", "peer=a:1,pid=x"] {
            let error = text.parse::<Named>().unwrap_err();
            assert!(error.contains("NAME=HOST:PORT"), "{error}");
        }
    }
}
