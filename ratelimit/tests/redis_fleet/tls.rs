//! TLS and mutual TLS to Redis, users of its access control, and numbered databases.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use ratelimit::counters::redis::{Address, NameCheck, Tls};
use ratelimit_core::Hits;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::asking::{Asked, Asking, DAY, charge};
use crate::servers::{RedisServer, eventually, own_address};

/// An authority, a server's pair for a name, and a client's pair, in files.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new(server_name: &str) -> Self {
        let files = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        files.issue(server_name);
        files
    }

    /// Replaces all of them by those of a new authority.
    fn issue(&self, server_name: &str) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(self.path("ca.crt"), authority.pem()).unwrap();
        for (file, name) in [("server", server_name), ("client", "ratelimit")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &authority).unwrap();
            std::fs::write(self.path(&format!("{file}.crt")), certificate.pem()).unwrap();
            std::fs::write(self.path(&format!("{file}.key")), key.serialize_pem()).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tls(&self) -> Tls {
        Tls {
            authorities: Some(self.path("ca.crt")),
            pair: Some((self.path("client.crt"), self.path("client.key"))),
            name: NameCheck::Verify,
        }
    }

    /// What takes connections with client certificates of the authority only.
    fn acceptor(&self) -> TlsAcceptor {
        let read = |name| CertificateDer::from_pem_file(self.path(name)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(read("ca.crt")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![read("server.crt")],
                PrivateKeyDer::from_pem_file(self.path("server.key")).unwrap(),
            );
        TlsAcceptor::from(Arc::new(config.unwrap()))
    }
}

/// A Redis behind TLS: the servers among the parts are built without. All its connections are cut when it is dropped.
struct Tunnel {
    redis: RedisServer,
    port: u16,
    _connections: JoinSet<()>,
}

impl Tunnel {
    async fn start(files: &Files, arguments: &[&str]) -> Self {
        Self::start_at(0, files, RedisServer::start(own_address(), arguments)).await
    }

    async fn start_at(port: u16, files: &Files, redis: RedisServer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, inner) = (files.acceptor(), redis.url());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((outer, _)) = listener.accept().await {
                let (acceptor, inner) = (acceptor.clone(), inner.clone());
                connections.spawn(pass(acceptor, outer, inner));
            }
        });
        Self {
            redis,
            port,
            _connections: tasks,
        }
    }

    /// Cuts all connections and takes new ones with what the files hold now.
    async fn restart(self, files: &Files) -> Self {
        let Self {
            redis,
            port,
            _connections: mut connections,
        } = self;
        connections.shutdown().await;
        Self::start_at(port, files, redis).await
    }
}

async fn pass(acceptor: TlsAcceptor, outer: TcpStream, inner: String) {
    // Strangers are turned away here.
    let Ok(mut outer) = acceptor.accept(outer).await else {
        return;
    };
    let mut inner = TcpStream::connect(inner).await.unwrap();
    drop(tokio::io::copy_bidirectional(&mut outer, &mut inner).await);
}

fn at(tunnel: &Tunnel, tls: &Tls) -> Asked {
    asked(&format!("127.0.0.1:{}", tunnel.port), "", tls)
}

fn asked(url: &str, auth: &str, tls: &Tls) -> Asked {
    Asked::at(DAY, Address::parse(url, None, auth).unwrap().with_tls(tls).unwrap())
}

async fn counts(asked: Asked) {
    let asked = asked.connected().await;
    let answers = asked
        .ask(1_000_000, &[Asking(&[("key", "x")], charge(1))])
        .await
        .unwrap();
    assert_eq!(answers[0].remaining, 99);
    asked.end().await;
}

/// Never connects, and says why.
async fn fails(asked: Asked, why: &str) {
    let failed = async || asked.metric("ratelimit.redis_pool.cx_failed") > 0 && asked.why_unhealthy().contains(why);
    eventually(why, failed).await;
    let asking = [Asking(&[("key", "x")], charge(1))];
    asked.ask(1_000_000, &asking).await.unwrap_err();
    asked.end().await;
}

const USER: [&str; 9] = ["--user", "default", "off", "--user", "rl", "on", ">pw", "~*", "+@all"];

