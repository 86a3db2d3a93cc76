//! The client under test, with a function behind it that builds real rules and tells what came of it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ratelimit::xds::{Client, Headers, Jitter, MessageLimit, NodeMetadata, PauseSettings, Settings};
use ratelimit_core::source::RuleFile;
use ratelimit_core::{BuildOptions, Enforcement, Limit, Role, Rule, RuleSet};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::control_plane::ControlPlane;

/// What came of a push: the dump of the rules, or the error.
pub(crate) type Outcome = Result<Vec<String>, String>;

pub(crate) struct Follower {
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    options: Arc<Mutex<BuildOptions>>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows with short pauses.
    pub(crate) fn of(control_plane: &ControlPlane) -> Self {
        Self::with(settings(control_plane))
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let options: Arc<Mutex<BuildOptions>> = Arc::default();
        let (send, outcomes) = mpsc::unbounded_channel();
        let effective = Arc::clone(&options);
        let apply = move |files: Vec<RuleFile>| {
            let outcome = build(&files, *effective.lock());
            send.send(outcome.clone()).unwrap();
            outcome.map(|_dump| ())
        };
        let (end, task) = follow(settings, apply);
        Self {
            outcomes,
            options,
            end: Some(end),
            task,
        }
    }

    /// What came of the next push.
    pub(crate) async fn outcome(&mut self) -> Outcome {
        crate::soon(self.outcomes.recv()).await.unwrap()
    }

    /// Whether every outcome was looked at.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.outcomes.try_recv().is_err()
    }

    /// What `MERGE_DOMAIN_CONFIG` set at run time does.
    pub(crate) fn merge_domains(&self) {
        self.options.lock().merge_domains = true;
    }

    /// Ends it, and waits until it has.
    pub(crate) async fn end(mut self) {
        self.end.take().unwrap().send(()).unwrap();
        crate::soon(&mut self.task).await.unwrap();
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Short pauses, no TLS.
pub(crate) fn settings(control_plane: &ControlPlane) -> Settings {
    Settings {
        server: control_plane.address.to_string().parse().unwrap(),
        node_id: "test-node".to_owned(),
        node_metadata: NodeMetadata::default(),
        headers: Headers::default(),
        tls: None,
        pauses: PauseSettings {
            connect: Duration::from_millis(100),
            initial: Duration::from_millis(100),
            max: Duration::from_millis(400),
            jitter: Jitter::new(0.5),
        },
        max_message: MessageLimit::new(0),
    }
}

/// With pauses so long that nothing that follows one is seen.
pub(crate) fn patient(mut settings: Settings) -> Settings {
    let hour = Duration::from_secs(3600);
    settings.pauses = PauseSettings {
        connect: hour,
        initial: hour,
        max: hour,
        jitter: Jitter::NONE,
    };
    settings
}

#[expect(clippy::disallowed_methods, reason = "the test owns this task")]
pub(crate) fn follow(
    settings: Settings,
    apply: impl Fn(Vec<RuleFile>) -> Result<(), String> + Send + Sync + 'static,
) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let (end, ended) = oneshot::channel();
    let task = tokio::spawn(Client::new(settings).run(apply, async move {
        let _dropped_or_sent = ended.await;
    }));
    (end, task)
}

fn build(files: &[RuleFile], options: BuildOptions) -> Outcome {
    match RuleSet::build(files, options) {
        Ok(rules) => {
            let mut lines: Vec<String> = rules.rules().map(line).collect();
            lines.sort();
            Ok(lines)
        }
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

/// As `/rlconfig` prints it.
fn line(rule: &Rule) -> String {
    let (unit, requests) = match rule.limit() {
        Limit::Unlimited => ("UNKNOWN".to_owned(), 0),
        Limit::Rate(rate) => (format!("{:?}", rate.unit).to_uppercase(), rule.stated_requests()),
    };
    format!(
        "{}: unit={unit} requests_per_unit={requests}, shadow_mode: {}, quota_mode: {}",
        rule.stats_key(),
        rule.enforcement() == Enforcement::Shadow,
        rule.role() == Role::Quota,
    )
}
