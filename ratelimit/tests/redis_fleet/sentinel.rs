//! A master that Sentinels name, and another one when it dies under load or is demoted.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use nix::sys::signal::Signal;
use ratelimit::counters::redis::Address;
use ratelimit_core::Code;
use tempfile::TempDir;

use crate::asking::{Asked, Asking, DAY, charge};
use crate::load::{Load, SOON};
use crate::servers::{RedisServer, eventually, free_port, own_address, part};

const NOW: u64 = 1_000_000;

/// A Sentinel. Killed when dropped.
struct Sentinel {
    address: Ipv4Addr,
    port: u16,
    child: Child,
    _directory: TempDir,
}

impl Sentinel {
    fn start(master: &RedisServer) -> Self {
        let (address, port) = (master.address, free_port(master.address));
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "port {port}\nbind {address}\nsentinel announce-ip {address}\nsentinel monitor mymaster {address} {} 2\n\
             sentinel auth-pass mymaster pw\nrequirepass sentinel-pw\nsentinel sentinel-pass sentinel-pw\n\
             sentinel down-after-milliseconds mymaster 500\nsentinel failover-timeout mymaster 3000\n",
            master.port
        );
        let file = directory.path().join("sentinel.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(part("redis-server"));
        command
            .arg(&file)
            .arg("--sentinel")
            .current_dir(directory.path())
            .stdout(Stdio::null());
        Self {
            address,
            port,
            child: command.spawn().unwrap(),
            _directory: directory,
        }
    }

    fn ask(&self, words: &[&str]) -> String {
        let mut command = Command::new(part("redis-cli"));
        command.args(["-h", &self.address.to_string(), "-p", &self.port.to_string()]);
        let said = command
            .args(["-a", "sentinel-pw", "--no-auth-warning"])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8(said.stdout).unwrap()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A master, a replica, three Sentinels that know each other.
struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinels: Vec<Sentinel>,
}

impl Watched {
    async fn start() -> Self {
        let address = own_address();
        let host = address.to_string();
        let auth = [
            "--requirepass",
            "pw",
            "--masterauth",
            "pw",
            "--replica-announce-ip",
            &host,
        ];
        let master = RedisServer::start(address, &auth);
        let port = master.port.to_string();
        let replica_of = [&auth[..], &["--replicaof", &host, &port]].concat();
        let replica = RedisServer::start(address, &replica_of);
        let is_up = async || ask(&replica, &["INFO", "replication"]).contains("master_link_status:up");
        eventually("replicates", is_up).await;
        let sentinels: Vec<_> = (0..3).map(|_| Sentinel::start(&master)).collect();
        for sentinel in &sentinels {
            let knows = async || {
                let known = sentinel.ask(&["SENTINEL", "master", "mymaster"]);
                let has = |name: &str, value: &str| known.contains(&format!("{name}\n{value}\n"));
                has("num-slaves", "1") && has("num-other-sentinels", "2") && has("flags", "master")
            };
            eventually("the Sentinels know each other", knows).await;
        }
        Self {
            master,
            replica,
            sentinels,
        }
    }

    fn url(&self) -> String {
        let places = self
            .sentinels
            .iter()
            .map(|sentinel| format!(",{}:{}", sentinel.address, sentinel.port));
        format!("mymaster{}", places.collect::<String>())
    }

    async fn asked(&self) -> Asked {
        Asked::at(DAY, Address::sentinel(&self.url(), "pw", "sentinel-pw").unwrap())
            .connected()
            .await
    }
}

fn ask(redis: &RedisServer, words: &[&str]) -> String {
    redis.ask(&[&["-a", "pw", "--no-auth-warning"], words].concat())
}

async fn dies(kill: fn(&mut RedisServer)) {
    let mut watched = Watched::start().await;
    let asked = Arc::new(watched.asked().await);
    let asking = |hits| [Asking(&[("key", "x")], charge(hits))];
    asked.ask(NOW, &asking(60)).await.unwrap();
    let has_it = async || ask(&watched.replica, &["GET", "domain_key_x_950400"]) == "60";
    eventually("replicated", has_it).await;
    let load = Load::start(&asked, NOW, "x");
    load.succeeds().await;
    kill(&mut watched.master);
    load.fails().await;
    let is_named = async || {
        let port = watched.replica.port.to_string();
        let named = |sentinel: &Sentinel| sentinel.ask(&["SENTINEL", "get-master-addr-by-name", "mymaster"]);
        let votes = watched
            .sentinels
            .iter()
            .filter(|sentinel| named(sentinel).contains(&port))
            .count();
        votes >= 2
    };
    eventually("another master is named", is_named).await;
    let named = server::clock::monotonic_now();
    load.succeeds_since(named).await;
    let calls = load.end().await;
    // The Sentinels are asked once a second at the least.
    assert_eq!(
        calls.errors_after(named + 3 * SOON),
        0,
        "errors end when there is a master"
    );
    assert!(
        calls.late() * 1_000 <= calls.count(),
        "{} of {} were late",
        calls.late(),
        calls.count()
    );
    assert_eq!(asked.ask(NOW, &asking(40)).await.unwrap()[0].remaining, 0);
    assert_eq!(asked.ask(NOW, &asking(1)).await.unwrap()[0].code, Code::OverLimit);
    Arc::into_inner(asked).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_dies_under_load_is_replaced() {
    dies(RedisServer::crash).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_hangs_under_load_is_replaced() {
    dies(|master| master.signal(Signal::SIGSTOP)).await;
}

#[tokio::test]
async fn a_master_that_is_demoted_is_left() {
    let watched = Watched::start().await;
    let asked = watched.asked().await;
    let asking = [Asking(&[("key", "x")], charge(1))];
    asked.ask(NOW, &asking).await.unwrap();
    watched.sentinels[0].ask(&["SENTINEL", "failover", "mymaster"]);
    let is_demoted = async || ask(&watched.master, &["ROLE"]).starts_with("slave");
    eventually("demoted", is_demoted).await;
    let counted = ask(&watched.replica, &["GET", "domain_key_x_950400"])
        .parse::<u64>()
        .unwrap();
    eventually("counts at the new master", async || {
        drop(asked.ask(NOW, &asking).await);
        ask(&watched.replica, &["GET", "domain_key_x_950400"])
            .parse::<u64>()
            .unwrap()
            > counted
    })
    .await;
    asked.end().await;
}

#[tokio::test]
async fn sentinels_that_know_no_master_are_told() {
    let watched = Watched::start().await;
    let url = watched.url().replace("mymaster", "other");
    for (url, sentinel_auth, why) in [
        (url.as_str(), "sentinel-pw", "other is not known to them"),
        (watched.url().as_str(), "wrong", "WRONGPASS"),
        ("mymaster,127.0.0.1:1", "", "refused"),
    ] {
        let asked = Asked::at(DAY, Address::sentinel(url, "pw", sentinel_auth).unwrap());
        eventually(why, async || {
            asked.why_unhealthy().contains("no sentinel names a master: ")
        })
        .await;
        eventually(why, async || asked.why_unhealthy().contains(why)).await;
        asked.end().await;
    }
}
