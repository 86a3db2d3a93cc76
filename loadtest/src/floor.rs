//! The floor: the cheapest server that speaks the protocol. It decodes the request and answers a constant of the size
//! a real answer has. What it costs is the cost of gRPC itself.

use std::net::SocketAddr;

use proto::google::Duration;
use proto::ratelimit::rate_limit_response::{Code, DescriptorStatus, RateLimit, rate_limit::Unit};
use proto::ratelimit::{RateLimitRequest, RateLimitResponse, RateLimitService, RateLimitServiceServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use crate::report;

#[derive(Debug)]
struct Floor {
    answer: RateLimitResponse,
}

#[tonic::async_trait]
impl RateLimitService for Floor {
    async fn should_rate_limit(
        &self,
        _request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        Ok(Response::new(self.answer.clone()))
    }
}

/// Serves the floor until the process is ended; the first line printed is the address.
pub(crate) async fn serve(listen: SocketAddr, statuses: usize) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    report::line(&listener.local_addr()?.to_string());
    let floor = Floor {
        answer: answer(statuses),
    };
    Server::builder()
        .tcp_nodelay(true)
        .add_service(RateLimitServiceServer::new(floor))
        .serve_with_incoming(TcpListenerStream::new(listener))
        .await?;
    Ok(())
}

fn answer(statuses: usize) -> RateLimitResponse {
    let status = DescriptorStatus {
        code: Code::Ok.into(),
        current_limit: Some(RateLimit {
            name: String::new(),
            requests_per_unit: 1_000_000,
            unit: Unit::Minute.into(),
        }),
        limit_remaining: 999_999,
        duration_until_reset: Some(Duration { seconds: 30, nanos: 0 }),
        ..DescriptorStatus::default()
    };
    RateLimitResponse {
        overall_code: Code::Ok.into(),
        statuses: vec![status; statuses],
        ..RateLimitResponse::default()
    }
}
