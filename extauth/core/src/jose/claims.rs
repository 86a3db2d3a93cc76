//! Whether signed claims are for us, now (RFC 7519 section 4.1, RFC 9068).
//!
//! Times are numbers, whole or not, never text; `exp` is required. A claim of the wrong form refuses the token: to a
//! reader that skips it, it would be absent (CVE-2026-25537).

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::TokenError;
use super::verify::SignedClaims;

/// How far clocks may be apart.
pub const LEEWAY_DEFAULT: Duration = Duration::from_secs(60);

/// What the claims of a token must say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClaimRules {
    /// The issuer, byte for byte; `None` leaves it to the key set alone.
    pub issuer: Option<String>,
    /// Whom the token must be for.
    pub audience: Audience,
    /// What kind of token is wanted.
    pub token_type: TokenType,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

impl Default for ClaimRules {
    fn default() -> Self {
        Self {
            issuer: None,
            audience: Audience::default(),
            token_type: TokenType::default(),
            leeway: LEEWAY_DEFAULT,
        }
    }
}

/// Whom a token must be for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Audience {
    /// `aud` does not matter. Only on an explicit wish.
    Any,
    /// `aud` names at least one of these.
    OneOf(Vec<String>),
    /// We have no name, so a token that names an audience is not for us: "If the principal processing the claim does
    /// not identify itself with a value in the `aud` claim when this claim is present, then the JWT MUST be rejected"
    /// (RFC 7519 section 4.1.3).
    #[default]
    Unnamed,
}

/// What kind of token is wanted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TokenType {
    /// An access token: `typ` is absent, `JWT` or `at+jwt`, and nothing marks it as an ID token.
    #[default]
    AccessToken,
    /// An access token that says so by `typ: at+jwt` (RFC 9068).
    AccessTokenRfc9068,
    /// An ID token will do.
    Any,
}

/// The proof that a token verified and that its claims hold. Made only by [`SignedClaims::check`].
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    claims: Map<String, Value>,
}

impl VerifiedToken {
    /// All claims.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Who the token is about.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str)
    }

    /// Whether `scope` grants all of `scopes`: a text of words apart by spaces (RFC 8693 section 4.2) or, as some
    /// servers write it, a list of words.
    #[must_use]
    pub fn grants<'s>(&self, mut scopes: impl Iterator<Item = &'s str>) -> bool {
        let granted: Vec<&str> = match self.claims.get("scope") {
            Some(Value::String(text)) => text.split(' ').collect(),
            Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => Vec::new(),
        };
        scopes.all(|scope| granted.contains(&scope))
    }
}

impl SignedClaims {
    /// Checks the claims.
    ///
    /// # Errors
    /// The first claim that is missing, malformed or not ours.
    pub fn check(self, rules: &ClaimRules, now: Duration) -> Result<VerifiedToken, TokenError> {
        let claims = &self.claims;
        check_type(claims, rules.token_type)?;
        check_issuer(claims, rules.issuer.as_deref())?;
        check_audience(claims, &rules.audience)?;
        check_times(claims, rules.leeway.as_secs_f64(), now.as_secs_f64())?;
        text(claims, "sub")?;
        Ok(VerifiedToken { claims: self.claims })
    }
}

fn check_type(claims: &Map<String, Value>, wanted: TokenType) -> Result<(), TokenError> {
    let is_id_token = ["at_hash", "c_hash", "nonce"]
        .iter()
        .any(|name| claims.contains_key(*name));
    match wanted {
        TokenType::AccessToken | TokenType::AccessTokenRfc9068 if is_id_token => Err(TokenError::IdToken),
        TokenType::AccessToken | TokenType::AccessTokenRfc9068 | TokenType::Any => Ok(()),
    }
}

fn check_issuer(claims: &Map<String, Value>, wanted: Option<&str>) -> Result<(), TokenError> {
    let issuer = text(claims, "iss")?;
    let Some(wanted) = wanted else { return Ok(()) };
    match issuer {
        None => Err(TokenError::ClaimMissing("iss")),
        Some(issuer) if issuer == wanted => Ok(()),
        Some(_) => Err(TokenError::WrongIssuer),
    }
}

fn check_audience(claims: &Map<String, Value>, wanted: &Audience) -> Result<(), TokenError> {
    let named = audiences(claims)?;
    match (wanted, named.is_empty()) {
        (Audience::Any, _) | (Audience::Unnamed, true) => Ok(()),
        (Audience::OneOf(_), true) => Err(TokenError::ClaimMissing("aud")),
        (Audience::OneOf(wanted), false) if wanted.iter().any(|one| named.contains(&one.as_str())) => Ok(()),
        (Audience::OneOf(_) | Audience::Unnamed, false) => Err(TokenError::WrongAudience),
    }
}

/// `aud` as text or as a list of text; nothing else has a meaning.
fn audiences(claims: &Map<String, Value>) -> Result<Vec<&str>, TokenError> {
    match claims.get("aud") {
        None => Ok(Vec::new()),
        Some(Value::String(one)) => Ok(vec![one]),
        Some(Value::Array(several)) => {
            let several: Option<Vec<_>> = several.iter().map(Value::as_str).collect();
            several.ok_or(TokenError::ClaimMalformed("aud"))
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            Err(TokenError::ClaimMalformed("aud"))
        }
    }
}

/// Seconds since the epoch as numbers; all are finite, so comparisons say what they look like.
fn check_times(claims: &Map<String, Value>, leeway: f64, now: f64) -> Result<(), TokenError> {
    let expires = seconds(claims, "exp")?.ok_or(TokenError::ClaimMissing("exp"))?;
    let starts = seconds(claims, "nbf")?;
    let issued = seconds(claims, "iat")?;
    if now >= expires + leeway {
        return Err(TokenError::Expired);
    }
    if starts.is_some_and(|starts| starts > now + leeway) {
        return Err(TokenError::NotYetValid);
    }
    if issued.is_some_and(|issued| issued > now + leeway) {
        return Err(TokenError::IssuedInTheFuture);
    }
    Ok(())
}

fn seconds(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    match value.as_f64() {
        Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds)),
        _ => Err(TokenError::ClaimMalformed(name)),
    }
}

fn text<'c>(claims: &'c Map<String, Value>, name: &'static str) -> Result<Option<&'c str>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    value.as_str().map(Some).ok_or(TokenError::ClaimMalformed(name))
}
