//! A Cluster of three masters with a replica each: routed by slot, redirected by name, and a master that dies under load.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use ratelimit::counters::redis::Address;
use ratelimit_core::Code;

use crate::asking::{Asked, Asking, DAY, charge};
use crate::load::{Load, SOON};
use crate::servers::{PATIENCE, RedisServer, eventually, free_port, own_address};

const NOW: u64 = 1_000_000;

/// The slots of the three masters.
const SLOTS: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

struct Cluster {
    /// Three masters, then their replicas in the same order.
    nodes: Vec<RedisServer>,
}

impl Cluster {
    async fn start(arguments: &[&str]) -> Self {
        let address = own_address();
        let announced = address.to_string();
        let mut nodes = Vec::new();
        let mut buses = Vec::new();
        for _ in 0..6 {
            let (port, bus) = two_ports(address);
            let bus = bus.to_string();
            let mut all = vec![
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1000",
                "--cluster-port",
                &bus,
            ];
            all.extend(["--cluster-config-file", "nodes.conf", "--repl-diskless-sync-delay", "0"]);
            all.extend(["--cluster-announce-ip", &announced]);
            all.extend(arguments);
            nodes.push(RedisServer::start_at(address, port, &all));
            buses.push(bus);
        }
        let cluster = Self { nodes };
        cluster.join(&buses).await;
        cluster
    }

