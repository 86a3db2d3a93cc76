//! From a request to what its counters must be charged.
//!
//! [`RuleSet::plan`] resolves every descriptor, takes out the limits that others replace, and names a counter for each
//! that is left. A store applies the plan in one go and answers with one [`Reading`] for each [`Counted`], in plan
//! order; [`Plan::decide`](crate::Plan::decide) reads them.

use smallvec::SmallVec;

use crate::rules::{Domain, Match, Rule, RuleSet};
use crate::{CounterKey, Descriptor, Entry, Hits, KeyFormat, Limit, LimitOverride, Rate, Request, UnixTime, Window};

/// What to charge for one request.
#[derive(Debug)]
pub struct Plan<'r> {
    pub(crate) rules: &'r RuleSet,
    pub(crate) planned: SmallVec<[Planned<'r>; 4]>,
}

/// What one descriptor came to.
#[derive(Debug)]
pub enum Planned<'r> {
    /// No limit applies: nothing is counted, the answer is OK.
    Unmatched(Unmatched),
    /// A limit without end applies: nothing is counted, the answer is OK and says so.
    Unlimited(&'r Rule),
    /// A counter is charged.
    Counted(Counted<'r>),
}

/// Why no limit applies.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unmatched {
    /// No file has the domain.
    UnknownDomain,
    /// The entries lead to no rule.
    NoRule,
    /// They lead to one that another rule of the request replaces.
    Replaced,
    /// There are no entries.
    Empty,
}

/// One counter to charge.
#[derive(Debug)]
pub struct Counted<'r> {
    /// The rule that asks for it; `None` when the request brought its own limit.
    pub rule: Option<&'r Rule>,
    /// What it is counted against.
    pub rate: Rate,
    /// The counter.
    pub key: CounterKey,
    /// By how much it moves.
    pub hits: Hits,
    /// The window it counts in; after its end nobody asks for the key again.
    pub window: Window,
    /// The name of the statistics when it depends on the request; see [`Counted::stats_key`].
    pub(crate) stats_key: Option<Box<str>>,
}

/// What a store says about one counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    /// Its value after the hits.
    pub after: u64,
    /// It was known to be over from local memory, and was neither asked nor charged; `after` means nothing.
    pub known_over: bool,
}

