//! Where statistics go.

use server::listen::Address;

use super::values::Values;
use crate::stats::Protocol;
use crate::stats::choice::{self, Asked, SinkChoice};
use crate::stats::dogstatsd::Mogrifiers;
use crate::stats::mapper::ResponseTime;
use crate::stats::sink::{SinkSettings, Way};
use crate::stats::statsd::{Format, Target};
use crate::stats::tags::Tags;

/// The environment, for variables whose names are chosen by the operator.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Where to scrape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scrapes {
    /// The address.
    pub address: Address,
    /// The path.
    pub path: String,
}

/// `None` is a problem that was added to `values`.
pub(super) fn sink(values: &mut Values<'_>, environment: Environment<'_>) -> Option<SinkSettings> {
    let flag = |name: &str| values.set(name).map(|_text| values.bool(name));
    let asked = Asked {
        disable_stats: values.bool("DISABLE_STATS"),
        use_dog_statsd: flag("USE_DOG_STATSD"),
        use_statsd: flag("USE_STATSD"),
        use_prometheus: flag("USE_PROMETHEUS"),
        statsd_target_is_set: ["STATSD_HOST", "STATSD_PORT", "STATSD_PROTOCOL"]
            .into_iter()
            .any(|name| values.is_set(name)),
    };
    let choice = choice::choose(asked).map_err(|error| values.problem("USE_PROMETHEUS", error.to_string()));
    let way = match choice.ok()? {
        SinkChoice::Disabled => Way::Disabled,
        SinkChoice::Log => Way::Log,
        SinkChoice::Prometheus => Way::Scraped {
            mapping_file: values.text("PROMETHEUS_MAPPER_YAML").to_owned(),
            response_time: if values.bool("PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS") {
                ResponseTime::Milliseconds
            } else {
                ResponseTime::Seconds
            },
        },
        SinkChoice::Statsd => {
            let protocol = protocol(values)?;
            Way::Pushed(target(values, protocol, Format::Statsd))
        }
        SinkChoice::DogStatsd => {
            let format = Format::DogStatsd(mogrifiers(values, environment)?);
            Way::Pushed(target(values, Protocol::Udp, format))
        }
    };
    let flush_interval = values.duration("STATS_FLUSH_INTERVAL");
    if flush_interval.is_zero() {
        values.problem("STATS_FLUSH_INTERVAL", "must be more than 0".to_owned());
    }
    let pairs = values
        .text("EXTRA_TAGS")
        .split(',')
        .filter_map(|pair| pair.split_once(':'));
    Some(SinkSettings {
        way,
        tags: Tags::extra(pairs),
        flush_interval,
    })
}

/// The listener for scrapes. `None` is a problem that was added to `values`.
pub(super) fn scrapes(values: &mut Values<'_>) -> Option<Scrapes> {
    let path = values.text("PROMETHEUS_PATH");
    if !path.starts_with('/') || path.contains(['{', '}', '*']) {
        let message = "not a path (allowed: a text that begins with /)";
        values.problem("PROMETHEUS_PATH", message.to_owned());
    }
    let address = values.parsed("PROMETHEUS_ADDR")?;
    Some(Scrapes {
        address,
        path: path.to_owned(),
    })
}

fn target(values: &mut Values<'_>, protocol: Protocol, format: Format) -> Target {
    let port = values.int("STATSD_PORT");
    Target::new(values.text("STATSD_HOST"), port, protocol, format)
}

fn protocol(values: &mut Values<'_>) -> Option<Protocol> {
    match values.text("STATSD_PROTOCOL") {
        "tcp" => Some(Protocol::Tcp),
        "udp" => Some(Protocol::Udp),
        _ => {
            let message = "not a protocol (allowed: tcp, udp)";
            values.problem("STATSD_PROTOCOL", message.to_owned());
            None
        }
    }
}

fn mogrifiers(values: &mut Values<'_>, environment: Environment<'_>) -> Option<Mogrifiers> {
    let names = values.text("USE_DOG_STATSD_MOGRIFIERS");
    let names: Vec<_> = names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(ToOwned::to_owned)
        .collect();
    let read = Mogrifiers::read(&names, environment);
    read.map_err(|errors| {
        for error in errors {
            values.problem("USE_DOG_STATSD_MOGRIFIERS", error.to_string());
        }
    })
    .ok()
}
