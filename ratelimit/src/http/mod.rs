//! The HTTP doors: `/json` and health for clients, and the debug port for operators. Nothing is decided here.

pub mod debug;
pub mod json;
mod message;

use axum::Router;
use server::health::Health;

use crate::service::Service;

/// What the main port answers: `/healthcheck` and `/json`; 404 otherwise.
pub fn routes(service: Service, health: &Health) -> Router {
    health.routes().merge(json::routes(service))
}
