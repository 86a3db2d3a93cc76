//! The program itself: which store the environment gives it, and what it says when that makes no sense.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

use crate::servers::{PATIENCE, RedisServer, own_address};

const LIMITS: &str = "domain: d
descriptors:
- {key: year, rate_limit: {unit: year, requests_per_unit: 2}}
- {key: second, rate_limit: {unit: second, requests_per_unit: 1000}}
- {key: other, rate_limit: {unit: year, requests_per_unit: 1000}}
";

/// The program with limits of its own, on free ports of the loopback address, and nothing of our environment.
fn program(directory: &tempfile::TempDir, environment: &[(&str, &str)]) -> Command {
    let path = directory.path().join("limits.yaml");
    std::fs::write(&path, LIMITS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratelimit"));
    command
        .env_clear()
        .env("RATELIMIT_CONFIG", path)
        .env("LOG_LEVEL", "info");
    for name in ["GRPC", "DEBUG"] {
        command
            .env(format!("{name}_HOST"), "127.0.0.1")
            .env(format!("{name}_PORT"), "0");
    }
    command
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("PROMETHEUS_ADDR", "127.0.0.1:0");
    command.envs(environment.iter().copied()).stderr(Stdio::piped());
    command
}

/// A program that serves. Killed when dropped.
struct Serving {
    child: Child,
    listening: String,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.by_ref().find(|line| line.contains(" listening "));
        let listening = listening.unwrap_or_else(|| panic!("it ended: {:?}", child.wait()));
        // Whatever it says later must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, listening }
    }

    fn at(&self, door: &str) -> &str {
        let mut fields = self.listening.split_whitespace();
        fields
            .find_map(|field| field.strip_prefix(door)?.strip_prefix('='))
            .unwrap()
    }

    async fn get(&self, door: &str, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.at(door));
        let got = reqwest::Client::new().get(url).timeout(PATIENCE).send().await.unwrap();
        (got.status().as_u16(), got.text().await.unwrap())
    }

    async fn healthy(&self) {
        let waiting = async {
            while self.get("http", "/healthcheck").await.0 != 200 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    }

    /// Asks about some keys in one request; 200 or 429.
    async fn decide(&self, keys: &[&str]) -> u16 {
        let entries = keys
            .iter()
            .map(|key| format!(r#"{{"entries":[{{"key":"{key}","value":"x"}}]}}"#));
        let entries: Vec<_> = entries.collect();
        let body = format!(r#"{{"domain":"d","descriptors":[{}]}}"#, entries.join(","));
        let url = format!("http://{}/json", self.at("http"));
        let sent = reqwest::Client::new().post(url).body(body).timeout(PATIENCE).send();
        sent.await.unwrap().status().as_u16()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn the_environment_chooses_two_servers_a_memory_and_spared_companions() {
    let (main, fast) = (
        RedisServer::start(own_address(), &[]),
        RedisServer::start(own_address(), &[]),
    );
    let (main_url, fast_url) = (main.url(), fast.url());
    let directory = tempfile::tempdir().unwrap();
    let environment = [
        ("REDIS_URL", main_url.as_str()),
        ("REDIS_SOCKET_TYPE", "tcp"),
        ("REDIS_PERSECOND", "true"),
        ("REDIS_PERSECOND_URL", &fast_url),
        ("REDIS_PERSECOND_SOCKET_TYPE", "tcp"),
        ("LOCAL_CACHE_SIZE_IN_BYTES", "1000"),
        ("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT", "true"),
        ("STORE_DEADLINE", "5s"),
    ];
    let serving = Serving::start(program(&directory, &environment));
    serving.healthy().await;
    for status in [200, 200, 429, 429] {
        assert_eq!(serving.decide(&["year", "other"]).await, status);
    }
    assert_eq!(serving.decide(&["second"]).await, 200);
    assert_eq!((main.calls("incrby"), fast.calls("incrby")), (2 * 3 + 1, 1));
    let key = main.ask(&["KEYS", "d_other_x_*"]);
    assert_eq!(main.ask(&["GET", &key]), "2", "the companion was spared");
    let (_, metrics) = serving.get("metrics", "/metrics").await;
    for line in [
        "ratelimit_localcache_hitCount 1",
        "ratelimit_redis_per_second_pool_cx_active 2",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

/// What it says when it does not start.
fn refused(environment: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let output = program(&directory, environment).output().unwrap();
    assert!(!output.status.success());
    output
}

#[track_caller]
fn check(environment: &[(&str, &str)], expected: &str) {
    let said = String::from_utf8(refused(environment).stderr).unwrap();
    assert!(said.contains(expected), "{said}");
}

#[test]
fn what_makes_no_sense_is_told_by_variable() {
    let sentinels = "Expected master name and a list of urls for the sentinels";
    check(
        &[("REDIS_TYPE", "Sentinel"), ("REDIS_URL", "mymaster")],
        &format!("REDIS_URL: {sentinels}"),
    );
    check(
        &[
            ("REDIS_URL", "/r.sock"),
            ("REDIS_PERSECOND", "1"),
            ("REDIS_PERSECOND_TYPE", "sentinel"),
            ("REDIS_PERSECOND_URL", "mymaster,"),
        ],
        &format!("REDIS_PERSECOND_URL: {sentinels}"),
    );
    check(
        &[("REDIS_TYPE", "ring"), ("REDIS_URL", "r:1")],
        "REDIS_TYPE: Unrecognized redis type ring",
    );
    check(
        &[("REDIS_TYPE", "cluster"), ("REDIS_URL", "a:1,b")],
        "REDIS_URL: is not an address",
    );
    check(
        &[("REDIS_TLS", "true"), ("REDIS_URL", "/r.sock")],
        "REDIS_URL: a socket path takes no TLS",
    );
    for behaviour in ["ERROR", "create"] {
        check(
            &[("REDIS_POOL_ON_EMPTY_BEHAVIOR", behaviour), ("REDIS_URL", "/r.sock")],
            &format!(
                "REDIS_POOL_ON_EMPTY_BEHAVIOR={} is not supported in radix v4",
                behaviour.to_uppercase()
            ),
        );
    }
}

#[test]
fn a_start_without_redis_is_given_up_only_if_that_is_asked_for() {
    check(
        &[
            ("REDIS_URL", "/nowhere/r.sock"),
            ("REDIS_STARTUP_MAX_ELAPSED_TIME", "100ms"),
        ],
        "timed out waiting for Redis at start",
    );
    let directory = tempfile::tempdir().unwrap();
    Serving::start(program(&directory, &[("REDIS_URL", "/nowhere/r.sock")]));
}
