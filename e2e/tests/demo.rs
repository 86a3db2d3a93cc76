//! The demo as a program: it ends with success when the story is right, and leaves nothing behind however it ends.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use e2e::process::Process;
use e2e::{binaries, wait};
use nix::sys::signal::Signal;

#[tokio::test]
async fn ends_with_success_and_leaves_nothing_when_told_to_run_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = start(&["--ports", "free", "--once"], directory.path());
    let status = wait::until("the end of the demo", wait::MINUTE, async || demo.ended())
        .await
        .unwrap();
    assert!(status.success(), "{}", demo.log());
    assert!(demo.log().contains("answers are as they should be"));
    // A file is no terminal.
    assert!(!demo.log().contains('\x1b'), "colours in a file");
    assert_nothing_is_left_of(&demo);
}

#[tokio::test]
async fn stays_up_until_ctrl_c_and_then_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = start(&["--ports", "free"], directory.path());
    let invited = wait::until("the invitation", wait::MINUTE, async || {
        assert_eq!(demo.ended().unwrap(), None, "{}", demo.log());
        Ok(demo.log().contains("/*.log").then_some(()))
    });
    invited.await.unwrap();
    assert!(
        !running_in(&home_of(&demo)).is_empty(),
        "nothing runs that could be left"
    );

    demo.signal(Signal::SIGINT).unwrap();
    let status = wait::until("the end of the demo", wait::START, async || demo.ended())
        .await
        .unwrap();
    assert!(status.success(), "{}", demo.log());
    assert_nothing_is_left_of(&demo);
}

#[tokio::test]
async fn names_the_port_that_is_taken_and_the_flag_that_changes_it() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut demo = start(
        &["--ports", "free", "--once", "--port", &format!("issuer={port}")],
        directory.path(),
    );
    let status = wait::until("the end of the demo", wait::START, async || demo.ended())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(2));
    let told = demo.log();
    assert!(told.contains(&format!("port {port} is taken")), "{told}");
    assert!(told.contains("--port issuer=NUMBER"), "{told}");
}

fn start(arguments: &[&str], directory: &Path) -> Process {
    let mut command = Command::new(binaries::find("demo").unwrap());
    command.args(arguments);
    if let Some(parts) = std::env::var_os("SALLYPORT_PARTS") {
        command.env("SALLYPORT_PARTS", parts);
    }
    Process::start("demo", command, directory).unwrap()
}

#[track_caller]
fn assert_nothing_is_left_of(demo: &Process) {
    let home = home_of(demo);
    assert_eq!(running_in(&home), Vec::<String>::new());
    assert!(!Path::new(&home).exists(), "{home} is left");
}

/// The directory of the demo, which every program that it starts is told to write to.
fn home_of(demo: &Process) -> String {
    let log = demo.log();
    let (_, after) = log.split_once("logs are in ").unwrap();
    after.lines().next().unwrap().to_owned()
}

/// The command lines that name a directory.
fn running_in(directory: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("cmdline"));
    // A process may end while we look; what has no command line is the kernel's.
    let lines = processes.filter_map(|path| fs::read(path).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(directory)).collect()
}
