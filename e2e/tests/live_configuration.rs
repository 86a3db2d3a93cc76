//! Limits change while requests flow: no request may fail, new limits are in force within two seconds, and a file that is
//! broken changes nothing and is reported with its place.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use e2e::client::{Client, Request};
use e2e::ratelimit::{RateLimit, Setup};
use e2e::stack::{Options, Stack, Store};
use e2e::{story, wait};
use server::clock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How soon a change must be in force.
const IN_FORCE: Duration = Duration::from_secs(2);
/// How many callers make requests all the while, one after the other without a pause.
const CALLERS: usize = 4;
/// What the shipped file allows a tenant in a minute.
const SHIPPED: u32 = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_under_load_without_a_failed_request() {
    let stack = Stack::start(Options::for_test(Store::Memory)).await.unwrap();
    let client = stack.client().unwrap();
    let token = stack.issuer.asks.token("probe").await.unwrap();
    let probe = Request::to(story::CHEAP).bearing(&token);
    let load = Load::start(&client, &stack).await;
    let file = stack.limits.join("sallyport.yaml");
    let shipped = fs::read_to_string(&file).unwrap();

    // As `cat >` does: in place. The watcher may see the file empty or half-written on the way.
    fs::write(&file, limiting_to(&shipped, 70_001)).unwrap();
    in_force(&client, &probe, 70_001).await;
    load.goes_on().await;

    // As editors and rsync do: a new file, renamed over the old one.
    let fresh = stack.limits.join(".sallyport.yaml.swp");
    fs::write(&fresh, limiting_to(&shipped, 70_002)).unwrap();
    fs::rename(&fresh, &file).unwrap();
    in_force(&client, &probe, 70_002).await;
    load.goes_on().await;

    // As some editors do: the old file moved away, a new one made.
    fs::rename(&file, stack.directory().join("sallyport.yaml~")).unwrap();
    fs::write(&file, limiting_to(&shipped, 70_003)).unwrap();
    in_force(&client, &probe, 70_003).await;
    load.goes_on().await;

    // A broken file changes nothing, and the log says where it is broken.
    let broken = limiting_to(&shipped, 70_004).replacen("unit: minute", "unit: fortnight", 1);
    let line = 1 + broken.lines().position(|line| line.contains("fortnight")).unwrap();
    fs::write(&file, broken).unwrap();
    let reported = stack
        .ratelimit
        .until_logged(&[&format!("sallyport.yaml:{line}:"), "fortnight"])
        .await;
    reported.unwrap();
    load.goes_on().await;
    assert_eq!(limit(&client, &probe).await, 70_003);

    // Mended, it is taken again.
    fs::write(&file, limiting_to(&shipped, 70_005)).unwrap();
    in_force(&client, &probe, 70_005).await;
    load.goes_on().await;

    load.stop().await;
    stack.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swapped_config_map_is_in_force_within_two_seconds() {
    let stack = Stack::start(Options::for_test(Store::Memory)).await.unwrap();
    let shipped = fs::read_to_string(stack.limits.join("sallyport.yaml")).unwrap();
    // A volume as the kubelet lays it out: the file is a link through `..data` into a directory with a date for a name.
    let volume = stack.directory().join("config-map");
    fs::create_dir(&volume).unwrap();
    generation(&volume, "..2026_01_01", &limiting_to(&shipped, 60_001));
    symlink("..2026_01_01", volume.join("..data")).unwrap();
    symlink("..data/sallyport.yaml", volume.join("sallyport.yaml")).unwrap();
    let directory = stack.directory().join("second");
    fs::create_dir(&directory).unwrap();
    let setup = Setup {
        limits: volume.clone(),
        redis: None,
        ports: e2e::ports::Ports::free(),
        directory,
    };
    let mounted = RateLimit::start(setup).await.unwrap();
    assert_eq!(tenant_limit(&mounted).await, Some(60_001));

    let mut calls = 0;
    for (number, name) in [(60_002, "..2026_01_02"), (60_003, "..2026_01_03")] {
        generation(&volume, name, &limiting_to(&shipped, number));
        symlink(name, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        let before = clock::monotonic_now();
        wait::until("the swapped limit", IN_FORCE, async || {
            calls += 1;
            let limit = tenant_limit(&mounted).await;
            assert!(limit.is_some(), "a call without a limit during the swap");
            Ok((limit == Some(number)).then_some(()))
        })
        .await
        .unwrap();
        assert!(before.elapsed() < IN_FORCE);
    }
    assert!(calls >= 2);
    stack.stop().await.unwrap();
}

/// What the second service, asked directly, says of the limit of a tenant; every answer must be one.
async fn tenant_limit(service: &RateLimit) -> Option<u32> {
    use proto::ratelimit::{
        RateLimitDescriptor, RateLimitRequest, RateLimitServiceClient, rate_limit_descriptor::Entry,
    };

    let mut client = RateLimitServiceClient::connect(format!("http://{}", service.grpc))
        .await
        .unwrap();
    let entry = Entry {
        key: "tenant".to_owned(),
        value: "probe".to_owned(),
    };
    let descriptor = RateLimitDescriptor {
        entries: vec![entry],
        ..RateLimitDescriptor::default()
    };
    let request = RateLimitRequest {
        domain: "sallyport".to_owned(),
        descriptors: vec![descriptor],
        ..RateLimitRequest::default()
    };
    let response = client.should_rate_limit(request).await.unwrap().into_inner();
    let status = response.statuses.into_iter().next()?;
    status.current_limit.map(|limit| limit.requests_per_unit)
}

fn generation(volume: &Path, name: &str, text: &str) {
    fs::create_dir(volume.join(name)).unwrap();
    fs::write(volume.join(name).join("sallyport.yaml"), text).unwrap();
}

fn limiting_to(shipped: &str, number: u32) -> String {
    let text = shipped.replacen(
        &format!("requests_per_unit: {SHIPPED}"),
        &format!("requests_per_unit: {number}"),
        1,
    );
    assert_ne!(text, shipped, "the shipped file has another limit");
    text
}

/// The limit that Envoy shows on an answer.
async fn limit(client: &Client, probe: &Request) -> u32 {
    let answer = client.send(probe).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let limit = answer
        .header("x-ratelimit-limit")
        .unwrap_or_else(|| panic!("not counted: {:?}", answer.headers));
    limit.split(',').next().unwrap().parse().unwrap()
}

async fn in_force(client: &Client, probe: &Request, expected: u32) {
    let what = format!("the limit {expected} is in force");
    wait::until(&what, IN_FORCE, async || {
        Ok((limit(client, probe).await == expected).then_some(()))
    })
    .await
    .unwrap();
}

/// Callers that never stop, each of a tenant of its own so that none is limited.
struct Load {
    stop: watch::Sender<bool>,
    calls: Arc<AtomicU64>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    #[expect(clippy::disallowed_methods, reason = "a test owns its tasks and joins them")]
    async fn start(client: &Client, stack: &Stack) -> Self {
        let (stop, stopped) = watch::channel(false);
        let calls = Arc::new(AtomicU64::new(0));
        let mut callers = Vec::new();
        for caller in 0..CALLERS {
            let token = stack.issuer.asks.token(&format!("caller-{caller}")).await.unwrap();
            let request = Request::to(story::CHEAP).bearing(&token);
            let calling = call_until_stopped(client.clone(), request, stopped.clone(), Arc::clone(&calls));
            callers.push(tokio::spawn(calling));
        }
        Self { stop, calls, callers }
    }

    /// Waits for many more calls, so that a change is followed by enough of them to show what it broke.
    async fn goes_on(&self) {
        let enough = self.calls.load(Ordering::Relaxed) + 300;
        wait::until("the load goes on", wait::START, async || {
            Ok((self.calls.load(Ordering::Relaxed) >= enough).then_some(()))
        })
        .await
        .unwrap();
    }

    async fn stop(self) {
        self.stop.send(true).unwrap();
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

async fn call_until_stopped(client: Client, request: Request, stopped: watch::Receiver<bool>, calls: Arc<AtomicU64>) {
    while !*stopped.borrow() {
        let answer = client.send(&request).await.unwrap();
        // 429 is a right answer of a limiter, anything else but 200 a failure; a call that was not counted carries no limit.
        assert!(
            matches!(answer.status, 200 | 429),
            "status {} under load",
            answer.status
        );
        assert!(answer.header("x-ratelimit-limit").is_some(), "a call was not counted");
        calls.fetch_add(1, Ordering::Relaxed);
    }
}
