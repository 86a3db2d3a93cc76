//! Statistics as log events at level info, for who has switched every other sink off.

use super::flush::{Feed, Outlet, Pace, Times};
use super::sample::{Kind, Sample, Source};
use super::tags::Tags;

/// A sink that logs.
#[derive(Debug)]
pub struct LogSink(Feed);

impl LogSink {
    /// A sink for what `source` says, and the way to record times in it.
    #[must_use]
    pub fn new(source: Source, common: Tags, pace: Pace) -> (Self, Times) {
        let (feed, times) = Feed::new(source, common, pace);
        (Self(feed), times)
    }

    /// Logs until `stop`, then once more.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        self.0.run(&mut Log, stop).await;
    }
}

struct Log;

impl Outlet for Log {
    fn take(&mut self, sample: &Sample<'_>) {
        let name = sample.name;
        match sample.kind {
            Kind::Counter(value) => tracing::info!(name, value, "flushing counter"),
            Kind::Gauge(value) => tracing::info!(name, value, "flushing gauge"),
            Kind::Timer(elapsed) => tracing::info!(name, value = elapsed.as_secs_f64() * 1000.0, "flushing time"),
        }
    }

    fn send(&mut self) {}
}
