//! Listeners over real sockets: draining, certificates that rotate, peers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::{Certificate, Client, Identity};
use server::listen::{Address, Limits, Listener, Protocol, ReloadingTls, Server, TlsSettings};
use server::shutdown::{Shutdown, Timing};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A server under test, with a route that answers, one that panics and one that waits to be released.
struct Running {
    address: String,
    shutdown: Shutdown,
    /// Receives a message when a request has reached `/wait`.
    arrived: mpsc::UnboundedReceiver<()>,
    /// Releases one request in `/wait`.
    release: async_release::Sender,
    serving: JoinHandle<()>,
}

/// One permit per request that may go on.
mod async_release {
    pub(crate) type Sender = std::sync::Arc<tokio::sync::Semaphore>;
}

async fn start(protocol: Protocol, tls: Option<ReloadingTls>, limits: Limits, drain: Duration) -> Running {
    let shutdown = Shutdown::new(Timing {
        drain,
        ..Timing::default()
    });
    let listener = Listener::bind(&Address::tcp("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_address().unwrap().to_string();
    let (arrive, arrived) = mpsc::unbounded_channel();
    let release: async_release::Sender = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let gate = release.clone();
    let wait = move || async move {
        arrive.send(()).unwrap();
        gate.acquire().await.unwrap().forget();
        "released"
    };
    let panics = || async { assert_eq!(1, 2, "on purpose") };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/wait", get(wait))
        .route("/panic", get(panics));
    let server = Server::new(listener, protocol).with_tls(tls).with_limits(limits);
    let (ends, serves) = (shutdown.clone(), shutdown.clone());
    #[expect(clippy::disallowed_methods, reason = "the test owns this task and awaits it")]
    let serving = tokio::spawn(async move {
        let (ended, ()) = tokio::join!(ends.run(&[]), server.serve(router, serves));
        ended.unwrap();
    });
    Running {
        address,
        shutdown,
        arrived,
        release,
        serving,
    }
}

async fn start_http(drain: Duration) -> Running {
    start(Protocol::Http, None, Limits::default(), drain).await
}

fn h2_client() -> Client {
    Client::builder().http2_prior_knowledge().build().unwrap()
}

async fn text(client: &Client, url: &str) -> reqwest::Result<String> {
    client.get(url).send().await?.text().await
}

/// The listener is gone once a new connection is refused.
async fn until_refused(address: &str) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight_and_refuses_the_rest() {
    for client in [Client::new(), h2_client()] {
        let mut running = start_http(Duration::from_secs(30)).await;
        let url = format!("http://{}/wait", running.address);
        let in_flight = async { text(&client, &url).await.unwrap() };
        let drain = async {
            running.arrived.recv().await.unwrap();
            running.shutdown.begin();
            until_refused(&running.address).await;
            running.release.add_permits(1);
        };
        let (answer, ()) = tokio::join!(in_flight, drain);
        assert_eq!(answer, "released");
        drop(client);
        running.serving.await.unwrap();
    }
}

#[tokio::test]
async fn the_drain_deadline_drops_what_is_left() {
    let mut running = start_http(Duration::from_millis(50)).await;
    let client = Client::new();
    let url = format!("http://{}/wait", running.address);
    let stuck = text(&client, &url);
    let drain = async {
        running.arrived.recv().await.unwrap();
        running.shutdown.begin();
    };
    let (answer, ()) = tokio::join!(stuck, drain);
    answer.unwrap_err();
    running.serving.await.unwrap();
}

#[tokio::test]
async fn a_panic_ends_its_request_only() {
    let running = start(Protocol::Grpc, None, Limits::default(), Duration::from_secs(1)).await;
    let client = h2_client();
    let url = format!("http://{}", running.address);
    client.get(format!("{url}/panic")).send().await.unwrap_err();
    assert_eq!(text(&client, &url).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_grpc_listener_does_not_speak_http_1() {
    let running = start(Protocol::Grpc, None, Limits::default(), Duration::from_secs(1)).await;
    Client::new()
        .get(format!("http://{}", running.address))
        .send()
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_silent_peer_is_shown_the_door() {
    let limits = Limits {
        handshake: Duration::from_millis(20),
        ..Limits::default()
    };
    let running = start(Protocol::Grpc, None, limits, Duration::from_secs(1)).await;
    let mut silent = TcpStream::connect(&running.address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0, "closed by the server");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let limits = Limits {
        connections_max: 1,
        handshake: Duration::from_millis(50),
        ..Limits::default()
    };
    let running = start(Protocol::Http, None, limits, Duration::from_secs(1)).await;
    let occupant = TcpStream::connect(&running.address).await.unwrap();
    // Served only after the occupant's handshake time is over.
    assert_eq!(
        text(&Client::new(), &format!("http://{}", running.address))
            .await
            .unwrap(),
        "hello"
    );
    drop(occupant);
}

/// An authority that signs certificates for tests.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate and key for `name`, in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()])
            .unwrap()
            .signed_by(&key, &self.0)
            .unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn trust(&self) -> Certificate {
        Certificate::from_pem(self.0.pem().as_bytes()).unwrap()
    }
}

fn settings(directory: &Path) -> TlsSettings {
    TlsSettings {
        certificate: directory.join("tls.crt"),
        key: directory.join("tls.key"),
        client_ca: None,
        client_name: None,
        protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    }
}

/// Puts new files in place of the old as `mv` does.
fn install(directory: &Path, (certificate, key): &(String, String)) {
    for (name, content) in [("tls.crt", certificate), ("tls.key", key)] {
        let fresh = directory.join("fresh");
        std::fs::write(&fresh, content).unwrap();
        std::fs::rename(&fresh, directory.join(name)).unwrap();
    }
}

/// A new connection by a client that trusts only `authority`.
async fn hello(
    running: &Running,
    authority: &Authority,
    identity: Option<&(String, String)>,
) -> reqwest::Result<String> {
    let mut builder = Client::builder().tls_certs_only([authority.trust()]);
    if let Some((certificate, key)) = identity {
        builder = builder.identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap());
    }
    let port = running.address.rsplit_once(':').unwrap().1;
    text(&builder.build().unwrap(), &format!("https://localhost:{port}")).await
}

/// Asks until the answer is as wanted; the test's own timeout ends it otherwise.
async fn until_ok(running: &Running, authority: &Authority) {
    while hello(running, authority, None).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn new_handshakes_use_rotated_certificates_and_a_bad_pair_keeps_the_old() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (Authority::new(), Authority::new());
    install(directory.path(), &old.issue("localhost"));
    let tls = ReloadingTls::load(settings(directory.path())).unwrap();
    let watched = tls.clone();
    let running = start(Protocol::Http, Some(tls), Limits::default(), Duration::from_secs(1)).await;
    assert_eq!(hello(&running, &old, None).await.unwrap(), "hello");

    install(directory.path(), &new.issue("localhost"));
    tokio::time::timeout(Duration::from_secs(10), until_ok(&running, &new))
        .await
        .unwrap();
    hello(&running, &old, None).await.unwrap_err();

    // A key that does not belong to the certificate.
    let (_, stranger) = old.issue("localhost");
    std::fs::write(directory.path().join("tls.key"), stranger).unwrap();
    let refused = watched.reload().unwrap_err().to_string();
    assert!(refused.contains("tls.key"), "{refused}");
    assert_eq!(hello(&running, &new, None).await.unwrap(), "hello");
}

#[tokio::test]
async fn only_clients_with_the_right_certificate_and_name_come_in() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(), Authority::new());
    install(directory.path(), &ours.issue("localhost"));
    let client_ca = directory.path().join("ca.crt");
    std::fs::write(&client_ca, ours.0.pem()).unwrap();
    let tls = TlsSettings {
        client_ca: Some(client_ca),
        client_name: Some("envoy.internal".to_owned()),
        ..settings(directory.path())
    };
    let tls = ReloadingTls::load(tls).unwrap();
    let running = start(Protocol::Http, Some(tls), Limits::default(), Duration::from_secs(1)).await;

    assert_eq!(
        hello(&running, &ours, Some(&ours.issue("envoy.internal")))
            .await
            .unwrap(),
        "hello"
    );
    hello(&running, &ours, None).await.unwrap_err();
    hello(&running, &ours, Some(&ours.issue("other.internal")))
        .await
        .unwrap_err();
    hello(&running, &ours, Some(&theirs.issue("envoy.internal")))
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_listener_does_not_start_with_bad_files() {
    let directory = tempfile::tempdir().unwrap();
    let missing = ReloadingTls::load(settings(directory.path())).unwrap_err().to_string();
    assert!(missing.contains("tls.crt"), "{missing}");
    let authority = Authority::new();
    install(directory.path(), &(authority.issue("a").0, authority.issue("b").1));
    let mismatch = ReloadingTls::load(settings(directory.path())).unwrap_err().to_string();
    assert!(mismatch.contains("tls.key"), "{mismatch}");
}
