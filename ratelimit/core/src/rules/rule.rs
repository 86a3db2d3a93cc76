//! One rule: a descriptor of the configuration that carries a limit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metadata::Value;
use crate::source::{Position, StatsDetail};
use crate::{Enforcement, Limit, Role};

/// The number of a rule in its [`RuleSet`](super::RuleSet): dense from 0, in configuration order.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleId(pub(super) u32);

impl RuleId {
    /// The number as an index.
    #[must_use]
    pub fn index(self) -> usize {
        // A u32 fits a usize wherever this runs; if it did not, the index would be out of range and not wrong.
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Where a rule was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The file or resource.
    pub file: Arc<str>,
    /// The place in it, if it has places.
    pub position: Option<Position>,
}

/// A limit and what goes with it.
#[derive(Debug)]
pub struct Rule {
    pub(super) id: RuleId,
    pub(super) origin: Origin,
    pub(super) domain: Arc<str>,
    pub(super) stats_key: Box<str>,
    pub(super) name: Box<str>,
    pub(super) limit: Limit,
    pub(super) stated_requests: u32,
    pub(super) enforcement: Enforcement,
    pub(super) role: Role,
    pub(super) stats_detail: StatsDetail,
    /// Sorted, so that a name is found by halving.
    pub(super) replaces: Box<[Box<str>]>,
    pub(super) metadata: BTreeMap<String, Value>,
}

impl Rule {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> RuleId {
        self.id
    }

    /// Where it was written.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The domain it is in.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The name of its statistics: the domain and the configured path, joined with dots.
    #[must_use]
    pub fn stats_key(&self) -> &str {
        &self.stats_key
    }

    /// `name` of the limit; empty for none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it allows.
    #[must_use]
    pub fn limit(&self) -> Limit {
        self.limit
    }

    /// `requests_per_unit` as written. Means nothing beside [`Limit::Unlimited`]; dumps show it.
    #[must_use]
    pub fn stated_requests(&self) -> u32 {
        self.stated_requests
    }

    /// Whether being over it refuses.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// How it counts towards the overall answer.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether its statistics name the request's entries (`detailed_metric`).
    #[must_use]
    pub fn stats_detail(&self) -> StatsDetail {
        self.stats_detail
    }

    /// Names of the limits it takes out of a request.
    pub fn replaces(&self) -> impl Iterator<Item = &str> {
        self.replaces.iter().map(|name| &**name)
    }

    /// Whether it takes the limit of this name out of a request.
    #[must_use]
    pub(crate) fn is_replacement_of(&self, name: &str) -> bool {
        self.replaces.binary_search_by(|known| (**known).cmp(name)).is_ok()
    }

    /// What it adds to the dynamic metadata of the requests that pass it.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, Value> {
        &self.metadata
    }
}
