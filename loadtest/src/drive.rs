//! Sends the load. Closed loop: `depth` calls are in flight at any time, spread over a few connections as Envoy's
//! workers spread theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use indicatif::{ProgressBar, ProgressStyle};
use proto::ratelimit::RateLimitServiceClient;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use crate::process;
use crate::scenario::Scenario;
use crate::target::Target;

/// The longest latency the histograms tell apart; longer ones count as this.
const LATENCY_MICROS_MAX: u64 = 60_000_000;

/// What one round of one target came to.
#[derive(Debug)]
pub(crate) struct Round {
    /// Index into the targets.
    pub(crate) target: usize,
    /// Wall time of the round.
    pub(crate) elapsed: Duration,
    /// CPU time the target's process spent, where its process is known.
    pub(crate) cpu: Option<Duration>,
    /// Commands that Redis executed, where the target has one.
    pub(crate) redis_commands: Option<u64>,
    /// Microseconds from send to answer.
    pub(crate) latency: Histogram<u64>,
    /// Calls that failed.
    pub(crate) errors: u64,
    /// Calls made.
    pub(crate) requests: u64,
}

/// Runs `rounds` rounds, the targets taking turns, after one round each to warm up.
pub(crate) async fn rounds(scenario: &Scenario, targets: &mut [Target], rounds: usize) -> anyhow::Result<Vec<Round>> {
    let sequence = Arc::new(AtomicU64::new(1));
    let scenario = Arc::new(scenario.clone());
    let progress = progress_bar(&scenario.name, (rounds + 1) * targets.len());
    let mut kept = Vec::new();
    for round in 0..=rounds {
        for (index, target) in targets.iter_mut().enumerate() {
            progress.set_message(target.name.clone());
            let result = one_round(&scenario, index, target, &sequence).await?;
            progress.inc(1);
            if round > 0 {
                kept.push(result);
            }
        }
    }
    progress.finish_and_clear();
    Ok(kept)
}

fn progress_bar(name: &str, steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} rounds, {msg}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(name.to_owned());
    bar
}

async fn one_round(
    scenario: &Arc<Scenario>,
    index: usize,
    target: &mut Target,
    sequence: &Arc<AtomicU64>,
) -> anyhow::Result<Round> {
    let mut channels = Vec::with_capacity(scenario.connections);
    for _ in 0..scenario.connections {
        channels.push(
            Endpoint::from_shared(format!("http://{}", target.address))?
                .connect()
                .await?,
        );
    }
    let left = Arc::new(AtomicU64::new(scenario.requests));
    let cpu_before = target.pid.map(process::cpu_time).transpose()?;
    let commands_before = target.redis_commands().await?;
    let started = now();
    let mut workers = JoinSet::new();
    for (n, channel) in channels.iter().cycle().take(scenario.depth).enumerate() {
        let worker = Worker {
            scenario: scenario.clone(),
            left: left.clone(),
            sequence: sequence.clone(),
        };
        workers.spawn(worker.run(channel.clone(), u64::try_from(n)?));
    }
    let mut latency = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3)?;
    let mut errors = 0;
    while let Some(done) = workers.join_next().await {
        let (part, failed) = done??;
        latency.add(&part)?;
        errors += failed;
    }
    let elapsed = now().duration_since(started);
    let cpu_after = target.pid.map(process::cpu_time).transpose()?;
    let commands_after = target.redis_commands().await?;
    Ok(Round {
        target: index,
        elapsed,
        cpu: cpu_before
            .zip(cpu_after)
            .map(|(before, after)| after.saturating_sub(before)),
        redis_commands: commands_before
            .zip(commands_after)
            .map(|(before, after)| after.saturating_sub(before)),
        latency,
        errors,
        requests: scenario.requests,
    })
}

/// One stream of calls: the next is sent when the last was answered.
struct Worker {
    scenario: Arc<Scenario>,
    left: Arc<AtomicU64>,
    sequence: Arc<AtomicU64>,
}

impl Worker {
    async fn run(self, channel: Channel, seed: u64) -> anyhow::Result<(Histogram<u64>, u64)> {
        let mut client = RateLimitServiceClient::new(channel);
        let mut latency = Histogram::new_with_bounds(1, LATENCY_MICROS_MAX, 3)?;
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut errors = 0;
        while self.take_one() {
            let key = self
                .scenario
                .keys
                .draw(self.sequence.fetch_add(1, Ordering::Relaxed), &mut rng)?;
            let request = self.scenario.request(key);
            let sent = now();
            if client.should_rate_limit(request).await.is_err() {
                errors += 1;
            }
            let micros = u64::try_from(now().duration_since(sent).as_micros()).unwrap_or(LATENCY_MICROS_MAX);
            latency.saturating_record(micros.max(1));
        }
        Ok((latency, errors))
    }

    fn take_one(&self) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a load generator measures time; there is nothing to decide with it"
)]
fn now() -> Instant {
    Instant::now()
}