impl RuleSet {
    /// Resolves every descriptor of a request. One reading of the clock holds for all of them.
    #[must_use]
    pub fn plan(&self, request: &Request<'_>, now: UnixTime, keys: &KeyFormat) -> Plan<'_> {
        let domain = self.domain(request.domain);
        let mut resolved: SmallVec<[Resolved<'_>; 4]> = request
            .descriptors
            .iter()
            .map(|descriptor| resolve(domain, descriptor))
            .collect();
        take_out_replaced(&mut resolved);
        let counters = Counters {
            domain: request.domain,
            now,
            keys,
        };
        let planned = resolved
            .into_iter()
            .zip(&request.descriptors)
            .map(|(resolved, descriptor)| counters.planned(resolved, descriptor))
            .collect();
        Plan { rules: self, planned }
    }
}

impl<'r> Plan<'r> {
    /// What each descriptor came to, in request order.
    #[must_use]
    pub fn planned(&self) -> &[Planned<'r>] {
        &self.planned
    }

    /// The counters to charge, in the order in which their readings are expected.
    pub fn charges(&self) -> impl Iterator<Item = &Counted<'r>> + Clone {
        self.planned.iter().filter_map(|planned| match planned {
            Planned::Counted(counted) => Some(counted),
            Planned::Unmatched(_) | Planned::Unlimited(_) => None,
        })
    }
}

/// A descriptor's limit, before replacements and before its counter has a name.
enum Resolved<'r> {
    Unmatched(Unmatched),
    Override(LimitOverride),
    Matched(Match<'r>),
}

/// A request's own limit goes before the rules, but not into a domain that nobody configured.
fn resolve<'r>(domain: Option<Domain<'r>>, descriptor: &Descriptor<'_>) -> Resolved<'r> {
    let Some(domain) = domain else {
        return Resolved::Unmatched(Unmatched::UnknownDomain);
    };
    if let Some(limit) = descriptor.limit {
        return Resolved::Override(limit);
    }
    match domain.find(&descriptor.entries) {
        Some(found) => Resolved::Matched(found),
        None if descriptor.entries.is_empty() => Resolved::Unmatched(Unmatched::Empty),
        None => Resolved::Unmatched(Unmatched::NoRule),
    }
}

/// Takes out every counted limit whose name a matched limit of the request replaces. In one pass: unlimited and
/// replaced limits replace others too.
fn take_out_replaced(resolved: &mut SmallVec<[Resolved<'_>; 4]>) {
    let replacing: SmallVec<[&Rule; 4]> = resolved
        .iter()
        .filter_map(Resolved::rule)
        .filter(|rule| rule.replaces().next().is_some())
        .collect();
    if replacing.is_empty() {
        return;
    }
    for resolved in resolved.iter_mut() {
        let is_replaced = resolved.rule().is_some_and(|rule| {
            // No rule replaces the empty name.
            rule.limit() != Limit::Unlimited && replacing.iter().any(|other| other.is_replacement_of(rule.name()))
        });
        if is_replaced {
            *resolved = Resolved::Unmatched(Unmatched::Replaced);
        }
    }
}

impl<'r> Resolved<'r> {
    fn rule(&self) -> Option<&'r Rule> {
        match self {
            Self::Matched(found) => Some(found.rule),
            Self::Unmatched(_) | Self::Override(_) => None,
        }
    }
}

/// What the counters of one request have in common.
struct Counters<'k> {
    domain: &'k str,
    now: UnixTime,
    keys: &'k KeyFormat,
}

impl Counters<'_> {
    fn planned<'r>(&self, resolved: Resolved<'r>, descriptor: &Descriptor<'_>) -> Planned<'r> {
        let found = match resolved {
            Resolved::Unmatched(why) => return Planned::Unmatched(why),
            Resolved::Override(limit) => return Planned::Counted(self.overridden(limit.rate, descriptor)),
            Resolved::Matched(found) => found,
        };
        match found.rule.limit() {
            Limit::Unlimited => Planned::Unlimited(found.rule),
            Limit::Rate(rate) => Planned::Counted(self.matched(&found, rate, descriptor)),
        }
    }

    fn matched<'r>(&self, found: &Match<'r>, rate: Rate, descriptor: &Descriptor<'_>) -> Counted<'r> {
        let window = Window::containing(self.now, rate.unit);
        Counted {
            rule: Some(found.rule),
            rate,
            key: self
                .keys
                .key(self.domain, found.key_entries(&descriptor.entries), window),
            hits: descriptor.hits,
            window,
            stats_key: found.stats_key(&descriptor.entries),
        }
    }

    /// Counted under the ordinary key: together with a rule on the same entries and unit.
    fn overridden<'r>(&self, rate: Rate, descriptor: &Descriptor<'_>) -> Counted<'r> {
        let window = Window::containing(self.now, rate.unit);
        Counted {
            rule: None,
            rate,
            key: self.keys.key(self.domain, descriptor.entries.iter().copied(), window),
            hits: descriptor.hits,
            window,
            stats_key: Some(stats_key_of_entries(self.domain, &descriptor.entries)),
        }
    }
}

/// `domain.key_value.key`: how statistics name a limit that no rule has.
fn stats_key_of_entries(domain: &str, entries: &[Entry<'_>]) -> Box<str> {
    let mut name = String::from(domain);
    if entries.is_empty() {
        name.push('.');
    }
    for entry in entries {
        name.push('.');
        name.push_str(entry.key);
        if !entry.value.is_empty() {
            name.push('_');
            name.push_str(entry.value);
        }
    }
    name.into_boxed_str()
}
