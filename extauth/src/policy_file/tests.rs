//! Documents as people have them, good and bad, and what becomes of each.

use extauth_core::CheckRequest;
use extauth_core::jose::{Algorithm, AlgorithmSet, Audience, TokenType};
use extauth_core::pipeline::steps::StepConfig;
use extauth_core::pipeline::steps::access_token::{AccessToken, Keys};

use super::*;

const URL: &str = "https://issuer.example/jwks.json";

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.to_owned(),
        path: name.into(),
        bytes: text.as_bytes().into(),
    }
}

fn split(build: Build<Loaded>) -> (Loaded, Vec<String>) {
    match build {
        Build::Good(loaded) => (loaded, Vec::new()),
        Build::Partly(loaded, problems) => (loaded, problems.iter().map(ToString::to_string).collect()),
        Build::Bad(problems) => panic!("{problems}"),
    }
}

fn load_with(text: &str, options: &Options) -> (Loaded, Vec<String>) {
    split(load(&[file("a.yaml", text)], None, options))
}

/// A manifest of one step; `step` is what stands in its list element.
fn manifest(name: &str, step: &str) -> String {
    format!(
        "apiVersion: extauth.solo.io/v1\nkind: AuthConfig\nmetadata: {{name: {name}, namespace: demo}}\n\
         spec:\n  configs:\n  - {step}\n"
    )
}

/// A step whose `jwt` has these members.
fn jwt(members: &str) -> String {
    format!("oauth2: {{accessTokenValidation: {{jwt: {{{members}}}}}}}")
}

fn remote(more: &str) -> String {
    jwt(&format!("remoteJwks: {{url: '{URL}'}}{more}"))
}

fn config(loaded: &Loaded, id: &str) -> Arc<extauth_core::AuthConfig> {
    match loaded.policies.get(&ConfigId::parse(id).unwrap()) {
        Some(Policy::Ready(config)) => config.clone(),
        other => panic!("{other:?}"),
    }
}

fn step(loaded: &Loaded) -> AccessToken {
    let config = config(loaded, "demo.api");
    let StepConfig::AccessToken(step) = &config.steps()[0].step;
    *step.clone()
}

#[track_caller]
fn good(step_text: &str) -> AccessToken {
    let (loaded, problems) = load_with(&manifest("api", step_text), &Options::default());
    assert_eq!(problems, Vec::<String>::new());
    step(&loaded)
}

#[track_caller]
fn refused(step_text: &str, expected: &str) {
    let (loaded, problems) = load_with(&manifest("api", step_text), &Options::default());
    assert!(
        problems.iter().any(|problem| problem.contains(expected)),
        "{step_text}: {problems:?}"
    );
    let id = ConfigId::parse("demo.api").unwrap();
    assert!(matches!(loaded.policies.get(&id), Some(Policy::Broken)), "{step_text}");
}

#[test]
fn reads_camel_case_and_snake_case_of_both_groups() {
    let camel = "apiVersion: extauth.solo.io/v1
kind: AuthConfig
metadata: {name: api, namespace: demo}
spec:
  failOnRedirect: true
  configs:
  - name: token
    oauth2:
      accessTokenValidation:
        jwt:
          remoteJwks: {url: 'https://issuer.example/jwks.json', refreshInterval: 30s}
          issuer: https://issuer.example
          audiences: [api]
        requiredScopes: {scope: [read]}
        claimsToHeaders: [{claim: tenant, header: X-Tenant-Id, append: true}]
        dynamicMetadataFromClaims: {tenant: t}
        cacheTimeout: 10m
        default: {}
";
    let snake = [
        (
            "apiVersion: extauth.solo.io/v1",
            "api_version: enterprise.gloo.solo.io/v1",
        ),
        ("failOnRedirect", "fail_on_redirect"),
        ("accessTokenValidation", "access_token_validation"),
        ("remoteJwks", "remote_jwks"),
        ("refreshInterval", "refresh_interval"),
        ("requiredScopes", "required_scopes"),
        ("claimsToHeaders", "claims_to_headers"),
        ("dynamicMetadataFromClaims", "dynamic_metadata_from_claims"),
        ("cacheTimeout", "cache_timeout"),
    ];
    let snake = snake
        .iter()
        .fold(camel.to_owned(), |text, (from, to)| text.replace(from, to));
    for text in [camel, &snake] {
        let (loaded, problems) = load_with(text, &Options::default());
        assert_eq!((problems, loaded.notes.len()), (vec![], 0), "{:?}", loaded.notes);
        assert_eq!(config(&loaded, "demo.api").steps()[0].name, "token");
        let step = step(&loaded);
        assert_eq!(step.rules.claims.issuer.as_deref(), Some("https://issuer.example"));
        assert_eq!(step.rules.claims.audience, Audience::OneOf(vec!["api".to_owned()]));
        assert_eq!(step.required_scopes[0].as_str(), "read");
        assert_eq!(step.claims_to_headers[0].header.as_str(), "x-tenant-id");
        assert_eq!(step.metadata_from_claims, [("tenant".to_owned(), "t".to_owned())]);
        let sources: Vec<_> = loaded
            .sources
            .iter()
            .map(|(source, refresh)| (source.as_str(), *refresh))
            .collect();
        assert_eq!(sources, [(URL, Duration::from_secs(30))]);
    }
}

