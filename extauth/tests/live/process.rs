//! The service in this process: its files in a directory of its own, its ports free ones, its end with the test.

use std::path::Path;
use std::time::Duration;

use extauth::keys::KeySettings;
use extauth::policy_file::Options;
use extauth::service::Inspect;
use extauth::settings::Settings;
use extauth_core::HeaderName;
use proto::auth::{AuthorizationClient, CheckRequest, CheckResponse};
use serde_json::Value;
use server::listen::Address;
use server::log::{Format, Level};
use server::shutdown::{Shutdown, Timing};
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::eventually;
use crate::requests::{self, AUTH_CONFIG};

/// A running service and a client of it.
pub(crate) struct Process {
    pub(crate) directory: TempDir,
    pub(crate) channel: Channel,
    admin: String,
    shutdown: Shutdown,
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

/// Settings on free ports, with files in `directory`.
pub(crate) fn settings(directory: &Path) -> Settings {
    let free = Address::tcp("127.0.0.1", 0);
    Settings {
        config: directory.join("config"),
        options: Options {
            user_id_header: HeaderName::new("x-user-id").ok(),
            ..Options::default()
        },
        grpc: free.clone(),
        tls: None,
        admin: free,
        // Tests run beside each other on few cores.
        deadline: Duration::from_secs(10),
        keys: KeySettings::default(),
        shutdown: Timing::default(),
        ports_file: Some(directory.join("ports.json")),
        log_level: "info".parse::<Level>().unwrap(),
        log_format: "text".parse::<Format>().unwrap(),
    }
}

impl Process {
    /// The service with one file of AuthConfigs.
    pub(crate) async fn start(manifest: &str) -> Self {
        Self::start_with(manifest, |_settings| {}, None).await
    }

    pub(crate) async fn start_with(
        manifest: &str,
        change: impl FnOnce(&mut Settings),
        inspect: Option<Inspect>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(directory.path());
        std::fs::create_dir(&settings.config).unwrap();
        std::fs::write(settings.config.join("auth.yaml"), manifest).unwrap();
        change(&mut settings);
        let ports = settings.ports_file.clone().unwrap();
        let shutdown = Shutdown::new(Timing::default());
        let end = shutdown.clone().run(&[]);
        let running = extauth::app::run(settings, shutdown.clone(), inspect, end);
        tokio::spawn(async move { running.await.unwrap() });
        eventually("it starts", || async { ports.exists() }).await;
        let ports: Value = serde_json::from_slice(&std::fs::read(ports).unwrap()).unwrap();
        let address = |name: &str| ports[name].as_str().unwrap().to_owned();
        let channel = Channel::from_shared(format!("http://{}", address("grpc")))
            .unwrap()
            .connect_lazy();
        Self {
            directory,
            channel,
            admin: address("admin"),
            shutdown,
        }
    }

    pub(crate) async fn check(&self, request: CheckRequest) -> CheckResponse {
        let mut client = AuthorizationClient::new(self.channel.clone());
        client.check(request).await.unwrap().into_inner()
    }

    /// The HTTP status for a request with this token: 200 if it may go on.
    pub(crate) async fn status_of(&self, token: &str) -> i32 {
        let authorization = format!("Bearer {token}");
        let response = self
            .check(requests::get(AUTH_CONFIG, &[("authorization", &authorization)]))
            .await;
        requests::http_status(&response)
    }

    /// The answer of a page of the admin port.
    pub(crate) async fn page(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// The whole part of a metric whose line begins with `series`; 0 if there is none.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let (_, text) = self.page("/metrics").await;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        let whole = line.and_then(|value| value.split('.').next());
        whole.map_or(0, |value| value.parse().unwrap())
    }

    pub(crate) async fn is_healthy(&self) -> bool {
        self.page("/healthcheck").await.0 == 200
    }

    pub(crate) async fn grpc_health(&self) -> i32 {
        let request = HealthCheckRequest {
            service: "extauth".to_owned(),
        };
        let mut client = HealthClient::new(self.channel.clone());
        client.check(request).await.unwrap().into_inner().status
    }

    /// Writes a file of the configuration at once, as a rename does.
    pub(crate) fn write(&self, name: &str, manifest: &str) {
        let unfinished = self.directory.path().join("unfinished");
        std::fs::write(&unfinished, manifest).unwrap();
        std::fs::rename(unfinished, self.directory.path().join("config").join(name)).unwrap();
    }

    /// Asks with `token` until the answer has `status`.
    pub(crate) async fn until(&self, token: &str, status: i32) {
        let what = format!("answers {status}");
        eventually(&what, || async { self.status_of(token).await == status }).await;
    }
}
