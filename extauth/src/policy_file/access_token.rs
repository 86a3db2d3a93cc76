//! `oauth2.accessTokenValidation` with `jwt`: the manifest's fields, and ours beside them: `algorithms`, `tokenType`,
//! `audiences: any`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use extauth_core::claims_to_headers::{ClaimToHeader, Existing};
use extauth_core::jose::{Algorithm, AlgorithmSet, Audience, ClaimRules, KeySet, TokenRules, TokenType};
use extauth_core::pipeline::steps::access_token::{AccessToken, Keys, Scope};
use extauth_core::{HeaderName, KeySource};
use reqwest::Url;
use server::document::Reader;
use server::problem::Problems;
use server::settings::parse_duration;

use super::{Options, PlainHttp, UnnamedAudience, note_unknown, unsupported};
use crate::keys::{REFRESH_DEFAULT, REFRESH_MAX, REFRESH_MIN};

/// Fields of `accessTokenValidation`, in both spellings.
const VALIDATION_FIELDS: [&str; 10] = [
    "jwt",
    "requiredScopes",
    "required_scopes",
    "claimsToHeaders",
    "claims_to_headers",
    "dynamicMetadataFromClaims",
    "dynamic_metadata_from_claims",
    // How long results for opaque tokens are kept; there are none.
    "cacheTimeout",
    "cache_timeout",
    "default",
];
/// Fields of `jwt`, in both spellings.
const JWT_FIELDS: [&str; 9] = [
    "remoteJwks",
    "remote_jwks",
    "localJwks",
    "local_jwks",
    "issuer",
    "audiences",
    "algorithms",
    "tokenType",
    "token_type",
];
/// Most claims of one step that go into headers or metadata; Envoy's limit is 100 headers in all.
const CLAIMS_MAX: usize = 50;

/// The key set that a step needs, and how often it is refreshed.
type Source = Option<(KeySource, Duration)>;

pub(super) fn read(validation: &Reader<'_>, options: &Options, notes: &mut Problems) -> Option<(AccessToken, Source)> {
    if unsupported::refuse_in_validation(validation) {
        return None;
    }
    note_unknown(validation, &VALIDATION_FIELDS, notes);
    let jwt = validation.required("jwt")?;
    let rules = rules(&jwt, options, notes);
    let required_scopes = scopes(validation);
    let claims_to_headers = claims_to_headers(validation, notes);
    let metadata_from_claims = metadata_from_claims(validation);
    let (keys, source) = keys(&jwt, options, notes)?;
    let step = AccessToken {
        keys,
        rules,
        required_scopes,
        claims_to_headers,
        metadata_from_claims,
    };
    Some((step, source))
}

/// What a manifest leaves open and should not.
pub(super) fn advice(step: &AccessToken) -> Option<String> {
    let claims = &step.rules.claims;
    let unnamed = (claims.audience == Audience::Unnamed).then_some(
        "without 'audiences' a token that names an audience is denied; name yours, or write 'audiences: any'",
    );
    let unissued = claims
        .issuer
        .is_none()
        .then_some("without 'issuer' any token that the key set signed is accepted");
    let advice: Vec<_> = unnamed.into_iter().chain(unissued).collect();
    (!advice.is_empty()).then(|| advice.join("; "))
}

fn rules(jwt: &Reader<'_>, options: &Options, notes: &mut Problems) -> TokenRules {
    note_unknown(jwt, &JWT_FIELDS, notes);
    let token_types = [
        ("accessToken", TokenType::AccessToken),
        ("at+jwt", TokenType::AccessTokenRfc9068),
        ("any", TokenType::Any),
    ];
    let token_type = jwt
        .field(["tokenType", "token_type"])
        .and_then(|field| field.one_of(&token_types));
    TokenRules {
        algorithms: algorithms(jwt),
        claims: ClaimRules {
            issuer: jwt
                .optional_str("issuer")
                .filter(|issuer| !issuer.is_empty())
                .map(str::to_owned),
            audience: audience(jwt, options.unnamed_audience),
            token_type: token_type.unwrap_or_default(),
            ..ClaimRules::default()
        },
    }
}

fn algorithms(jwt: &Reader<'_>) -> AlgorithmSet {
    let Some(field) = jwt.field("algorithms") else {
        return AlgorithmSet::DEFAULT;
    };
    let names = Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm));
    let items = field.items();
    if items.is_empty() {
        field.reject("an empty list allows no token; leave it out for the default");
    }
    items.iter().filter_map(|item| item.one_of(&names)).collect()
}

/// A list of names, or the word `any`.
fn audience(jwt: &Reader<'_>, unnamed: UnnamedAudience) -> Audience {
    let field = jwt.field("audiences");
    if field.as_ref().is_some_and(|field| field.node().as_str() == Some("any")) {
        return Audience::Any;
    }
    let items = field.map(|field| field.items()).unwrap_or_default();
    let names: Vec<_> = items.iter().filter_map(Reader::str).map(str::to_owned).collect();
    if items.iter().zip(&names).any(|(_, name)| name.is_empty()) {
        jwt.reject("an audience is empty");
    }
    match (names.is_empty(), unnamed) {
        (false, _) => Audience::OneOf(names),
        (true, UnnamedAudience::Deny) => Audience::Unnamed,
        (true, UnnamedAudience::Unchecked) => Audience::Any,
    }
}

