//! One public key of a key set (RFC 7517, RFC 7518 section 6, RFC 8037) and the signatures it can verify.
//!
//! A key is parsed once, when its set is loaded, for each algorithm it may be used with; a request only looks one up.
//! That list is the key's own: a token cannot make an RSA key verify ECDSA, nor an ES256 key anything else.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents, VerificationAlgorithm,
};
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, AlgorithmSet};
use super::base64url;
use super::error::TokenError;

/// Fewest bits of an RSA modulus (NIST SP 800-131A).
const RSA_BITS_MIN: usize = 2048;
/// Most bits of an RSA modulus: verification time grows with its square.
const RSA_BITS_MAX: usize = 8192;
/// Greatest RSA public exponent, as in FIPS 186-5 with room to spare: larger ones only cost time.
const RSA_EXPONENT_MAX: u64 = 1 << 33;
/// Members that only a private key has (RFC 7518 sections 6.2.2 and 6.3.2).
const PRIVATE_MEMBERS: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// Why a key of a set is not used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// `alg` is not one that this kind of key can have.
    #[error("'alg' does not fit the key or is unknown")]
    AlgorithmMismatch,
    /// A member is missing or has the wrong form.
    #[error("member '{0}' is missing or has the wrong form")]
    Malformed(&'static str),
    /// Not an object.
    #[error("is not an object")]
    NotAnObject,
    /// The values do not make a key: not on the curve, for example.
    #[error("the values do not make a valid key")]
    NotAValidKey,
    /// `use` or `key_ops` say that it is not for verifying.
    #[error("is not for verifying signatures")]
    NotForVerifying,
    /// It holds private members: whoever reads the set can sign.
    #[error("holds private members")]
    Private,
    /// Smaller than 2048 or larger than 8192 bits, or an odd exponent out of 3 to 2^33.
    #[error("the RSA modulus or exponent is out of bounds")]
    RsaOutOfBounds,
    /// `oct`: a shared secret has no place in a published set.
    #[error("is symmetric")]
    Symmetric,
    /// A kind or curve that we do not have.
    #[error("is of a kind or curve we do not have")]
    Unsupported,
}

/// A public key ready to verify.
#[derive(Debug)]
pub(super) struct Key {
    pub key_id: Option<String>,
    /// One for each algorithm that the key may be used with; never empty.
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl Key {
    pub(super) fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let members = jwk.as_object().ok_or(KeyError::NotAnObject)?;
        let kind = string(members, "kty")?.ok_or(KeyError::Malformed("kty"))?;
        if kind == "oct" {
            return Err(KeyError::Symmetric);
        }
        if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
            return Err(KeyError::Private);
        }
        check_use(members)?;
        let only = string(members, "alg")?
            .map(|name| Algorithm::from_name(name).ok_or(KeyError::AlgorithmMismatch))
            .transpose()?;
        let verifiers = match kind {
            "RSA" => rsa(members, only)?,
            "EC" => vec![elliptic(members)?],
            "OKP" => vec![edwards(members)?],
            _ => return Err(KeyError::Unsupported),
        };
        if only.is_some_and(|only| verifiers.iter().all(|(algorithm, _)| *algorithm != only)) {
            return Err(KeyError::AlgorithmMismatch);
        }
        Ok(Self {
            key_id: string(members, "kid")?.map(str::to_owned),
            verifiers,
        })
    }

    /// Whether the key may be used with `algorithm`.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(own, _)| *own == algorithm)
    }

    /// Whether the key may be used with any of `algorithms`.
    pub(super) fn fits_any(&self, algorithms: AlgorithmSet) -> bool {
        self.verifiers.iter().any(|(own, _)| algorithms.contains(*own))
    }

    /// Whether both are the same key for the same uses.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let uses = |key: &Self| -> Vec<(Algorithm, Box<[u8]>)> {
            key.verifiers
                .iter()
                .map(|(algorithm, parsed)| (*algorithm, parsed.as_ref().into()))
                .collect()
        };
        self.key_id == other.key_id && uses(self) == uses(other)
    }

    /// Verifies a signature.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let verifier = self.verifiers.iter().find(|(own, _)| *own == algorithm);
        let (_, parsed) = verifier.ok_or(TokenError::KeyDoesNotFit)?;
        parsed
            .verify_sig(message, signature)
            .map_err(|_unspecified| TokenError::BadSignature)
    }
}

