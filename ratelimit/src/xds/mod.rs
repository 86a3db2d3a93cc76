//! Configuration pushed by a control plane: `CONFIG_TYPE=GRPC_XDS_SOTW`, as Envoy Gateway sets it.
//!
//! [`Client`] keeps a subscription to all [`RateLimitConfig`](proto::xds::RateLimitConfig) resources of a server and
//! hands each push as a whole to a function, which puts it in force or says why not. It must not keep rules itself: what
//! is in force stays so while the server is away, sends nonsense, or is replaced.
//!
//! ```text
//! connection ▶ stream ▶ DiscoveryResponse ─subscription▶ Push ─resource▶ RuleFiles ─(apply)▶ in force, or an error
//!                           DiscoveryRequest ◀─subscription─ ACK or NACK ◀──────────────────────────┘
//! ```
//!
//! A server may have nothing to say for long, and some send not even response headers before the first push: silence
//! is never an error here, and only the connection itself has a deadline.

mod backoff;
mod connection;
mod resource;
mod settings;
mod stream;
mod subscription;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ratelimit_core::source::RuleFile;

pub use settings::{
    Headers, HeadersError, Jitter, MessageLimit, NodeMetadata, PauseSettings, Settings, Target, TargetError, TlsFiles,
};

use backoff::{Backoff, draw};
use connection::Connector;
use stream::{Answers, Apply, Ended, Session};
use subscription::Subscription;

/// The client of one configuration server.
#[derive(Debug)]
pub struct Client {
    settings: Arc<Settings>,
}

impl Client {
    /// A client that has not begun.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: Arc::new(settings),
        }
    }

    /// Follows the server until `shutdown`: every push goes to `apply`, one after the other, off the runtime's workers.
    /// An error of `apply` is the text of the NACK and should name the resource, as [`RuleFile::name`] does; it is
    /// logged here. Returns as soon as `shutdown` does, whatever the server is doing.
    pub async fn run<F>(self, apply: F, shutdown: impl Future<Output = ()>)
    where
        F: Fn(Vec<RuleFile>) -> Result<(), String> + Send + Sync + 'static,
    {
        tokio::select! {
            () = shutdown => tracing::debug!("no longer following the configuration server"),
            () = self.follow(Arc::new(apply)) => {}
        }
    }

    /// One stream after the other, for ever.
    async fn follow(self, apply: Arc<Apply>) {
        let settings = self.settings;
        let mut pauses = Pauses::new(&settings.pauses);
        let mut reports = Reports::new(&settings.server);
        let subscription = Subscription::new(&settings.node_id, settings.node_metadata.pairs());
        let mut session = Session {
            connector: Connector::new(Arc::clone(&settings)),
            answers: Answers::new(subscription, Backoff::of_streams(&settings.pauses), apply),
            settings,
        };
        loop {
            let began = server::clock::monotonic_now();
            let ended = session.run().await;
            reports.ended(&ended);
            if session.answers.subscription.has_accepted() || began.elapsed() > pauses.streams.max() {
                reports.reset();
                pauses.streams.reset();
            }
            let Some(pause) = pauses.after(&ended) else { continue };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = session.connector.renewed() => {}
            }
        }
    }
}

/// When to try again.
#[derive(Debug)]
struct Pauses {
    streams: Backoff,
    connections: Backoff,
}

impl Pauses {
    fn new(settings: &PauseSettings) -> Self {
        Self {
            streams: Backoff::of_streams(settings),
            connections: Backoff::of_connections(settings),
        }
    }

    /// None after a rotation: those come no faster than the files are looked at.
    fn after(&mut self, ended: &Ended) -> Option<Duration> {
        match ended {
            Ended::Renewed => None,
            Ended::Unreachable(_) => Some(self.connections.pause(draw())),
            Ended::Closed | Ended::Failed(_) | Ended::Unread => Some(self.streams.pause(draw())),
        }
    }
}

/// What the log says of streams that ended: each reason once, until it changes or a stream was good.
#[derive(Debug)]
struct Reports {
    server: String,
    last: Option<String>,
}

impl Reports {
    fn new(server: &impl fmt::Display) -> Self {
        Self {
            server: server.to_string(),
            last: None,
        }
    }

    fn reset(&mut self) {
        self.last = None;
    }

    fn ended(&mut self, ended: &Ended) {
        let (server, reason) = (&self.server, ended.to_string());
        if matches!(ended, Ended::Renewed) {
            tracing::info!(%server, "{reason}");
        } else if self.last.as_ref() == Some(&reason) {
            tracing::debug!(%server, %reason, "still without the configuration server; the limits in force stay");
        } else {
            tracing::warn!(%server, %reason, "without the configuration server; the limits in force stay");
            self.last = Some(reason);
        }
    }
}
