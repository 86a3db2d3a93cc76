//! What the program makes of flags and environment: exit codes, texts, and where it looks for limits.

use std::process::{Command, Output};

use crate::program::{Program, command};

fn run(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (
        status.code(),
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

#[test]
fn tells_every_wrong_variable_with_its_value() {
    let wrong = [
        ("PORT", "70000"),
        ("GRPC_PORT", ""),
        ("REDIS_POOL_SIZE", "ten"),
        ("MERGE_DOMAIN_CONFIG", "yes"),
        ("STORE_DEADLINE", "15"),
        ("EXTRA_TAGS", "a:b:c"),
        ("LOG_LEVEL", "loud"),
        ("REDIS_PERSECOND", "maybe"),
        ("REDIS_URL", "redis://user:hunter2@[::1"),
        ("NEAR_LIMIT_RATIO", "-1"),
        ("RATELIMIT_CONFIG", "/nowhere"),
    ];
    let (code, _, stderr) = run(&mut command(&wrong));
    assert_eq!(code, Some(64), "{stderr}");
    for (name, value) in wrong {
        let line = stderr.lines().find(|line| line.starts_with(&format!("{name}: ")));
        let line = line.unwrap_or_else(|| panic!("nothing about {name} in\n{stderr}"));
        assert!(line.contains(value) || name == "REDIS_URL", "{line}");
    }
    assert!(!stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn without_a_known_type_the_form_of_the_address_is_not_judged() {
    let (code, _, stderr) = run(&mut command(&[("REDIS_TYPE", "ring"), ("REDIS_URL", "a,b")]));
    assert_eq!(code, Some(64), "{stderr}");
    assert!(
        stderr.starts_with("REDIS_TYPE: Unrecognized redis type ring"),
        "{stderr}"
    );
    assert!(!stderr.contains("REDIS_URL:"), "{stderr}");
}

#[test]
fn help_and_version_are_not_failures_and_unknown_flags_are() {
    let (code, short, _) = run(command(&[("REDIS_AUTH", "hunter2")]).arg("-h"));
    assert_eq!(code, Some(0));
    assert!(short.lines().count() < 60, "{short}");
    let (code, long, _) = run(command(&[("REDIS_AUTH", "hunter2")]).arg("--help"));
    assert_eq!(code, Some(0));
    assert!(long.contains("REDIS_AUTH") && !long.contains("hunter2"));
    let (code, version, _) = run(command(&[]).arg("--version"));
    assert_eq!(
        (code, version.trim_end()),
        (Some(0), concat!("ratelimit ", env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(run(command(&[]).arg("--bogus")).0, Some(64));
}

#[test]
fn check_tells_good_files_from_bad() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("limits.yaml");
    std::fs::write(
        &file,
        "domain: d\ndescriptors: [{key: k, rate_limit: {unit: day, requests_per_unit: 1}}]",
    )
    .unwrap();
    let (code, said, _) = run(command(&[]).arg("check").arg(root.path()));
    assert_eq!((code, said.as_str()), (Some(0), "ok: 1 file, 1 domain, 1 rule\n"));
    std::fs::write(&file, "domain: d\ndescriptors: [{key: k, rate_limit: {unit: era}}]").unwrap();
    let (code, said, _) = run(command(&[]).arg("check").arg(&file));
    assert!(code == Some(1) && said.contains("limits.yaml:2:"), "{said}");
    let (code, _, said) = run(command(&[]).arg("check").arg("/nowhere"));
    assert!(code == Some(1) && said.contains("/nowhere"), "{said}");
}

#[test]
fn without_limits_to_serve_it_says_where_it_looked() {
    let empty = tempfile::tempdir().unwrap();
    let (code, _, stderr) = run(command(&[]).current_dir(empty.path()));
    assert!(
        code == Some(64) && stderr.contains("config/ratelimit nor /etc/ratelimit"),
        "{stderr}"
    );
}

#[test]
fn a_taken_port_is_a_failed_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let environment = [
        ("GRPC_PORT", port.as_str()),
        ("FORCE_START_WITHOUT_INITIAL_CONFIG", "true"),
    ];
    let (code, _, stderr) = run(&mut command(&environment));
    assert!(code == Some(1) && stderr.contains(&port), "{stderr}");
}

#[tokio::test]
async fn healthcheck_asks_the_running_service() {
    let root = tempfile::tempdir().unwrap();
    let program = Program::start(root.path(), &[("REDIS_URL", "/nowhere/redis.sock")]).await;
    let port = program.port("http");
    let (code, _, stderr) = run(command(&[("PORT", &port)]).arg("healthcheck"));
    assert!(code == Some(1) && stderr.contains("redis: "), "{stderr}");
    drop(program);
    let program = Program::start(root.path(), &[]).await;
    let port = program.port("http");
    assert_eq!(run(command(&[]).arg("--port").arg(&port).arg("healthcheck")).0, Some(0));
}

/// A tree as `RUNTIME_*` describes it, with a file inside the application's directory and one outside.
async fn rlconfig_of_runtime(watch_root: &str) -> String {
    let root = tempfile::tempdir().unwrap();
    let application = root.path().join("ratelimit/config");
    std::fs::create_dir_all(&application).unwrap();
    let limits = |domain| {
        format!("domain: {domain}\ndescriptors: [{{key: k, rate_limit: {{unit: day, requests_per_unit: 1}}}}]")
    };
    std::fs::write(application.join("inside.yaml"), limits("inside")).unwrap();
    std::fs::write(root.path().join("ratelimit/outside.yaml"), limits("outside")).unwrap();
    let environment = [
        ("RUNTIME_ROOT", root.path().to_str().unwrap()),
        ("RUNTIME_SUBDIRECTORY", "ratelimit"),
        ("RUNTIME_WATCH_ROOT", watch_root),
    ];
    let program = Program::start_without_config(&environment).await;
    program.get("debug", "/rlconfig").await.1
}

#[tokio::test]
async fn both_ways_of_watching_a_runtime_tree_read_the_same_files() {
    let expected = "inside.k: unit=DAY requests_per_unit=1, shadow_mode: false, quota_mode: false\n";
    for watch_root in ["true", "false"] {
        assert_eq!(
            rlconfig_of_runtime(watch_root).await,
            expected,
            "RUNTIME_WATCH_ROOT={watch_root}"
        );
    }
}

#[tokio::test]
async fn variables_without_effect_are_named_in_one_line() {
    let root = tempfile::tempdir().unwrap();
    let program = Program::start(root.path(), &[("REDIS_POOL_SIZE", "10"), ("TRACING_ENABLED", "true")]).await;
    let log = program.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("without effect")).collect();
    assert!(
        lines.len() == 1 && lines[0].contains("REDIS_POOL_SIZE TRACING_ENABLED"),
        "{log}"
    );
}
