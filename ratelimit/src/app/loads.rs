//! Telling metrics and health how the loading of limits goes.

use std::sync::Arc;

use server::health::Component;
use server::reload::{Current, Status};
use tokio::sync::watch;

use crate::limits::Limits;
use crate::metrics::{Event, Metrics};

/// What is told, and to whom. Clones tell the same; a clone begins where the loads are then.
#[derive(Clone, Debug)]
pub(super) struct LoadReports {
    pub(super) status: watch::Receiver<Status>,
    pub(super) limits: Current<Limits>,
    pub(super) metrics: Arc<Metrics>,
    /// Set if health waits for limits.
    pub(super) health: Option<Arc<Component>>,
}

impl LoadReports {
    /// Reports every load, those before the first poll included. Ends when loading does.
    pub(super) async fn run(mut self) {
        let mut told = Status::default();
        loop {
            let now = self.status.borrow_and_update().clone();
            self.tell(&told, &now);
            told = now;
            if self.status.changed().await.is_err() {
                return;
            }
        }
    }

    fn tell(&self, told: &Status, now: &Status) {
        for _ in told.succeeded..now.succeeded {
            self.metrics.count(Event::ConfigLoaded);
        }
        for _ in told.failed..now.failed {
            self.metrics.count(Event::ConfigRefused);
        }
        // A load that failed changes nothing: the limits before it are still in force.
        let Some(health) = self.health.as_ref().filter(|_| now.succeeded > told.succeeded) else {
            return;
        };
        if self
            .limits
            .load()
            .is_some_and(|limits| limits.rules.domains().len() > 0)
        {
            health.set_healthy();
        } else {
            health.set_failing("no limits are loaded");
        }
    }
}