#[tokio::test]
async fn counts_over_mutual_tls_as_a_user_in_a_database() {
    let files = Files::new("localhost");
    let redis = Tunnel::start(&files, &USER).await;
    let url = format!("redis://rl:pw@localhost:{}/3", redis.port);
    counts(asked(&url, "", &files.tls())).await;
    let said = redis
        .redis
        .ask(&["--user", "rl", "--pass", "pw", "--no-auth-warning", "-n", "3", "DBSIZE"]);
    assert_eq!(said, "1");
    let asked = asked(&format!("localhost:{}", redis.port), "rl:pw", &files.tls())
        .connected()
        .await;
    asked.end().await;
}

#[tokio::test]
async fn wrong_users_and_passwords_are_told() {
    let redis = RedisServer::start(own_address(), &USER);
    for (auth, why) in [("rl:wrong", "WRONGPASS"), ("", "NOAUTH"), ("wrong", "WRONGPASS")] {
        fails(Asked::at(DAY, Address::parse(&redis.url(), None, auth).unwrap()), why).await;
    }
    counts(Asked::at(DAY, Address::parse(&redis.url(), None, "rl:pw").unwrap())).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_counts_only_where_the_name_does_not() {
    let files = Files::new("redis.example");
    let redis = Tunnel::start(&files, &[]).await;
    fails(at(&redis, &files.tls()), "not valid for name").await;
    let any_name = Tls {
        name: NameCheck::Skip,
        ..files.tls()
    };
    counts(at(&redis, &any_name)).await;
}

#[tokio::test]
async fn a_stranger_is_not_trusted_whatever_its_name() {
    let files = Files::new("redis.example");
    let redis = Tunnel::start(&files, &[]).await;
    let others = Files::new("redis.example");
    let stranger = Tls {
        authorities: Some(others.path("ca.crt")),
        name: NameCheck::Skip,
        ..files.tls()
    };
    fails(at(&redis, &stranger), "invalid peer certificate").await;
    let only_the_system = Tls {
        authorities: None,
        ..stranger
    };
    fails(at(&redis, &only_the_system), "invalid peer certificate").await;
}

#[tokio::test]
async fn no_client_certificate_and_no_files_are_told() {
    let files = Files::new("redis.example");
    let redis = Tunnel::start(&files, &[]).await;
    let without = Tls {
        pair: None,
        name: NameCheck::Skip,
        ..files.tls()
    };
    fails(at(&redis, &without), "").await;
    let missing = Tls {
        authorities: Some(files.path("missing.crt")),
        ..files.tls()
    };
    fails(at(&redis, &missing), "missing.crt").await;
}

#[tokio::test]
async fn rotated_files_are_used_within_seconds_and_no_call_fails() {
    let files = Files::new("localhost");
    let redis = Tunnel::start(&files, &[]).await;
    let url = format!("localhost:{}", redis.port);
    let asked = asked(&url, "", &files.tls()).connected().await;
    let made = async || asked.metric("ratelimit.redis_pool.cx_total");
    eventually("both are made", async || made().await == 2).await;
    // The same authority goes on at the other side: our pair alone is new.
    let client = files.path("client.crt");
    let text = std::fs::read_to_string(&client).unwrap();
    std::fs::write(&client, format!("{text}\n")).unwrap();
    let asking = [Asking(&[("key", "x")], Hits::Peek)];
    eventually("both are made anew", async || {
        asked.ask(1_000_000, &asking).await.unwrap();
        made().await == 4
    })
    .await;
    asked.end().await;
}

#[tokio::test]
async fn rotated_files_are_used_from_the_next_connection_on() {
    let files = Files::new("localhost");
    let redis = Tunnel::start(&files, &[]).await;
    let asked = asked(&format!("localhost:{}", redis.port), "", &files.tls())
        .connected()
        .await;
    files.issue("localhost");
    // The old authority is not the new one's: what was read before would not do.
    let _redis = redis.restart(&files).await;
    eventually("connected anew", async || {
        asked.metric("ratelimit.redis_pool.cx_total") >= 4
    })
    .await;
    counts(asked).await;
}
