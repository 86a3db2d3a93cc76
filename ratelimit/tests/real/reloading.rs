//! Limits that change under load: no failed request, the new limit in force soon, a broken file changes nothing.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::sys::signal::Signal;
use proto::ratelimit::RateLimitServiceClient;
use server::clock::monotonic_now;
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::parts::eventually;
use crate::program::{Program, request};

/// New limits must be in force by then.
const SOON: Duration = Duration::from_secs(2);

fn limits(requests: u32) -> String {
    format!("domain: d\ndescriptors:\n  - key: k\n    rate_limit: {{unit: day, requests_per_unit: {requests}}}\n")
}

/// Clients that ask without a pause until stopped. Any failure fails the test.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    async fn start(program: &Program) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for _ in 0..4 {
            clients.spawn(ask_on(program.client().await, stop.clone(), answered.clone()));
        }
        Self {
            stop,
            answered,
            clients,
        }
    }

    /// Ends the load once there was some.
    async fn end(self) {
        eventually("answers", async || self.answered.load(Ordering::Relaxed) > 100).await;
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
    }
}

async fn ask_on(mut client: RateLimitServiceClient<Channel>, stop: Arc<AtomicBool>, answered: Arc<AtomicU64>) {
    while !stop.load(Ordering::Relaxed) {
        let asked = request("d", &[&[("k", "load")]]);
        let answer = client.should_rate_limit(asked).await.unwrap();
        assert!(
            answer.get_ref().statuses[0].current_limit.is_some(),
            "a request without its limit"
        );
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

/// The limit that requests see now.
async fn in_force(program: &Program) -> u32 {
    let mut client = program.client().await;
    let answer = client
        .should_rate_limit(request("d", &[&[("k", "probe")]]))
        .await
        .unwrap();
    answer.get_ref().statuses[0]
        .current_limit
        .as_ref()
        .unwrap()
        .requests_per_unit
}

/// Makes a change and waits until it is in force.
async fn change(program: &Program, requests: u32, make: impl FnOnce(&str)) {
    make(&limits(requests));
    let began = monotonic_now();
    eventually("the new limit", async || in_force(program).await == requests).await;
    let took = began.elapsed();
    assert!(took < SOON, "{requests} took {took:?}");
}

/// Puts files in place as a mounted ConfigMap is: real ones in a hidden directory, links to them through `..data`.
fn mount(root: &Path, version: &str, text: &str) {
    fs::create_dir(root.join(version)).unwrap();
    fs::write(root.join(version).join("limits.yaml"), text).unwrap();
    symlink(version, root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    if !root.join("limits.yaml").is_symlink() {
        symlink("..data/limits.yaml", root.join("limits.yaml")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_and_renames_are_in_force_soon_and_a_broken_file_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("limits.yaml");
    fs::write(&file, limits(1_000_001)).unwrap();
    let program = Program::start(root.path(), &[("STORE_DEADLINE", "5s")]).await;
    let load = Load::start(&program).await;
    change(&program, 1_000_002, |text| fs::write(&file, text).unwrap()).await;
    change(&program, 1_000_003, |text| {
        fs::write(root.path().join("new"), text).unwrap();
        fs::rename(root.path().join("new"), &file).unwrap();
    })
    .await;

    fs::write(&file, limits(9).replace("day", "fortnight")).unwrap();
    let place = "limits.yaml:4:24: descriptors[0].rate_limit.unit: invalid rate limit unit 'fortnight'";
    eventually("told", async || program.log().contains(place)).await;
    // One more if the file was looked at between being emptied and being written.
    let refused = program.counter("ratelimit.service.config_load_error").await;
    assert!(refused >= 1, "{refused}");
    assert_eq!(in_force(&program).await, 1_000_003);

    change(&program, 1_000_004, |text| fs::write(&file, text).unwrap()).await;
    assert_eq!(program.counter("ratelimit.service.config_load_success").await, 4);
    load.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swap_of_a_mounted_config_map_is_in_force_soon() {
    let root = tempfile::tempdir().unwrap();
    let volume = root.path().join("config");
    fs::create_dir(&volume).unwrap();
    mount(&volume, "..2026_01", &limits(1_000_001));
    let program = Program::start(&volume, &[("STORE_DEADLINE", "5s")]).await;
    let load = Load::start(&program).await;
    change(&program, 1_000_002, |text| mount(&volume, "..2026_02", text)).await;
    change(&program, 1_000_003, |text| mount(&volume, "..2026_03", text)).await;
    load.end().await;
}

#[tokio::test]
async fn starts_on_broken_limits_and_serves_once_they_are_mended() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("limits.yaml");
    fs::write(&file, "domain: [").unwrap();
    let program = Program::start(root.path(), &[("HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED", "true")]).await;
    let mut client = program.client().await;
    let refused = client
        .should_rate_limit(request("d", &[&[("k", "v")]]))
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (tonic::Code::Unknown, "no rate limit configuration loaded")
    );
    assert_eq!(program.get("debug", "/rlconfig").await, (200, String::new()));
    assert_eq!(program.get("http", "/healthcheck").await.0, 500);
    change_without_probe(&program, &file).await;
    assert_eq!(in_force(&program).await, 7);
    assert_eq!(
        program
            .counter("ratelimit.service.call.should_rate_limit.service_error")
            .await,
        1
    );
}

async fn change_without_probe(program: &Program, file: &Path) {
    fs::write(file, limits(7)).unwrap();
    eventually("healthy", async || {
        program.get("http", "/healthcheck").await == (200, "OK".to_owned())
    })
    .await;
}

#[tokio::test]
async fn every_ending_signal_ends_it_with_success() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("limits.yaml"), limits(1)).unwrap();
        let program = Program::start(root.path(), &[]).await;
        program
            .client()
            .await
            .should_rate_limit(request("d", &[&[("k", "v")]]))
            .await
            .unwrap();
        program.signal(signal);
        assert_eq!(program.ended().await.code(), Some(0), "{signal}");
    }
}