/// Exactly one of `remoteJwks` and `localJwks`.
fn keys(jwt: &Reader<'_>, options: &Options, notes: &mut Problems) -> Option<(Keys, Source)> {
    match (
        jwt.map(["remoteJwks", "remote_jwks"]),
        jwt.map(["localJwks", "local_jwks"]),
    ) {
        (Some(remote), None) => {
            note_unknown(&remote, &["url", "refreshInterval", "refresh_interval"], notes);
            let refresh = refresh_interval(&remote)?;
            let source = KeySource::new(url(&remote, options.plain_http)?.as_str());
            Some((Keys::Remote(source.clone()), Some((source, refresh))))
        }
        (None, Some(local)) => Some((local_keys(&local, notes)?, None)),
        (None, None) | (Some(_), Some(_)) => {
            jwt.reject("exactly one of 'remoteJwks' and 'localJwks' is required");
            None
        }
    }
}

fn local_keys(local: &Reader<'_>, notes: &mut Problems) -> Option<Keys> {
    note_unknown(local, &["inlineString", "inline_string"], notes);
    // A set with private members is refused key by key, but must not be printed either.
    let text = local.required(["inlineString", "inline_string"])?.hidden();
    match KeySet::parse(text.str()?.as_bytes()) {
        Ok(set) if set.is_empty() => {
            let reasons: Vec<_> = set
                .ignored()
                .iter()
                .map(|key| format!("{}: {}", key.index, key.error))
                .collect();
            text.reject(format!("the key set has no usable key ({})", reasons.join(", ")));
            None
        }
        Ok(set) => Some(Keys::Local(Arc::new(set))),
        Err(error) => {
            text.reject(error.to_string());
            None
        }
    }
}

/// Values outside of the bounds count as the nearest bound.
fn refresh_interval(remote: &Reader<'_>) -> Option<Duration> {
    let Some(field) = remote.field(["refreshInterval", "refresh_interval"]) else {
        return Some(REFRESH_DEFAULT);
    };
    match parse_duration(field.str()?) {
        Ok(interval) => Some(interval.clamp(REFRESH_MIN, REFRESH_MAX)),
        Err(error) => {
            field.reject(error);
            None
        }
    }
}

/// `https`, or `http` to this host, or `http` on the operator's wish; no user, no fragment.
fn url(remote: &Reader<'_>, plain_http: PlainHttp) -> Option<Url> {
    let field = remote.required("url")?;
    let text = field.str()?;
    if text.contains("${") {
        field.reject("an unexpanded variable; write the URL itself");
        return None;
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => {
            field.reject(format!("not a URL: {error}"));
            return None;
        }
    };
    let is_safe = match url.scheme() {
        "https" => true,
        "http" => plain_http == PlainHttp::Allowed || is_loopback(&url),
        _ => false,
    };
    if !is_safe {
        field.reject_allowing(
            "key sets are not fetched over this scheme",
            "https; http with --allow-http-jwks",
        );
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        field.hidden().reject("a URL of a key set has no user and no fragment");
        return None;
    }
    Some(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// `requiredScopes.scope[]`, as the manifests nest it.
fn scopes(validation: &Reader<'_>) -> Vec<Scope> {
    let Some(required) = validation.map(["requiredScopes", "required_scopes"]) else {
        return Vec::new();
    };
    // A misspelt field here would require nothing, so it is no mere note.
    required.deny_unknown(&["scope"]);
    if required.list("scope").is_empty() {
        required.reject("no scope is required; name one, or leave requiredScopes out");
    }
    let scope = |item: &Reader<'_>| match Scope::new(item.str()?) {
        Ok(scope) => Some(scope),
        Err(error) => {
            item.reject(error.to_string());
            None
        }
    };
    required.list("scope").iter().filter_map(scope).collect()
}

fn claims_to_headers(validation: &Reader<'_>, notes: &mut Problems) -> Vec<ClaimToHeader> {
    let items = validation.list(["claimsToHeaders", "claims_to_headers"]);
    if items.len() > CLAIMS_MAX {
        validation.reject(format!("more than {CLAIMS_MAX} claimsToHeaders"));
    }
    items.iter().filter_map(|item| claim_to_header(item, notes)).collect()
}

fn claim_to_header(item: &Reader<'_>, notes: &mut Problems) -> Option<ClaimToHeader> {
    note_unknown(item, &["claim", "header", "append"], notes);
    let claim = item.required_str("claim").filter(|claim| !claim.is_empty());
    let header = item.required("header")?;
    let name = match HeaderName::new(header.str()?) {
        Ok(name) => name,
        Err(error) => {
            header.reject(error.to_string());
            return None;
        }
    };
    let existing = match item.optional_bool("append") {
        Some(true) => Existing::Append,
        Some(false) | None => Existing::Overwrite,
    };
    if claim.is_none() {
        item.reject("a claim has a name");
    }
    Some(ClaimToHeader {
        claim: claim?.to_owned(),
        header: name,
        existing,
    })
}

fn metadata_from_claims(validation: &Reader<'_>) -> Vec<(String, String)> {
    let Some(map) = validation.map(["dynamicMetadataFromClaims", "dynamic_metadata_from_claims"]) else {
        return Vec::new();
    };
    let pairs = map.pairs();
    if pairs.len() > CLAIMS_MAX {
        map.reject(format!("more than {CLAIMS_MAX} claims"));
    }
    let pair = |(key, claim): &(&str, Reader<'_>)| Some(((*key).to_owned(), claim.str()?.to_owned()));
    pairs.iter().filter_map(pair).collect()
}
