//! The connection to a statsd server: opened under a deadline, used under a deadline, given up at the first error.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio::time::timeout;

/// Longest time to look a name up and to connect.
const OPEN_MAX: Duration = Duration::from_millis(1500);
/// Longest time for one piece to be taken by the network.
const SEND_MAX: Duration = Duration::from_secs(1);

/// How lines travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Protocol {
    /// Most bytes that are sent in one go: what fits an Ethernet frame with room for tunnels, or a big write.
    #[must_use]
    pub const fn piece_bytes_max(self) -> usize {
        match self {
            Self::Tcp => 64 << 10,
            Self::Udp => 1432,
        }
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) enum Link {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Link {
    /// Opens a connection to the first address of `host:port` that takes one.
    pub(super) async fn open(protocol: Protocol, target: &str) -> io::Result<Self> {
        let opening = async {
            match protocol {
                Protocol::Tcp => TcpStream::connect(target).await.map(Self::Tcp),
                Protocol::Udp => open_udp(target).await.map(Self::Udp),
            }
        };
        within(OPEN_MAX, opening).await
    }

    /// Whether the other side has closed. It never says anything, so that anything to read is its end.
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Udp(_) => false,
            Self::Tcp(stream) => match stream.try_read(&mut [0; 64]) {
                Ok(read) => read == 0,
                Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            },
        }
    }

    /// Sends one piece.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sending = async {
            match self {
                Self::Tcp(stream) => stream.write_all(bytes).await,
                Self::Udp(socket) => socket.send(bytes).await.map(drop),
            }
        };
        within(SEND_MAX, sending).await
    }
}

async fn open_udp(target: &str) -> io::Result<UdpSocket> {
    let no_address = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let address = lookup_host(target).await?.next().ok_or_else(no_address)?;
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}

async fn within<T>(limit: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
}
