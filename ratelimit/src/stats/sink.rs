//! The chosen sink, opened: what the process records times in, and what it runs to push statistics.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use server::problem::Problems;
use server::source::{DotFiles, Extensions, Selection, SourceError};

use super::families::{Families, Observer};
use super::flush::{Pace, TimerSender, Times};
use super::log::LogSink;
use super::mapper::{Mapping, ResponseTime};
use super::sample::Source;
use super::statsd::{StatsdSink, Target};
use super::tags::Tags;

/// What the environment asks for.
#[derive(Clone, Debug)]
pub struct SinkSettings {
    /// Where statistics go.
    pub way: Way,
    /// Tags of every statistic.
    pub tags: Tags,
    /// Between flushes of counters and gauges, where they are pushed.
    pub flush_interval: Duration,
}

/// Where statistics go.
#[derive(Clone, Debug)]
pub enum Way {
    /// Nowhere.
    Disabled,
    /// To the log.
    Log,
    /// To whoever scrapes.
    Scraped {
        /// Path of a mapping file; empty for the built-in rules.
        mapping_file: String,
        /// Unit of response times under the built-in rules.
        response_time: ResponseTime,
    },
    /// To a statsd server or `DogStatsD` agent.
    Pushed(Target),
}

/// Why statistics cannot be kept as asked.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A mapping file that cannot be read. The operator has to act.
    #[error("PROMETHEUS_MAPPER_YAML")]
    MappingSource(#[from] SourceError),
    /// A mapping file that is wrong or asks for what is not supported. The operator has to act.
    #[error(transparent)]
    Mapping(#[from] Problems),
    /// A defect of ours.
    #[error("internal error")]
    Internal(#[from] prometheus::Error),
}

/// Where statistics are recorded.
#[derive(Clone, Debug)]
pub enum Recorder {
    /// They are not.
    Disabled,
    /// For scrapes: register it.
    Scraped(Families),
    /// For a [`Pusher`].
    Pushed(Times),
}

/// What pushes statistics. Run it to the end of the process.
#[derive(Debug)]
pub enum Pusher {
    /// To a statsd server or `DogStatsD` agent.
    Statsd(StatsdSink),
    /// To the log.
    Log(LogSink),
}

/// Records times of one name.
#[derive(Clone, Debug)]
pub struct Timer(Option<TimerOf>);

#[derive(Clone, Debug)]
enum TimerOf {
    Scraped(Observer),
    Pushed(TimerSender),
}

/// Opens the sink that the settings name, for what `source` says. Blocks while it reads the mapping file.
///
/// # Errors
/// A mapping file that cannot be read or used. One that is not there is none: gateways name a file that they may not
/// have mounted.
pub fn open(settings: &SinkSettings, source: &Source) -> Result<(Recorder, Option<Pusher>), OpenError> {
    let source = source.clone();
    let tags = settings.tags.clone();
    let pace = Pace::with_flush(settings.flush_interval);
    Ok(match &settings.way {
        Way::Disabled => (Recorder::Disabled, None),
        Way::Log => {
            let (sink, times) = LogSink::new(source, tags, pace);
            (Recorder::Pushed(times), Some(Pusher::Log(sink)))
        }
        Way::Pushed(target) => {
            let (sink, times) = StatsdSink::new(target.clone(), source, tags, pace);
            (Recorder::Pushed(times), Some(Pusher::Statsd(sink)))
        }
        Way::Scraped {
            mapping_file,
            response_time,
        } => {
            let mapping = match read_mapping(mapping_file)? {
                Some(text) => Mapping::read(mapping_file, &text)?,
                None => Mapping::builtin(*response_time)?,
            };
            (Recorder::Scraped(Families::new(mapping, tags, source)?), None)
        }
    })
}

fn read_mapping(path: &str) -> Result<Option<Arc<[u8]>>, SourceError> {
    if path.is_empty() {
        return Ok(None);
    }
    let selection = Selection {
        dot_files: DotFiles::Ignore,
        extensions: Extensions::All,
    };
    match server::source::read(Path::new(path), selection) {
        Ok(files) => Ok(files.into_iter().next().map(|file| file.bytes)),
        Err(SourceError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(path, "PROMETHEUS_MAPPER_YAML is not there; the built-in rules hold");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Recorder {
    /// The recorder for a timer's name.
    #[must_use]
    pub fn timer(&self, name: &str) -> Timer {
        Timer(match self {
            Self::Disabled => None,
            Self::Scraped(families) => families.timer(name).map(TimerOf::Scraped),
            Self::Pushed(times) => Some(TimerOf::Pushed(times.timer(name))),
        })
    }
}

impl Timer {
    /// Records one time. Takes no lock.
    pub fn record(&self, elapsed: Duration) {
        match &self.0 {
            None => {}
            Some(TimerOf::Scraped(observer)) => observer.observe(elapsed),
            Some(TimerOf::Pushed(sender)) => sender.record(elapsed),
        }
    }
}

impl Pusher {
    /// Pushes until `stop`, then what is left.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        match self {
            Self::Statsd(sink) => sink.run(stop).await,
            Self::Log(sink) => sink.run(stop).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Protocol;
    use crate::stats::statsd::Format;

    fn opened(way: Way) -> Result<(Recorder, Option<Pusher>), OpenError> {
        let settings = SinkSettings {
            way,
            tags: Tags::default(),
            flush_interval: Duration::from_secs(10),
        };
        open(&settings, &Source::new(|_visit| {}))
    }

    fn by_file(mapping_file: &str) -> Way {
        Way::Scraped {
            mapping_file: mapping_file.to_owned(),
            response_time: ResponseTime::Seconds,
        }
    }

    fn pushed() -> Way {
        let address = "127.0.0.1:8125".to_owned();
        Way::Pushed(Target {
            address,
            protocol: Protocol::Tcp,
            format: Format::Statsd,
        })
    }

    fn scraped(mapping_file: &str) -> Families {
        match opened(by_file(mapping_file)).unwrap() {
            (Recorder::Scraped(families), None) => families,
            other => panic!("{other:?} is not for scrapes"),
        }
    }

    #[test]
    fn each_way_opens_its_sink() {
        assert!(matches!(opened(by_file("")), Ok((Recorder::Scraped(_), None))));
        assert!(matches!(opened(Way::Disabled), Ok((Recorder::Disabled, None))));
        assert!(matches!(
            opened(Way::Log),
            Ok((Recorder::Pushed(_), Some(Pusher::Log(_))))
        ));
        assert!(matches!(
            opened(pushed()),
            Ok((Recorder::Pushed(_), Some(Pusher::Statsd(_))))
        ));
    }

    #[test]
    fn a_mapping_file_replaces_the_rules_and_one_that_is_not_there_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("conf.yaml");
        let name = path.display().to_string();
        let shown = || {
            let families = scraped(&name);
            drop(families.timer("ratelimit_server.A.response_time"));
            families.gather().first().unwrap().name().to_owned()
        };
        assert_eq!(shown(), "ratelimit_service_response_time_seconds");
        std::fs::write(&path, "mappings: [{match: '*.*.response_time', name: own}]").unwrap();
        assert_eq!(shown(), "own");
        std::fs::write(&path, "mappings: [{match: a, name: a, ttl: 1m}]").unwrap();
        let error = opened(by_file(&name)).unwrap_err().to_string();
        assert!(
            error.ends_with("ttl: series are bounded and do not expire, found '1m' (allowed: 0)"),
            "{error}"
        );
    }

    #[test]
    fn a_mapping_file_that_cannot_be_read_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let below_a_file = directory.path().join("file");
        std::fs::write(&below_a_file, "").unwrap();
        let path = below_a_file.join("conf.yaml").display().to_string();
        assert!(matches!(opened(by_file(&path)), Err(OpenError::MappingSource(_))));
    }

    /// T2, as far as recording goes; numbers are those of our conformance list.
    #[test]
    fn t2_times_of_concurrent_calls_are_all_counted() {
        let families = scraped("");
        let timer = Recorder::Scraped(families.clone()).timer("ratelimit_server.TestMethod.response_time");
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..50).for_each(|_| timer.record(Duration::from_millis(100))));
            }
        });
        let shown = families.gather();
        let histogram = shown.first().unwrap().get_metric().first().unwrap().get_histogram();
        assert_eq!(histogram.get_sample_count(), 100);
        assert!((histogram.get_sample_sum() - 10.0).abs() < 1e-6);
    }

    #[test]
    fn times_go_to_whatever_is_open() {
        for way in [by_file(""), Way::Disabled, Way::Log, pushed()] {
            let (recorder, _pusher) = opened(way).unwrap();
            recorder.timer("t").record(Duration::from_millis(1));
        }
    }
}
