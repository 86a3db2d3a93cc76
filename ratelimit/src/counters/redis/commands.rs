//! What is said to Redis for a plan, and what its replies mean. Pure.
//!
//! The commands are those of envoyproxy/ratelimit: `INCRBY` and `EXPIRE` for each charge, in one pipeline, so that both
//! can count in one Redis. A refund needs a floor at zero and so a script; it is one command.

use std::hash::BuildHasher;

use ratelimit_core::{Counted, Hits};
use redis::{Pipeline, ServerError, ServerErrorKind, Value};
use smallvec::SmallVec;

use crate::counters::StoreError;

/// Takes `ARGV[1]` from a counter that stops at zero, and renews its expiry.
const REFUND: &str = "local after = redis.call('DECRBY', KEYS[1], ARGV[1])
if after < 0 then after = 0 redis.call('SET', KEYS[1], 0) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return after";

/// How long counters outlive their window, so that those of one window do not all expire in the same moment.
#[derive(Clone, Debug)]
pub(super) struct Expiry<S> {
    jitter_max_secs: u64,
    draws: S,
}

impl<S: BuildHasher> Expiry<S> {
    /// Adds 0 to `jitter_max_secs - 1` seconds, drawn for each key by `draws`; none for 0.
    pub(super) fn new(jitter_max_secs: u64, draws: S) -> Self {
        Self { jitter_max_secs, draws }
    }

    /// Seconds until `counted` may be forgotten. Its window is in the key, so this is garbage collection only.
    fn secs(&self, counted: &Counted<'_>) -> u64 {
        let drawn = self.draws.hash_one(counted.key.as_bytes());
        let jitter = drawn.checked_rem(self.jitter_max_secs).unwrap_or(0);
        u64::from(counted.window.length_secs).saturating_add(jitter)
    }
}

/// What is done to one counter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Command<'p> {
    pub(super) counted: &'p Counted<'p>,
    pub(super) action: Action,
}

/// How far a command goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// Moves the counter by the hits.
    Count,
    /// Moves it by nothing, but makes it live on.
    Touch,
    /// Looks at it.
    Read,
}

/// What counters stand at, in the order of their commands.
pub(super) type Values = SmallVec<[u64; 4]>;

impl<'p> Command<'p> {
    /// Its key, as Redis knows it.
    pub(super) fn key(&self) -> &'p [u8] {
        self.counted.key.as_bytes()
    }

    /// Adds it to a pipeline.
    pub(super) fn append<S: BuildHasher>(&self, pipeline: &mut Pipeline, expiry: &Expiry<S>) {
        let (key, secs) = (self.key(), expiry.secs(self.counted));
        let hits = match (self.action, self.counted.hits) {
            (Action::Read, _) => {
                pipeline.cmd("GET").arg(key);
                return;
            }
            (_, Hits::Refund(hits)) => {
                let script = pipeline.cmd("EVAL").arg(REFUND).arg(1);
                script.arg(key).arg(hits.get()).arg(secs);
                return;
            }
            (Action::Touch, _) => 0,
            (Action::Count, hits) => hits.amount(),
        };
        pipeline.cmd("INCRBY").arg(key).arg(hits);
        pipeline.cmd("EXPIRE").arg(key).arg(secs);
    }

    /// How many replies it gets.
    pub(super) fn replies(&self) -> usize {
        match (self.action, self.counted.hits) {
            (Action::Read, _) | (_, Hits::Refund(_)) => 1,
            (Action::Count | Action::Touch, _) => 2,
        }
    }

    /// What its replies say.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] when the server may not count now, [`StoreError::Rejected`] with any other error that
    /// it answered, or when a reply is not a count.
    pub(super) fn value(&self, replies: &[Value]) -> Result<u64, StoreError> {
        if self.action == Action::Read && replies == [Value::Nil] {
            return Ok(0);
        }
        let value = count(replies.first())?;
        if self.replies() > 1 {
            // A counter that could not be given an expiry must not look like a success.
            count(replies.get(1))?;
        }
        Ok(value)
    }
}

/// All of them in one pipeline.
pub(super) fn pipeline<S: BuildHasher>(commands: &[Command<'_>], expiry: &Expiry<S>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len().saturating_mul(2));
    for command in commands {
        command.append(&mut pipeline, expiry);
    }
    pipeline
}

/// What the replies to [`pipeline`] say about each.
///
/// # Errors
///
/// That of the first command that has one.
pub(super) fn values(commands: &[Command<'_>], replies: &[Value]) -> Result<Values, StoreError> {
    let mut rest = replies;
    commands
        .iter()
        .map(|command| command.value(take(&mut rest, command.replies())))
        .collect()
}

/// The first `count` of what is left, or fewer.
pub(super) fn take<'v>(rest: &mut &'v [Value], count: usize) -> &'v [Value] {
    let (taken, left) = rest.split_at(count.min(rest.len()));
    *rest = left;
    taken
}

fn count(reply: Option<&Value>) -> Result<u64, StoreError> {
    let rejected = |text: String| Err(StoreError::Rejected(text));
    match reply {
        Some(Value::Int(count)) => {
            let negative = |_out_of_range| StoreError::Rejected(format!("a counter stands at {count}"));
            u64::try_from(*count).map_err(negative)
        }
        Some(Value::BulkString(text)) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            number.ok_or_else(|| StoreError::Rejected("a counter is not a number".to_owned()))
        }
        Some(Value::ServerError(error)) if error.kind() == Some(ServerErrorKind::ClusterDown) => {
            Err(StoreError::Unavailable(words(error)))
        }
        Some(Value::ServerError(error)) => rejected(words(error)),
        Some(_) => rejected("a reply is not a number".to_owned()),
        None => rejected("a reply is missing".to_owned()),
    }
}

