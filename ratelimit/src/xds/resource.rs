//! Resources of a push to rules as written. Decoding only: what is wrong with the rules is found when they are built.
//!
//! Fields that only newer servers know are passed over, as protobuf intends, and named so that the caller can say so.
//! Descriptors are walked recursively; prost refuses messages nested deeper than 100.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::google::{Struct, Value as ProtoValue, value};
use proto::xds::{Any, RateLimitConfig, RateLimitDescriptor, RateLimitPolicy, RateLimitUnit};
use ratelimit_core::metadata::Value;
use ratelimit_core::source::{Counting, RateLimit, RuleFile, RuleNode, Spanned, StatsDetail};
use ratelimit_core::{Enforcement, Role};

use super::subscription::TYPE_URL;

/// A resource that is none of ours. The server's operator has to act.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum ResourceError {
    /// It says that it is something else.
    #[error("resources[{index}]: expected {TYPE_URL}, not '{type_url}'")]
    Type {
        /// Its place in the push.
        index: usize,
        /// What it says it is.
        type_url: String,
    },
    /// It is not the message that it says it is.
    #[error("resources[{index}]: {source}")]
    Malformed {
        /// Its place in the push.
        index: usize,
        /// What prost says.
        source: prost::DecodeError,
    },
}

/// What a push holds.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    /// The rules, one file a resource, named as the resource.
    pub(super) files: Vec<RuleFile>,
    /// The resources with fields that this version does not know.
    pub(super) newer: Vec<String>,
}

/// Decodes every resource of a push.
///
/// # Errors
/// At the first resource that is not a [`RateLimitConfig`]; it has no name that could be trusted, so its place is given.
pub(super) fn decode(resources: &[Any]) -> Result<Decoded, ResourceError> {
    let mut decoded = Decoded::default();
    for (index, resource) in resources.iter().enumerate() {
        let config = message(index, resource)?;
        // Only a field that was dropped makes the message shorter: encoders write no defaults.
        if config.encoded_len() < resource.value.len() {
            decoded.newer.push(config.name.clone());
        }
        decoded.files.push(file(index, config));
    }
    Ok(decoded)
}

fn message(index: usize, resource: &Any) -> Result<RateLimitConfig, ResourceError> {
    if resource.type_url != TYPE_URL {
        let type_url = resource.type_url.clone();
        return Err(ResourceError::Type { index, type_url });
    }
    RateLimitConfig::decode(resource.value.as_slice()).map_err(|source| ResourceError::Malformed { index, source })
}

fn file(index: usize, config: RateLimitConfig) -> RuleFile {
    let name = if config.name.is_empty() {
        format!("resources[{index}]")
    } else {
        config.name
    };
    RuleFile {
        name,
        domain: Spanned::nowhere(config.domain),
        descriptors: config.descriptors.into_iter().map(node).collect(),
    }
}

/// There is no `share_threshold` and no `value_to_metric` in these messages.
fn node(descriptor: RateLimitDescriptor) -> RuleNode {
    RuleNode {
        key: Spanned::nowhere(descriptor.key),
        value: Spanned::nowhere(descriptor.value),
        rate_limit: descriptor.rate_limit.map(rate_limit),
        descriptors: descriptor.descriptors.into_iter().map(node).collect(),
        enforcement: if descriptor.shadow_mode {
            Enforcement::Shadow
        } else {
            Enforcement::Enforce
        },
        role: if descriptor.quota_mode {
            Role::Quota
        } else {
            Role::Limit
        },
        stats_detail: if descriptor.detailed_metric {
            StatsDetail::Entries
        } else {
            StatsDetail::Rule
        },
        metadata: descriptor.metadata.map(fields).unwrap_or_default(),
        ..RuleNode::default()
    }
}

fn rate_limit(policy: RateLimitPolicy) -> RateLimit {
    RateLimit {
        unit: Spanned::nowhere(unit_name(policy.unit)),
        requests_per_unit: policy.requests_per_unit,
        counting: if policy.unlimited {
            Counting::Unlimited
        } else {
            Counting::Counted
        },
        name: Spanned::nowhere(policy.name),
        replaces: policy
            .replaces
            .into_iter()
            .map(|replaced| Spanned::nowhere(replaced.name))
            .collect(),
        ..RateLimit::default()
    }
}

