//! Configuration pushed by a real gRPC server on a loopback port: what comes into force, what is answered, and what
//! happens when the server breaks, restarts or sends nonsense. Numbers (X1, X2, ...) are those of our conformance list.

#![expect(clippy::unwrap_used, reason = "tests")]

mod control_plane;
mod follower;
mod program;
mod resources;
mod tls;

use std::time::Duration;

use proto::xds::{Any, RateLimitDescriptor, RateLimitUnit};
use ratelimit::xds::{Jitter, MessageLimit, Settings};
use tokio::sync::mpsc;

use control_plane::{ControlPlane, Manners};
use follower::{Follower, follow, patient, settings};
use resources::{domain, limit, path, resource, unlimited};

const TYPE_URL: &str = "type.googleapis.com/ratelimit.config.ratelimit.v3.RateLimitConfig";

/// Fails the test where it would hang. Generous: nothing here waits for a time to pass that is not said.
async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.unwrap()
}

fn minute(entry: &str, requests: u32) -> RateLimitDescriptor {
    limit(entry, requests, RateLimitUnit::Minute)
}

fn plain(key: &str, unit: &str, requests: u32) -> String {
    format!("{key}: unit={unit} requests_per_unit={requests}, shadow_mode: false, quota_mode: false")
}

fn good(requests: u32) -> Vec<Any> {
    vec![domain("foo", vec![minute("k1=v1", requests)])]
}

fn good_lines(requests: u32) -> Vec<String> {
    vec![plain("foo.k1_v1", "MINUTE", requests)]
}

fn broken() -> Vec<Any> {
    let nonsense = limit("k=v", 1, RateLimitUnit::Unknown);
    vec![
        domain("foo", vec![minute("k1=v1", 3)]),
        resource("res-bar", "bar", vec![nonsense]),
    ]
}

const BROKEN: &str = "res-bar: invalid rate limit unit 'UNKNOWN'";

/// Pushes one after the other, and what is in force after each.
async fn check_pushes(pushes: Vec<(Vec<Any>, Vec<String>)>) {
    let mut control_plane = ControlPlane::start();
    let follower = Follower::of(&control_plane);
    check_pushes_to(&mut control_plane, follower, pushes).await;
}

async fn check_pushes_to(
    control_plane: &mut ControlPlane,
    mut follower: Follower,
    pushes: Vec<(Vec<Any>, Vec<String>)>,
) {
    assert_eq!(control_plane.request().await.said(), ["none", "", ""]);
    for (number, (resources, mut expected)) in (1..).zip(pushes) {
        expected.sort();
        let version = number.to_string();
        control_plane.push(&version, resources);
        assert_eq!(follower.outcome().await, Ok(expected));
        assert_eq!(control_plane.request().await.said(), [&*version, &*version, ""]);
    }
}

#[tokio::test]
async fn x1_a_push_is_in_force_and_acknowledged() {
    let resources = vec![domain("foo", vec![minute("k1=v1", 3)])];
    check_pushes(vec![(resources, vec![plain("foo.k1_v1", "MINUTE", 3)])]).await;
}

#[tokio::test]
async fn x2_the_next_push_replaces_all() {
    let first = vec![domain("foo", vec![minute("k1=v1", 3)])];
    let second = vec![domain("foo", vec![minute("k2=v2", 5)])];
    check_pushes(vec![
        (first, vec![plain("foo.k1_v1", "MINUTE", 3)]),
        (second, vec![plain("foo.k2_v2", "MINUTE", 5)]),
    ])
    .await;
}

#[tokio::test]
async fn x3_one_resource_a_domain() {
    let resources = vec![
        domain("foo", vec![minute("k1=v1", 10)]),
        domain("bar", vec![minute("k1=v1", 100)]),
    ];
    let lines = vec![plain("bar.k1_v1", "MINUTE", 100), plain("foo.k1_v1", "MINUTE", 10)];
    check_pushes(vec![(resources, lines)]).await;
}

