//! `WWW-Authenticate` for bearer tokens (RFC 6750 section 3). It says which kind of error, never which rule.

use std::fmt;

/// One word of a scope (RFC 6749 section 3.3), so that it can stand in a quoted string and between spaces.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope(String);

/// A text that is not one word of a scope.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a scope: one word of visible ASCII without quotes or backslashes")]
pub struct ScopeError;

impl Scope {
    /// Checks a word.
    ///
    /// # Errors
    /// When it is not one.
    pub fn new(word: &str) -> Result<Self, ScopeError> {
        let is_scope = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        if word.is_empty() || !word.bytes().all(is_scope) {
            return Err(ScopeError);
        }
        Ok(Self(word.to_owned()))
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// No credentials: "the resource server SHOULD NOT include an error code" (section 3.1).
pub(super) fn missing() -> String {
    "Bearer realm=\"extauth\"".to_owned()
}

pub(super) fn invalid_token() -> String {
    "Bearer realm=\"extauth\", error=\"invalid_token\"".to_owned()
}

pub(super) fn invalid_request() -> String {
    "Bearer realm=\"extauth\", error=\"invalid_request\"".to_owned()
}

pub(super) fn insufficient_scope(required: &[Scope]) -> String {
    let words: Vec<_> = required.iter().map(Scope::as_str).collect();
    format!(
        "Bearer realm=\"extauth\", error=\"insufficient_scope\", scope=\"{}\"",
        words.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_one_word() {
        assert_eq!(
            Scope::new("orders:read").map(|scope| scope.to_string()),
            Ok("orders:read".to_owned())
        );
        for word in ["", "a b", "a\"b", "a\\b", "a\r\nb", "é"] {
            assert_eq!(Scope::new(word), Err(ScopeError), "{word:?}");
        }
    }
}
