//! The settings of statistics: the variables of envoyproxy/ratelimit, each also a flag, read once and typed. What they
//! ask for together is decided in [`choice`](super::choice); [`sink`](super::sink) opens it.

use std::str::FromStr;
use std::time::Duration;

use clap::ArgAction::Set;
use server::settings::{parse_bool, parse_duration};

use super::Protocol;
use super::choice::Asked;
use super::tags::Tags;

/// Which statistics are kept, and where they go.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Statistics")]
#[expect(clippy::doc_markdown, reason = "shown as help")]
pub struct Settings {
    /// Keep statistics for Prometheus to scrape; so it is if nothing else is asked for
    #[arg(long, env = "USE_PROMETHEUS", value_parser = parse_bool, action = Set, num_args = 0..=1, default_missing_value = "true")]
    pub use_prometheus: Option<bool>,
    /// Push statistics to a statsd server; so it is too if its host, port or protocol is set
    #[arg(long, env = "USE_STATSD", value_parser = parse_bool, action = Set, num_args = 0..=1, default_missing_value = "true")]
    pub use_statsd: Option<bool>,
    /// Push statistics to a DogStatsD agent, as datagrams
    #[arg(long, env = "USE_DOG_STATSD", value_parser = parse_bool, action = Set, num_args = 0..=1, default_missing_value = "true")]
    pub use_dog_statsd: Option<bool>,
    /// Names X of rewritings for DogStatsD: `DOG_STATSD_MOGRIFIER_<X>_PATTERN`, _NAME and _TAGS
    #[arg(long, env = "USE_DOG_STATSD_MOGRIFIERS", default_value = "")]
    pub use_dog_statsd_mogrifiers: Names,
    /// Keep no statistics at all
    #[arg(long, env = "DISABLE_STATS", value_parser = parse_bool, action = Set, num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub disable_stats: bool,
    /// Host of the statsd server or DogStatsD agent; localhost if only others are set
    #[arg(long, env = "STATSD_HOST")]
    pub statsd_host: Option<String>,
    /// Its port; 8125 if only others are set
    #[arg(long, env = "STATSD_PORT", value_parser = parse_port)]
    pub statsd_port: Option<u16>,
    /// tcp or udp; tcp if only others are set
    #[arg(long, env = "STATSD_PROTOCOL", value_parser = parse_protocol)]
    pub statsd_protocol: Option<Protocol>,
    /// Time between flushes of counters and gauges
    #[arg(long, env = "STATS_FLUSH_INTERVAL", default_value = "10s", value_parser = parse_flush)]
    pub stats_flush_interval: Duration,
    /// Tags of every statistic, as k:v,k2:v2; labels under Prometheus
    #[arg(long, env = "EXTRA_TAGS", default_value = "")]
    pub extra_tags: ExtraTags,
    /// Rules for names and labels under Prometheus: a statsd_exporter mapping file
    #[arg(long, env = "PROMETHEUS_MAPPER_YAML", default_value = "")]
    pub prometheus_mapper_yaml: String,
    /// Show response times in milliseconds (built-in rules only)
    #[arg(long, env = "PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS", value_parser = parse_bool, action = Set, num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub prometheus_response_time_as_milliseconds: bool,
}

impl Settings {
    /// What they ask for, for the choice of a sink.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        Asked {
            disable_stats: self.disable_stats,
            use_dog_statsd: self.use_dog_statsd,
            use_statsd: self.use_statsd,
            use_prometheus: self.use_prometheus,
            statsd_target_is_set: self.statsd_host.is_some()
                || self.statsd_port.is_some()
                || self.statsd_protocol.is_some(),
        }
    }

    /// `host:port` of the statsd server or `DogStatsD` agent.
    #[must_use]
    pub fn statsd_address(&self) -> String {
        let host = self.statsd_host.as_deref().unwrap_or("localhost");
        let port = self.statsd_port.unwrap_or(8125);
        if host.contains(':') && !host.starts_with('[') {
            return format!("[{host}]:{port}");
        }
        format!("{host}:{port}")
    }
}

/// Texts between commas, nothing trimmed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names(pub Vec<String>);

