//! What the manifests have and we do not, refused by name with what to use instead. Ignoring any of these would guard a
//! route less than its manifest says.

use server::document::Reader;

/// Kinds of steps, in both spellings, and the advice for each.
const STEPS: [(&str, &str, &str); 11] = [
    ("basicAuth", "basic_auth", BEARER),
    ("apiKeyAuth", "api_key_auth", BEARER),
    (
        "pluginAuth",
        "plugin_auth",
        "Go plugins were removed upstream too; use oauth2.accessTokenValidation.jwt",
    ),
    ("opaAuth", "opa_auth", BEARER),
    ("opaServerAuth", "opa_server_auth", BEARER),
    ("ldap", "ldap", BEARER),
    (
        "jwt",
        "jwt",
        "use oauth2.accessTokenValidation.jwt, which verifies the token itself",
    ),
    (
        "passThroughAuth",
        "pass_through_auth",
        "point a second ext_authz filter of the gateway at that service",
    ),
    ("hmacAuth", "hmac_auth", BEARER),
    (
        "portalAuth",
        "portal_auth",
        "it needs the portal's own server; use oauth2.accessTokenValidation.jwt",
    ),
    ("oauth", "oauth", LOGIN),
];
/// Kinds of `oauth2`.
const OAUTH2: [(&str, &str, &str); 2] = [
    ("oidcAuthorizationCode", "oidc_authorization_code", LOGIN),
    ("oauth2", "oauth2", LOGIN),
];
/// Kinds of `accessTokenValidation`, and fields that ask for more than we do.
const VALIDATION: [(&str, &str, &str); 4] = [
    ("introspection", "introspection", OPAQUE),
    ("introspectionUrl", "introspection_url", OPAQUE),
    (
        "userinfoUrl",
        "userinfo_url",
        "claims come from the token alone; use accessTokenValidation.jwt without it",
    ),
    (
        "azure",
        "azure",
        "use accessTokenValidation.jwt with the tenant's own issuer and key set",
    ),
];
const BEARER: &str = "use oauth2.accessTokenValidation.jwt";
const LOGIN: &str = "log in elsewhere and use oauth2.accessTokenValidation.jwt for the token";
const OPAQUE: &str = "have the issuer sign its tokens and use accessTokenValidation.jwt";

/// Fields of `spec`.
pub(super) fn refuse_in_spec(spec: &Reader<'_>) {
    if let Some(field) = spec
        .field(["booleanExpr", "boolean_expr"])
        .filter(|field| field.node().text() != Some(""))
    {
        field.reject("booleanExpr is not supported; without it all configs must pass, in order");
    }
    if let Some(field) = spec.field("match") {
        field.reject("match is not supported; name the AuthConfig in the route's context extension 'config_id'");
    }
}

/// An element of `configs`; true if it is of a kind that we do not have.
pub(super) fn refuse_in_step(item: &Reader<'_>) -> bool {
    refuse(item, &STEPS)
}

/// The `oauth2` of an element.
pub(super) fn refuse_in_oauth2(oauth2: &Reader<'_>) -> bool {
    refuse(oauth2, &OAUTH2)
}

/// The `accessTokenValidation` of an `oauth2`.
pub(super) fn refuse_in_validation(validation: &Reader<'_>) -> bool {
    refuse(validation, &VALIDATION)
}

fn refuse(at: &Reader<'_>, table: &[(&'static str, &'static str, &str)]) -> bool {
    let mut is_refused = false;
    for (camel, snake, instead) in table {
        // `jwt: {}` and `azure:` count by being there, so null counts too.
        let is_there = |name: &str| at.node().field(name).is_some();
        if is_there(camel) || is_there(snake) {
            let field = at.field([*camel, *snake]).unwrap_or_else(|| at.clone());
            field.reject(format!("{camel} is not supported; {instead}"));
            is_refused = true;
        }
    }
    is_refused
}
