//! Tasks with names and owners. A task that panics is logged and counted; what follows depends on what it is for:
//! the process ends ([`Tasks::spawn`]) or the task starts again ([`Tasks::keep_running`]). All end at shutdown.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::shutdown::Shutdown;

/// The first wait before a panicked task starts again; it doubles up to [`RESTART_WAIT_MAX`].
const RESTART_WAIT: Duration = Duration::from_millis(100);
/// The longest wait before a panicked task starts again.
const RESTART_WAIT_MAX: Duration = Duration::from_secs(10);

/// What tasks that end at the drain deadline are granted to do so.
const LATE: Duration = Duration::from_millis(500);

/// The tasks of a process. Clones share them.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    shutdown: Shutdown,
    running: Arc<Mutex<Vec<&'static str>>>,
    panics: Arc<AtomicU64>,
}

impl Tasks {
    /// No tasks yet; they will end with `shutdown`.
    #[must_use]
    pub fn new(shutdown: Shutdown) -> Self {
        Self {
            tracker: TaskTracker::new(),
            shutdown,
            running: Arc::default(),
            panics: Arc::default(),
        }
    }

    /// Runs a task that the process cannot do without: if it panics, or ends before shutdown has begun, the process
    /// shuts down. The future must end by itself once shutdown is closing.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.track(name, async move {
            let panicked = tasks.caught(name, task).await;
            if !tasks.shutdown.is_begun() {
                tracing::error!(task = name, panicked, "a task ended early, shutting down");
                tasks.shutdown.begin();
            }
        });
    }

    /// Runs a task that starts again when it panics, after a wait that grows. It is dropped at shutdown, at any await.
    pub fn keep_running<F>(&self, name: &'static str, mut make: impl FnMut() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        self.track(name, async move {
            let shutdown = tasks.shutdown.clone();
            tokio::select! {
                () = tasks.restarting(name, &mut make) => {}
                () = shutdown.closing() => {}
            }
        });
    }

    /// How many tasks have panicked so far.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Waits until every task has ended, at most half a second beyond the drain deadline. Returns the names of those
    /// left over.
    pub async fn finished(&self) -> Vec<&'static str> {
        self.tracker.close();
        let deadline = async {
            self.shutdown.closing().await;
            tokio::time::sleep(self.shutdown.drain().saturating_add(LATE)).await;
        };
        tokio::select! {
            () = self.tracker.wait() => Vec::new(),
            () = deadline => self.running.lock().clone(),
        }
    }

    /// Runs what `make` makes until one of them ends without a panic.
    async fn restarting<F>(&self, name: &'static str, make: &mut (impl FnMut() -> F + Send))
    where
        F: Future<Output = ()> + Send,
    {
        let mut wait = RESTART_WAIT;
        while self.caught(name, make()).await {
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(RESTART_WAIT_MAX);
        }
    }

    /// Runs `task`; true if it panicked.
    async fn caught(&self, name: &'static str, task: impl Future<Output = ()> + Send) -> bool {
        let panicked = AssertUnwindSafe(task).catch_unwind().await.is_err();
        if panicked {
            self.panics.fetch_add(1, Ordering::Relaxed);
            tracing::error!(task = name, "a task panicked");
        }
        panicked
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where tasks get their names and owners"
    )]
    fn track(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.running.lock().push(name);
        let running = self.running.clone();
        tokio::spawn(self.tracker.track_future(async move {
            task.await;
            let mut running = running.lock();
            if let Some(index) = running.iter().position(|other| *other == name) {
                running.swap_remove(index);
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shutdown::Timing;

    fn tasks(drain: Duration) -> (Tasks, Shutdown) {
        let shutdown = Shutdown::new(Timing {
            drain,
            ..Timing::default()
        });
        (Tasks::new(shutdown.clone()), shutdown)
    }

    #[tokio::test]
    async fn a_panicking_task_begins_shutdown() {
        let (tasks, shutdown) = tasks(Duration::ZERO);
        tasks.spawn("doomed", async { panic!("on purpose") });
        shutdown.begun().await;
        assert_eq!(tasks.panics(), 1);
    }

    /// Panics on its first start, stays on its second.
    async fn phoenix(starts: u32, send: tokio::sync::mpsc::UnboundedSender<u32>) {
        send.send(starts).unwrap();
        assert!(starts != 1, "on purpose");
        std::future::pending::<()>().await;
    }

    #[tokio::test]
    async fn a_kept_task_starts_again_after_a_panic() {
        let (tasks, shutdown) = tasks(Duration::ZERO);
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        let mut starts = 0;
        tasks.keep_running("phoenix", move || {
            starts += 1;
            phoenix(starts, send.clone())
        });
        assert_eq!(receive.recv().await, Some(1));
        assert_eq!(receive.recv().await, Some(2));
        assert!(!shutdown.is_begun());
    }

    #[tokio::test]
    async fn names_the_tasks_that_outlive_the_drain() {
        let (tasks, shutdown) = tasks(Duration::from_millis(1));
        tasks.spawn("stubborn", std::future::pending());
        shutdown.begin();
        let (ran, left) = tokio::join!(shutdown.run(&[]), tasks.finished());
        ran.unwrap();
        assert_eq!(left, ["stubborn"]);
    }
}
