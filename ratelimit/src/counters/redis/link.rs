//! One connection to Redis that many calls share and that replaces itself.
//!
//! A task of its own ([`Link::keep_connected`]) connects, drives the connection and finds out when it is dead: the
//! driver ends, a reply stays away for [`STALLED_AFTER`], or the server turned out to be a replica. Then it fails
//! everything in flight at once and connects anew. Calls only ever use the connection that is there.
//!
//! A call whose caller has gone (deadline, cancelled stream) leaves its pending reply with that task and keeps its
//! slot, so that a server that does not answer meets a bounded queue: [`IN_FLIGHT_MAX`] calls, then
//! [`StoreError::Busy`] until the connection is replaced.

use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ErrorKind, Pipeline, RedisResult, ServerErrorKind, Value};
use server::Snapshot;
use server::clock::monotonic_now;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::instance::Server;
use super::open::{Driver, OpenError, Role, open};
use super::sentinel::Master;
use super::standing::Standing;
use super::tls::Material;
use crate::counters::StoreError;

/// Calls that wait for a reply on one connection.
pub(super) const IN_FLIGHT_MAX: usize = 4096;

/// A connection on which a reply is this late is taken for dead. Far above any deadline of a rate limit call, far below
/// what an operator would call an outage.
const STALLED_AFTER: Duration = Duration::from_millis(250);

/// Between two pings, which find a dead connection when there are no calls.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// The first and the longest pause between attempts to connect.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Between two links to one node that are made anew for new certificates, so that there always is one.
const TURN: Duration = Duration::from_millis(500);

/// A reply that is being waited for.
type Pending = Pin<Box<dyn Future<Output = RedisResult<Vec<Value>>> + Send>>;

/// A connection and its keeper.
#[derive(Debug)]
pub(super) struct Link {
    target: Target,
    connect_timeout: Duration,
    standing: Arc<Standing>,
    live: Snapshot<Option<Live>>,
    retired: watch::Sender<bool>,
    /// After new certificates were found: links of one node take turns.
    turn: Duration,
}

/// What to connect to.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// This server.
    Server(Server),
    /// Whichever is the master when the connection is made, and no other.
    Master(Master),
}

impl Target {
    fn server(&self) -> Result<Server, OpenError> {
        match self {
            Self::Server(server) => Ok(server.clone()),
            Self::Master(master) => master.current().ok_or_else(|| OpenError::NoMaster(master.problem())),
        }
    }

    /// Told that a connection was lost or not made.
    fn suspect(&self) {
        if let Self::Master(master) = self {
            master.suspect();
        }
    }

    /// Returns once it is another server than this one.
    async fn moved(&self, from: &Server) {
        match self {
            Self::Server(_) => std::future::pending().await,
            Self::Master(master) => master.moved(from).await,
        }
    }

    /// The same; for nobody it never returns.
    async fn moved_from(&self, from: Option<&Server>) {
        match from {
            Some(from) => self.moved(from).await,
            None => std::future::pending().await,
        }
    }

    fn role(&self) -> Role {
        match self {
            Self::Server(_) => Role::Any,
            Self::Master(_) => Role::Master,
        }
    }
}

/// The connection in use.
#[derive(Debug)]
struct Live {
    connection: MultiplexedConnection,
    slots: Arc<Semaphore>,
    abandoned: mpsc::Sender<Abandoned>,
    /// Told when a reply shows that the connection is of no use.
    useless: Arc<Notify>,
}

/// A reply whose caller has gone.
struct Abandoned {
    reply: Pending,
    asked_at: Instant,
}

impl Link {
    pub(super) fn new(target: Target, connect_timeout: Duration, standing: Arc<Standing>) -> Self {
        Self {
            target,
            connect_timeout,
            standing,
            live: Snapshot::new(None),
            retired: watch::Sender::new(false),
            turn: Duration::ZERO,
        }
    }

