//! A Redis Cluster: each command goes to the master of its key, all masters are asked at once.
//!
//! Requests go by the map of slots that is there. A task of its own keeps it: it asks all nodes it is connected to, once
//! a second, and sooner when a node redirects us or is lost, and takes what most of them say. There are connections to
//! replicas too, so that one that becomes a master is reached at once. Redirections are followed by name, to nodes that
//! are connected; no request waits for a connection or a map.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, Value};
use server::Snapshot;
use server::clock::monotonic_now;
use server::log::Throttle;
use server::task::Tasks;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::RedisSettings;
use super::commands::{self, Command, Expiry, Values};
use super::instance::Server;
use super::link::Target;
use super::node::Node;
use super::open::ask_once;
use super::sentinel::most;
use super::slots::{Endpoint, Redirect, RedirectKind, SLOTS, View, slot};
use super::standing::Standing;
use crate::counters::StoreError;

/// How often a command follows a redirection. A slot moves once; two more cover a map that is being mended.
const REDIRECTS_MAX: usize = 3;

/// Between two looks at the map.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The same while a slot has no master that is connected.
const LOOK_INTERVAL_BROKEN: Duration = Duration::from_millis(50);

/// For an answer of a node about the map.
const PATIENCE: Duration = Duration::from_millis(250);

/// Between two warnings that slots cannot be reached.
const WARNING_INTERVAL: Duration = Duration::from_secs(30);

/// Nodes of a Cluster that are taken note of: what its specification recommends at most.
const NODES_MAX: usize = 1_000;

/// A Cluster.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Where to begin, and who we are to every node.
    seeds: Vec<Server>,
    settings: RedisSettings,
    standing: Arc<Standing>,
    tasks: Tasks,
    map: Snapshot<Map>,
    doubt: Notify,
    warnings: Throttle,
}

/// Which node has which slot.
#[derive(Debug, Default)]
struct Map {
    view: View,
    /// By slot; empty before the first look.
    masters: Vec<Option<Arc<Node>>>,
    nodes: HashMap<Endpoint, Arc<Node>>,
}

