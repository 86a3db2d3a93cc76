//! Counters in Redis, shared by a fleet and with servers of envoyproxy/ratelimit.
//!
//! A plan becomes `commands`. They go to one server (`node`, which a `sentinel` may name) or to the nodes of a
//! `cluster`, in one pipeline a server, over a few multiplexed connections (`link`) that keep themselves alive. No
//! call ever waits for a connection to be made: while there is none, calls fail at once.

mod address;
mod cluster;
mod commands;
mod instance;
mod link;
mod node;
mod open;
mod over_limit;
mod sentinel;
mod slots;
mod standing;
mod tls;

use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ratelimit_core::{Counted, Hits, Plan, Reading, Unit};
use server::health::Component;
use server::task::Tasks;
use smallvec::SmallVec;

pub use self::address::Address;
use self::address::Place;
use self::cluster::Cluster;
use self::commands::{Action, Command, Expiry, Values};
pub use self::instance::{AddressError, SocketType};
use self::link::Target;
use self::node::Node;
use self::over_limit::OverLimit;
use self::sentinel::Master;
pub use self::standing::HealthPolicy;
use self::standing::Standing;
pub use self::tls::{NameCheck, Tls};
use super::{Readings, StoreError};
use crate::metrics::{OverLimitMeters, RedisMeters};

/// How to use a Redis.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// Where it is.
    pub address: Address,
    /// Connections to each server. Each carries many calls at once, so a few are enough.
    pub connections: NonZeroUsize,
    /// For making a connection, the first answer included.
    pub connect_timeout: Duration,
    /// See `EXPIRATION_JITTER_MAX_SECONDS`.
    pub expiry_jitter_max_secs: u64,
    /// When health follows the connections.
    pub health: HealthPolicy,
}

/// What becomes of the other counters of a request when one of them would be over its limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Companions {
    /// They are charged all the same.
    #[default]
    Charge,
    /// They stay where they are (`STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT`). Costs a round trip more, and is exact only
    /// as far as nobody charges in between.
    Spare,
}

/// The store.
#[derive(Debug)]
pub struct Redis {
    main: Connected,
    /// For limits per second, if they are counted elsewhere.
    per_second: Option<Connected>,
    expiry: Expiry<RandomState>,
    over_limit: Option<OverLimit>,
    companions: Companions,
}

/// One Redis and how the connections to it stand.
#[derive(Debug)]
struct Connected {
    topology: Topology,
    standing: Arc<Standing>,
}

/// However many servers it is.
#[derive(Debug)]
enum Topology {
    Node(Node),
    Cluster(Arc<Cluster>),
}

impl Redis {
    /// Starts connecting, in tasks of its own, and returns at once.
    #[must_use]
    pub fn start(settings: &RedisSettings, meters: RedisMeters, health: Component, tasks: &Tasks) -> Self {
        Self {
            main: Connected::start(settings, meters, health, tasks),
            per_second: None,
            expiry: Expiry::new(settings.expiry_jitter_max_secs, RandomState::new()),
            over_limit: None,
            companions: Companions::Charge,
        }
    }

    /// Counts limits per second in another Redis.
    #[must_use]
    pub fn with_per_second(
        self,
        settings: &RedisSettings,
        meters: RedisMeters,
        health: Component,
        tasks: &Tasks,
    ) -> Self {
        Self {
            per_second: Some(Connected::start(settings, meters, health, tasks)),
            ..self
        }
    }

    /// Remembers keys that are over their limit, in about this much memory.
    #[must_use]
    pub fn with_over_limit_memory(self, bytes: usize, meters: OverLimitMeters) -> Self {
        Self {
            over_limit: Some(OverLimit::new(bytes, meters)),
            ..self
        }
    }

    /// Says what becomes of counters beside one that is over.
    #[must_use]
    pub fn with_companions(self, companions: Companions) -> Self {
        Self { companions, ..self }
    }

    /// Returns once every Redis was connected to.
    pub async fn reached(&self) {
        for redis in std::iter::once(&self.main).chain(&self.per_second) {
            redis.standing.reached().await;
        }
    }

    /// Carries out `plan` in one round trip; in none if it charges nothing or is known to be over, in two with
    /// [`Companions::Spare`].
    ///
    /// # Errors
    ///
    /// See [`StoreError`]; never [`StoreError::Full`].
    pub async fn apply(&self, plan: &Plan<'_>, deadline: Instant) -> Result<Readings, StoreError> {
        let known_over = |counted: &Counted<'_>| self.over_limit.as_ref().is_some_and(|memory| memory.knows(counted));
        let asked: SmallVec<[_; 4]> = plan.charges().map(|counted| (counted, known_over(counted))).collect();
        let commands = self.commands(&asked, deadline).await?;
        let mut values = self.run(&commands, deadline).await?.into_iter();
        let mut readings = Readings::new();
        for (counted, known_over) in asked {
            let after = if known_over {
                0
            } else {
                values.next().ok_or_else(missing)?
            };
            if let (Some(memory), false) = (&self.over_limit, known_over) {
                memory.learn(counted, after);
            }
            readings.push(Reading { after, known_over });
        }
        Ok(readings)
    }

