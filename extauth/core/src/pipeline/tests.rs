//! Whole pipelines on tokens made here: what goes upstream, what is denied with what, and that nothing else happens.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::steps::access_token::{AccessToken, Keys, Scope};
use super::testing::{config, line, step};
use super::*;
use crate::claims_to_headers::{Existing, ValueError};
use crate::decision::{Denial, HeaderMutations, Reason, Status};
use crate::header_name::HeaderName;
use crate::jose::testing::{Signer, es256, key_set};
use crate::jose::{KeySet, TokenError};
use crate::key_ring::KeySource;
use crate::policy::{AuthConfigError, ConfigId, NamedStep, Statuses};
use crate::request::Headers;
use steps::StepConfig;

const NOW: Duration = Duration::from_secs(1_700_000_000);

/// A key, a step that trusts it, and requests with tokens of it.
struct Bench {
    signer: Signer,
    step: AccessToken,
    statuses: Statuses,
}

impl Bench {
    fn new() -> Self {
        let signer = es256();
        let mut step = step(key_set(&[signer.jwk("key")]));
        step.claims_to_headers = vec![
            line("tenant", "x-tenant-id", Existing::Overwrite),
            line("groups", "x-groups", Existing::Append),
        ];
        step.metadata_from_claims = vec![
            ("tenant".to_owned(), "tenant".to_owned()),
            ("n".to_owned(), "n".to_owned()),
        ];
        Self {
            signer,
            step,
            statuses: Statuses::Standard,
        }
    }

    fn bearer(&self, claims: &Value) -> String {
        let mut all = json!({"sub": "alice", "exp": NOW.as_secs() + 60});
        crate::jose::testing::merge(&mut all, claims);
        format!("Bearer {}", self.signer.sign(&json!({}), &all))
    }

    fn decide_headers(&self, headers: Headers) -> Decision {
        let config = config(vec![self.step.clone()], self.statuses);
        decide(&config, headers, &KeyRing::default())
    }

    fn decide(&self, claims: &Value, more: &[(&str, &str)]) -> Decision {
        let bearer = self.bearer(claims);
        self.decide_headers(
            [("authorization", bearer.as_str())]
                .into_iter()
                .chain(more.iter().copied())
                .collect(),
        )
    }

    #[track_caller]
    fn allowed(&self, claims: &Value, more: &[(&str, &str)]) -> HeaderMutations {
        match self.decide(claims, more) {
            Decision::Allow(allow) => allow.mutations().clone(),
            Decision::Deny(denial) => panic!("denied: {denial:?}"),
        }
    }

    #[track_caller]
    fn denied(&self, claims: &Value) -> Denial {
        denial(self.decide(claims, &[]))
    }
}

fn decide(config: &AuthConfig, headers: Headers, keys: &KeyRing) -> Decision {
    let request = CheckRequest {
        headers,
        ..CheckRequest::default()
    };
    match begin(
        config,
        Context {
            request: &request,
            keys,
            now: NOW,
        },
    ) {
        Step::Done(decision) => decision,
        Step::Need(lookup, _) => match lookup {},
    }
}

#[track_caller]
fn denial(decision: Decision) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        Decision::Allow(allow) => panic!("allowed: {allow:?}"),
    }
}

