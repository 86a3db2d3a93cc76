//! The signature algorithms we verify (RFC 7518 section 3, RFC 8037, RFC 9864) and sets of them.
//!
//! There is no `none` and no HMAC here: a key set that a server publishes verifies, it does not share secrets.

use std::fmt;

/// A signature algorithm.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519; the names `EdDSA` and `Ed25519` mean the same here.
    EdDsa,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

impl Algorithm {
    /// Every algorithm, by name.
    pub const ALL: [Self; 10] = [
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// The algorithm that `alg` names, byte for byte.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The name in `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }

    const fn bit(self) -> u16 {
        match self {
            Self::Es256 => 1,
            Self::Es384 => 1 << 1,
            Self::Es512 => 1 << 2,
            Self::EdDsa => 1 << 3,
            Self::Ps256 => 1 << 4,
            Self::Ps384 => 1 << 5,
            Self::Ps512 => 1 << 6,
            Self::Rs256 => 1 << 7,
            Self::Rs384 => 1 << 8,
            Self::Rs512 => 1 << 9,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of algorithms; empty allows nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// What is allowed when the configuration does not say: RS256, PS256, ES256, `EdDSA`.
    pub const DEFAULT: Self =
        Self(Algorithm::Rs256.bit() | Algorithm::Ps256.bit() | Algorithm::Es256.bit() | Algorithm::EdDsa.bit());

    /// Whether `algorithm` is in the set.
    #[must_use]
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }
}

impl Default for AlgorithmSet {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        Self(algorithms.into_iter().fold(0, |bits, algorithm| bits | algorithm.bit()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_byte_for_byte() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        }
        for name in [
            "none", "None", "NONE", "nOnE", "HS256", "rs256", "RS256 ", "", "ES256K", "eddsa",
        ] {
            assert_eq!(Algorithm::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: AlgorithmSet = [Algorithm::Es384, Algorithm::Rs512].into_iter().collect();
        let held: Vec<_> = Algorithm::ALL.into_iter().filter(|a| set.contains(*a)).collect();
        assert_eq!(held, [Algorithm::Es384, Algorithm::Rs512]);
        let default: Vec<_> = Algorithm::ALL
            .into_iter()
            .filter(|a| AlgorithmSet::DEFAULT.contains(*a))
            .collect();
        assert_eq!(
            default,
            [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Ps256, Algorithm::Rs256]
        );
    }
}
