//! What the process is told by flags and environment, typed, once, at start. Nothing reads them later.
//!
//! Every variable of envoyproxy/ratelimit is taken, under its name and by its parsing rules; those that do nothing here
//! are named in one warning. All problems are reported at once.

mod command;
mod control_plane;
mod ours;
mod sources;
mod statistics;
mod stores;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use ratelimit_core::{BuildOptions, GlobalModes, KeyFormat, NearLimitRatio};
use server::Problems;
use server::listen::{Address, Limits, TlsSettings};
use server::log;
use server::shutdown::Timing;

pub use self::sources::{FileSource, HealthNeed, LimitSource};
use self::statistics::Environment;
pub use self::statistics::Scrapes;
pub use self::stores::{RedisStore, StoreSettings};
use self::values::Values;
use crate::service::ServiceSettings;
use crate::stats::sink::SinkSettings;
use crate::wire::to_proto::{DynamicMetadata, Extras, HeaderNames};

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Serve(Box<Settings>),
    /// `check`.
    Check {
        /// What.
        path: PathBuf,
        /// As it would be loaded.
        options: BuildOptions,
    },
    /// `healthcheck`.
    Healthcheck {
        /// Whom to ask.
        http: Address,
    },
}

/// Why there is no command. The operator has to act.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The command line, or a wish for help.
    #[error("{0}")]
    CommandLine(#[from] clap::Error),
    /// Flags or variables.
    #[error("{0}")]
    Values(#[from] Problems),
}

/// How to serve.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub listen: Listen,
    /// Where statistics are scraped, if they are.
    pub scrapes: Scrapes,
    /// Where statistics go.
    pub statistics: SinkSettings,
    /// Bounds of gRPC connections.
    pub grpc_limits: Limits,
    /// TLS for gRPC, if wanted.
    pub tls: Option<TlsSettings>,
    /// Where limits come from.
    pub source: LimitSource,
    /// How limits are built.
    pub build: BuildOptions,
    /// What health waits for, if for anything.
    pub health_needs: Option<HealthNeed>,
    /// Where hits are counted.
    pub store: StoreSettings,
    /// How requests are answered.
    pub service: ServiceSettings,
    /// How the process ends.
    pub shutdown: Timing,
    /// What is logged.
    pub log_level: log::Level,
    /// How it is logged.
    pub log_format: log::Format,
    /// Where to write the bound addresses.
    pub ports_file: Option<PathBuf>,
    /// Variables that are set and do nothing here.
    pub without_effect: Vec<&'static str>,
}

/// Where to listen.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Decisions.
    pub grpc: Address,
    /// Health and `/json`.
    pub http: Address,
    /// The debug port.
    pub debug: Address,
}

impl Command {
    /// Reads the command line and the environment; `environment` is asked for variables whose names operators choose.
    ///
    /// # Errors
    ///
    /// Every problem with their values, or the first with the command line. `--help` and `--version` are errors too: of
    /// kinds that clap prints to standard output.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, UsageError> {
        let matches = command::command().try_get_matches_from(arguments)?;
        let mut values = Values::read(&matches);
        let command = match matches.subcommand() {
            Some(("check", given)) => {
                let path = given.get_one::<PathBuf>("path").cloned().unwrap_or_default();
                let options = build_options(&mut values);
                Some(Self::Check { path, options })
            }
            Some(_healthcheck) => Some(Self::Healthcheck {
                http: tcp(&mut values, "HOST", "PORT"),
            }),
            None => settings(&mut values, environment).map(|settings| Self::Serve(Box::new(settings))),
        };
        Ok(values.finish(command)?)
    }
}

