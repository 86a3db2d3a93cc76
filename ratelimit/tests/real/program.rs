//! The program itself, on free ports of the loopback address, with nothing of our environment. Killed when dropped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proto::ratelimit::rate_limit_descriptor::Entry;
use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest, RateLimitServiceClient};
use tempfile::TempDir;
use tonic::transport::Channel;

use crate::parts::eventually;

pub(crate) struct Program {
    child: Child,
    ports: BTreeMap<String, String>,
    log: Arc<Mutex<String>>,
    _directory: TempDir,
}

/// The command with an environment in which it serves beside others.
pub(crate) fn command(environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratelimit"));
    command.env_clear().env("LOG_LEVEL", "debug");
    for name in ["HOST", "GRPC_HOST", "DEBUG_HOST"] {
        command.env(name, "127.0.0.1");
    }
    for name in ["PORT", "GRPC_PORT", "DEBUG_PORT"] {
        command.env(name, "0");
    }
    command
        .env("PROMETHEUS_ADDR", "127.0.0.1:0")
        .envs(environment.iter().copied());
    command
}

impl Program {
    /// Starts it on limit files and waits until it listens.
    pub(crate) async fn start(config: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = command(environment);
        command.arg("--config").arg(config);
        Self::run(command).await
    }

    /// Starts it on what the environment alone says.
    pub(crate) async fn start_without_config(environment: &[(&str, &str)]) -> Self {
        Self::run(command(environment)).await
    }

    async fn run(mut command: Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ports_file = directory.path().join("ports.json");
        command.arg("--ports-file").arg(&ports_file);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, written) = (BufReader::new(child.stderr.take().unwrap()).lines(), log.clone());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut written = written.lock().unwrap();
                written.push_str(&line);
                written.push('\n');
            }
        });
        eventually("listening", async || ports_file.exists()).await;
        let ports = serde_json::from_slice(&std::fs::read(ports_file).unwrap()).unwrap();
        Self {
            child,
            ports,
            log,
            _directory: directory,
        }
    }

    /// Waits until it is healthy: with Redis it listens before it is connected.
    pub(crate) async fn healthy(&self) {
        eventually("healthy", async || self.get("http", "/healthcheck").await.0 == 200).await;
    }

    /// A client with a connection of its own.
    pub(crate) async fn client(&self) -> RateLimitServiceClient<Channel> {
        RateLimitServiceClient::connect(format!("http://{}", self.ports["grpc"]))
            .await
            .unwrap()
    }

    /// Status and body of a path on a port, by the port's name in the ports file.
    pub(crate) async fn get(&self, door: &str, path: &str) -> (u16, String) {
        let answer = reqwest::get(self.url(door, path)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) fn url(&self, door: &str, path: &str) -> String {
        format!("http://{}{path}", self.ports[door])
    }

    /// The port of a door.
    pub(crate) fn port(&self, door: &str) -> String {
        self.ports[door].rsplit_once(':').unwrap().1.to_owned()
    }

    /// The value of a counter on the debug port.
    pub(crate) async fn counter(&self, name: &str) -> u64 {
        let (_, text) = self.get("debug", "/stats").await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.child);
        eventually("ended", async || child.lock().unwrap().try_wait().unwrap().is_some()).await;
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A request with a descriptor for each list of entries.
pub(crate) fn request(domain: &str, descriptors: &[&[(&str, &str)]]) -> RateLimitRequest {
    let entry = |&(key, value): &(&str, &str)| Entry {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let descriptor = |entries: &&[(&str, &str)]| RateLimitDescriptor {
        entries: entries.iter().map(entry).collect(),
        ..RateLimitDescriptor::default()
    };
    RateLimitRequest {
        domain: domain.to_owned(),
        descriptors: descriptors.iter().map(descriptor).collect(),
        hits_addend: 0,
    }
}
