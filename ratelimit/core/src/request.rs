//! A rate limit request as the core sees it: borrowed text, hits already resolved.
//!
//! Made by the wire edge, which has refused an empty domain and an empty descriptor list. Order and repeated keys
//! survive; nothing is normalised. It goes to [`RuleSet::plan`](crate::RuleSet::plan).

use std::num::NonZeroU64;

use smallvec::SmallVec;

use crate::LimitOverride;

/// One question: may this domain's descriptors be charged?
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The namespace of the rules.
    pub domain: &'a str,
    /// In the order sent; answers come in the same order.
    pub descriptors: SmallVec<[Descriptor<'a>; 4]>,
    /// `hits_addend` as sent, 0 when unset. Only echoed in dynamic metadata: [`Descriptor::hits`] has its effect.
    pub stated_hits: u32,
}

/// One list of entries to match and charge.
#[derive(Clone, Debug)]
pub struct Descriptor<'a> {
    /// In the order sent: matching walks them from the root.
    pub entries: SmallVec<[Entry<'a>; 4]>,
    /// What to charge.
    pub hits: Hits,
    /// A limit the request brought along; the rules are then not consulted.
    pub limit: Option<LimitOverride>,
    /// The descriptor's own `hits_addend` as sent, if any. Only echoed in dynamic metadata.
    pub stated_hits: Option<u64>,
}

/// One key and value. Either may be empty.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry<'a> {
    /// What kind of thing: `tenant-id`.
    pub key: &'a str,
    /// Which one: `acme`.
    pub value: &'a str,
}

/// How a descriptor moves its counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hits {
    /// Add this many.
    Charge(NonZeroU64),
    /// Read without charging. Still within the limit when the counter stands exactly on it.
    Peek,
    /// Give this many back; the counter stops at zero.
    Refund(NonZeroU64),
}

impl Hits {
    /// The hits of a descriptor: its own addend when it has one (0 is [`Hits::Peek`]), else the request's, where 0
    /// stands for unset and means 1.
    #[must_use]
    pub fn resolve(descriptor: Option<u64>, request: u32) -> Self {
        let hits = descriptor.unwrap_or_else(|| u64::from(request.max(1)));
        NonZeroU64::new(hits).map_or(Self::Peek, Self::Charge)
    }

    /// The same amount, given back instead of charged.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::Charge(hits) | Self::Refund(hits) => Self::Refund(hits),
            Self::Peek => Self::Peek,
        }
    }

    /// How many hits, whichever the direction.
    #[must_use]
    pub fn amount(self) -> u64 {
        match self {
            Self::Charge(hits) | Self::Refund(hits) => hits.get(),
            Self::Peek => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(descriptor: Option<u64>, request: u32, amount: u64) {
        assert_eq!(Hits::resolve(descriptor, request).amount(), amount);
    }

    #[test]
    fn the_descriptors_addend_wins_and_unset_means_one() {
        check(None, 0, 1);
        check(None, 1, 1);
        check(None, 5, 5);
        check(Some(0), 5, 0);
        check(Some(7), 5, 7);
        check(Some(u64::MAX), 0, u64::MAX);
    }

    #[test]
    fn a_stated_zero_reads_without_charging() {
        assert_eq!(Hits::resolve(Some(0), 9), Hits::Peek);
        assert_eq!(Hits::Peek.negated(), Hits::Peek);
    }
}
