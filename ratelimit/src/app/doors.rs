//! The listeners of the process, and saying where they are.

use std::path::Path;

use anyhow::Context as _;
use server::listen::{Address, Listener};

use crate::settings::Listen;

/// Bound, not yet serving.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) grpc: Listener,
    pub(super) http: Listener,
    /// For scrapes, if statistics are kept for them.
    pub(super) metrics: Option<Listener>,
    /// A convenience: a taken port must not keep limits from being enforced.
    pub(super) debug: Option<Listener>,
}

impl Doors {
    pub(super) async fn bind(listen: &Listen, metrics: Option<&Address>) -> anyhow::Result<Self> {
        let debug = Listener::bind(&listen.debug).await;
        Ok(Self {
            grpc: Listener::bind(&listen.grpc).await?,
            http: Listener::bind(&listen.http).await?,
            metrics: match metrics {
                Some(address) => Some(Listener::bind(address).await?),
                None => None,
            },
            debug: debug.inspect_err(|error| tracing::warn!(%error, "no debug port")).ok(),
        })
    }

    /// Says where we listen, in the log and in a file if asked to.
    pub(super) fn announce(&self, ports_file: Option<&Path>) -> anyhow::Result<()> {
        let doors = [
            ("grpc", Some(&self.grpc)),
            ("http", Some(&self.http)),
            ("metrics", self.metrics.as_ref()),
            ("debug", self.debug.as_ref()),
        ];
        let mut bound = Vec::new();
        for (name, listener) in doors {
            if let Some(listener) = listener {
                bound.push((name, listener.local_address()?));
            }
        }
        log(&bound);
        if let Some(path) = ports_file {
            server::ports::write(path, &bound).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}

fn log(bound: &[(&str, Address)]) {
    let at = |name: &str| {
        let found = bound.iter().find(|(known, _)| *known == name);
        found.map(|(_, address)| tracing::field::display(address))
    };
    tracing::info!(
        grpc = at("grpc"),
        http = at("http"),
        metrics = at("metrics"),
        debug = at("debug"),
        "listening"
    );
}
