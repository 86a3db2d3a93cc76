//! Configuration that follows its files, on real directories: everything that editors, `mv` and a kubelet do to them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use server::SourceFile;
use server::problem::{Problem, Problems};
use server::reload::{Build, Current, Reloader, Status};
use server::source::{DotFiles, Extensions, Selection};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// New content must be in force within this.
const IN_FORCE_WITHIN: Duration = Duration::from_secs(2);

/// A reloader over a directory; the value is the text of all files, and a file that says `broken` does not build.
struct Following {
    current: Current<String>,
    status: watch::Receiver<Status>,
    running: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.running.abort();
    }
}

fn build(files: &[SourceFile], _before: Option<&String>) -> Build<String> {
    let texts: Vec<_> = files
        .iter()
        .map(|file| String::from_utf8_lossy(&file.bytes).into_owned())
        .collect();
    let broken = files.iter().zip(&texts).find(|(_, text)| text.contains("broken"));
    match broken {
        Some((file, _)) => {
            let problem = Problem {
                file: file.name.clone(),
                message: "is broken".to_owned(),
                ..Problem::default()
            };
            Build::Bad(problem.into())
        }
        None => Build::Good(texts.join("+")),
    }
}

fn follow(root: &Path) -> Following {
    let selection = Selection {
        dot_files: DotFiles::Ignore,
        extensions: Extensions::Documents,
    };
    let reloader = Reloader::new(root.to_owned(), selection, build);
    let (current, status) = (reloader.current(), reloader.status());
    #[expect(clippy::disallowed_methods, reason = "aborted when the test drops it")]
    let running = tokio::spawn(reloader.run());
    Following {
        current,
        status,
        running,
    }
}

impl Following {
    fn value(&self) -> Option<String> {
        self.current.load().map(|value| (*value).clone())
    }

    /// Waits until `wanted` is in force.
    #[track_caller]
    fn until(&mut self, wanted: &str) -> impl Future<Output = ()> {
        self.until_status(wanted, |_| true)
    }

    #[track_caller]
    fn until_status(&mut self, wanted: &str, and: impl Fn(&Status) -> bool) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let wanted = wanted.to_owned();
        async move {
            let Self { current, status, .. } = self;
            let there = status.wait_for(|status| {
                current.load().map(|value| (*value).clone()).unwrap_or_default() == wanted && and(status)
            });
            let reached = tokio::time::timeout(IN_FORCE_WITHIN, there).await.is_ok();
            assert!(reached, "{caller}: wanted {wanted:?}, got {:?}", self.value());
        }
    }
}

fn directory(content: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    fs::write(&file, content).unwrap();
    (directory, file)
}

#[tokio::test]
async fn follows_writes_renames_and_an_editors_delete_and_create() {
    let (directory, file) = directory("one");
    let mut following = follow(directory.path());
    following.until("one").await;

    fs::write(&file, "two").unwrap();
    following.until("two").await;

    let fresh = directory.path().join(".fresh");
    fs::write(&fresh, "three").unwrap();
    fs::rename(&fresh, &file).unwrap();
    following.until("three").await;

    fs::remove_file(&file).unwrap();
    fs::write(&file, "four").unwrap();
    following.until("four").await;

    fs::write(directory.path().join("b.yaml"), "five").unwrap();
    following.until("four+five").await;
    fs::create_dir(directory.path().join("below")).unwrap();
    fs::write(directory.path().join("below/c.yaml"), "six").unwrap();
    following.until("four+five+six").await;
    fs::remove_file(&file).unwrap();
    following.until("five+six").await;
}

#[tokio::test]
async fn follows_the_link_swap_of_a_mounted_config_map() {
    let root = tempfile::tempdir().unwrap();
    let version = |name: &str, content: &str| {
        fs::create_dir(root.path().join(name)).unwrap();
        fs::write(root.path().join(name).join("a.yaml"), content).unwrap();
        symlink(name, root.path().join("..data_tmp")).unwrap();
        fs::rename(root.path().join("..data_tmp"), root.path().join("..data")).unwrap();
    };
    version("..2026_01", "one");
    symlink("..data/a.yaml", root.path().join("a.yaml")).unwrap();
    let mut following = follow(root.path());
    following.until("one").await;
    version("..2026_02", "two");
    fs::remove_dir_all(root.path().join("..2026_01")).unwrap();
    following.until("two").await;
    version("..2026_03", "three");
    following.until("three").await;
}

#[tokio::test]
async fn follows_a_root_that_is_a_link() {
    let parent = tempfile::tempdir().unwrap();
    for (version, content) in [("v1", "one"), ("v2", "two")] {
        fs::create_dir(parent.path().join(version)).unwrap();
        fs::write(parent.path().join(version).join("a.yaml"), content).unwrap();
    }
    let root = parent.path().join("current");
    symlink("v1", &root).unwrap();
    let mut following = follow(&root);
    following.until("one").await;
    symlink("v2", parent.path().join("next")).unwrap();
    fs::rename(parent.path().join("next"), &root).unwrap();
    following.until("two").await;
    fs::write(parent.path().join("v2/a.yaml"), "three").unwrap();
    following.until("three").await;
}

#[tokio::test]
async fn a_root_may_come_later_go_and_come_back() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("config");
    let mut following = follow(&root);
    following.until_status("", |status| status.failed == 1).await;
    for content in ["one", "two"] {
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a.yaml"), content).unwrap();
        following.until(content).await;
        fs::remove_dir_all(&root).unwrap();
        following
            .until_status(content, |status| status.problems.is_some())
            .await;
    }
}

#[tokio::test]
async fn follows_a_root_that_is_a_file() {
    let (directory, file) = directory("one");
    let mut following = follow(&file);
    following.until("one").await;
    fs::write(directory.path().join("fresh"), "two").unwrap();
    fs::rename(directory.path().join("fresh"), &file).unwrap();
    following.until("two").await;
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_told() {
    let (directory, file) = directory("one");
    let mut following = follow(directory.path());
    following.until("one").await;
    fs::write(&file, "broken").unwrap();
    following.until_status("one", |status| status.failed == 1).await;
    let problems: Problems = (**following.status.borrow().problems.as_ref().unwrap()).clone();
    assert_eq!(problems.to_string(), "a.yaml: is broken");
    fs::write(&file, "two").unwrap();
    following.until_status("two", |status| status.problems.is_none()).await;
}

#[tokio::test]
async fn many_quick_changes_end_in_the_last() {
    let (directory, file) = directory("0");
    let mut following = follow(directory.path());
    for n in 1..=200 {
        fs::write(&file, n.to_string()).unwrap();
        tokio::task::yield_now().await;
    }
    following.until("200").await;
}

#[tokio::test]
async fn a_build_that_panics_keeps_the_last_good_value() {
    let (directory, file) = directory("fine");
    let selection = Selection {
        dot_files: DotFiles::Ignore,
        extensions: Extensions::Documents,
    };
    let mut reloader = Reloader::new(directory.path().to_owned(), selection, |files, _| {
        assert_eq!(&*files[0].bytes, b"fine", "on purpose");
        Build::Good("built")
    });
    reloader.load().await;
    fs::write(&file, "poison").unwrap();
    reloader.load().await;
    assert_eq!(reloader.current().load().as_deref(), Some(&"built"));
    assert_eq!(reloader.status().borrow().failed, 1);
}
