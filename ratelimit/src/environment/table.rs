//! The table itself. Defaults are ours where they differ from envoyproxy/ratelimit; the meaning says so.

use super::Kind::{Bool, Duration, Float, Int, List, Map, Text};
use super::{Group, Variable};

/// Why pool settings change nothing.
const ONE_CONNECTION: &str = "one connection a node carries all calls at once; there is no pool to size or to run out";
/// Why time windows of pipelines change nothing.
const PIPELINED_AT_ONCE: &str = "commands that are ready together are sent together, without waiting for more";

/// Why pauses at start change nothing.
const NO_WAIT_AT_START: &str = "the start does not wait for Redis; it is tried again after 20 ms at first and 1 s at most";

const fn v(name: &'static str, kind: super::Kind, default: &'static str, meaning: &'static str) -> Variable {
    Variable::new(name, kind, default, meaning)
}

/// All variables, grouped for reading.
pub const GROUPS: [Group; 11] = [
    Group { title: "Listeners", variables: LISTENERS },
    Group { title: "TLS of the gRPC listener", variables: TLS },
    Group { title: "Process", variables: PROCESS },
    Group { title: "Limits from files", variables: FILES },
    Group { title: "Limits from a control plane (xDS)", variables: XDS },
    Group { title: "Answers", variables: ANSWERS },
    Group { title: "Counters", variables: COUNTERS },
    Group { title: "Redis", variables: REDIS },
    Group { title: "memcached", variables: MEMCACHED },
    Group { title: "Statistics", variables: STATISTICS },
    Group { title: "Tracing", variables: TRACING },
];

const LISTENERS: &[Variable] = &[
    v("HOST", Text, "0.0.0.0", "address of the HTTP listener (/healthcheck, /json)"),
    v("PORT", Int, "8080", "port of the HTTP listener"),
    v("DEBUG_HOST", Text, "0.0.0.0", "address of the debug listener (/rlconfig, /stats)"),
    v("DEBUG_PORT", Int, "6070", "port of the debug listener"),
    v("GRPC_HOST", Text, "0.0.0.0", "address of the gRPC listener"),
    v("GRPC_PORT", Int, "8081", "port of the gRPC listener"),
    v("GRPC_UDS", Text, "", "path of a unix socket for gRPC, instead of address and port"),
    v("GRPC_MAX_CONNECTION_AGE", Duration, "24h", "age at which a gRPC connection is asked to end, give or take 10 %"),
    v("GRPC_MAX_CONNECTION_AGE_GRACE", Duration, "1h", "time after that until it is closed"),
];

const TLS: &[Variable] = &[
    v("GRPC_SERVER_USE_TLS", Bool, "false", "TLS on the gRPC listener"),
    v("GRPC_SERVER_TLS_CERT", Text, "", "path of the certificate chain (PEM); read again when it changes"),
    v("GRPC_SERVER_TLS_KEY", Text, "", "path of its key (PEM); read again when it changes"),
    v("GRPC_CLIENT_TLS_CACERT", Text, "", "path of CA certificates (PEM); if set, clients must present one"),
    v("GRPC_CLIENT_TLS_SAN", Text, "", "DNS name that the client's certificate must have"),
];

const PROCESS: &[Variable] = &[
    v("LOG_LEVEL", Text, "INFO", "panic, fatal, error, warn, info, debug or trace, in any case"),
    v("LOG_FORMAT", Text, "text", "text, or json for one object a line"),
    v("FORCE_START_WITHOUT_INITIAL_CONFIG", Bool, "false", "serve before limits were loaded"),
    v("HEALTHY_WITH_AT_LEAST_ONE_CONFIG_LOADED", Bool, "false", "unhealthy until limits for a domain were loaded"),
];

const FILES: &[Variable] = &[
    v("CONFIG_TYPE", Text, "FILE", "FILE, or GRPC_XDS_SOTW for limits from a control plane"),
    v("RUNTIME_ROOT", Text, "/srv/runtime_data/current", "root of the tree of limit files, often a symbolic link"),
    v("RUNTIME_SUBDIRECTORY", Text, "", "directory below the root"),
    v("RUNTIME_APPDIRECTORY", Text, "config", "directory below that, with the YAML files"),
    v("RUNTIME_IGNOREDOTFILES", Bool, "false", "leave out files and directories that begin with a dot"),
    v("RUNTIME_WATCH_ROOT", Bool, "true", "watch the root for being swapped rather than the directory for changes"),
    v("MERGE_DOMAIN_CONFIG", Bool, "false", "allow the limits of a domain in several files"),
];

