//! From what arrived to the answer, in the order in which a reader would tell it. Every way through [`Service::check`]
//! ends in a decision or in an error of the RPC; nothing in between can become an allow.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use extauth_core::pipeline::{self, Context, Step};
use extauth_core::{AuthConfig, BadRequest, CheckRequest, Decision, Denial, KeyRing, Reason};
use proto::auth::CheckResponse;
use server::clock::{monotonic_now, unix_now};
use server::reload::Current;

use crate::decision_log::DecisionLog;
use crate::keys::KeySets;
use crate::metrics::{Metrics, Verdict};
use crate::policy_file::Loaded;
use crate::wire::codec::Incoming;
use crate::wire::status::Failure;
use crate::wire::{from_proto, to_proto};

/// Called with each request inside the guard that catches panics, before any policy: tests make it panic.
pub type Inspect = Arc<dyn Fn(&CheckRequest) + Send + Sync>;

/// The authorization service. Clones are the same service.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    policies: Current<Loaded>,
    keys: KeySets,
    metrics: Arc<Metrics>,
    log: DecisionLog,
    inspect: Option<Inspect>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

/// A decision and what it was about.
struct Decided {
    config: Option<Arc<AuthConfig>>,
    request: Option<CheckRequest>,
    decision: Decision,
}

impl Service {
    /// A service that decides by the policies in force and the key sets loaded.
    #[must_use]
    pub fn new(policies: Current<Loaded>, keys: KeySets, metrics: Arc<Metrics>, inspect: Option<Inspect>) -> Self {
        Self(Arc::new(Inner {
            policies,
            keys,
            metrics,
            log: DecisionLog::default(),
            inspect,
        }))
    }

    /// Decides.
    ///
    /// # Errors
    /// When time ran out first, see [`Failure`].
    pub fn check(&self, incoming: Incoming, started: Instant, budget: Duration) -> Result<CheckResponse, Failure> {
        let took = || monotonic_now().saturating_duration_since(started);
        // A request that waited too long is somebody's retry by now. No step of today looks anything up; the first that
        // does awaits under this budget.
        if took() >= budget {
            let failure = Failure::DeadlineExceeded;
            self.0.metrics.decided(None, Verdict::Fail, "deadline", took());
            return Err(failure);
        }
        let (decided, response) = self.0.answer(incoming);
        self.0.record(&decided, took());
        Ok(response)
    }
}

impl Inner {
    /// A panic denies the request it was in, and leaves the process as it was: deciding changes no shared state.
    fn answer(&self, incoming: Incoming) -> (Decided, CheckResponse) {
        let answered = catch_unwind(AssertUnwindSafe(|| {
            let decided = self.decide(incoming);
            let response = to_proto::response(&decided.decision);
            (decided, response)
        }));
        answered.unwrap_or_else(|_panic| {
            self.metrics.panicked();
            let decided = denied(None, Reason::Panicked);
            let response = to_proto::response(&decided.decision);
            (decided, response)
        })
    }

    fn decide(&self, incoming: Incoming) -> Decided {
        let message = match incoming {
            Incoming::Message(message) => message,
            Incoming::Undecodable => return denied(None, Reason::BadRequest(BadRequest::Undecodable)),
        };
        let request = match from_proto::request(*message) {
            Ok(request) => request,
            Err(error) => return denied(None, Reason::BadRequest(error)),
        };
        if let Some(inspect) = &self.inspect {
            inspect(&request);
        }
        // One snapshot of each from here to the end.
        let loaded = self.policies.load().unwrap_or_default();
        let keys = self.keys.ring();
        self.decide_on(request, &loaded, &keys)
    }

    fn decide_on(&self, request: CheckRequest, loaded: &Loaded, keys: &KeyRing) -> Decided {
        let config = match loaded.policies.select(&request) {
            Ok(config) => config,
            Err(error) => {
                self.metrics.config_not_found();
                return denied(Some(request), Reason::NoPolicy(error));
            }
        };
        let context = Context {
            request: &request,
            keys,
            now: unix_now(),
        };
        let decision = match pipeline::begin(config, context) {
            Step::Done(decision) => decision,
            Step::Need(lookup, _pipeline) => match lookup {},
        };
        Decided {
            config: Some(config.clone()),
            request: Some(request),
            decision,
        }
    }

    /// Counts and logs, and asks for a newer key set if one may have the key that was missing.
    fn record(&self, decided: &Decided, took: Duration) {
        let config = decided.config.as_ref().map(|config| config.id().as_str());
        self.log.write(config, decided.request.as_ref(), &decided.decision);
        match &decided.decision {
            Decision::Allow(_) => self.metrics.decided(config, Verdict::Allow, "", took),
            Decision::Deny(Denial { reason, .. }) => {
                self.metrics.decided(config, Verdict::Deny, reason.class(), took);
                if let Some((source, key_id)) = reason.wanted_key() {
                    self.keys.want(source, key_id);
                }
            }
        }
    }
}

fn denied(request: Option<CheckRequest>, reason: Reason) -> Decided {
    Decided {
        config: None,
        request,
        decision: Decision::Deny(Denial::outside(reason)),
    }
}
