//! Where hits are counted: in memory, unless a variable of Redis says otherwise.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::values::Values;
use crate::counters::redis::{Address, Companions, HealthPolicy, NameCheck, RedisSettings, SocketType, Tls};

/// For connecting when `REDIS_TIMEOUT` is not set. Shorter than the 10 s of envoyproxy/ratelimit, where requests wait for
/// it: here a server that came back elsewhere must not be waited for at its old place.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The store and how to use it.
#[derive(Clone, Debug)]
pub enum StoreSettings {
    /// In this process.
    Memory {
        /// Counters at a time.
        keys_max: usize,
    },
    /// In Redis.
    Redis(Box<RedisStore>),
}

/// Counters in Redis, and what is done to spare it.
#[derive(Clone, Debug)]
pub struct RedisStore {
    /// Where hits are counted.
    pub main: RedisSettings,
    /// Where those on limits per second are, if elsewhere.
    pub per_second: Option<RedisSettings>,
    /// Memory for keys over their limit, if any.
    pub over_limit_bytes: Option<NonZeroUsize>,
    /// What becomes of counters beside one that is over.
    pub companions: Companions,
    /// When the process ends because Redis was not there at start; otherwise it goes on trying.
    pub startup_max: Option<Duration>,
}

/// The variables of one of the two.
#[derive(Clone, Copy, Debug)]
struct Names {
    url: &'static str,
    default_url: &'static str,
    socket_type: &'static str,
    kind: &'static str,
    auth: &'static str,
    sentinel_auth: &'static str,
    tls: &'static str,
    timeout: &'static str,
    pool_on_empty: &'static str,
}

const MAIN: Names = Names {
    url: "REDIS_URL",
    default_url: "/var/run/nutcracker/ratelimit.sock",
    socket_type: "REDIS_SOCKET_TYPE",
    kind: "REDIS_TYPE",
    auth: "REDIS_AUTH",
    sentinel_auth: "REDIS_SENTINEL_AUTH",
    tls: "REDIS_TLS",
    timeout: "REDIS_TIMEOUT",
    pool_on_empty: "REDIS_POOL_ON_EMPTY_BEHAVIOR",
};

const PER_SECOND: Names = Names {
    url: "REDIS_PERSECOND_URL",
    default_url: "/var/run/nutcracker/ratelimitpersecond.sock",
    socket_type: "REDIS_PERSECOND_SOCKET_TYPE",
    kind: "REDIS_PERSECOND_TYPE",
    auth: "REDIS_PERSECOND_AUTH",
    sentinel_auth: "REDIS_PERSECOND_SENTINEL_AUTH",
    tls: "REDIS_PERSECOND_TLS",
    timeout: "REDIS_PERSECOND_TIMEOUT",
    pool_on_empty: "REDIS_PERSECOND_POOL_ON_EMPTY_BEHAVIOR",
};

/// `None` is a problem that was added to `values`.
pub(super) fn store(values: &mut Values<'_>) -> Option<StoreSettings> {
    match values.text("BACKEND_TYPE") {
        "redis" | "" => {}
        "memcache" => values.problem("BACKEND_TYPE", "memcached is not supported by this version".to_owned()),
        other => values.problem("BACKEND_TYPE", format!("Invalid setting for BackendType: {other}")),
    }
    let asks = ["REDIS_URL", "REDIS_SOCKET_TYPE", "REDIS_TYPE", "BACKEND_TYPE"];
    if asks.into_iter().any(|name| values.is_set(name)) {
        redis(values).map(Box::new).map(StoreSettings::Redis)
    } else {
        Some(StoreSettings::Memory {
            keys_max: values.int("MEMORY_KEYS_MAX"),
        })
    }
}

fn redis(values: &mut Values<'_>) -> Option<RedisStore> {
    let main = one_redis(values, &MAIN);
    let per_second = values.bool("REDIS_PERSECOND").then(|| one_redis(values, &PER_SECOND));
    let companions = if values.bool("STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT") {
        Companions::Spare
    } else {
        Companions::Charge
    };
    Some(RedisStore {
        main: main?,
        per_second: match per_second {
            Some(settings) => Some(settings?),
            None => None,
        },
        over_limit_bytes: NonZeroUsize::new(values.int("LOCAL_CACHE_SIZE_IN_BYTES")),
        companions,
        startup_max: Some(values.duration("REDIS_STARTUP_MAX_ELAPSED_TIME")).filter(|longest| !longest.is_zero()),
    })
}

fn one_redis(values: &mut Values<'_>, names: &Names) -> Option<RedisSettings> {
    let address = address(values, names)?;
    let behaviour = values.text(names.pool_on_empty).to_ascii_uppercase();
    if matches!(behaviour.as_str(), "CREATE" | "ERROR") {
        // The text is that of envoyproxy/ratelimit.
        let variable = "REDIS_POOL_ON_EMPTY_BEHAVIOR";
        values.problem(
            names.pool_on_empty,
            format!("{variable}={behaviour} is not supported in radix v4"),
        );
    }
    let connections = NonZeroUsize::new(values.int("REDIS_CONNECTIONS"));
    if connections.is_none() {
        values.problem("REDIS_CONNECTIONS", "there must be one at least".to_owned());
    }
    let given = values.is_set(names.timeout).then(|| values.duration(names.timeout));
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

fn address(values: &mut Values<'_>, names: &Names) -> Option<Address> {
    let url = values.set(names.url).unwrap_or(names.default_url);
    let auth = values.text(names.auth);
    let parsed = match values.text(names.kind).to_ascii_uppercase().as_str() {
        "SINGLE" => Address::parse(url, socket_type(values, names.socket_type), auth),
        "SENTINEL" => Address::sentinel(url, auth, values.text(names.sentinel_auth)),
        "CLUSTER" => Address::cluster(url, auth),
        _ => {
            let kind = values.text(names.kind);
            values.problem(names.kind, format!("Unrecognized redis type {kind}"));
            return None;
        }
    };
    let (is_tls, tls) = (values.bool(names.tls), tls(values));
    let address = parsed.and_then(|address| {
        if is_tls || address.is_tls() {
            return address.with_tls(&tls);
        }
        Ok(address)
    });
    address
        .map_err(|error| values.problem(names.url, error.to_string()))
        .ok()
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

fn socket_type(values: &mut Values<'_>, name: &str) -> Option<SocketType> {
    match values.set(name)? {
        "unix" => Some(SocketType::Unix),
        "tcp" | "tcp4" | "tcp6" => Some(SocketType::Tcp),
        _ => {
            values.problem(name, "not a socket type (allowed: unix, tcp)".to_owned());
            None
        }
    }
}
