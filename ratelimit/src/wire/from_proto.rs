//! From Envoy's request to the core's, which borrows its text: nothing is copied.
//!
//! As envoyproxy/ratelimit, only an empty domain and an empty list of descriptors are refused; empty keys and values are
//! asked for as they are. It goes to [`RuleSet::plan`](ratelimit_core::RuleSet::plan).

use proto::ratelimit::rate_limit_descriptor::RateLimitOverride;
use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest};
use ratelimit_core::{Descriptor, Entry, Hits, LimitOverride, Rate, Request, Unit};

/// What is wrong with a request. The caller has to act; the first three texts are those of envoyproxy/ratelimit.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadRequest {
    /// No domain.
    #[error("rate limit domain must not be empty")]
    EmptyDomain,
    /// Nothing to decide.
    #[error("rate limit descriptor list must not be empty")]
    NoDescriptors,
    /// A limit of its own, per nothing we know. Falling back to the rules would count against a limit that nobody asked
    /// for.
    #[error("rate limit override has unknown unit {unit}")]
    UnknownOverrideUnit {
        /// The number sent.
        unit: i32,
    },
}

/// Reads a request.
///
/// # Errors
///
/// [`BadRequest`], the first that applies.
pub fn request(message: &RateLimitRequest) -> Result<Request<'_>, BadRequest> {
    if message.domain.is_empty() {
        return Err(BadRequest::EmptyDomain);
    }
    if message.descriptors.is_empty() {
        return Err(BadRequest::NoDescriptors);
    }
    let descriptors = message.descriptors.iter();
    let descriptors = descriptors.map(|descriptor| self::descriptor(descriptor, message.hits_addend));
    Ok(Request {
        domain: &message.domain,
        descriptors: descriptors.collect::<Result<_, _>>()?,
        stated_hits: message.hits_addend,
    })
}

fn descriptor(message: &RateLimitDescriptor, request_hits: u32) -> Result<Descriptor<'_>, BadRequest> {
    let stated_hits = message.hits_addend.as_ref().map(|hits| hits.value);
    let hits = Hits::resolve(stated_hits, request_hits);
    let entries = message.entries.iter();
    Ok(Descriptor {
        entries: entries
            .map(|entry| Entry {
                key: &entry.key,
                value: &entry.value,
            })
            .collect(),
        hits: if message.is_negative_hits { hits.negated() } else { hits },
        limit: message.limit.map(limit_override).transpose()?,
        stated_hits,
    })
}

fn limit_override(message: RateLimitOverride) -> Result<LimitOverride, BadRequest> {
    let unit = Unit::from_number(message.unit);
    let unit = unit.ok_or(BadRequest::UnknownOverrideUnit { unit: message.unit })?;
    Ok(LimitOverride {
        rate: Rate::new(message.requests_per_unit, unit),
    })
}

#[cfg(test)]
mod tests {
    use proto::google::UInt64Value;
    use proto::ratelimit::rate_limit_descriptor::Entry as EntryMessage;

    use super::*;

    fn message(descriptors: Vec<RateLimitDescriptor>) -> RateLimitRequest {
        RateLimitRequest {
            domain: "domain".to_owned(),
            descriptors,
            hits_addend: 0,
        }
    }

    fn entry(key: &str, value: &str) -> EntryMessage {
        EntryMessage {
            key: key.to_owned(),
            value: value.to_owned(),
        }
    }

    #[test]
    fn the_domain_is_looked_at_before_the_descriptors() {
        let mut empty = message(Vec::new());
        assert_eq!(request(&empty).unwrap_err(), BadRequest::NoDescriptors);
        empty.domain.clear();
        assert_eq!(request(&empty).unwrap_err(), BadRequest::EmptyDomain);
        assert_eq!(
            [
                BadRequest::EmptyDomain.to_string(),
                BadRequest::NoDescriptors.to_string()
            ],
            [
                "rate limit domain must not be empty",
                "rate limit descriptor list must not be empty"
            ]
        );
    }

    #[test]
    fn order_repetitions_and_empty_texts_survive() {
        let entries = vec![entry("b", ""), entry("a", "1"), entry("a", "1"), entry("", "x")];
        let message = message(vec![RateLimitDescriptor {
            entries,
            ..RateLimitDescriptor::default()
        }]);
        let request = request(&message).unwrap();
        let found: Vec<_> = request.descriptors[0]
            .entries
            .iter()
            .map(|entry| (entry.key, entry.value))
            .collect();
        assert_eq!(found, [("b", ""), ("a", "1"), ("a", "1"), ("", "x")]);
    }

    #[track_caller]
    fn check_hits(request_hits: u32, descriptor_hits: Option<u64>, negative: bool, expected: Hits) {
        let mut message = message(vec![RateLimitDescriptor {
            hits_addend: descriptor_hits.map(|value| UInt64Value { value }),
            is_negative_hits: negative,
            ..RateLimitDescriptor::default()
        }]);
        message.hits_addend = request_hits;
        assert_eq!(request(&message).unwrap().descriptors[0].hits, expected);
    }

    #[test]
    fn the_descriptors_hits_go_before_the_requests() {
        let charge = |hits| Hits::resolve(Some(hits), 0);
        check_hits(0, None, false, charge(1));
        check_hits(5, None, false, charge(5));
        check_hits(5, Some(0), false, Hits::Peek);
        check_hits(5, Some(7), false, charge(7));
        check_hits(5, Some(7), true, charge(7).negated());
        check_hits(0, None, true, charge(1).negated());
    }

    #[test]
    fn an_override_needs_a_unit_that_we_know() {
        let with_unit = |unit| {
            message(vec![RateLimitDescriptor {
                limit: Some(RateLimitOverride {
                    requests_per_unit: 3,
                    unit,
                }),
                ..RateLimitDescriptor::default()
            }])
        };
        let good = with_unit(2);
        let limit = request(&good).unwrap().descriptors[0].limit;
        assert_eq!(
            limit,
            Some(LimitOverride {
                rate: Rate::new(3, Unit::Minute)
            })
        );
        for unit in [0, 8, -1] {
            assert_eq!(
                request(&with_unit(unit)).unwrap_err(),
                BadRequest::UnknownOverrideUnit { unit }
            );
        }
    }
}