const XDS: &[Variable] = &[
    v("CONFIG_GRPC_XDS_NODE_ID", Text, "default", "node id that is told to the control plane"),
    v("CONFIG_GRPC_XDS_NODE_METADATA", Text, "", "node metadata, `k=v` pairs between commas"),
    v("CONFIG_GRPC_XDS_SERVER_URL", Text, "localhost:18000", "host and port of the control plane"),
    v("CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL", Duration, "3s", "pause while it cannot be reached"),
    v("CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS", Map, "", "headers that go with the stream"),
    v("CONFIG_GRPC_XDS_SERVER_USE_TLS", Bool, "false", "TLS to the control plane"),
    v("CONFIG_GRPC_XDS_CLIENT_TLS_CERT", Text, "", "path of our certificate chain (PEM), used with its key"),
    v("CONFIG_GRPC_XDS_CLIENT_TLS_KEY", Text, "", "path of its key (PEM)"),
    v("CONFIG_GRPC_XDS_SERVER_TLS_CACERT", Text, "", "path of CA certificates (PEM) for the control plane"),
    v("CONFIG_GRPC_XDS_SERVER_TLS_SAN", Text, "", "name that the control plane's certificate must have"),
    v("XDS_CLIENT_BACKOFF_INITIAL_INTERVAL", Duration, "10s", "first pause after a stream ended or a push was refused"),
    v("XDS_CLIENT_BACKOFF_MAX_INTERVAL", Duration, "60s", "longest such pause; each is twice the one before"),
    v("XDS_CLIENT_BACKOFF_RANDOM_FACTOR", Float, "0.5", "part of a pause that jitter may take away, 0 to 1"),
    v("XDS_CLIENT_BACKOFF_JITTER", Bool, "true", "shorten pauses at random"),
    v("XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES", Int, "", "largest push that is taken; 4 MiB if unset or 0"),
];

const ANSWERS: &[Variable] = &[
    v("LIMIT_RESPONSE_HEADERS_ENABLED", Bool, "false", "add the three headers below to each answer"),
    v("LIMIT_LIMIT_HEADER", Text, "RateLimit-Limit", "name of the header with the limit"),
    v("LIMIT_REMAINING_HEADER", Text, "RateLimit-Remaining", "name of the header with what is left"),
    v("LIMIT_RESET_HEADER", Text, "RateLimit-Reset", "name of the header with the seconds to the next window"),
    v("RESPONSE_DYNAMIC_METADATA", Bool, "false", "say in dynamic metadata how each answer came about"),
    v("SHADOW_MODE", Bool, "false", "count everything and limit nothing"),
    v("QUOTA_MODE", Bool, "false", "take every limit as a quota"),
];

const COUNTERS: &[Variable] = &[
    v("BACKEND_TYPE", Text, "redis", "redis or memcache; without an address, counters are in memory"),
    v("CACHE_KEY_PREFIX", Text, "", "put before each counter's key"),
    v("EXPIRATION_JITTER_MAX_SECONDS", Int, "300", "a random part of it is added to how long counters live; 0 is none"),
    v("LOCAL_CACHE_SIZE_IN_BYTES", Int, "0", "memory for keys known to be over their limit; 0 switches it off"),
    v("NEAR_LIMIT_RATIO", Float, "0.8", "part of a limit from which hits count as near_limit"),
    v("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT", Bool, "false", "leave all counters of a request alone if one is over"),
];

