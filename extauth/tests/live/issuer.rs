//! An issuer of tokens: keys of its own, and a server for its key set that can fail and counts how often it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use server::clock::unix_now;
use server::listen::{Address, Listener, Protocol, Server};
use server::shutdown::{Shutdown, Timing};
use tokio::sync::watch;

pub(crate) const ISSUER: &str = "https://issuer.example";
pub(crate) const AUDIENCE: &str = "api";

/// A signing key.
pub(crate) struct Key {
    pub(crate) id: String,
    pair: EcdsaKeyPair,
}

impl Key {
    pub(crate) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        }
    }

    pub(crate) fn jwk(&self) -> Value {
        let public: &[u8] = self.pair.public_key().as_ref();
        let (x, y) = public[1..].split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": text(x), "y": text(y)})
    }

    /// A token of these claims, with `iss`, `aud` and times added where they are not given; null takes one away.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let now = unix_now().as_secs();
        let mut all = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.sign(&json!({"alg": "ES256", "kid": self.id}), &all)
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", text(header), text(claims));
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Keys(Value),
    Status(StatusCode),
    Text(Vec<u8>),
    Redirect(String),
}

#[derive(Clone)]
struct Shared {
    answer: Arc<watch::Sender<Answer>>,
    asked: Arc<AtomicUsize>,
    unchanged: Arc<AtomicUsize>,
}

/// The server of a key set. It ends with the test's runtime.
pub(crate) struct Issuer {
    pub(crate) address: String,
    shared: Shared,
}

impl Issuer {
    pub(crate) async fn start(answer: Answer) -> Self {
        let shared = Shared {
            answer: Arc::new(watch::Sender::new(answer)),
            asked: Arc::default(),
            unchanged: Arc::default(),
        };
        let routes = Router::new().route("/jwks.json", get(serve)).with_state(shared.clone());
        let listener = Listener::bind(&Address::tcp("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_address().unwrap().to_string();
        let never = Shutdown::new(Timing::default());
        tokio::spawn(Server::new(listener, Protocol::Http).serve(routes, never));
        Self { address, shared }
    }

    pub(crate) async fn of(keys: &[&Key]) -> Self {
        Self::start(Self::set(keys)).await
    }

    pub(crate) fn set(keys: &[&Key]) -> Answer {
        let keys: Vec<_> = keys.iter().map(|key| key.jwk()).collect();
        Answer::Keys(json!({ "keys": keys }))
    }

    pub(crate) fn answers(&self, answer: Answer) {
        self.shared.answer.send_replace(answer);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/jwks.json", self.address)
    }

    /// How often the set was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// How often the answer was that nothing has changed.
    pub(crate) fn unchanged(&self) -> usize {
        self.shared.unchanged.load(Ordering::SeqCst)
    }
}

async fn serve(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let answer = shared.answer.borrow().clone();
    match answer {
        Answer::Keys(set) => {
            let body = set.to_string();
            let etag = format!(
                "\"{:x}\"",
                body.bytes()
                    .fold(0_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte))
            );
            if headers
                .get(header::IF_NONE_MATCH)
                .is_some_and(|sent| sent.as_bytes() == etag.as_bytes())
            {
                shared.unchanged.fetch_add(1, Ordering::SeqCst);
                return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
            }
            (
                [(header::ETAG, etag), (header::CACHE_CONTROL, "max-age=3600".to_owned())],
                body,
            )
                .into_response()
        }
        Answer::Status(status) => status.into_response(),
        Answer::Text(text) => text.into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
    }
}
