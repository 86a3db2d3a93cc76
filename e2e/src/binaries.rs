//! Finds our own programs, built by cargo beside the one that runs, and refuses one that is older than its sources.
//!
//! It must not build: a build inside a test hides minutes in it and fights over cargo's lock.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

const HOW: &str = "run `make build` (`make test` and `make demo` do)";

/// The path of a program of this workspace, such as `ratelimit`.
///
/// # Errors
///
/// It has not been built, or a source file has changed since.
pub fn find(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(path.exists(), "there is no {}: {HOW}", path.display());
    if let Some(changed) = newer_source(&path)? {
        anyhow::bail!("{} is older than {}: {HOW}", path.display(), changed.display());
    }
    Ok(path)
}

/// Where cargo puts programs: beside this one, or one level up from a test, which lives in `deps`.
fn directory() -> Result<PathBuf> {
    let this = std::env::current_exe().context("the path of this program")?;
    let mut directory = this.parent().context("this program has no directory")?;
    if directory.ends_with("deps") {
        directory = directory.parent().context("`deps` has no parent")?;
    }
    Ok(directory.to_path_buf())
}

/// A source that changed after the program was linked. Cargo lists the sources beside the program, as a make rule.
fn newer_source(program: &Path) -> Result<Option<PathBuf>> {
    let built = modified(program)?;
    let rule = fs::read_to_string(program.with_extension("d")).unwrap_or_default();
    let sources = rule.split_once(": ").map_or("", |(_, sources)| sources);
    for source in sources.split_whitespace().map(Path::new) {
        // A source that has been moved away since is cargo's business, not a newer one.
        if source.exists() && modified(source)? > built {
            return Ok(Some(source.to_path_buf()));
        }
    }
    Ok(None)
}

fn modified(path: &Path) -> Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(metadata.modified()?)
}
