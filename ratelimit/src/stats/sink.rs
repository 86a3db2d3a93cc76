//! The chosen sink, opened: what the process records times in, and what it runs to push statistics.

use std::io;
use std::path::Path;
use std::time::Duration;

use server::problem::Problems;
use server::source::{DotFiles, Extensions, Selection, SourceError};

use super::Protocol;
use super::choice::{SinkChoice, TooManySinks, choose};
use super::dogstatsd::{MogrifierError, Mogrifiers};
use super::families::{Families, Observer};
use super::flush::{Pace, TimerSender, Times};
use super::log::LogSink;
use super::mapper::{Mapping, ResponseTime};
use super::sample::Source;
use super::settings::Settings;
use super::statsd::{Format, StatsdSink, Target};

/// Why statistics cannot be kept as asked. Operator: correct the settings or the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// More than one sink is asked for.
    #[error(transparent)]
    TooManySinks(#[from] TooManySinks),
    /// Mogrifiers that do not hold.
    #[error("{}", lines(.0))]
    Mogrifiers(Vec<MogrifierError>),
    /// A mapping file that cannot be read.
    #[error("PROMETHEUS_MAPPER_YAML: {0}")]
    MappingSource(#[from] SourceError),
    /// A mapping file that is wrong or asks for what is not supported.
    #[error("{0}")]
    Mapping(#[from] Problems),
    /// A defect of ours.
    #[error("internal: {0}")]
    Internal(#[from] prometheus::Error),
}

fn lines(errors: &[MogrifierError]) -> String {
    let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
    shown.join("\n")
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

/// Opens the sink that the settings choose; `source` is what it says, `variable` reads `DOG_STATSD_MOGRIFIER_*`.
/// Reads a file: not for a runtime worker.
///
/// # Errors
/// More than one sink, mogrifiers that do not hold, a mapping file that cannot be read or used. One that is not there
/// is none: gateways name a file that they may not have mounted.
pub fn open(
    settings: &Settings,
    source: &Source,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(Recorder, Option<Pusher>), OpenError> {
    let tags = settings.extra_tags.0.clone();
    let pace = Pace::with_flush(settings.stats_flush_interval);
    let pushed = |format, protocol| {
        let target = Target {
            address: settings.statsd_address(),
            protocol,
            format,
        };
        let (sink, times) = StatsdSink::new(target, source.clone(), tags.clone(), pace);
        (Recorder::Pushed(times), Some(Pusher::Statsd(sink)))
    };
    Ok(match choose(settings.asked())? {
        SinkChoice::Disabled => (Recorder::Disabled, None),
        SinkChoice::Statsd => pushed(Format::Statsd, settings.statsd_protocol.unwrap_or(Protocol::Tcp)),
        SinkChoice::DogStatsd => {
            let names = &settings.use_dog_statsd_mogrifiers.0;
            let mogrifiers = Mogrifiers::read(names, variable).map_err(OpenError::Mogrifiers)?;
            pushed(Format::DogStatsd(mogrifiers), Protocol::Udp)
        }
        SinkChoice::Log => {
            let (sink, times) = LogSink::new(source.clone(), tags, pace);
            (Recorder::Pushed(times), Some(Pusher::Log(sink)))
        }
        SinkChoice::Prometheus => {
            let families = Families::new(mapping(settings)?, tags, source.clone())?;
            (Recorder::Scraped(families), None)
        }
    })
}

fn mapping(settings: &Settings) -> Result<Mapping, OpenError> {
    let response_time = if settings.prometheus_response_time_as_milliseconds {
        ResponseTime::Milliseconds
    } else {
        ResponseTime::Seconds
    };
    let path = settings.prometheus_mapper_yaml.as_str();
    let file = if path.is_empty() { None } else { mapping_file(path)? };
    match file {
        Some(text) => Ok(Mapping::read(path, &text)?),
        None => Ok(Mapping::builtin(response_time)?),
    }
}

fn mapping_file(path: &str) -> Result<Option<std::sync::Arc<[u8]>>, OpenError> {
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
        Err(error) => Err(error.into()),
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
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        stats: Settings,
    }

    fn settings(flags: &[&str]) -> Settings {
        Program::try_parse_from([&["ratelimit"], flags].concat()).unwrap().stats
    }

    fn opened(flags: &[&str]) -> Result<(Recorder, Option<Pusher>), OpenError> {
        open(&settings(flags), &Source::new(|_visit| {}), |_variable| None)
    }

    fn scraped(flag: &str) -> Families {
        match opened(&[flag]).unwrap() {
            (Recorder::Scraped(families), None) => families,
            other => panic!("{other:?} is not for scrapes"),
        }
    }

    #[tokio::test]
    async fn each_choice_opens_its_sink() {
        assert!(matches!(opened(&[]), Ok((Recorder::Scraped(_), None))));
        assert!(matches!(opened(&["--disable-stats"]), Ok((Recorder::Disabled, None))));
        assert!(matches!(
            opened(&["--use-statsd"]),
            Ok((Recorder::Pushed(_), Some(Pusher::Statsd(_))))
        ));
        assert!(matches!(
            opened(&["--use-dog-statsd"]),
            Ok((Recorder::Pushed(_), Some(Pusher::Statsd(_))))
        ));
        assert!(matches!(
            opened(&["--use-prometheus=false"]),
            Ok((Recorder::Pushed(_), Some(Pusher::Log(_))))
        ));
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_an_error() {
        assert!(matches!(
            opened(&["--use-statsd", "--use-prometheus"]),
            Err(OpenError::TooManySinks(_))
        ));
        let error = opened(&["--use-dog-statsd", "--use-dog-statsd-mogrifiers=A"]).unwrap_err();
        assert_eq!(error.to_string().lines().count(), 2, "{error}");
    }

    #[tokio::test]
    async fn a_mapping_file_replaces_the_rules_and_one_that_is_not_there_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("conf.yaml");
        let flag = format!("--prometheus-mapper-yaml={}", path.display());
        let shown = |flag: &str| {
            let families = scraped(flag);
            drop(families.timer("ratelimit_server.A.response_time"));
            families.gather().first().unwrap().name().to_owned()
        };
        assert_eq!(shown(&flag), "ratelimit_service_response_time_seconds");
        std::fs::write(&path, "mappings: [{match: '*.*.response_time', name: own}]").unwrap();
        assert_eq!(shown(&flag), "own");
        std::fs::write(&path, "mappings: [{match: a, name: a, ttl: 1m}]").unwrap();
        let error = opened(&[&flag]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("ttl: series are bounded and do not expire, found '1m' (allowed: 0)"),
            "{error}"
        );
    }

    /// T2, as far as recording goes; numbers are those of our conformance list.
    #[test]
    fn t2_times_of_concurrent_calls_are_all_counted() {
        let families = scraped("--use-prometheus");
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

    #[tokio::test]
    async fn times_go_to_whatever_is_open() {
        for flags in [&[][..], &["--disable-stats"], &["--use-prometheus=false"]] {
            let (recorder, _pusher) = opened(flags).unwrap();
            recorder.timer("t").record(Duration::from_millis(1));
        }
    }
}
