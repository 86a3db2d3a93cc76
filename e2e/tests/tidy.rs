//! What clippy cannot see: how long files are, that each says what it is for, which crate may know which, and that no path
//! of anyone's machine gets in.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The longest a source file may be without its tests. Aim for 150.
const LINES_MAX: usize = 500;

/// What each crate of ours may use of ours (ARCHITECTURE.md). Its tests may use more.
const EDGES: [(&str, &[&str]); 8] = [
    ("proto", &[]),
    ("server", &[]),
    ("ratelimit-core", &[]),
    ("extauth-core", &[]),
    ("ratelimit", &["proto", "server", "ratelimit-core"]),
    ("extauth", &["proto", "server", "extauth-core"]),
    ("loadtest", &["proto"]),
    ("e2e", &["proto", "server"]),
];

/// Crates that do input or output, run tasks or log: the cores decide, and leave these to the edges.
const IMPURE: [&str; 12] = [
    "arc-swap",
    "axum",
    "http",
    "hyper",
    "notify",
    "prometheus",
    "redis",
    "reqwest",
    "tokio",
    "tonic",
    "tracing",
    "tower",
];
/// Modules of the standard library that do the same.
const IMPURE_MODULES: [&str; 7] = [
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "time::Instant",
    "time::SystemTime",
];

/// Directories that hold nothing of ours.
const FOREIGN: [&str; 3] = [".git", "node_modules", "target"];

#[test]
fn every_source_file_says_first_what_it_is_for() {
    let silent = sources().into_iter().filter(|path| !read(path).starts_with("//!"));
    assert_none("these start without `//!`", silent.map(|path| shown(&path)));
}

#[test]
fn no_source_file_is_longer_than_a_reader_can_hold() {
    let long = sources().into_iter().filter(|path| !is_test(path)).filter_map(|path| {
        let lines = lines_without_tests(&read(&path));
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", shown(&path)))
    });
    assert_none(&format!("these have more than {LINES_MAX} lines without tests"), long);
}

#[test]
fn crates_know_only_the_crates_they_may() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = EDGES
        .into_iter()
        .map(|(name, uses)| (name, uses.iter().copied().collect()))
        .collect();
    let crates = dependencies();
    let names: BTreeSet<&str> = crates.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "a crate without a place in the table"
    );
    let wrong = crates.iter().flat_map(|(name, uses)| {
        let ours = uses.iter().filter(|used| names.contains(used.as_str()));
        let wrong = ours.filter(|used| !allowed[name.as_str()].contains(used.as_str()));
        wrong.map(move |used| format!("{name} -> {used}"))
    });
    assert_none("these edges point the wrong way", wrong);
}

#[test]
fn cores_do_no_input_or_output() {
    let crates = dependencies();
    for core in ["ratelimit-core", "extauth-core"] {
        let impure = crates[core].iter().filter(|used| IMPURE.contains(&used.as_str()));
        assert_none(&format!("{core} must not use"), impure.cloned());
    }
    let sources = sources().into_iter().filter(|path| !is_test(path));
    let sources = sources.filter(|path| path.iter().any(|part| part == "core"));
    let impure = sources.flat_map(|path| {
        let text = read(&path);
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let found: Vec<_> = IMPURE_MODULES
            .into_iter()
            .filter(|module| text.contains(module))
            .collect();
        found
            .into_iter()
            .map(move |module| format!("{} uses {module}", shown(&path)))
    });
    assert_none("the cores take values, not", impure);
}

#[test]
fn no_file_names_a_place_of_someones_machine() {
    // Put together here, so that this file does not find itself.
    let places = ["home", "root", "Users"].map(|place| format!("/{place}/"));
    let found = files(&root()).into_iter().flat_map(|path| {
        // What is not text is not written by hand.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| places.iter().any(|place| line.contains(place)));
        let lines: Vec<usize> = lines.map(|(index, _)| index + 1).collect();
        lines.into_iter().map(move |line| format!("{}:{line}", shown(&path)))
    });
    assert_none("these lines name a directory of one machine", found);
}

/// Direct dependencies of each crate of the workspace, except those for tests, by `cargo metadata`.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |of: &Value| of.get("name").and_then(Value::as_str).unwrap().to_owned();
    let packages = metadata.get("packages").and_then(Value::as_array).unwrap();
    let uses = |package: &Value| {
        let all = package.get("dependencies").and_then(Value::as_array).unwrap().clone();
        all.iter()
            .filter(|used| used.get("kind").unwrap() != "dev")
            .map(name)
            .collect()
    };
    packages.iter().map(|package| (name(package), uses(package))).collect()
}

/// A file's lines up to the tests that close it.
fn lines_without_tests(text: &str) -> usize {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text.get(..end).unwrap_or(text).lines().count()
}

fn is_test(path: &Path) -> bool {
    let inside = path.strip_prefix(root()).unwrap();
    let in_tests = inside.iter().any(|part| part == "tests" || part == "benches");
    in_tests
        || path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().ends_with("tests.rs"))
}

fn sources() -> Vec<PathBuf> {
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files(&root()).into_iter().filter(rust).collect()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if FOREIGN.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> PathBuf {
    e2e::checkout()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().display().to_string()
}

#[track_caller]
fn assert_none(what: &str, found: impl Iterator<Item = String>) {
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}
