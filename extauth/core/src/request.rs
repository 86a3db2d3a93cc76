//! The request that a gateway asks about, as we read it: names lower case, values as bytes, repetitions visible.
//!
//! Nothing here trusts a header. What the gateway itself says (context extensions) is kept apart from what the client
//! sent.

use std::collections::HashMap;

/// A request to decide on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CheckRequest {
    /// The method, as sent.
    pub method: String,
    /// The authority, case and port as sent.
    pub host: String,
    /// The request target: path and query, undecoded.
    pub path: String,
    /// What the client sent.
    pub headers: Headers,
    /// What the gateway's configuration says about the route.
    pub context_extensions: HashMap<String, String>,
}

/// A header that may stand once stands several times.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RepeatedHeader;

/// Headers in the order sent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Headers {
    entries: Vec<(String, Vec<u8>)>,
}

impl Headers {
    /// Adds one header line.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        let mut name = name.into();
        name.make_ascii_lowercase();
        self.entries.push((name, value.into()));
    }

    /// The value of a header that may stand only once. A gateway that joins repetitions with a comma hides them from
    /// this; whoever reads the value must refuse a comma.
    ///
    /// # Errors
    /// When it stands more than once, whatever the values are: the upstream may read another one than we do.
    pub fn single(&self, name: &str) -> Result<Option<&[u8]>, RepeatedHeader> {
        let mut values = self
            .entries
            .iter()
            .filter(|(own, _)| own == name)
            .map(|(_, value)| value.as_slice());
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            (_, Some(_)) => Err(RepeatedHeader),
        }
    }

    /// The names, lower case, in order, repetitions included.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Headers {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(lines: I) -> Self {
        let mut headers = Self::default();
        for (name, value) in lines {
            headers.push(name, value);
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_header_has_no_single_value() {
        let headers: Headers = [("Authorization", "a"), ("x", "1"), ("authorization", "a")]
            .into_iter()
            .collect();
        assert_eq!(headers.single("x"), Ok(Some(b"1".as_slice())));
        assert_eq!(headers.single("y"), Ok(None));
        assert_eq!(headers.single("authorization"), Err(RepeatedHeader));
    }
}
