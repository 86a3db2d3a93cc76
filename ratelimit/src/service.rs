//! The service: from a request to its answer, in the order in which a reader would tell it.
//!
//! Both doors use it: gRPC here, `/json` in [`crate::http`]. A request sees one configuration from start to end, and the
//! only await is the store's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::ratelimit::{RateLimitRequest, RateLimitResponse, RateLimitService};
use ratelimit_core::{Decision, KeyFormat, Plan, ReadingsMismatch, StatsKey, UnixTime, Unmatched};
use server::clock::{monotonic_now, unix_now};
use server::reload::Current;
use tonic::{Request, Response, Status};

use crate::counters::{Counters, StoreError};
use crate::limits::Limits;
use crate::metrics::{Event, Metrics, RuleCounters};
use crate::stats::sink::Timer;
use crate::wire::from_proto::BadRequest;
use crate::wire::to_proto::Extras;
use crate::wire::{deadline, from_proto, status, to_proto};

/// Why a request got no decision.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It cannot be decided. The caller has to act.
    #[error("{0}")]
    Request(#[from] BadRequest),
    /// Nothing was ever loaded. The operator has to act; the text is that of envoyproxy/ratelimit.
    #[error("no rate limit configuration loaded")]
    NoConfiguration,
    /// The counters failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A defect of ours.
    #[error("internal error: {0}")]
    Internal(#[from] ReadingsMismatch),
}

/// What does not change while the process lives.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    /// How counters are named.
    pub keys: KeyFormat,
    /// For the store, when the caller does not say.
    pub store_deadline: Duration,
    /// What replies carry beside the decision.
    pub extras: Extras,
}

/// The rate limit service. Clones are the same service.
#[derive(Clone, Debug)]
pub struct Service(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Current<Limits>,
    counters: Arc<Counters>,
    metrics: Arc<Metrics>,
    response_time: Timer,
    settings: ServiceSettings,
}

impl Service {
    /// A service that decides by the limits in force.
    #[must_use]
    pub fn new(
        limits: Current<Limits>,
        counters: Arc<Counters>,
        metrics: Arc<Metrics>,
        response_time: Timer,
        settings: ServiceSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            limits,
            counters,
            metrics,
            response_time,
            settings,
        }))
    }

    /// Decides one request. A failure is counted here; whoever asked is told, and the log only at debug.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; [`status`] says what becomes of each.
    pub async fn decide(
        &self,
        message: &RateLimitRequest,
        store_deadline: Instant,
    ) -> Result<RateLimitResponse, Refusal> {
        let answer = self.0.decide(message, store_deadline).await;
        if let Err(refusal) = &answer {
            self.0.count_refusal(refusal);
        }
        answer
    }

    /// By when the store has to answer a caller that states no time.
    #[must_use]
    pub fn default_deadline(&self) -> Instant {
        monotonic_now() + self.0.settings.store_deadline
    }
}

impl Inner {
    async fn decide(&self, message: &RateLimitRequest, store_deadline: Instant) -> Result<RateLimitResponse, Refusal> {
        let request = from_proto::request(message)?;
        let limits = self.limits.load().ok_or(Refusal::NoConfiguration)?;
        let now = UnixTime::since_epoch(unix_now());
        let plan = limits.rules.plan(&request, now, &self.settings.keys);
        let readings = self.counters.apply(&plan, now, store_deadline).await;
        let readings = readings.inspect_err(|_error| self.count_unanswered(&limits, &plan))?;
        let decision = plan.decide(&readings, now)?;
        self.count_decision(&limits, request.domain, &decision);
        Ok(to_proto::response(&request, &decision, &self.settings.extras))
    }

    fn count_decision(&self, limits: &Limits, domain: &str, decision: &Decision<'_>) {
        if decision.shadowed {
            self.metrics.count(Event::GlobalShadow);
        }
        for status in &decision.statuses {
            if let Some(key) = status.stats {
                self.count(limits, key, |counters| counters.add(&status.outcome));
            } else if status.unmatched == Some(Unmatched::UnknownDomain) {
                self.metrics.unknown_domain(domain);
            }
        }
    }

    /// The store failed: what was asked for is still counted, as dashboards expect.
    fn count_unanswered(&self, limits: &Limits, plan: &Plan<'_>) {
        for counted in plan.charges() {
            if let Some(key) = counted.stats_key() {
                self.count(limits, key, |counters| counters.add_unanswered(counted.hits.amount()));
            }
        }
    }

    fn count(&self, limits: &Limits, key: StatsKey<'_>, add: impl FnOnce(&RuleCounters)) {
        match key {
            StatsKey::Rule(rule) => {
                if let Some(counters) = limits.counters_of(rule) {
                    add(counters);
                }
            }
            StatsKey::Dynamic(name) => add(&self.metrics.client_named(name)),
        }
    }

    fn count_refusal(&self, refusal: &Refusal) {
        match refusal {
            Refusal::Store(error) => self.metrics.store_failed(error),
            Refusal::Request(_) | Refusal::NoConfiguration | Refusal::Internal(_) => {
                self.metrics.count(Event::ServiceError);
            }
        }
        tracing::debug!(error = %refusal, "a request got no decision");
    }
}

#[tonic::async_trait]
impl RateLimitService for Service {
    async fn should_rate_limit(
        &self,
        request: Request<RateLimitRequest>,
    ) -> Result<Response<RateLimitResponse>, Status> {
        let began = monotonic_now();
        self.0.metrics.count(Event::DecisionAsked);
        let deadline = deadline::of_store(request.metadata(), began, self.0.settings.store_deadline);
        let answer = self.decide(request.get_ref(), deadline).await;
        self.0
            .response_time
            .record(monotonic_now().saturating_duration_since(began));
        answer.map(Response::new).map_err(|refusal| status::of(&refusal))
    }
}
