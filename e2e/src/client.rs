//! A client of Envoy's listener: sends a request, reads the answer, and what the upstream said it saw.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::upstream::Seen;

/// How long any answer may take. Every call that goes through Envoy is bounded far below this.
const ANSWER: Duration = Duration::from_secs(5);

/// An HTTP client for loopback: no proxy, a bound on every call.
///
/// # Errors
///
/// None can be made.
pub fn plain_http() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?)
}

/// Sends requests to one Envoy.
#[derive(Clone, Debug)]
pub struct Client {
    envoy: SocketAddr,
    http: reqwest::Client,
}

/// One request.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The path with its query, as it goes on the wire.
    pub path: String,
    /// The bearer token, if any.
    pub token: Option<String>,
    /// Further headers, in order; a name may come more than once.
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// A request without a token.
    #[must_use]
    pub fn to(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            ..Self::default()
        }
    }

    /// With a bearer token.
    #[must_use]
    pub fn bearing(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// With a further header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as text.
    pub body: String,
}

impl Answer {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What the upstream saw, if it was reached.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        serde_json::from_str(&self.body).ok()
    }
}

impl Client {
    /// A client of the Envoy that listens at `envoy`.
    ///
    /// # Errors
    ///
    /// No HTTP client can be made.
    pub fn new(envoy: SocketAddr) -> Result<Self> {
        Ok(Self {
            envoy,
            http: plain_http()?,
        })
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// Envoy does not answer; a status of any kind is an answer.
    pub async fn send(&self, request: &Request) -> Result<Answer> {
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        let mut call = self
            .http
            .get(format!("http://{}{}", self.envoy, request.path))
            .headers(headers);
        if let Some(token) = &request.token {
            call = call.bearer_auth(token);
        }
        let answer = call.send().await?;
        Ok(Answer {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            body: answer.text().await?,
        })
    }
}
