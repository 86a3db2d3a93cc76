//! One accept loop for everything that listens: gRPC and HTTP, over TCP or a Unix socket, plain or TLS.
//!
//! `address` says where, `tls` with what certificate, `connection` (after `opening`) how one connection lives and ends.
//! This file accepts, bounds the number of connections and drains. It knows nothing of what is served.

mod address;
mod connection;
mod io;
mod opening;
mod tls;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::Service;

pub use self::address::{Address, AddressError, Listener};
pub use self::connection::{Limits, Protocol};
use self::io::Plain;
pub use self::tls::{ReloadingTls, TlsError, TlsSettings};
use crate::clock::monotonic_now;
use crate::log::Throttle;
use crate::shutdown::Shutdown;

/// Wait after a failed accept (out of file descriptors, say), so that the loop neither spins nor ends.
const ACCEPT_ERROR_WAIT: Duration = Duration::from_millis(50);

/// At most one line about failed accepts in this time.
const ACCEPT_ERROR_LOG_EVERY: Duration = Duration::from_secs(10);

/// What a service's response bodies fail with.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A bound listener and how to serve on it.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    tls: Option<ReloadingTls>,
    protocol: Protocol,
    limits: Limits,
    accept_errors: Throttle,
}

impl Server {
    /// Serves `protocol` on `listener`, in plain text, with the default limits.
    #[must_use]
    pub fn new(listener: Listener, protocol: Protocol) -> Self {
        Self {
            listener,
            tls: None,
            protocol,
            limits: Limits::default(),
            accept_errors: Throttle::new(ACCEPT_ERROR_LOG_EVERY),
        }
    }

    /// Serves TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<ReloadingTls>) -> Self {
        self.tls = tls;
        self
    }

    /// Replaces the default limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Accepts until `shutdown` closes, then lets connections finish, and drops what the drain time did not suffice
    /// for. A panic in the service ends the request it was in, never the loop.
    pub async fn serve<S, B>(self, service: S, shutdown: Shutdown)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let mut connections = JoinSet::new();
        let reload = async {
            match &self.tls {
                Some(tls) => tls.reload_on_change().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.accept_all(&mut connections, &service, &shutdown) => {}
            () = reload => {}
            () = shutdown.closing() => {}
        }
        drop(self.listener);
        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(shutdown.drain(), drained).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "dropping connections that outlived the drain time"
            );
        }
    }

    /// Starts connections for ever, as many at a time as there are slots.
    async fn accept_all<S, B>(&self, connections: &mut JoinSet<()>, service: &S, shutdown: &Shutdown)
    where
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        let slots = Arc::new(Semaphore::new(self.limits.connections_max));
        loop {
            let (plain, slot) = self.accept(&slots).await;
            let connection = connection::Connection {
                plain,
                tls: self.tls.clone(),
                protocol: self.protocol,
                limits: self.limits,
            };
            connections.spawn(hold(slot, connection.run(service.clone(), shutdown.clone())));
            // Forget the ended ones, or the set would grow with every connection ever made.
            while connections.try_join_next().is_some() {}
        }
    }

    /// The next connection and its slot; waits while all slots are taken, and through accept errors.
    async fn accept(&self, slots: &Arc<Semaphore>) -> (Plain, Option<OwnedSemaphorePermit>) {
        // The semaphore is never closed; without a slot the connection would still be served.
        let slot = slots.clone().acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok(plain) => return (plain, slot),
                Err(error) => self.log_accept_error(&error),
            }
            tokio::time::sleep(ACCEPT_ERROR_WAIT).await;
        }
    }

    fn log_accept_error(&self, error: &std::io::Error) {
        if let Some(held_back) = self.accept_errors.admit(monotonic_now()) {
            tracing::warn!(%error, held_back, "cannot accept a connection");
        }
    }
}

/// Keeps the slot for as long as the connection lives.
async fn hold(slot: Option<OwnedSemaphorePermit>, connection: impl Future<Output = ()>) {
    connection.await;
    drop(slot);
}