    /// As the link of this number among those to one node.
    pub(super) fn numbered(self, number: usize) -> Self {
        let turns = u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            turn: TURN.saturating_mul(turns),
            ..self
        }
    }

    /// Ends [`Link::keep_connected`] for good.
    pub(super) fn retire(&self) {
        self.retired.send_replace(true);
    }

    async fn is_retired(&self) {
        // It cannot fail: we hold the sender.
        drop(self.retired.subscribe().wait_for(|retired| *retired).await);
    }

    /// Whether there is a connection, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        self.live.load().is_some()
    }

    /// Sends commands and waits for their replies until `deadline`.
    ///
    /// Cancel-safe: commands that were sent are carried out, their replies dropped.
    pub(super) async fn call(&self, pipeline: Pipeline, deadline: Instant) -> Result<Vec<Value>, StoreError> {
        let live = self.live.load_owned();
        let live = live.as_ref().as_ref().ok_or_else(not_connected)?;
        let mut call = live.start(pipeline)?;
        let Ok(replies) = timeout_at(deadline.into(), call.reply()).await else {
            return Err(StoreError::DeadlineExceeded);
        };
        let replies = replies.map_err(|error| {
            live.useless.notify_one();
            StoreError::Unavailable(error.to_string())
        })?;
        if replies.iter().any(is_from_a_replica) {
            live.useless.notify_one();
        }
        Ok(replies)
    }

    /// Keeps a connection until the link is retired.
    pub(super) async fn keep_connected(self: Arc<Self>) {
        let mut pause = PAUSE_MIN;
        while !*self.retired.borrow() {
            let began = monotonic_now();
            let tried = self.connect_and_use().await;
            // A connection that lasted is followed by a quick attempt; one that is lost right away is not.
            if monotonic_now().saturating_duration_since(began) > self.connect_timeout + PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            self.target.suspect();
            tokio::select! {
                () = sleep(shortened(pause)) => {}
                () = self.is_retired() => {}
                () = self.target.moved_from(tried.as_ref()) => {}
            }
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    /// Returns whom it tried to reach.
    async fn connect_and_use(&self) -> Option<Server> {
        let server = match self.target.server() {
            Ok(server) => server,
            Err(error) => {
                self.standing.refused(&self.target, &error.to_string());
                return None;
            }
        };
        let opening = async {
            let material = match server.tls() {
                Some(tls) => Some(tls.material().await),
                None => None,
            };
            tokio::select! {
                opened = open(&server, self.target.role()) => Ok((material, opened?)),
                () = self.target.moved(&server) => Err(OpenError::NotMaster),
            }
        };
        let opened = timeout(self.connect_timeout, opening).await;
        match opened.unwrap_or_else(|_elapsed| Err(OpenError::TimedOut)) {
            Ok((material, (connection, driver))) => {
                let redis = server.to_string();
                self.standing.made(&redis);
                let why = tokio::select! {
                    why = self.use_up(connection, driver, self.renewed(&server, material)) => why,
                    () = self.target.moved(&server) => "another server is the master now",
                    () = self.is_retired() => "the server left the cluster",
                };
                self.standing.lost(&redis, why);
            }
            Err(error) => self.standing.refused(&self.target, &error.to_string()),
        }
        Some(server)
    }

    /// Returns once there are new certificates and it is our turn.
    async fn renewed(&self, server: &Server, used: Option<Material>) {
        let (Some(tls), Some(used)) = (server.tls(), used) else {
            return std::future::pending().await;
        };
        tls.renewed(&used).await;
        sleep(self.turn).await;
    }

    /// Offers the connection to calls until it is of no use; says why it is not. What is in flight then fails at once,
    /// because `driver` is dropped; but when it is only `renewed`, what is in flight is finished first.
    async fn use_up(
        &self,
        connection: MultiplexedConnection,
        driver: Driver,
        renewed: impl Future<Output = ()>,
    ) -> &'static str {
        let (abandoned, calls_left) = mpsc::channel(IN_FLIGHT_MAX);
        let useless = Arc::new(Notify::new());
        let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
        let _withdrawn = Withdraw(&self.live);
        self.live.store(Some(Live {
            connection: connection.clone(),
            slots: slots.clone(),
            abandoned,
            useless: useless.clone(),
        }));
        let renewing = async {
            renewed.await;
            self.live.store(None);
            let all = u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX);
            drop(timeout(STALLED_AFTER, slots.acquire_many(all)).await);
        };
        tokio::select! {
            () = driver => "the connection was closed",
            () = useless.notified() => "the connection failed",
            () = reply_is_late(connection, calls_left) => "no reply in time",
            () = renewing => "there are new certificates",
        }
    }
}

