//! Serving a metrics registry to Prometheus. What is in it is each service's own business, in its one `metrics.rs`.

use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};
use prometheus::{Encoder, TextEncoder};

/// The registry metrics are registered with. Clones share it.
pub use prometheus::Registry;

/// A router that answers `path` with the registry in the text format 0.0.4.
pub fn routes(path: &str, registry: Registry) -> Router {
    Router::new().route(path, get(move || async move { scrape(&registry) }))
}

fn scrape(registry: &Registry) -> (StatusCode, [(header::HeaderName, &'static str); 1], Vec<u8>) {
    let mut body = Vec::new();
    let content_type = [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    match TextEncoder::new().encode(&registry.gather(), &mut body) {
        Ok(()) => (StatusCode::OK, content_type, body),
        Err(error) => {
            tracing::error!(%error, "cannot encode the metrics");
            (StatusCode::INTERNAL_SERVER_ERROR, content_type, Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::IntCounter;

    #[test]
    fn prints_names_as_registered() {
        let registry = Registry::new();
        let counter = IntCounter::new("config_load_success", "Loads.").unwrap();
        registry.register(Box::new(counter.clone())).unwrap();
        counter.inc();
        let (status, _, body) = scrape(&registry);
        assert_eq!(status, StatusCode::OK);
        let text = String::from_utf8(body).unwrap();
        assert!(
            text.contains("# TYPE config_load_success counter\nconfig_load_success 1\n"),
            "{text}"
        );
    }
}
