//! Puts the parts together and runs them until the process is told to end. Every other file knows only its neighbours.

mod doors;
mod loads;
mod source;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proto::ratelimit::RateLimitServiceServer;
use ratelimit_core::UnixTime;
use server::clock::unix_now;
use server::health::Health;
use server::listen::{Protocol, ReloadingTls, Server};
use server::metrics::Registry;
use server::shutdown::Shutdown;
use server::task::Tasks;
use tokio::signal::unix::SignalKind;
use tokio::sync::oneshot;
use tokio::time::{Duration, interval, sleep};

use self::doors::Doors;
use self::loads::LoadReports;
use self::source::Source;
use crate::counters::{Counters, Memory, Redis};
use crate::metrics::{Metrics, RESPONSE_TIME};
use crate::service::Service;
use crate::settings::{RedisStore, Settings, StoreSettings};
use crate::stats::sink::{self, Recorder};

/// Between two looks for counters in memory whose window is over.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Serves until a signal. Returns once everything has ended.
///
/// # Errors
///
/// When the process cannot start: a port is taken, a certificate does not load.
pub async fn serve(settings: Settings) -> anyhow::Result<()> {
    if !settings.without_effect.is_empty() {
        let variables = settings.without_effect.join(" ");
        tracing::warn!(variables, "set, but without effect in this version");
    }
    let shutdown = Shutdown::new(settings.shutdown);
    // In this order: the handlers are there before anything else is, so that a signal during start ends it in order too.
    let signals = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let ending = async { Ok(shutdown.clone().run(&signals).await?) };
    tokio::try_join!(ending, serve_until(shutdown.clone(), settings))?;
    Ok(())
}

async fn serve_until(shutdown: Shutdown, settings: Settings) -> anyhow::Result<()> {
    let tasks = Tasks::new(shutdown.clone());
    let health = Health::new("ratelimit", shutdown.clone());
    let metrics = Arc::new(Metrics::default());
    let counters = Arc::new(start_counters(&settings.store, &metrics, &health, &tasks));
    sweep_memory(&counters, &tasks);
    let gave_up = give_up_on_redis(&settings.store, &counters, &tasks, &shutdown);

    let (recorder, pusher) = sink::open(&settings.statistics, &metrics.source())?;
    let response_time = recorder.timer(RESPONSE_TIME);
    let mut limits = Source::new(settings.source, settings.build, &metrics);
    // Before the first request: nobody is to be told that nothing is loaded when a good file is there.
    limits.load().await;
    let reports = LoadReports {
        status: limits.status(),
        limits: limits.current(),
        metrics: metrics.clone(),
        health: settings
            .health_needs
            .map(|need| (need, Arc::new(health.component("config")))),
    };
    let service = Service::new(
        limits.current(),
        counters,
        metrics.clone(),
        response_time,
        settings.service,
    );

    let scraped = scrape_registry(recorder)?;
    let metrics_address = scraped.as_ref().map(|_registry| &settings.scrapes.address);
    let tls = settings.tls.map(ReloadingTls::load).transpose()?;
    let doors = Doors::bind(&settings.listen, metrics_address).await?;
    doors.announce(settings.ports_file.as_deref())?;
    let debug = crate::http::debug::routes(limits.current(), metrics);
    let scrape = scraped.map(|registry| server::metrics::routes(&settings.scrapes.path, registry));

    let grpc = RateLimitServiceServer::new(service.clone());
    let grpc = tonic::service::Routes::new(grpc).add_service(health.grpc());
    let grpc_door = Server::new(doors.grpc, Protocol::Grpc)
        .with_tls(tls)
        .with_limits(settings.grpc_limits);
    tasks.spawn("gRPC", grpc_door.serve(grpc, shutdown.clone()));
    let http_doors = [
        ("HTTP", Some(doors.http), Some(crate::http::routes(service, &health))),
        ("metrics", doors.metrics, scrape),
        ("debug", doors.debug, Some(debug)),
    ];
    for (name, listener, routes) in http_doors {
        if let (Some(listener), Some(routes)) = (listener, routes) {
            tasks.spawn(
                name,
                Server::new(listener, Protocol::Http).serve(routes, shutdown.clone()),
            );
        }
    }
    tasks.spawn("limits", limits.run(shutdown.clone()));
    tasks.keep_running("load reports", move || reports.clone().run());
    // Statistics end last, so that the last requests are among them.
    let last_tasks = Tasks::new(shutdown.clone());
    let (all_served, stop) = oneshot::channel::<()>();
    if let Some(pusher) = pusher {
        last_tasks.spawn("statistics", pusher.run(async { drop(stop.await) }));
    }
    end(&shutdown, &tasks).await;
    drop(all_served);
    drop(last_tasks.finished().await);
    anyhow::ensure!(!gave_up.load(Ordering::Relaxed), "timed out waiting for Redis at start");
    Ok(())
}

