//! The settings of `CONFIG_TYPE=GRPC_XDS_SOTW`: the variables of envoyproxy/ratelimit, each also a flag, read once and
//! typed. What they mean together is decided in the modules that use them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::ArgAction::Set;
use server::settings::{parse_bool, parse_duration, parse_int};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use super::backoff::{Backoff, Jitter};

/// The port of a gRPC target that names none.
const DEFAULT_PORT: u16 = 443;
/// The longest message taken when the setting is absent or 0, as in gRPC libraries.
const DEFAULT_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// Where configuration is pushed from, and how to get there.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Configuration pushed by a control plane (CONFIG_TYPE=GRPC_XDS_SOTW)")]
pub struct Settings {
    /// The server, as host:port
    #[arg(
        long = "config-grpc-xds-server-url",
        env = "CONFIG_GRPC_XDS_SERVER_URL",
        default_value = "localhost:18000"
    )]
    pub server: Target,
    /// The node id: servers choose by it what to push
    #[arg(
        long = "config-grpc-xds-node-id",
        env = "CONFIG_GRPC_XDS_NODE_ID",
        default_value = "default"
    )]
    pub node_id: String,
    /// What else to say about the node, as k=v,k2=v2; items without = are passed over
    #[arg(
        long = "config-grpc-xds-node-metadata",
        env = "CONFIG_GRPC_XDS_NODE_METADATA",
        default_value = ""
    )]
    pub node_metadata: NodeMetadata,
    /// Headers of the stream, as k:v,k2:v2
    #[arg(
        long = "config-grpc-xds-client-additional-headers",
        env = "CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS",
        default_value = "",
        hide_env_values = true
    )]
    pub headers: Headers,
    /// Pause between attempts to reach a server that cannot be reached
    #[arg(
        long = "config-grpc-xds-server-connect-retry-interval",
        env = "CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL",
        default_value = "3s",
        value_parser = parse_duration
    )]
    pub connect_retry: Duration,
    /// Use TLS
    #[arg(
        long = "config-grpc-xds-server-use-tls",
        env = "CONFIG_GRPC_XDS_SERVER_USE_TLS",
        default_value = "false", default_missing_value = "true", num_args = 0..=1, action = Set,
        value_parser = parse_bool
    )]
    pub server_tls: bool,
    /// Client certificate, PEM; used if the key is given too
    #[arg(
        long = "config-grpc-xds-client-tls-cert",
        env = "CONFIG_GRPC_XDS_CLIENT_TLS_CERT",
        default_value = ""
    )]
    pub client_certificate: PemFile,
    /// Key of the client certificate, PEM
    #[arg(
        long = "config-grpc-xds-client-tls-key",
        env = "CONFIG_GRPC_XDS_CLIENT_TLS_KEY",
        default_value = ""
    )]
    pub client_key: PemFile,
    /// Authorities the server's certificate may come from besides those of the system, PEM
    #[arg(
        long = "config-grpc-xds-server-tls-cacert",
        env = "CONFIG_GRPC_XDS_SERVER_TLS_CACERT",
        default_value = ""
    )]
    pub server_ca: PemFile,
    /// The name the server's certificate must be for, instead of the host's
    #[arg(
        long = "config-grpc-xds-server-tls-san",
        env = "CONFIG_GRPC_XDS_SERVER_TLS_SAN",
        default_value = ""
    )]
    pub server_name: String,
    /// First pause after a stream ended, and before a refused push is refused again
    #[arg(
        long = "xds-client-backoff-initial-interval",
        env = "XDS_CLIENT_BACKOFF_INITIAL_INTERVAL",
        default_value = "10s",
        value_parser = parse_duration
    )]
    pub pause_initial: Duration,
    /// Longest such pause; each is twice the one before
    #[arg(
        long = "xds-client-backoff-max-interval",
        env = "XDS_CLIENT_BACKOFF_MAX_INTERVAL",
        default_value = "60s",
        value_parser = parse_duration
    )]
    pub pause_max: Duration,
    /// The share of a pause that jitter may take away, 0 to 1
    #[arg(
        long = "xds-client-backoff-random-factor",
        env = "XDS_CLIENT_BACKOFF_RANDOM_FACTOR",
        default_value = "0.5"
    )]
    pub jitter_share: f64,
    /// Shorten pauses at random, so that replicas do not return all at once
    #[arg(
        long = "xds-client-backoff-jitter",
        env = "XDS_CLIENT_BACKOFF_JITTER",
        default_value = "true", default_missing_value = "true", num_args = 0..=1, action = Set,
        value_parser = parse_bool
    )]
    pub jitter: bool,
    /// Longest message to take, in bytes; 0 for 4 MiB
    #[arg(
        long = "xds-client-max-msg-size-in-bytes",
        env = "XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES",
        default_value = "0",
        allow_negative_numbers = true
    )]
    pub max_message: MessageLimit,
}

