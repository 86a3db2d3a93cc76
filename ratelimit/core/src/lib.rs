//! The rate limit service without its edges: rules, matching, counter keys, decisions.
//!
//! A request becomes a [`Plan`] (which counters to charge), a store carries the plan out, and the plan turns the
//! store's [`Reading`]s into a [`Decision`]. Nothing here awaits, logs, reads a clock or knows a wire format: `now` is
//! an argument, and every function is total. The edges are the crate `ratelimit`.
//!
//! ```text
//! source::RuleFile ─build▶ RuleSet        Request ─RuleSet::plan▶ Plan ─(a store)▶ Readings ─Plan::decide▶ Decision
//! ```

// Counts and times name what they do at their bounds. Tests use small numbers.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

mod answer;
mod decision;
mod key;
mod limit;
pub mod metadata;
mod plan;
mod problem;
mod request;
mod rules;
pub mod source;
mod verdict;
mod window;

pub use decision::{Code, CurrentLimit, Decision, Outcome, ReadingsMismatch, StatsKey, Status};
pub use key::{CounterKey, KeyFormat};
pub use limit::{Enforcement, Limit, LimitOverride, NearLimitRatio, Quota, Rate, Role, Unit};
pub use plan::{Counted, Plan, Planned, Reading, Unmatched};
pub use problem::{RuleProblem, RuleProblemKind};
pub use request::{Descriptor, Entry, Hits, Request};
pub use rules::{BuildOptions, GlobalModes, Origin, Probes, Rule, RuleId, RuleSet};
pub use window::{UnixTime, Window};
