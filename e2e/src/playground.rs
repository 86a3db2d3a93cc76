//! How the two playground servers (the issuer and the upstream) run: plain HTTP until a signal, told by flags.
//!
//! They are for laptops and tests; what a service of ours needs is in `server`.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use server::listen::Address;
use tokio::signal::unix::{SignalKind, signal};

/// Where a playground server listens.
#[derive(Clone, Debug, clap::Args)]
pub struct Listen {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    addr: Option<SocketAddr>,
    /// File to write the real address to, as JSON, once it listens.
    #[arg(long, value_name = "PATH")]
    ports_file: Option<PathBuf>,
}

/// What a playground server is asked to do instead of serving.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Instead {
    /// Ask the one that runs here for its health, for containers without a shell.
    Healthcheck,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
///
/// The address is taken or the file of ports cannot be written.
pub async fn serve(listen: Listen, default: SocketAddr, routes: axum::Router) -> Result<()> {
    let asked = listen.addr.unwrap_or(default);
    let listener = tokio::net::TcpListener::bind(asked)
        .await
        .with_context(|| format!("cannot listen on {asked}"))?;
    let address = listener.local_addr()?;
    if let Some(file) = &listen.ports_file {
        server::ports::write(
            file,
            &[("http", Address::tcp(&address.ip().to_string(), address.port()))],
        )?;
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A keep-alive connection of Envoy or a browser would hold a graceful end for ever; there is nothing to lose here.
    tokio::select! {
        served = axum::serve(listener, routes) => Ok(served?),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// Asks the server that runs here for its health.
///
/// # Errors
///
/// It does not answer, or not well.
pub async fn healthcheck(listen: &Listen, default: SocketAddr) -> Result<()> {
    let address = listen.addr.unwrap_or(default);
    Ok(server::health_probe::probe(&Address::tcp("127.0.0.1", address.port()), "/healthcheck").await?)
}
