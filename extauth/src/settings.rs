//! The command line and the environment: every setting, its default and its meaning, in one place. Each flag has a
//! variable; the flag wins.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use extauth_core::{ConfigId, HeaderName, Statuses};
use server::listen::{Address, TlsSettings};
use server::log::{Format, Level};
use server::settings::{parse_bool, parse_duration};
use server::shutdown::Timing;

use crate::keys::KeySettings;
use crate::policy_file::{Options, PlainHttp, UnnamedAudience};

/// Where configuration is looked for when nobody says.
const CONFIG_DEFAULTS: [&str; 2] = ["config/extauth", "/etc/extauth"];

/// What the process is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Serve until a signal.
    Serve(Box<Settings>),
    /// Read the files of a path and tell what is wrong.
    Check {
        /// A file or directory.
        path: PathBuf,
        /// How documents are read.
        options: Options,
    },
    /// Ask a running process on this host for its health.
    Healthcheck {
        /// Its admin address.
        admin: Address,
    },
}

/// Everything that serving needs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A file or directory.
    pub config: PathBuf,
    /// How documents are read.
    pub options: Options,
    /// Where gRPC listens.
    pub grpc: Address,
    /// Certificates for gRPC.
    pub tls: Option<TlsSettings>,
    /// Where health and metrics listen.
    pub admin: Address,
    /// Time for one decision.
    pub deadline: Duration,
    /// How key sets are fetched.
    pub keys: KeySettings,
    /// How the process ends.
    pub shutdown: Timing,
    /// Where to write which ports are bound.
    pub ports_file: Option<PathBuf>,
    /// The least severe events to log.
    pub log_level: Level,
    /// How log lines are written.
    pub log_format: Format,
}

/// External authorization for Envoy: verifies tokens and tells the upstream who is calling.
#[derive(Debug, Parser)]
#[command(
    name = "extauth",
    version,
    about = "An external authorization service for Envoy. Serves when no command is given.",
    args_conflicts_with_subcommands = true
)]
struct CommandLine {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    serve: Flags,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Serve until a signal; the same as no command.
    Serve(Box<Flags>),
    /// Read AuthConfigs and tell every problem with its file, line and field. Exit code 1 if there is one.
    Check {
        /// A file or directory.
        path: PathBuf,
        #[command(flatten)]
        documents: DocumentFlags,
    },
    /// Ask a running process for its health. Exit code 1 unless it is healthy.
    Healthcheck {
        /// Its admin address.
        #[arg(
            long,
            env = "EXTAUTH_ADMIN_ADDR",
            default_value = "127.0.0.1:9001",
            value_name = "ADDRESS"
        )]
        admin_addr: Address,
    },
}

/// The statuses of denials.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusCodes {
    /// 401 with `WWW-Authenticate` for no or bad credentials, 403 for a caller who may not.
    Standard,
    /// 403 for every token that is not accepted, as the manifests' own server has it.
    Manifest,
}

#[derive(Args, Debug)]
struct DocumentFlags {
    /// The AuthConfig for routes that name none, as namespace.name; without it they are denied.
    #[arg(long, env = "EXTAUTH_DEFAULT_AUTH_CONFIG", value_name = "NS.NAME", value_parser = parse_config_id)]
    default_auth_config: Option<ConfigId>,
    /// Statuses of AuthConfigs without `statusCodes`.
    #[arg(long, env = "EXTAUTH_STATUS_CODES", default_value = "standard")]
    status_codes: StatusCodes,
    /// Fetch key sets over plain HTTP from other hosts too. Whoever is on the way can then make keys.
    #[arg(long, env = "EXTAUTH_ALLOW_HTTP_JWKS", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = parse_bool)]
    allow_http_jwks: bool,
    /// Where a manifest has no `audiences`, accept tokens for any audience, as the manifests' own server does. Without
    /// it such a manifest denies tokens that name an audience (RFC 7519 section 4.1.3).
    #[arg(long, env = "EXTAUTH_UNCHECKED_AUDIENCES", value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true", value_parser = parse_bool)]
    unchecked_audiences: bool,
    /// The header for the caller's id; empty for none. A client's own copy is always removed.
    #[arg(long, env = "EXTAUTH_USER_ID_HEADER", default_value = "x-user-id", value_name = "NAME",
          value_parser = parse_header)]
    user_id_header: OptionalHeader,
}

