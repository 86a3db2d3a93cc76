//! The program itself: which sink the environment gives it, and what arrives there.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ratelimit::environment::{Kind, variables};

const LIMITS: &str = "
domain: d
descriptors:
  - key: k
    value: v
    rate_limit: {unit: year, requests_per_unit: 1}
";
/// Longer than anything here takes; a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program with limits of its own, on free ports of the loopback address, and nothing of our environment.
fn program(limits: &tempfile::TempDir) -> Command {
    let path = limits.path().join("limits.yaml");
    std::fs::write(&path, LIMITS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ratelimit"));
    command
        .env_clear()
        .env("RATELIMIT_CONFIG", path)
        .env("LOG_LEVEL", "info")
        .stderr(Stdio::piped());
    for name in ["GRPC", "DEBUG"] {
        command
            .env(format!("{name}_HOST"), "127.0.0.1")
            .env(format!("{name}_PORT"), "0");
    }
    command
        .env("HOST", "127.0.0.1")
        .env("PORT", "0")
        .env("PROMETHEUS_ADDR", "127.0.0.1:0");
    command
}

/// A program that serves. It is killed when dropped.
struct Serving {
    child: Child,
    listening: String,
}

impl Serving {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(" listening "));
        let listening = listening.unwrap_or_else(|| panic!("it ended: {:?}", child.wait()));
        // Whatever it says later must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, listening }
    }

    /// Where a door is bound.
    fn at(&self, door: &str) -> Option<&str> {
        let mut fields = self.listening.split_whitespace();
        fields.find_map(|field| field.strip_prefix(door)?.strip_prefix('='))
    }

    async fn decide(&self) -> u16 {
        let body = r#"{"domain":"d","descriptors":[{"entries":[{"key":"k","value":"v"}]}]}"#;
        let url = format!("http://{}/json", self.at("http").unwrap());
        let sent = reqwest::Client::new().post(url).body(body).timeout(PATIENCE).send();
        sent.await.unwrap().status().as_u16()
    }

    async fn scrape(&self) -> String {
        let url = format!("http://{}/metrics", self.at("metrics").unwrap());
        let sent = reqwest::Client::new().get(url).timeout(PATIENCE).send();
        sent.await.unwrap().text().await.unwrap()
    }

    fn terminate(&mut self) {
        let process = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn without_a_word_statistics_are_there_to_scrape() {
    let limits = tempfile::tempdir().unwrap();
    let serving = Serving::start(program(&limits));
    assert_eq!((serving.decide().await, serving.decide().await), (200, 429));
    let text = serving.scrape().await;
    for line in [
        "# TYPE ratelimit_service_rate_limit_over_limit counter",
        r#"ratelimit_service_rate_limit_total_hits{domain="d",key1="k_v"} 2"#,
        r#"ratelimit_service_rate_limit_over_limit{domain="d",key1="k_v"} 1"#,
        r#"ratelimit_service_rate_limit_within_limit{domain="d",key1="k_v"} 1"#,
        "ratelimit_service_config_load_success 1",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
}

/// The environment of Envoy Gateway names a mapping file that may not be mounted, and sets tags at times.
#[tokio::test]
async fn a_mapping_file_and_tags_shape_what_is_scraped() {
    let limits = tempfile::tempdir().unwrap();
    let mapping = limits.path().join("conf.yaml");
    let mut command = program(&limits);
    command
        .env("PROMETHEUS_MAPPER_YAML", &mapping)
        .env("EXTRA_TAGS", "region:eu");
    command.env("USE_PROMETHEUS", "true").env("USE_STATSD", "false");
    let rule = "mappings: [{match: 'ratelimit.service.rate_limit.*.*.total_hits', name: hits, labels: {of: '$1/$2'}}]";
    std::fs::write(&mapping, rule).unwrap();
    let serving = Serving::start(command);
    serving.decide().await;
    let text = serving.scrape().await;
    assert!(
        text.lines().any(|line| line == r#"hits{of="d/k_v",region="eu"} 1"#),
        "{text}"
    );
}

/// At a flush far away nothing was sent before: the last requests are said when the process ends.
#[tokio::test]
async fn statsd_gets_the_last_request_too() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let limits = tempfile::tempdir().unwrap();
    let mut command = program(&limits);
    command
        .env("STATSD_HOST", "127.0.0.1")
        .env("STATSD_PORT", server.local_addr().unwrap().port().to_string());
    command
        .env("STATS_FLUSH_INTERVAL", "1h")
        .env("EXTRA_TAGS", "region:e.u");
    let mut serving = Serving::start(command);
    assert_eq!(serving.at("metrics"), None, "nothing to scrape");
    serving.decide().await;
    serving.terminate();
    let mut text = String::new();
    server.accept().unwrap().0.read_to_string(&mut text).unwrap();
    let line = "ratelimit.service.rate_limit.d.k_v.total_hits.__region=e_u:1|c";
    assert!(text.lines().any(|have| have == line), "{text}");
}

#[tokio::test]
async fn dog_statsd_gets_rewritten_names() {
    let agent = UdpSocket::bind("127.0.0.1:0").unwrap();
    agent.set_read_timeout(Some(PATIENCE)).unwrap();
    let limits = tempfile::tempdir().unwrap();
    let mut command = program(&limits);
    command
        .env("STATSD_HOST", "127.0.0.1")
        .env("STATSD_PORT", agent.local_addr().unwrap().port().to_string());
    command
        .env("USE_DOG_STATSD", "true")
        .env("USE_DOG_STATSD_MOGRIFIERS", "RULE")
        .env("STATS_FLUSH_INTERVAL", "10ms");
    command.env(
        "DOG_STATSD_MOGRIFIER_RULE_PATTERN",
        r"^ratelimit\.service\.rate_limit\.(.*)\.(.*)\.(.*)$",
    );
    command.env("DOG_STATSD_MOGRIFIER_RULE_NAME", "limits.$3");
    command.env("DOG_STATSD_MOGRIFIER_RULE_TAGS", "domain:$1,descriptor:$2");
    let serving = Serving::start(command);
    serving.decide().await;
    let mut datagram = [0; 2048];
    loop {
        let length = agent.recv(&mut datagram).unwrap();
        let text = String::from_utf8_lossy(datagram.get(..length).unwrap());
        if text
            .lines()
            .any(|line| line == "limits.total_hits:1|c|#domain:d,descriptor:k_v")
        {
            return;
        }
    }
}

#[track_caller]
fn refused(environment: &[(&str, &str)], expected: &str) {
    let limits = tempfile::tempdir().unwrap();
    let output = program(&limits).envs(environment.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains(expected), "{text}");
    assert!(!text.contains("panicked"), "{text}");
}

#[test]
fn what_cannot_be_is_refused_at_start() {
    refused(
        &[("USE_STATSD", "true"), ("USE_PROMETHEUS", "true")],
        "Error: unable to use more than one stats sink at the same time. \
         Set one of USE_DOG_STATSD, USE_STATSD, USE_PROMETHEUS.",
    );
    refused(&[("USE_STATSD", "")], "USE_STATSD: not a bool");
    refused(&[("STATSD_PROTOCOL", "sctp")], "STATSD_PROTOCOL: not a protocol");
    refused(&[("EXTRA_TAGS", "a:b:c")], "EXTRA_TAGS: not a map");
    refused(
        &[("STATS_FLUSH_INTERVAL", "0")],
        "STATS_FLUSH_INTERVAL: must be more than 0",
    );
    let mogrifier = [("USE_DOG_STATSD", "true"), ("USE_DOG_STATSD_MOGRIFIERS", "A")];
    refused(
        &mogrifier,
        "USE_DOG_STATSD_MOGRIFIERS: DOG_STATSD_MOGRIFIER_A_NAME: required",
    );
    let limits = tempfile::tempdir().unwrap();
    let mapping = limits.path().join("conf.yaml");
    std::fs::write(&mapping, "mappings:\n  - {match: a, name: a, quantiles: []}\n").unwrap();
    let place = format!(
        "{}:2:25: mappings[0]: unknown field 'quantiles' (allowed: action, buckets,",
        mapping.display()
    );
    refused(&[("PROMETHEUS_MAPPER_YAML", mapping.to_str().unwrap())], &place);
}

/// Start lines of envoyproxy/ratelimit hold: each of its variables is taken at its default, and a wrong one is named.
#[test]
fn every_variable_is_taken_and_checked() {
    let limits = tempfile::tempdir().unwrap();
    let path = limits.path().join("limits.yaml");
    let check = |environment: &[(&str, &str)]| {
        let mut command = program(&limits);
        command
            .arg("check")
            .arg(&path)
            .envs(environment.iter().copied())
            .stdout(Stdio::null());
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    let single = || variables().filter(|variable| !variable.is_family());
    let stated = single().filter(|variable| !variable.default.is_empty());
    let all: Vec<_> = stated.map(|variable| (variable.name, variable.default)).collect();
    assert!(all.len() > 70, "{}", all.len());
    assert_eq!(check(&all), (true, String::new()));
    for variable in single().filter(|variable| !matches!(variable.kind, Kind::Text | Kind::List)) {
        let (is_taken, text) = check(&[(variable.name, "x")]);
        assert!(!is_taken && text.contains(variable.name), "{variable:?}: {text}");
    }
}
