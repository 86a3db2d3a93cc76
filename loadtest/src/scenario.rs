//! What to send: one YAML file per scenario, read once, checked once.

use std::path::{Path, PathBuf};

use anyhow::Context;
use proto::ratelimit::{RateLimitDescriptor, RateLimitRequest, rate_limit_descriptor::Entry};
use rand::rngs::SmallRng;
use rand_distr::{Distribution, Zipf};
use serde::{Deserialize, Serialize};

/// A load, and the server it is for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// Shown in the table and kept in the results.
    pub(crate) name: String,
    /// The domain of every request.
    pub(crate) domain: String,
    /// Descriptors of every request, each a list of `[key, value]`; `{n}` in a value becomes the drawn key's number.
    pub(crate) descriptors: Vec<Vec<(String, String)>>,
    /// Which number `{n}` is.
    pub(crate) keys: Keys,
    /// Where `ratelimit` keeps its counters.
    pub(crate) store: Store,
    /// The rules file of the target, relative to the scenario; `filler` more rules are added beside it.
    pub(crate) rules: String,
    /// Further sibling rules under the same domain, to show that their number does not matter.
    #[serde(default)]
    pub(crate) filler_rules: usize,
    /// HTTP/2 connections; Envoy opens one per worker thread.
    #[serde(default = "four")]
    pub(crate) connections: usize,
    /// Calls in flight at any time, over all connections.
    pub(crate) depth: usize,
    /// Calls a round.
    pub(crate) requests: u64,
}

/// How keys are drawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "draw", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Keys {
    /// Always the same one.
    One,
    /// A new one each time.
    Distinct,
    /// `count` keys with exponent `skew`.
    Zipf { count: u32, skew: f64 },
}

/// Where the target counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Store {
    /// In its own memory.
    Memory,
    /// In a Redis started for the run.
    Redis,
}

fn four() -> usize {
    4
}

impl Scenario {
    /// Reads and checks a scenario file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        let mut scenario: Self = serde_saphyr::from_str(&text)?;
        anyhow::ensure!(
            scenario.depth >= scenario.connections,
            "depth must be at least connections"
        );
        anyhow::ensure!(
            scenario.connections > 0 && scenario.requests > 0,
            "connections and requests must be above 0"
        );
        let rules: PathBuf = path.parent().unwrap_or_else(|| Path::new(".")).join(&scenario.rules);
        scenario.rules = std::fs::read_to_string(&rules).with_context(|| rules.display().to_string())?;
        Ok(scenario)
    }

    /// The rules the target loads: the scenario's, and the filler.
    pub(crate) fn rules_text(&self) -> String {
        let filler = (0..self.filler_rules).map(|n| {
            format!("  - key: filler\n    value: f{n}\n    rate_limit: {{unit: minute, requests_per_unit: 7}}\n")
        });
        std::iter::once(self.rules.clone()).chain(filler).collect()
    }

    /// The request for key number `n`.
    pub(crate) fn request(&self, n: u64) -> RateLimitRequest {
        let number = n.to_string();
        let entry = |(key, value): &(String, String)| Entry {
            key: key.clone(),
            value: value.replace("{n}", &number),
        };
        let descriptors = self.descriptors.iter().map(|entries| RateLimitDescriptor {
            entries: entries.iter().map(entry).collect(),
            ..RateLimitDescriptor::default()
        });
        RateLimitRequest {
            domain: self.domain.clone(),
            descriptors: descriptors.collect(),
            hits_addend: 0,
        }
    }
}

impl Keys {
    /// The key number of call `sequence` (unique over the whole run).
    pub(crate) fn draw(&self, sequence: u64, rng: &mut SmallRng) -> anyhow::Result<u64> {
        Ok(match self {
            Self::One => 0,
            Self::Distinct => sequence,
            Self::Zipf { count, skew } => {
                let zipf = Zipf::new(f64::from(*count), *skew)?;
                let drawn = zipf.sample(rng);
                float_to_index(drawn)
            }
        })
    }
}

/// Zipf yields whole numbers from 1 to `count`, well inside what a u32 holds.
fn float_to_index(drawn: f64) -> u64 {
    format!("{drawn:.0}").parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    fn shipped() -> Vec<Scenario> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| !path.ends_with("rules.yaml"))
            .map(|path| Scenario::read(&path).unwrap())
            .collect()
    }

    #[test]
    fn every_shipped_scenario_can_be_read() {
        assert!(shipped().len() >= 4);
    }

    #[test]
    fn the_filler_adds_siblings_to_the_rules() {
        let scenario = shipped().remove(0);
        assert_eq!(
            scenario.rules_text().matches("key: filler").count(),
            scenario.filler_rules
        );
    }

    #[test]
    fn a_request_holds_the_drawn_number() {
        let mut scenario = shipped().remove(0);
        scenario.descriptors = vec![vec![("tenant".to_owned(), "t{n}".to_owned())]];
        let request = scenario.request(42);
        assert_eq!(request.descriptors[0].entries[0].value, "t42");
    }

    #[test]
    fn keys_are_drawn_as_they_say() {
        let mut rng = SmallRng::seed_from_u64(1);
        let mut draw = |keys: &Keys, sequence| keys.draw(sequence, &mut rng).unwrap();
        assert_eq!(draw(&Keys::One, 7), 0);
        assert_eq!(draw(&Keys::Distinct, 7), 7);
        let zipf = Keys::Zipf { count: 10, skew: 1.1 };
        assert!((0..1_000).all(|sequence| (1..=10).contains(&draw(&zipf, sequence))));
    }

    #[test]
    fn an_impossible_load_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scenario.yaml");
        let text =
            "name: x\ndomain: x\ndescriptors: []\nkeys: {draw: one}\nstore: memory\nrules: x\ndepth: 1\nrequests: 1\n";
        std::fs::write(&path, text).unwrap();
        let error = Scenario::read(&path).unwrap_err().to_string();
        assert!(error.contains("depth"), "{error}");
    }
}
