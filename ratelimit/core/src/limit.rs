//! What a rule allows: a number of requests in a unit of time, or everything.
//!
//! Zero requests is [`Quota::Deny`] and no number means [`Limit::Unlimited`], so that neither can be taken for the
//! other. Unit numbers are those of Envoy's `RateLimitResponse.RateLimit.Unit`.

use std::num::NonZeroU32;

/// The window a limit counts in. MONTH is 30 days and YEAR 365: windows are cut from the Unix epoch, not a calendar.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Unit {
    /// 1 s.
    Second,
    /// 60 s.
    Minute,
    /// 3,600 s.
    Hour,
    /// 86,400 s.
    Day,
    /// 604,800 s, starting on a Thursday.
    Week,
    /// 2,592,000 s.
    Month,
    /// 31,536,000 s.
    Year,
}

impl Unit {
    /// Every unit, shortest first.
    pub const ALL: [Self; 7] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Year,
    ];

    /// Reads a unit's name in any letter case. `unknown` is not a unit.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|unit| unit.name().eq_ignore_ascii_case(name))
    }

    /// The unit of Envoy's enum value; `None` for UNKNOWN (0) and values this version does not know.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.number() == number)
    }

    /// Envoy's enum value.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::Second => 1,
            Self::Minute => 2,
            Self::Hour => 3,
            Self::Day => 4,
            Self::Month => 5,
            Self::Year => 6,
            Self::Week => 7,
        }
    }

    /// Envoy's name, in capitals.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "SECOND",
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
            Self::Year => "YEAR",
        }
    }

    /// The window's length in seconds.
    #[must_use]
    pub const fn window_secs(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
            Self::Year => 31_536_000,
        }
    }
}

/// How many requests one window admits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Quota {
    /// `requests_per_unit: 0`: the first hit is already over.
    Deny,
    /// This many.
    Limited(NonZeroU32),
}

/// A quota and the unit it is renewed in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// How many.
    pub quota: Quota,
    /// Per what.
    pub unit: Unit,
}

impl Rate {
    /// A rate of `requests` per `unit`; 0 denies.
    #[must_use]
    pub fn new(requests: u32, unit: Unit) -> Self {
        Self {
            quota: NonZeroU32::new(requests).map_or(Quota::Deny, Quota::Limited),
            unit,
        }
    }

    /// The number as configured and as answered: 0 for [`Quota::Deny`].
    #[must_use]
    pub fn requests_per_unit(self) -> u32 {
        match self.quota {
            Quota::Deny => 0,
            Quota::Limited(requests) => requests.get(),
        }
    }
}

/// What a rule allows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limit {
    /// A rate, counted.
    Rate(Rate),
    /// Everything, uncounted.
    Unlimited,
}

/// A rate the request itself brought along for one descriptor.
///
/// The edge makes one only from a unit [`Unit::from_number`] knows, so a malformed override cannot reach the core.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LimitOverride {
    /// The rate that replaces whatever the rules say.
    pub rate: Rate,
}

/// Whether being over the limit refuses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Enforcement {
    /// Yes.
    #[default]
    Enforce,
    /// No: counted and reported as over in the statistics, answered as OK.
    Shadow,
}

/// How a status counts towards the overall answer.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Role {
    /// One status over the limit refuses the request.
    #[default]
    Limit,
    /// `quota_mode`: the request is refused only when every quota of it is used up.
    Quota,
}

/// The share of a limit from which hits count as near it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearLimitRatio(f32);

impl NearLimitRatio {
    /// Four fifths, as in envoyproxy/ratelimit.
    pub const DEFAULT: Self = Self(0.8);

    /// A ratio; `None` unless it is a number and not negative. Above 1 no hit is ever near.
    #[must_use]
    pub fn new(ratio: f32) -> Option<Self> {
        (ratio.is_finite() && ratio >= 0.0).then_some(Self(ratio))
    }

    /// The counter value above which hits are near the limit, rounded down. Single precision on purpose: the
    /// statistics of envoyproxy/ratelimit are computed so, and 0.8 × 15 must be 12 in both.
    #[must_use]
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "single precision is the contract; the product is not negative, and the cast saturates"
    )]
    pub fn threshold(self, requests_per_unit: u32) -> u64 {
        (requests_per_unit as f32 * self.0) as u64
    }
}

impl Default for NearLimitRatio {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_unknown_is_none() {
        assert_eq!(Unit::from_name("MiNuTe"), Some(Unit::Minute));
        assert_eq!(Unit::from_name("week"), Some(Unit::Week));
        assert_eq!(Unit::from_name("unknown"), None);
        assert_eq!(Unit::from_name(""), None);
        assert_eq!(Unit::from_name("minutes"), None);
    }

    #[test]
    fn numbers_are_envoys() {
        for unit in Unit::ALL {
            assert_eq!(Unit::from_number(unit.number()), Some(unit));
        }
        assert_eq!(Unit::from_number(0), None);
        assert_eq!(Unit::from_number(8), None);
        assert_eq!(Unit::from_number(-1), None);
    }

    #[test]
    fn zero_requests_is_a_refusal_and_not_an_absence() {
        assert_eq!(Rate::new(0, Unit::Day).quota, Quota::Deny);
        assert_eq!(Rate::new(0, Unit::Day).requests_per_unit(), 0);
    }

    #[test]
    fn the_near_threshold_is_computed_in_single_precision() {
        let near = |requests| NearLimitRatio::default().threshold(requests);
        assert_eq!([near(15), near(20), near(14), near(8), near(0)], [12, 16, 11, 6, 0]);
        assert_eq!(near(u32::MAX), 3_435_973_888);
    }

    #[test]
    fn a_ratio_that_is_negative_or_no_number_is_none() {
        assert!(NearLimitRatio::new(1.5).is_some());
        assert_eq!(NearLimitRatio::new(-0.1), None);
        assert_eq!(NearLimitRatio::new(f32::NAN), None);
    }
}
