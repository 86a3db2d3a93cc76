//! Keys made for one run, and tokens signed with them.

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::KeySet;

/// A key pair, by the algorithm it signs with.
pub(crate) enum Signer {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding, &'static str),
    Ec(EcdsaKeyPair, &'static str, &'static str),
    Ed(Ed25519KeyPair),
}

/// Made once: RSA keys are slow to make.
pub(crate) static RS256: LazyLock<Signer> = LazyLock::new(|| {
    Signer::Rsa(
        RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
        &RSA_PKCS1_SHA256,
        "RS256",
    )
});

pub(crate) fn es256() -> Signer {
    Signer::Ec(
        EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        "ES256",
        "P-256",
    )
}

pub(crate) fn es384() -> Signer {
    Signer::Ec(
        EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        "ES384",
        "P-384",
    )
}

pub(crate) fn eddsa() -> Signer {
    Signer::Ed(Ed25519KeyPair::generate().unwrap())
}

/// An RSA pair of this size, signing RS256.
pub(crate) fn rsa(size: KeySize) -> Signer {
    Signer::Rsa(RsaKeyPair::generate(size).unwrap(), &RSA_PKCS1_SHA256, "RS256")
}

impl Signer {
    /// The same RSA key with another signature scheme.
    pub(crate) fn with(&self, algorithm: &'static str) -> Self {
        let Self::Rsa(pair, ..) = self else {
            panic!("not an RSA key")
        };
        let encoding: &'static dyn RsaEncoding = match algorithm {
            "RS256" => &RSA_PKCS1_SHA256,
            "RS512" => &RSA_PKCS1_SHA512,
            "PS256" => &RSA_PSS_SHA256,
            _ => panic!("no such algorithm here"),
        };
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self::Rsa(RsaKeyPair::from_pkcs8(der.as_ref()).unwrap(), encoding, algorithm)
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_, _, name) | Self::Ec(_, name, _) => name,
            Self::Ed(_) => "EdDSA",
        }
    }

    /// The public key as a JWK with this `kid`.
    pub(crate) fn jwk(&self, key_id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Rsa(pair, ..) => {
                // RSAPublicKey in DER: two headers of four bytes, a zero, the modulus, then 02 03 01 00 01.
                let public: &[u8] = pair.public_key().as_ref();
                let (modulus, exponent) = public[9..].split_at(pair.public_modulus_len());
                json!({"kty": "RSA", "kid": key_id, "n": text(modulus), "e": text(&exponent[2..])})
            }
            Self::Ec(pair, _, curve) => {
                let public = pair.public_key();
                let raw: &[u8] = public.as_ref();
                let (x, y) = raw[1..].split_at((raw.len() - 1) / 2);
                json!({"kty": "EC", "crv": curve, "kid": key_id, "x": text(x), "y": text(y)})
            }
            Self::Ed(pair) => {
                let x = text(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": key_id, "x": x})
            }
        }
    }

    /// Signs any two texts as header and payload.
    pub(crate) fn sign_raw(&self, header: &[u8], payload: &[u8]) -> String {
        let input = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.signature(input.as_bytes());
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(pair, encoding, _) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(*encoding, &SystemRandom::new(), message, &mut signature)
                    .unwrap();
                signature
            }
            Self::Ec(pair, ..) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// Signs claims under a header of `alg`, `kid: key` and what `more` adds or replaces.
    pub(crate) fn sign(&self, more: &Value, claims: &Value) -> String {
        let mut header = json!({"alg": self.algorithm(), "kid": "key"});
        merge(&mut header, more);
        self.sign_raw(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }
}

/// A set of these JWKs.
pub(crate) fn key_set(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

/// Adds members to an object; null removes one.
pub(crate) fn merge(object: &mut Value, more: &Value) {
    let members = object.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}
