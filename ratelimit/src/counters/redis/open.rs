//! Making a connection: the socket, TLS if wanted, and the handshake with Redis. Nothing here lasts; see [`super::link`].

use std::pin::Pin;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, Pipeline, RedisConnectionInfo, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::instance::Server;
use super::link::IN_FLIGHT_MAX;
use super::tls::TlsError;

/// The bytes of commands that may wait for the socket.
const WRITE_BUFFER_BYTES: usize = 256 * 1024;

/// A stream that a connection can be made of.
trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// What moves the bytes of a connection; it ends when the connection does.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a server must be to be of use. Not asked unless it matters: proxies do not know `ROLE`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Role {
    Any,
    Master,
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Redis(#[from] redis::RedisError),
    #[error("no answer in time")]
    TimedOut,
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("an address of an unknown kind")]
    Address,
    #[error("no sentinel names a master: {0}")]
    NoMaster(String),
    #[error("the server is not the master")]
    NotMaster,
}

/// Connects and shakes hands.
pub(super) async fn open(server: &Server, role: Role) -> Result<(MultiplexedConnection, Driver), OpenError> {
    let socket: Box<dyn Socket> = match server.place() {
        ConnectionAddr::Tcp(host, port) => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            socket.set_nodelay(true)?;
            match server.tls() {
                Some(tls) => Box::new(tls.handshake(host, socket).await?),
                None => Box::new(socket),
            }
        }
        ConnectionAddr::Unix(path) => Box::new(UnixStream::connect(path).await?),
        ConnectionAddr::TcpTls { .. } | _ => return Err(OpenError::Address),
    };
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_pipeline_buffer_size(IN_FLIGHT_MAX)
        .set_write_backpressure_boundary(WRITE_BUFFER_BYTES);
    // The handshake is ours, so that what the server says to it is not lost.
    let bare = RedisConnectionInfo::default().set_skip_set_lib_name();
    let (connection, driver) = MultiplexedConnection::new_with_config(&bare, socket, config).await?;
    let mut driver: Driver = Box::pin(driver);
    let handshake = handshake(server.login(), role);
    let mut asking = connection.clone();
    let mut answers = std::pin::pin!(asking.send_packed_commands(&handshake, 0, handshake.len()));
    let answers = tokio::select! {
        answers = &mut answers => answers?,
        // What is in flight is then told why.
        () = &mut driver => answers.await?,
    };
    for answer in answers {
        let answer = answer.extract_error()?;
        if role == Role::Master && is_role_of_a_replica(&answer) {
            return Err(OpenError::NotMaster);
        }
    }
    Ok((connection, driver))
}

/// The answer to one question, over a connection of its own.
pub(super) async fn ask_once(server: &Server, question: &Cmd, patience: Duration) -> Result<Value, OpenError> {
    let asking = async {
        let (mut connection, mut driver) = open(server, Role::Any).await?;
        let mut answer = std::pin::pin!(connection.send_packed_command(question));
        let answer = tokio::select! {
            answer = &mut answer => answer?,
            () = &mut driver => answer.await?,
        };
        Ok(answer.extract_error()?)
    };
    timeout(patience, asking)
        .await
        .unwrap_or_else(|_elapsed| Err(OpenError::TimedOut))
}

/// `ROLE` answers with a list that begins with `master` or `slave`.
fn is_role_of_a_replica(answer: &Value) -> bool {
    let Value::Array(role) = answer else { return false };
    role.first() != Some(&Value::BulkString(b"master".to_vec()))
}

/// Logs in, chooses the database, and asks whether anybody is there: a server that is loading its data, or hangs, is not.
fn handshake(login: &RedisConnectionInfo, role: Role) -> Pipeline {
    let mut handshake = Pipeline::new();
    if let Some(password) = login.password() {
        handshake.cmd("AUTH").arg(login.username()).arg(password);
    }
    if login.db() != 0 {
        handshake.cmd("SELECT").arg(login.db());
    }
    handshake.cmd("PING");
    if role == Role::Master {
        handshake.cmd("ROLE");
    }
    handshake
}
