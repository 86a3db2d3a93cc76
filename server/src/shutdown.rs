//! How a process ends: first it says that it is unhealthy, then it stops accepting, then it waits for what is in
//! flight, and after the drain deadline it goes whatever is left.
//!
//! ```text
//! signal ─▶ begun (health fails) ── unhealthy_first ──▶ closing (no new work, GOAWAY) ── drain ──▶ gone
//! ```
//!
//! Nothing here ends a task: listeners and tasks watch the two moments and end themselves.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long each part of the end takes at most.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// From failing health checks to refusing connections, so that balancers take us out first.
    pub unhealthy_first: Duration,
    /// From refusing connections to dropping what is still in flight.
    pub drain: Duration,
}

impl Default for Timing {
    /// No wait before closing, and ten seconds to drain.
    fn default() -> Self {
        Self {
            unhealthy_first: Duration::ZERO,
            drain: Duration::from_secs(10),
        }
    }
}

/// The process's end, seen by everything that runs. Clones are the same end.
#[derive(Clone, Debug)]
pub struct Shutdown {
    begun: CancellationToken,
    closing: CancellationToken,
    timing: Timing,
}

impl Shutdown {
    /// An end that has not begun.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self {
            begun: CancellationToken::new(),
            closing: CancellationToken::new(),
            timing,
        }
    }

    /// Begins the end. Health fails from here on.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until the end begins. Cancel-safe.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until no new work may be taken. Cancel-safe.
    pub async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// How long work in flight may still take once closing.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.timing.drain
    }

    /// Carries the end through: begins it at the first signal (or when [`Shutdown::begin`] was called elsewhere),
    /// waits, and closes. A second signal during the wait closes at once.
    ///
    /// # Errors
    /// When a signal handler cannot be installed.
    pub async fn run(self, signals: &[SignalKind]) -> std::io::Result<()> {
        let mut streams = signals
            .iter()
            .map(|kind| signal(*kind))
            .collect::<std::io::Result<Vec<_>>>()?;
        tokio::select! {
            () = any_of(&mut streams) => tracing::info!("shutting down on a signal"),
            () = self.begun() => {}
        }
        self.begin();
        tokio::select! {
            () = tokio::time::sleep(self.timing.unhealthy_first) => {}
            () = any_of(&mut streams) => {}
        }
        self.closing.cancel();
        Ok(())
    }
}

/// Waits for any of the signals; for ever if there are none.
async fn any_of(streams: &mut [tokio::signal::unix::Signal]) {
    let waits = streams.iter_mut().map(|stream| Box::pin(stream.recv()));
    let waits: Vec<_> = waits.collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    let (_received, _which, _rest) = futures_util::future::select_all(waits).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn closes_after_the_unhealthy_wait() {
        let shutdown = Shutdown::new(Timing {
            unhealthy_first: Duration::from_millis(1),
            ..Timing::default()
        });
        let begins = async {
            assert!(!shutdown.is_begun());
            shutdown.begin();
            shutdown.closing().await;
        };
        let (ran, ()) = tokio::join!(shutdown.clone().run(&[]), begins);
        ran.unwrap();
    }

    #[tokio::test]
    async fn a_signal_begins_the_end() {
        let shutdown = Shutdown::new(Timing::default());
        let signals = [SignalKind::user_defined1()];
        let running = shutdown.clone().run(&signals);
        let send = async {
            // The handler is installed on the first poll of `run`, which `join!` makes before this one.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR1).unwrap();
            shutdown.closing().await;
        };
        let (ran, ()) = tokio::join!(running, send);
        ran.unwrap();
        assert!(shutdown.is_begun());
    }
}
