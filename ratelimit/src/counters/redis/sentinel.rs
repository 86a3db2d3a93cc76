//! Which server is the master, as Sentinels tell.
//!
//! One task asks all of them, once a second and whenever a connection is in doubt, and publishes whom most of them name:
//! a Sentinel that was cut off must not lead us to a master that was replaced. Links take it from there and check `ROLE`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use parking_lot::Mutex;
use redis::{Cmd, Value};
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::instance::Server;
use super::open::ask_once;

/// Between two rounds of questions.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);

/// Between two rounds while a connection is in doubt.
const ROUND_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// For an answer. A Sentinel that is this slow is left out of the round.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sentinels and the master that they watch.
#[derive(Clone, Debug)]
pub(super) struct Sentinels {
    /// The master's name among them.
    pub(super) name: String,
    /// Where they are.
    pub(super) watchers: Vec<Server>,
    /// Who we are to the master.
    pub(super) master: Server,
}

/// The master, now and later. Clones follow the same one.
#[derive(Clone, Debug)]
pub(super) struct Master(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    sentinels: Sentinels,
    current: watch::Sender<Option<Server>>,
    doubt: Notify,
    /// Why nobody was named in the last round in which that was so.
    problem: Mutex<String>,
}

impl Master {
    pub(super) fn new(sentinels: Sentinels) -> Self {
        Self(Arc::new(Watched {
            sentinels,
            current: watch::Sender::new(None),
            doubt: Notify::new(),
            problem: Mutex::default(),
        }))
    }

    /// Whom most Sentinels named last.
    pub(super) fn current(&self) -> Option<Server> {
        self.0.current.borrow().clone()
    }

    /// Why there is none.
    pub(super) fn problem(&self) -> String {
        self.0.problem.lock().clone()
    }

    /// Asks for a round soon: a connection was lost, or not made.
    pub(super) fn suspect(&self) {
        self.0.doubt.notify_one();
    }

    /// Returns once another server than `from` is named.
    pub(super) async fn moved(&self, from: &Server) {
        let is_other = |now: &Option<Server>| now.as_ref().is_some_and(|now| now.place() != from.place());
        // It cannot fail: we hold the sender.
        drop(self.0.current.subscribe().wait_for(is_other).await);
    }

    /// Follows what the Sentinels say, for ever.
    pub(super) async fn follow(self) {
        loop {
            match self.0.sentinels.ask().await {
                Ok(named) => self.publish(named),
                Err(problem) => *self.0.problem.lock() = problem,
            }
            sleep(ROUND_INTERVAL_MIN).await;
            tokio::select! {
                () = sleep(ROUND_INTERVAL) => {}
                () = self.0.doubt.notified() => {}
            }
        }
    }
}

impl Master {
    fn publish(&self, named: Server) {
        if self.current().is_none_or(|current| current.place() != named.place()) {
            tracing::info!(master = %named, "the Sentinels name a master");
            self.0.current.send_replace(Some(named));
        }
    }
}

impl fmt::Display for Master {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0.current.borrow() {
            Some(server) => server.fmt(f),
            None => f.write_str(&self.0.sentinels.name),
        }
    }
}

impl Sentinels {
    /// Whom most of those that answer name; or why nobody does.
    async fn ask(&self) -> Result<Server, String> {
        let mut question = Cmd::new();
        question.arg("SENTINEL").arg("get-master-addr-by-name").arg(&self.name);
        let asking = self
            .watchers
            .iter()
            .map(|sentinel| ask_once(sentinel, &question, PATIENCE));
        let answers = join_all(asking).await;
        let refused = answers
            .iter()
            .find_map(|answer| answer.as_ref().err().map(ToString::to_string));
        let named: Vec<_> = answers.into_iter().filter_map(|answer| named(&answer.ok()?)).collect();
        match most(&named) {
            Some((host, port)) => Ok(self.master.elsewhere(host, *port)),
            None => Err(refused.unwrap_or_else(|| format!("{} is not known to them", self.name))),
        }
    }
}

/// The value that is there most often; of several the first.
pub(super) fn most<T: PartialEq>(values: &[T]) -> Option<&T> {
    let votes = |value: &T| values.iter().filter(|other| *other == value).count();
    values.iter().rev().max_by_key(|value| votes(value))
}

/// `["127.0.0.1", "6379"]`, or nil for an unknown name.
fn named(answer: &Value) -> Option<(String, u16)> {
    redis::from_redis_value_ref(answer)
        .ok()
        .filter(|(host, _port): &(String, u16)| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_named_is_taken_and_of_several_the_first() {
        assert_eq!(most::<u8>(&[]), None);
        assert_eq!(most(&[1, 2, 2]), Some(&2));
        assert_eq!(most(&[1, 2]), Some(&1));
    }

    #[test]
    fn an_answer_names_a_master_or_nobody() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let answer = Value::Array(vec![text("10.0.0.1"), text("6379")]);
        assert_eq!(named(&answer), Some(("10.0.0.1".to_owned(), 6379)));
        assert_eq!(named(&Value::Nil), None);
        assert_eq!(named(&Value::Array(vec![text("10.0.0.1"), text("x")])), None);
        assert_eq!(named(&Value::Array(vec![text(""), text("1")])), None);
    }
}
