//! Knowing when files may have changed: a write, a rename over, an editor's delete and create, the link swap of a mounted
//! ConfigMap, a root that is a link or comes and goes.
//!
//! The system's events are believed at once; a look at the files' metadata every second finds what they miss. Nothing is
//! read here: whoever is told reads everything again, so that an event too many costs a read and an event too few
//! cannot lose a change for long.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::source::{DEPTH_MAX, FILES_MAX};

/// How long the system must be quiet after an event: editors and ConfigMap swaps make several.
const QUIET: Duration = Duration::from_millis(50);
/// How many times in a row noise may put the news off.
const QUIET_TRIES: usize = 10;
/// How often the metadata are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches one root.
#[derive(Debug)]
pub struct Watch {
    root: PathBuf,
    events: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of what is being watched as the root.
    watched: Option<(u64, u64)>,
    seen: Vec<Mark>,
}

/// What tells a file from its next version without reading it.
#[derive(Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Mark {
    path: PathBuf,
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds of the last change of content or metadata: unlike the modification time it cannot be
    /// carried over from another file, and it tells that a permission was granted.
    changed: (i64, i64),
}

impl Watch {
    /// Watches `root`, a file or directory that may not exist yet. Blocks for as long as a listing takes.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let events = Arc::new(Notify::new());
        let heard = events.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| may_be_a_change(event.kind)) {
                heard.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(%error, "no change events, looking at the files every second"))
            .ok();
        let mut watch = Self {
            root: root.to_owned(),
            events,
            watcher,
            watched: None,
            seen: marks(root),
        };
        watch.follow_root();
        watch
    }

    /// Waits until the files may have changed since the last return (or since the watch began). Cancel-safe: what was
    /// not told is told next time.
    pub async fn changed(&mut self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.events.notified() => {
                    self.wait_for_quiet().await;
                    self.follow_root();
                    self.seen = self.look().await;
                    return;
                }
                _ = looks.tick() => {
                    self.follow_root();
                    let found = self.look().await;
                    if found != self.seen {
                        self.seen = found;
                        return;
                    }
                }
            }
        }
    }

    async fn wait_for_quiet(&self) {
        for _ in 0..QUIET_TRIES {
            if timeout(QUIET, self.events.notified()).await.is_err() {
                return;
            }
        }
    }

    async fn look(&self) -> Vec<Mark> {
        let root = self.root.clone();
        tokio::task::spawn_blocking(move || marks(&root))
            .await
            .unwrap_or_default()
    }

    /// Watches the root anew when something else stands at its path, and always the directory it stands in.
    fn follow_root(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let now = fs::metadata(&self.root)
            .ok()
            .map(|metadata| (metadata.dev(), metadata.ino()));
        if now == self.watched && now.is_some() {
            return;
        }
        let parent = self.root.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        for (path, mode) in [
            (parent, RecursiveMode::NonRecursive),
            (&self.root, RecursiveMode::Recursive),
        ] {
            // The watch may be on what stood there before; that there was none is no news either.
            if watcher.unwatch(path).is_err() {
                tracing::trace!(path = %path.display(), "not watched before");
            }
            if let Err(error) = watcher.watch(path, mode) {
                tracing::debug!(path = %path.display(), %error, "no change events for this path");
            }
        }
        self.watched = now;
    }
}

/// Reading a file is not a change, or the watch would wake itself.
fn may_be_a_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// The marks of all files below `root`, links followed; of a missing root, none.
fn marks(root: &Path) -> Vec<Mark> {
    let mut marks = Vec::new();
    collect(root, DEPTH_MAX, &mut marks);
    marks.sort();
    marks
}

fn collect(path: &Path, depth: usize, marks: &mut Vec<Mark>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let Ok(metadata) = fs::metadata(path) else { return };
    if marks.len() > FILES_MAX {
        return;
    }
    marks.push(Mark {
        path: path.to_owned(),
        inode: metadata.ino(),
        len: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    });
    let is_linked = fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink());
    let is_root = depth == DEPTH_MAX.saturating_sub(1);
    if metadata.is_dir() && (is_root || !is_linked) {
        let Ok(entries) = fs::read_dir(path) else { return };
        entries.flatten().for_each(|entry| collect(&entry.path(), depth, marks));
    }
}
