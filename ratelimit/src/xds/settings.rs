//! Where configuration is pushed from, and how to get there: typed, each value read from the text that the variables of
//! envoyproxy/ratelimit hold. What they mean together is decided in the modules that use them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

pub use super::backoff::Jitter;

/// The port of a gRPC target that names none.
const DEFAULT_PORT: u16 = 443;
/// The longest message taken when none is set, as in gRPC libraries.
const DEFAULT_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// One configuration server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its address.
    pub server: Target,
    /// The node that we are: servers choose by it what to push.
    pub node_id: String,
    /// What else to say about the node.
    pub node_metadata: NodeMetadata,
    /// Headers of the stream.
    pub headers: Headers,
    /// TLS, if wanted.
    pub tls: Option<TlsFiles>,
    /// When to try again.
    pub pauses: PauseSettings,
    /// The longest message to take.
    pub max_message: MessageLimit,
}

/// PEM files, read anew for each connection.
#[derive(Clone, Debug, Default)]
pub struct TlsFiles {
    /// Authorities that the server's certificate may come from besides those of the system.
    pub authorities: Option<PathBuf>,
    /// Our certificate and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must be for, instead of its host's.
    pub server_name: Option<String>,
}

/// How long to pause before trying again.
#[derive(Clone, Copy, Debug)]
pub struct PauseSettings {
    /// While the server cannot be reached.
    pub connect: Duration,
    /// First, after a stream ended, and before a refused push is refused again.
    pub initial: Duration,
    /// At most; each is twice the one before.
    pub max: Duration,
    /// How much of each may be left out.
    pub jitter: Jitter,
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

/// How long a message may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageLimit(usize);

impl MessageLimit {
    /// This many bytes; zero or less is the default, 4 MiB.
    #[must_use]
    pub fn new(bytes: i64) -> Self {
        let bytes = usize::try_from(bytes).ok().filter(|bytes| *bytes > 0);
        Self(bytes.unwrap_or(DEFAULT_MESSAGE_BYTES))
    }

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_a_limit_whatever_is_set() {
        assert_eq!(MessageLimit::new(16).bytes(), 16);
        for bytes in [0, -1, i64::MIN] {
            assert_eq!(MessageLimit::new(bytes).bytes(), DEFAULT_MESSAGE_BYTES);
        }
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
