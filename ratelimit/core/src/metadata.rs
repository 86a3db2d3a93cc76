//! Free-form metadata of rules and the dynamic metadata of answers, as plain values.
//!
//! The shape of a protobuf `Struct`, because that is where it ends: numbers are doubles, keys are text. This module
//! knows how two of them merge; what they mean is between the operator and the gateway.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A double, as in a protobuf `Struct`.
    Number(f64),
    /// Text.
    Text(String),
    /// Values in order.
    List(Vec<Self>),
    /// Values by name.
    Map(BTreeMap<String, Self>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// Adds to `into` what `from` has and it has not. On a conflict what is there stays, except that two maps merge in
/// the same way; lists do not merge.
pub(crate) fn merge(into: &mut BTreeMap<String, Value>, from: &BTreeMap<String, Value>) {
    for (name, value) in from {
        match into.entry(name.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(value.clone());
            }
            Entry::Occupied(mut occupied) => {
                if let (Value::Map(into), Value::Map(from)) = (occupied.get_mut(), value) {
                    merge(into, from);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    #[test]
    fn the_first_value_stays_and_maps_merge() {
        let mut into = map(&[("name", "one".into()), ("deep", Value::Map(map(&[("a", "x".into())])))]);
        let from = map(&[
            ("name", "two".into()),
            ("other", Value::Bool(true)),
            ("deep", Value::Map(map(&[("a", "y".into()), ("b", "z".into())]))),
        ]);
        merge(&mut into, &from);
        let deep = Value::Map(map(&[("a", "x".into()), ("b", "z".into())]));
        assert_eq!(
            into,
            map(&[("name", "one".into()), ("other", Value::Bool(true)), ("deep", deep)])
        );
    }

    #[test]
    fn a_map_does_not_replace_text_nor_the_reverse() {
        let mut into = map(&[("a", "text".into()), ("b", Value::Map(map(&[])))]);
        merge(&mut into, &map(&[("a", Value::Map(map(&[]))), ("b", "text".into())]));
        assert_eq!(into, map(&[("a", "text".into()), ("b", Value::Map(map(&[])))]));
    }
}
