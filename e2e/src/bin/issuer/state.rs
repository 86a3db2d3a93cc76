//! What the issuer knows: its keys of the moment, whether its key set can be reached, how often it was asked for.
//!
//! No HTTP here; `main.rs` turns requests into these calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use e2e::issuer::{AUDIENCE, ISSUER};
use e2e::tokens::{Algorithm, SigningKey};
use parking_lot::RwLock;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// How long a token lives if the request does not say.
const TTL_SECS: i64 = 3600;

/// Whether `/jwks.json` answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reachable {
    Yes,
    No,
}

/// What a token shall say. What is absent gets the value of a good token; without a tenant there is no such claim.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenRequest {
    tenant: Option<String>,
    /// Seconds to live; negative for a token that has expired.
    ttl: Option<i64>,
    iss: Option<String>,
    aud: Option<String>,
    sub: Option<String>,
    scope: Option<String>,
    alg: Option<Algorithm>,
    /// Which key the token claims to be signed by, true or not.
    kid: Option<String>,
}

/// The issuer's state, shared by all requests.
#[derive(Debug)]
pub(crate) struct Issuer {
    keys: RwLock<Arc<Keys>>,
    reachable: RwLock<Reachable>,
    key_set_fetches: AtomicU64,
}

#[derive(Debug)]
struct Keys {
    generation: u32,
    rs256: SigningKey,
    es256: SigningKey,
}

impl Issuer {
    pub(crate) fn new(reachable: Reachable) -> Result<Self> {
        Ok(Self {
            keys: RwLock::new(Arc::new(Keys::generate(1)?)),
            reachable: RwLock::new(reachable),
            key_set_fetches: AtomicU64::new(0),
        })
    }

    /// The public keys, or nothing while out of reach. Counts either way.
    pub(crate) fn key_set(&self) -> Result<Option<Value>> {
        self.key_set_fetches.fetch_add(1, Ordering::Relaxed);
        if *self.reachable.read() == Reachable::No {
            return Ok(None);
        }
        let keys = self.keys();
        Ok(Some(
            json!({"keys": [keys.rs256.public_jwk()?, keys.es256.public_jwk()?]}),
        ))
    }

    pub(crate) fn key_set_fetches(&self) -> u64 {
        self.key_set_fetches.load(Ordering::Relaxed)
    }

    pub(crate) fn set_reachable(&self, reachable: Reachable) {
        *self.reachable.write() = reachable;
    }

    /// Replaces all keys.
    pub(crate) fn rotate(&self) -> Result<()> {
        let next = Keys::generate(self.keys().generation.saturating_add(1))?;
        *self.keys.write() = Arc::new(next);
        Ok(())
    }

    pub(crate) fn token(&self, request: &TokenRequest) -> Result<String> {
        let keys = self.keys();
        let key = match request.alg.unwrap_or(Algorithm::Rs256) {
            Algorithm::Rs256 => &keys.rs256,
            Algorithm::Es256 => &keys.es256,
        };
        key.token_under(request.kid.as_deref().unwrap_or_else(|| key.id()), &claims(request)?)
    }

    fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read())
    }
}

impl Keys {
    fn generate(generation: u32) -> Result<Self> {
        // No two keys ever have one name, not even after a restart: a verifier would look up the old one.
        let born = server::clock::unix_now().as_secs();
        Ok(Self {
            generation,
            rs256: SigningKey::generate(&format!("rs256-{born}-{generation}"), Algorithm::Rs256)?,
            es256: SigningKey::generate(&format!("es256-{born}-{generation}"), Algorithm::Es256)?,
        })
    }
}

fn claims(request: &TokenRequest) -> Result<Value> {
    let now = i64::try_from(server::clock::unix_now().as_secs())?;
    let ttl = request.ttl.unwrap_or(TTL_SECS);
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), request.iss.as_deref().unwrap_or(ISSUER).into());
    claims.insert("aud".to_owned(), request.aud.as_deref().unwrap_or(AUDIENCE).into());
    claims.insert("sub".to_owned(), request.sub.as_deref().unwrap_or("demo-user").into());
    // One that has expired was issued before that.
    claims.insert(
        "iat".to_owned(),
        now.saturating_add(ttl.min(0)).saturating_sub(1).into(),
    );
    claims.insert("exp".to_owned(), now.saturating_add(ttl).into());
    for (name, value) in [("tenant", &request.tenant), ("scope", &request.scope)] {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value.as_str().into());
        }
    }
    Ok(Value::Object(claims))
}
