//! The program itself with the environment that Envoy Gateway gives it, and a control plane.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use proto::ratelimit::rate_limit_response::Code;
use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest, RateLimitServiceClient, rate_limit_descriptor::Entry};
use proto::xds::RateLimitUnit;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::control_plane::{ControlPlane, Manners};
use crate::resources::{domain, limit};
use crate::tls::{Authority, Files};
use crate::{BROKEN, broken};

/// A program that serves. It is killed when dropped.
struct Program {
    child: Child,
    listening: String,
}

impl Program {
    fn start(control_plane: &ControlPlane, more: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ratelimit"));
        command.env_clear().envs(free_ports()).envs(more.iter().copied());
        command
            .env("CONFIG_TYPE", "GRPC_XDS_SOTW")
            .env("CONFIG_GRPC_XDS_SERVER_URL", control_plane.address.to_string())
            .env("CONFIG_GRPC_XDS_NODE_ID", "test-node")
            .env("CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL", "100ms")
            .env("XDS_CLIENT_BACKOFF_INITIAL_INTERVAL", "100ms")
            .env("LOG_LEVEL", "info")
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listening = lines.find(|line| line.contains(" listening ")).unwrap();
        // Whatever it says later must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, listening }
    }

    /// Where a door is bound.
    fn at(&self, door: &str) -> &str {
        let mut fields = self.listening.split_whitespace();
        fields
            .find_map(|field| field.strip_prefix(door)?.strip_prefix('='))
            .unwrap()
    }

