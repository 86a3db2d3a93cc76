//! One child process: started with its output in a file, ended by its process id, never left behind.
//!
//! It must not look for processes by name. Each child has a process group of its own, so that Ctrl-C reaches the parent
//! alone, which then stops the children in order.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait;

/// How long a process may take to end after SIGTERM before it is killed. Longer than the drain of our services.
const STOP: Duration = Duration::from_secs(15);
/// How many last lines of a log an error shows.
const SHOWN_LINES: usize = 30;

/// A running child. Dropping it kills it and waits for its end.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; both its outputs go to `name.log` in `directory`, after those of an earlier run.
    ///
    /// The child gets the environment that the command sets and PATH, nothing else: what the caller's shell happens to hold
    /// (`REDIS_URL`, `LOG_LEVEL`) must not change what is tested.
    ///
    /// # Errors
    ///
    /// The program cannot be started or the log cannot be written.
    pub fn start(name: &str, mut command: Command, directory: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;

        let log = directory.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let given: Vec<_> = command
            .get_envs()
            .map(|(key, value)| (key.to_owned(), value.map(ToOwned::to_owned)))
            .collect();
        command
            .env_clear()
            .envs(given.into_iter().filter_map(|(key, value)| Some((key, value?))));
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Asks the process something until there is an answer, as [`wait::until`], and fails at once if it has ended.
    ///
    /// # Errors
    ///
    /// There was no answer in time, or the process ended; the end of its log is in the message.
    pub async fn until<T>(&mut self, what: &str, mut ask: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        let what = format!("{}: {what}", self.name);
        let answer = wait::until(&what, wait::START, async || {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}", self.name);
            }
            ask().await
        });
        let answer = answer.await;
        answer.with_context(|| format!("the end of {}:\n{}", self.log.display(), self.log_end()))
    }

    /// What the harness calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything the process has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The file that holds what the process prints.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// Whether the process has ended, and how.
    ///
    /// # Errors
    ///
    /// The system cannot say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Ends the process as an operator would: SIGTERM, then SIGKILL if it does not listen.
    ///
    /// # Errors
    ///
    /// It had to be killed.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        self.signal(Signal::SIGTERM)?;
        let ended = wait::until("end after SIGTERM", STOP, async || Ok(self.child.try_wait()?)).await;
        if ended.is_err() {
            self.kill()?;
        }
        ended.with_context(|| format!("{} had to be killed", self.name))
    }

    /// Ends the process as a crash would: SIGKILL.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// Sends a signal, such as SIGSTOP.
    ///
    /// # Errors
    ///
    /// The process has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let hidden = lines.len().saturating_sub(SHOWN_LINES);
        lines.into_iter().skip(hidden).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            // Nobody is left to tell: a process that cannot be killed has ended.
            drop(self.kill());
        }
        if std::thread::panicking() {
            // A failed test shows what its parts said, since their logs go with the test's directory.
            drop(writeln!(
                std::io::stderr(),
                "--- the end of {}:\n{}",
                self.log.display(),
                self.log_end()
            ));
        }
    }
}