    async fn join(&self, buses: &[String]) {
        for (number, (node, (first, last))) in self.nodes.iter().zip(SLOTS).enumerate() {
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            node.ask(&["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]);
        }
        for (node, bus) in self.nodes.iter().zip(buses).skip(1) {
            let (address, port) = (node.address.to_string(), node.port.to_string());
            self.nodes[0].ask(&["CLUSTER", "MEET", &address, &port, bus]);
        }
        self.all_say("CLUSTER INFO", "cluster_known_nodes:6").await;
        for (master, replica) in self.nodes.iter().zip(self.nodes.iter().skip(3)) {
            let id = master.ask(&["CLUSTER", "MYID"]);
            eventually("replicates", async || {
                replica.ask(&["CLUSTER", "REPLICATE", &id]) == "OK"
            })
            .await;
        }
        self.all_say("CLUSTER INFO", "cluster_state:ok").await;
        for replica in self.nodes.iter().skip(3) {
            let is_up = async || replica.ask(&["INFO", "replication"]).contains("master_link_status:up");
            eventually("replicating", is_up).await;
        }
        for node in &self.nodes {
            let knows = async || node.ask(&["CLUSTER", "NODES"]).matches("slave ").count() == 3;
            eventually("all know all replicas", knows).await;
        }
    }

    async fn all_say(&self, question: &str, expected: &str) {
        let words: Vec<_> = question.split(' ').collect();
        for node in &self.nodes {
            eventually(expected, async || node.ask(&words).contains(expected)).await;
        }
    }

    async fn asked(&self) -> Asked {
        let seeds = format!("{},{}", self.nodes[0].url(), self.nodes[1].url());
        let asked = Asked::at(DAY, Address::cluster(&seeds, "").unwrap());
        // Two connections to each of six nodes.
        let is_ready = async || asked.metric("ratelimit.redis_pool.cx_active") == 12;
        eventually("connected to all nodes", is_ready).await;
        asked
    }

    /// A value of `key` whose counter is at this master.
    fn value_at(&self, master: usize) -> String {
        let (first, last) = SLOTS[master];
        let is_there = |value: &String| {
            let slot = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", &key(value)]);
            (first..=last).contains(&slot.parse().unwrap())
        };
        (0..10_000)
            .map(|number: u32| number.to_string())
            .find(is_there)
            .unwrap()
    }
}

/// The counter's key in Redis.
fn key(value: &str) -> String {
    format!("domain_key_{value}_950400")
}

fn two_ports(address: Ipv4Addr) -> (u16, u16) {
    let port = free_port(address);
    let bus = std::iter::repeat_with(|| free_port(address)).find(|bus| *bus != port);
    (port, bus.unwrap())
}

async fn remaining(asked: &Asked, value: &str, hits: u64) -> u32 {
    let answers = asked
        .ask(NOW, &[Asking(&[("key", value)], charge(hits))])
        .await
        .unwrap();
    answers[0].remaining
}

#[tokio::test]
async fn descriptors_go_to_their_masters_and_come_back_in_order() {
    let cluster = Cluster::start(&[]).await;
    let asked = cluster.asked().await;
    let values: Vec<_> = (0..30).map(|number| format!("v{number}")).collect();
    let entries: Vec<_> = values.iter().map(|value| [("key", value.as_str())]).collect();
    let hits = (1..).map(charge);
    let asking: Vec<_> = entries
        .iter()
        .zip(hits)
        .map(|(entries, hits)| Asking(entries, hits))
        .collect();
    let answers = asked.ask(NOW, &asking).await.unwrap();
    let found: Vec<_> = answers.iter().map(|answer| answer.remaining).collect();
    assert_eq!(found, (70..100).rev().collect::<Vec<_>>());
    let calls: Vec<_> = cluster.nodes.iter().take(3).map(|node| node.calls("incrby")).collect();
    assert_eq!(calls.iter().sum::<u64>(), 30);
    assert!(calls.iter().all(|calls| *calls > 0), "{calls:?}");
    asked.end().await;
}

#[tokio::test]
async fn users_are_users_of_every_node() {
    let cluster = Cluster::start(&["--user", "rl", "on", ">pw", "~*", "+@all"]).await;
    let seeds = cluster.nodes[0].url();
    let asked = Asked::at(DAY, Address::cluster(&seeds, "rl:pw").unwrap())
        .connected()
        .await;
    let asking = [0, 1, 2].map(|master| cluster.value_at(master));
    let counts = async || {
        let entries = asking.iter().map(|value| [("key", value.as_str())]).collect::<Vec<_>>();
        let asking: Vec<_> = entries.iter().map(|entries| Asking(entries, charge(1))).collect();
        asked.ask(NOW, &asking).await.is_ok()
    };
    eventually("counts everywhere", counts).await;
    assert!(cluster.nodes[2].ask(&["CLIENT", "LIST"]).contains("user=rl"));
    asked.end().await;
}

#[tokio::test]
async fn a_slot_that_moves_is_followed_without_an_error() {
    let cluster = Cluster::start(&[]).await;
    let asked = cluster.asked().await;
    let value = cluster.value_at(0);
    let slot = cluster.nodes[0].ask(&["CLUSTER", "KEYSLOT", &key(&value)]);
    let [from, to] = [0, 1].map(|number: usize| cluster.nodes[number].ask(&["CLUSTER", "MYID"]));
    cluster.nodes[1].ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from]);
    cluster.nodes[0].ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to]);
    // The key is not there: ASK.
    assert_eq!(remaining(&asked, &value, 1).await, 99);
    assert_eq!(remaining(&asked, &value, 1).await, 98);
    for number in [1, 0, 2] {
        cluster.nodes[number].ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &to]);
    }
    // The map has not been looked at yet: MOVED.
    assert_eq!(remaining(&asked, &value, 1).await, 97);
    let moved = async || {
        let before = cluster.nodes[0].calls("incrby");
        remaining(&asked, &value, 0).await;
        cluster.nodes[0].calls("incrby") == before
    };
    eventually("the map is new", moved).await;
    asked.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_under_load_fails_its_own_keys_until_its_replica_takes_over() {
    dies(RedisServer::crash).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_under_load_fails_its_own_keys_until_its_replica_takes_over() {
    dies(|master| master.signal(Signal::SIGSTOP)).await;
}

async fn dies(kill: fn(&mut RedisServer)) {
    let mut cluster = Cluster::start(&["--cluster-require-full-coverage", "no"]).await;
    let asked = Arc::new(cluster.asked().await);
    let (lost, kept) = (cluster.value_at(1), cluster.value_at(2));
    assert_eq!(remaining(&asked, &lost, 60).await, 40);
    let offset = |node: &RedisServer| {
        let text = node.ask(&["INFO", "replication"]);
        let line = text.lines().find_map(|line| line.strip_prefix("master_repl_offset:"));
        line.unwrap().trim().to_owned()
    };
    eventually("replicated", async || {
        offset(&cluster.nodes[1]) == offset(&cluster.nodes[4])
    })
    .await;
    let load = [&lost, &kept].map(|value| Load::start(&asked, NOW, value));
    load[0].succeeds().await;
    let began = server::clock::monotonic_now();
    kill(&mut cluster.nodes[1]);
    load[0].fails().await;
    let is_master = async || cluster.nodes[4].ask(&["ROLE"]).starts_with("master");
    eventually("promoted", is_master).await;
    let promoted = server::clock::monotonic_now();
    load[0].succeeds_since(promoted).await;
    let [lost_calls, kept_calls] = load.map(Load::end);
    let (lost_calls, kept_calls) = (lost_calls.await, kept_calls.await);
    assert_eq!(kept_calls.errors_after(began), 0, "other masters answer all the time");
    assert_eq!(
        lost_calls.errors_after(promoted + SOON),
        0,
        "errors end with the promotion"
    );
    for calls in [&lost_calls, &kept_calls] {
        assert!(
            calls.late() * 1_000 <= calls.count(),
            "{} of {} were late",
            calls.late(),
            calls.count()
        );
    }
    // Nothing was lost and nothing is admitted twice: 60, then the load's peeks, then the rest.
    assert_eq!(remaining(&asked, &lost, 40).await, 0);
    let answers = asked.ask(NOW, &[Asking(&[("key", &lost)], charge(1))]).await.unwrap();
    assert_eq!(answers[0].code, Code::OverLimit);
    Arc::into_inner(asked).unwrap().end().await;
}

#[tokio::test]
async fn a_cluster_that_is_not_there_yet_is_found() {
    let address = own_address();
    let port = free_port(address);
    let asked = Asked::at(DAY, Address::cluster(&format!("{address}:{port}"), "").unwrap());
    let asking = [Asking(&[("key", "x")], charge(1))];
    asked
        .ask_within(Duration::from_millis(15), NOW, &asking)
        .await
        .unwrap_err();
    eventually("told", async || !asked.why_unhealthy().is_empty()).await;
    let bus = free_port(address).to_string();
    let arguments = ["--cluster-enabled", "yes", "--cluster-port", &bus];
    let node = RedisServer::start_at(address, port, &arguments);
    node.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("counts", async || {
        asked.ask_within(PATIENCE, NOW, &asking).await.is_ok()
    })
    .await;
    asked.end().await;
}
