//! The JOSE vectors of Project Wycheproof (github.com/C2SP/wycheproof, Apache-2.0, files as they are there).
//!
//! Their payloads are mostly no JSON, so a signature counts as accepted when the claims are all that is wrong. A vector
//! that we judge otherwise is named here with the reason.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;

use extauth_core::jose::{Algorithm, KeySet, Part, SignedClaims, TokenError, TokenRules};
use serde_json::{Value, json};

/// Valid vectors that we refuse, and why; the words are for the reader.
const REFUSED: [(&[u64], &str); 4] = [
    (
        &[1, 348, 352, 357, 358, 359, 373, 376, 377],
        "HMAC: a published key set shares no secrets",
    ),
    (&[346, 350], "the token says PS384, the 'alg' of its key PS256"),
    (&[347, 351], "the key's 'alg' is 'ES521', which no standard has"),
    (&[372], "a character outside of base64url in the header"),
];
/// The same for vectors of keys.
const REFUSED_KEYS: [(&[u64], &str); 1] = [(&[2, 13, 14, 15], "HMAC: a published key set shares no secrets")];
/// Invalid vectors of keys that we accept.
const ACCEPTED_KEYS: [(&[u64], &str); 1] = [(&[7], "keys made by defective hardware (ROCA) are not told from others")];

fn rules() -> TokenRules {
    TokenRules {
        algorithms: Algorithm::ALL.into_iter().collect(),
        ..TokenRules::default()
    }
}

fn verdict(token: &str, keys: &KeySet) -> Result<(), TokenError> {
    match SignedClaims::verify(token, &rules(), keys) {
        Ok(_) | Err(TokenError::NotJson(Part::Payload, _)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The key set of a group; some hold one key, some a set.
fn key_set(public: &Value) -> KeySet {
    let set = if public.get("keys").is_some() {
        public.clone()
    } else {
        json!({ "keys": [public] })
    };
    KeySet::parse(set.to_string().as_bytes()).unwrap_or_default()
}

/// Judges every vector of a file, expecting the opposite of what it says for those in `exceptions`.
fn judge(file: &str, exceptions: &[(&[u64], &str)]) {
    let file: Value = serde_json::from_str(file).unwrap();
    let exceptions: BTreeSet<u64> = exceptions.iter().flat_map(|(ids, _reason)| *ids).copied().collect();
    let mut wrong = Vec::new();
    for group in file["testGroups"].as_array().unwrap() {
        let keys = key_set(group.get("public").unwrap_or(&Value::Null));
        for test in group["tests"].as_array().unwrap() {
            let (id, token) = (test["tcId"].as_u64().unwrap(), test["jws"].as_str().unwrap());
            let is_expected = (test["result"] == "valid") != exceptions.contains(&id);
            let verdict = verdict(token, &keys);
            if verdict.is_ok() != is_expected {
                wrong.push(format!("{id} {} {}: {verdict:?}", group["comment"], test["comment"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn signatures() {
    judge(include_str!("wycheproof/json_web_signature_test.json"), &REFUSED);
}

#[test]
fn keys() {
    let exceptions = [REFUSED_KEYS, ACCEPTED_KEYS].concat();
    judge(include_str!("wycheproof/json_web_key_test.json"), &exceptions);
}
