//! One AuthConfig on one request: authenticate ▸ authorize ▸ mutate.
//!
//! [`begin`] runs until it needs something from outside or has decided. The caller carries the [`Lookup`] out and hands
//! the answer to [`Pipeline::resume`]. Every step must pass; the first that does not decides. An error anywhere is a
//! denial, for there is no third outcome.

mod finish;
mod permit;
pub mod steps;

pub use permit::Permit;

use std::time::Duration;

use crate::decision::Decision;
use crate::key_ring::KeyRing;
use crate::policy::AuthConfig;
use crate::request::CheckRequest;
use steps::{Passed, Progress};

/// The key of the caller's id in metadata; the gateway's rate limits read it.
pub const USER_ID_KEY: &str = "userId";

/// What a pipeline may look at. One snapshot of each for the whole request.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The request.
    pub request: &'a CheckRequest,
    /// The key sets loaded when the request came.
    pub keys: &'a KeyRing,
    /// The time when it came, since the Unix epoch.
    pub now: Duration,
}

/// Where a pipeline stands.
#[derive(Debug)]
pub enum Step<'a> {
    /// It needs this from outside, then goes on with [`Pipeline::resume`].
    Need(Lookup, Pipeline<'a>),
    /// It has decided.
    Done(Decision),
}

/// Something that only the edge can find out. No step of today needs one, for key sets are snapshots; introspection of
/// an opaque token will be the first variant.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {}

/// What a [`Lookup`] found, variant by variant.
#[derive(Clone, Copy, Debug)]
pub enum Answer {}

/// A pipeline between two lookups.
#[derive(Debug)]
pub struct Pipeline<'a> {
    config: &'a AuthConfig,
    context: Context<'a>,
    passed: Vec<Passed>,
}

/// Starts `config` on a request.
#[must_use]
pub fn begin<'a>(config: &'a AuthConfig, context: Context<'a>) -> Step<'a> {
    let passed = Vec::with_capacity(config.steps().len());
    Pipeline {
        config,
        context,
        passed,
    }
    .run()
}

impl<'a> Pipeline<'a> {
    /// Goes on with what a lookup found.
    #[must_use]
    pub fn resume(self, answer: Answer) -> Step<'a> {
        match answer {}
    }

    /// Runs steps until one needs something or refuses, or all have passed.
    fn run(mut self) -> Step<'a> {
        while let Some(next) = self.config.steps().get(self.passed.len()) {
            match next.step.run(&self.context) {
                Progress::Need(lookup) => return Step::Need(lookup, self),
                Progress::Passed(passed) => self.passed.push(passed),
                Progress::Refused(refusal) => {
                    return Step::Done(Decision::Deny(finish::deny(self.config, &self.passed, refusal)));
                }
            }
        }
        Step::Done(finish::allow(self.config, self.context.request, &self.passed))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
