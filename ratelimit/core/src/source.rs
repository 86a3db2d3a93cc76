//! Rules as written: typed, not yet checked against each other, with their positions.
//!
//! Every configuration language (files, xDS, manifests) ends here, and [`RuleSet::build`](crate::RuleSet::build) makes
//! rules of it. Only what no language can promise by itself is left to `build`: empty names, units, duplicates. Trees
//! are walked recursively: a language must bound its nesting (files do, to the depth of a document).

use std::collections::BTreeMap;

use crate::metadata::Value;
use crate::{Enforcement, Role};

/// A place in a file. Both count from 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// A value and where it was written, if it was written in a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spanned<T> {
    /// What.
    pub value: T,
    /// Where.
    pub position: Option<Position>,
}

impl<T> Spanned<T> {
    /// A value of no file.
    pub fn nowhere(value: T) -> Self {
        Self { value, position: None }
    }
}

/// One file, or one resource of a control plane.
#[derive(Clone, Debug, Default)]
pub struct RuleFile {
    /// How problems name it.
    pub name: String,
    /// The namespace its rules are in.
    pub domain: Spanned<String>,
    /// The top level.
    pub descriptors: Vec<RuleNode>,
}

/// One descriptor of the tree.
#[derive(Clone, Debug, Default)]
pub struct RuleNode {
    /// Where it starts.
    pub position: Option<Position>,
    /// What an entry's key must be.
    pub key: Spanned<String>,
    /// What an entry's value must be; empty for any, `*` for any run of characters.
    pub value: Spanned<String>,
    /// The limit of descriptors that end here.
    pub rate_limit: Option<RateLimit>,
    /// The next level.
    pub descriptors: Vec<Self>,
    /// `shadow_mode`.
    pub enforcement: Enforcement,
    /// `quota_mode`.
    pub role: Role,
    /// `share_threshold`.
    pub sharing: Spanned<Sharing>,
    /// `value_to_metric`.
    pub value_in_stats: ValueInStats,
    /// `detailed_metric`.
    pub stats_detail: StatsDetail,
    /// Returned with the answers that pass this limit; empty for none.
    pub metadata: BTreeMap<String, Value>,
}

/// `rate_limit` of a descriptor.
#[derive(Clone, Debug, Default)]
pub struct RateLimit {
    /// Where it starts.
    pub position: Option<Position>,
    /// A unit's name, as spelled.
    pub unit: Spanned<String>,
    /// How many.
    pub requests_per_unit: u32,
    /// `unlimited`.
    pub counting: Counting,
    /// Shown in answers; what [`RateLimit::replaces`] names.
    pub name: Spanned<String>,
    /// Names of limits that do not apply to a request this one applies to.
    pub replaces: Vec<Spanned<String>>,
}

/// Whether a limit counts at all.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Counting {
    /// Requests are counted against the number.
    #[default]
    Counted,
    /// `unlimited: true`: they are not.
    Unlimited,
}

/// Who shares the counter of a wildcard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sharing {
    /// Nobody: a counter for each value.
    #[default]
    PerValue,
    /// `share_threshold: true`: all values the wildcard matches.
    Shared,
}

/// Whether statistics name this level's value at run time.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ValueInStats {
    /// They name it as configured.
    #[default]
    AsConfigured,
    /// `value_to_metric: true`: they name the request's value.
    AsRequested,
}

/// Whether statistics name every value of the request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum StatsDetail {
    /// They name the rule.
    #[default]
    Rule,
    /// `detailed_metric: true`: they name the request's entries.
    Entries,
}