    async fn get(&self, door: &str, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.at(door));
        let response = crate::soon(reqwest::get(url)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    async fn health(&self) -> u16 {
        self.get("http", "/healthcheck").await.0
    }

    async fn becomes(&self, health: u16) {
        crate::soon(async { while self.health().await != health {} }).await;
    }

    /// Ends in order, whatever is open. Our side of what is open has to see it end.
    async fn terminate(mut self) {
        let process = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGTERM).unwrap();
        let ended = tokio::task::spawn_blocking(move || self.child.wait().unwrap());
        assert!(crate::soon(ended).await.unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already, which is all that is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_ports() -> [(&'static str, &'static str); 7] {
    [
        ("HOST", "127.0.0.1"),
        ("PORT", "0"),
        ("GRPC_HOST", "127.0.0.1"),
        ("GRPC_PORT", "0"),
        ("DEBUG_HOST", "127.0.0.1"),
        ("DEBUG_PORT", "0"),
        ("PROMETHEUS_ADDR", "127.0.0.1:0"),
    ]
}

/// Asks as Envoy does: with a certificate, over TLS.
async fn client(program: &Program, authority: &Authority) -> RateLimitServiceClient<Channel> {
    let pair = authority.client();
    let tls = ClientTlsConfig::new()
        .domain_name("ratelimit.envoy-gateway-system")
        .ca_certificate(Certificate::from_pem(authority.pem()))
        .identity(Identity::from_pem(pair.certificate, pair.key));
    let endpoint = Endpoint::from_shared(format!("https://{}", program.at("grpc"))).unwrap();
    RateLimitServiceClient::new(endpoint.tls_config(tls).unwrap().connect().await.unwrap())
}

async fn ask(client: &mut RateLimitServiceClient<Channel>) -> Result<Code, String> {
    let entry = Entry {
        key: "k".to_owned(),
        value: "v".to_owned(),
    };
    let request = RateLimitRequest {
        domain: "default/gateway-1/http".to_owned(),
        descriptors: vec![RateLimitDescriptor {
            entries: vec![entry],
            ..RateLimitDescriptor::default()
        }],
        hits_addend: 0,
    };
    let answer = crate::soon(client.should_rate_limit(request)).await;
    answer
        .map(|answer| answer.into_inner().overall_code())
        .map_err(|status| status.message().to_owned())
}

#[tokio::test]
async fn with_the_environment_of_envoy_gateway() {
    let authority = Authority::new();
    // Not the wildcard of `client()`: rustls, which asks in the place of Envoy here, takes none over a single label.
    let files = Files::new(&authority, &authority.pair("ratelimit.envoy-gateway-system"));
    let (certificate, key, ca) = (files.text("tls.crt"), files.text("tls.key"), files.text("ca.crt"));
    let mut control_plane = ControlPlane::start_with(Manners::Patient, Some(authority.server("envoy-gateway")));
    let program = Program::start(
        &control_plane,
        &[
            ("RUNTIME_ROOT", "/data"),
            ("RUNTIME_SUBDIRECTORY", "ratelimit"),
            ("RUNTIME_IGNOREDOTFILES", "true"),
            ("RUNTIME_WATCH_ROOT", "false"),
            ("USE_STATSD", "false"),
            ("GRPC_SERVER_USE_TLS", "true"),
            ("GRPC_SERVER_TLS_CERT", &certificate),
            ("GRPC_SERVER_TLS_KEY", &key),
            ("GRPC_SERVER_TLS_CA_CERT", &ca),
            ("CONFIG_GRPC_XDS_SERVER_USE_TLS", "true"),
            ("CONFIG_GRPC_XDS_CLIENT_TLS_CERT", &certificate),
            ("CONFIG_GRPC_XDS_CLIENT_TLS_KEY", &key),
            ("CONFIG_GRPC_XDS_SERVER_TLS_CACERT", &ca),
            // There is no host of this name here.
            ("CONFIG_GRPC_XDS_SERVER_TLS_SAN", "envoy-gateway"),
            ("FORCE_START_WITHOUT_INITIAL_CONFIG", "true"),
            ("USE_PROMETHEUS", "true"),
            ("PROMETHEUS_MAPPER_YAML", "/etc/statsd-exporter/conf.yaml"),
        ],
    );
    control_plane.request().await;
    assert_eq!(program.health().await, 200, "healthy without configuration");
    let mut client = client(&program, &authority).await;
    assert_eq!(
        ask(&mut client).await,
        Err("no rate limit configuration loaded".to_owned())
    );

    let once_a_year = limit("k=v", 1, RateLimitUnit::Year);
    let limits = vec![domain("default/gateway-1/http", vec![once_a_year])];
    control_plane.push("1", limits.clone());
    assert_eq!(control_plane.request().await.said(), ["1", "1", ""]);
    assert_eq!(ask(&mut client).await, Ok(Code::Ok));
    assert_eq!(ask(&mut client).await, Ok(Code::OverLimit));
    let (_, dump) = program.get("debug", "/rlconfig").await;
    assert_eq!(
        dump.trim(),
        "default/gateway-1/http.k_v: unit=YEAR requests_per_unit=1, shadow_mode: false, quota_mode: false"
    );

    control_plane.push("2", broken());
    assert_eq!(control_plane.request().await.said(), ["1", "2", BROKEN]);
    assert_eq!(
        ask(&mut client).await,
        Ok(Code::OverLimit),
        "a broken push changes nothing"
    );

    control_plane.stop().await;
    assert_eq!(ask(&mut client).await, Ok(Code::OverLimit), "nor does a lost server");
    assert_eq!(program.health().await, 200);

    // Deleted while it was away, and its versions begin again.
    control_plane.restart();
    control_plane.push("1", vec![]);
    while control_plane.request().await.said() != ["1", "1", ""] {}
    assert_eq!(ask(&mut client).await, Ok(Code::Ok));
    let (_, metrics) = program.get("metrics", "/metrics").await;
    for line in [
        "ratelimit_service_config_load_success 2",
        "ratelimit_service_config_load_error 1",
    ] {
        assert!(metrics.lines().any(|have| have == line), "{line} is not in\n{metrics}");
    }
    program.terminate().await;
}

#[tokio::test]
async fn health_waits_for_the_first_word_of_the_control_plane() {
    let mut control_plane = ControlPlane::start();
    let program = Program::start(&control_plane, &[]);
    control_plane.request().await;
    let (status, why) = program.get("http", "/healthcheck").await;
    assert_eq!((status, why.contains("config")), (500, true), "{why}");
    control_plane.push("1", broken());
    program.becomes(200).await;
    program.terminate().await;
}

#[tokio::test]
async fn health_waits_for_a_domain_if_it_is_told_to() {
    let control_plane = ControlPlane::start();
    let forced = [
        ("HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED", "true"),
        ("FORCE_START_WITHOUT_INITIAL_CONFIG", "true"),
    ];
    let program = Program::start(&control_plane, &forced);
    assert_eq!(program.health().await, 500);
    control_plane.push("1", vec![domain("foo", vec![])]);
    program.becomes(200).await;
    control_plane.push("2", vec![]);
    program.becomes(500).await;
    control_plane.push("3", vec![domain("foo", vec![])]);
    program.becomes(200).await;
    program.terminate().await;
}

#[test]
fn settings_that_cannot_be_are_told_all_at_once_and_without_secrets() {
    let output = Command::new(env!("CARGO_BIN_EXE_ratelimit"))
        .env_clear()
        .env("CONFIG_TYPE", "GRPC_XDS_SOTW")
        .env("CONFIG_GRPC_XDS_SERVER_URL", "http://envoy-gateway:18001")
        .env("CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS", "authorization:s3cret\u{7}")
        .env("XDS_CLIENT_BACKOFF_INITIAL_INTERVAL", "10")
        .env("CONFIG_GRPC_XDS_SERVER_USE_TLS", "")
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for name in [
        "CONFIG_GRPC_XDS_SERVER_URL",
        "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS",
        "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL",
        "CONFIG_GRPC_XDS_SERVER_USE_TLS",
    ] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
    assert!(!text.contains("s3cret"), "{text}");
}