/// Takes the connection from calls when it is used up, also when the keeper is dropped at shutdown.
struct Withdraw<'l>(&'l Snapshot<Option<Live>>);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        self.0.store(None);
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Master(master) => master.fmt(f),
        }
    }
}

impl Live {
    /// Takes a slot and starts a call. Nothing is sent before it is polled.
    fn start(&self, pipeline: Pipeline) -> Result<Call<'_>, StoreError> {
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Err(StoreError::Busy);
        };
        let mut connection = self.connection.clone();
        let reply = async move {
            let replies = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await;
            drop(slot);
            replies
        };
        Ok(Call {
            live: self,
            asked_at: monotonic_now(),
            pending: Some(Box::pin(reply)),
        })
    }
}

/// A call in flight. Dropped before its reply, it leaves the reply to the keeper.
struct Call<'l> {
    live: &'l Live,
    asked_at: Instant,
    pending: Option<Pending>,
}

impl Call<'_> {
    async fn reply(&mut self) -> RedisResult<Vec<Value>> {
        let Some(pending) = self.pending.as_mut() else {
            return Ok(Vec::new());
        };
        let reply = pending.await;
        self.pending = None;
        reply
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(reply) = self.pending.take() {
            let asked_at = self.asked_at;
            // Room for every slot there is; it fails only when the keeper is gone, and then so is the reply.
            drop(self.live.abandoned.try_send(Abandoned { reply, asked_at }));
        }
    }
}

/// Waits until a ping or an abandoned call got no reply for [`STALLED_AFTER`].
async fn reply_is_late(connection: MultiplexedConnection, mut calls_left: mpsc::Receiver<Abandoned>) {
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting = FuturesUnordered::new();
    loop {
        let abandoned = tokio::select! {
            Some(answered) = waiting.next(), if !waiting.is_empty() => match answered {
                Ok(_reply_or_broken) => continue,
                Err(_elapsed) => return,
            },
            Some(abandoned) = calls_left.recv() => abandoned,
            _tick = pings.tick() => ping(connection.clone()),
        };
        waiting.push(timeout_at((abandoned.asked_at + STALLED_AFTER).into(), abandoned.reply));
    }
}

fn ping(mut connection: MultiplexedConnection) -> Abandoned {
    let reply = async move {
        connection
            .send_packed_command(&Cmd::ping())
            .await
            .map(|reply| vec![reply])
    };
    Abandoned {
        reply: Box::pin(reply),
        asked_at: monotonic_now(),
    }
}

fn not_connected() -> StoreError {
    StoreError::Unavailable("not connected".to_owned())
}

/// A write refused because the server is a replica: its role changed, and connecting anew may find the master.
fn is_from_a_replica(reply: &Value) -> bool {
    let read_only = ErrorKind::Server(ServerErrorKind::ReadOnly);
    matches!(reply, Value::ServerError(error) if error.kind().is_some_and(|kind| ErrorKind::Server(kind) == read_only))
}

/// Half to all of `pause`, so that replicas that lost one server do not come back to it in step.
fn shortened(pause: Duration) -> Duration {
    let per_mille = 500 + u32::try_from(RandomState::new().hash_one(()) % 501).unwrap_or(0);
    (pause / 1_000).saturating_mul(per_mille)
}
