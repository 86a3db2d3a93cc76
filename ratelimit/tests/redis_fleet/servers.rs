//! Redis servers on TCP, with whatever arguments. Killed when dropped.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than anything here takes; a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `is_so`; asks again every few milliseconds.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(came.is_ok(), "never: {what}");
}

/// A loopback address that no other test has, so that ports found free there stay free.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [high, low] = u16::try_from(std::process::id() % 0xffff).unwrap().to_be_bytes();
    Ipv4Addr::new(127, high, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A port that is free at an address.
pub(crate) fn free_port(address: Ipv4Addr) -> u16 {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

/// A server that listens at `address` and on a Unix socket for the test to ask it.
pub(crate) struct RedisServer {
    pub(crate) address: Ipv4Addr,
    pub(crate) port: u16,
    directory: TempDir,
    child: Child,
}

impl RedisServer {
    /// Starts one on a free port.
    pub(crate) fn start(address: Ipv4Addr, arguments: &[&str]) -> Self {
        Self::start_at(address, free_port(address), arguments)
    }

    pub(crate) fn start_at(address: Ipv4Addr, port: u16, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port_text = port.to_string();
        let address_text = address.to_string();
        let mut all = vec!["--port", &port_text, "--bind", &address_text];
        all.extend(arguments);
        let all: Vec<_> = all.into_iter().map(ToOwned::to_owned).collect();
        let child = spawn(directory.path(), &all);
        Self {
            address,
            port,
            directory,
            child,
        }
    }

    /// As `REDIS_URL` has it.
    pub(crate) fn url(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// What it answers to one command, in the words of `redis-cli`.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let socket = self.directory.path().join("redis.sock");
        let said = Command::new(part("redis-cli"))
            .arg("-s")
            .arg(socket)
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(said.stdout).unwrap().trim_end().to_owned()
    }
}

impl RedisServer {
    /// Kills it as a crash would.
    pub(crate) fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// How often a command was carried out so far.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let statistics = self.ask(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let line = statistics.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may be gone already, or stopped: SIGKILL ends that too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(directory: &Path, arguments: &[String]) -> Child {
    let mut child = Command::new(part("redis-server"))
        .args(["--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let ready = lines.find(|line| line.to_ascii_lowercase().contains("ready to accept connections"));
    assert!(ready.is_some(), "redis-server ended: {:?}", child.wait());
    // Whatever it says later must find a reader.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// The path of a program among the parts.
pub(crate) fn part(name: &str) -> PathBuf {
    let given = std::env::var_os("SALLYPORT_PARTS").map(PathBuf::from);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/parts");
    let directories = [given, Some(built)]
        .into_iter()
        .flatten()
        .map(|parts| parts.join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = directories
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name));
    let mut found = found.filter(|candidate| candidate.is_file());
    found
        .next()
        .unwrap_or_else(|| panic!("there is no {name}: run `make parts`"))
}