impl FromStr for Names {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = text.split(',').filter(|_| !text.is_empty());
        Ok(Self(names.map(str::to_owned).collect()))
    }
}

/// The value of `EXTRA_TAGS`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ExtraTags(pub Tags);

/// A text that is not [`ExtraTags`]. Operator: correct the setting.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected key:value with one colon, got '{0}'")]
pub struct ExtraTagsError(String);

impl FromStr for ExtraTags {
    type Err = ExtraTagsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pair = |item: &'_ str| {
            let pair = item.split_once(':').filter(|(_, value)| !value.contains(':'));
            pair.map(|(key, value)| (key.to_owned(), value.to_owned()))
                .ok_or_else(|| ExtraTagsError(item.to_owned()))
        };
        let items = text.split(',').filter(|_| !text.is_empty());
        let pairs = items.map(pair).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(Tags::extra(
            pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())),
        )))
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    match text {
        "tcp" => Ok(Protocol::Tcp),
        "udp" => Ok(Protocol::Udp),
        _ => Err("not a protocol (allowed: tcp, udp)".to_owned()),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    let number = server::settings::parse_int(text)?;
    u16::try_from(number).map_err(|_out_of_range| "not a port (allowed: 0 to 65535)".to_owned())
}

fn parse_flush(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval.is_zero() {
        return Err("must be more than 0".to_owned());
    }
    Ok(interval)
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

    fn settings(flags: &[&str]) -> Result<Settings, String> {
        let parsed = Program::try_parse_from([&["ratelimit"], flags].concat());
        parsed.map(|program| program.stats).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_ask_for_nothing() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.asked(), Asked::default());
        assert_eq!(settings.statsd_address(), "localhost:8125");
        assert_eq!(settings.stats_flush_interval, Duration::from_secs(10));
        assert_eq!(settings.extra_tags, ExtraTags::default());
    }

    #[test]
    fn any_part_of_the_target_asks_for_statsd() {
        for (flag, address) in [
            ("--statsd-host=::1", "[::1]:8125"),
            ("--statsd-host=[::1]", "[::1]:8125"),
            ("--statsd-port=0x10", "localhost:16"),
            ("--statsd-protocol=udp", "localhost:8125"),
        ] {
            let settings = settings(&[flag]).unwrap();
            assert!(settings.asked().statsd_target_is_set, "{flag}");
            assert_eq!(settings.statsd_address(), address);
        }
    }

    #[test]
    fn flags_without_a_value_are_true() {
        let settings = settings(&["--use-statsd", "--use-prometheus=F", "--disable-stats"]).unwrap();
        assert_eq!(
            (settings.use_statsd, settings.use_prometheus, settings.disable_stats),
            (Some(true), Some(false), true)
        );
    }

    #[test]
    fn lists_and_maps_are_read_as_envoyproxy_ratelimit_does() {
        let settings = settings(&["--extra-tags=b:2,a:1,c:", "--use-dog-statsd-mogrifiers=A, B"]).unwrap();
        assert_eq!(
            settings.extra_tags.0.iter().collect::<Vec<_>>(),
            [("a", "1"), ("b", "2")]
        );
        assert_eq!(settings.use_dog_statsd_mogrifiers, Names(vec!["A".into(), " B".into()]));
    }

    #[test]
    fn what_is_no_value_is_refused_with_the_setting() {
        for (flag, part) in [
            ("--use-statsd=yes", "not a bool"),
            ("--use-prometheus=", "not a bool"),
            ("--statsd-port=70000", "not a port"),
            ("--statsd-protocol=TCP", "allowed: tcp, udp"),
            ("--stats-flush-interval=0", "more than 0"),
            ("--stats-flush-interval=10", "not a duration"),
            ("--extra-tags=a", "expected key:value with one colon, got 'a'"),
            ("--extra-tags=a:b:c", "got 'a:b:c'"),
        ] {
            let error = settings(&[flag]).unwrap_err();
            let name = flag.split('=').next().unwrap();
            assert!(error.contains(part) && error.contains(name), "{flag}: {error}");
        }
    }
}
