//! One Redis server and who we are to it, as settings spell it: a path, `host:port`, or a URL.
//!
//! The forms are those of envoyproxy/ratelimit: a plain address is a path or `host:port` by the socket type, a URL says
//! so itself and may bring user, password and database, also as `?db=` and `?password=`; `rediss://` asks for TLS.
//! `auth` fills in what the URL leaves out. Nothing here connects; [`super::address`] says how servers hang together.

use std::fmt;
use std::path::PathBuf;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
use server::Secret;

use super::tls::Tls;

/// The port when a URL names none.
const DEFAULT_PORT: u16 = 6379;

/// How a plain address is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SocketType {
    /// It is a path.
    Unix,
    /// It is `host:port`.
    Tcp,
}

/// One Redis server.
#[derive(Clone)]
pub(super) struct Server {
    place: ConnectionAddr,
    login: Secret<RedisConnectionInfo>,
    tls: Option<Tls>,
}

/// A text that names no Redis server. Never shows the text: it may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("is empty (allowed: a socket path, host:port, redis://[user:password@]host[:port][/db])")]
    Empty,
    /// Not `host:port`.
    #[error("is not an address (allowed: host:port, [IPv6]:port, redis://[user:password@]host[:port][/db])")]
    Plain,
    /// Begins as a URL and is none that we know.
    #[error("is not a Redis URL: {0}")]
    Url(String),
    /// TLS on a path.
    #[error("a socket path takes no TLS")]
    TlsOnSocket,
    /// Sentinels without a master's name, or a name without them.
    #[error(
        "Expected master name and a list of urls for the sentinels, in the format: \
         <redis master name>,<sentinel1>,...,<sentineln>"
    )]
    Sentinels,
    /// Several servers.
    #[error("several addresses need the type cluster or sentinel")]
    Several,
}

impl Server {
    /// Reads an address. `socket` tells how a plain one is meant; without it a `/` makes it a path.
    ///
    /// # Errors
    ///
    /// When the text names no server, or one that this version cannot talk to.
    pub(super) fn parse(text: &str, socket: Option<SocketType>, auth: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let (place, login) = if text.contains("://") {
            from_url(text)?
        } else {
            (from_plain(text, socket)?, RedisConnectionInfo::default())
        };
        let login = with_auth(login, auth).set_skip_set_lib_name();
        Ok(Self {
            place,
            login: Secret::new(login),
            tls: text.starts_with("rediss://").then(Tls::default),
        })
    }

    /// The same server over TLS.
    ///
    /// # Errors
    ///
    /// When it is a path.
    pub(super) fn with_tls(self, tls: Tls) -> Result<Self, AddressError> {
        match self.place {
            ConnectionAddr::Unix(_) => Err(AddressError::TlsOnSocket),
            ConnectionAddr::Tcp(..) | ConnectionAddr::TcpTls { .. } | _ => Ok(Self { tls: Some(tls), ..self }),
        }
    }

    /// A server that nobody has named yet, with who we are to it.
    pub(super) fn unnamed(auth: &str) -> Self {
        Self {
            place: ConnectionAddr::Tcp(String::new(), 0),
            login: Secret::new(with_auth(RedisConnectionInfo::default(), auth)),
            tls: None,
        }
    }

    /// The server at `host` and `port`, to which we are the same.
    pub(super) fn elsewhere(&self, host: &str, port: u16) -> Self {
        Self {
            place: ConnectionAddr::Tcp(host.to_owned(), port),
            ..self.clone()
        }
    }

    /// The host to connect to; none for a path.
    pub(super) fn host(&self) -> Option<&str> {
        match &self.place {
            ConnectionAddr::Tcp(host, _) => Some(host),
            ConnectionAddr::Unix(_) | ConnectionAddr::TcpTls { .. } | _ => None,
        }
    }

    /// How it is talked to over TLS, if it is.
    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Where to connect.
    pub(super) fn place(&self) -> &ConnectionAddr {
        &self.place
    }

