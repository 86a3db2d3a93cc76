//! The JOSE header of a token (RFC 7515 section 4) and what we refuse in it.
//!
//! `jku`, `jwk`, `x5u` and `x5c` are not read at all: a token does not choose its key (CVE-2018-0114). `crit` and `b64`
//! ask for rules we do not have, `zip` for a decompression bomb, `cty` for a token in a token.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::claims::TokenType;
use super::error::{Part, TokenError};
use super::json;

/// Most bytes of a `kid`. It is only ever compared with the `kid` of keys we hold.
const KEY_ID_BYTES_MAX: usize = 256;

/// What we take from a header.
#[derive(Debug)]
pub(super) struct Header {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    kind: Kind,
}

/// What `typ` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Nothing, or just `JWT`.
    Unsaid,
    /// `at+jwt`, RFC 9068.
    AccessToken,
}

impl Header {
    pub(super) fn parse(text: &[u8]) -> Result<Self, TokenError> {
        let members = json::parse_object(text).map_err(|fault| TokenError::NotJson(Part::Header, fault))?;
        if members.contains_key("crit") || members.contains_key("b64") {
            return Err(TokenError::CriticalExtension);
        }
        if members.contains_key("zip") {
            return Err(TokenError::Compressed);
        }
        if members.contains_key("enc") {
            return Err(TokenError::Encrypted);
        }
        if members.contains_key("cty") {
            return Err(TokenError::Nested);
        }
        let algorithm = string(&members, "alg")?.ok_or(TokenError::HeaderMalformed("alg"))?;
        let key_id = string(&members, "kid")?;
        if key_id.is_some_and(|key_id| key_id.len() > KEY_ID_BYTES_MAX) {
            return Err(TokenError::HeaderMalformed("kid"));
        }
        Ok(Self {
            algorithm: Algorithm::from_name(algorithm).ok_or(TokenError::AlgorithmNotAllowed)?,
            key_id: key_id.map(str::to_owned),
            kind: Kind::parse(string(&members, "typ")?)?,
        })
    }

    /// Whether this kind of token may be used where `wanted` is.
    pub(super) fn check_type(&self, wanted: TokenType) -> Result<(), TokenError> {
        match wanted {
            TokenType::AccessTokenRfc9068 if self.kind != Kind::AccessToken => Err(TokenError::WrongType),
            TokenType::AccessToken | TokenType::AccessTokenRfc9068 | TokenType::Any => Ok(()),
        }
    }
}

impl Kind {
    /// A media type whose `application/` may be left out; letter case does not count (RFC 7515 section 4.1.9). Any
    /// other than these is another kind of token: `logout+jwt`, `dpop+jwt`, `secevent+jwt`, the next one.
    fn parse(typ: Option<&str>) -> Result<Self, TokenError> {
        let Some(typ) = typ else { return Ok(Self::Unsaid) };
        let typ = typ.to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => Ok(Self::Unsaid),
            "at+jwt" => Ok(Self::AccessToken),
            _ => Err(TokenError::WrongType),
        }
    }
}

fn string<'m>(members: &'m Map<String, Value>, name: &'static str) -> Result<Option<&'m str>, TokenError> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    value.as_str().map(Some).ok_or(TokenError::HeaderMalformed(name))
}
