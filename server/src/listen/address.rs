//! Where to listen: a TCP address or a Unix socket, as settings spell them.

use std::fmt;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener};

use super::io::Plain;

/// A place to listen: `127.0.0.1:8081`, `[::]:8081`, `localhost:8081`, `:9090` (every address), `unix:/run/x.sock`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A host (name, IPv4 or IPv6 without brackets) and a port; port 0 takes a free one.
    Tcp {
        /// The host as written, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket at this path; a left-over socket file that nobody serves is replaced.
    Unix(PathBuf),
}

/// The text is not an address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not an address (allowed: HOST:PORT, [IPv6]:PORT, :PORT, unix:PATH)")]
pub struct AddressError(String);

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(wrong())
            } else {
                Ok(Self::Unix(PathBuf::from(path)))
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_not_a_port| wrong())?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host = match bare {
            Some(inside) => inside,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        Ok(Self::tcp(host, port))
    }
}

impl Address {
    /// A TCP address; an empty host means every address.
    #[must_use]
    pub fn tcp(host: &str, port: u16) -> Self {
        let host = if host.is_empty() { "0.0.0.0" } else { host };
        Self::Tcp {
            host: host.to_owned(),
            port,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound listener: the port is taken, nothing is accepted yet.
#[derive(Debug)]
pub struct Listener(Bound);

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Takes the address.
    ///
    /// # Errors
    /// When the address is taken, not ours, or its host name unknown; the error names the address.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        let bound = match address {
            Address::Tcp { host, port } => TcpListener::bind((host.as_str(), *port)).await.map(Bound::Tcp),
            Address::Unix(path) => bind_unix(path).await,
        };
        let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
        bound.map(Self).map_err(named)
    }

    /// The address as bound: the real port where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_address(&self) -> io::Result<Address> {
        match &self.0 {
            Bound::Tcp(listener) => listener
                .local_addr()
                .map(|address| Address::tcp(&address.ip().to_string(), address.port())),
            Bound::Unix(_, path) => Ok(Address::Unix(path.clone())),
        }
    }

    /// The next connection. Cancel-safe.
    pub(super) async fn accept(&self) -> io::Result<Plain> {
        match &self.0 {
            Bound::Tcp(listener) => {
                let (stream, _peer) = listener.accept().await?;
                // Fails when the peer has left already; the connection then ends by itself.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot switch off Nagle's algorithm");
                }
                Ok(Plain::Tcp(stream))
            }
            Bound::Unix(listener, _) => listener.accept().await.map(|(stream, _peer)| Plain::Unix(stream)),
        }
    }
}

impl Drop for Listener {
    /// A Unix socket leaves no file behind.
    fn drop(&mut self) {
        if let Bound::Unix(_, path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(path = %path.display(), %error, "cannot remove the socket file");
        }
    }
}

/// Binds a Unix socket, replacing a socket file that nobody accepts on; never another kind of file.
async fn bind_unix(path: &Path) -> io::Result<Bound> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && tokio::net::UnixStream::connect(path).await.is_err() {
        std::fs::remove_file(path)?;
    }
    UnixListener::bind(path).map(|listener| Bound::Unix(listener, path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, host: &str, port: u16) {
        assert_eq!(
            text.parse(),
            Ok(Address::Tcp {
                host: host.to_owned(),
                port
            }),
            "{text}"
        );
    }

    #[test]
    fn reads_every_spelling() {
        check("127.0.0.1:8081", "127.0.0.1", 8081);
        check("localhost:0", "localhost", 0);
        check(":9090", "0.0.0.0", 9090);
        check("[::]:8081", "::", 8081);
        check("[::1]:1", "::1", 1);
        assert_eq!("unix:/run/x.sock".parse(), Ok(Address::Unix("/run/x.sock".into())));
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            "8081",
            "host",
            "host:",
            "host:65536",
            "host:-1",
            "::1:80",
            "unix:",
            "[::1]",
        ] {
            assert_eq!(text.parse::<Address>(), Err(AddressError(text.to_owned())));
        }
    }

    #[tokio::test]
    async fn replaces_a_dead_socket_file_but_no_other_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        // A std listener leaves its file behind when dropped.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
        assert!(
            Listener::bind(&Address::Unix(path.clone())).await.is_err(),
            "a live socket is not taken over"
        );
        drop(listener);
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        Listener::bind(&Address::Unix(path.clone())).await.unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