    /// User, password and database, for the handshake.
    pub(super) fn login(&self) -> &RedisConnectionInfo {
        self.login.reveal()
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

fn from_plain(text: &str, socket: Option<SocketType>) -> Result<ConnectionAddr, AddressError> {
    if text.contains(',') {
        return Err(AddressError::Several);
    }
    let guess = if text.contains('/') {
        SocketType::Unix
    } else {
        SocketType::Tcp
    };
    match socket.unwrap_or(guess) {
        SocketType::Unix => Ok(ConnectionAddr::Unix(PathBuf::from(text))),
        SocketType::Tcp => {
            let (host, port) = text.rsplit_once(':').ok_or(AddressError::Plain)?;
            let port = port.parse().map_err(|_not_a_port| AddressError::Plain)?;
            let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            let host = bare.unwrap_or(host);
            if host.is_empty() || bare.is_none() && host.contains(':') {
                return Err(AddressError::Plain);
            }
            Ok(ConnectionAddr::Tcp(host.to_owned(), port))
        }
    }
}

fn from_url(text: &str) -> Result<(ConnectionAddr, RedisConnectionInfo), AddressError> {
    let url = redis::parse_redis_url(text).ok_or_else(|| AddressError::Url("it does not parse".to_owned()))?;
    let mut database = None;
    let mut password = None;
    for (name, value) in url.query_pairs() {
        match &*name {
            "db" => database = Some(value.into_owned()),
            "password" => password = Some(value.into_owned()),
            _ => {}
        }
    }
    // The client library would want a TLS of its own for this scheme.
    let plain = text.replacen("rediss://", "redis://", 1);
    let info: ConnectionInfo = plain
        .as_str()
        .into_connection_info()
        .map_err(|error| AddressError::Url(error.to_string()))?;
    let mut login = info.redis_settings().clone();
    if let Some(database) = database {
        let number = database.parse().ok().filter(|number| *number >= 0);
        login = login.set_db(number.ok_or_else(|| AddressError::Url("db is not a number".to_owned()))?);
    }
    if let (Some(password), None) = (password, login.password()) {
        login = login.set_password(password);
    }
    let place = match info.addr() {
        ConnectionAddr::Tcp(host, 0) => ConnectionAddr::Tcp(host.clone(), DEFAULT_PORT),
        place @ (ConnectionAddr::Tcp(..) | ConnectionAddr::Unix(_) | ConnectionAddr::TcpTls { .. } | _) => {
            place.clone()
        }
    };
    Ok((place, login))
}

/// `password` or `user:password`, unless the URL brought its own.
fn with_auth(login: RedisConnectionInfo, auth: &str) -> RedisConnectionInfo {
    if auth.is_empty() || login.password().is_some() {
        return login;
    }
    match auth.split_once(':') {
        Some((user, password)) => login.set_username(user).set_password(password),
        None => login.set_password(auth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Place, user, password, database.
    #[track_caller]
    fn check(text: &str, socket: Option<SocketType>, auth: &str, expected: (&str, &str, &str, i64)) {
        let address = Server::parse(text, socket, auth).unwrap();
        let login = address.login();
        let found = (
            address.to_string(),
            login.username().unwrap_or("").to_owned(),
            login.password().unwrap_or("").to_owned(),
            login.db(),
        );
        let (place, user, password, database) = expected;
        assert_eq!(
            found,
            (place.to_owned(), user.to_owned(), password.to_owned(), database)
        );
        assert!(matches!(address.place(), ConnectionAddr::Unix(_)) == place.starts_with('/'));
    }

    #[test]
    fn reads_every_form() {
        let tcp = Some(SocketType::Tcp);
        check("redis:6379", tcp, "", ("redis:6379", "", "", 0));
        check("redis:6379", None, "", ("redis:6379", "", "", 0));
        check("[::1]:7000", tcp, "secret", ("::1:7000", "", "secret", 0));
        check("/run/r.sock", None, "me:se:cret", ("/run/r.sock", "me", "se:cret", 0));
        check("/run/r.sock", Some(SocketType::Unix), "", ("/run/r.sock", "", "", 0));
        check("redis://r:1", tcp, "me:pw", ("r:1", "me", "pw", 0));
        check("redis://r", tcp, "", ("r:6379", "", "", 0));
        check("redis://u:p%40@r:1/3", tcp, "me:pw", ("r:1", "u", "p@", 3));
        check("redis://r:1?db=4&password=x", tcp, "", ("r:1", "", "x", 4));
        check("redis://:p@r:1", Some(SocketType::Unix), "", ("r:1", "", "p", 0));
    }

    #[track_caller]
    fn refuses(text: &str, expected: &AddressError) {
        let found = Server::parse(text, Some(SocketType::Tcp), "").unwrap_err();
        assert_eq!(
            std::mem::discriminant(&found),
            std::mem::discriminant(expected),
            "{text}: {found}"
        );
    }

    #[test]
    fn refuses_what_it_cannot_connect_to() {
        let url = AddressError::Url(String::new());
        refuses("", &AddressError::Empty);
        refuses("redis", &AddressError::Plain);
        refuses("redis:port", &AddressError::Plain);
        refuses("::1:6379", &AddressError::Plain);
        refuses(":6379", &AddressError::Plain);
        refuses("a:1,b:2", &AddressError::Several);
        refuses("http://r:1", &url);
        refuses("redis://r:1/x", &url);
        refuses("redis://r:1?db=x", &url);
        refuses("redis://r:1?db=-1", &url);
    }

    #[test]
    fn a_url_may_ask_for_tls() {
        check("rediss://u:p@r/2", None, "", ("r:6379", "u", "p", 2));
        assert!(Server::parse("rediss://r:1", None, "").unwrap().tls().is_some());
        assert!(Server::parse("redis://r:1", None, "").unwrap().tls().is_none());
        let on_a_path = Server::parse("/r.sock", None, "").unwrap().with_tls(Tls::default());
        assert_eq!(on_a_path.unwrap_err(), AddressError::TlsOnSocket);
    }

    #[test]
    fn never_shows_a_password() {
        let address = Server::parse("redis://user:hunter2@r:1", None, "").unwrap();
        assert_eq!(format!("{address} {address:?}"), "r:1 Server(r:1)");
        let error = Server::parse("http://user:hunter2@r:1", None, "").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