#[derive(Args, Debug)]
struct Flags {
    /// A file or directory of AuthConfigs, followed when it changes [default: config/extauth, then /etc/extauth]
    #[arg(long, env = "EXTAUTH_CONFIG", value_name = "PATH")]
    config: Option<PathBuf>,
    #[command(flatten)]
    documents: DocumentFlags,
    #[command(flatten)]
    listen: ListenFlags,
    #[command(flatten)]
    tls: TlsFlags,
    #[command(flatten)]
    times: TimeFlags,
    /// error, warn, info, debug or trace.
    #[arg(long, env = "EXTAUTH_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    log_level: Level,
    /// text or json.
    #[arg(long, env = "EXTAUTH_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: Format,
}

#[derive(Args, Debug)]
struct ListenFlags {
    /// Where gRPC listens: HOST:PORT or unix:PATH; port 0 takes a free one.
    #[arg(
        long,
        env = "EXTAUTH_GRPC_ADDR",
        default_value = "0.0.0.0:9000",
        value_name = "ADDRESS"
    )]
    grpc_addr: Address,
    /// Where /healthcheck and /metrics are.
    #[arg(
        long,
        env = "EXTAUTH_ADMIN_ADDR",
        default_value = "127.0.0.1:9001",
        value_name = "ADDRESS"
    )]
    admin_addr: Address,
    /// Write the bound addresses to this file as JSON, once all are bound.
    #[arg(long, env = "EXTAUTH_PORTS_FILE", value_name = "PATH")]
    ports_file: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct TlsFlags {
    /// PEM file with the certificate chain for gRPC; reloaded when it changes.
    #[arg(
        long = "grpc-tls-cert",
        env = "EXTAUTH_GRPC_TLS_CERT",
        value_name = "PATH",
        requires = "key"
    )]
    certificate: Option<PathBuf>,
    /// PEM file with its private key.
    #[arg(
        long = "grpc-tls-key",
        env = "EXTAUTH_GRPC_TLS_KEY",
        value_name = "PATH",
        requires = "certificate"
    )]
    key: Option<PathBuf>,
    /// PEM file with the authorities that client certificates must come from.
    #[arg(
        long = "grpc-tls-client-ca",
        env = "EXTAUTH_GRPC_TLS_CLIENT_CA",
        value_name = "PATH",
        requires = "certificate"
    )]
    client_ca: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct TimeFlags {
    /// Time for one decision; a caller's shorter timeout counts.
    #[arg(long, env = "EXTAUTH_DEADLINE", default_value = "150ms", value_name = "DURATION", value_parser = parse_duration)]
    deadline: Duration,
    /// Time for one fetch of a key set.
    #[arg(long, env = "EXTAUTH_JWKS_TIMEOUT", default_value = "5s", value_name = "DURATION",
          value_parser = parse_duration)]
    jwks_timeout: Duration,
    /// How long a key set that cannot be refreshed is trusted.
    #[arg(long, env = "EXTAUTH_JWKS_MAX_STALE", default_value = "24h", value_name = "DURATION",
          value_parser = parse_duration)]
    jwks_max_stale: Duration,
    /// Least time between two refetches of one key set for keys that it does not have.
    #[arg(long, env = "EXTAUTH_JWKS_UNKNOWN_KEY_INTERVAL", default_value = "30s", value_name = "DURATION",
          value_parser = parse_duration)]
    jwks_unknown_key_interval: Duration,
    /// How long to fail health checks before refusing connections at the end.
    #[arg(long, env = "EXTAUTH_SHUTDOWN_DELAY", default_value = "0s", value_name = "DURATION",
          value_parser = parse_duration)]
    shutdown_delay: Duration,
    /// How long requests in flight may take at the end.
    #[arg(long, env = "EXTAUTH_DRAIN", default_value = "10s", value_name = "DURATION", value_parser = parse_duration)]
    drain: Duration,
}

/// A header name, or none. A type of its own, because clap gives `Option` a meaning.
#[derive(Clone, Debug)]
struct OptionalHeader(Option<HeaderName>);

impl Command {
    /// Reads a command line and the environment.
    ///
    /// # Errors
    /// When either is wrong, or help or the version was asked for.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let CommandLine { task, serve } = CommandLine::try_parse_from(arguments)?;
        Ok(match task {
            None => Self::Serve(Box::new(serve.settings())),
            Some(Task::Serve(flags)) => Self::Serve(Box::new(flags.settings())),
            Some(Task::Check { path, documents }) => Self::Check {
                path,
                options: documents.options(),
            },
            Some(Task::Healthcheck { admin_addr }) => Self::Healthcheck { admin: admin_addr },
        })
    }
}

