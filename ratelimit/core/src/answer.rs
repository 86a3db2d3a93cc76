//! What a reply says besides its codes: the limit its headers describe, and its dynamic metadata.
//!
//! Both are plain values; whether a reply carries them, and under which names, is the edge's setting.

use std::collections::BTreeMap;

use crate::metadata::{self, Value};
use crate::{Code, Decision, Descriptor, LimitOverride, Request, Role, Status};

impl<'p> Decision<'p> {
    /// The status that the rate limit headers describe: the last limit that is over, else the first of those with
    /// the least remaining. `None` when nothing was counted. A quota that is over competes by what remains, as do
    /// statuses that shadow mode turned into OK.
    #[must_use]
    pub fn header_status(&self) -> Option<&Status<'p>> {
        let mut chosen = None;
        let mut least = u32::MAX;
        for status in self.statuses.iter().filter(|status| status.limit.is_some()) {
            if status.code == Code::OverLimit && status.role == Role::Limit {
                (chosen, least) = (Some(status), 0);
            } else if status.remaining < least {
                (chosen, least) = (Some(status), status.remaining);
            }
        }
        chosen
    }

    /// The metadata of the limits that were counted and are not over, merged in request order; the first to name a
    /// thing wins.
    #[must_use]
    pub fn passed_metadata(&self) -> BTreeMap<String, Value> {
        let mut merged = BTreeMap::new();
        for status in self
            .statuses
            .iter()
            .filter(|status| status.limit.is_some() && status.code == Code::Ok)
        {
            if let Some(rule) = status.rule {
                metadata::merge(&mut merged, rule.metadata());
            }
        }
        merged
    }

    /// The dynamic metadata of the reply to `request`: what was asked, and [`Decision::passed_metadata`].
    #[must_use]
    pub fn dynamic_metadata(&self, request: &Request<'_>) -> BTreeMap<String, Value> {
        let descriptors = request
            .descriptors
            .iter()
            .map(|descriptor| Value::Map(describe(descriptor)))
            .collect();
        let mut described = BTreeMap::from([
            ("domain".to_owned(), Value::from(request.domain)),
            ("descriptors".to_owned(), Value::List(descriptors)),
        ]);
        if request.stated_hits != 0 {
            described.insert("hitsAddend".to_owned(), Value::Number(f64::from(request.stated_hits)));
        }
        let passed = self.passed_metadata();
        if !passed.is_empty() {
            described.insert("metadata".to_owned(), Value::Map(passed));
        }
        described
    }
}

fn describe(descriptor: &Descriptor<'_>) -> BTreeMap<String, Value> {
    let entry = |entry: &crate::Entry<'_>| Value::Text(format!("{}={}", entry.key, entry.value));
    let entries = descriptor.entries.iter().map(entry).collect();
    let mut described = BTreeMap::from([("entries".to_owned(), Value::List(entries))]);
    if let Some(LimitOverride { rate }) = descriptor.limit {
        let text = format!(
            "requests_per_unit:{} unit:{}",
            rate.requests_per_unit(),
            rate.unit.name()
        );
        described.insert("limit".to_owned(), Value::Text(text));
    }
    if let Some(hits) = descriptor.stated_hits {
        described.insert("hitsAddend".to_owned(), Value::Number(double(hits)));
    }
    described
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a protobuf Struct has no other numbers"
)]
fn double(number: u64) -> f64 {
    number as f64
}
