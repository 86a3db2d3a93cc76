//! A certified OpenID provider (npm `oidc-provider`) that issues JWT access tokens for a resource, with a tenant claim.
//!
//! Our own issuer only proves that we agree with ourselves; this one proves that we agree with the standards. What it is
//! configured to do is in `e2e/oidc-provider/server.mjs`.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::parts::Parts;
use crate::process::Process;
use crate::{client, ports};

/// The resource its JWT access tokens are for, and so their audience.
pub const RESOURCE: &str = "https://api.sallyport.example";

/// A running provider.
#[derive(Debug)]
pub struct OidcProvider {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    http: reqwest::Client,
}

/// What kind of access token a client asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TokenKind {
    /// A JWT for [`RESOURCE`] (RFC 9068).
    Jwt,
    /// A random string that means something to the provider alone.
    Opaque,
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

impl OidcProvider {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// Node or the package is missing, or it does not start.
    pub async fn start(parts: &Parts, directory: &Path) -> Result<Self> {
        let ports_file = directory.join("oidc-provider.ports.json");
        let mut command = Command::new("node");
        command.arg(crate::checkout().join("e2e/oidc-provider/server.mjs"));
        command.arg(parts.oidc_provider()?).arg(&ports_file).arg(RESOURCE);
        let mut process = Process::start("oidc-provider", command, directory)?;
        let address = ports::told_by(&mut process, &ports_file).await?.address("http")?;
        Ok(Self {
            process,
            address,
            http: client::plain_http()?,
        })
    }

    /// Its issuer identifier, the `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where its key set is.
    #[must_use]
    pub fn key_set_url(&self) -> String {
        format!("http://{}/jwks", self.address)
    }

    /// An access token by the client credentials grant, for the client that stands for `tenant`.
    ///
    /// # Errors
    ///
    /// The provider refuses.
    pub async fn token(&self, tenant: &str, kind: TokenKind) -> Result<String> {
        let mut form = "grant_type=client_credentials".to_owned();
        if kind == TokenKind::Jwt {
            form.push_str("&resource=");
            form.push_str(&RESOURCE.replace(':', "%3A").replace('/', "%2F"));
        }
        let call = self
            .http
            .post(format!("http://{}/token", self.address))
            .basic_auth(tenant, Some("secret"));
        let call = call
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let text = call.send().await?.text().await?;
        let granted: Granted = serde_json::from_str(&text).with_context(|| format!("no token: {text}"))?;
        Ok(granted.access_token)
    }
}
