//! Statistics as Prometheus families: samples placed by a [`Mapping`] and added up, shown at each scrape.
//!
//! A scrape is a flush: the counters are read, what moved is added to its series. Series are bounded; what would be
//! one too many, or would turn a counter into a gauge, is refused and counted in `ratelimit_statistics_refused`.

mod store;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use self::store::{Slot, Store};
use super::mapper::{Mapping, Metric};
use super::sample::{Deltas, Sample, Source};
use super::tags::Tags;

pub use self::store::Observer;

/// Most series of all families together; about 300 bytes each.
pub const SERIES_MAX: usize = 200_000;

/// The family that counts what was refused.
const REFUSED: &str = "ratelimit_statistics_refused";
const REFUSED_HELP: &str = "Statistics refused, by reason: too many series, or one name with two kinds.";

/// A collector of everything that a source and its timers say. Clones are the same collector.
#[derive(Clone, Debug)]
pub struct Families(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mapping: Mapping,
    common: Tags,
    source: Source,
    refused: Desc,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    deltas: Deltas,
    /// Where names went before. Holds no more entries than there may be series.
    known: HashMap<String, Known>,
    store: Store,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    metric: Metric,
    /// `None` for a name that is dropped or refused.
    slot: Option<Slot>,
}

impl Families {
    /// Families of what `source` says, with the common tags as labels.
    ///
    /// # Errors
    /// Never with the names in this file.
    pub fn new(mapping: Mapping, common: Tags, source: Source) -> prometheus::Result<Self> {
        let refused = Desc::new(
            REFUSED.into(),
            REFUSED_HELP.into(),
            vec!["reason".into()],
            HashMap::new(),
        )?;
        let state = Mutex::default();
        Ok(Self(Arc::new(Inner {
            mapping,
            common,
            source,
            refused,
            state,
        })))
    }

    /// The recorder for a timer's name; `None` if the mapping drops the name or there is no room for it.
    #[must_use]
    pub fn timer(&self, name: &str) -> Option<Observer> {
        let place = self.0.mapping.place(name, &self.0.common, Metric::Timer)?;
        let store = &mut self.0.state.lock().store;
        let slot = store.slot(&place, Metric::Timer)?;
        store.observer(slot)
    }

    /// Reads the source and gives all families that have a series, by name.
    #[must_use]
    pub fn gather(&self) -> Vec<MetricFamily> {
        let Inner {
            mapping,
            common,
            source,
            state,
            ..
        } = &*self.0;
        let State { deltas, known, store } = &mut *state.lock();
        deltas.collect(source, common, |sample| {
            if let Some(slot) = slot_of(&sample, mapping, known, store) {
                store.add(slot, sample.kind);
            }
        });
        store.families()
    }
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.refused]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gather()
    }
}

/// The slot of a sample's series. Names with tags of their own are few and are placed anew each time.
fn slot_of(
    sample: &Sample<'_>,
    mapping: &Mapping,
    known: &mut HashMap<String, Known>,
    store: &mut Store,
) -> Option<Slot> {
    let metric = Metric::from(sample.kind);
    let is_plain = matches!(sample.tags, Cow::Borrowed(_));
    if is_plain && let Some(before) = known.get(sample.name).filter(|before| before.metric == metric) {
        return before.slot;
    }
    let place = mapping.place(sample.name, &sample.tags, metric);
    let slot = place.and_then(|place| store.slot(&place, metric));
    if is_plain {
        if known.len() >= SERIES_MAX {
            known.clear();
        }
        known.insert(sample.name.to_owned(), Known { metric, slot });
    }
    slot
}

#[cfg(test)]
mod tests;