/// `use` is absent or `sig`; `key_ops` is absent or has `verify`.
fn check_use(members: &Map<String, Value>) -> Result<(), KeyError> {
    if string(members, "use")?.is_some_and(|usage| usage != "sig") {
        return Err(KeyError::NotForVerifying);
    }
    let Some(operations) = members.get("key_ops") else {
        return Ok(());
    };
    let operations = operations.as_array().ok_or(KeyError::Malformed("key_ops"))?;
    if operations.iter().any(|operation| operation.as_str() == Some("verify")) {
        Ok(())
    } else {
        Err(KeyError::NotForVerifying)
    }
}

fn rsa(members: &Map<String, Value>, only: Option<Algorithm>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, KeyError> {
    let modulus = number(members, "n")?;
    let exponent = number(members, "e")?;
    let bits = bit_length(&modulus).ok_or(KeyError::RsaOutOfBounds)?;
    let exponent_value = small(&exponent).ok_or(KeyError::RsaOutOfBounds)?;
    let is_odd = exponent_value.checked_rem(2) == Some(1);
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !is_odd || !(3..=RSA_EXPONENT_MAX).contains(&exponent_value) {
        return Err(KeyError::RsaOutOfBounds);
    }
    let components = RsaPublicKeyComponents {
        n: modulus,
        e: exponent,
    };
    let uses: [(Algorithm, &'static RsaParameters); 6] = [
        (Algorithm::Ps256, &RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &RSA_PSS_2048_8192_SHA512),
        (Algorithm::Rs256, &RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &RSA_PKCS1_2048_8192_SHA512),
    ];
    uses.into_iter()
        .filter(|(algorithm, _)| only.is_none_or(|only| only == *algorithm))
        .map(|(algorithm, parameters)| {
            let parsed = components.to_parsed_public_key(parameters);
            Ok((algorithm, parsed.map_err(|_rejected| KeyError::NotAValidKey)?))
        })
        .collect()
}

/// A curve has one algorithm. Coordinates are exactly as long as the field (RFC 7518 section 6.2.1.2).
fn elliptic(members: &Map<String, Value>) -> Result<(Algorithm, ParsedPublicKey), KeyError> {
    let curve = string(members, "crv")?.ok_or(KeyError::Malformed("crv"))?;
    let (algorithm, verification, length): (_, &'static dyn VerificationAlgorithm, _) = match curve {
        "P-256" => (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, 48),
        "P-521" => (Algorithm::Es512, &ECDSA_P521_SHA512_FIXED, 66),
        _ => return Err(KeyError::Unsupported),
    };
    let (x, y) = (bytes(members, "x")?, bytes(members, "y")?);
    if x.len() != length || y.len() != length {
        return Err(KeyError::NotAValidKey);
    }
    let point = [&[0x04], x.as_slice(), y.as_slice()].concat();
    parse(verification, &point).map(|parsed| (algorithm, parsed))
}

fn edwards(members: &Map<String, Value>) -> Result<(Algorithm, ParsedPublicKey), KeyError> {
    if string(members, "crv")? != Some("Ed25519") {
        return Err(KeyError::Unsupported);
    }
    let point = bytes(members, "x")?;
    if point.len() != 32 {
        return Err(KeyError::NotAValidKey);
    }
    parse(&ED25519, &point).map(|parsed| (Algorithm::EdDsa, parsed))
}

fn parse(verification: &'static dyn VerificationAlgorithm, point: &[u8]) -> Result<ParsedPublicKey, KeyError> {
    ParsedPublicKey::new(verification, point).map_err(|_rejected| KeyError::NotAValidKey)
}

fn string<'m>(members: &'m Map<String, Value>, name: &'static str) -> Result<Option<&'m str>, KeyError> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    value.as_str().map(Some).ok_or(KeyError::Malformed(name))
}

fn bytes(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    string(members, name)?
        .and_then(base64url::decode)
        .ok_or(KeyError::Malformed(name))
}

/// A big-endian number without leading zeros; some servers write one, which RFC 7518 section 6.3.1.1 warns of.
fn number(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, KeyError> {
    let bytes = bytes(members, name)?;
    Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}

fn bit_length(number: &[u8]) -> Option<usize> {
    let leading = usize::try_from(number.first()?.leading_zeros()).ok()?;
    number.len().checked_mul(8)?.checked_sub(leading)
}

/// The value of a number of at most eight bytes.
fn small(number: &[u8]) -> Option<u64> {
    let mut bytes = [0; 8];
    let start = bytes.len().checked_sub(number.len())?;
    bytes.get_mut(start..)?.copy_from_slice(number);
    Some(u64::from_be_bytes(bytes))
}