fn set(mutations: &HeaderMutations) -> Vec<(&str, &str)> {
    mutations
        .set
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

#[test]
fn a_good_token_sets_what_it_has_and_removes_the_rest() {
    let mutations = Bench::new().allowed(&json!({"tenant": "acme"}), &[]);
    assert_eq!(set(&mutations), [("x-tenant-id", "acme"), ("x-user-id", "alice")]);
    assert_eq!(mutations.remove, ["x-groups", "x_groups", "x_tenant_id", "x_user_id"]);
}

#[test]
fn what_the_client_sent_is_gone_in_every_spelling() {
    let sent = [
        ("x-tenant-id", "evil"),
        ("X-Tenant-Id", "evil"),
        ("x_tenant_id", "evil"),
        ("x-tenant_id", "evil"),
        ("x-groups", "admin"),
        ("x-other", "stays"),
    ];
    let mutations = Bench::new().allowed(&json!({"tenant": "acme"}), &sent);
    assert_eq!(set(&mutations), [("x-tenant-id", "acme"), ("x-user-id", "alice")]);
    assert_eq!(
        mutations.remove,
        ["x-groups", "x-tenant_id", "x_groups", "x_tenant_id", "x_user_id"]
    );
}

#[test]
fn a_missing_claim_removes_the_clients_header_with_append_too() {
    let bench = Bench::new();
    for claims in [
        json!({}),
        json!({"tenant": null, "groups": []}),
        json!({"tenant": "", "groups": ""}),
    ] {
        let mutations = bench.allowed(&claims, &[("x-tenant-id", "evil"), ("x-groups", "evil")]);
        assert_eq!(set(&mutations), [("x-user-id", "alice")]);
        assert!(mutations.remove.contains(&"x-tenant-id".to_owned()));
        assert!(mutations.remove.contains(&"x-groups".to_owned()));
    }
}

#[test]
fn append_joins_our_own_values_only() {
    let mut bench = Bench::new();
    bench
        .step
        .claims_to_headers
        .push(line("role", "x-groups", Existing::Append));
    let mutations = bench.allowed(&json!({"groups": ["a", "b"], "role": "c"}), &[("x-groups", "evil")]);
    assert_eq!(set(&mutations), [("x-groups", "a,b,c"), ("x-user-id", "alice")]);
}

#[test]
fn no_claim_takes_the_place_of_the_callers_id() {
    let mut bench = Bench::new();
    bench.step.claims_to_headers = vec![line("tenant", "x-user-id", Existing::Overwrite)];
    assert_eq!(
        set(&bench.allowed(&json!({"tenant": "root"}), &[])),
        [("x-user-id", "alice")]
    );
    let mutations = bench.allowed(&json!({"sub": null}), &[("x-user-id", "evil")]);
    assert!(mutations.set.is_empty());
    assert_eq!(mutations.remove, ["x-user-id", "x_user_id"]);
}

#[test]
fn a_claim_that_cannot_be_written_denies() {
    let bench = Bench::new();
    for tenant in ["a\r\nx-evil: 1", "a\0", "a\x7f"] {
        let denial = bench.denied(&json!({ "tenant": tenant }));
        let header = HeaderName::new("x-tenant-id").unwrap();
        assert_eq!(
            denial.reason,
            Reason::HeaderValue {
                header,
                error: ValueError::ControlCharacter
            }
        );
        assert_eq!(
            (denial.public.status, denial.public.challenge),
            (Status::Forbidden, None)
        );
    }
    let denial = bench.denied(&json!({"sub": "a\nb"}));
    assert!(matches!(denial.reason, Reason::HeaderValue { .. }));
}

#[test]
fn many_large_claims_deny_together() {
    let mut bench = Bench::new();
    bench.step.claims_to_headers = (0..5)
        .map(|n| line("big", &format!("x-big-{n}"), Existing::Overwrite))
        .collect();
    assert_eq!(
        bench.denied(&json!({"big": "x".repeat(4_000)})).reason,
        Reason::HeadersTooLarge
    );
}

#[test]
fn no_credential_is_401_without_an_error_code() {
    let denial = denial(Bench::new().decide_headers(Headers::default()));
    assert_eq!(denial.reason, Reason::CredentialMissing);
    assert_eq!(denial.public.status, Status::Unauthorized);
    assert_eq!(denial.public.challenge.as_deref(), Some("Bearer realm=\"extauth\""));
}

#[test]
fn a_bad_credential_is_401_and_says_only_that() {
    let bench = Bench::new();
    let expired = bench.denied(&json!({"exp": 1}));
    assert_eq!(
        expired.reason,
        Reason::Token {
            error: TokenError::Expired,
            keys: None
        }
    );
    let malformed = denial(bench.decide_headers([("authorization", "Bearer ")].into_iter().collect()));
    assert_eq!(malformed.reason, Reason::CredentialMalformed);
    assert_eq!(expired.public, malformed.public);
    assert_eq!(expired.public.status, Status::Unauthorized);
    assert_eq!(
        expired.public.challenge.as_deref(),
        Some("Bearer realm=\"extauth\", error=\"invalid_token\"")
    );
}

#[test]
fn two_credentials_are_400_though_both_are_good() {
    let bench = Bench::new();
    let bearer = bench.bearer(&json!({}));
    let joined = format!("{bearer},{bearer}");
    let rows = [
        vec![("authorization", bearer.as_str()), ("Authorization", bearer.as_str())],
        vec![("authorization", joined.as_str())],
    ];
    for headers in rows {
        let denial = denial(bench.decide_headers(headers.into_iter().collect()));
        assert_eq!(
            (denial.reason, denial.public.status),
            (Reason::CredentialRepeated, Status::BadRequest)
        );
    }
}

#[test]
fn a_missing_scope_is_403_and_names_the_scopes() {
    let mut bench = Bench::new();
    bench.step.required_scopes = ["read", "write"].map(|word| Scope::new(word).unwrap()).to_vec();
    bench.allowed(&json!({"scope": "write read"}), &[]);
    let denial = bench.denied(&json!({"scope": "read"}));
    assert_eq!(
        (denial.reason, denial.public.status),
        (Reason::ScopeMissing, Status::Forbidden)
    );
    let expected = "Bearer realm=\"extauth\", error=\"insufficient_scope\", scope=\"read write\"";
    assert_eq!(denial.public.challenge.as_deref(), Some(expected));
    // The caller did verify, so the gateway may know who it was.
    assert_eq!(
        Value::Object(denial.metadata),
        json!({"userId": "alice", "config_0": {"reason": "scope_missing"}})
    );
}

#[test]
fn the_manifests_own_statuses_are_403_without_a_challenge() {
    let bench = Bench {
        statuses: Statuses::Manifest,
        ..Bench::new()
    };
    let missing = denial(bench.decide_headers(Headers::default()));
    for denial in [missing, bench.denied(&json!({"exp": 1}))] {
        assert_eq!(
            (denial.public.status, denial.public.challenge),
            (Status::Forbidden, None)
        );
    }
}

#[test]
fn metadata_has_the_id_on_top_and_each_steps_data_below_its_name() {
    let decision = Bench::new().decide(&json!({"tenant": "acme", "n": 7}), &[]);
    let expected = json!({"userId": "alice", "config_0": {"tenant": "acme", "n": 7}});
    assert_eq!(Value::Object(decision.metadata().clone()), expected);
}

#[test]
fn nothing_of_a_token_that_does_not_verify_is_told() {
    let bench = Bench::new();
    let denial = bench.denied(&json!({"exp": 1, "tenant": "acme"}));
    assert_eq!(
        Value::Object(denial.metadata.clone()),
        json!({"config_0": {"reason": "expired"}})
    );
    assert!(!format!("{denial:?}").contains("acme"));
}

#[test]
fn every_step_must_pass() {
    let (one, two) = (Bench::new(), Bench::new());
    let bearer = one.bearer(&json!({"tenant": "acme"}));
    let headers: Headers = [("authorization", bearer.as_str())].into_iter().collect();
    let both_trust = config(vec![one.step.clone(), one.step.clone()], Statuses::Standard);
    assert!(matches!(
        decide(&both_trust, headers.clone(), &KeyRing::default()),
        Decision::Allow(_)
    ));
    let second_does_not = config(vec![one.step, two.step], Statuses::Standard);
    let denial = denial(decide(&second_does_not, headers, &KeyRing::default()));
    assert_eq!(
        denial.reason,
        Reason::Token {
            error: TokenError::BadSignature,
            keys: None
        }
    );
    let metadata = json!({"userId": "alice", "config_0": {"tenant": "acme"}, "config_1": {"reason": "bad_signature"}});
    assert_eq!(Value::Object(denial.metadata), metadata);
}

#[test]
fn a_remote_key_set_that_is_not_there_denies_and_an_unknown_key_is_asked_for() {
    let mut bench = Bench::new();
    let source = KeySource::new("https://issuer.example/jwks.json");
    bench.step.keys = Keys::Remote(source.clone());
    let config = config(vec![bench.step.clone()], Statuses::Standard);
    let bearer = bench.bearer(&json!({}));
    let ask = |keys: &KeyRing| {
        decide(
            &config,
            [("authorization", bearer.as_str())].into_iter().collect(),
            keys,
        )
    };

    let unavailable = denial(ask(&KeyRing::default())).reason;
    assert_eq!(unavailable.class(), "key_set_unavailable");
    assert_eq!(unavailable.wanted_key(), None);

    let other = KeyRing::default().with(source.clone(), KeySet::default());
    assert_eq!(denial(ask(&other)).reason.wanted_key(), Some((&source, "key")));

    let ring = other.with(source.clone(), key_set(&[bench.signer.jwk("key")]));
    assert!(matches!(ask(&ring), Decision::Allow(_)));
    assert_eq!(
        denial(ask(&ring.without(&source))).reason.class(),
        "key_set_unavailable"
    );
}

#[test]
fn an_auth_config_has_steps_with_names_of_their_own() {
    let build = |names: &[&str]| {
        let step = |name: &&str| NamedStep {
            name: (*name).to_owned(),
            step: StepConfig::AccessToken(Box::new(step(KeySet::default()))),
        };
        let steps = names.iter().map(step).collect();
        AuthConfig::new(ConfigId::parse("demo.api").unwrap(), steps, Statuses::Standard, None).map(|_config| ())
    };
    assert_eq!(build(&["a", "b"]), Ok(()));
    assert_eq!(build(&[]), Err(AuthConfigError::NoSteps));
    assert_eq!(build(&["a", "a"]), Err(AuthConfigError::RepeatedName("a".to_owned())));
    assert_eq!(build(&["userId"]), Err(AuthConfigError::ReservedName));
}

fn any_claim() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_control_character_leaves_and_no_header_is_left_to_the_client(
        tenant in any_claim(),
        groups in any_claim(),
        names in prop::collection::vec("[Xx][-_][TtgGuU][-_a-zA-Z]{0,12}", 0..6),
    ) {
        let bench = Bench::new();
        let sent: Vec<_> = names.iter().map(|name| (name.as_str(), "evil")).collect();
        let Decision::Allow(allow) = bench.decide(&json!({"tenant": tenant, "groups": groups}), &sent) else {
            return Ok(());
        };
        let HeaderMutations { set, remove } = allow.mutations();
        for (name, value) in set {
            prop_assert!(!value.chars().any(char::is_control) && !value.is_empty());
            prop_assert!(!remove.contains(&name.as_str().to_owned()), "set and removed: {name}");
        }
        for header in ["x-tenant-id", "x-groups", "x-user-id"] {
            let is_set = set.iter().any(|(name, _)| name.as_str() == header);
            prop_assert!(is_set || remove.contains(&header.to_owned()), "left to the client: {header}");
        }
        for (name, _) in sent {
            let name = name.to_ascii_lowercase();
            let is_identity = ["x-tenant-id", "x-groups", "x-user-id"].contains(&name.replace('_', "-").as_str());
            let is_set = set.iter().any(|(own, _)| own.as_str() == name);
            prop_assert!(!is_identity || is_set || remove.contains(&name), "left to the client: {name}");
        }
    }

    #[test]
    fn random_credentials_are_denied(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let bench = Bench::new();
        let mut headers = Headers::default();
        headers.push("authorization", value);
        prop_assert!(matches!(bench.decide_headers(headers), Decision::Deny(_)));
    }
}