const REDIS: &[Variable] = &[
    v("REDIS_URL", Text, "", "path of a socket, host:port, or a list for Sentinel and Cluster; unset: in memory"),
    v("REDIS_SOCKET_TYPE", Text, "unix", "unix or tcp, for a single Redis"),
    v("REDIS_TYPE", Text, "SINGLE", "SINGLE, SENTINEL or CLUSTER, in any case"),
    v("REDIS_POOL_SIZE", Int, "10", "connections a node").accepted(ONE_CONNECTION),
    v("REDIS_AUTH", Text, "", "password, or user:password"),
    v("REDIS_SENTINEL_AUTH", Text, "", "the same for Sentinel nodes"),
    v("REDIS_TLS", Bool, "false", "TLS to Redis"),
    v("REDIS_TLS_CLIENT_CERT", Text, "", "path of our certificate chain (PEM), for both Redis clients"),
    v("REDIS_TLS_CLIENT_KEY", Text, "", "path of its key (PEM)"),
    v("REDIS_TLS_CACERT", Text, "", "path of CA certificates (PEM) for Redis"),
    v("REDIS_TLS_SKIP_HOSTNAME_VERIFICATION", Bool, "false", "check the certificate of Redis but not its name"),
    v("REDIS_PIPELINE_WINDOW", Duration, "0", "time to gather commands").accepted(PIPELINED_AT_ONCE),
    v("REDIS_PIPELINE_LIMIT", Int, "0", "commands to gather")
        .accepted("deprecated and ignored by envoyproxy/ratelimit"),
    v("REDIS_CLUSTER_PIPELINE_PARALLELISM", Int, "1", "groups of keys that are sent to a Cluster at a time")
        .accepted("all nodes of a Cluster are asked in parallel"),
    v("REDIS_TIMEOUT", Duration, "10s", "longest time to connect and for a command"),
    v("REDIS_POOL_ON_EMPTY_BEHAVIOR", Text, "WAIT", "what to do when the pool is empty").accepted(ONE_CONNECTION),
    v("REDIS_HEALTH_CHECK_ACTIVE_CONNECTION", Bool, "false", "unhealthy while Redis is not connected"),
    v("REDIS_STARTUP_INITIAL_INTERVAL", Duration, "1s", "wait after the first failed connection at start")
        .accepted(NO_WAIT_AT_START),
    v("REDIS_STARTUP_MAX_INTERVAL", Duration, "30s", "longest wait between connections at start")
        .accepted(NO_WAIT_AT_START),
    v("REDIS_STARTUP_MAX_ELAPSED_TIME", Duration, "0", "time after which start is given up; 0 is never"),
    v("REDIS_PERSECOND", Bool, "false", "another Redis for limits per second, with the settings below"),
    v("REDIS_PERSECOND_URL", Text, "/var/run/nutcracker/ratelimitpersecond.sock", "as REDIS_URL"),
    v("REDIS_PERSECOND_SOCKET_TYPE", Text, "unix", "as REDIS_SOCKET_TYPE"),
    v("REDIS_PERSECOND_TYPE", Text, "SINGLE", "as REDIS_TYPE"),
    v("REDIS_PERSECOND_POOL_SIZE", Int, "10", "as REDIS_POOL_SIZE").accepted(ONE_CONNECTION),
    v("REDIS_PERSECOND_AUTH", Text, "", "as REDIS_AUTH, which it does not inherit"),
    v("REDIS_PERSECOND_SENTINEL_AUTH", Text, "", "as REDIS_SENTINEL_AUTH, which it does not inherit"),
    v("REDIS_PERSECOND_TLS", Bool, "false", "TLS to it, with the files of REDIS_TLS_*"),
    v("REDIS_PERSECOND_PIPELINE_WINDOW", Duration, "0", "as REDIS_PIPELINE_WINDOW").accepted(PIPELINED_AT_ONCE),
    v("REDIS_PERSECOND_PIPELINE_LIMIT", Int, "0", "as REDIS_PIPELINE_LIMIT")
        .accepted("deprecated and ignored by envoyproxy/ratelimit"),
    v("REDIS_PERSECOND_CLUSTER_PIPELINE_PARALLELISM", Int, "1", "as REDIS_CLUSTER_PIPELINE_PARALLELISM")
        .accepted("all nodes of a Cluster are asked in parallel"),
    v("REDIS_PERSECOND_TIMEOUT", Duration, "10s", "as REDIS_TIMEOUT"),
    v("REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR", Text, "WAIT", "as REDIS_POOL_ON_EMPTY_BEHAVIOR")
        .accepted(ONE_CONNECTION),
];

