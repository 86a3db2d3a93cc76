//! How the connections to Redis stand: what health, metrics and the log are told when one comes or goes.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use server::clock::monotonic_now;
use server::health::Component;
use server::log::Throttle;
use tokio::sync::watch;

use crate::metrics::RedisMeters;

/// Between two warnings that Redis cannot be reached.
const WARNING_INTERVAL: Duration = Duration::from_secs(30);

/// When health follows the connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HealthPolicy {
    /// Unhealthy until Redis was reached once. Losing it later fails calls, not health: with every replica unhealthy a
    /// gateway has nobody left to ask.
    UntilReached,
    /// Unhealthy whenever there is no connection (`REDIS_HEALTH_CHECK_ACTIVE_CONNECTION`).
    WhileConnected,
}

/// The connections of one store, together.
#[derive(Debug)]
pub(super) struct Standing {
    policy: HealthPolicy,
    meters: RedisMeters,
    health: Component,
    connected: AtomicUsize,
    reached: watch::Sender<bool>,
    warnings: Throttle,
}

impl Standing {
    pub(super) fn new(policy: HealthPolicy, meters: RedisMeters, health: Component) -> Self {
        Self {
            policy,
            meters,
            health,
            connected: AtomicUsize::new(0),
            reached: watch::Sender::new(false),
            warnings: Throttle::new(WARNING_INTERVAL),
        }
    }

    /// Returns once there was a connection.
    pub(super) async fn reached(&self) {
        // It cannot fail: we hold the sender.
        drop(self.reached.subscribe().wait_for(|reached| *reached).await);
    }

    /// A connection was made.
    pub(super) fn made(&self, redis: &str) {
        self.reached.send_replace(true);
        if self.connected.fetch_add(1, Ordering::Relaxed) == 0 {
            tracing::info!(redis, "connected");
        }
        self.meters.connected();
        self.health.set_healthy();
    }

    /// A connection is no more.
    pub(super) fn lost(&self, redis: &str, why: &str) {
        self.meters.disconnected();
        if self.connected.fetch_sub(1, Ordering::Relaxed) == 1 {
            tracing::warn!(redis, why, "lost the last connection, calls fail until it is back");
            self.fail(why);
        } else {
            tracing::info!(redis, why, "lost a connection");
        }
    }

    /// A connection could not be made.
    pub(super) fn refused(&self, redis: &dyn fmt::Display, why: &str) {
        self.meters.connect_failed();
        if self.connected.load(Ordering::Relaxed) > 0 {
            return;
        }
        if let Some(held_back) = self.warnings.admit(monotonic_now()) {
            tracing::warn!(%redis, why, held_back, "cannot connect, calls fail until it is back");
        }
        self.fail(why);
    }

    fn fail(&self, why: &str) {
        let follows = match self.policy {
            HealthPolicy::WhileConnected => true,
            HealthPolicy::UntilReached => !*self.reached.borrow(),
        };
        if follows {
            self.health.set_failing(why);
        }
    }
}
