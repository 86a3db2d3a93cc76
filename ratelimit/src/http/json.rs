//! `/json`: a decision for who does not speak gRPC. Statuses and bodies are those of envoyproxy/ratelimit: 200 or 429
//! with the reply, 400 for whatever got no decision.

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::{StatusCode, header};
use proto::ratelimit::RateLimitResponse;
use proto::ratelimit::rate_limit_response::Code;

use super::message::{Object, RequestMessage, ResponseMessage};
use crate::service::Service;

/// The largest body: what a gRPC message may hold.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Answers `/json`, whatever the method.
pub(super) fn routes(service: Service) -> Router {
    Router::new()
        .route("/json", any(decide))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(service)
}

async fn decide(State(service): State<Service>, body: Result<Bytes, BytesRejection>) -> Response {
    let message = body.ok().and_then(|body| {
        let read = serde_json::from_slice::<Object<RequestMessage>>(&body);
        read.inspect_err(|error| tracing::debug!(%error, "/json: not a request"))
            .ok()
    });
    let Some(Object(message)) = message else {
        return bad_request();
    };
    match service.decide(&message.into_proto(), service.default_deadline()).await {
        Ok(response) => answer(response),
        Err(_counted) => bad_request(),
    }
}

fn answer(response: RateLimitResponse) -> Response {
    let status = match response.overall_code() {
        Code::Ok => StatusCode::OK,
        Code::OverLimit => StatusCode::TOO_MANY_REQUESTS,
        Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, axum::Json(ResponseMessage::from_proto(response))).into_response()
}

/// The body is what Go's HTTP server writes.
fn bad_request() -> Response {
    let content_type = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::BAD_REQUEST, content_type, "Bad Request\n").into_response()
}
