//! Where hits are counted: in memory, unless a variable of Redis says otherwise.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::values::Values;
use crate::counters::redis::{Address, HealthPolicy, NameCheck, RedisSettings, SocketType, Tls};

/// Where envoyproxy/ratelimit looks for Redis when it is not told.
const DEFAULT_URL: &str = "/var/run/nutcracker/ratelimit.sock";

/// For connecting when `REDIS_TIMEOUT` is not set. Shorter than the 10 s of envoyproxy/ratelimit, where requests wait for
/// it: here a server that came back elsewhere must not be waited for at its old place.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// What this version cannot do yet, by variable and the texts that ask for it.
const NOT_YET: [(&str, &str); 1] = [("REDIS_PERSECOND", "a second Redis")];

/// The store and how to use it.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// In this process.
    Memory {
        /// Counters at a time.
        keys_max: usize,
    },
    /// In Redis.
    Redis(RedisSettings),
}

/// `None` is a problem that was added to `values`.
pub(super) fn store(values: &mut Values<'_>) -> Option<StoreSettings> {
    match values.text("BACKEND_TYPE") {
        "redis" | "" => {}
        "memcache" => values.problem("BACKEND_TYPE", "memcached is not supported by this version".to_owned()),
        other => values.problem("BACKEND_TYPE", format!("Invalid setting for BackendType: {other}")),
    }
    let asks = ["REDIS_URL", "REDIS_SOCKET_TYPE", "REDIS_TYPE", "BACKEND_TYPE"];
    if asks.into_iter().any(|name| values.is_set(name)) {
        redis(values).map(StoreSettings::Redis)
    } else {
        Some(StoreSettings::Memory {
            keys_max: values.int("MEMORY_KEYS_MAX"),
        })
    }
}

fn redis(values: &mut Values<'_>) -> Option<RedisSettings> {
    for (name, what) in NOT_YET {
        if values.bool(name) {
            values.problem(name, format!("{what} is not supported by this version"));
        }
    }
    match values.text("REDIS_TYPE").to_ascii_uppercase().as_str() {
        "SINGLE" => {}
        "CLUSTER" | "SENTINEL" => values.problem(
            "REDIS_TYPE",
            "not supported by this version (allowed: SINGLE)".to_owned(),
        ),
        _ => values.problem(
            "REDIS_TYPE",
            format!("Unrecognized redis type {}", values.text("REDIS_TYPE")),
        ),
    }
    let url = values.set("REDIS_URL").unwrap_or(DEFAULT_URL);
    let address = Address::parse(url, socket_type(values), values.text("REDIS_AUTH"));
    let (is_tls, tls) = (values.bool("REDIS_TLS"), tls(values));
    let address = address.and_then(|address| {
        if is_tls || address.is_tls() {
            return address.with_tls(&tls);
        }
        Ok(address)
    });
    let address = address
        .map_err(|error| values.problem("REDIS_URL", error.to_string()))
        .ok()?;
    let connections = NonZeroUsize::new(values.int("REDIS_CONNECTIONS"));
    if connections.is_none() {
        values.problem("REDIS_CONNECTIONS", "there must be one at least".to_owned());
    }
    let given = values.is_set("REDIS_TIMEOUT").then(|| values.duration("REDIS_TIMEOUT"));
    let jitter = values.int::<i64>("EXPIRATION_JITTER_MAX_SECONDS");
    Some(RedisSettings {
        address,
        connections: connections?,
        connect_timeout: given.unwrap_or(CONNECT_TIMEOUT),
        expiry_jitter_max_secs: u64::try_from(jitter).unwrap_or(0),
        health: if values.bool("REDIS_HEALTH_CHECK_ACTIVE_CONNECTION") {
            HealthPolicy::WhileConnected
        } else {
            HealthPolicy::UntilReached
        },
    })
}

/// The files are those of both Redis servers. A pair counts when both of its files are named, as in envoyproxy/ratelimit.
fn tls(values: &Values<'_>) -> Tls {
    let file = |name| {
        Some(values.text(name))
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
    };
    Tls {
        authorities: file("REDIS_TLS_CACERT"),
        pair: file("REDIS_TLS_CLIENT_CERT").zip(file("REDIS_TLS_CLIENT_KEY")),
        name: if values.bool("REDIS_TLS_SKIP_HOSTNAME_VERIFICATION") {
            NameCheck::Skip
        } else {
            NameCheck::Verify
        },
    }
}

fn socket_type(values: &mut Values<'_>) -> Option<SocketType> {
    match values.set("REDIS_SOCKET_TYPE")? {
        "unix" => Some(SocketType::Unix),
        "tcp" | "tcp4" | "tcp6" => Some(SocketType::Tcp),
        _ => {
            values.problem("REDIS_SOCKET_TYPE", "not a socket type (allowed: unix, tcp)".to_owned());
            None
        }
    }
}
