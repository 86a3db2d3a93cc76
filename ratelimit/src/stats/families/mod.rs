//! Statistics as Prometheus families: samples placed by a [`Mapping`] and added up, shown at each scrape.
//!
//! A scrape is a flush: the counters are read, what moved is added to its series. Series are bounded; what would be
//! one too many, or would turn a counter into a gauge, is refused and counted in `ratelimit_statistics_refused`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus::core::{Collector, Desc, Metric as _};
use prometheus::proto::{self, MetricFamily, MetricType};
use prometheus::{Histogram, HistogramOpts};

use super::mapper::{Labels, Mapping, Metric, Place};
use super::sample::{Deltas, Kind, Sample, Source};
use super::tags::Tags;

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
    places: HashMap<String, Known>,
    series: Store,
}

#[derive(Clone, Debug)]
struct Known {
    metric: Metric,
    place: Option<Arc<Place>>,
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
        self.0.state.lock().series.observer(&place)
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
        let State { deltas, places, series } = &mut *state.lock();
        deltas.collect(source, common, |sample| {
            if let Some(place) = place_once(places, mapping, &sample) {
                series.add(&place, sample.kind);
            }
        });
        series.families()
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

/// Names with tags of their own are few and are placed anew each time.
fn place_once(places: &mut HashMap<String, Known>, mapping: &Mapping, sample: &Sample<'_>) -> Option<Arc<Place>> {
    let metric = Metric::from(sample.kind);
    let place = || mapping.place(sample.name, &sample.tags, metric).map(Arc::new);
    if matches!(sample.tags, Cow::Owned(_)) {
        return place();
    }
    if let Some(known) = places.get(sample.name).filter(|known| known.metric == metric) {
        return known.place.clone();
    }
    if places.len() >= SERIES_MAX {
        places.clear();
    }
    let known = Known { metric, place: place() };
    places.insert(sample.name.to_owned(), known.clone());
    known.place
}

/// All series by family and labels.
#[derive(Debug, Default)]
struct Store {
    families: BTreeMap<String, Family>,
    count: usize,
    refused_series: u64,
    refused_kinds: u64,
}

#[derive(Debug)]
struct Family {
    metric: Metric,
    help: Arc<str>,
    series: BTreeMap<Labels, Series>,
}

#[derive(Debug)]
enum Series {
    Number(f64),
    Times(Histogram),
}

impl Store {
    fn add(&mut self, place: &Place, kind: Kind) {
        let number = |value: u64| Some(Series::Number(float(value) * place.scale));
        match kind {
            Kind::Timer(elapsed) => {
                if let Some(observer) = self.observer(place) {
                    observer.observe(elapsed);
                }
            }
            Kind::Counter(delta) => {
                if let Some(Series::Number(total)) = self.series(place, Metric::Counter, || Some(Series::Number(0.0))) {
                    *total += float(delta) * place.scale;
                }
            }
            Kind::Gauge(value) => {
                if let Some(series) = self.series(place, Metric::Gauge, || number(value)) {
                    *series = Series::Number(float(value) * place.scale);
                }
            }
        }
    }

    fn observer(&mut self, place: &Place) -> Option<Observer> {
        let times = || {
            let options = HistogramOpts::new(&place.family, &*place.help).buckets(place.buckets.to_vec());
            Histogram::with_opts(options).ok().map(Series::Times)
        };
        match self.series(place, Metric::Timer, times)? {
            Series::Times(histogram) => Some(Observer {
                histogram: histogram.clone(),
                scale: place.scale,
            }),
            Series::Number(_) => None,
        }
    }

    /// The series of a place, made if there is room for it and its family is of the same kind.
    fn series(&mut self, place: &Place, metric: Metric, make: impl FnOnce() -> Option<Series>) -> Option<&mut Series> {
        if !self.families.contains_key(&place.family) {
            let family = Family {
                metric,
                help: Arc::clone(&place.help),
                series: BTreeMap::new(),
            };
            self.families.insert(place.family.clone(), family);
        }
        let family = self.families.get_mut(&place.family)?;
        if family.metric != metric {
            self.refused_kinds = self.refused_kinds.saturating_add(1);
            return None;
        }
        if !family.series.contains_key(&place.labels) {
            if self.count >= SERIES_MAX {
                self.refused_series = self.refused_series.saturating_add(1);
                return None;
            }
            family.series.insert(place.labels.clone(), make()?);
            self.count = self.count.saturating_add(1);
        }
        family.series.get_mut(&place.labels)
    }

    fn families(&self) -> Vec<MetricFamily> {
        let refused = [("series", self.refused_series), ("kind", self.refused_kinds)].map(|(reason, count)| {
            let labels = Labels::from([("reason".to_owned(), reason.to_owned())]);
            shown_series(Metric::Counter, &labels, &Series::Number(float(count)))
        });
        let own = family(REFUSED, REFUSED_HELP, Metric::Counter, refused.into());
        let shown = self.families.iter().map(|(name, of)| {
            let series = of
                .series
                .iter()
                .map(|(labels, series)| shown_series(of.metric, labels, series));
            family(name, &of.help, of.metric, series.collect())
        });
        shown
            .filter(|family| !family.get_metric().is_empty())
            .chain([own])
            .collect()
    }
}

fn family(name: &str, help: &str, metric: Metric, series: Vec<proto::Metric>) -> MetricFamily {
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

fn shown_series(metric: Metric, labels: &Labels, series: &Series) -> proto::Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name(name.clone());
        pair.set_value(value.clone());
        pair
    });
    let mut shown = proto::Metric::from_label(pairs.collect());
    match (series, metric) {
        (Series::Times(histogram), _) => shown.set_histogram(histogram.metric().get_histogram().clone()),
        (Series::Number(value), Metric::Gauge) => {
            let mut gauge = proto::Gauge::default();
            gauge.set_value(*value);
            shown.set_gauge(gauge);
        }
        (Series::Number(value), Metric::Counter | Metric::Timer) => {
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
mod tests;
