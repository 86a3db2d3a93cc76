//! The upstream of the playground: answers every request with what it saw of it, as JSON.
//!
//! So a person or a test can tell what Envoy forwarded, above all which `x-tenant-id`. It keeps nothing but a count.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use axum::extract::{Request, State};
use axum::routing::get;
use axum::{Json, Router};
use clap::Parser;
use e2e::playground::{self, Instead, Listen};
use e2e::upstream::Seen;

/// Echoes requests as JSON, for the demo and the tests.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    listen: Listen,
    #[command(subcommand)]
    instead: Option<Instead>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let default = SocketAddr::from(([127, 0, 0, 1], 10002));
    if let Some(Instead::Healthcheck) = arguments.instead {
        return playground::healthcheck(&arguments.listen, default).await;
    }
    let count = Arc::new(AtomicU64::new(0));
    let routes = Router::new()
        .route("/healthcheck", get(|| async { "OK" }))
        .fallback(echo)
        .with_state(count);
    playground::serve(arguments.listen, default, routes).await
}

async fn echo(State(count): State<Arc<AtomicU64>>, request: Request) -> Json<Seen> {
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.entry(name.to_string()).or_default().push(value);
    }
    Json(Seen {
        count: count.fetch_add(1, Ordering::Relaxed).saturating_add(1),
        method: request.method().to_string(),
        path: request.uri().to_string(),
        headers,
    })
}
