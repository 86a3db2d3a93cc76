//! All series by family and labels, and the numbers by which they are reached once they are known.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Metric as _;
use prometheus::proto::{self, MetricFamily, MetricType};
use prometheus::{Histogram, HistogramOpts};

use super::{REFUSED, REFUSED_HELP, SERIES_MAX};
use crate::stats::mapper::{Labels, Metric, Place};
use crate::stats::sample::Kind;

/// Series in the order they came; families know them by their place in it.
#[derive(Debug, Default)]
pub(super) struct Store {
    families: BTreeMap<String, Family>,
    series: Vec<Series>,
    refused_series: u64,
    refused_kinds: u64,
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    help: Arc<str>,
    series: BTreeMap<Labels, usize>,
}

#[derive(Debug)]
enum Series {
    Counter(f64),
    Gauge(f64),
    Times(Histogram),
}

/// A series, and what values of a name are multiplied by before they get there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    number: usize,
    scale: f64,
}

/// Records times of one name.
#[derive(Clone, Debug)]
pub struct Observer {
    histogram: Histogram,
    scale: f64,
}

impl Observer {
    /// Records one time.
    pub fn observe(&self, elapsed: Duration) {
        self.histogram.observe(elapsed.as_secs_f64() * 1000.0 * self.scale);
    }
}

impl Store {
    /// The series of a place, made if there is room for it and its family is of the same kind. A refusal is counted.
    pub(super) fn slot(&mut self, place: &Place, metric: Metric) -> Option<Slot> {
        let scale = place.scale;
        let family = self.families.get(&place.family);
        if family.is_some_and(|family| family.metric != metric) {
            self.refused_kinds = self.refused_kinds.saturating_add(1);
            return None;
        }
        if let Some(number) = family.and_then(|family| family.series.get(&place.labels)) {
            return Some(Slot { number: *number, scale });
        }
        if self.series.len() >= SERIES_MAX {
            self.refused_series = self.refused_series.saturating_add(1);
            return None;
        }
        let number = self.series.len();
        self.series.push(new_series(place, metric)?);
        let new_family = || Family {
            metric,
            help: Arc::clone(&place.help),
            series: BTreeMap::new(),
        };
        let family = self.families.entry(place.family.clone()).or_insert_with(new_family);
        family.series.insert(place.labels.clone(), number);
        Some(Slot { number, scale })
    }

    /// Adds what a sample says to its series. A series of another kind does not change: slots are made by kind.
    pub(super) fn add(&mut self, slot: Slot, kind: Kind) {
        match (self.series.get_mut(slot.number), kind) {
            (Some(Series::Counter(total)), Kind::Counter(delta)) => *total += float(delta) * slot.scale,
            (Some(Series::Gauge(now)), Kind::Gauge(value)) => *now = float(value) * slot.scale,
            (Some(Series::Times(_)), Kind::Timer(elapsed)) => {
                if let Some(observer) = self.observer(slot) {
                    observer.observe(elapsed);
                }
            }
            (Some(Series::Counter(_) | Series::Gauge(_) | Series::Times(_)) | None, _) => {
                debug_assert!(false, "a slot leads to a series of its kind");
            }
        }
    }

    pub(super) fn observer(&self, slot: Slot) -> Option<Observer> {
        match self.series.get(slot.number)? {
            Series::Times(histogram) => Some(Observer {
                histogram: histogram.clone(),
                scale: slot.scale,
            }),
            Series::Counter(_) | Series::Gauge(_) => None,
        }
    }

    /// All families that have a series, and the one of refusals.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let refused = [("series", self.refused_series), ("kind", self.refused_kinds)].map(|(reason, count)| {
            let labels = Labels::from([("reason".to_owned(), reason.to_owned())]);
            shown_series(&labels, &Series::Counter(float(count)))
        });
        let own = shown_family(REFUSED, REFUSED_HELP, Metric::Counter, refused.into());
        let shown = self.families.iter().map(|(name, family)| {
            let series = |(labels, number): (&Labels, &usize)| Some(shown_series(labels, self.series.get(*number)?));
            let series = family.series.iter().filter_map(series).collect();
            shown_family(name, &family.help, family.metric, series)
        });
        shown.chain([own]).collect()
    }
}

fn new_series(place: &Place, metric: Metric) -> Option<Series> {
    Some(match metric {
        Metric::Counter => Series::Counter(0.0),
        Metric::Gauge => Series::Gauge(0.0),
        Metric::Timer => {
            let options = HistogramOpts::new(&place.family, &*place.help).buckets(place.buckets.to_vec());
            Series::Times(Histogram::with_opts(options).ok()?)
        }
    })
}

fn shown_family(name: &str, help: &str, metric: Metric, series: Vec<proto::Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(match metric {
        Metric::Counter => MetricType::COUNTER,
        Metric::Gauge => MetricType::GAUGE,
        Metric::Timer => MetricType::HISTOGRAM,
    });
    family.set_metric(series);
    family
}

fn shown_series(labels: &Labels, series: &Series) -> proto::Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    });
    let mut shown = proto::Metric::from_label(pairs.collect());
    match series {
        Series::Times(histogram) => shown.set_histogram(histogram.metric().get_histogram().clone()),
        Series::Gauge(value) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            shown.set_gauge(gauge);
        }
        Series::Counter(value) => {
            let mut counter = proto::Counter::default();
            counter.set_value(*value);
            shown.set_counter(counter);
        }
    }
    shown
}

/// Exact up to 2^53, as all that Prometheus knows.
fn float(value: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX));
    half(value >> 32).mul_add(4_294_967_296.0, half(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::mapper::{Mapping, ResponseTime};
    use crate::stats::tags::Tags;

    fn place(name: &str) -> Place {
        let mapping = Mapping::builtin(ResponseTime::Seconds).unwrap();
        mapping.place(name, &Tags::default(), Metric::Gauge).unwrap()
    }

    #[test]
    fn series_beyond_the_bound_are_refused_and_counted() {
        let mut store = Store::default();
        store.series.extend((1..SERIES_MAX).map(|_| Series::Gauge(0.0)));
        let last = store.slot(&place("a"), Metric::Gauge).unwrap();
        for name in ["b", "c"] {
            assert!(store.slot(&place(name), Metric::Gauge).is_none());
        }
        assert_eq!(store.slot(&place("a"), Metric::Gauge).unwrap().number, last.number);
        assert_eq!(
            (store.refused_series, store.families.len()),
            (2, 1),
            "no family is made for what is refused"
        );
    }

    #[test]
    fn totals_beyond_32_bits_are_exact() {
        for value in [0, 1, 0xffff_ffff, 0x1_0000_0000, 1 << 53] {
            assert_eq!(format!("{}", float(value)), value.to_string());
        }
    }
}