#[tokio::test]
async fn x4_nested_unlimited_shadow_and_quota() {
    let nested = RateLimitDescriptor {
        descriptors: vec![unlimited("k2"), limit("k2=v2", 15, RateLimitUnit::Hour)],
        ..minute("k1=v1", 10)
    };
    let marked = RateLimitDescriptor {
        shadow_mode: true,
        quota_mode: true,
        ..limit("j2=v2", 15, RateLimitUnit::Day)
    };
    let under_unlimited = RateLimitDescriptor {
        descriptors: vec![unlimited("j2"), marked],
        ..unlimited("j1=v2")
    };
    let resources = vec![
        domain("foo", vec![nested, under_unlimited]),
        domain("bar", vec![minute("k1=v1", 100)]),
    ];
    let lines = vec![
        plain("bar.k1_v1", "MINUTE", 100),
        plain("foo.j1_v2", "UNKNOWN", 0),
        plain("foo.j1_v2.j2", "UNKNOWN", 0),
        "foo.j1_v2.j2_v2: unit=DAY requests_per_unit=15, shadow_mode: true, quota_mode: true".to_owned(),
        plain("foo.k1_v1", "MINUTE", 10),
        plain("foo.k1_v1.k2", "UNKNOWN", 0),
        plain("foo.k1_v1.k2_v2", "HOUR", 15),
    ];
    check_pushes(vec![(resources, lines)]).await;
}

#[tokio::test]
async fn x5_merged_domains_at_run_time() {
    let resources = vec![
        resource("foo-1", "foo", vec![minute("k1=v1", 10)]),
        resource("foo-2", "foo", vec![minute("k1=v2", 100)]),
    ];
    let lines = vec![plain("foo.k1_v1", "MINUTE", 10), plain("foo.k1_v2", "MINUTE", 100)];
    let mut control_plane = ControlPlane::start();
    let follower = Follower::of(&control_plane);
    follower.merge_domains();
    check_pushes_to(&mut control_plane, follower, vec![(resources, lines)]).await;
}

#[tokio::test]
async fn two_resources_of_a_domain_are_refused_unless_merged() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.push(
        "1",
        vec![resource("foo-1", "foo", vec![]), resource("foo-2", "foo", vec![])],
    );
    let error = "foo-2: duplicate domain 'foo' in config file";
    assert_eq!(follower.outcome().await, Err(error.to_owned()));
    control_plane.request().await;
    assert_eq!(control_plane.request().await.said(), ["none", "1", error]);
}

#[tokio::test]
async fn the_first_request_names_node_metadata_and_headers() {
    let mut control_plane = ControlPlane::start();
    let _follower = Follower::with(Settings {
        node_metadata: "zone=a,odd,pool=b=c".parse().unwrap(),
        headers: "x-tenant:acme,authorization:Bearer abc".parse().unwrap(),
        ..settings(&control_plane)
    });
    let seen = control_plane.request().await;
    let node = seen.request.node.unwrap();
    assert_eq!(node.id, "test-node");
    let mut fields: Vec<String> = node
        .metadata
        .unwrap()
        .fields
        .into_iter()
        .map(|(key, value)| format!("{key}={:?}", value.kind.unwrap()))
        .collect();
    fields.sort();
    assert_eq!(fields, ["pool=StringValue(\"b=c\")", "zone=StringValue(\"a\")"]);
    assert_eq!(seen.request.type_url, TYPE_URL);
    assert!(seen.request.resource_names.is_empty());
    assert_eq!(seen.headers.get("x-tenant").unwrap(), "acme");
    assert_eq!(seen.headers.get("authorization").unwrap(), "Bearer abc");
}

#[tokio::test]
async fn silence_before_the_first_push_is_no_error() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.request().await;
    assert!(follower.is_quiet());
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    // On the stream that was silent: a second one would have begun with "none".
    assert_eq!(control_plane.request().await.said(), ["1", "1", ""]);
}

#[tokio::test]
async fn an_unknown_node_waits_in_silence_and_ends_when_told() {
    let mut control_plane = ControlPlane::start();
    control_plane.push("1", good(3));
    let mut follower = Follower::with(Settings {
        node_id: "somebody".to_owned(),
        ..settings(&control_plane)
    });
    control_plane.request().await;
    assert!(follower.is_quiet());
    follower.end().await;
}

#[tokio::test]
async fn a_deleted_policy_is_an_empty_push_under_a_version() {
    check_pushes(vec![(good(3), good_lines(3)), (vec![], vec![])]).await;
}

#[tokio::test]
async fn a_deleted_gateway_is_an_empty_push_under_an_empty_version_and_the_count_goes_on() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.request().await;
    for (nonce, version, resources, lines) in [
        ("1", "1", good(3), good_lines(3)),
        ("2", "", vec![], vec![]),
        ("3", "2", good(4), good_lines(4)),
    ] {
        control_plane.push(version, resources);
        assert_eq!(follower.outcome().await, Ok(lines));
        assert_eq!(control_plane.request().await.said(), [version, nonce, ""]);
    }
}

