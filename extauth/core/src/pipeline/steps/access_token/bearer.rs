//! The bearer token of a request (RFC 6750 section 2.1): from `Authorization` only. Tokens in a query or a cookie would
//! be further sources beside this one.

use crate::request::Headers;

/// What a request carries as a bearer token. Absent and malformed differ: only absent may mean "not this kind".
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Bearer<'r> {
    /// No `Authorization`, or of another scheme.
    Absent,
    /// The scheme is right, the rest is not a token.
    Malformed,
    /// Two or more, as lines or joined by a comma.
    Repeated,
    /// One token, unverified.
    Token(&'r str),
}

impl<'r> Bearer<'r> {
    pub(super) fn read(headers: &'r Headers) -> Self {
        match headers.single("authorization") {
            Err(_repeated) => Self::Repeated,
            Ok(None) => Self::Absent,
            Ok(Some(value)) => Self::parse(value),
        }
    }

    /// `Bearer` in any case (RFC 9110 section 11.1), spaces, then a token68.
    fn parse(value: &'r [u8]) -> Self {
        let Ok(value) = std::str::from_utf8(value) else {
            return Self::Malformed;
        };
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        // Envoy joins repeated lines with a comma. No scheme name has one, and `Basic` and `Bearer` take none.
        if value.contains(',') && (has_scheme_twice(value) || scheme.eq_ignore_ascii_case("bearer")) {
            return Self::Repeated;
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Self::Absent;
        }
        let token = rest.trim_start_matches(' ');
        if token.is_empty() || !token.bytes().all(is_token68_byte) {
            return Self::Malformed;
        }
        Self::Token(token)
    }
}

/// Whether a later part, after a comma, begins with the scheme `Bearer`.
fn has_scheme_twice(value: &str) -> bool {
    value.split(',').skip(1).any(|part| {
        let word = part.trim_start().split(' ').next().unwrap_or_default();
        word.eq_ignore_ascii_case("bearer")
    })
}

/// RFC 9110 section 11.2.
const fn is_token68_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_token() {
        let rows = [
            ("Bearer abc.def.ghi", Bearer::Token("abc.def.ghi")),
            ("bearer abc", Bearer::Token("abc")),
            ("BEARER   abc", Bearer::Token("abc")),
            ("Basic dXNlcjpwdw==", Bearer::Absent),
            ("Digest a=\"b\", c=\"d\"", Bearer::Absent),
            ("Bearerabc", Bearer::Absent),
            ("", Bearer::Absent),
            ("Bearer", Bearer::Malformed),
            ("Bearer ", Bearer::Malformed),
            ("Bearer a b", Bearer::Malformed),
            ("Bearer\tabc", Bearer::Absent),
            ("Bearer abc\t", Bearer::Malformed),
            ("Bearer a\u{e9}", Bearer::Malformed),
            ("Bearer a\"", Bearer::Malformed),
            ("Bearer a,Bearer b", Bearer::Repeated),
            ("Bearer a,b", Bearer::Repeated),
            ("Basic x,Bearer b", Bearer::Repeated),
            ("Bearer a, Basic x", Bearer::Repeated),
        ];
        for (value, expected) in rows {
            let headers: Headers = [("authorization", value)].into_iter().collect();
            assert_eq!(Bearer::read(&headers), expected, "{value:?}");
        }
        assert_eq!(Bearer::parse(b"Bearer \xff"), Bearer::Malformed);
    }

    #[test]
    fn two_lines_are_repeated_whatever_they_say() {
        let headers: Headers = [("authorization", "Bearer a"), ("authorization", "Bearer a")]
            .into_iter()
            .collect();
        assert_eq!(Bearer::read(&headers), Bearer::Repeated);
        assert_eq!(Bearer::read(&Headers::default()), Bearer::Absent);
    }
}
