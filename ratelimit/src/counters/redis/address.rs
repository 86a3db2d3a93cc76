//! Where Redis is: one server, a master that Sentinels know, or a Cluster. Nothing here connects.

use std::fmt;

use super::instance::{AddressError, Server, SocketType};
use super::sentinel::Sentinels;
use super::tls::Tls;

/// Where Redis is and who we are to it. Never shows a password.
#[derive(Clone, Debug)]
pub struct Address(Place);

/// What kind of place it is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// One server.
    Server(Server),
    /// The master that they name.
    Sentinels(Sentinels),
    /// Nodes to begin with; all are talked to as the first one is.
    Cluster(Vec<Server>),
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

    /// A master's name and the Sentinels that watch it: `name,host:port,host:port`. `auth` is for the master.
    ///
    /// # Errors
    ///
    /// When the text is of another form.
    pub fn sentinel(text: &str, auth: &str, sentinel_auth: &str) -> Result<Self, AddressError> {
        let (name, sentinels) = text.split_once(',').ok_or(AddressError::Sentinels)?;
        if name.is_empty() || sentinels.is_empty() {
            return Err(AddressError::Sentinels);
        }
        Ok(Self(Place::Sentinels(Sentinels {
            name: name.to_owned(),
            watchers: servers(sentinels, sentinel_auth)?,
            master: Server::unnamed(auth),
        })))
    }

    /// Nodes of a Cluster: `host:port,host:port`.
    ///
    /// # Errors
    ///
    /// When the text is of another form.
    pub fn cluster(text: &str, auth: &str) -> Result<Self, AddressError> {
        servers(text, auth).map(Place::Cluster).map(Self)
    }

    /// The same place over TLS.
    ///
    /// # Errors
    ///
    /// When it is a path.
    pub fn with_tls(self, tls: &Tls) -> Result<Self, AddressError> {
        let over_tls = |server: Server| server.with_tls(tls.clone());
        let place = match self.0 {
            Place::Server(server) => Place::Server(over_tls(server)?),
            Place::Sentinels(Sentinels { name, watchers, master }) => Place::Sentinels(Sentinels {
                name,
                watchers: watchers.into_iter().map(over_tls).collect::<Result<_, _>>()?,
                master: over_tls(master)?,
            }),
            Place::Cluster(seeds) => Place::Cluster(seeds.into_iter().map(over_tls).collect::<Result<_, _>>()?),
        };
        Ok(Self(place))
    }

    /// Whether it asks for TLS by itself, as `rediss://` does.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match &self.0 {
            Place::Server(server) => server.tls().is_some(),
            Place::Sentinels(sentinels) => sentinels.watchers.iter().any(|server| server.tls().is_some()),
            Place::Cluster(seeds) => seeds.iter().any(|server| server.tls().is_some()),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.0
    }
}

fn servers(list: &str, auth: &str) -> Result<Vec<Server>, AddressError> {
    let parse = |text| Server::parse(text, Some(SocketType::Tcp), auth);
    list.split(',').map(parse).collect()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = match &self.0 {
            Place::Server(server) => return server.fmt(f),
            Place::Sentinels(sentinels) => {
                write!(f, "{},", sentinels.name)?;
                &sentinels.watchers
            }
            Place::Cluster(seeds) => seeds,
        };
        let texts: Vec<_> = servers.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentinels_come_after_a_name() {
        let address = Address::sentinel("mymaster,a:1,redis://:pw@b:2", "", "").unwrap();
        assert_eq!(address.to_string(), "mymaster,a:1,b:2");
        let text = "Expected master name and a list of urls for the sentinels, in the format: \
                    <redis master name>,<sentinel1>,...,<sentineln>";
        for wrong in ["mymaster", "mymaster,", ",a:1", ""] {
            let error = Address::sentinel(wrong, "", "").unwrap_err();
            assert_eq!(error.to_string(), text, "{wrong}");
        }
        assert_eq!(
            Address::sentinel("mymaster,a", "", "").unwrap_err(),
            AddressError::Plain
        );
    }

    #[test]
    fn a_cluster_is_a_list() {
        assert_eq!(Address::cluster("a:1,[::1]:2", "").unwrap().to_string(), "a:1,::1:2");
        assert_eq!(Address::cluster("a:1,", "").unwrap_err(), AddressError::Empty);
        let over_tls = Address::cluster("a:1,rediss://b:2", "").unwrap();
        assert!(over_tls.is_tls());
    }
}
