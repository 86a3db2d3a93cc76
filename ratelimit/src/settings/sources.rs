//! Where limits come from, and what health waits for.

use std::path::{Path, PathBuf};

use server::source::{DotFiles, Extensions, Selection};

use super::control_plane;
use super::values::Values;
use crate::xds;

/// Looked for in this order when nothing says where limits are.
const DEFAULTS: [&str; 2] = ["config/ratelimit", "/etc/ratelimit"];

/// Where limits come from.
#[derive(Clone, Debug)]
pub enum LimitSource {
    /// Files that are followed.
    Files(FileSource),
    /// A control plane that pushes them.
    ControlPlane(Box<xds::Settings>),
}

/// What health waits for at start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HealthNeed {
    /// That loading was tried once, whatever came of it.
    AnyLoad,
    /// That there is a domain with limits, now and later.
    Limits,
}

/// A tree of limit files, or one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileSource {
    /// What is read and watched.
    pub root: PathBuf,
    /// Which of its files.
    pub selection: Selection,
    /// Only files whose name begins so: `config.`.
    pub name_prefix: String,
}

/// `CONFIG_TYPE` chooses; files if it says nothing.
pub(super) fn source(values: &mut Values<'_>) -> Option<LimitSource> {
    match values.text("CONFIG_TYPE") {
        "FILE" => Some(LimitSource::Files(files(values))),
        "GRPC_XDS_SOTW" => control_plane::control_plane(values).map(|found| LimitSource::ControlPlane(Box::new(found))),
        _ => {
            let message = "not a source of limits (allowed: FILE, GRPC_XDS_SOTW)";
            values.problem("CONFIG_TYPE", message.to_owned());
            None
        }
    }
}

/// Files are there or not when the listeners open. A control plane speaks when it will: unless told otherwise, health
/// waits for its first word. (The ports of envoyproxy/ratelimit stay closed until then.)
pub(super) fn health_need(values: &Values<'_>) -> Option<HealthNeed> {
    let is_pushed = values.text("CONFIG_TYPE") == "GRPC_XDS_SOTW";
    if values.bool("HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED") {
        Some(HealthNeed::Limits)
    } else {
        (is_pushed && !values.bool("FORCE_START_WITHOUT_INITIAL_CONFIG")).then_some(HealthNeed::AnyLoad)
    }
}

/// From `--config`, or from `RUNTIME_*` when one of them names a place, or from the first default that exists.
///
/// A tree of `RUNTIME_*` may appear later, as it may for envoyproxy/ratelimit; a path that somebody typed must be there.
fn files(values: &mut Values<'_>) -> FileSource {
    let may_be_absent = values.bool("FORCE_START_WITHOUT_INITIAL_CONFIG");
    if let Some(path) = values.set("RATELIMIT_CONFIG") {
        if !Path::new(path).exists() && !may_be_absent {
            values.problem("RATELIMIT_CONFIG", "there is no such file or directory".to_owned());
        }
        return documents(path);
    }
    let places = ["RUNTIME_ROOT", "RUNTIME_SUBDIRECTORY", "RUNTIME_APPDIRECTORY"];
    if places.into_iter().any(|name| values.is_set(name)) {
        return runtime(values);
    }
    let there = DEFAULTS.into_iter().find(|path| Path::new(path).exists());
    if there.is_none() && !may_be_absent {
        let message = format!("says nothing, and there is neither {} nor {}", DEFAULTS[0], DEFAULTS[1]);
        values.problem("RATELIMIT_CONFIG", message);
    }
    documents(there.unwrap_or(DEFAULTS[0]))
}

fn documents(path: &str) -> FileSource {
    FileSource {
        root: PathBuf::from(path),
        selection: Selection {
            dot_files: DotFiles::Ignore,
            extensions: Extensions::Documents,
        },
        name_prefix: String::new(),
    }
}

/// As envoyproxy/ratelimit reads its tree: with `RUNTIME_WATCH_ROOT` everything below the subdirectory whose name begins
/// with the application's, else only the application's directory. What is watched is the same here either way.
fn runtime(values: &Values<'_>) -> FileSource {
    let dot_files = if values.bool("RUNTIME_IGNOREDOTFILES") {
        DotFiles::Ignore
    } else {
        DotFiles::Read
    };
    let above = Path::new(values.text("RUNTIME_ROOT")).join(values.text("RUNTIME_SUBDIRECTORY"));
    let application = values.text("RUNTIME_APPDIRECTORY");
    let whole_root = values.bool("RUNTIME_WATCH_ROOT");
    FileSource {
        root: if whole_root { above } else { above.join(application) },
        selection: Selection {
            dot_files,
            extensions: Extensions::All,
        },
        name_prefix: if whole_root {
            format!("{}.", application.replace('/', "."))
        } else {
            String::new()
        },
    }
}