#[test]
fn what_is_left_open_has_the_stricter_meaning_and_a_note() {
    let (loaded, problems) = load_with(&manifest("api", &remote("")), &Options::default());
    assert_eq!(problems, Vec::<String>::new());
    let step = step(&loaded);
    assert_eq!(step.rules.claims.audience, Audience::Unnamed);
    assert_eq!(step.rules.algorithms, AlgorithmSet::DEFAULT);
    let notes = loaded.notes.to_string();
    assert!(
        notes.contains("without 'audiences'") && notes.contains("without 'issuer'"),
        "{notes}"
    );
    let unchecked = Options {
        unnamed_audience: UnnamedAudience::Unchecked,
        ..Options::default()
    };
    let (loaded, _) = load_with(&manifest("api", &remote("")), &unchecked);
    assert_eq!(self::step(&loaded).rules.claims.audience, Audience::Any);
}

#[test]
fn our_own_fields_choose_audiences_algorithms_and_types() {
    assert_eq!(good(&remote(", audiences: any")).rules.claims.audience, Audience::Any);
    let named = good(&remote(", audiences: [any]")).rules.claims.audience;
    assert_eq!(named, Audience::OneOf(vec!["any".to_owned()]));
    let algorithms = good(&remote(", algorithms: [RS512, ES384]")).rules.algorithms;
    assert_eq!(algorithms, [Algorithm::Rs512, Algorithm::Es384].into_iter().collect());
    let strict = good(&remote(", tokenType: at+jwt")).rules.claims.token_type;
    assert_eq!(strict, TokenType::AccessTokenRfc9068);
    refused(&remote(", algorithms: [HS256]"), "unknown value");
    refused(&remote(", algorithms: [none]"), "unknown value");
    refused(&remote(", algorithms: []"), "allows no token");
    refused(&remote(", tokenType: idToken"), "unknown value");
    refused(&remote(", audiences: api"), "expected a list");
    refused(&remote(", audiences: ['']"), "an audience is empty");
}

#[test]
fn key_sets_come_over_https_or_from_this_host() {
    let with = |url: &str| jwt(&format!("remoteJwks: {{url: '{url}'}}"));
    for url in [
        URL,
        "http://localhost:1/k",
        "http://127.0.0.1:1/k",
        "http://[::1]:1/k",
        "http://127.9.9.9/k",
    ] {
        good(&with(url));
    }
    let scheme = "not fetched over this scheme";
    for url in [
        "http://issuer.example/k",
        "ftp://x/k",
        "file:///etc/passwd",
        "http://127.0.0.1.evil.example/k",
    ] {
        refused(&with(url), scheme);
    }
    refused(&with("${KEYCLOAK_URL}/certs"), "unexpanded variable");
    refused(&with("issuer.example/k"), "not a URL");
    refused(&with("https://user:pw@issuer.example/k"), "no user and no fragment");
    refused(&with("https://issuer.example/k#x"), "no user and no fragment");
    let allowed = Options {
        plain_http: PlainHttp::Allowed,
        ..Options::default()
    };
    let (_, problems) = load_with(&manifest("api", &with("http://issuer:10001/jwks.json")), &allowed);
    assert_eq!(problems, Vec::<String>::new());
}

#[test]
fn one_source_of_keys_is_required_and_enough() {
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let local = format!("localJwks: {{inlineString: '{key}'}}");
    assert!(matches!(good(&jwt(&local)).keys, Keys::Local(set) if set.len() == 1));
    refused(&jwt(""), "exactly one of");
    refused(
        &jwt(&format!("{local}, remoteJwks: {{url: '{URL}'}}")),
        "exactly one of",
    );
    refused(&jwt("localJwks: {inlineString: '{}'}"), "no list 'keys'");
    refused(&jwt("localJwks: {inlineString: 'secret'}"), "is not JSON");
    let private = r#"localJwks: {inlineString: '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'}"#;
    refused(&jwt(private), "no usable key (0: is symmetric)");
    let (_, problems) = load_with(&manifest("api", &jwt(private)), &Options::default());
    assert!(
        !problems.iter().any(|problem| problem.contains("c2VjcmV0")),
        "{problems:?}"
    );
}

