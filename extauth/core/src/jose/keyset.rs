//! A set of public keys (JWKS, RFC 7517 section 5): which of its keys are usable, and which one a token means.
//!
//! A bad key is left out and told about; the others stay. A good set that lacks yesterday's key has revoked it.

use serde_json::Value;

use super::algorithm::AlgorithmSet;
use super::error::TokenError;
use super::header::Header;
use super::json::{self, JsonError};
use super::key::{Key, KeyError};

/// Most keys of a set.
pub const KEYS_MAX: usize = 100;

/// Why a text is not a key set at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeySetError {
    /// Not a strict JSON object.
    #[error("the key set {0}")]
    NotJson(JsonError),
    /// No list `keys`.
    #[error("the key set has no list 'keys'")]
    NoKeys,
    /// More than [`KEYS_MAX`] keys.
    #[error("the key set has more than 100 keys")]
    TooManyKeys,
}

/// A key that is left out, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IgnoredKey {
    /// Its place in `keys`, from 0.
    pub index: usize,
    /// Why.
    pub error: KeyError,
}

/// The usable keys of one source. Immutable; a newer set replaces it as a whole.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    ignored: Vec<IgnoredKey>,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// When the text is not a set of at most [`KEYS_MAX`] keys. Keys that we cannot use are no error, see
    /// [`KeySet::ignored`].
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let members = json::parse_object(text).map_err(KeySetError::NotJson)?;
        let jwks = members
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(KeySetError::NoKeys)?;
        if jwks.len() > KEYS_MAX {
            return Err(KeySetError::TooManyKeys);
        }
        let mut set = Self::default();
        for (index, jwk) in jwks.iter().enumerate() {
            match Key::from_jwk(jwk) {
                // The same key twice is still one key, not a choice.
                Ok(key) if set.keys.iter().any(|other| other.is_same(&key)) => {}
                Ok(key) => set.keys.push(key),
                Err(error) => set.ignored.push(IgnoredKey { index, error }),
            }
        }
        Ok(set)
    }

    /// How many keys are usable.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key is usable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that were left out.
    #[must_use]
    pub fn ignored(&self) -> &[IgnoredKey] {
        &self.ignored
    }

    /// The one key that a token's header means.
    pub(super) fn select(&self, header: &Header, allowed: AlgorithmSet) -> Result<&Key, TokenError> {
        let Some(key_id) = &header.key_id else {
            return self.only_usable(allowed);
        };
        let mut named = self
            .keys
            .iter()
            .filter(|key| key.key_id.as_ref() == Some(key_id))
            .peekable();
        if named.peek().is_none() {
            return Err(TokenError::UnknownKey { key_id: key_id.clone() });
        }
        let mut fitting = named.filter(|key| key.fits(header.algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(TokenError::AmbiguousKey),
            (None, _) => Err(TokenError::KeyDoesNotFit),
        }
    }

    /// A token without `kid` may only mean the one key there is.
    fn only_usable(&self, allowed: AlgorithmSet) -> Result<&Key, TokenError> {
        let mut usable = self.keys.iter().filter(|key| key.fits_any(allowed));
        match (usable.next(), usable.next()) {
            (Some(key), None) => Ok(key),
            _ => Err(TokenError::NoKeyId),
        }
    }
}
