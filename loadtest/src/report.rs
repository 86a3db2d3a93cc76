//! What came of it: medians over the rounds, as ratios to the floor, as a table for people and JSON for tools. The only
//! file that prints.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::drive::Round;
use crate::process;
use crate::scenario::{Scenario, Store};
use crate::target::Target;

/// One scenario's results.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    scenario: String,
    store: Store,
    connections: usize,
    depth: usize,
    requests_per_round: u64,
    rows: Vec<Row>,
}

/// Medians of one target.
#[derive(Debug, Serialize)]
struct Row {
    target: String,
    rounds: usize,
    cpu_micros_per_request: Option<f64>,
    /// CPU per request over the floor's in the same run.
    cpu_over_floor: Option<f64>,
    requests_per_second: f64,
    p50_micros: u64,
    p99_micros: u64,
    p999_micros: u64,
    redis_commands_per_request: Option<f64>,
    resident_kib: Option<u64>,
    errors: u64,
}

impl Summary {
    /// Medians per target; the first target is the floor.
    pub(crate) fn new(scenario: &Scenario, targets: &[Target], rounds: &[Round]) -> Self {
        let mut rows: Vec<Row> = Vec::with_capacity(targets.len());
        for (index, target) in targets.iter().enumerate() {
            let own: Vec<&Round> = rounds.iter().filter(|round| round.target == index).collect();
            let mut row = Row::new(target, &own);
            let floor = rows.first().unwrap_or(&row).cpu_micros_per_request;
            row.cpu_over_floor = row.cpu_micros_per_request.zip(floor).map(|(own, floor)| own / floor);
            rows.push(row);
        }
        Self {
            scenario: scenario.name.clone(),
            store: scenario.store,
            connections: scenario.connections,
            depth: scenario.depth,
            requests_per_round: scenario.requests,
            rows,
        }
    }
}

impl Row {
    fn new(target: &Target, rounds: &[&Round]) -> Self {
        let over = |of: &dyn Fn(&Round) -> Option<f64>| median(rounds.iter().filter_map(|round| of(round)).collect());
        let percentile = |p: f64| {
            median_u64(
                rounds
                    .iter()
                    .map(|round| round.latency.value_at_percentile(p))
                    .collect(),
            )
        };
        Self {
            target: target.name.clone(),
            rounds: rounds.len(),
            cpu_micros_per_request: over(&|round| Some(micros(round.cpu?) / float(round.requests))),
            cpu_over_floor: None,
            requests_per_second: over(&|round| Some(float(round.requests) / round.elapsed.as_secs_f64()))
                .unwrap_or(0.0),
            p50_micros: percentile(50.0),
            p99_micros: percentile(99.0),
            p999_micros: percentile(99.9),
            redis_commands_per_request: over(&|round| Some(float(round.redis_commands?) / float(round.requests))),
            resident_kib: target.pid.and_then(|pid| process::resident_kib(pid).ok()),
            errors: rounds.iter().map(|round| round.errors).sum(),
        }
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn median_u64(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]
fn float(count: u64) -> f64 {
    count as f64
}

/// Prints one scenario's table.
pub(crate) fn print(summary: &Summary) {
    line(&format!(
        "\n{}: {} calls a round, {} in flight on {} connections, counters in {:?}",
        summary.scenario, summary.requests_per_round, summary.depth, summary.connections, summary.store
    ));
    line(&format!(
        "{:<14} {:>11} {:>8} {:>10} {:>9} {:>9} {:>9} {:>11} {:>9} {:>7}",
        "target",
        "CPU µs/call",
        "x floor",
        "calls/s",
        "p50 µs",
        "p99 µs",
        "p99.9 µs",
        "Redis/call",
        "RSS MiB",
        "errors"
    ));
    for row in &summary.rows {
        line(&format!(
            "{:<14} {:>11} {:>8} {:>10.0} {:>9} {:>9} {:>9} {:>11} {:>9} {:>7}",
            row.target,
            optional(row.cpu_micros_per_request, 2),
            optional(row.cpu_over_floor, 2),
            row.requests_per_second,
            row.p50_micros,
            row.p99_micros,
            row.p999_micros,
            optional(row.redis_commands_per_request, 3),
            optional(row.resident_kib.map(|kib| float(kib) / 1024.0), 1),
            row.errors,
        ));
    }
}

fn optional(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

/// Writes all results as one JSON document.
pub(crate) fn write_json(path: &Path, results: &[Summary]) -> anyhow::Result<()> {
    Ok(std::fs::write(path, serde_json::to_vec_pretty(results)?)?)
}

/// Says why the run ended.
#[expect(clippy::print_stderr, reason = "the one place that prints errors")]
pub(crate) fn failure(error: &anyhow::Error) {
    eprintln!("loadtest: {error:#}");
}

/// Prints a line.
#[expect(clippy::print_stdout, reason = "the one place that prints")]
pub(crate) fn line(text: &str) {
    println!("{text}");
}