    /// What to do to the counters that are not known to be over.
    async fn commands<'p>(
        &self,
        asked: &[(&'p Counted<'p>, bool)],
        deadline: Instant,
    ) -> Result<SmallVec<[Command<'p>; 4]>, StoreError> {
        let unknown = asked
            .iter()
            .filter(|(_, known_over)| !known_over)
            .map(|(counted, _)| *counted);
        let all = |action| {
            unknown
                .clone()
                .map(move |counted| Command { counted, action })
                .collect()
        };
        if self.companions == Companions::Charge {
            return Ok(all(Action::Count));
        }
        if asked.iter().any(|(_, known_over)| *known_over) {
            return Ok(all(Action::Touch));
        }
        let mut commands: SmallVec<[Command<'p>; 4]> = all(Action::Read);
        let held = self.run(&commands, deadline).await?;
        let is_over = |(command, held): (&Command<'_>, u64)| would_be_over(command.counted, held);
        let are_over: SmallVec<[bool; 4]> = commands.iter().zip(held).map(is_over).collect();
        let any = are_over.contains(&true);
        for (command, is_over) in commands.iter_mut().zip(are_over) {
            command.action = if any && !is_over { Action::Touch } else { Action::Count };
        }
        Ok(commands)
    }

    /// Carries out commands, on both servers at once if there are two. When one fails the other is heard out.
    async fn run(&self, commands: &[Command<'_>], deadline: Instant) -> Result<Values, StoreError> {
        let Some(per_second) = &self.per_second else {
            return self.main.run(commands, &self.expiry, deadline).await;
        };
        let is_per_second = |command: &Command<'_>| command.counted.rate.unit == Unit::Second;
        let (fast, slow): (SmallVec<[Command<'_>; 4]>, SmallVec<[Command<'_>; 4]>) =
            commands.iter().copied().partition(is_per_second);
        let running = (
            per_second.run(&fast, &self.expiry, deadline),
            self.main.run(&slow, &self.expiry, deadline),
        );
        let (fast, slow) = futures_util::future::join(running.0, running.1).await;
        let (mut fast, mut slow) = (fast?.into_iter(), slow?.into_iter());
        let in_order = commands.iter().map(|command| {
            let values = if is_per_second(command) { &mut fast } else { &mut slow };
            values.next().ok_or_else(missing)
        });
        in_order.collect()
    }
}

impl Connected {
    fn start(settings: &RedisSettings, meters: RedisMeters, health: Component, tasks: &Tasks) -> Self {
        let standing = Arc::new(Standing::new(settings.health, meters, health));
        let node = |target| Topology::Node(Node::start(&target, settings, &standing, tasks));
        let topology = match settings.address.place() {
            Place::Server(server) => node(Target::Server(server.clone())),
            Place::Sentinels(sentinels) => {
                let master = Master::new(sentinels.clone());
                let followed = master.clone();
                tasks.keep_running("redis sentinels", move || followed.clone().follow());
                node(Target::Master(master))
            }
            Place::Cluster(seeds) => Topology::Cluster(Cluster::start(seeds, settings, &standing, tasks)),
        };
        Self { topology, standing }
    }

    async fn run(
        &self,
        commands: &[Command<'_>],
        expiry: &Expiry<RandomState>,
        deadline: Instant,
    ) -> Result<Values, StoreError> {
        if commands.is_empty() {
            return Ok(Values::new());
        }
        match &self.topology {
            Topology::Node(node) => {
                let replies = node.call(commands::pipeline(commands, expiry), deadline).await?;
                commands::values(commands, &replies)
            }
            Topology::Cluster(cluster) => cluster.run(commands, expiry, deadline).await,
        }
    }
}

fn would_be_over(counted: &Counted<'_>, held: u64) -> bool {
    let limit = u64::from(counted.rate.requests_per_unit());
    match counted.hits {
        Hits::Charge(hits) => held.saturating_add(hits.get()) > limit,
        Hits::Peek => held > limit,
        Hits::Refund(_) => false,
    }
}

fn missing() -> StoreError {
    StoreError::Rejected("a reply is missing".to_owned())
}