#[tokio::test]
async fn an_empty_version_before_anything_else_is_applied() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.request().await;
    control_plane.push("", vec![]);
    assert_eq!(follower.outcome().await, Ok(vec![]));
    assert_eq!(control_plane.request().await.said(), ["", "1", ""]);
}

#[tokio::test]
async fn a_policy_deleted_while_the_server_was_away_goes_though_its_versions_begin_again() {
    for version in ["1", ""] {
        let mut control_plane = ControlPlane::start();
        let mut follower = Follower::of(&control_plane);
        control_plane.request().await;
        control_plane.push("1", good(3));
        assert_eq!(follower.outcome().await, Ok(good_lines(3)));
        control_plane.request().await;
        control_plane.restart();
        control_plane.push(version, vec![]);
        assert_eq!(follower.outcome().await, Ok(vec![]));
        assert_eq!(control_plane.request().await.said(), ["none", "", ""]);
        assert_eq!(control_plane.request().await.said(), [version, "1", ""]);
    }
}

#[tokio::test]
async fn a_broken_push_changes_nothing_and_is_refused_by_name() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.request().await;
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    assert_eq!(control_plane.request().await.said(), ["1", "1", ""]);
    control_plane.push("2", broken());
    assert_eq!(follower.outcome().await, Err(BROKEN.to_owned()));
    let nack = control_plane.request().await;
    assert_eq!(nack.said(), ["1", "2", BROKEN]);
    assert_eq!(nack.request.error_detail.unwrap().code, 3);
    control_plane.push("3", good(4));
    assert_eq!(follower.outcome().await, Ok(good_lines(4)));
}

/// The server answers every NACK with the same push at once.
#[tokio::test]
async fn a_nack_that_is_answered_with_the_same_push_is_repeated_after_pauses_that_grow() {
    let mut control_plane = ControlPlane::start();
    let mut settings = settings(&control_plane);
    settings.pauses.jitter = Jitter::NONE;
    let mut follower = Follower::with(settings);
    control_plane.request().await;
    control_plane.push("1", broken());
    assert_eq!(follower.outcome().await, Err(BROKEN.to_owned()));
    assert_eq!(control_plane.request().await.said(), ["none", "1", BROKEN]);
    for (nonce, pause_ms) in [("2", 100), ("3", 200), ("4", 400), ("5", 400)] {
        let began = server::clock::monotonic_now();
        assert_eq!(control_plane.request().await.said(), ["none", nonce, BROKEN]);
        let paused = began.elapsed() + Duration::from_millis(20);
        assert!(paused >= Duration::from_millis(pause_ms), "{nonce}: {paused:?}");
    }
    assert!(follower.is_quiet(), "tried once");
    control_plane.push("2", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
}

#[tokio::test]
async fn a_broken_push_is_not_tried_again_after_a_reconnect() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.request().await;
    control_plane.push("1", broken());
    assert_eq!(follower.outcome().await, Err(BROKEN.to_owned()));
    control_plane.stop().await;
    control_plane.restart();
    control_plane.push("1", broken());
    while control_plane.request().await.said() != ["none", "", ""] {}
    assert_eq!(control_plane.request().await.said(), ["none", "1", BROKEN]);
    assert!(follower.is_quiet());
    // "1" was never accepted: repaired contents under it are news.
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
}

#[tokio::test]
async fn a_push_that_does_not_wait_for_the_last_answer_is_answered_with_its_own_nonce() {
    let mut control_plane = ControlPlane::start_with(Manners::Eager, None);
    let mut follower = Follower::with(patient(settings(&control_plane)));
    control_plane.request().await;
    control_plane.push("1", broken());
    assert_eq!(follower.outcome().await, Err(BROKEN.to_owned()));
    assert_eq!(control_plane.request().await.said(), ["none", "1", BROKEN]);
    // The same push as nonce 2 waits for its pause; the next one must not be answered with that nonce.
    control_plane.sent(2).await;
    control_plane.push("2", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    assert_eq!(control_plane.request().await.said(), ["2", "3", ""]);
}

#[tokio::test]
async fn what_is_no_resource_of_ours_is_refused_without_being_tried() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.request().await;
    let foreign = Any {
        type_url: "type.googleapis.com/x.Y".to_owned(),
        value: vec![],
    };
    control_plane.push("1", [good(3), vec![foreign]].concat());
    let seen = control_plane.request().await;
    let error = format!("resources[1]: expected {TYPE_URL}, not 'type.googleapis.com/x.Y'");
    assert_eq!(seen.said(), ["none", "1", &error]);
    assert!(follower.is_quiet());
}