#[test]
fn refresh_intervals_have_bounds() {
    let refresh = |text: &str| {
        let step = jwt(&format!("remoteJwks: {{url: '{URL}', refreshInterval: {text}}}"));
        let (loaded, _) = load_with(&manifest("api", &step), &Options::default());
        loaded.sources.values().next().copied()
    };
    assert_eq!(refresh("5m"), Some(Duration::from_secs(300)));
    assert_eq!(refresh("0.5s"), Some(Duration::from_secs(1)));
    assert_eq!(refresh("100h"), Some(Duration::from_secs(24 * 60 * 60)));
    assert_eq!(refresh("~"), Some(Duration::from_secs(300)));
    refused(
        &jwt(&format!("remoteJwks: {{url: '{URL}', refreshInterval: often}}")),
        "not a duration",
    );
}

#[test]
fn headers_that_are_not_ours_to_write_are_refused() {
    let with = |line: &str| {
        format!(
            "oauth2: {{accessTokenValidation: {{jwt: {{remoteJwks: {{url: '{URL}'}}}}, claimsToHeaders: [{line}]}}}}"
        )
    };
    good(&with("{claim: a, header: x-a}"));
    for header in ["host", "content-length", "x-envoy-original-path", "x-forwarded-for"] {
        refused(
            &with(&format!("{{claim: a, header: {header}}}")),
            "belongs to the protocol or to the gateway",
        );
    }
    refused(&with("{claim: a, header: ':path'}"), "not a header name");
    refused(&with("{claim: a}"), "field 'header' is required");
    refused(&with("{header: x-a}"), "field 'claim' is required");
    refused(&with("{claim: '', header: x-a}"), "a claim has a name");
}

#[test]
fn what_we_do_not_have_is_refused_by_name_with_what_to_use_instead() {
    let token = "oauth2.accessTokenValidation.jwt";
    let rows = [
        ("basicAuth: {}", "basicAuth is not supported", token),
        ("api_key_auth: {}", "apiKeyAuth is not supported", token),
        ("opaAuth: {modules: []}", "opaAuth is not supported", token),
        ("ldap: {}", "ldap is not supported", token),
        ("jwt: {}", "jwt is not supported", token),
        ("jwt:", "jwt is not supported", token),
        (
            "passThroughAuth: {}",
            "passThroughAuth is not supported",
            "second ext_authz filter",
        ),
        ("pluginAuth: {}", "pluginAuth is not supported", "removed upstream"),
        (
            "oauth2: {oidcAuthorizationCode: {}}",
            "oidcAuthorizationCode is not supported",
            "log in elsewhere",
        ),
        ("oauth2: {oauth2: {}}", "oauth2 is not supported", "log in elsewhere"),
        (
            "oauth2: {accessTokenValidation: {introspection: {}}}",
            "introspection is not supported",
            "sign its tokens",
        ),
        (
            "oauth2: {accessTokenValidation: {introspectionUrl: x}}",
            "introspectionUrl is not supported",
            "sign",
        ),
        (
            "oauth2: {accessTokenValidation: {userinfoUrl: x, jwt: {}}}",
            "userinfoUrl is not supported",
            "token alone",
        ),
        ("oauth2: {}", "field 'accessTokenValidation' is required", ""),
        ("name: x", "no kind of step that we have", "oauth2"),
    ];
    for (step, what, instead) in rows {
        refused(step, what);
        refused(step, instead);
    }
}

#[test]
fn what_would_change_the_meaning_of_a_spec_is_refused() {
    let base = manifest("api", &remote(""));
    for (field, expected) in [
        ("  booleanExpr: '!config_0'\n", "booleanExpr is not supported"),
        ("  match: {hosts: [a]}\n", "match is not supported"),
        ("  statusCodes: odd\n", "unknown value"),
        ("  failOnRedirect: 7\n", "expected a boolean"),
    ] {
        let (_, problems) = load_with(&format!("{base}{field}"), &Options::default());
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{field}: {problems:?}"
        );
    }
    let (loaded, problems) = load_with(&format!("{base}  statusCodes: manifest\n"), &Options::default());
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(config(&loaded, "demo.api").statuses(), Statuses::Manifest);
}