/// Waits for the end, and for everything to end.
async fn end(shutdown: &Shutdown, tasks: &Tasks) {
    shutdown.closing().await;
    let left = tasks.finished().await;
    if !left.is_empty() {
        tracing::warn!(tasks = left.join(" "), "ending although these still run");
    }
}

fn scrape_registry(recorder: Recorder) -> anyhow::Result<Option<Registry>> {
    let Recorder::Scraped(families) = recorder else {
        return Ok(None);
    };
    let registry = Registry::new();
    registry.register(Box::new(families))?;
    Ok(Some(registry))
}

fn start_counters(store: &StoreSettings, metrics: &Metrics, health: &Health, tasks: &Tasks) -> Counters {
    match store {
        StoreSettings::Memory { keys_max } => Counters::Memory(Memory::new(*keys_max, metrics.memory())),
        StoreSettings::Redis(redis) => Counters::Redis(start_redis(redis, metrics, health, tasks)),
    }
}

fn start_redis(settings: &RedisStore, metrics: &Metrics, health: &Health, tasks: &Tasks) -> Redis {
    let main = Redis::start(&settings.main, metrics.redis(), health.component("redis"), tasks);
    let mut redis = main.with_companions(settings.companions);
    if let Some(per_second) = &settings.per_second {
        let health = health.component("redis per second");
        redis = redis.with_per_second(per_second, metrics.redis_per_second(), health, tasks);
    }
    if let Some(bytes) = settings.over_limit_bytes {
        redis = redis.with_over_limit_memory(bytes.get(), metrics.over_limit());
    }
    redis
}

/// Ends the process if Redis is not reached in the time that is set for it. The start itself does not wait for Redis. What
/// is returned is true once that has happened.
fn give_up_on_redis(
    store: &StoreSettings,
    counters: &Arc<Counters>,
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> Arc<AtomicBool> {
    let gave_up = Arc::new(AtomicBool::new(false));
    let StoreSettings::Redis(redis) = store else {
        return gave_up;
    };
    let Some(longest) = redis.startup_max else {
        return gave_up;
    };
    let (counters, shutdown, told) = (counters.clone(), shutdown.clone(), gave_up.clone());
    tasks.spawn("redis at start", async move {
        let Counters::Redis(redis) = &*counters else { return };
        tokio::select! {
            () = redis.reached() => shutdown.closing().await,
            () = shutdown.closing() => {}
            () = sleep(longest) => told.store(true, Ordering::Relaxed),
        }
    });
    gave_up
}

fn sweep_memory(counters: &Arc<Counters>, tasks: &Tasks) {
    let counters = counters.clone();
    tasks.keep_running("memory sweep", move || {
        let counters = counters.clone();
        async move {
            let Counters::Memory(memory) = &*counters else { return };
            let mut ticks = interval(SWEEP_INTERVAL);
            loop {
                ticks.tick().await;
                memory.sweep(UnixTime::since_epoch(unix_now()));
            }
        }
    });
}
