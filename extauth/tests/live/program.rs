//! The program itself: its start, its end, its exit codes.

use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::eventually;
use crate::requests::manifest;

/// The program without the environment's say.
fn extauth(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_extauth"));
    command
        .args(arguments)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } = extauth(arguments).output().unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code().unwrap(), text)
}

/// Ends the program with the test, whatever became of it.
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[tokio::test]
async fn sigterm_drains_and_exits_0() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("auth.yaml"),
        manifest("http://127.0.0.1:9/jwks.json", ""),
    )
    .unwrap();
    let ports = directory.path().join("ports.json");
    let config = directory.path().join("auth.yaml");
    let free = "127.0.0.1:0";
    let arguments = [
        "--config",
        config.to_str().unwrap(),
        "--ports-file",
        ports.to_str().unwrap(),
        "--grpc-addr",
        free,
        "--admin-addr",
        free,
    ];
    let mut guard = Guard(Some(extauth(&arguments).spawn().unwrap()));
    eventually("it starts", || async { ports.exists() }).await;
    let text = std::fs::read_to_string(&ports).unwrap();
    let admin = text.split('"').nth(3).unwrap().to_owned();
    let (code, text) = run(&["healthcheck", "--admin-addr", &admin]);
    assert_eq!(code, 1, "its key set is down: {text}");
    assert!(text.contains("key set http://127.0.0.1:9/jwks.json"), "{text}");

    let pid = Pid::from_raw(i32::try_from(guard.0.as_ref().unwrap().id()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    let child = guard.0.take().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap())
        .await
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(log.contains("listening grpc=127.0.0.1:"), "{log}");
    let (code, text) = run(&["healthcheck", "--admin-addr", &admin]);
    assert_eq!((code, text.contains("no answer")), (1, true), "{text}");
}

#[test]
fn check_tells_every_problem_with_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    std::fs::write(
        directory.path().join("good.yaml"),
        manifest("https://issuer.example/jwks.json", ""),
    )
    .unwrap();
    let (code, text) = run(&["check", &path]);
    assert_eq!((code, text.trim_end()), (0, "1 AuthConfig good, 0 errors, 0 notes"));
    let bad = manifest("http://issuer.example/jwks.json", "")
        .replace("x-tenant-id", "host")
        .replace("name: api", "name: b");
    std::fs::write(directory.path().join("bad.yaml"), bad).unwrap();
    let (code, text) = run(&["check", &path]);
    assert_eq!(code, 1, "{text}");
    for expected in [
        "error: bad.yaml:9:",
        "spec.configs[0].oauth2.accessTokenValidation.jwt.remoteJwks.url: key sets are not fetched over this scheme",
        "error: bad.yaml:13:",
        "claimsToHeaders[0].header: a header that belongs to the protocol or to the gateway",
        "1 AuthConfig good, 2 errors, 0 notes",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn wrong_usage_is_64_and_help_is_0() {
    assert_eq!(run(&["--deadline", "soon"]).0, 64);
    assert_eq!(run(&["check"]).0, 64);
    let (code, text) = run(&["--help"]);
    assert_eq!(code, 0);
    assert!(
        text.contains("EXTAUTH_CONFIG") && text.contains("healthcheck"),
        "{text}"
    );
    let (code, text) = run(&["--version"]);
    assert_eq!((code, text.starts_with("extauth ")), (0, true));
    assert_eq!(run(&["check", "/nowhere"]).0, 1);
}
