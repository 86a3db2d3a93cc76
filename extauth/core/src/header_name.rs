//! Names of the headers that we may write upstream: tokens of RFC 9110, lower case, and never one that frames the
//! message or that the gateway owns.

use std::fmt;

/// Names that frame the message, choose its way, or belong to one hop (RFC 9110 section 7.6.1, RFC 9112).
const PROTOCOL_NAMES: [&str; 17] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];
/// Beginnings of names that the gateway writes and trusts, or that gRPC keeps for itself.
const GATEWAY_PREFIXES: [&str; 3] = ["x-envoy-", "x-forwarded-", "grpc-"];
/// Longest name.
const NAME_BYTES_MAX: usize = 128;

/// Why a name cannot be a header that we write.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeaderNameError {
    /// Empty, or a character that RFC 9110 section 5.6.2 does not have in tokens.
    #[error("not a header name")]
    NotAToken,
    /// Longer than 128 bytes.
    #[error("longer than 128 bytes")]
    TooLong,
    /// It belongs to the protocol or to the gateway.
    #[error("a header that belongs to the protocol or to the gateway")]
    Reserved,
}

/// A header that we may write, lower case.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HeaderName(String);

impl HeaderName {
    /// Checks a name; upper case becomes lower case.
    ///
    /// # Errors
    /// See [`HeaderNameError`].
    pub fn new(name: &str) -> Result<Self, HeaderNameError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(HeaderNameError::TooLong);
        }
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(HeaderNameError::NotAToken);
        }
        let name = name.to_ascii_lowercase();
        // An upstream may read `x_envoy_...` as the same name, so that spelling is no way around.
        let dashed = name.replace('_', "-");
        let is_gateways = GATEWAY_PREFIXES.iter().any(|prefix| dashed.starts_with(prefix));
        if is_gateways || PROTOCOL_NAMES.contains(&dashed.as_str()) {
            return Err(HeaderNameError::Reserved);
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The spelling with every `-` as `_`, which CGI-like upstreams cannot tell from the name itself.
    #[must_use]
    pub fn underscored(&self) -> String {
        self.0.replace('-', "_")
    }

    /// Whether an upstream may take `other`, a lower-case name, for this one. Asked for each header of each request, so
    /// it allocates nothing.
    #[must_use]
    pub fn is_spelling(&self, other: &str) -> bool {
        let same = |(own, other): (u8, u8)| dash(own) == dash(other);
        self.0.len() == other.len() && self.0.bytes().zip(other.bytes()).all(same)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const fn dash(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_tokens_in_lower_case() {
        for (name, expected) in [("X-Tenant-Id", "x-tenant-id"), ("x_user", "x_user"), ("a.b~c", "a.b~c")] {
            assert_eq!(HeaderName::new(name).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn refuses_what_is_not_ours_to_write() {
        use HeaderNameError::{NotAToken, Reserved, TooLong};
        let long = "x".repeat(129);
        let rows = [
            ("", NotAToken),
            ("x tenant", NotAToken),
            ("x-tenant:", NotAToken),
            (":path", NotAToken),
            ("x\r\nevil", NotAToken),
            ("x\0", NotAToken),
            ("größe", NotAToken),
            (long.as_str(), TooLong),
            ("Host", Reserved),
            ("content-length", Reserved),
            ("Transfer_Encoding", Reserved),
            ("x-envoy-original-path", Reserved),
            ("X_Envoy_Internal", Reserved),
            ("x-forwarded-for", Reserved),
            ("x-request-id", Reserved),
            ("grpc-timeout", Reserved),
        ];
        for (name, error) in rows {
            assert_eq!(HeaderName::new(name), Err(error), "{name:?}");
        }
    }

    #[test]
    fn knows_its_spellings() {
        let name = HeaderName::new("x-tenant-id").unwrap();
        assert_eq!(name.underscored(), "x_tenant_id");
        for (other, same) in [
            ("x_tenant_id", true),
            ("x-tenant_id", true),
            ("x-tenant-id", true),
            ("xtenantid", false),
        ] {
            assert_eq!(name.is_spelling(other), same, "{other}");
        }
    }
}