/// An error in the server's own words.
fn words(error: &ServerError) -> String {
    let details = error.details().unwrap_or_default();
    format!("{} {details}", error.code())
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasherDefault, Hasher};

    use ratelimit_core::source::{RateLimit, RuleFile, RuleNode, Spanned};
    use ratelimit_core::{Descriptor, Entry, KeyFormat, Plan, Request, RuleSet, UnixTime};

    use super::*;

    /// Always draws 100, as the random source of case R4 does.
    #[derive(Default)]
    struct Hundred;

    impl Hasher for Hundred {
        fn finish(&self) -> u64 {
            100
        }

        fn write(&mut self, _bytes: &[u8]) {}
    }

    /// What is said for one hit on a rule of 10 a second, in the words of the protocol.
    fn said(hits: Hits, jitter_max_secs: u64) -> String {
        said_by(Action::Count, hits, jitter_max_secs)
    }

    fn commands<'p>(plan: &'p Plan<'_>, action: Action) -> Vec<Command<'p>> {
        plan.charges().map(|counted| Command { counted, action }).collect()
    }

    fn said_by(action: Action, hits: Hits, jitter_max_secs: u64) -> String {
        with_plan(hits, |plan| {
            let expiry = Expiry::new(jitter_max_secs, BuildHasherDefault::<Hundred>::default());
            let packed = pipeline(&commands(plan, action), &expiry).get_packed_pipeline();
            let text = String::from_utf8(packed).unwrap();
            let words = text.split("\r\n").filter(|part| !part.starts_with(['*', '$']));
            words.collect::<Vec<_>>().join(" ").trim_end().to_owned()
        })
    }

    fn with_plan<T>(hits: Hits, look: impl FnOnce(&Plan<'_>) -> T) -> T {
        let node = RuleNode {
            key: Spanned::nowhere("key".to_owned()),
            value: Spanned::nowhere("value".to_owned()),
            rate_limit: Some(RateLimit {
                unit: Spanned::nowhere("second".to_owned()),
                requests_per_unit: 10,
                ..RateLimit::default()
            }),
            ..RuleNode::default()
        };
        let file = RuleFile {
            name: "test".to_owned(),
            domain: Spanned::nowhere("domain".to_owned()),
            descriptors: vec![node],
        };
        let rules = RuleSet::build(&[file], ratelimit_core::BuildOptions::default()).unwrap();
        let entry = Entry {
            key: "key",
            value: "value",
        };
        let request = Request {
            domain: "domain",
            descriptors: [Descriptor {
                entries: [entry].into_iter().collect(),
                hits,
                limit: None,
                stated_hits: None,
            }]
            .into_iter()
            .collect(),
            stated_hits: 0,
        };
        look(&rules.plan(&request, UnixTime::from_secs(1_234), &KeyFormat::default()))
    }

    fn charge(hits: u64) -> Hits {
        Hits::resolve(Some(hits), 0)
    }

    // R1 and R4: numbers are those of our conformance list.

    #[test]
    fn r1_each_charge_adds_and_expires() {
        assert_eq!(
            said(charge(1), 0),
            "INCRBY domain_key_value_1234 1 EXPIRE domain_key_value_1234 1"
        );
        assert_eq!(
            said(Hits::Peek, 0),
            "INCRBY domain_key_value_1234 0 EXPIRE domain_key_value_1234 1"
        );
    }

    #[test]
    fn r4_jitter_makes_counters_outlive_their_window() {
        assert!(said(charge(1), 3_600).ends_with("EXPIRE domain_key_value_1234 101"));
        assert!(said(charge(1), 100).ends_with("EXPIRE domain_key_value_1234 1"));
    }

    #[test]
    fn touching_adds_nothing_and_reading_leaves_no_trace() {
        assert_eq!(
            said_by(Action::Touch, charge(7), 0),
            "INCRBY domain_key_value_1234 0 EXPIRE domain_key_value_1234 1"
        );
        assert_eq!(said_by(Action::Read, charge(7), 0), "GET domain_key_value_1234");
        let read = |reply: Value| with_plan(charge(1), |plan| values(&commands(plan, Action::Read), &[reply]));
        assert_eq!(read(Value::Nil).unwrap().as_slice(), [0]);
        assert_eq!(read(Value::BulkString(b"12".to_vec())).unwrap().as_slice(), [12]);
        let not_one = StoreError::Rejected("a counter is not a number".to_owned());
        assert_eq!(read(Value::BulkString(b"x".to_vec())), Err(not_one));
    }

    #[test]
    fn a_refund_is_one_script() {
        let said = said(charge(7).negated(), 0);
        assert!(said.starts_with("EVAL "), "{said}");
        assert!(said.ends_with("1 domain_key_value_1234 7 1"), "{said}");
    }

    #[track_caller]
    fn check(hits: Hits, replies: &[Value], expected: Result<u64, &str>) {
        let found = with_plan(hits, |plan| values(&commands(plan, Action::Count), replies));
        let found = found.map(|values| values[0]);
        let expected = expected.map_err(|text| StoreError::Rejected(text.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn replies_are_counts_or_errors() {
        let ok = Value::Int(1);
        check(charge(1), &[Value::Int(5), ok.clone()], Ok(5));
        check(charge(1).negated(), &[Value::Int(0)], Ok(0));
        check(charge(1), &[Value::Int(-3), ok.clone()], Err("a counter stands at -3"));
        check(charge(1), &[Value::Okay, ok], Err("a reply is not a number"));
        check(charge(1), &[], Err("a reply is missing"));
        check(charge(1), &[Value::Int(5)], Err("a reply is missing"));
    }
}
