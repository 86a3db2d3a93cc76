//! Where hits are counted. A store carries out a whole plan in one call and answers with one reading for each charge,
//! in plan order.
//!
//! Two stores: [`memory`] for one process, [`redis`] for a fleet. Neither knows limits, modes or replies: what a
//! reading means is the core's business ([`Plan::decide`](ratelimit_core::Plan::decide)), and what an error means to
//! the caller is said in [`crate::wire::status`].

pub mod memory;
pub mod redis;

use std::time::Instant;

use ratelimit_core::{Plan, Reading, UnixTime};
use smallvec::SmallVec;

pub use self::memory::Memory;
pub use self::redis::Redis;

/// One reading for each charge of a plan, in plan order.
pub type Readings = SmallVec<[Reading; 4]>;

/// Why a plan was not, or not wholly, carried out. Charges made before the failure stay made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// No connection to the store, or it broke. The operator of the store has to act; calls recover by themselves.
    #[error("the counter store is unavailable: {0}")]
    Unavailable(String),
    /// The store did not answer in time. It may still count the hits.
    #[error("the counter store did not answer in time")]
    DeadlineExceeded,
    /// As many calls as allowed wait for the store already.
    #[error("too many calls wait for the counter store")]
    Busy,
    /// The memory store holds as many live counters as it may, and this would be one more.
    #[error("the counter store is full")]
    Full,
    /// The store refused a command; this is what it said.
    #[error("{0}")]
    Rejected(String),
}

/// The store of this process.
#[derive(Debug)]
pub enum Counters {
    /// Counters in this process.
    Memory(Memory),
    /// Counters in one Redis server.
    Redis(Redis),
}

impl Counters {
    /// Carries out `plan`, in one round trip at most, by `deadline`.
    ///
    /// Cancel-safe in that nothing is left behind; hits that were already sent are counted.
    ///
    /// # Errors
    ///
    /// See [`StoreError`]. The memory store fails with [`StoreError::Full`] only.
    pub async fn apply(&self, plan: &Plan<'_>, now: UnixTime, deadline: Instant) -> Result<Readings, StoreError> {
        match self {
            Self::Memory(memory) => memory.apply(plan, now),
            Self::Redis(redis) => redis.apply(plan, deadline).await,
        }
    }
}
