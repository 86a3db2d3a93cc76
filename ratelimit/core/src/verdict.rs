//! What one reading means for one limit: the code, what remains, and the statistics.
//!
//! The arithmetic is that of envoyproxy/ratelimit, number by number: dashboards built on its counters must go on
//! telling the same story. It knows neither rules nor requests; `decision` calls it for each counter.

use crate::decision::{Code, Outcome};
use crate::limit::Enforcement;

/// The counter values that matter for one limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Levels {
    pub(crate) limit: u64,
    pub(crate) near: u64,
}

/// What a reading means for a limit, before shadow mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) code: Code,
    pub(crate) remaining: u64,
    pub(crate) outcome: Outcome,
    /// Hits that shadow mode lets through.
    let_through: u64,
}

impl Verdict {
    /// `before` is passed beside `after` because in stop-increment mode the counter moves by less than the hits.
    pub(crate) fn charge(levels: Levels, before: u64, after: u64, hits: u64) -> Self {
        if after > levels.limit {
            Self::over(levels, before, after, hits)
        } else {
            Self::within(levels, before, after, hits)
        }
    }

    fn within(Levels { limit, near }: Levels, before: u64, after: u64, hits: u64) -> Self {
        let near_hits = match after.checked_sub(near) {
            None | Some(0) => 0,
            Some(_) if before >= near => hits,
            Some(above) => above,
        };
        let outcome = Outcome {
            total: hits,
            near: near_hits,
            within: hits,
            ..Outcome::default()
        };
        Self {
            code: Code::Ok,
            remaining: limit.saturating_sub(after),
            outcome,
            let_through: 0,
        }
    }

    fn over(Levels { limit, near }: Levels, before: u64, after: u64, hits: u64) -> Self {
        let was_over = before >= limit;
        let over = if was_over { hits } else { after.saturating_sub(limit) };
        let near_hits = if was_over {
            0
        } else {
            limit.saturating_sub(near.max(before))
        };
        let outcome = Outcome {
            total: hits,
            over,
            near: near_hits,
            ..Outcome::default()
        };
        Self {
            code: Code::OverLimit,
            remaining: 0,
            outcome,
            let_through: over,
        }
    }

    pub(crate) fn known_over(hits: u64) -> Self {
        let outcome = Outcome {
            total: hits,
            over: hits,
            over_from_local: hits,
            ..Outcome::default()
        };
        Self {
            code: Code::OverLimit,
            remaining: 0,
            outcome,
            let_through: hits,
        }
    }

    /// Giving back is always OK, also while the counter is still over.
    pub(crate) fn refund(limit: u64, after: u64, hits: u64) -> Self {
        let outcome = Outcome {
            refunded: hits,
            ..Outcome::default()
        };
        Self {
            code: Code::Ok,
            remaining: limit.saturating_sub(after),
            outcome,
            let_through: 0,
        }
    }

    /// The code and the statistics once shadow mode has had its say. What remains does not change.
    pub(crate) fn enforced(self, enforcement: Enforcement) -> (Code, Outcome) {
        match enforcement {
            Enforcement::Enforce => (self.code, self.outcome),
            Enforcement::Shadow => (
                Code::Ok,
                Outcome {
                    shadow: self.let_through,
                    ..self.outcome
                },
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The numbers are those of our conformance list. A1 and A2 are whole decisions: tests/statistics.rs.

    #[test]
    fn a3_the_part_beyond_the_limit_is_over_and_the_part_below_it_near() {
        let verdict = Verdict::charge(Levels { limit: 5, near: 4 }, 2, 7, 1);
        let outcome = Outcome {
            total: 1,
            over: 2,
            near: 1,
            ..Outcome::default()
        };
        assert_eq!(
            (verdict.code, verdict.remaining, verdict.outcome),
            (Code::OverLimit, 0, outcome)
        );
        assert_eq!(
            verdict.enforced(Enforcement::Shadow),
            (Code::Ok, Outcome { shadow: 2, ..outcome })
        );
    }

    #[test]
    fn a4_below_the_threshold_nothing_is_near_and_shadow_mode_changes_nothing() {
        let verdict = Verdict::charge(Levels { limit: 10, near: 8 }, 2, 6, 1);
        let outcome = Outcome {
            total: 1,
            within: 1,
            ..Outcome::default()
        };
        assert_eq!(
            (verdict.code, verdict.remaining, verdict.outcome),
            (Code::Ok, 4, outcome)
        );
        assert_eq!(verdict.enforced(Enforcement::Shadow), (Code::Ok, outcome));
    }

    #[test]
    fn a_threshold_above_the_limit_makes_nothing_near() {
        let verdict = Verdict::charge(Levels { limit: 5, near: 9 }, 4, 6, 2);
        assert_eq!((verdict.outcome.over, verdict.outcome.near), (1, 0));
    }
}
