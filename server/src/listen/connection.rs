//! The life of one connection: a handshake and the first bytes under a deadline, HTTP until the peer leaves, the connection is old or the
//! process ends, then GOAWAY and a bounded wait for what is in flight.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::time::timeout;
use tower::Service;

use super::BodyError;
use super::io::{Plain, Stream};
use super::opening::{Opened, open};
use super::tls::{ReloadingTls, TlsError};
use crate::shutdown::Shutdown;

/// Headers of an HTTP/1.1 request; what Envoy lets through by default (100) and what it adds.
const HEADERS_MAX: usize = 256;
/// Bytes that a request may send ahead of being read: a message of Envoy's, body included, rarely needs a second window.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for all requests of a connection. Fixed: sizes found by measuring cost a ping per burst of small messages.
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// HTTP/2 only, as gRPC wants.
    Grpc,
    /// HTTP/1.1, or HTTP/2 when the peer starts it.
    Http,
}

/// Bounds of a listener and of each of its connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections at a time; further ones wait in the system's backlog.
    pub connections_max: usize,
    /// Concurrent requests per HTTP/2 connection. Envoy opens one connection per worker thread, so this is generous.
    pub streams_max: u32,
    /// From accept to a finished TLS handshake and the bytes that tell HTTP/2 from HTTP/1.1; and for an HTTP/1.1 head.
    pub handshake: Duration,
    /// Bytes of all headers of a request. Envoy forwards up to 60 KiB of a client's and adds its own.
    pub header_bytes_max: u32,
    /// After this time, give or take a tenth, the connection is told to go away.
    pub age_max: Duration,
    /// How long after that requests in flight may take.
    pub age_grace: Duration,
    /// Silence after which the peer is pinged; as long again without an answer ends the connection.
    pub keep_alive: Duration,
}

impl Default for Limits {
    /// 10,000 connections of 10,000 streams, 10 s handshakes, 128 KiB of headers, a day and an hour of age, 20 s pings.
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            streams_max: 10_000,
            handshake: Duration::from_secs(10),
            header_bytes_max: 128 * 1024,
            age_max: Duration::from_secs(24 * 60 * 60),
            age_grace: Duration::from_secs(60 * 60),
            keep_alive: Duration::from_secs(20),
        }
    }
}

/// An accepted connection, before its handshake.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) plain: Plain,
    pub(super) tls: Option<ReloadingTls>,
    pub(super) protocol: Protocol,
    pub(super) limits: Limits,
}

impl Connection {
    /// Serves the connection to its end. Not cancel-safe: dropping it drops the requests in flight.
    pub(super) async fn run<S, B>(self, service: S, shutdown: Shutdown)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let Self {
            plain,
            tls,
            protocol,
            limits,
        } = self;
        let stream = match timeout(limits.handshake, handshake(plain, tls)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "a handshake failed"),
            Err(_elapsed) => return tracing::debug!("a handshake took too long"),
        };
        let http = http(protocol, &limits);
        let mut serving = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)));
        let grace = tokio::select! {
            ended = serving.as_mut() => return log_end(ended),
            () = tokio::time::sleep(with_jitter(limits.age_max)) => limits.age_grace,
            () = shutdown.closing() => shutdown.drain(),
        };
        serving.as_mut().graceful_shutdown();
        // A connection that is merely old must still end when the process does.
        let cut_short = async {
            shutdown.closing().await;
            tokio::time::sleep(shutdown.drain()).await;
        };
        tokio::select! {
            ended = timeout(grace, serving) => match ended {
                Ok(ended) => log_end(ended),
                Err(_elapsed) => tracing::debug!("a connection outlived its grace"),
            },
            () = cut_short => {}
        }
    }
}

async fn handshake(plain: Plain, tls: Option<ReloadingTls>) -> Result<Opened<Stream>, TlsError> {
    let stream = match tls {
        Some(tls) => Stream::Tls(Box::new(tls.accept(plain).await?)),
        None => Stream::Plain(plain),
    };
    open(stream).await.map_err(TlsError::Connection)
}

fn http(protocol: Protocol, limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake)
        .max_headers(HEADERS_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(limits.keep_alive)
        .keep_alive_timeout(limits.keep_alive)
        .max_concurrent_streams(limits.streams_max)
        // A gateway whose deadline is shorter than a stall of ours cancels many requests at once, before we have looked
        // at any. By default 20 of them count as an attack and cost the whole connection.
        .max_pending_accept_reset_streams(usize::try_from(limits.streams_max).unwrap_or(usize::MAX))
        .max_header_list_size(limits.header_bytes_max);
    match protocol {
        Protocol::Grpc => http.http2_only(),
        Protocol::Http => http,
    }
}

/// Connections end in many ways that are the peer's business.
fn log_end(ended: Result<(), BodyError>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// `age` give or take a tenth, so that connections opened together do not end together.
fn with_jitter(age: Duration) -> Duration {
    let per_mille = 900 + u32::try_from(RandomState::new().hash_one(age) % 201).unwrap_or(100);
    (age / 1_000).saturating_mul(per_mille)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth() {
        let age = Duration::from_secs(1_000);
        for _ in 0..100 {
            let drawn = with_jitter(age);
            assert!(
                drawn >= Duration::from_secs(900) && drawn <= Duration::from_secs(1_100),
                "{drawn:?}"
            );
        }
    }
}