impl Settings {
    /// Pauses after streams that ended.
    pub(super) fn stream_pauses(&self) -> Backoff {
        Backoff::new(self.pause_initial, self.pause_max, self.jitter())
    }

    /// Pauses after connections that could not be made.
    pub(super) fn connect_pauses(&self) -> Backoff {
        Backoff::constant(self.connect_retry, self.jitter())
    }

    fn jitter(&self) -> Jitter {
        if self.jitter {
            Jitter::new(self.jitter_share)
        } else {
            Jitter::NONE
        }
    }
}

/// A gRPC target: a host and a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// The name or address, without the brackets of IPv6.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A text that is not a [`Target`]. Operator: correct the setting.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected host:port, with or without dns:/// before it")]
pub struct TargetError;

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("dns:///").unwrap_or(text);
        let text = if text.starts_with(':') {
            format!("localhost{text}")
        } else {
            text.to_owned()
        };
        let authority: http::uri::Authority = text.parse().map_err(|_not| TargetError)?;
        // An authority forgives a port that is not one, and a name in front.
        let has_port = text.rsplit_once(':').is_some_and(|(_, end)| !end.contains(']'));
        if text.contains('@') || (has_port && authority.port_u16().is_none()) {
            return Err(TargetError);
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(DEFAULT_PORT),
        })
    }
}

/// What a node says of itself, as text by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeMetadata(Vec<(String, String)>);

impl NodeMetadata {
    /// The pairs, in order.
    #[must_use]
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

impl FromStr for NodeMetadata {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let pairs = text.split(',').filter_map(|item| item.split_once('='));
        Ok(Self(
            pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ))
    }
}

/// Headers of the stream. They may hold credentials: `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Headers(MetadataMap);

impl Headers {
    /// As gRPC sends them.
    pub(super) fn metadata(&self) -> &MetadataMap {
        &self.0
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

/// A text that is not [`Headers`]. Operator: correct the setting. Items are counted and not shown, as they may be secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeadersError {
    /// No colon or several.
    #[error("item {0}: expected name:value with one colon")]
    Shape(usize),
    /// Not a header's name.
    #[error("item {0}: not the name of a text header")]
    Name(usize),
    /// Not a header's value.
    #[error("item {0}: not the value of a text header")]
    Value(usize),
}

impl FromStr for Headers {
    type Err = HeadersError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut headers = MetadataMap::new();
        if text.trim().is_empty() {
            return Ok(Self(headers));
        }
        for (index, item) in text.split(',').enumerate() {
            let item_number = index.saturating_add(1);
            let shape = HeadersError::Shape(item_number);
            let (name, value) = item.split_once(':').ok_or_else(|| shape.clone())?;
            if value.contains(':') {
                return Err(shape);
            }
            let name: AsciiMetadataKey = name.parse().map_err(|_not| HeadersError::Name(item_number))?;
            let value: AsciiMetadataValue = value.parse().map_err(|_not| HeadersError::Value(item_number))?;
            headers.append(name, value);
        }
        Ok(Self(headers))
    }
}

/// A file that need not be set.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PemFile(Option<PathBuf>);

impl PemFile {
    /// Where it is, if it is set.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.as_deref()
    }
}

impl FromStr for PemFile {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self((!text.is_empty()).then(|| text.into())))
    }
}

/// How long a message may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageLimit(usize);

impl MessageLimit {
    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }
}

impl FromStr for MessageLimit {
    type Err = String;