const MEMCACHED: &[Variable] = &[
    v("MEMCACHE_HOST_PORT", List, "", "host:port of each node"),
    v("MEMCACHE_SRV", Text, "", "DNS SRV name of the nodes, instead"),
    v("MEMCACHE_SRV_REFRESH", Duration, "0", "time between lookups of that name; 0 is never again"),
    v("MEMCACHE_MAX_IDLE_CONNS", Int, "2", "idle connections that are kept a node"),
    v("MEMCACHE_TLS", Bool, "false", "TLS to memcached"),
    v("MEMCACHE_TLS_CLIENT_CERT", Text, "", "path of our certificate chain (PEM)"),
    v("MEMCACHE_TLS_CLIENT_KEY", Text, "", "path of its key (PEM)"),
    v("MEMCACHE_TLS_CACERT", Text, "", "path of CA certificates (PEM) for memcached"),
    v("MEMCACHE_TLS_SKIP_HOSTNAME_VERIFICATION", Bool, "false", "check the certificate but not the name"),
];

const STATISTICS: &[Variable] = &[
    v("USE_PROMETHEUS", Bool, "", "keep statistics for scraping; so it is if nothing else is asked for"),
    v("USE_STATSD", Bool, "", "push them to a statsd server; so it is too if STATSD_HOST, _PORT or _PROTOCOL is set"),
    v("USE_DOG_STATSD", Bool, "false", "push them to a DogStatsD agent"),
    v("DISABLE_STATS", Bool, "false", "keep no statistics; wins over all three"),
    v("STATSD_HOST", Text, "localhost", "host of the server or agent"),
    v("STATSD_PORT", Int, "8125", "port of the server or agent"),
    v("STATSD_PROTOCOL", Text, "tcp", "tcp or udp, for statsd; an agent is always sent datagrams"),
    v("STATS_FLUSH_INTERVAL", Duration, "10s", "time between flushes of counters and gauges"),
    v("EXTRA_TAGS", Map, "", "tags of every statistic; labels under Prometheus"),
    v("USE_DOG_STATSD_MOGRIFIERS", List, "", "names X of the three variables below, in the order they are tried"),
    v("DOG_STATSD_MOGRIFIER_<X>_PATTERN", Text, "", "expression that a name of a statistic must match"),
    v("DOG_STATSD_MOGRIFIER_<X>_NAME", Text, "", "name it gets; `$1` is what the first group matched"),
    v("DOG_STATSD_MOGRIFIER_<X>_TAGS", Map, "", "tags it gets; `$1` as above"),
    v("PROMETHEUS_ADDR", Text, ":9090", "address of the listener for scrapes"),
    v("PROMETHEUS_PATH", Text, "/metrics", "path for scrapes"),
    v("PROMETHEUS_MAPPER_YAML", Text, "", "statsd_exporter mapping file, instead of the built-in rules"),
    v("PROMETHEUS_RESPONSE_TIME_AS_MILLISECONDS", Bool, "false", "show response_time in ms (built-in rules only)"),
    v("GOSTATS_FLUSH_INTERVAL_SECONDS", Int, "", "flushes of a library of envoyproxy/ratelimit")
        .not_read("without effect in envoyproxy/ratelimit too; STATS_FLUSH_INTERVAL holds"),
    v("GOSTATS_LOGGING_SINK_DISABLED", Bool, "", "logging of a library of envoyproxy/ratelimit")
        .not_read("without effect in envoyproxy/ratelimit too"),
];

const TRACING: &[Variable] = &[
    v("TRACING_ENABLED", Bool, "false", "send spans over OTLP"),
    v("TRACING_SERVICE_NAME", Text, "RateLimit", "resource attribute service.name"),
    v("TRACING_SERVICE_NAMESPACE", Text, "", "resource attribute service.namespace"),
    v("TRACING_SERVICE_INSTANCE_ID", Text, "", "resource attribute service.instance.id; random if empty"),
    v("TRACING_EXPORTER_PROTOCOL", Text, "http", "http or grpc"),
    v("TRACING_SAMPLING_RATE", Float, "1", "part of the traces that begin here and are sent"),
    v("OTEL_EXPORTER_OTLP_*", Text, "", "the standard variables of OTLP exporters: endpoint, headers, timeout, TLS"),
];
