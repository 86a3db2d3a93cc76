//! When statistics are said: counters and gauges at each flush, timers as they come.
//!
//! A feed is what every pushing sink runs on; where the samples go is the outlet's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

use super::sample::{Deltas, Kind, Sample, Source};
use super::tags::Tags;

/// Most times that wait to be written; about a second of a busy server.
const TIMES_MAX: usize = 32_768;
/// Most times that are written before ticks are looked at again.
const TIMES_AT_ONCE: usize = 1024;

/// Times that were dropped because the sink was behind.
const TIMES_DROPPED: &str = "ratelimit.statistics.times_dropped";

/// Takes samples. Statsd servers and the log are outlets.
pub(super) trait Outlet {
    /// Takes one sample.
    fn take(&mut self, sample: &Sample<'_>);
    /// Sends what was taken so far.
    fn send(&mut self);
}

/// Records times of one name, for a pushing sink. Never blocks: when the sink is behind, times are dropped and counted.
#[derive(Clone, Debug)]
pub struct TimerSender {
    name: Arc<str>,
    times: Times,
}

impl TimerSender {
    /// Records one time.
    pub fn record(&self, elapsed: Duration) {
        let time = Time {
            name: Arc::clone(&self.name),
            elapsed,
        };
        if self.times.sender.try_send(time).is_err() {
            self.times.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Makes [`TimerSender`]s.
#[derive(Clone, Debug)]
pub struct Times {
    sender: mpsc::Sender<Time>,
    dropped: Arc<AtomicU64>,
}

impl Times {
    /// The recorder for a timer's name.
    #[must_use]
    pub fn timer(&self, name: &str) -> TimerSender {
        TimerSender {
            name: name.into(),
            times: self.clone(),
        }
    }
}

#[derive(Debug)]
struct Time {
    name: Arc<str>,
    elapsed: Duration,
}

/// How often things happen.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between flushes of counters and gauges (`STATS_FLUSH_INTERVAL`).
    pub flush: Duration,
    /// Between sendings of what was taken, timers above all.
    pub send: Duration,
    /// From a failed connection to the next try.
    pub reconnect: Duration,
}

impl Pace {
    /// As envoyproxy/ratelimit: sent about once a second, connected again after three.
    #[must_use]
    pub const fn with_flush(flush: Duration) -> Self {
        Self {
            flush,
            send: Duration::from_secs(1),
            reconnect: Duration::from_secs(3),
        }
    }
}

/// What a pushing sink says, and when.
#[derive(Debug)]
pub(super) struct Feed {
    source: Source,
    common: Tags,
    deltas: Deltas,
    times: mpsc::Receiver<Time>,
    pace: Pace,
}

impl Feed {
    pub(super) fn new(source: Source, common: Tags, pace: Pace) -> (Self, Times) {
        let (sender, times) = mpsc::channel(TIMES_MAX);
        let dropped = Arc::default();
        let source = source.with_counter(TIMES_DROPPED, Arc::clone(&dropped));
        let feed = Self {
            source,
            common,
            deltas: Deltas::default(),
            times,
            pace,
        };
        (feed, Times { sender, dropped })
    }

    /// Feeds the outlet until `stop`, then says all that is left.
    pub(super) async fn run(mut self, outlet: &mut impl Outlet, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut flush = every(self.pace.flush);
        let mut send = every(self.pace.send);
        let mut batch = Vec::new();
        let mut has_timers = true;
        loop {
            // Ticks before times: a flood of times must not keep the counters from being said.
            tokio::select! {
                biased;
                () = &mut stop => break,
                _tick = flush.tick() => self.flush(outlet),
                _tick = send.tick() => outlet.send(),
                count = self.times.recv_many(&mut batch, TIMES_AT_ONCE), if has_timers => {
                    has_timers = count > 0;
                    self.take_times(outlet, &mut batch);
                }
            }
        }
        self.times.close();
        while let Ok(time) = self.times.try_recv() {
            batch.push(time);
        }
        self.take_times(outlet, &mut batch);
        self.flush(outlet);
    }

    fn flush(&mut self, outlet: &mut impl Outlet) {
        self.deltas
            .collect(&self.source, &self.common, |sample| outlet.take(&sample));
        outlet.send();
    }

    fn take_times(&self, outlet: &mut impl Outlet, batch: &mut Vec<Time>) {
        for time in batch.drain(..) {
            outlet.take(&Sample::new(&time.name, &self.common, Kind::Timer(time.elapsed)));
        }
    }
}

/// First after one period. A period of nothing would spin; it is a millisecond.
fn every(period: Duration) -> Interval {
    let period = period.max(Duration::from_millis(1));
    let mut interval = interval_at(tokio::time::Instant::now() + period, period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