/// `None` is a problem that was added to `values`.
fn settings(values: &mut Values<'_>, environment: Environment<'_>) -> Option<Settings> {
    let listen = listen(values);
    let (scrapes, statistics) = (statistics::scrapes(values), statistics::sink(values, environment));
    let store = stores::store(values);
    let level = values.parsed("LOG_LEVEL");
    let format = values.parsed("LOG_FORMAT");
    let shutdown = Timing {
        unhealthy_first: values.duration("UNHEALTHY_FIRST"),
        drain: values.duration("DRAIN_TIMEOUT"),
    };
    let grpc_limits = Limits {
        age_max: values.duration("GRPC_MAX_CONNECTION_AGE"),
        age_grace: values.duration("GRPC_MAX_CONNECTION_AGE_GRACE"),
        ..Limits::default()
    };
    let source = sources::source(values);
    Some(Settings {
        grpc_limits,
        tls: tls(values),
        build: build_options(values),
        health_needs: sources::health_need(values),
        service: service(values),
        shutdown,
        ports_file: values
            .set("PORTS_FILE")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        without_effect: values.unused(),
        source: source?,
        listen,
        scrapes: scrapes?,
        statistics: statistics?,
        store: store?,
        log_level: level?,
        log_format: format?,
    })
}

fn listen(values: &mut Values<'_>) -> Listen {
    let grpc = match values.text("GRPC_UDS") {
        "" => tcp(values, "GRPC_HOST", "GRPC_PORT"),
        path => Address::Unix(PathBuf::from(path)),
    };
    Listen {
        grpc,
        http: tcp(values, "HOST", "PORT"),
        debug: tcp(values, "DEBUG_HOST", "DEBUG_PORT"),
    }
}

fn tcp(values: &mut Values<'_>, host: &str, port: &str) -> Address {
    let port = values.int::<u16>(port);
    Address::tcp(values.text(host), port)
}

fn tls(values: &mut Values<'_>) -> Option<TlsSettings> {
    if !values.bool("GRPC_SERVER_USE_TLS") {
        return None;
    }
    for name in ["GRPC_SERVER_TLS_CERT", "GRPC_SERVER_TLS_KEY"] {
        if values.text(name).is_empty() {
            values.problem(name, "must name a file when GRPC_SERVER_USE_TLS is true".to_owned());
        }
    }
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Some(TlsSettings {
        certificate: PathBuf::from(values.text("GRPC_SERVER_TLS_CERT")),
        key: PathBuf::from(values.text("GRPC_SERVER_TLS_KEY")),
        client_ca: some(values.text("GRPC_CLIENT_TLS_CACERT")).map(PathBuf::from),
        client_name: some(values.text("GRPC_CLIENT_TLS_SAN")),
        protocols: vec![b"h2".to_vec()],
    })
}

fn build_options(values: &mut Values<'_>) -> BuildOptions {
    let ratio = values
        .text("NEAR_LIMIT_RATIO")
        .parse()
        .ok()
        .and_then(NearLimitRatio::new);
    if ratio.is_none() && values.text("NEAR_LIMIT_RATIO").parse::<f64>().is_ok() {
        values.problem(
            "NEAR_LIMIT_RATIO",
            "not a ratio (allowed: a number that is not negative)".to_owned(),
        );
    }
    BuildOptions {
        merge_domains: values.bool("MERGE_DOMAIN_CONFIG"),
        near_limit_ratio: ratio.unwrap_or_default(),
        modes: GlobalModes {
            shadow: values.bool("SHADOW_MODE"),
            quota: values.bool("QUOTA_MODE"),
        },
    }
}

fn service(values: &mut Values<'_>) -> ServiceSettings {
    let headers = values.bool("LIMIT_RESPONSE_HEADERS_ENABLED").then(|| HeaderNames {
        limit: values.text("LIMIT_LIMIT_HEADER").to_owned(),
        remaining: values.text("LIMIT_REMAINING_HEADER").to_owned(),
        reset: values.text("LIMIT_RESET_HEADER").to_owned(),
    });
    ServiceSettings {
        keys: KeyFormat {
            prefix: values.text("CACHE_KEY_PREFIX").into(),
        },
        store_deadline: values.duration("STORE_DEADLINE"),
        extras: Extras {
            headers,
            dynamic_metadata: if values.bool("RESPONSE_DYNAMIC_METADATA") {
                DynamicMetadata::Sent
            } else {
                DynamicMetadata::Omitted
            },
        },
    }
}
