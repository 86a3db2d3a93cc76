//! The sink that pushes lines to a statsd server or a `DogStatsD` agent, over TCP or UDP.
//!
//! Two halves in one task: one turns samples into lines in a bounded queue, the other sends them and connects again when it
//! must. A server that is away costs memory up to the queue's bound and one warning a minute; lines that found no room
//! are dropped and counted, and the counts are statistics themselves. Nothing of it can hold up a request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::dogstatsd::Mogrifiers;
use super::flush::{Feed, Outlet, Pace, Times};
use super::line::{self, Dialect};
use super::link::{Link, Protocol};
use super::queue::{Next, Piece, Queue};
use super::sample::{Sample, Source};
use super::tags::Tags;

/// Between two warnings about the same server being away.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);
/// For what is left when the process ends.
const LAST_SEND_MAX: Duration = Duration::from_secs(2);

/// Lines that were dropped: no room, or the connection broke under them.
const LINES_DROPPED: &str = "ratelimit.statistics.lines_dropped";
/// Connections that could not be made or broke.
const LINK_FAILURES: &str = "ratelimit.statistics.link_failures";

/// Where and how lines go.
#[derive(Clone, Debug)]
pub struct Target {
    /// `host:port`, looked up at each connection.
    pub address: String,
    /// How they travel.
    pub protocol: Protocol,
    /// What they look like.
    pub format: Format,
}

impl Target {
    /// A target by host, which may be an IPv6 address with or without brackets, and port.
    #[must_use]
    pub fn new(host: &str, port: u16, protocol: Protocol, format: Format) -> Self {
        let is_bare_ipv6 = host.contains(':') && !host.starts_with('[');
        let address = if is_bare_ipv6 {
            format!("[{host}]:{port}")
        } else {
            format!("{host}:{port}")
        };
        Self {
            address,
            protocol,
            format,
        }
    }
}

/// What lines look like.
#[derive(Clone, Debug)]
pub enum Format {
    /// Tags in names.
    Statsd,
    /// Tags of their own, names rewritten.
    DogStatsd(Mogrifiers),
}

/// A sink that has not started.
#[derive(Debug)]
pub struct StatsdSink {
    feed: Feed,
    target: Target,
    reconnect: Duration,
    shared: Arc<Shared>,
}

/// What the two halves share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    sealed: Notify,
    lines_dropped: Arc<AtomicU64>,
    link_failures: Arc<AtomicU64>,
}

impl StatsdSink {
    /// A sink for what `source` says, and the way to record times in it.
    #[must_use]
    pub fn new(target: Target, source: Source, common: Tags, pace: Pace) -> (Self, Times) {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue::new(target.protocol.piece_bytes_max())),
            sealed: Notify::new(),
            lines_dropped: Arc::default(),
            link_failures: Arc::default(),
        });
        let source = source
            .with_counter(LINES_DROPPED, Arc::clone(&shared.lines_dropped))
            .with_counter(LINK_FAILURES, Arc::clone(&shared.link_failures));
        let (feed, times) = Feed::new(source, common, pace);
        let reconnect = pace.reconnect;
        (
            Self {
                feed,
                target,
                reconnect,
                shared,
            },
            times,
        )
    }

    /// Pushes until `stop`, then once more, for at most two seconds. Not cancel-safe: what waits is lost.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self {
            feed,
            target,
            reconnect,
            shared,
        } = self;
        let Target {
            address,
            protocol,
            format,
        } = target;
        let mut lines = Lines {
            shared: &shared,
            format,
            line: Vec::new(),
        };
        let sender = Sender {
            shared: &shared,
            address,
            protocol,
            reconnect,
            link: None,
            warned: None,
        };
        let mut sending = std::pin::pin!(sender.run());
        tokio::select! {
            () = feed.run(&mut lines, stop) => {}
            () = &mut sending => {}
        }
        shared.queue.lock().close();
        shared.sealed.notify_one();
        if timeout(LAST_SEND_MAX, sending).await.is_err() {
            tracing::warn!("the last statistics could not be sent before the end");
        }
    }
}

/// The half that writes lines.
struct Lines<'s> {
    shared: &'s Shared,
    format: Format,
    line: Vec<u8>,
}

impl Outlet for Lines<'_> {
    fn take(&mut self, sample: &Sample<'_>) {
        self.line.clear();
        match &self.format {
            Format::Statsd => line::write(&mut self.line, Dialect::Statsd, sample),
            Format::DogStatsd(mogrifiers) => {
                let mut name = String::new();
                line::write(&mut self.line, Dialect::DogStatsd, &mogrifiers.apply(sample, &mut name));
            }
        }
        if self.shared.queue.lock().push(&self.line).is_err() {
            self.shared.lines_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn send(&mut self) {
        self.shared.queue.lock().seal();
        self.shared.sealed.notify_one();
    }
}

/// The half that sends them.
struct Sender<'s> {
    shared: &'s Shared,
    address: String,
    protocol: Protocol,
    reconnect: Duration,
    link: Option<Link>,
    warned: Option<Instant>,
}

impl Sender<'_> {
    /// Sends pieces until the queue is closed and empty.
    async fn run(mut self) {
        loop {
            let next = self.shared.queue.lock().take_next();
            match next {
                Next::Piece(piece) => self.deliver(piece).await,
                Next::Wait => self.shared.sealed.notified().await,
                Next::End => return,
            }
        }
    }

    /// A piece is sent at most once. One that breaks on the way is dropped: sent again, it would count twice.
    async fn deliver(&mut self, piece: Piece) {
        let mut link = self.connected().await;
        match link.send(&piece.bytes).await {
            Ok(()) => self.link = Some(link),
            Err(error) => {
                self.shared.lines_dropped.fetch_add(piece.lines, Ordering::Relaxed);
                self.failed(&error);
            }
        }
    }

    /// The link, opened again until it holds.
    async fn connected(&mut self) -> Link {
        if let Some(link) = self.link.take().filter(|link| !link.is_closed()) {
            return link;
        }
        loop {
            match Link::open(self.protocol, &self.address).await {
                Ok(link) => {
                    self.opened();
                    return link;
                }
                Err(error) => self.failed(&error),
            }
            sleep(self.reconnect).await;
        }
    }

    fn opened(&mut self) {
        if self.warned.take().is_some() {
            let lines_dropped = self.shared.lines_dropped.load(Ordering::Relaxed);
            tracing::info!(address = self.address, lines_dropped, "statistics are sent again");
        }
    }

    fn failed(&mut self, error: &std::io::Error) {
        self.shared.link_failures.fetch_add(1, Ordering::Relaxed);
        let now = server::clock::monotonic_now();
        if self
            .warned
            .is_none_or(|at| now.saturating_duration_since(at) >= WARNING_INTERVAL)
        {
            self.warned = Some(now);
            tracing::warn!(address = self.address, %error, "cannot send statistics; will try again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_hosts_are_bracketed() {
        for (host, address) in [
            ("::1", "[::1]:8125"),
            ("[::1]", "[::1]:8125"),
            ("a.example", "a.example:8125"),
        ] {
            assert_eq!(Target::new(host, 8125, Protocol::Tcp, Format::Statsd).address, address);
        }
    }
}
