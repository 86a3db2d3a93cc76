//! Where Redis is: one server, and later how several hang together. Nothing here connects.

use std::fmt;

use super::instance::{AddressError, Server, SocketType};
use super::tls::Tls;

/// Where Redis is and who we are to it. Never shows a password.
#[derive(Clone, Debug)]
pub struct Address(Place);

/// What kind of place it is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// One server.
    Server(Server),
}

impl Address {
    /// One server. `socket` tells how a plain address is meant; without it a `/` makes it a path.
    ///
    /// # Errors
    ///
    /// When the text names no server.
    pub fn parse(text: &str, socket: Option<SocketType>, auth: &str) -> Result<Self, AddressError> {
        Server::parse(text, socket, auth).map(Place::Server).map(Self)
    }

    /// The same place over TLS.
    ///
    /// # Errors
    ///
    /// When it is a path.
    pub fn with_tls(self, tls: &Tls) -> Result<Self, AddressError> {
        let place = match self.0 {
            Place::Server(server) => Place::Server(server.with_tls(tls.clone())?),
        };
        Ok(Self(place))
    }

    /// Whether it asks for TLS by itself, as `rediss://` does.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match &self.0 {
            Place::Server(server) => server.tls().is_some(),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Server(server) => server.fmt(f),
        }
    }
}
