//! Peers that hold back, flood or cancel, spoken to in raw HTTP/2 frames (RFC 9113), and what they cost us.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use server::listen::{Address, Limits, Listener, Protocol, Server};
use server::shutdown::{Shutdown, Timing};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Frame types.
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// A server on a Unix socket or a TCP port that answers `GET /` and echoes the length of `POST /`.
struct Running {
    address: Address,
    serving: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn start(address: Option<Address>, protocol: Protocol, limits: Limits) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let address = address.unwrap_or_else(|| Address::Unix(directory.path().join("s.sock")));
    let listener = Listener::bind(&address).await.unwrap();
    let address = listener.local_address().unwrap();
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/", post(|body: String| async move { body.len().to_string() }));
    let server = Server::new(listener, protocol).with_limits(limits);
    #[expect(clippy::disallowed_methods, reason = "aborted when the test drops it")]
    let serving = tokio::spawn(server.serve(router, Shutdown::new(Timing::default())));
    Running {
        address,
        serving,
        _directory: directory,
    }
}

fn impatient() -> Limits {
    Limits {
        handshake: Duration::from_millis(50),
        ..Limits::default()
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A whole `GET /` request: HPACK's static entries and `:authority: x`.
fn get_request(stream: u32) -> Vec<u8> {
    frame(HEADERS, 0x5, stream, &[0x82, 0x86, 0x84, 0x41, 0x01, b'x'])
}

/// Kinds and streams of the frames that come until `last`, or until the end.
async fn frames_until(stream: &mut (impl AsyncReadExt + Unpin), last: (u8, u32)) -> Vec<(u8, u32)> {
    let mut seen = Vec::new();
    let mut head = [0; 9];
    while seen.last() != Some(&last) && stream.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        seen.push((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]])));
    }
    seen
}

async fn connect(running: &Running) -> UnixStream {
    let path = running.address.to_string();
    UnixStream::connect(path.strip_prefix("unix:").unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_peer_that_stops_within_the_preface_is_shown_the_door() {
    for protocol in [Protocol::Grpc, Protocol::Http] {
        for sent in [&PREFACE[..0], &PREFACE[..1], &PREFACE[..23], b"GET / HT"] {
            let running = start(None, protocol, impatient()).await;
            let mut peer = connect(&running).await;
            peer.write_all(sent).await.unwrap();
            let mut rest = Vec::new();
            let ended = tokio::time::timeout(Duration::from_secs(5), peer.read_to_end(&mut rest)).await;
            assert!(ended.is_ok(), "{protocol:?} still waits after {sent:?}");
        }
    }
}

#[tokio::test]
async fn a_gateway_that_cancels_many_requests_at_once_keeps_its_connection() {
    let running = start(None, Protocol::Grpc, Limits::default()).await;
    let mut peer = connect(&running).await;
    let mut burst = PREFACE.to_vec();
    burst.extend(frame(SETTINGS, 0, 0, &[]));
    for stream in (1..2_000).step_by(2) {
        burst.extend(get_request(stream));
        burst.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    burst.extend(get_request(2_001));
    peer.write_all(&burst).await.unwrap();
    let seen = frames_until(&mut peer, (HEADERS, 2_001)).await;
    assert_eq!(seen.last(), Some(&(HEADERS, 2_001)), "the last request is answered");
    assert!(seen.iter().all(|(kind, _)| *kind != GOAWAY), "{seen:?}");
}

#[tokio::test]
async fn an_old_connection_gets_a_goaway_frame() {
    let limits = Limits {
        age_max: Duration::from_millis(20),
        ..Limits::default()
    };
    let running = start(None, Protocol::Grpc, limits).await;
    let mut peer = connect(&running).await;
    peer.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat())
        .await
        .unwrap();
    let seen = frames_until(&mut peer, (GOAWAY, 0)).await;
    assert_eq!(seen.last(), Some(&(GOAWAY, 0)), "{seen:?}");
}

#[tokio::test]
async fn headers_without_end_do_not_fill_the_memory() {
    let running = start(None, Protocol::Grpc, Limits::default()).await;
    let mut peer = connect(&running).await;
    // A literal header field that announces more than comes, continued for ever (CVE-2024-27316 and its kin).
    let piece = vec![0x40; 16_384];
    peer.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(HEADERS, 0, 1, &[0x82])].concat())
        .await
        .unwrap();
    let continued = frame(CONTINUATION, 0, 1, &piece);
    let mut sent = 0;
    while peer.write_all(&continued).await.is_ok() {
        sent += continued.len();
        assert!(sent < 64 << 20, "the server still reads after {sent} bytes");
    }
}

#[tokio::test]
async fn a_request_may_have_96_kib_of_headers_and_a_body_of_several_windows() {
    let running = start(Some(Address::tcp("127.0.0.1", 0)), Protocol::Grpc, Limits::default()).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let url = format!("http://{}/", running.address);
    let headers = client
        .get(&url)
        .header("x-large", "v".repeat(96 * 1024))
        .send()
        .await
        .unwrap();
    assert_eq!(headers.text().await.unwrap(), "hello");
    let body = client.post(&url).body("b".repeat(1_900_000)).send().await.unwrap();
    assert_eq!(body.text().await.unwrap(), "1900000");
}

#[tokio::test]
async fn an_http_1_request_may_have_as_many_headers_as_envoy_forwards() {
    let running = start(Some(Address::tcp("127.0.0.1", 0)), Protocol::Http, Limits::default()).await;
    let mut peer = TcpStream::connect(running.address.to_string()).await.unwrap();
    let headers: Vec<_> = (0..150).map(|n| format!("x-{n}: v\r\n")).collect();
    let request = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}\r\n",
        headers.concat()
    );
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    peer.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
