//! One fetch of a key set over HTTP: bounded in time and size, conditional, never led to another host.
//!
//! Which URLs may be fetched was decided when the configuration was read; a redirect must not change that.

use std::time::Duration;

use extauth_core::KeySource;
use extauth_core::jose::{KeySet, KeySetError};
use http::{HeaderMap, StatusCode, header};
use reqwest::redirect::{Attempt, Policy};

/// Most bytes of a key set.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Most redirects, all on the same host.
const REDIRECTS_MAX: usize = 3;
/// Longest validator that we send back.
const ETAG_BYTES_MAX: usize = 1_024;

/// Why there is no new key set. The issuer's operator must act, or the network's.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer: refused, timed out, bad certificate, a redirect to another host.
    #[error("no answer: {}", chain(.0))]
    NoAnswer(#[source] reqwest::Error),
    /// An answer that is not a key set's.
    #[error("status {0}")]
    Status(StatusCode),
    /// Larger than a mebibyte.
    #[error("larger than 1 MiB")]
    TooLarge,
    /// Not a key set.
    #[error(transparent)]
    NotAKeySet(#[from] KeySetError),
}

impl FetchError {
    /// A word for metrics, from a closed list.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::NoAnswer(_) => "no_answer",
            Self::Status(_) => "status",
            Self::TooLarge => "too_large",
            Self::NotAKeySet(_) => "not_a_key_set",
        }
    }
}

/// What a fetch brought.
pub(super) struct Fetched {
    /// The set, unless it is the one we have.
    pub(super) set: Option<KeySet>,
    /// The validator for the next fetch.
    pub(super) etag: Option<Vec<u8>>,
    /// How long the server calls the answer fresh.
    pub(super) max_age: Option<Duration>,
}

/// The client for all fetches.
pub(super) fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .timeout(timeout)
        .redirect(Policy::custom(same_host))
        .user_agent(concat!("sallyport-extauth/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn same_host(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let origin = attempt.previous().first().map(reqwest::Url::origin);
    if origin != Some(attempt.url().origin()) {
        return attempt.error("redirected to another host");
    }
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error("redirected too often");
    }
    attempt.follow()
}

/// Fetches the set of `source`, unless it still is the one that `etag` names.
pub(super) async fn fetch(
    client: &reqwest::Client,
    source: &KeySource,
    etag: Option<&[u8]>,
) -> Result<Fetched, FetchError> {
    let mut request = client.get(source.as_str()).header(header::ACCEPT, "application/json");
    if let Some(etag) = etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let mut response = request.send().await.map_err(FetchError::NoAnswer)?;
    let max_age = max_age(response.headers());
    let fresh = response.headers().get(header::ETAG).map(|tag| tag.as_bytes().to_vec());
    if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
        return Ok(Fetched {
            set: None,
            etag: etag.map(<[u8]>::to_vec),
            max_age,
        });
    }
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let set = KeySet::parse(&body(&mut response).await?)?;
    Ok(Fetched {
        set: Some(set),
        etag: fresh.filter(|tag| tag.len() <= ETAG_BYTES_MAX),
        max_age,
    })
}

async fn body(response: &mut reqwest::Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(FetchError::NoAnswer)? {
        if body.len().saturating_add(chunk.len()) > BODY_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `Cache-Control` (RFC 9111 section 5.2.2): `max-age`, or no time at all for `no-store` and `no-cache`.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let text: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    let text = text.join(",").to_ascii_lowercase();
    let mut directives = text.split(',').map(str::trim);
    if directives
        .clone()
        .any(|directive| matches!(directive, "no-store" | "no-cache"))
    {
        return Some(Duration::ZERO);
    }
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

/// An error with its causes: reqwest keeps what happened in the last of them.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_long_an_answer_is_fresh() {
        let rows = [
            ("max-age=300", Some(300)),
            ("public, max-age=300, must-revalidate", Some(300)),
            ("Max-Age=\"60\"", Some(60)),
            ("no-store", Some(0)),
            ("max-age=300, no-cache", Some(0)),
            ("max-age=soon", None),
            ("max-age=-1", None),
            ("private", None),
        ];
        for (value, expected) in rows {
            let headers = [(header::CACHE_CONTROL, value.parse().unwrap())].into_iter().collect();
            assert_eq!(max_age(&headers), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
