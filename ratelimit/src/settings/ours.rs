//! Variables that envoyproxy/ratelimit does not have.

use crate::environment::{Effect, Group, Kind, Variable};

/// All of them.
pub(super) const GROUP: Group = Group {
    title: "Beyond envoyproxy/ratelimit",
    variables: VARIABLES,
};

const VARIABLES: &[Variable] = &[
    ours(
        "RATELIMIT_CONFIG",
        Kind::Text,
        "",
        "limit file or directory of them; else RUNTIME_*, config/ratelimit, /etc/ratelimit",
    ),
    ours(
        "STORE_DEADLINE",
        Kind::Duration,
        "15ms",
        "longest wait for the counters when the caller sends no grpc-timeout",
    ),
    ours(
        "MEMORY_KEYS_MAX",
        Kind::Int,
        "10000000",
        "counters in memory at a time; beyond it requests for new ones fail",
    ),
    ours(
        "REDIS_CONNECTIONS",
        Kind::Int,
        "2",
        "connections to Redis; each carries many calls at once",
    ),
    ours(
        "DRAIN_TIMEOUT",
        Kind::Duration,
        "10s",
        "longest wait for requests in flight when stopping",
    ),
    ours(
        "UNHEALTHY_FIRST",
        Kind::Duration,
        "0",
        "from failing health checks to refusing connections when stopping",
    ),
    ours(
        "PORTS_FILE",
        Kind::Text,
        "",
        "file to write the bound addresses to, as JSON, once all are bound",
    ),
];

const fn ours(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Variable {
    Variable {
        name,
        kind,
        default,
        meaning,
        effect: Effect::Setting,
    }
}

/// `REDIS_URL` as a flag: `redis-url`. The configuration's is the one that everybody types.
pub(super) fn flag_name(variable: &str) -> String {
    match variable {
        "RATELIMIT_CONFIG" => "config".to_owned(),
        name => name.to_ascii_lowercase().replace('_', "-"),
    }
}
