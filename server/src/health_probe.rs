//! Asking a running process for its health, for containers that hold nothing but the process's own binary.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};

use crate::listen::Address;

/// How long the process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How much of the answer is shown.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Why a process is not known to be healthy.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nobody answers there.
    #[error("no answer from {address}: {reason}")]
    NoAnswer {
        /// Where we asked.
        address: Address,
        /// What happened.
        reason: String,
    },
    /// It says that it is unhealthy, and why.
    #[error("{address} answers {status}: {body}")]
    Unhealthy {
        /// Where we asked.
        address: Address,
        /// The status it answered with.
        status: StatusCode,
        /// Its reasons.
        body: String,
    },
}

/// Asks `path` at `address` once; healthy is status 200. An address that listens everywhere is asked on loopback.
///
/// # Errors
/// When there is no answer within two seconds, or another one.
pub async fn probe(address: &Address, path: &str) -> Result<(), ProbeError> {
    let no_answer = |reason: String| ProbeError::NoAnswer {
        address: address.clone(),
        reason,
    };
    let (status, body) = match tokio::time::timeout(ANSWER_WITHIN, ask(address, path)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(no_answer(error.to_string())),
        Err(_elapsed) => return Err(no_answer(format!("nothing within {} s", ANSWER_WITHIN.as_secs()))),
    };
    if status == StatusCode::OK {
        return Ok(());
    }
    Err(ProbeError::Unhealthy {
        address: address.clone(),
        status,
        body,
    })
}

type AskError = Box<dyn std::error::Error + Send + Sync>;

async fn ask(address: &Address, path: &str) -> Result<(StatusCode, String), AskError> {
    match address {
        Address::Tcp { host, port } => {
            let host = match host.as_str() {
                "0.0.0.0" => "127.0.0.1",
                "::" => "::1",
                other => other,
            };
            exchange(TcpStream::connect((host, *port)).await?, path).await
        }
        Address::Unix(socket) => exchange(UnixStream::connect(socket).await?, path).await,
    }
}

async fn exchange<I>(io: I, path: &str) -> Result<(StatusCode, String), AskError>
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await?;
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await?
            .to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    // The connection only moves bytes; the answer is what ends the exchange.
    tokio::select! {
        answer = answer => answer,
        ended = connection => Err(ended.err().map_or_else(|| "the connection closed".into(), Into::into)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;
    use crate::listen::{Listener, Protocol, Server};
    use crate::shutdown::{Shutdown, Timing};

    #[tokio::test]
    async fn tells_healthy_from_unhealthy_from_absent() {
        let shutdown = Shutdown::new(Timing::default());
        let health = Health::new("ratelimit", shutdown.clone());
        let listener = Listener::bind(&Address::tcp("0.0.0.0", 0)).await.unwrap();
        let address = listener.local_address().unwrap();
        let serving = Server::new(listener, Protocol::Http).serve(health.routes(), shutdown.clone());
        let asking = async {
            probe(&address, "/healthcheck").await.unwrap();
            let redis = health.component("redis");
            redis.set_failing("connection refused");
            let unhealthy = probe(&address, "/healthcheck").await.unwrap_err().to_string();
            assert!(unhealthy.ends_with("redis: connection refused\n"), "{unhealthy}");
            shutdown.begin();
        };
        let (ended, (), ()) = tokio::join!(shutdown.clone().run(&[]), serving, asking);
        ended.unwrap();
        let absent = probe(&address, "/healthcheck").await.unwrap_err();
        assert!(matches!(absent, ProbeError::NoAnswer { .. }), "{absent}");
    }
}