#[tokio::test]
async fn a_message_beyond_the_limit_ends_the_stream_and_changes_nothing() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::with(Settings {
        max_message: MessageLimit::new(1000),
        ..settings(&control_plane)
    });
    control_plane.request().await;
    let many = (0..100).map(|number| minute(&format!("key={number}"), 1)).collect();
    control_plane.push("1", vec![domain("foo", many)]);
    // It comes back, and is told the same.
    assert_eq!(control_plane.request().await.said(), ["none", "", ""]);
    assert!(follower.is_quiet());
    control_plane.push("2", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
}

#[tokio::test]
async fn follows_a_server_that_starts_later() {
    let mut control_plane = ControlPlane::away(Manners::Patient, None);
    let mut follower = Follower::of(&control_plane);
    control_plane.restart();
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
}

#[tokio::test]
async fn a_stream_that_ends_in_order_is_a_disconnect() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    control_plane.stop().await;
    assert!(follower.is_quiet(), "the rules in force stay");
    control_plane.restart();
    control_plane.push("1", good(4));
    assert_eq!(follower.outcome().await, Ok(good_lines(4)));
}

#[tokio::test]
async fn a_closed_socket_is_a_disconnect_before_and_after_the_first_push() {
    let mut control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.request().await;
    control_plane.restart();
    assert_eq!(control_plane.request().await.said(), ["none", "", ""]);
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    control_plane.restart();
    assert!(follower.is_quiet(), "the rules in force stay");
    control_plane.push("1", good(4));
    assert_eq!(follower.outcome().await, Ok(good_lines(4)));
}

#[tokio::test]
async fn a_panic_while_loading_is_a_refusal() {
    let mut control_plane = ControlPlane::start();
    let (send, mut loads) = mpsc::unbounded_channel();
    let apply = move |files: Vec<ratelimit_core::source::RuleFile>| {
        send.send(files.len()).unwrap();
        assert!(files.len() != 1, "on purpose");
        Ok(())
    };
    let (_end, task) = follow(settings(&control_plane), apply);
    control_plane.request().await;
    control_plane.push("1", good(3));
    let error = "internal error while loading the configuration";
    assert_eq!(control_plane.request().await.said(), ["none", "1", error]);
    control_plane.push("2", vec![]);
    while control_plane.request().await.request.error_detail.is_some() {}
    assert_eq!((loads.recv().await, loads.recv().await), (Some(1), Some(0)));
    task.abort();
}

#[tokio::test]
async fn shutdown_waits_for_nothing() {
    let control_plane = ControlPlane::away(Manners::Patient, None);
    Follower::with(patient(settings(&control_plane))).end().await;

    let mut control_plane = ControlPlane::start();
    control_plane.push("1", good(3));
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = parking_lot::Mutex::new(held);
    let (started, mut loading) = mpsc::unbounded_channel();
    let apply = move |_files| {
        started.send(()).unwrap();
        let _released = held.lock().recv();
        Ok(())
    };
    let (end, task) = follow(settings(&control_plane), apply);
    control_plane.request().await;
    soon(loading.recv()).await.unwrap();
    end.send(()).unwrap();
    soon(task).await.unwrap();
    drop(release);
    assert!(control_plane.pending_request().is_none());
}

#[tokio::test]
async fn paths_without_limits_and_opaque_names_arrive_as_they_are() {
    // Names as Envoy Gateway makes them.
    let leaf = minute("rule-0-match--1=rule-0-match--1", 0);
    let route = "httproute/default/backend/rule/0/match/0/www_example_com";
    let resources = vec![domain(
        "default/gateway-1/http",
        vec![path(&format!("{route}={route}"), vec![leaf])],
    )];
    let key = format!("default/gateway-1/http.{route}_{route}.rule-0-match--1_rule-0-match--1");
    check_pushes(vec![(resources, vec![plain(&key, "MINUTE", 0)])]).await;
}

/// A peer that vanished sends nothing, and pings are punished: TCP has to ask. `/proc/net/tcp` shows timer 2 for it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn tcp_asks_whether_a_silent_server_is_still_there() {
    let control_plane = ControlPlane::start();
    let mut follower = Follower::of(&control_plane);
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    let server = format!("0100007F:{:04X}", control_plane.address.port());
    let is_asking = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        table.lines().any(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            columns.get(2) == Some(&&*server) && columns.get(5).is_some_and(|timer| timer.starts_with("02:"))
        })
    };
    // Another timer runs while something of ours is not acknowledged by the peer's kernel yet.
    soon(async {
        while !is_asking() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
