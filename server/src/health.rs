//! Health by component. The process is healthy while every component is and shutdown has not begun; a gateway's probe
//! reads it over gRPC (`grpc.health.v1`) or HTTP, and a person reads which component fails and why.

use std::collections::BTreeMap;
use std::pin::Pin;

use axum::Router;
use axum::routing::any;
use futures_util::Stream;
use futures_util::stream;
use http::StatusCode;
use tokio::sync::watch;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::shutdown::Shutdown;

/// The state of each component by name; `Some` says why it fails.
type Components = BTreeMap<String, Option<String>>;

/// The health of the process. Clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    service: &'static str,
    components: watch::Sender<Components>,
    shutdown: Shutdown,
}

/// One component's say in the process's health; it has none any more once dropped.
#[derive(Debug)]
pub struct Component {
    name: String,
    components: watch::Sender<Components>,
}

impl Component {
    /// The component works.
    pub fn set_healthy(&self) {
        self.set(None);
    }

    /// The component fails; `why` is shown to whoever asks for health, so it holds no secret.
    pub fn set_failing(&self, why: &str) {
        self.set(Some(why.to_owned()));
    }

    fn set(&self, state: Option<String>) {
        self.components.send_if_modified(|components| {
            let before = components.insert(self.name.clone(), state.clone());
            before != Some(state)
        });
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.components.send_modify(|components| {
            components.remove(&self.name);
        });
    }
}

impl Health {
    /// Health of a process that answers probes for the gRPC service name `service`.
    #[must_use]
    pub fn new(service: &'static str, shutdown: Shutdown) -> Self {
        Self {
            service,
            components: watch::Sender::default(),
            shutdown,
        }
    }

    /// Adds a component that fails until it says otherwise. Names are unique; a second of one name replaces the first.
    #[must_use]
    pub fn component(&self, name: impl Into<String>) -> Component {
        let component = Component {
            name: name.into(),
            components: self.components.clone(),
        };
        component.set_failing("not ready yet");
        component
    }

    /// The failing components and why; empty when healthy.
    #[must_use]
    pub fn failing(&self) -> Vec<(String, String)> {
        let ending = self
            .shutdown
            .is_begun()
            .then(|| ("process".to_owned(), "shutting down".to_owned()));
        let components = self.components.borrow();
        let failing = components
            .iter()
            .filter_map(|(name, why)| Some((name.clone(), why.clone()?)));
        failing.chain(ending).collect()
    }

    /// Whether every component works and shutdown has not begun.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.failing().is_empty()
    }

    /// `/healthcheck`: 200 `OK`, or 500 with a line per failing component.
    pub fn routes(&self) -> Router {
        let health = self.clone();
        Router::new().route("/healthcheck", any(move || async move { health.answer() }))
    }

    fn answer(&self) -> (StatusCode, String) {
        let failing = self.failing();
        if failing.is_empty() {
            return (StatusCode::OK, "OK".to_owned());
        }
        let lines = failing.iter().map(|(name, why)| format!("{name}: {why}\n"));
        (StatusCode::INTERNAL_SERVER_ERROR, lines.collect())
    }

    /// `grpc.health.v1.Health`. The empty service name says that the process lives, the service's own that it is
    /// healthy; both stop serving when shutdown begins.
    #[must_use]
    pub fn grpc(&self) -> HealthServer<impl HealthService> {
        HealthServer::new(self.clone())
    }

    fn status(&self, service: &str) -> Option<ServingStatus> {
        let serving = match service {
            "" => !self.shutdown.is_begun(),
            name if name == self.service => self.is_healthy(),
            _ => return None,
        };
        Some(if serving {
            ServingStatus::Serving
        } else {
            ServingStatus::NotServing
        })
    }

    /// Waits until something that health depends on has changed; `None` once the process closes. Cancel-safe.
    async fn changed(&self, components: &mut watch::Receiver<Components>) -> Option<()> {
        let is_begun = self.shutdown.is_begun();
        tokio::select! {
            // The sender lives in `self`, so this does not fail.
            _changed = components.changed() => Some(()),
            () = self.shutdown.begun(), if !is_begun => Some(()),
            () = self.shutdown.closing() => None,
        }
    }
}