/// The enum's own name, which the rules are then checked by: UNKNOWN is no unit. A number of a newer enum stays a number.
fn unit_name(unit: i32) -> String {
    RateLimitUnit::try_from(unit).map_or_else(|_| unit.to_string(), |unit| unit.as_str_name().to_owned())
}

fn fields(metadata: Struct) -> BTreeMap<String, Value> {
    metadata
        .fields
        .into_iter()
        .map(|(name, value)| (name, plain(value)))
        .collect()
}

fn plain(value: ProtoValue) -> Value {
    match value.kind {
        None | Some(value::Kind::NullValue(_)) => Value::Null,
        Some(value::Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(value::Kind::NumberValue(number)) => Value::Number(number),
        Some(value::Kind::StringValue(text)) => Value::Text(text),
        Some(value::Kind::ListValue(list)) => Value::List(list.values.into_iter().map(plain).collect()),
        Some(value::Kind::StructValue(map)) => Value::Map(fields(map)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::google::ListValue;
    use proto::xds::RateLimitReplace;
    use ratelimit_core::{BuildOptions, RuleSet};

    use super::*;

    fn packed(config: &RateLimitConfig) -> Any {
        Any {
            type_url: TYPE_URL.to_owned(),
            value: config.encode_to_vec(),
        }
    }

    fn config(descriptor: RateLimitDescriptor) -> RateLimitConfig {
        RateLimitConfig {
            name: "res".to_owned(),
            domain: "foo".to_owned(),
            descriptors: vec![descriptor],
        }
    }

    fn policy(unit: i32) -> RateLimitPolicy {
        RateLimitPolicy {
            unit,
            requests_per_unit: 3,
            ..RateLimitPolicy::default()
        }
    }

    fn descriptor() -> RateLimitDescriptor {
        RateLimitDescriptor {
            key: "k".to_owned(),
            rate_limit: Some(policy(2)),
            ..RateLimitDescriptor::default()
        }
    }

    fn only_node(descriptor: RateLimitDescriptor) -> RuleNode {
        let mut decoded = decode(&[packed(&config(descriptor))]).unwrap();
        decoded.files.remove(0).descriptors.remove(0)
    }

    #[track_caller]
    fn build_error(config: &RateLimitConfig) -> String {
        let decoded = decode(&[packed(config)]).unwrap();
        let problems = RuleSet::build(&decoded.files, BuildOptions::default()).unwrap_err();
        problems[0].to_string()
    }

    #[test]
    fn every_field_arrives() {
        let number = ProtoValue {
            kind: Some(value::Kind::NumberValue(1.5)),
        };
        let list = ProtoValue {
            kind: Some(value::Kind::ListValue(ListValue {
                values: vec![number.clone(), ProtoValue::default()],
            })),
        };
        let node = only_node(RateLimitDescriptor {
            key: "k".to_owned(),
            value: "v*".to_owned(),
            rate_limit: Some(RateLimitPolicy {
                name: "limit".to_owned(),
                replaces: vec![RateLimitReplace {
                    name: "other".to_owned(),
                }],
                ..policy(7)
            }),
            descriptors: vec![descriptor()],
            shadow_mode: true,
            detailed_metric: true,
            quota_mode: true,
            metadata: Some(Struct {
                fields: [("n".to_owned(), number), ("l".to_owned(), list)].into(),
            }),
        });
        assert_eq!((node.key.value.as_str(), node.value.value.as_str()), ("k", "v*"));
        assert_eq!(node.enforcement, Enforcement::Shadow);
        assert_eq!(node.role, Role::Quota);
        assert_eq!(node.stats_detail, StatsDetail::Entries);
        assert_eq!(node.metadata["n"], Value::Number(1.5));
        assert_eq!(node.metadata["l"], Value::List(vec![Value::Number(1.5), Value::Null]));
        assert_eq!(node.descriptors[0].key.value, "k");
        let limit = node.rate_limit.unwrap();
        assert_eq!((limit.unit.value.as_str(), limit.requests_per_unit), ("WEEK", 3));
        assert_eq!(limit.counting, Counting::Counted);
        assert_eq!(limit.name.value, "limit");
        assert_eq!(limit.replaces[0].value, "other");
    }

    #[test]
    fn flags_that_are_not_set_are_off() {
        let node = only_node(descriptor());
        assert_eq!(node.enforcement, Enforcement::Enforce);
        assert_eq!(node.role, Role::Limit);
        assert_eq!(node.stats_detail, StatsDetail::Rule);
        assert!(node.metadata.is_empty());
        let unlimited = RateLimitPolicy {
            unlimited: true,
            ..RateLimitPolicy::default()
        };
        let node = only_node(RateLimitDescriptor {
            rate_limit: Some(unlimited),
            ..descriptor()
        });
        assert_eq!(node.rate_limit.unwrap().counting, Counting::Unlimited);
    }

    #[test]
    fn errors_name_the_resource_and_the_unit_as_the_enum_does() {
        let unknown = |unit| {
            config(RateLimitDescriptor {
                rate_limit: Some(policy(unit)),
                ..descriptor()
            })
        };
        assert_eq!(build_error(&unknown(0)), "res: invalid rate limit unit 'UNKNOWN'");
        assert_eq!(build_error(&unknown(99)), "res: invalid rate limit unit '99'");
    }

    #[test]
    fn a_resource_without_a_name_is_named_by_its_place() {
        let nameless = RateLimitConfig::default();
        assert_eq!(
            build_error(&nameless),
            "resources[0]: config file cannot have empty domain"
        );
    }

    #[test]
    fn a_resource_of_another_type_is_refused_by_its_place() {
        let foreign = Any {
            type_url: "type.googleapis.com/x.Y".to_owned(),
            value: Vec::new(),
        };
        let good = packed(&config(descriptor()));
        let error = decode(&[good, foreign]).unwrap_err();
        assert!(matches!(error, ResourceError::Type { index: 1, .. }));
        assert_eq!(
            error.to_string(),
            format!("resources[1]: expected {TYPE_URL}, not 'type.googleapis.com/x.Y'")
        );
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        let broken = Any {
            type_url: TYPE_URL.to_owned(),
            value: vec![0x0a, 0xff],
        };
        assert!(matches!(
            decode(&[broken]),
            Err(ResourceError::Malformed { index: 0, .. })
        ));
    }

    #[test]
    fn a_tower_of_descriptors_is_refused_not_followed() {
        let mut tower = descriptor();
        for _ in 0..200 {
            tower = RateLimitDescriptor {
                descriptors: vec![tower],
                ..descriptor()
            };
        }
        let result = decode(&[packed(&config(tower))]);
        assert!(matches!(result, Err(ResourceError::Malformed { index: 0, .. })));
    }

    #[test]
    fn fields_of_newer_servers_are_passed_over_and_named() {
        let mut newer = packed(&config(descriptor()));
        newer.value.extend_from_slice(&[0x7a, 0x01, b'x']); // field 15, one byte of text
        let decoded = decode(&[packed(&config(descriptor())), newer]).unwrap();
        assert_eq!(decoded.files.len(), 2);
        assert_eq!(decoded.newer, ["res"]);
    }

    /// A resource with every field in it.
    fn rich() -> Any {
        let nested = RateLimitDescriptor {
            descriptors: vec![descriptor()],
            metadata: Some(Struct {
                fields: [("n".to_owned(), ProtoValue::default())].into(),
            }),
            ..descriptor()
        };
        packed(&config(nested))
    }

    #[track_caller]
    fn survives(value: Vec<u8>) {
        let resource = Any {
            type_url: TYPE_URL.to_owned(),
            value,
        };
        if let Ok(decoded) = decode(&[resource]) {
            let _built = RuleSet::build(&decoded.files, BuildOptions::default());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            survives(value);
        }

        #[test]
        fn no_damage_makes_it_panic(place in any::<proptest::sample::Index>(), byte in any::<u8>(), end in any::<proptest::sample::Index>()) {
            let mut value = rich().value;
            let place = place.index(value.len());
            value[place] = byte;
            value.truncate(end.index(value.len() + 1));
            survives(value);
        }
    }
}