    /// Nothing at all is an error, zero or less is the default.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = usize::try_from(parse_int(text)?).ok().filter(|bytes| *bytes > 0);
        Ok(Self(bytes.unwrap_or(DEFAULT_MESSAGE_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser, Debug)]
    struct Program {
        #[command(flatten)]
        xds: Settings,
    }

    fn settings(arguments: &[&str]) -> Result<Settings, clap::Error> {
        let arguments = std::iter::once("ratelimit").chain(arguments.iter().copied());
        Program::try_parse_from(arguments).map(|program| program.xds)
    }

    #[test]
    fn defaults_are_those_of_envoyproxy_ratelimit() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.server.to_string(), "localhost:18000");
        assert_eq!(settings.node_id, "default");
        assert!(settings.node_metadata.pairs().is_empty());
        assert!(settings.headers.metadata().is_empty());
        assert!(!settings.server_tls);
        assert_eq!(settings.server_ca.path(), None);
        assert_eq!(settings.connect_retry, Duration::from_secs(3));
        assert_eq!(settings.pause_initial, Duration::from_secs(10));
        assert_eq!(settings.pause_max, Duration::from_secs(60));
        assert!(settings.jitter);
        assert_eq!(settings.max_message.bytes(), 4 * 1024 * 1024);
    }

    /// A variable that is set to nothing is read as an empty flag is.
    #[test]
    fn empty_is_a_value_for_text_and_an_error_for_the_rest() {
        let accepted = [
            "--config-grpc-xds-node-id=",
            "--config-grpc-xds-node-metadata=",
            "--config-grpc-xds-client-additional-headers=",
            "--config-grpc-xds-client-tls-cert=",
            "--config-grpc-xds-server-tls-san=",
        ];
        settings(&accepted).unwrap();
        let refused = [
            "--config-grpc-xds-server-use-tls=",
            "--config-grpc-xds-server-connect-retry-interval=",
            "--xds-client-backoff-initial-interval=",
            "--xds-client-backoff-random-factor=",
            "--xds-client-backoff-jitter=",
            "--xds-client-max-msg-size-in-bytes=",
        ];
        for flag in refused {
            settings(&[flag]).unwrap_err();
        }
    }

    #[test]
    fn booleans_and_numbers_are_spelled_as_in_go() {
        let settings = settings(&[
            "--config-grpc-xds-server-use-tls=T",
            "--xds-client-backoff-jitter=0",
            "--xds-client-max-msg-size-in-bytes=0x10",
            "--xds-client-backoff-random-factor=2",
        ])
        .unwrap();
        assert!(settings.server_tls);
        assert!(!settings.jitter);
        assert_eq!(settings.max_message.bytes(), 16);
        assert_eq!(MessageLimit::from_str("-1"), Ok(MessageLimit(DEFAULT_MESSAGE_BYTES)));
    }

    #[track_caller]
    fn target(text: &str, expected: Option<&str>) {
        let parsed: Result<Target, _> = text.parse();
        assert_eq!(
            parsed.ok().map(|target| target.to_string()).as_deref(),
            expected,
            "{text}"
        );
    }

    #[test]
    fn targets_are_host_and_port() {
        target("envoy-gateway:18001", Some("envoy-gateway:18001"));
        target("dns:///envoy-gateway:18001", Some("envoy-gateway:18001"));
        target("[::1]:18000", Some("[::1]:18000"));
        target("[::1]", Some("[::1]:443"));
        target("localhost", Some("localhost:443"));
        target(":18000", Some("localhost:18000"));
        for bad in [
            "",
            "host:",
            "host:port",
            "host:70000",
            "http://host:1",
            "unix:/run/xds",
            "user@host:1",
            "a b:1",
        ] {
            target(bad, None);
        }
    }

    #[test]
    fn node_metadata_passes_over_what_is_no_pair() {
        let metadata: NodeMetadata = "a=1,b,c=x=y,,=z".parse().unwrap();
        let pairs: Vec<(&str, &str)> = metadata.pairs().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("c", "x=y"), ("", "z")]);
    }

    #[test]
    fn headers_are_pairs_with_one_colon() {
        let headers: Headers = "x-a:1,x-b:two words".parse().unwrap();
        assert_eq!(headers.metadata().get("x-a").unwrap(), "1");
        assert_eq!(headers.metadata().get("x-b").unwrap(), "two words");
        let refused = |text: &str| text.parse::<Headers>().unwrap_err();
        assert_eq!(refused("x-a"), HeadersError::Shape(1));
        assert_eq!(refused("x-a:1,x-u:http://x"), HeadersError::Shape(2));
        assert_eq!(refused("x a:1"), HeadersError::Name(1));
        assert_eq!(refused("x-a-bin:1"), HeadersError::Name(1));
        assert_eq!(refused("x-a:\u{7}"), HeadersError::Value(1));
    }

    #[test]
    fn header_values_are_not_shown() {
        let headers: Headers = "authorization:secret".parse().unwrap();
        let shown = format!("{headers:?}");
        assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
    }
}