/// Some commands for one node, and their places among all.
#[derive(Debug)]
struct Batch<'p> {
    node: Arc<Node>,
    commands: SmallVec<[(usize, Command<'p>); 4]>,
    kind: RedirectKind,
}

/// What came of a command.
enum Outcome<'p> {
    Value(u64),
    /// Another node has to be asked.
    Redirected(Command<'p>, Redirect),
}

impl Cluster {
    /// Starts finding out about the Cluster, in a task of its own, and returns at once.
    pub(super) fn start(
        seeds: &[Server],
        settings: &RedisSettings,
        standing: &Arc<Standing>,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let cluster = Arc::new(Self {
            seeds: seeds.to_vec(),
            settings: settings.clone(),
            standing: standing.clone(),
            tasks: tasks.clone(),
            map: Snapshot::new(Map::default()),
            doubt: Notify::new(),
            warnings: Throttle::new(WARNING_INTERVAL),
        });
        let kept = cluster.clone();
        tasks.keep_running("redis cluster", move || kept.clone().follow());
        cluster
    }

    /// Carries out commands, each at its master, all masters at once.
    ///
    /// # Errors
    ///
    /// That of the first command that has one; others may have been carried out.
    pub(super) async fn run<S: std::hash::BuildHasher>(
        &self,
        commands: &[Command<'_>],
        expiry: &Expiry<S>,
        deadline: Instant,
    ) -> Result<Values, StoreError> {
        let answer = self.run_on(&self.map.load_owned(), commands, expiry, deadline).await;
        if matches!(answer, Err(StoreError::Unavailable(_))) {
            self.doubt.notify_one();
        }
        answer
    }

    async fn run_on<S: std::hash::BuildHasher>(
        &self,
        map: &Map,
        commands: &[Command<'_>],
        expiry: &Expiry<S>,
        deadline: Instant,
    ) -> Result<Values, StoreError> {
        let mut values = Values::from_elem(0, commands.len());
        let mut batches = Vec::new();
        for (place, command) in commands.iter().enumerate() {
            add(
                &mut batches,
                map.master(command)?,
                RedirectKind::Moved,
                (place, *command),
            );
        }
        for _redirects in 0..=REDIRECTS_MAX {
            let mut redirected = Vec::new();
            for (place, outcome) in run_all(batches, expiry, deadline).await? {
                match outcome {
                    Outcome::Value(value) => values.get_mut(place).map_or((), |found| *found = value),
                    Outcome::Redirected(command, redirect) => redirected.push((place, command, redirect)),
                }
            }
            if redirected.is_empty() {
                return Ok(values);
            }
            self.doubt.notify_one();
            batches = Vec::new();
            for (place, command, redirect) in redirected {
                add(&mut batches, map.node(&redirect.to)?, redirect.kind, (place, command));
            }
        }
        Err(StoreError::Unavailable("the cluster redirects without end".to_owned()))
    }

    /// Keeps the map, for ever.
    async fn follow(self: Arc<Self>) {
        loop {
            let (view, is_broken) = (self.look().await, self.map.load().is_broken());
            let is_broken = match view {
                Ok(view) => {
                    self.adopt(view);
                    self.map.load().is_broken()
                }
                Err(why) => {
                    self.standing.refused(&"the cluster", &why);
                    is_broken
                }
            };
            self.warn_if(is_broken);
            // Never more often than this, however much is in doubt.
            sleep(LOOK_INTERVAL_BROKEN).await;
            if !is_broken {
                tokio::select! {
                    () = sleep(LOOK_INTERVAL) => {}
                    () = self.doubt.notified() => {}
                }
            }
        }
    }

    fn warn_if(&self, is_broken: bool) {
        if !is_broken {
            return;
        }
        if let Some(held_back) = self.warnings.admit(monotonic_now()) {
            tracing::warn!(
                held_back,
                "no connection to the master of some slots, calls for them fail until it is back"
            );
        }
    }

    /// What most nodes say. Seeds are asked when no node is connected.
    async fn look(&self) -> Result<View, String> {
        let mut question = Cmd::new();
        question.arg("CLUSTER").arg("SLOTS");
        let map = self.map.load_owned();
        let asking = map
            .nodes
            .iter()
            .filter(|(_, node)| node.is_connected())
            .map(|((host, _port), node)| {
                let mut question_alone = Pipeline::new();
                question_alone.add_command(question.clone());
                async move {
                    let answer = node.call(question_alone, monotonic_now() + PATIENCE).await.ok()?;
                    View::read(answer.first()?, host)
                }
            });
        let views: Vec<View> = join_all(asking).await.into_iter().flatten().collect();
        let most_covered = views.iter().map(View::covered).max().unwrap_or(0);
        let best: Vec<_> = views
            .into_iter()
            .filter(|view| view.covered() == most_covered)
            .collect();
        if let Some(view) = most(&best) {
            return Ok(view.clone());
        }
        self.ask_seeds(&question).await
    }

    async fn ask_seeds(&self, question: &Cmd) -> Result<View, String> {
        let asking = self.seeds.iter().map(|seed| async move {
            let answer = ask_once(seed, question, self.settings.connect_timeout).await;
            let answer = answer.map_err(|error| error.to_string())?;
            let view = View::read(&answer, seed.host().unwrap_or_default());
            view.ok_or_else(|| "the answer to CLUSTER SLOTS makes no sense".to_owned())
        });
        let mut why = "there are no addresses".to_owned();
        for answer in join_all(asking).await {
            match answer {
                Ok(view) if !view.ranges.is_empty() => return Ok(view),
                Ok(_nothing) => "no node has slots".clone_into(&mut why),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Puts a view in force: connects to nodes that are new, lets go of those that left.
    fn adopt(&self, view: View) {
        let before = self.map.load_owned();
        if before.view == view {
            return;
        }
        tracing::info!(ranges = view.ranges.len(), "the map of the cluster changed");
        let mut nodes: HashMap<Endpoint, Arc<Node>> = HashMap::new();
        let named = view
            .ranges
            .iter()
            .flat_map(|range| std::iter::once(&range.master).chain(&range.replicas));
        for endpoint in named {
            if nodes.len() < NODES_MAX && !nodes.contains_key(endpoint) {
                let known = before.nodes.get(endpoint).cloned();
                nodes.insert(
                    endpoint.clone(),
                    known.unwrap_or_else(|| Arc::new(self.connect(endpoint))),
                );
            }
        }
        let mut masters = vec![None; usize::from(SLOTS)];
        for range in &view.ranges {
            let places = usize::from(range.first)..=usize::from(range.last);
            for master in masters.get_mut(places).into_iter().flatten() {
                *master = nodes.get(&range.master).cloned();
            }
        }
        for (endpoint, node) in &before.nodes {
            if !nodes.contains_key(endpoint) {
                node.retire();
            }
        }
        self.map.store(Map { view, masters, nodes });
    }

    fn connect(&self, (host, port): &Endpoint) -> Node {
        let anyone = Server::unnamed("");
        let server = self.seeds.first().unwrap_or(&anyone).elsewhere(host, *port);
        Node::start(&Target::Server(server), &self.settings, &self.standing, &self.tasks)
    }
}

impl Map {
    fn master(&self, command: &Command<'_>) -> Result<&Arc<Node>, StoreError> {
        let master = self.masters.get(usize::from(slot(command.key())));
        let nobody = || StoreError::Unavailable("no node is known for the key".to_owned());
        master.and_then(Option::as_ref).ok_or_else(nobody)
    }

    fn node(&self, endpoint: &Endpoint) -> Result<&Arc<Node>, StoreError> {
        let unknown = || StoreError::Unavailable("the key moved to a node that is not connected yet".to_owned());
        self.nodes.get(endpoint).ok_or_else(unknown)
    }

    /// Whether a slot has no master that is connected.
    fn is_broken(&self) -> bool {
        let is_reached = |endpoint: &Endpoint| self.nodes.get(endpoint).is_some_and(|node| node.is_connected());
        self.view.covered() < usize::from(SLOTS) || !self.view.ranges.iter().all(|range| is_reached(&range.master))
    }
}

/// Adds a command to the batch of its node.
fn add<'p>(batches: &mut Vec<Batch<'p>>, node: &Arc<Node>, kind: RedirectKind, command: (usize, Command<'p>)) {
    let is_its = |batch: &&mut Batch<'p>| Arc::ptr_eq(&batch.node, node) && batch.kind == kind;
    if let Some(batch) = batches.iter_mut().find(is_its) {
        batch.commands.push(command);
        return;
    }
    batches.push(Batch {
        node: node.clone(),
        commands: SmallVec::from_iter([command]),
        kind,
    });
}

/// Runs all batches at once. Waits for all of them, also when one fails: a batch that was sent is counted anyway.
async fn run_all<'p, S: std::hash::BuildHasher>(
    batches: Vec<Batch<'p>>,
    expiry: &Expiry<S>,
    deadline: Instant,
) -> Result<Vec<(usize, Outcome<'p>)>, StoreError> {
    let running = batches.into_iter().map(|batch| batch.run(expiry, deadline));
    let mut outcomes = Vec::new();
    for outcome in join_all(running).await {
        outcomes.extend(outcome?);
    }
    Ok(outcomes)
}

impl<'p> Batch<'p> {
    async fn run<S: std::hash::BuildHasher>(
        self,
        expiry: &Expiry<S>,
        deadline: Instant,
    ) -> Result<Vec<(usize, Outcome<'p>)>, StoreError> {
        let replies = self.node.call(self.pipeline(expiry), deadline).await?;
        let mut rest = replies.as_slice();
        let outcomes = self.commands.iter().map(|(place, command)| {
            let replies = self.replies(&mut rest, command);
            // Of a command's replies none or all redirect, unless its key moved in between; the second then is an error.
            let outcome = match Redirect::read(replies.first()) {
                Some(redirect) => Outcome::Redirected(*command, redirect),
                None => Outcome::Value(command.value(&replies)?),
            };
            Ok((*place, outcome))
        });
        outcomes.collect()
    }

    fn pipeline<S: std::hash::BuildHasher>(&self, expiry: &Expiry<S>) -> Pipeline {
        let mut pipeline = Pipeline::new();
        for (_place, command) in &self.commands {
            command.append(&mut pipeline, expiry);
        }
        match self.kind {
            RedirectKind::Moved => pipeline,
            RedirectKind::Ask => asking(&pipeline),
        }
    }

    /// The replies to one command; what is said to `ASKING` does not matter.
    fn replies(&self, rest: &mut &[Value], command: &Command<'p>) -> Vec<Value> {
        match self.kind {
            RedirectKind::Moved => commands::take(rest, command.replies()).to_vec(),
            RedirectKind::Ask => {
                let taken = commands::take(rest, command.replies().saturating_mul(2));
                taken.iter().skip(1).step_by(2).cloned().collect()
            }
        }
    }
}

/// The same commands, each allowed at a node that does not have its slot yet.
fn asking(pipeline: &Pipeline) -> Pipeline {
    let mut asking = Pipeline::new();
    for command in pipeline.cmd_iter() {
        asking.cmd("ASKING");
        asking.add_command(command.clone());
    }
    asking
}
