//! Every environment variable of envoyproxy/ratelimit: kind, default, meaning, and what it does here.
//!
//! Data for `--help`, the reference and the test that no variable is forgotten. Nothing is parsed here; the settings
//! do that, and a test holds their names to [`GROUPS`].

#[rustfmt::skip] // One row a line.
mod table;

pub use table::GROUPS;

/// Variables that belong together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Group {
    /// Heading.
    pub title: &'static str,
    /// The variables in reading order.
    pub variables: &'static [Variable],
}

/// One variable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Variable {
    /// Name; `<X>` and `*` stand for what the operator chooses.
    pub name: &'static str,
    /// What its text must be.
    pub kind: Kind,
    /// What holds when it is not set, as it would be written; empty for nothing.
    pub default: &'static str,
    /// What it is for: one line.
    pub meaning: &'static str,
    /// What it does here.
    pub effect: Effect,
}

/// What the text of a variable must be. A variable that is set and empty is a mistake except for text, lists and maps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Anything.
    Text,
    /// `true`, `false`, `1`, `0`, `t`, `f` and their spellings.
    Bool,
    /// A whole number, with `0x`, `0o` or `0b` before it if need be.
    Int,
    /// A number.
    Float,
    /// Numbers with units, as `150us` or `1h30m`.
    Duration,
    /// Texts between commas.
    List,
    /// `key:value` pairs between commas, one colon each.
    Map,
}