impl Flags {
    fn settings(self) -> Settings {
        let TimeFlags {
            deadline,
            jwks_timeout,
            jwks_max_stale,
            jwks_unknown_key_interval,
            shutdown_delay,
            drain,
        } = self.times;
        Settings {
            config: self.config.unwrap_or_else(config_default),
            options: self.documents.options(),
            grpc: self.listen.grpc_addr,
            tls: self.tls.settings(),
            admin: self.listen.admin_addr,
            deadline,
            keys: KeySettings {
                timeout: jwks_timeout,
                stale_max: jwks_max_stale,
                unknown_key_interval: jwks_unknown_key_interval,
            },
            shutdown: Timing {
                unhealthy_first: shutdown_delay,
                drain,
            },
            ports_file: self.listen.ports_file,
            log_level: self.log_level,
            log_format: self.log_format,
        }
    }
}

impl DocumentFlags {
    fn options(self) -> Options {
        Options {
            plain_http: if self.allow_http_jwks {
                PlainHttp::Allowed
            } else {
                PlainHttp::LoopbackOnly
            },
            statuses: match self.status_codes {
                StatusCodes::Standard => Statuses::Standard,
                StatusCodes::Manifest => Statuses::Manifest,
            },
            unnamed_audience: if self.unchecked_audiences {
                UnnamedAudience::Unchecked
            } else {
                UnnamedAudience::Deny
            },
            user_id_header: self.user_id_header.0,
            default: self.default_auth_config,
        }
    }
}

impl TlsFlags {
    fn settings(self) -> Option<TlsSettings> {
        Some(TlsSettings {
            certificate: self.certificate?,
            key: self.key?,
            client_ca: self.client_ca,
            client_name: None,
            protocols: vec![b"h2".to_vec()],
        })
    }
}

/// The first default that exists, or else the last: it may still be mounted.
fn config_default() -> PathBuf {
    let [here, installed] = CONFIG_DEFAULTS.map(PathBuf::from);
    if here.exists() { here } else { installed }
}

fn parse_config_id(text: &str) -> Result<ConfigId, String> {
    ConfigId::parse(text).map_err(|error| error.to_string())
}

fn parse_header(text: &str) -> Result<OptionalHeader, String> {
    if text.is_empty() {
        return Ok(OptionalHeader(None));
    }
    let name = HeaderName::new(text).map_err(|error| error.to_string())?;
    Ok(OptionalHeader(Some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Command, clap::Error> {
        Command::read(["extauth"].iter().chain(arguments).map(OsString::from))
    }

    #[track_caller]
    fn served(arguments: &[&str]) -> Settings {
        match read(arguments) {
            Ok(Command::Serve(settings)) => *settings,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_the_safe_ones() {
        let settings = served(&[]);
        assert_eq!(settings.grpc, Address::tcp("0.0.0.0", 9000));
        assert_eq!(settings.admin, Address::tcp("127.0.0.1", 9001));
        assert_eq!(settings.options.plain_http, PlainHttp::LoopbackOnly);
        assert_eq!(settings.options.unnamed_audience, UnnamedAudience::Deny);
        assert_eq!(settings.options.default, None);
        assert_eq!(settings.options.user_id_header, HeaderName::new("x-user-id").ok());
        assert_eq!(settings.keys, KeySettings::default());
    }

    #[test]
    fn flags_are_read_with_and_without_the_word_serve() {
        for arguments in [&["--allow-http-jwks"][..], &["serve", "--allow-http-jwks=true"]] {
            assert_eq!(
                served(arguments).options.plain_http,
                PlainHttp::Allowed,
                "{arguments:?}"
            );
        }
        let settings = served(&[
            "--user-id-header",
            "",
            "--default-auth-config",
            "demo.api",
            "--deadline",
            "1s",
        ]);
        assert_eq!(settings.options.user_id_header, None);
        assert_eq!(settings.options.default, ConfigId::parse("demo.api").ok());
        assert_eq!(settings.deadline, Duration::from_secs(1));
    }

    #[test]
    fn wrong_values_name_the_flag_and_what_is_wrong() {
        let rows = [
            (&["--grpc-addr", "nowhere"][..], "--grpc-addr"),
            (&["--user-id-header", "host"], "belongs to the protocol"),
            (&["--default-auth-config", "api"], "namespace.name"),
            (&["--deadline", "5"], "not a duration"),
            (&["--status-codes", "odd"], "manifest"),
            (&["--grpc-tls-cert", "x"], "--grpc-tls-key"),
            (&["--unknown"], "--unknown"),
            (&["check"], "<PATH>"),
        ];
        for (arguments, expected) in rows {
            let text = read(arguments).unwrap_err().to_string();
            assert!(text.contains(expected), "{arguments:?}: {text}");
        }
    }
}
