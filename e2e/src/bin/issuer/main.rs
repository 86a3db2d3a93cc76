//! The development issuer: a key set like that of an identity provider, and tokens for whoever asks.
//!
//! It proves nothing about anyone and must never face a network; it listens on loopback unless told otherwise. The demo, the
//! compose file and the tests use it to play an issuer that rotates its keys, lies about them or is down.
//!
//! ```text
//! GET  /jwks.json          the public keys; 503 while down
//! GET  /token?tenant=acme  a token, alone on a line; ttl, iss, aud, sub, scope, alg and kid change what it says
//! POST /rotate             new keys; tokens of the old ones no longer verify once the set is fetched again
//! POST /down, /up          whether /jwks.json answers
//! GET  /stats              {"key_set_fetches": 3}: how often /jwks.json was asked for, answered or not
//! GET  /healthcheck
//! ```

mod state;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use e2e::playground::{self, Instead, Listen};
use serde_json::{Value, json};

use state::{Issuer, Reachable, TokenRequest};

/// Signs whatever tokens it is asked for; for development only.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    listen: Listen,
    /// Start with the key set out of reach, as after POST /down.
    #[arg(long)]
    down: bool,
    #[command(subcommand)]
    instead: Option<Instead>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let default = SocketAddr::from(([127, 0, 0, 1], 10001));
    if let Some(Instead::Healthcheck) = arguments.instead {
        return playground::healthcheck(&arguments.listen, default).await;
    }
    let reachable = if arguments.down { Reachable::No } else { Reachable::Yes };
    let issuer = Arc::new(Issuer::new(reachable)?);
    let routes = Router::new()
        .route("/jwks.json", get(key_set))
        .route("/token", get(token))
        .route("/rotate", post(rotate))
        .route(
            "/down",
            post(async |State(issuer): Shared| issuer.set_reachable(Reachable::No)),
        )
        .route(
            "/up",
            post(async |State(issuer): Shared| issuer.set_reachable(Reachable::Yes)),
        )
        .route("/stats", get(stats))
        .route("/healthcheck", get(|| async { "OK" }))
        .with_state(issuer);
    playground::serve(arguments.listen, default, routes).await
}

type Shared = State<Arc<Issuer>>;

async fn key_set(State(issuer): Shared) -> Response {
    match issuer.key_set() {
        Ok(Some(keys)) => Json(keys).into_response(),
        Ok(None) => (StatusCode::SERVICE_UNAVAILABLE, "down, as told").into_response(),
        Err(error) => failed(&error),
    }
}

async fn token(State(issuer): Shared, Query(request): Query<TokenRequest>) -> Response {
    match issuer.token(&request) {
        Ok(token) => format!("{token}\n").into_response(),
        Err(error) => failed(&error),
    }
}

async fn rotate(State(issuer): Shared) -> Response {
    match issuer.rotate() {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

async fn stats(State(issuer): Shared) -> Json<Value> {
    Json(json!({"key_set_fetches": issuer.key_set_fetches()}))
}

fn failed(error: &anyhow::Error) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}\n")).into_response()
}
