//! What can be wrong with rules that were read well: one enum, its texts those of envoyproxy/ratelimit.
//!
//! A [`RuleProblem`] carries data (file, position, field, value); its `Display` is the line the other server would
//! print, because scripts match on it. Edges print more from the fields.

use std::fmt;

use crate::source::Position;

/// One thing wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleProblem {
    /// The file's name.
    pub file: String,
    /// The place, if the source has places.
    pub position: Option<Position>,
    /// The path of the field: `descriptors[0].rate_limit.unit`.
    pub field: String,
    /// What is wrong.
    pub kind: RuleProblemKind,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file, self.kind)
    }
}

impl std::error::Error for RuleProblem {}

/// What is wrong. The operator has to act on every one of them.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RuleProblemKind {
    /// `domain` is missing or empty.
    #[error("config file cannot have empty domain")]
    EmptyDomain,
    /// Another file has the domain, and domains are not merged.
    #[error("duplicate domain '{domain}' in config file")]
    DuplicateDomain {
        /// Which.
        domain: String,
    },
    /// `key` is missing or empty.
    #[error("descriptor has empty key")]
    EmptyKey,
    /// A sibling has the same key and value, or ones that join to the same text.
    #[error("duplicate descriptor composite key '{path}'")]
    DuplicateDescriptor {
        /// The path from the domain, joined with dots.
        path: String,
    },
    /// `unlimited: true` beside a unit.
    #[error("should not specify rate limit unit when unlimited")]
    UnitWhenUnlimited {
        /// The unit as spelled.
        unit: String,
    },
    /// No such unit.
    #[error("invalid rate limit unit '{unit}'")]
    InvalidUnit {
        /// As spelled.
        unit: String,
    },
    /// An entry of `replaces` without a name.
    #[error("should not have an empty replaces entry")]
    EmptyReplaces,
    /// A limit that replaces itself.
    #[error("replaces should not contain name of same descriptor")]
    ReplacesItself {
        /// Its name.
        name: String,
    },
    /// `share_threshold: true` where no wildcard can match.
    #[error("share_threshold can only be used with wildcard values (containing '*'), but found key '{composite}'")]
    SharingWithoutWildcard {
        /// Key and value joined.
        composite: String,
    },
    /// More rules than a [`RuleId`](crate::RuleId) can number.
    #[error("more than {limit} descriptors")]
    TooManyDescriptors {
        /// How many there may be.
        limit: u32,
    },
}

impl RuleProblemKind {
    /// The offending text, where the field has one.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::EmptyDomain | Self::EmptyKey | Self::EmptyReplaces | Self::TooManyDescriptors { .. } => None,
            Self::DuplicateDomain { domain } => Some(domain),
            Self::DuplicateDescriptor { path } => Some(path),
            Self::UnitWhenUnlimited { unit } | Self::InvalidUnit { unit } => Some(unit),
            Self::ReplacesItself { name } => Some(name),
            Self::SharingWithoutWildcard { composite } => Some(composite),
        }
    }

    /// What the field may hold, where that is a short list.
    #[must_use]
    pub fn allowed(&self) -> Option<&'static str> {
        match self {
            Self::EmptyDomain | Self::EmptyKey | Self::EmptyReplaces => Some("a non-empty string"),
            Self::DuplicateDomain { .. } => Some("one file a domain, unless domains are merged"),
            Self::DuplicateDescriptor { .. } => Some("one descriptor a key and value under one parent"),
            Self::UnitWhenUnlimited { .. } => Some("either unlimited or a unit"),
            Self::InvalidUnit { .. } => Some("second, minute, hour, day, week, month, year"),
            Self::ReplacesItself { .. } => Some("names of other limits"),
            Self::SharingWithoutWildcard { .. } => Some("share_threshold beside a value with '*'"),
            Self::TooManyDescriptors { .. } => None,
        }
    }
}
