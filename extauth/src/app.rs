//! Puts the parts together and runs them until the process is told to end. Every other file knows only its neighbours.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use server::clock::unix_now;
use server::health::{Component, Health};
use server::listen::{Listener, Protocol, ReloadingTls, Server};
use server::problem::{Problem, Problems};
use server::reload::{Current, Reloader, Status};
use server::shutdown::Shutdown;
use server::source::SourceFile;
use server::task::Tasks;
use tokio::signal::unix::SignalKind;
use tokio::sync::watch;

use crate::grpc::Authorization;
use crate::keys::KeySets;
use crate::metrics::Metrics;
use crate::policy_file::{self, Loaded};
use crate::service::{Inspect, Service};
use crate::settings::Settings;

/// The name of the service in gRPC health checks.
const SERVICE: &str = "extauth";

/// Serves until a signal. Returns once everything has ended.
///
/// # Errors
/// When the process cannot start: a port is taken, a certificate does not load.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    let shutdown = Shutdown::new(settings.shutdown);
    let signals = [SignalKind::interrupt(), SignalKind::terminate()];
    run(settings, shutdown.clone(), None, shutdown.run(&signals)).await
}

/// Serves until `shutdown` closes, which `end` brings about. `inspect` sees each request first; see [`Inspect`].
///
/// # Errors
/// As [`serve`], and what `end` fails with.
pub async fn run(
    settings: Settings,
    shutdown: Shutdown,
    inspect: Option<Inspect>,
    end: impl Future<Output = std::io::Result<()>>,
) -> anyhow::Result<()> {
    let tasks = Tasks::new(shutdown.clone());
    let health = Health::new(SERVICE, shutdown.clone());
    let metrics = Arc::new(Metrics::new()?);
    metrics.started(unix_now());
    let keys = KeySets::new(settings.keys, health.clone(), metrics.clone(), tasks.clone())?;

    let mut policies = reloader(&settings);
    let current = policies.current();
    // Before the first request: nobody is to be denied for want of a file that is there.
    policies.load().await;
    let after_load = AfterLoad {
        current: current.clone(),
        keys: keys.clone(),
        metrics: metrics.clone(),
        health: Arc::new(health.component("configuration")),
    };
    after_load.start(policies.status(), &tasks);
    tasks.spawn("configuration", until_closing(policies.run(), shutdown.clone()));

    let service = Service::new(current, keys, metrics.clone(), inspect);
    let authorization = Authorization::new(service, settings.deadline);
    let tls = settings.tls.map(ReloadingTls::load).transpose()?;
    let grpc = Listener::bind(&settings.grpc)
        .await
        .with_context(|| format!("cannot listen on {}", settings.grpc))?;
    let admin = Listener::bind(&settings.admin)
        .await
        .with_context(|| format!("cannot listen on {}", settings.admin))?;
    announce(&grpc, &admin, settings.ports_file.as_deref())?;

    let routes = tonic::service::Routes::new(authorization).add_service(health.grpc());
    let pages = health
        .routes()
        .merge(server::metrics::routes("/metrics", metrics.registry()));
    let grpc = Server::new(grpc, Protocol::Grpc).with_tls(tls);
    tasks.spawn("gRPC", grpc.serve(routes, shutdown.clone()));
    tasks.spawn("admin", Server::new(admin, Protocol::Http).serve(pages, shutdown));

    end.await?;
    let left = tasks.finished().await;
    if !left.is_empty() {
        tracing::warn!(tasks = left.join(" "), "ending although these still run");
    }
    Ok(())
}

fn reloader(settings: &Settings) -> Reloader<Loaded> {
    let options = settings.options.clone();
    let build = move |files: &[SourceFile], before: Option<&Loaded>| policy_file::load(files, before, &options);
    Reloader::new(settings.config.clone(), policy_file::SELECTION, build)
}

async fn until_closing(work: impl Future<Output = ()>, shutdown: Shutdown) {
    tokio::select! {
        () = work => {}
        () = shutdown.closing() => {}
    }
}

/// Says where we listen, in the log and in a file if asked to.
fn announce(grpc: &Listener, admin: &Listener, ports_file: Option<&Path>) -> anyhow::Result<()> {
    let (grpc, admin) = (grpc.local_address()?, admin.local_address()?);
    tracing::info!(%grpc, %admin, "listening");
    if let Some(path) = ports_file {
        server::ports::write(path, &[("grpc", grpc), ("admin", admin)])
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// What follows a load: key sets, metrics, health, and the notes that were not told yet.
#[derive(Clone)]
struct AfterLoad {
    current: Current<Loaded>,
    keys: KeySets,
    metrics: Arc<Metrics>,
    health: Arc<Component>,
}

impl AfterLoad {
    /// Follows the load that was, before anything else starts, and then every other.
    fn start(self, mut status: watch::Receiver<Status>, tasks: &Tasks) {
        let mut told = Problems::new();
        let seen = status.borrow_and_update().clone();
        self.follow(&Status::default(), &seen, &mut told);
        tasks.keep_running("after loads", move || {
            self.clone().run(status.clone(), seen.clone(), told.clone())
        });
    }

    /// Follows every load after `seen`, as long as there can be one.
    async fn run(self, mut status: watch::Receiver<Status>, mut seen: Status, mut told: Problems) {
        while status.changed().await.is_ok() {
            let now = status.borrow_and_update().clone();
            self.follow(&seen, &now, &mut told);
            seen = now;
        }
    }

    fn follow(&self, seen: &Status, now: &Status, told: &mut Problems) {
        let problems = now.problems.as_deref().map_or(0, Problems::len);
        let loaded = self.current.load();
        if now.failed > seen.failed {
            self.metrics.config_refused(problems);
        }
        let Some(loaded) = loaded else {
            return self.health.set_failing("no configuration is loaded");
        };
        if now.succeeded > seen.succeeded {
            self.metrics.config_loaded(loaded.ready(), problems);
            self.keys.follow(&loaded.sources);
            let is_new = |note: &&Problem| !told.iter().any(|other| other == *note);
            for note in loaded.notes.iter().filter(is_new) {
                tracing::warn!("{note}");
            }
            *told = loaded.notes.clone();
        }
        self.health.set_healthy();
    }
}
