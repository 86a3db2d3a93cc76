//! `envoy.service.auth.v3.Authorization` over gRPC. Written by hand instead of generated, because a message that does
//! not decode must reach the service (see [`crate::wire::codec`]).

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body::Body as HttpBody;
use proto::auth::CheckResponse;
use server::clock::monotonic_now;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};

use crate::service::Service;
use crate::wire::codec::{CheckCodec, Incoming};
use crate::wire::{deadline, status};

/// The one method.
const CHECK_PATH: &str = "/envoy.service.auth.v3.Authorization/Check";
/// Most bytes of a message. Larger ones are an RPC error, so this is far above what a gateway should buffer of a body
/// (`max_request_bytes`).
const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The gRPC service.
#[derive(Clone, Debug)]
pub(crate) struct Authorization {
    service: Service,
    deadline: Duration,
}

impl Authorization {
    /// Serves `service`, with this long for a decision.
    pub(crate) const fn new(service: Service, deadline: Duration) -> Self {
        Self { service, deadline }
    }
}

impl NamedService for Authorization {
    const NAME: &'static str = "envoy.service.auth.v3.Authorization";
}

/// An answer on its way.
type Answer = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

impl<B> tower::Service<http::Request<B>> for Authorization
where
    B: HttpBody + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Answer {
        if request.uri().path() != CHECK_PATH {
            return Box::pin(ready(Ok(Status::unimplemented("no such method").into_http())));
        }
        let method = Check {
            authorization: self.clone(),
            started: monotonic_now(),
        };
        Box::pin(async move {
            let mut grpc = Grpc::new(CheckCodec).apply_max_message_size_config(Some(MESSAGE_BYTES_MAX), None);
            Ok(grpc.unary(method, request).await)
        })
    }
}

/// One call.
struct Check {
    authorization: Authorization,
    started: Instant,
}

impl UnaryService<Incoming> for Check {
    type Response = CheckResponse;
    type Future = Ready<Result<Response<CheckResponse>, Status>>;

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let budget = deadline::budget(request.metadata(), self.authorization.deadline);
        let answer = self
            .authorization
            .service
            .check(request.into_inner(), self.started, budget);
        ready(answer.map(Response::new).map_err(status::status))
    }
}
