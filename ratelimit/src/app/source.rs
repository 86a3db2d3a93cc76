//! Where the limits in force come from: files that are followed, or a control plane that pushes. To everything else
//! they are one: a value in force, and how loading goes.

use std::sync::Arc;

use ratelimit_core::source::RuleFile;
use ratelimit_core::{BuildOptions, RuleProblem, RuleSet};
use server::Problems;
use server::reload::{Current, Reloader, Status};
use server::shutdown::Shutdown;
use server::source::SourceFile;
use tokio::sync::watch;

use crate::limits::{self, Limits};
use crate::metrics::Metrics;
use crate::rules_file;
use crate::settings::{FileSource, LimitSource};
use crate::xds;

/// Keeps limits in step with where they come from.
#[derive(Debug)]
pub(super) struct Source {
    current: Current<Limits>,
    status: watch::Receiver<Status>,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Files(Reloader<Limits>),
    ControlPlane(xds::Client, Pushed),
}

impl Source {
    /// A source that has loaded nothing yet.
    pub(super) fn new(settings: LimitSource, options: BuildOptions, metrics: &Arc<Metrics>) -> Self {
        match settings {
            LimitSource::Files(files) => Self::files(files, options, Arc::clone(metrics)),
            LimitSource::ControlPlane(settings) => Self::control_plane(*settings, options, Arc::clone(metrics)),
        }
    }

    fn files(settings: FileSource, options: BuildOptions, metrics: Arc<Metrics>) -> Self {
        let FileSource {
            root,
            selection,
            name_prefix,
        } = settings;
        let build = move |files: &[SourceFile], _before: Option<&Limits>| {
            let ours = files.iter().filter(|file| file.name.starts_with(&name_prefix));
            limits::build(ours, options, &metrics)
        };
        let reloader = Reloader::new(root, selection, build);
        Self {
            current: reloader.current(),
            status: reloader.status(),
            work: Work::Files(reloader),
        }
    }

    fn control_plane(settings: xds::Settings, options: BuildOptions, metrics: Arc<Metrics>) -> Self {
        let (status, current) = (watch::Sender::default(), Current::default());
        let receiver = status.subscribe();
        let pushed = Pushed {
            options,
            metrics,
            current: current.clone(),
            status,
        };
        Self {
            current,
            status: receiver,
            work: Work::ControlPlane(xds::Client::new(settings), pushed),
        }
    }

    /// The limits in force, now and later.
    pub(super) fn current(&self) -> Current<Limits> {
        self.current.clone()
    }

    /// How loading goes, now and later.
    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Loads what is there already. A control plane has nothing there: it speaks when it will.
    pub(super) async fn load(&mut self) {
        match &mut self.work {
            Work::Files(reloader) => reloader.load().await,
            Work::ControlPlane(..) => {}
        }
    }

    /// Follows what changes until the process closes.
    pub(super) async fn run(self, shutdown: Shutdown) {
        match self.work {
            Work::Files(reloader) => tokio::select! {
                () = reloader.run() => {}
                () = shutdown.closing() => {}
            },
            Work::ControlPlane(client, pushed) => {
                client
                    .run(move |files| pushed.put_in_force(&files), shutdown.closing())
                    .await;
            }
        }
    }
}

/// What a control plane pushed.
#[derive(Debug)]
struct Pushed {
    options: BuildOptions,
    metrics: Arc<Metrics>,
    current: Current<Limits>,
    status: watch::Sender<Status>,
}

impl Pushed {
    /// The error is what the control plane is told: a line a problem, first the one that envoyproxy/ratelimit would name.
    fn put_in_force(&self, files: &[RuleFile]) -> Result<(), String> {
        let problems = match RuleSet::build(files, self.options) {
            Ok(rules) => {
                self.current.store(Limits::new(rules, &self.metrics));
                self.status.send_modify(|status| {
                    status.succeeded = status.succeeded.saturating_add(1);
                    status.problems = None;
                });
                return Ok(());
            }
            Err(problems) => problems,
        };
        let lines: Vec<String> = problems.iter().map(RuleProblem::to_string).collect();
        let problems: Problems = problems.into_iter().map(rules_file::problem).collect();
        self.status.send_modify(|status| {
            status.failed = status.failed.saturating_add(1);
            status.problems = Some(Arc::new(problems));
        });
        Err(lines.join("\n"))
    }
}
