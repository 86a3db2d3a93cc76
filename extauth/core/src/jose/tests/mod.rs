//! Numbers are those of our list of JWT rules: each test holds one rule, with the tokens that break it.

mod claims;
mod form;
mod keys;
mod laws;

use std::time::Duration;

use aws_lc_rs::rsa::KeySize;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{RS256, Signer, eddsa, es256, es384, key_set, merge, rsa};
use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_000);
const ISSUER: &str = "https://issuer.example";

fn rules() -> TokenRules {
    TokenRules {
        algorithms: AlgorithmSet::DEFAULT,
        claims: ClaimRules {
            issuer: Some(ISSUER.to_owned()),
            audience: Audience::OneOf(vec!["api".to_owned(), "web".to_owned()]),
            ..ClaimRules::default()
        },
    }
}

/// Claims that hold, with changes; null takes one away.
fn claims(more: &Value) -> Value {
    let now = NOW.as_secs();
    let mut claims = json!({"iss": ISSUER, "aud": "api", "sub": "alice", "exp": now + 300, "iat": now, "nbf": now});
    merge(&mut claims, more);
    claims
}

fn good(signer: &Signer) -> String {
    signer.sign(&json!({}), &claims(&json!({})))
}

fn keys(signer: &Signer) -> KeySet {
    key_set(&[signer.jwk("key")])
}

#[track_caller]
fn check(name: &str, token: &str, keys: &KeySet, expected: Result<(), TokenError>) {
    check_with(name, token, &rules(), keys, expected);
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "rows read better")]
fn check_with(name: &str, token: &str, rules: &TokenRules, keys: &KeySet, expected: Result<(), TokenError>) {
    assert_eq!(verify(token, rules, keys, NOW).map(|_token| ()), expected, "{name}");
}

/// One key and its set, and what headers and claims made with it come to.
struct Bench {
    signer: Signer,
    keys: KeySet,
}

impl Bench {
    fn new() -> Self {
        let signer = es256();
        let keys = keys(&signer);
        Self { signer, keys }
    }

    #[track_caller]
    fn header(&self, more: &Value, expected: Result<(), TokenError>) {
        let token = self.signer.sign(more, &claims(&json!({})));
        check(&more.to_string(), &token, &self.keys, expected);
    }

    #[track_caller]
    fn claims(&self, more: &Value, expected: Result<(), TokenError>) {
        self.claims_with(more, &rules(), expected);
    }

    #[track_caller]
    fn claims_with(&self, more: &Value, rules: &TokenRules, expected: Result<(), TokenError>) {
        let token = self.signer.sign(&json!({}), &claims(more));
        check_with(&more.to_string(), &token, rules, &self.keys, expected);
    }
}
