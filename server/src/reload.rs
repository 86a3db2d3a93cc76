//! Configuration that follows its files: read, build, swap. A build that fails changes nothing; the last good value
//! serves on, and what is wrong is counted, logged once and shown.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use crate::problem::{Problem, Problems};
use crate::source::{self, Selection, SourceFile};
use crate::watch::Watch;

/// What a build of the files came to.
#[derive(Debug)]
pub enum Build<T> {
    /// All of it is good.
    Good(T),
    /// This is good, and leaves out or keeps the last version of what the problems name.
    Partly(T, Problems),
    /// Nothing changes.
    Bad(Problems),
}

impl<T> From<Result<T, Problems>> for Build<T> {
    fn from(result: Result<T, Problems>) -> Self {
        result.map_or_else(Self::Bad, Self::Good)
    }
}

/// How loading has gone so far.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Loads that put a new value in force, partly good ones included.
    pub succeeded: u64,
    /// Loads that changed nothing.
    pub failed: u64,
    /// What is wrong with the files as they are now; `None` when nothing is.
    pub problems: Option<Arc<Problems>>,
}

/// A handle to the value in force. Clones share it.
pub struct Current<T>(Arc<ArcSwapOption<T>>);

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Current<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Current").field(&self.0.load().is_some()).finish()
    }
}

impl<T> Default for Current<T> {
    /// Nothing in force yet.
    fn default() -> Self {
        Self(Arc::new(ArcSwapOption::empty()))
    }
}

impl<T> Current<T> {
    /// The value in force; `None` before the first good load. Take it once per request.
    #[must_use]
    pub fn load(&self) -> Option<Arc<T>> {
        self.0.load_full()
    }

    /// Puts a value in force. For sources other than files.
    pub fn store(&self, value: T) {
        self.0.store(Some(Arc::new(value)));
    }
}

type BuildFn<T> = dyn Fn(&[SourceFile], Option<&T>) -> Build<T> + Send + Sync;

/// Keeps a value of type `T` in step with the files of a root.
pub struct Reloader<T> {
    root: PathBuf,
    selection: Selection,
    build: Arc<BuildFn<T>>,
    current: Current<T>,
    status: watch::Sender<Status>,
    /// What was built last, good or bad, so that an event without a change costs no build.
    built: Option<Vec<SourceFile>>,
}

impl<T> fmt::Debug for Reloader<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloader")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Reloader<T> {
    /// A reloader that has loaded nothing yet. `build` gets the files in name order and the value in force; it runs on a
    /// blocking thread.
    pub fn new(
        root: PathBuf,
        selection: Selection,
        build: impl Fn(&[SourceFile], Option<&T>) -> Build<T> + Send + Sync + 'static,
    ) -> Self {
        let (status, current) = (watch::Sender::default(), Current::default());
        Self {
            root,
            selection,
            build: Arc::new(build),
            current,
            status,
            built: None,
        }
    }

    /// The value in force, now and later.
    #[must_use]
    pub fn current(&self) -> Current<T> {
        self.current.clone()
    }

    /// How loading goes, now and later.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Loads now, and again whenever the files change. Ends only by being dropped, which loses nothing but an unfinished
    /// load.
    pub async fn run(mut self) {
        let root = self.root.clone();
        // Watching begins before the first read, so that a change during it is seen.
        let Ok(mut watch) = tokio::task::spawn_blocking(move || Watch::new(&root)).await else {
            return tracing::error!("cannot watch the configuration");
        };
        loop {
            self.load().await;
            watch.changed().await;
        }
    }

    /// Loads once, if the files differ from those of the last load.
    pub async fn load(&mut self) {
        let (root, selection) = (self.root.clone(), self.selection);
        let (build, before) = (self.build.clone(), self.current.load());
        let built = self.built.take();
        let work = move || {
            let files = match source::read(&root, selection) {
                Ok(files) => files,
                Err(error) => return (None, Some(Build::Bad(problem_of(&error)))),
            };
            if built.as_ref() == Some(&files) {
                return (built, None);
            }
            let outcome = build(&files, before.as_deref());
            (Some(files), Some(outcome))
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((built, outcome)) => {
                self.built = built;
                if let Some(outcome) = outcome {
                    self.take(outcome);
                }
            }
            Err(error) => {
                tracing::error!(%error, "building the configuration panicked");
                let message = "building it panicked; this is a defect of ours".to_owned();
                self.take(Build::Bad(
                    Problem {
                        message,
                        ..self.whole()
                    }
                    .into(),
                ));
            }
        }
    }

    fn whole(&self) -> Problem {
        Problem {
            file: self.root.display().to_string(),
            ..Problem::default()
        }
    }

    fn take(&self, outcome: Build<T>) {
        let (value, problems) = match outcome {
            Build::Good(value) => (Some(value), None),
            Build::Partly(value, problems) => (Some(value), Some(Arc::new(problems))),
            Build::Bad(problems) => (None, Some(Arc::new(problems))),
        };
        let loaded = value.is_some();
        if let Some(value) = value {
            self.current.store(value);
        }
        let known = self.status.borrow().problems.clone();
        log(loaded, problems.as_deref(), known.as_deref());
        self.status.send_modify(|status| {
            let counter = if loaded {
                &mut status.succeeded
            } else {
                &mut status.failed
            };
            *counter = counter.saturating_add(1);
            status.problems = problems;
        });
    }
}

/// One line for the outcome, and one for each problem that was not there before.
fn log(loaded: bool, problems: Option<&Problems>, known: Option<&Problems>) {
    if loaded {
        tracing::info!(problems = problems.map_or(0, Problems::len), "configuration loaded");
    } else {
        tracing::error!(
            problems = problems.map_or(0, Problems::len),
            "configuration not loaded, keeping the last good one"
        );
    }
    let is_known = |problem: &&Problem| known.is_some_and(|known| known.iter().any(|other| other == *problem));
    for problem in problems
        .into_iter()
        .flat_map(Problems::iter)
        .filter(|problem| !is_known(problem))
    {
        tracing::error!("{problem}");
    }
}

fn problem_of(error: &source::SourceError) -> Problems {
    Problem {
        message: error.to_string(),
        ..Problem::default()
    }
    .into()
}
