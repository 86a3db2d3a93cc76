//! Signing keys and JSON Web Tokens for the development issuer and for the tests: good ones and every kind of bad one.
//!
//! It must not be used to protect anything: what it signs says whatever the caller asks for.

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A signature algorithm of RFC 7518 §3.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// A private key under the name that its public half has in the key set.
#[derive(Debug)]
pub struct SigningKey {
    id: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// The crypto library cannot make one.
    pub fn generate(id: &str, algorithm: Algorithm) -> Result<Self> {
        let pair = match algorithm {
            Algorithm::Rs256 => Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048)?)),
            Algorithm::Es256 => Pair::P256(Box::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?)),
        };
        Ok(Self {
            id: id.to_owned(),
            pair,
        })
    }

    /// The `kid` of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm that the key signs with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::Rs256,
            Pair::P256(_) => Algorithm::Es256,
        }
    }

    /// The public half as a member of a key set (RFC 7517).
    ///
    /// # Errors
    ///
    /// The crypto library cannot write the key.
    pub fn public_jwk(&self) -> Result<Value> {
        let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let id = &self.id;
        match &self.pair {
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let modulus = encoded(public.modulus().big_endian_without_leading_zero());
                let exponent = encoded(public.exponent().big_endian_without_leading_zero());
                Ok(json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": modulus, "e": exponent}))
            }
            Pair::P256(pair) => {
                // An uncompressed point: 4, then both coordinates of 32 bytes (SEC 1 §2.3.3).
                let point = pair.public_key().as_ref();
                let (x, y) = point
                    .get(1..)
                    .and_then(|xy| xy.split_at_checked(32))
                    .context("not a P-256 point")?;
                let (x, y) = (encoded(x), encoded(y));
                Ok(json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id, "x": x, "y": y}))
            }
        }
    }

    /// A token of these claims, with the header that belongs to the key.
    ///
    /// # Errors
    ///
    /// The crypto library cannot sign.
    pub fn token(&self, claims: &Value) -> Result<String> {
        self.token_under(&self.id, claims)
    }

    /// A token that says it was signed by the key `id`, true or not.
    ///
    /// # Errors
    ///
    /// The crypto library cannot sign.
    pub fn token_under(&self, id: &str, claims: &Value) -> Result<String> {
        let algorithm = match self.algorithm() {
            Algorithm::Rs256 => "RS256",
            Algorithm::Es256 => "ES256",
        };
        let header = json!({"alg": algorithm, "typ": "JWT", "kid": id});
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.sign(signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
            Pair::P256(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
        }
    }
}

/// A token that says `alg: none` and has no signature (RFC 7519 §6).
#[must_use]
pub fn unsigned(claims: &Value) -> String {
    format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(claims))
}

/// The same token with other claims, its signature left as it was. Only the last of the parts decides if it is noticed.
#[must_use]
pub fn tampered(token: &str, claims: &Value) -> String {
    let mut parts: Vec<String> = token.split('.').map(ToOwned::to_owned).collect();
    if let Some(payload) = parts.get_mut(1) {
        *payload = part(claims);
    }
    parts.join(".")
}

/// The claims of a token, unverified.
///
/// # Errors
///
/// It is not a token.
pub fn claims(token: &str) -> Result<Value> {
    unverified(token, 1)
}

/// The `kid` of a token, unverified.
///
/// # Errors
///
/// It is not a token, or names no key.
pub fn key_id(token: &str) -> Result<String> {
    let header = unverified(token, 0)?;
    let id = header.get("kid").and_then(Value::as_str);
    Ok(id.context("no kid")?.to_owned())
}

fn unverified(token: &str, index: usize) -> Result<Value> {
    let part = token.split('.').nth(index).context("a token has three parts")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?)
}

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}