/// What a watching probe sees: a status whenever it changes.
type Statuses = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl HealthService for Health {
    type WatchStream = Statuses;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let status = self
            .status(&request.get_ref().service)
            .ok_or_else(|| Status::not_found("unknown service"))?;
        Ok(Response::new(response(status)))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let watcher = Watcher {
            health: self.clone(),
            components: self.components.subscribe(),
            service: request.into_inner().service,
            last: None,
        };
        let statuses = stream::unfold(watcher, |watcher| async { watcher.next().await });
        Ok(Response::new(Box::pin(statuses)))
    }
}

/// A probe that watches.
struct Watcher {
    health: Health,
    components: watch::Receiver<Components>,
    service: String,
    last: Option<ServingStatus>,
}

impl Watcher {
    /// The next status that differs from the last. Ends when the process closes, or every watching gateway would hold up
    /// the drain to its deadline.
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        loop {
            let status = self
                .health
                .status(&self.service)
                .unwrap_or(ServingStatus::ServiceUnknown);
            if self.last.replace(status) != Some(status) {
                return Some((Ok(response(status)), self));
            }
            self.health.changed(&mut self.components).await?;
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;
    use crate::shutdown::Timing;

    fn health() -> (Health, Shutdown) {
        let shutdown = Shutdown::new(Timing::default());
        (Health::new("ratelimit", shutdown.clone()), shutdown)
    }

    async fn check(health: &Health, service: &str) -> ServingStatus {
        let request = Request::new(HealthCheckRequest {
            service: service.to_owned(),
        });
        health.check(request).await.unwrap().into_inner().status()
    }

    #[tokio::test]
    async fn is_healthy_when_every_component_is() {
        let (health, shutdown) = health();
        let (redis, config) = (health.component("redis"), health.component("config"));
        assert_eq!(health.answer().0, StatusCode::INTERNAL_SERVER_ERROR);
        redis.set_healthy();
        assert_eq!(health.answer().1, "config: not ready yet\n");
        config.set_healthy();
        assert_eq!(health.answer(), (StatusCode::OK, "OK".to_owned()));
        redis.set_failing("connection refused");
        assert_eq!(health.answer().1, "redis: connection refused\n");
        drop(redis);
        assert!(health.is_healthy(), "a dropped component has no say");
        shutdown.begin();
        assert_eq!(health.answer().1, "process: shutting down\n");
    }

    #[tokio::test]
    async fn grpc_tells_the_process_from_the_service() {
        let (health, shutdown) = health();
        let redis = health.component("redis");
        assert_eq!(check(&health, "").await, ServingStatus::Serving);
        assert_eq!(check(&health, "ratelimit").await, ServingStatus::NotServing);
        redis.set_healthy();
        assert_eq!(check(&health, "ratelimit").await, ServingStatus::Serving);
        let unknown = health
            .check(Request::new(HealthCheckRequest {
                service: "x".to_owned(),
            }))
            .await;
        assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);
        shutdown.begin();
        assert_eq!(check(&health, "").await, ServingStatus::NotServing);
    }

    #[tokio::test]
    async fn a_watching_probe_sees_each_change_once() {
        let (health, shutdown) = health();
        let redis = health.component("redis");
        let request = Request::new(HealthCheckRequest {
            service: "ratelimit".to_owned(),
        });
        let mut statuses = health.watch(request).await.unwrap().into_inner();
        assert_eq!(
            statuses.next().await.unwrap().unwrap().status(),
            ServingStatus::NotServing
        );
        redis.set_healthy();
        assert_eq!(statuses.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
        redis.set_healthy();
        shutdown.begin();
        assert_eq!(
            statuses.next().await.unwrap().unwrap().status(),
            ServingStatus::NotServing
        );
        let (ended, last) = tokio::join!(shutdown.run(&[]), statuses.next());
        ended.unwrap();
        assert!(last.is_none(), "a watch does not hold up the drain");
    }
}