#[test]
fn a_document_that_is_not_ours_is_noted_and_a_broken_one_is_a_problem() {
    let text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n---\n---\n{}---\napiVersion: v1\nkind: ConfigMap\n",
        manifest("api", &remote(""))
    );
    let (loaded, problems) = load_with(&text, &Options::default());
    assert_eq!((problems, loaded.ready()), (vec![], 1));
    let notes = loaded.notes.to_string();
    assert!(notes.contains("a.yaml:1:1: kind 'Secret' is not read here"), "{notes}");
    assert!(notes.contains("kind 'ConfigMap' is not read here"), "{notes}");

    let rows = [
        ("just text", "expected a map"),
        ("a: 1", "field 'kind' is required"),
        ("kind: AuthConfig", "field 'apiVersion' is required"),
        (
            "{kind: AuthConfig, apiVersion: authorino.kuadrant.io/v1beta3}",
            "not an API group of AuthConfig",
        ),
        (
            "{kind: AuthConfig, apiVersion: extauth.solo.io/v1}",
            "field 'metadata' is required",
        ),
        (
            "{kind: AuthConfig, apiVersion: extauth.solo.io/v1, metadata: {name: a/b}}",
            "namespace and name are not",
        ),
        (
            "{kind: AuthConfig, apiVersion: extauth.solo.io/v1, metadata: {name: a}}",
            "field 'spec' is required",
        ),
        (
            "{kind: AuthConfig, apiVersion: extauth.solo.io/v1, metadata: {name: a}, spec: {configs: []}}",
            "no step",
        ),
        ("a: [", ""),
    ];
    for (text, expected) in rows {
        let (_, problems) = load_with(text, &Options::default());
        assert!(
            problems.iter().any(|problem| problem.contains(expected)),
            "{text}: {problems:?}"
        );
    }
}

#[test]
fn unknown_fields_are_noted_with_their_place() {
    let text = manifest("api", &remote(", audiences: any, issuer: i, colour: red"));
    let (loaded, problems) = load_with(&text, &Options::default());
    assert_eq!(problems, Vec::<String>::new());
    let notes: Vec<_> = loaded.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("a.yaml:6:"), "{notes:?}");
    assert!(
        notes[0].ends_with("accessTokenValidation.jwt: unknown field 'colour' has no effect"),
        "{notes:?}"
    );
}

#[test]
fn two_documents_of_one_name_are_neither() {
    let text = format!("{0}---\n{0}", manifest("api", &remote("")));
    let (loaded, problems) = load_with(&text, &Options::default());
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("a second AuthConfig 'demo.api'"), "{problems:?}");
    assert_eq!(loaded.ready(), 0);
}

#[test]
fn the_last_good_version_goes_on() {
    let options = Options::default();
    let good = manifest("api", &remote(", audiences: any"));
    let first = split(load(&[file("a.yaml", &good)], None, &options)).0;
    let again = |files: &[SourceFile]| split(load(files, Some(&first), &options)).0;
    let serves = |loaded: &Loaded| loaded.ready() == 1 && loaded.sources.len() == 1;

    assert!(
        serves(&again(&[file("a.yaml", &manifest("api", "ldap: {}"))])),
        "a bad version of it"
    );
    assert!(serves(&again(&[file("a.yaml", "a: [")])), "its file is no YAML");
    assert!(
        serves(&again(&[file("a.yaml", "a: 1")])),
        "its document has lost its kind"
    );
    assert!(
        serves(&again(&[file("a.yaml", "a: ["), file("b.yaml", &good)])),
        "it moved to another file"
    );
    assert_eq!(again(&[file("b.yaml", "a: [")]).ready(), 0, "its file is gone");
    assert_eq!(again(&[file("a.yaml", "")]).ready(), 0, "it is gone from its file");
}

#[test]
fn a_default_that_does_not_exist_is_a_problem() {
    let options = Options {
        default: ConfigId::parse("demo.other").ok(),
        ..Options::default()
    };
    let (loaded, problems) = load_with(&manifest("api", &remote("")), &options);
    assert!(
        problems[0].contains("the default AuthConfig 'demo.other' does not exist"),
        "{problems:?}"
    );
    loaded.policies.select(&CheckRequest::default()).unwrap_err();
}

#[test]
fn one_url_has_one_interval_the_shortest() {
    let step = |interval: &str| jwt(&format!("remoteJwks: {{url: '{URL}', refreshInterval: {interval}}}"));
    let text = format!("{}---\n{}", manifest("a", &step("10m")), manifest("b", &step("20s")));
    let (loaded, _) = load_with(&text, &Options::default());
    assert_eq!(
        loaded.sources.into_values().collect::<Vec<_>>(),
        [Duration::from_secs(20)]
    );
}

#[test]
fn a_scope_that_would_require_nothing_is_refused() {
    let with = |scopes: &str| {
        format!(
            "oauth2: {{accessTokenValidation: {{jwt: {{remoteJwks: {{url: '{URL}'}}}}, requiredScopes: {scopes}}}}}"
        )
    };
    assert_eq!(good(&with("{scope: [a, b]}")).required_scopes.len(), 2);
    refused(&with("{scopes: [a]}"), "unknown field 'scopes'");
    refused(&with("{}"), "no scope is required");
    refused(&with("{scope: []}"), "no scope is required");
    refused(&with("{scope: ['a b']}"), "not a scope");
    refused(&with("[a]"), "expected a map");
}
