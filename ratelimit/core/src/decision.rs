//! From a plan and its readings to the answer.
//!
//! Every status and the overall code are made here; `verdict` does the arithmetic of one limit, `answer` chooses what
//! else goes into the reply. The wire edge only spells the result; the metrics edge only adds it up.

use smallvec::SmallVec;

use crate::plan::{Counted, Plan, Planned, Reading, Unmatched};
use crate::rules::{GlobalModes, Rule};
use crate::verdict::{Levels, Verdict};
use crate::window::reset_secs;
use crate::{Enforcement, Hits, Limit, Role, Unit, UnixTime};

/// The answer to one descriptor, or to all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Code {
    /// Go on.
    Ok,
    /// Over the limit.
    OverLimit,
}

/// The answer to a request.
#[derive(Debug)]
pub struct Decision<'p> {
    /// The answer to all descriptors together.
    pub overall: Code,
    /// One for each descriptor, in request order.
    pub statuses: SmallVec<[Status<'p>; 4]>,
    /// Whether the overall code is OK only because of [`GlobalModes::shadow`].
    pub shadowed: bool,
}

/// The answer to one descriptor.
#[derive(Clone, Debug)]
pub struct Status<'p> {
    /// Go on, or over the limit.
    pub code: Code,
    /// The limit that was counted against; `None` when nothing was counted.
    pub limit: Option<CurrentLimit<'p>>,
    /// What is left of it; [`u32::MAX`] when unlimited.
    pub remaining: u32,
    /// Seconds until the window ends; set when something was counted.
    pub reset_secs: Option<u32>,
    /// How it counts towards the overall code.
    pub role: Role,
    /// What the statistics grow by.
    pub outcome: Outcome,
    /// Whose statistics; `None` when there are none.
    pub stats: Option<StatsKey<'p>>,
    /// The rule that applied, if a rule did.
    pub rule: Option<&'p Rule>,
    /// Why no limit applied, if none did.
    pub unmatched: Option<Unmatched>,
}

/// A limit as answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CurrentLimit<'p> {
    /// How many.
    pub requests_per_unit: u32,
    /// Per what.
    pub unit: Unit,
    /// The limit's name; empty for none.
    pub name: &'p str,
}

/// Whose statistics a status belongs to.
#[derive(Clone, Copy, Debug)]
pub enum StatsKey<'p> {
    /// The rule's own: known when the configuration is, so that an edge can look it up by [`Rule::id`].
    Rule(&'p Rule),
    /// A name that depends on the request. Whoever keeps statistics by it must bound how many.
    Dynamic(&'p str),
}

impl<'p> StatsKey<'p> {
    /// The name: domain and path, joined with dots.
    #[must_use]
    pub fn as_str(self) -> &'p str {
        match self {
            Self::Rule(rule) => rule.stats_key(),
            Self::Dynamic(name) => name,
        }
    }
}

/// What the statistics of one limit grow by.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Outcome {
    /// All hits. Counted even when the store fails: an edge then takes them from [`Plan::charges`].
    pub total: u64,
    /// Hits beyond the limit.
    pub over: u64,
    /// Hits above the near-limit threshold and within the limit.
    pub near: u64,
    /// Hits of statuses that were not over.
    pub within: u64,
    /// Hits beyond the limit that were let through because the rule is in shadow mode.
    pub shadow: u64,
    /// Hits beyond the limit that local memory answered.
    pub over_from_local: u64,
    /// Hits given back.
    pub refunded: u64,
}

/// A store returned another number of readings than the plan has charges: a defect of the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the store returned {readings} readings for {charges} charges")]
pub struct ReadingsMismatch {
    /// How many were expected.
    pub charges: usize,
    /// How many came.
    pub readings: usize,
}

