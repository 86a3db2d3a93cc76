//! Counters in one Redis server, shared by a fleet and with servers of envoyproxy/ratelimit.
//!
//! A plan becomes one pipeline (`commands`) on one of a few multiplexed connections (`link`), which keep themselves
//! alive. No call ever waits for a connection to be made: while there is none, calls fail at once.

mod address;
mod commands;
mod instance;
mod link;

mod standing;
mod tls;

use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ratelimit_core::Plan;
use server::health::Component;
use server::task::Tasks;

pub use self::address::Address;
use self::address::Place;
use self::commands::Expiry;
pub use self::instance::{AddressError, SocketType};
use self::link::Link;
pub use self::standing::HealthPolicy;
use self::standing::Standing;
pub use self::tls::{NameCheck, Tls};
use super::{Readings, StoreError};
use crate::metrics::RedisMeters;

/// How to use a Redis server.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where it is.
    pub address: Address,
    /// Connections to it. Each carries many calls at once, so a few are enough.
    pub connections: NonZeroUsize,
    /// For making a connection, the first answer included.
    pub connect_timeout: Duration,
    /// See `EXPIRATION_JITTER_MAX_SECONDS`.
    pub expiry_jitter_max_secs: u64,
    /// When health follows the connections.
    pub health: HealthPolicy,
}

/// The store.
#[derive(Debug)]
pub struct Redis {
    links: Box<[Arc<Link>]>,
    next: AtomicUsize,
    expiry: Expiry<RandomState>,
}

impl Redis {
    /// Starts connecting, in tasks of its own, and returns at once.
    #[must_use]
    pub fn start(settings: &RedisSettings, meters: RedisMeters, health: Component, tasks: &Tasks) -> Self {
        let standing = Arc::new(Standing::new(settings.health, meters, health));
        let Place::Server(server) = settings.address.place();
        let link = |_number| {
            let link = Arc::new(Link::new(server.clone(), settings.connect_timeout, standing.clone()));
            let kept = link.clone();
            tasks.keep_running("redis connection", move || kept.clone().keep_connected());
            link
        };
        Self {
            links: (0..settings.connections.get()).map(link).collect(),
            next: AtomicUsize::new(0),
            expiry: Expiry::new(settings.expiry_jitter_max_secs, RandomState::new()),
        }
    }

    /// Carries out `plan` in one round trip; in none if it charges nothing.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]; never [`StoreError::Full`].
    pub async fn apply(&self, plan: &Plan<'_>, deadline: Instant) -> Result<Readings, StoreError> {
        if plan.charges().next().is_none() {
            return Ok(Readings::new());
        }
        let pipeline = commands::pipeline(plan, &self.expiry);
        let replies = self.link()?.call(pipeline, deadline).await?;
        commands::readings(plan, replies)
    }

    /// The next link in turn that has a connection, or any.
    fn link(&self) -> Result<&Link, StoreError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.links.len().max(1);
        let in_turn = (0..count).filter_map(|step| self.links.get(turn.wrapping_add(step) % count));
        let mut links = in_turn.map(Arc::as_ref);
        let first = links.clone().next();
        let found = links.find(|link| link.is_connected()).or(first);
        found.ok_or_else(|| StoreError::Unavailable("no connections are configured".to_owned()))
    }
}
