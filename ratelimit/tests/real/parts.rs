//! Real parts: a Redis server of our own for each test, on a Unix socket in a directory of its own.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinSet;

/// Longer than anything here takes; a test that hangs fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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

/// A Redis server. Killed when dropped.
pub(crate) struct RedisServer {
    directory: TempDir,
    child: Child,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts one and waits until it accepts connections.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let child = spawn(directory.path(), &arguments);
        Self {
            directory,
            child,
            arguments,
        }
    }

    /// The path of its socket, as `REDIS_URL` has it.
    pub(crate) fn url(&self) -> String {
        self.directory.path().join("redis.sock").display().to_string()
    }

    /// Kills it as a crash would.
    pub(crate) fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again at the same place, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.directory.path(), &self.arguments);
    }

    /// Stops it in its tracks: it accepts connections and answers nothing.
    pub(crate) fn hang(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// What it answers to one command, in the words of `redis-cli`.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let said = Command::new(part("redis-cli"))
            .arg("-s")
            .arg(self.url())
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(said.stdout).unwrap().trim_end().to_owned()
    }

    /// How often a command was carried out so far.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let statistics = self.ask(&["INFO", "commandstats"]);
        let prefix = format!("cmdstat_{command}:calls=");
        let line = statistics.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
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
        .args([
            "--port",
            "0",
            "--unixsocket",
            "redis.sock",
            "--save",
            "",
            "--appendonly",
            "no",
        ])
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
fn part(name: &str) -> PathBuf {
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

/// A TCP port in front of a Unix socket. All its connections are cut when it is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    _connections: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(socket: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(forward_all(listener, socket));
        Self {
            port,
            _connections: tasks,
        }
    }
}

async fn forward_all(listener: TcpListener, socket: String) {
    let mut connections = JoinSet::new();
    while let Ok((outer, _)) = listener.accept().await {
        connections.spawn(forward(outer, socket.clone()));
    }
}

async fn forward(mut outer: TcpStream, socket: String) {
    let mut inner = UnixStream::connect(&socket).await.unwrap();
    // How it ends is what tests make of it.
    drop(tokio::io::copy_bidirectional(&mut outer, &mut inner).await);
}