impl Plan<'_> {
    /// Turns the readings of a store into the answer. `now` decides the time to reset.
    ///
    /// # Errors
    ///
    /// [`ReadingsMismatch`] when there is not one reading for each charge.
    pub fn decide(&self, readings: &[Reading], now: UnixTime) -> Result<Decision<'_>, ReadingsMismatch> {
        let mismatch = || ReadingsMismatch {
            charges: self.charges().count(),
            readings: readings.len(),
        };
        let mut rest = readings.iter();
        let mut statuses = SmallVec::with_capacity(self.planned.len());
        for planned in &self.planned {
            statuses.push(match planned {
                Planned::Unmatched(why) => unmatched(*why, self.modes()),
                Planned::Unlimited(rule) => unlimited(rule),
                Planned::Counted(counted) => self.counted(counted, *rest.next().ok_or_else(mismatch)?, now),
            });
        }
        if rest.next().is_some() {
            return Err(mismatch());
        }
        let code = overall(&statuses);
        let shadowed = self.modes().shadow && code == Code::OverLimit;
        Ok(Decision {
            overall: if shadowed { Code::Ok } else { code },
            statuses,
            shadowed,
        })
    }

    fn modes(&self) -> GlobalModes {
        self.rules.options().modes
    }

    fn counted<'p>(&self, counted: &'p Counted<'_>, reading: Reading, now: UnixTime) -> Status<'p> {
        let requests = counted.rate.requests_per_unit();
        let limit = u64::from(requests);
        let near = self.rules.options().near_limit_ratio.threshold(requests);
        let verdict = match counted.hits {
            Hits::Refund(hits) => Verdict::refund(limit, reading.after, hits.get()),
            Hits::Charge(_) | Hits::Peek if reading.known_over => Verdict::known_over(counted.hits.amount()),
            Hits::Charge(_) | Hits::Peek => {
                // Wraps when the store added less than the hits (stop-increment): `before` then reads as over.
                let before = reading.after.wrapping_sub(counted.hits.amount());
                Verdict::charge(Levels { limit, near }, before, reading.after, counted.hits.amount())
            }
        };
        let rule = counted.rule;
        let enforcement = rule.map_or(Enforcement::Enforce, Rule::enforcement);
        let (code, outcome) = verdict.enforced(enforcement);
        let name = rule.map_or("", Rule::name);
        let role = if self.modes().quota {
            Role::Quota
        } else {
            rule.map_or(Role::Limit, Rule::role)
        };
        Status {
            code,
            limit: Some(CurrentLimit {
                requests_per_unit: requests,
                unit: counted.rate.unit,
                name,
            }),
            // Never above the limit, which is a u32.
            remaining: u32::try_from(verdict.remaining).unwrap_or(u32::MAX),
            reset_secs: Some(reset_secs(now, counted.rate.unit)),
            role,
            outcome,
            stats: counted.stats_key(),
            rule,
            unmatched: None,
        }
    }
}

impl Counted<'_> {
    /// Whose statistics its hits belong to.
    #[must_use]
    pub fn stats_key(&self) -> Option<StatsKey<'_>> {
        match (&self.stats_key, self.rule) {
            (Some(name), _) => Some(StatsKey::Dynamic(name)),
            (None, rule) => rule.map(StatsKey::Rule),
        }
    }
}

fn unmatched<'p>(why: Unmatched, modes: GlobalModes) -> Status<'p> {
    Status {
        code: Code::Ok,
        limit: None,
        remaining: 0,
        reset_secs: None,
        role: if modes.quota { Role::Quota } else { Role::Limit },
        outcome: Outcome::default(),
        stats: None,
        rule: None,
        unmatched: Some(why),
    }
}

/// Never a quota, in whatever mode: there is nothing to use up.
fn unlimited(rule: &Rule) -> Status<'_> {
    debug_assert_eq!(rule.limit(), Limit::Unlimited);
    Status {
        code: Code::Ok,
        limit: None,
        remaining: u32::MAX,
        reset_secs: None,
        role: Role::Limit,
        outcome: Outcome::default(),
        stats: None,
        rule: Some(rule),
        unmatched: None,
    }
}

/// Over when a limit is over, or when there are quotas and all of them are over.
fn overall(statuses: &[Status<'_>]) -> Code {
    let is_over = |status: &Status<'_>| status.code == Code::OverLimit;
    let mut quotas = statuses.iter().filter(|status| status.role == Role::Quota).peekable();
    let limit_over = statuses
        .iter()
        .any(|status| status.role == Role::Limit && is_over(status));
    let quotas_over = quotas.peek().is_some() && quotas.all(is_over);
    if limit_over || quotas_over {
        Code::OverLimit
    } else {
        Code::Ok
    }
}
