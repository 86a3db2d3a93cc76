//! The compact serialization (RFC 7515 section 7.1): exactly three parts, under a size cap, before any other work.
//!
//! The JSON serializations are not read: no access token uses them, and two forms of one token are a way around checks.

use super::base64url;
use super::error::{Part, TokenError};

/// Most bytes of a token; Envoy's default limit for all headers of a request is 60 KiB.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// A token in its parts; nothing is verified yet.
#[derive(Debug)]
pub(super) struct Compact<'t> {
    /// The header, decoded.
    pub header: Vec<u8>,
    /// The payload, still encoded: nobody reads it before the signature holds.
    pub payload: &'t str,
    /// The signature, decoded.
    pub signature: Vec<u8>,
    /// What the signature is over: header, point, payload, as sent.
    pub signing_input: &'t str,
}

/// Splits a token.
pub(super) fn split(token: &str) -> Result<Compact<'_>, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::TooLong);
    }
    let (signing_input, signature) = token.rsplit_once('.').ok_or(TokenError::NotThreeParts)?;
    let (header, payload) = signing_input.split_once('.').ok_or(TokenError::NotThreeParts)?;
    match payload.bytes().filter(|byte| *byte == b'.').count() {
        0 => {}
        2 => return Err(TokenError::Encrypted),
        _ => return Err(TokenError::NotThreeParts),
    }
    let decode = |text, part| base64url::decode(text).ok_or(TokenError::NotBase64Url(part));
    Ok(Compact {
        header: decode(header, Part::Header)?,
        payload,
        signature: decode(signature, Part::Signature)?,
        signing_input,
    })
}

/// Decodes the payload of a token whose signature holds.
pub(super) fn decode_payload(payload: &str) -> Result<Vec<u8>, TokenError> {
    base64url::decode(payload).ok_or(TokenError::NotBase64Url(Part::Payload))
}
