//! Resources to push, in few words.

use prost::Message as _;
use proto::xds::{Any, RateLimitConfig, RateLimitDescriptor, RateLimitPolicy, RateLimitUnit};

use crate::TYPE_URL;

/// A resource named as its domain.
pub(crate) fn domain(name: &str, descriptors: Vec<RateLimitDescriptor>) -> Any {
    resource(name, name, descriptors)
}

pub(crate) fn resource(name: &str, domain: &str, descriptors: Vec<RateLimitDescriptor>) -> Any {
    let config = RateLimitConfig {
        name: name.to_owned(),
        domain: domain.to_owned(),
        descriptors,
    };
    Any {
        type_url: TYPE_URL.to_owned(),
        value: config.encode_to_vec(),
    }
}

/// `key=value`, or `key` alone, without a limit.
pub(crate) fn path(entry: &str, descriptors: Vec<RateLimitDescriptor>) -> RateLimitDescriptor {
    let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
    RateLimitDescriptor {
        key: key.to_owned(),
        value: value.to_owned(),
        descriptors,
        ..RateLimitDescriptor::default()
    }
}

pub(crate) fn limit(entry: &str, requests_per_unit: u32, unit: RateLimitUnit) -> RateLimitDescriptor {
    let policy = RateLimitPolicy {
        unit: unit.into(),
        requests_per_unit,
        ..RateLimitPolicy::default()
    };
    RateLimitDescriptor {
        rate_limit: Some(policy),
        ..path(entry, Vec::new())
    }
}

pub(crate) fn unlimited(entry: &str) -> RateLimitDescriptor {
    let policy = RateLimitPolicy {
        unlimited: true,
        ..RateLimitPolicy::default()
    };
    RateLimitDescriptor {
        rate_limit: Some(policy),
        ..path(entry, Vec::new())
    }
}
