//! One stream to the configuration server, from its connection to its end.
//!
//! Carries out what the subscription says; decides nothing about versions. Pauses between streams are the caller's.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proto::xds::{AggregatedDiscoveryServiceClient, Any, DiscoveryRequest, DiscoveryResponse};
use ratelimit_core::source::RuleFile;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use super::backoff::{Backoff, draw};
use super::connection::{ConnectError, Connector, causes};
use super::resource;
use super::settings::Settings;
use super::subscription::{Push, Received, Subscription};

/// Requests that may wait for the server to read them. One a response is written, so more means that it does not read.
const WAITING_REQUESTS: usize = 4;
/// How long a request may wait for that.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

type Requests = mpsc::Sender<DiscoveryRequest>;
type Responses = Streaming<DiscoveryResponse>;

/// Puts a push in force, or says why not.
pub(super) type Apply = dyn Fn(Vec<RuleFile>) -> Result<(), String> + Send + Sync;

/// Why a stream is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// There was no connection.
    Unreachable(ConnectError),
    /// The server ended it in order: it is shutting down, or wants us elsewhere.
    Closed,
    /// The server or the connection failed, or a message was longer than allowed.
    Failed(Status),
    /// The server stopped reading.
    Unread,
    /// We ended it: the certificate files hold something new.
    Renewed,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => error.fmt(f),
            Self::Closed => f.write_str("the server ended the stream"),
            Self::Failed(status) => {
                write!(f, "{:?}: {}", status.code(), status.message())?;
                status
                    .source()
                    .map_or(Ok(()), |source| write!(f, ": {}", causes(source)))
            }
            Self::Unread => write!(f, "the server read nothing for {} s", SEND_DEADLINE.as_secs()),
            Self::Renewed => f.write_str("certificates changed, connecting anew to the configuration server"),
        }
    }
}

/// What outlives a stream.
pub(super) struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) connector: Connector,
    pub(super) answers: Answers,
}

impl Session {
    /// Connects, subscribes and answers pushes until something ends it.
    pub(super) async fn run(&mut self) -> Ended {
        let first = self.answers.subscription.begin();
        let channel = match self.connector.connect().await {
            Ok(channel) => channel,
            Err(error) => return Ended::Unreachable(error),
        };
        tracing::info!(server = %self.settings.server, "connected to the configuration server");
        let (requests, outgoing) = mpsc::channel(WAITING_REQUESTS);
        if let Err(ended) = send(&requests, first).await {
            return ended;
        }
        let mut client =
            AggregatedDiscoveryServiceClient::new(channel).max_decoding_message_size(self.settings.max_message.bytes());
        let mut call = Request::new(ReceiverStream::new(outgoing));
        self.settings.headers.metadata().clone_into(call.metadata_mut());
        // No deadline: the answer begins with the first push, whenever that is.
        let called = tokio::select! {
            called = client.stream_aggregated_resources(call) => called,
            () = self.connector.renewed() => return Ended::Renewed,
        };
        match called {
            Ok(responses) => self.follow(responses.into_inner(), &requests).await,
            Err(status) => Ended::Failed(status),
        }
    }

    async fn follow(&mut self, mut responses: Responses, requests: &Requests) -> Ended {
        let Self { connector, answers, .. } = self;
        let mut renewed = std::pin::pin!(connector.renewed());
        answers.later = None;
        loop {
            let reply = tokio::select! {
                received = responses.message() => match received {
                    Ok(Some(response)) => answers.answer(response).await,
                    Ok(None) => return Ended::Closed,
                    Err(status) => return Ended::Failed(status),
                },
                reply = answers.due() => Some(reply),
                () = &mut renewed => return Ended::Renewed,
            };
            let Some(reply) = reply else { continue };
            if let Err(ended) = send(requests, reply).await {
                return ended;
            }
        }
    }
}

async fn send(requests: &Requests, request: DiscoveryRequest) -> Result<(), Ended> {
    let sent = requests.send_timeout(request, SEND_DEADLINE).await;
    sent.map_err(|unsent| match unsent {
        SendTimeoutError::Timeout(_) => Ended::Unread,
        SendTimeoutError::Closed(_) => Ended::Closed,
    })
}

/// Makes the reply to each response.
pub(super) struct Answers {
    pub(super) subscription: Subscription,
    /// Pauses before a refused push is refused again.
    pub(super) repeats: Backoff,
    pub(super) apply: Arc<Apply>,
    /// The reply that waits for such a pause to end.
    later: Option<(Instant, DiscoveryRequest)>,
}

impl Answers {
    pub(super) fn new(subscription: Subscription, repeats: Backoff, apply: Arc<Apply>) -> Self {
        Self {
            subscription,
            repeats,
            apply,
            later: None,
        }
    }

    /// The reply to make now, if there is one.
    async fn answer(&mut self, response: DiscoveryResponse) -> Option<DiscoveryRequest> {
        // A reply that still waits would repeat a nonce that is no longer the last one.
        self.later = None;
        match self.subscription.receive(response) {
            Received::Push(push) => {
                self.repeats.reset();
                Some(self.attempt(push).await)
            }
            Received::Repeated(reply) => {
                let pause = self.repeats.pause(draw());
                tracing::debug!(?pause, "the refused configuration was pushed again");
                self.later = Instant::now().checked_add(pause).map(|at| (at, *reply));
                None
            }
            Received::Foreign => {
                tracing::warn!("the configuration server sent a type that was not asked for");
                None
            }
        }
    }

    async fn attempt(&mut self, push: Push) -> DiscoveryRequest {
        let (resources, apply) = (push.resources(), Arc::clone(&self.apply));
        let attempt = tokio::task::spawn_blocking(move || put_in_force(&resources, &*apply));
        let version = push.version();
        match attempt.await {
            Ok(Ok(())) => {
                tracing::debug!(version, "the pushed configuration is in force");
                self.subscription.accept(push)
            }
            Ok(Err(error)) => {
                tracing::error!(version, %error, "Error loading new configuration: the push is refused");
                self.subscription.refuse(push, &error)
            }
            Err(panicked) => {
                tracing::error!(version, %panicked, "loading the pushed configuration failed: the push is refused");
                self.subscription
                    .refuse(push, "internal error while loading the configuration")
            }
        }
    }

    /// Waits until the reply that waits is due; for ever if none does. Cancel-safe.
    async fn due(&mut self) -> DiscoveryRequest {
        if let Some((at, _)) = &self.later {
            tokio::time::sleep_until(*at).await;
            if let Some((_, reply)) = self.later.take() {
                return reply;
            }
        }
        std::future::pending().await
    }
}

fn put_in_force(resources: &[Any], apply: &Apply) -> Result<(), String> {
    let decoded = resource::decode(resources).map_err(|error| error.to_string())?;
    for resource in decoded.newer {
        tracing::warn!(
            resource,
            "this resource has fields that this version does not know; they have no effect"
        );
    }
    apply(decoded.files)
}
