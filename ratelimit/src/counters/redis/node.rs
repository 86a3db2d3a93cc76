//! The connections to one server, used in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use redis::{Pipeline, Value};
use server::task::Tasks;

use super::RedisSettings;
use super::link::{Link, Target};
use super::standing::Standing;
use crate::counters::StoreError;

/// A server and the connections to it.
#[derive(Debug)]
pub(super) struct Node {
    links: Box<[Arc<Link>]>,
    next: AtomicUsize,
}

impl Node {
    /// Starts connecting, in tasks of its own, and returns at once.
    pub(super) fn start(target: &Target, settings: &RedisSettings, standing: &Arc<Standing>, tasks: &Tasks) -> Self {
        let link = |number| {
            let link = Link::new(target.clone(), settings.connect_timeout, standing.clone());
            let link = Arc::new(link.numbered(number));
            let kept = link.clone();
            tasks.keep_running("redis connection", move || kept.clone().keep_connected());
            link
        };
        Self {
            links: (0..settings.connections.get()).map(link).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Whether there is a connection, as far as is known.
    pub(super) fn is_connected(&self) -> bool {
        self.links.iter().any(|link| link.is_connected())
    }

    /// Sends commands over the next connection in turn and waits for their replies until `deadline`.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]; at once if there is no connection.
    pub(super) async fn call(&self, pipeline: Pipeline, deadline: Instant) -> Result<Vec<Value>, StoreError> {
        self.link()?.call(pipeline, deadline).await
    }

    /// Closes its connections for good.
    pub(super) fn retire(&self) {
        self.links.iter().for_each(|link| link.retire());
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
