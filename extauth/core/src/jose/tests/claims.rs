//! Rules 8, 9 and 10: what the claims must say.

use super::*;

#[test]
fn jwt_8_the_issuer_is_equal_byte_for_byte() {
    let bench = Bench::new();
    for issuer in [
        "https://issuer.example/",
        "HTTPS://issuer.example",
        "https://issuer.example ",
        "",
    ] {
        bench.claims(&json!({"iss": issuer}), Err(TokenError::WrongIssuer));
    }
    bench.claims(&json!({"iss": null}), Err(TokenError::ClaimMissing("iss")));
    for issuer in [json!([ISSUER]), json!(1), json!({})] {
        bench.claims(&json!({"iss": issuer}), Err(TokenError::ClaimMalformed("iss")));
    }
    let mut unasked = rules();
    unasked.claims.issuer = None;
    bench.claims_with(&json!({"iss": null}), &unasked, Ok(()));
    bench.claims_with(&json!({"iss": 1}), &unasked, Err(TokenError::ClaimMalformed("iss")));
}

#[test]
fn jwt_9_the_audience_is_ours() {
    let bench = Bench::new();
    for ours in [json!("api"), json!(["web"]), json!(["other", "api"])] {
        bench.claims(&json!({"aud": ours}), Ok(()));
    }
    for others in [
        json!("other"),
        json!(["other"]),
        json!("api web"),
        json!("API"),
        json!(["ap", "i"]),
    ] {
        bench.claims(&json!({"aud": others}), Err(TokenError::WrongAudience));
    }
    for absent in [json!(null), json!([])] {
        bench.claims(&json!({"aud": absent}), Err(TokenError::ClaimMissing("aud")));
    }
    for malformed in [
        json!(1),
        json!(true),
        json!({"api": 1}),
        json!(["api", 1]),
        json!([["api"]]),
    ] {
        bench.claims(&json!({"aud": malformed}), Err(TokenError::ClaimMalformed("aud")));
    }
}

#[test]
fn jwt_9_without_a_name_of_ours_a_named_audience_is_somebody_else() {
    let bench = Bench::new();
    let with = |audience| {
        let mut rules = rules();
        rules.claims.audience = audience;
        rules
    };
    bench.claims_with(&json!({"aud": null}), &with(Audience::Unnamed), Ok(()));
    bench.claims_with(
        &json!({"aud": "api"}),
        &with(Audience::Unnamed),
        Err(TokenError::WrongAudience),
    );
    bench.claims_with(&json!({"aud": "api"}), &with(Audience::Any), Ok(()));
    bench.claims_with(&json!({"aud": null}), &with(Audience::Any), Ok(()));
    bench.claims_with(
        &json!({"aud": 1}),
        &with(Audience::Any),
        Err(TokenError::ClaimMalformed("aud")),
    );
}

#[test]
fn jwt_10_times_are_numbers_and_exp_is_required() {
    let bench = Bench::new();
    let now = NOW.as_secs();
    bench.claims(&json!({"exp": null}), Err(TokenError::ClaimMissing("exp")));
    bench.claims(&json!({"exp": now - 59}), Ok(()));
    bench.claims(&json!({"exp": now - 60}), Err(TokenError::Expired));
    bench.claims(&json!({"exp": 1_699_999_940.5}), Ok(()));
    bench.claims(&json!({"exp": 1e300}), Ok(()));
    bench.claims(&json!({"exp": 0}), Err(TokenError::Expired));
    bench.claims(&json!({"nbf": now + 60}), Ok(()));
    bench.claims(&json!({"nbf": now + 61}), Err(TokenError::NotYetValid));
    bench.claims(&json!({"nbf": null, "iat": null}), Ok(()));
    bench.claims(&json!({"iat": now + 60}), Ok(()));
    bench.claims(&json!({"iat": now + 61}), Err(TokenError::IssuedInTheFuture));
    for name in ["exp", "nbf", "iat"] {
        let malformed = [
            json!("1800000000"),
            json!(-1),
            json!(-0.5),
            json!(true),
            json!([1]),
            json!({}),
        ];
        for value in malformed {
            let error = TokenError::ClaimMalformed(name);
            bench.claims(&json!({ name: value }), Err(error));
        }
    }
    bench.claims(&json!({"sub": 7}), Err(TokenError::ClaimMalformed("sub")));
}

#[test]
fn jwt_10_numbers_out_of_range_do_not_parse() {
    let bench = Bench::new();
    for number in ["1e400", "-1e400", "NaN", "Infinity", "0x10", "01"] {
        let payload = claims(&json!({"exp": "@"})).to_string().replace("\"@\"", number);
        let token = bench
            .signer
            .sign_raw(br#"{"alg":"ES256","kid":"key"}"#, payload.as_bytes());
        check(
            number,
            &token,
            &bench.keys,
            Err(TokenError::NotJson(Part::Payload, JsonError::Malformed)),
        );
    }
}

#[test]
fn scopes_are_whole_words() {
    let bench = Bench::new();
    let grants = |scope: Value, wanted: &[&str]| {
        let token = bench.signer.sign(&json!({}), &claims(&json!({ "scope": scope })));
        verify(&token, &rules(), &bench.keys, NOW)
            .unwrap()
            .grants(wanted.iter().copied())
    };
    assert!(grants(json!("read write"), &["write", "read"]));
    assert!(grants(json!(["read", "write"]), &["write"]));
    assert!(grants(json!(null), &[]));
    for scope in [
        json!("reader"),
        json!("read-write"),
        json!("READ"),
        json!(""),
        json!(1),
        json!(null),
        json!({"read": 1}),
    ] {
        assert!(!grants(scope.clone(), &["read"]), "{scope}");
    }
}
