//! Finds the parts that are not ours: Envoy, Redis, the OpenID provider. It must not fetch any; `make parts` does.

use std::path::PathBuf;

use anyhow::{Result, ensure};

/// The directory that `make parts` fills.
#[derive(Clone, Debug)]
pub struct Parts {
    home: PathBuf,
}

impl Parts {
    /// The directory `$SALLYPORT_PARTS`, else `target/parts` of this checkout.
    #[must_use]
    pub fn of_this_machine() -> Self {
        let home = std::env::var_os("SALLYPORT_PARTS").map(PathBuf::from);
        Self {
            home: home.unwrap_or_else(|| crate::checkout().join("target/parts")),
        }
    }

    /// A program by its file name, such as `envoy`, `redis-server` or `redis-server-6.2`.
    ///
    /// # Errors
    ///
    /// It is not there; the message says how to get it.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        self.existing(&format!("bin/{name}"))
    }

    /// The directory that holds the `node_modules` of the OpenID provider.
    ///
    /// # Errors
    ///
    /// It is not there; the message says how to get it.
    pub fn oidc_provider(&self) -> Result<PathBuf> {
        self.existing("oidc-provider/node_modules/oidc-provider")?;
        self.existing("oidc-provider")
    }

    fn existing(&self, relative: &str) -> Result<PathBuf> {
        let path = self.home.join(relative);
        ensure!(
            path.exists(),
            "there is no {}: run `make parts`, which fetches it without root",
            path.display()
        );
        Ok(path)
    }
}