impl Kind {
    /// As the reference shows it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Int => "integer",
            Self::Float => "number",
            Self::Duration => "duration",
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

/// What a variable does here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// What it says.
    Setting,
    /// Read and checked, so that old start lines hold; changes nothing, for this reason.
    Accepted(&'static str),
    /// Not read at all, there or here, for this reason.
    NotRead(&'static str),
}

impl Variable {
    /// A variable that does what it says.
    const fn new(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Self {
        Self {
            name,
            kind,
            default,
            meaning,
            effect: Effect::Setting,
        }
    }

    const fn accepted(self, reason: &'static str) -> Self {
        Self {
            effect: Effect::Accepted(reason),
            ..self
        }
    }

    const fn not_read(self, reason: &'static str) -> Self {
        Self {
            effect: Effect::NotRead(reason),
            ..self
        }
    }

    /// Whether the name stands for several variables.
    #[must_use]
    pub fn is_family(&self) -> bool {
        self.name.contains(['<', '*'])
    }
}

/// All variables, in reading order.
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    GROUPS.iter().flat_map(|group| group.variables)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The names that envoyproxy/ratelimit reads at f2fb157, and `STATSD_PROTOCOL`, which its statistics library reads.
    const NAMES: &str = "
        BACKEND_TYPE CACHE_KEY_PREFIX CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS CONFIG_GRPC_XDS_CLIENT_TLS_CERT
        CONFIG_GRPC_XDS_CLIENT_TLS_KEY CONFIG_GRPC_XDS_NODE_ID CONFIG_GRPC_XDS_NODE_METADATA
        CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL CONFIG_GRPC_XDS_SERVER_TLS_CACERT
        CONFIG_GRPC_XDS_SERVER_TLS_SAN CONFIG_GRPC_XDS_SERVER_URL CONFIG_GRPC_XDS_SERVER_USE_TLS CONFIG_TYPE
        DEBUG_HOST DEBUG_PORT DISABLE_STATS EXPIRATION_JITTER_MAX_SECONDS EXTRA_TAGS
        FORCE_START_WITHOUT_INITIAL_CONFIG GRPC_CLIENT_TLS_CACERT GRPC_CLIENT_TLS_SAN GRPC_HOST
        GRPC_MAX_CONNECTION_AGE GRPC_MAX_CONNECTION_AGE_GRACE GRPC_PORT GRPC_SERVER_TLS_CERT GRPC_SERVER_TLS_KEY
        GRPC_SERVER_USE_TLS GRPC_UDS HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED HOST LIMIT_LIMIT_HEADER
        LIMIT_REMAINING_HEADER LIMIT_RESET_HEADER LIMIT_RESPONSE_HEADERS_ENABLED LOCAL_CACHE_SIZE_IN_BYTES LOG_FORMAT
        LOG_LEVEL MEMCACHE_HOST_PORT MEMCACHE_MAX_IDLE_CONNS MEMCACHE_SRV MEMCACHE_SRV_REFRESH MEMCACHE_TLS
        MEMCACHE_TLS_CACERT MEMCACHE_TLS_CLIENT_CERT MEMCACHE_TLS_CLIENT_KEY MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION
        MERGE_DOMAIN_CONFIG NEAR_LIMIT_RATIO PORT PROMETHEUS_ADDR PROMETHEUS_MAPPER_YAML PROMETHEUS_PATH
        PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS QUOTA_MODE REDIS_AUTH REDIS_CLUSTER_PIPELINE_PARALLELISM
        REDIS_HEALTH_CHECK_ACTIVE_CONNECTION REDIS_PERSECOND REDIS_PERSECOND_AUTH
        REDIS_PERSECOND_CLUSTER_PIPELINE_PARALLELISM REDIS_PERSECOND_PIPELINE_LIMIT REDIS_PERSECOND_PIPELINE_WINDOW
        REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR REDIS_PERSECOND_POOL_SIZE REDIS_PERSECOND_SENTINEL_AUTH
        REDIS_PERSECOND_SOCKET_TYPE REDIS_PERSECOND_TIMEOUT REDIS_PERSECOND_TLS REDIS_PERSECOND_TYPE
        REDIS_PERSECOND_URL REDIS_PIPELINE_LIMIT REDIS_PIPELINE_WINDOW REDIS_POOL_ON_EMPTY_BEHAVIOR REDIS_POOL_SIZE
        REDIS_SENTINEL_AUTH REDIS_SOCKET_TYPE REDIS_STARTUP_INITIAL_INTERVAL REDIS_STARTUP_MAX_ELAPSED_TIME
        REDIS_STARTUP_MAX_INTERVAL REDIS_TIMEOUT REDIS_TLS REDIS_TLS_CACERT REDIS_TLS_CLIENT_CERT
        REDIS_TLS_CLIENT_KEY REDIS_TLS_SKIP_HOSTNAME_VERIFICATION REDIS_TYPE REDIS_URL RESPONSE_DYNAMIC_METADATA
        RUNTIME_APPDIRECTORY RUNTIME_IGNOREDOTFILES RUNTIME_ROOT RUNTIME_SUBDIRECTORY RUNTIME_WATCH_ROOT SHADOW_MODE
        STATSD_HOST STATSD_PORT STATSD_PROTOCOL STATS_FLUSH_INTERVAL STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT
        TRACING_ENABLED TRACING_EXPORTER_PROTOCOL TRACING_SAMPLING_RATE TRACING_SERVICE_INSTANCE_ID
        TRACING_SERVICE_NAME TRACING_SERVICE_NAMESPACE USE_DOG_STATSD USE_DOG_STATSD_MOGRIFIERS USE_PROMETHEUS
        USE_STATSD XDS_CLIENT_BACKOFF_INITIAL_INTERVAL XDS_CLIENT_BACKOFF_JITTER XDS_CLIENT_BACKOFF_MAX_INTERVAL
        XDS_CLIENT_BACKOFF_RANDOM_FACTOR XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES
    ";

    #[test]
    fn no_variable_of_envoyproxy_ratelimit_is_forgotten() {
        let wanted: BTreeSet<_> = NAMES.split_whitespace().collect();
        assert_eq!(wanted.len(), 114 + 1);
        let have: BTreeSet<_> = variables().map(|variable| variable.name).collect();
        let missing: Vec<_> = wanted.difference(&have).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(have.len(), variables().count(), "a name is there twice");
    }

    #[test]
    fn every_row_fits_a_line_of_the_reference() {
        for variable in variables() {
            let reason = match variable.effect {
                Effect::Setting => "as it says",
                Effect::Accepted(reason) | Effect::NotRead(reason) => reason,
            };
            for text in [variable.meaning, reason] {
                assert!(
                    !text.is_empty() && !text.contains(['\n', '|']) && !text.ends_with('.'),
                    "{variable:?}"
                );
                assert!(text.chars().count() <= 120, "{variable:?}");
            }
        }
    }

    #[test]
    fn defaults_are_of_their_kind() {
        for variable in variables().filter(|variable| !variable.default.is_empty()) {
            let is_good = match variable.kind {
                Kind::Text | Kind::List | Kind::Map => true,
                Kind::Bool => server::settings::parse_bool(variable.default).is_ok(),
                Kind::Int => server::settings::parse_int(variable.default).is_ok(),
                Kind::Float => variable.default.parse::<f64>().is_ok(),
                Kind::Duration => server::settings::parse_duration(variable.default).is_ok(),
            };
            assert!(is_good, "{variable:?}");
        }
    }
}
