//! Telling metrics and health how the loading of limits goes.

use std::sync::Arc;

use server::health::Component;
use server::reload::{Current, Status};
use tokio::sync::watch;

use crate::limits::Limits;
use crate::metrics::{Event, Metrics};
use crate::settings::HealthNeed;

/// What is told, and to whom. Clones tell the same; a clone begins where the loads are then.
#[derive(Clone, Debug)]
pub(super) struct LoadReports {
    pub(super) status: watch::Receiver<Status>,
    pub(super) limits: Current<Limits>,
    pub(super) metrics: Arc<Metrics>,
    /// What health waits for, if for anything.
    pub(super) health: Option<(HealthNeed, Arc<Component>)>,
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
        if let Some((need, health)) = &self.health {
            match need {
                HealthNeed::AnyLoad => Self::tell_of_any(now, health),
                // A load that failed changes nothing: the limits before it are still in force.
                HealthNeed::Limits if now.succeeded > told.succeeded => self.tell_of_limits(health),
                HealthNeed::Limits => {}
            }
        }
    }

    fn tell_of_any(now: &Status, health: &Component) {
        if now.succeeded > 0 || now.failed > 0 {
            health.set_healthy();
        }
    }

    fn tell_of_limits(&self, health: &Component) {
        let limits = self.limits.load();
        if limits.is_some_and(|limits| limits.rules.domains().len() > 0) {
            health.set_healthy();
        } else {
            health.set_failing("no limits are loaded");
        }
    }
}
