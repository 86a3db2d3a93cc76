//! Everything at once, on the files of `config/`: issuer, upstream, both services, Redis if asked for, Envoy in front.
//!
//! The demo runs it on the documented ports, the tests on free ones. Nothing of a stack outlives it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::addresses::Addresses;
use crate::client::Client;
use crate::envoy::Envoy;
use crate::extauth::{self, ExtAuth};
use crate::issuer::{Issuer, KeySet};
use crate::parts::Parts;
use crate::ports::{Port, Ports};
use crate::process::Process;
use crate::ratelimit::{self, RateLimit};
use crate::redis::Redis;
use crate::upstream::Upstream;

/// How often the shipped file has the key set fetched again.
const KEY_REFRESH: &str = "refreshInterval: 30s";

/// Where counters are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum Store {
    /// In the process of the rate limit service.
    Memory,
    /// In a Redis that the stack starts.
    Redis,
}

/// Which limit files the rate limit service reads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Limits {
    /// A copy of `config/ratelimit` that a test may change.
    Copied,
    /// `config/ratelimit` itself, so that whoever runs the demo can edit it.
    Shipped,
}

/// What a stack is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where counters are kept.
    pub store: Store,
    /// Which limit files are read.
    pub limits: Limits,
    /// Whether the key set can be fetched at start.
    pub key_set: KeySet,
    /// How often it is fetched again; `None` for what the shipped file says.
    pub key_refresh: Option<&'static str>,
    /// Which ports are taken.
    pub ports: Ports,
}

impl Options {
    /// For a test: free ports and a copy of the configuration.
    #[must_use]
    pub fn for_test(store: Store) -> Self {
        Self {
            store,
            limits: Limits::Copied,
            key_set: KeySet::Up,
            key_refresh: None,
            ports: Ports::free(),
        }
    }
}

/// A running stack. Fields are in the order in which they are dropped: who calls before who is called.
#[derive(Debug)]
pub struct Stack {
    /// The gateway.
    pub envoy: Envoy,
    /// The second door.
    pub ratelimit: RateLimit,
    /// The first door.
    pub extauth: ExtAuth,
    /// The counters, unless they are in memory.
    pub redis: Option<Redis>,
    /// Who signs tokens.
    pub issuer: Issuer,
    /// Who is behind the doors.
    pub upstream: Upstream,
    /// The limit files in use.
    pub limits: PathBuf,
    /// The `AuthConfig`s in use.
    pub policies: PathBuf,
    directory: TempDir,
}

impl Stack {
    /// Starts all of it and waits until Envoy serves. What has been started is stopped again if a later part fails.
    ///
    /// # Errors
    ///
    /// A part is missing or does not start.
    pub async fn start(options: Options) -> Result<Self> {
        let parts = Parts::of_this_machine();
        let shipped = crate::checkout().join("config");
        let directory = TempDir::with_prefix("sallyport-")?;
        let here = directory.path();
        let ports = &options.ports;

        let upstream = Upstream::start(ports.address(Port::Upstream), here).await?;
        let issuer = Issuer::start(ports.address(Port::Issuer), options.key_set, here).await?;

        let policies = here.join("extauth");
        let addresses = Addresses::default().with("issuer", 10001, issuer.asks.address());
        copy(&shipped.join("extauth"), &policies, |text| {
            let text = addresses.rewrite_text(text);
            match options.key_refresh {
                Some(refresh) => text.replace(KEY_REFRESH, &format!("refreshInterval: {refresh}")),
                None => text,
            }
        })?;
        let setup = extauth::Setup {
            policies: policies.clone(),
            ports: ports.clone(),
            directory: here.to_path_buf(),
        };
        let extauth = ExtAuth::start(setup).await?;

        let redis = match options.store {
            Store::Memory => None,
            Store::Redis => Some(Redis::start(&parts, here).await?),
        };
        let limits = match options.limits {
            Limits::Shipped => shipped.join("ratelimit"),
            Limits::Copied => here.join("ratelimit"),
        };
        if options.limits == Limits::Copied {
            copy(&shipped.join("ratelimit"), &limits, ToOwned::to_owned)?;
        }
        let setup = ratelimit::Setup {
            limits: limits.clone(),
            redis: redis.as_ref().map(|redis| redis.address),
            ports: ports.clone(),
            directory: here.to_path_buf(),
        };
        let ratelimit = RateLimit::start(setup).await?;

        let addresses = addresses
            .with("0.0.0.0", 10000, ports.address(Port::Envoy))
            .with("0.0.0.0", 9901, ports.address(Port::EnvoyAdmin))
            .with("extauth", 9000, extauth.grpc)
            .with("ratelimit", 8081, ratelimit.grpc)
            .with("upstream", 10002, upstream.address);
        let bootstrap = fs::read_to_string(shipped.join("envoy/envoy.yaml"))?;
        let envoy = Envoy::start(&parts, &addresses.rewrite_envoy(&bootstrap)?, here).await?;
        Ok(Self {
            envoy,
            ratelimit,
            extauth,
            redis,
            issuer,
            upstream,
            limits,
            policies,
            directory,
        })
    }

    /// A client of its Envoy.
    ///
    /// # Errors
    ///
    /// No HTTP client can be made.
    pub fn client(&self) -> Result<Client> {
        Client::new(self.envoy.address)
    }

    /// Whether a part has ended, and which.
    ///
    /// # Errors
    ///
    /// The system cannot say.
    pub fn ended(&mut self) -> Result<Option<String>> {
        for process in self.processes() {
            if let Some(status) = process.ended()? {
                return Ok(Some(format!(
                    "{} ended with {status}; see {}",
                    process.name(),
                    process.log_path().display()
                )));
            }
        }
        Ok(None)
    }

    /// Where logs and copies of the configuration are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Stops everything in order, as an operator would.
    ///
    /// # Errors
    ///
    /// A part had to be killed; all of them have ended all the same.
    pub async fn stop(mut self) -> Result<()> {
        for process in self.processes() {
            process.stop().await?;
        }
        Ok(())
    }

    fn processes(&mut self) -> impl Iterator<Item = &mut Process> {
        let redis = self.redis.as_mut().map(|redis| &mut redis.process);
        let first = [
            &mut self.envoy.process,
            &mut self.ratelimit.process,
            &mut self.extauth.process,
        ];
        let last = [&mut self.issuer.process, &mut self.upstream.process];
        first.into_iter().chain(redis).chain(last)
    }
}

/// Copies the files of a directory, each through `change`.
fn copy(from: &Path, to: &Path, change: impl Fn(&str) -> String) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
        let path = entry?.path();
        let name = path.file_name().context("a file without a name")?;
        fs::write(to.join(name), change(&fs::read_to_string(&path)?))?;
    }
    Ok(())
}
