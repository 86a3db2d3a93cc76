//! Rules 1, 2, 6 and 7: what a token looks like and what its header may say.

use super::*;

#[test]
fn jwt_1_form_is_checked_before_anything_else() {
    let bench = Bench::new();
    let token = good(&bench.signer);
    let [header, payload, signature] = <[&str; 3]>::try_from(token.split('.').collect::<Vec<_>>()).unwrap();
    let not_base64 = |part| Err(TokenError::NotBase64Url(part));
    let three = Err(TokenError::NotThreeParts);
    let rows = [
        ("empty", String::new(), three.clone()),
        ("one part", header.to_owned(), three.clone()),
        ("two parts", format!("{header}.{payload}"), three.clone()),
        ("four parts", format!("{token}.x"), three.clone()),
        ("five parts", format!("{token}.x.y"), Err(TokenError::Encrypted)),
        ("six parts", format!("{token}.x.y.z"), three),
        ("thousands of parts", ".".repeat(10_000), Err(TokenError::NotThreeParts)),
        ("too long", "x".repeat(TOKEN_BYTES_MAX + 1), Err(TokenError::TooLong)),
        (
            "padded header",
            format!("{header}=.{payload}.{signature}"),
            not_base64(Part::Header),
        ),
        ("padded signature", format!("{token}=="), not_base64(Part::Signature)),
        ("space", format!("{token} "), not_base64(Part::Signature)),
        (
            "newline",
            format!("{header}.{payload}.{signature}\n"),
            not_base64(Part::Signature),
        ),
        (
            "standard alphabet",
            format!("{header}.{payload}.+/{signature}"),
            not_base64(Part::Signature),
        ),
        (
            "empty signature",
            format!("{header}.{payload}."),
            Err(TokenError::BadSignature),
        ),
        (
            "empty header",
            format!(".{payload}.{signature}"),
            Err(TokenError::NotJson(Part::Header, JsonError::Malformed)),
        ),
    ];
    for (name, token, expected) in rows {
        check(name, &token, &bench.keys, expected);
    }
    check("the good one", &token, &bench.keys, Ok(()));
}

#[test]
fn jwt_1_the_last_character_has_no_spare_bits() {
    let bench = Bench::new();
    let token = good(&bench.signer);
    // 64 bytes are 86 characters, the last with four unused bits: three other characters decode alike if those do not count.
    let last = token.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let other = alphabet.chars().nth(alphabet.find(last).unwrap() + 1).unwrap();
    let twin = format!("{}{other}", token.get(..token.len() - 1).unwrap());
    check(
        "spare bits",
        &twin,
        &bench.keys,
        Err(TokenError::NotBase64Url(Part::Signature)),
    );
    // In a payload they would change nothing that is signed over, were they decoded leniently; the text is what is signed.
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "kid": "key"}).to_string());
    let payload = URL_SAFE_NO_PAD.encode(claims(&json!({})).to_string() + " ");
    for suffix in ["=", "==", "\n", "+"] {
        let input = format!("{header}.{payload}{suffix}");
        let signature = URL_SAFE_NO_PAD.encode(bench.signer.signature(input.as_bytes()));
        check(
            suffix,
            &format!("{input}.{signature}"),
            &bench.keys,
            Err(TokenError::NotBase64Url(Part::Payload)),
        );
    }
}

#[test]
fn jwt_1_both_parts_are_one_json_object() {
    let bench = Bench::new();
    let header = br#"{"alg":"ES256","kid":"key"}"#;
    let payload = claims(&json!({})).to_string();
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(20), "]".repeat(20));
    let rows: [(&str, &[u8], &[u8], TokenError); 5] = [
        (
            "trailing bytes",
            header,
            b"{} {}",
            TokenError::NotJson(Part::Payload, JsonError::Malformed),
        ),
        (
            "array",
            header,
            b"[]",
            TokenError::NotJson(Part::Payload, JsonError::NotAnObject),
        ),
        (
            "not utf-8",
            header,
            b"{\"iss\":\"\xff\"}",
            TokenError::NotJson(Part::Payload, JsonError::Malformed),
        ),
        (
            "deep",
            header,
            deep.as_bytes(),
            TokenError::NotJson(Part::Payload, JsonError::TooDeep),
        ),
        (
            "header",
            b"{} x",
            payload.as_bytes(),
            TokenError::NotJson(Part::Header, JsonError::Malformed),
        ),
    ];
    for (name, header, payload, error) in rows {
        check(name, &bench.signer.sign_raw(header, payload), &bench.keys, Err(error));
    }
}

#[test]
fn jwt_2_repeated_members_are_refused() {
    let bench = Bench::new();
    let payload = claims(&json!({})).to_string();
    let twice = payload.replace("\"sub\"", "\"aud\":\"evil\",\"sub\"");
    let repeated = |part| Err(TokenError::NotJson(part, JsonError::RepeatedMember));
    let token = bench
        .signer
        .sign_raw(br#"{"alg":"ES256","kid":"key"}"#, twice.as_bytes());
    check("payload", &token, &bench.keys, repeated(Part::Payload));
    let token = bench
        .signer
        .sign_raw(br#"{"alg":"none","kid":"key","alg":"ES256"}"#, payload.as_bytes());
    check("header", &token, &bench.keys, repeated(Part::Header));
    let token = bench
        .signer
        .sign_raw(br#"{"alg":"ES256","kid":"other","kid":"key"}"#, payload.as_bytes());
    check("kid", &token, &bench.keys, repeated(Part::Header));
}

#[test]
fn jwt_6_a_token_does_not_choose_its_key() {
    let bench = Bench::new();
    let evil = es256();
    let jwk = evil.jwk("key");
    let members = [
        json!({"jwk": jwk}),
        json!({"jku": "https://evil.example/jwks.json"}),
        json!({"x5u": "https://evil.example/cert.pem"}),
        json!({"x5c": ["MIIB"]}),
    ];
    for more in &members {
        check(
            "evil key",
            &evil.sign(more, &claims(&json!({}))),
            &bench.keys,
            Err(TokenError::BadSignature),
        );
        bench.header(more, Ok(()));
    }
}

#[test]
fn jwt_6_extensions_that_change_the_rules_are_refused() {
    let bench = Bench::new();
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("exp"), json!([1])] {
        bench.header(&json!({"crit": crit}), Err(TokenError::CriticalExtension));
    }
    bench.header(&json!({"b64": false}), Err(TokenError::CriticalExtension));
    bench.header(&json!({"b64": true}), Err(TokenError::CriticalExtension));
    bench.header(&json!({"zip": "DEF"}), Err(TokenError::Compressed));
    bench.header(&json!({"enc": "A256GCM"}), Err(TokenError::Encrypted));
    bench.header(&json!({"cty": "JWT"}), Err(TokenError::Nested));
    bench.header(&json!({"unknown": "member"}), Ok(()));
}

#[test]
fn jwt_7_other_types_of_tokens_are_refused() {
    let bench = Bench::new();
    for typ in [
        "JWT",
        "jwt",
        "application/jwt",
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
    ] {
        bench.header(&json!({"typ": typ}), Ok(()));
    }
    for typ in [
        "logout+jwt",
        "application/logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "JOSE",
        "JWE",
        "",
    ] {
        bench.header(&json!({"typ": typ}), Err(TokenError::WrongType));
    }
    bench.header(&json!({"typ": 1}), Err(TokenError::HeaderMalformed("typ")));
    for id_token in [json!({"nonce": "n"}), json!({"at_hash": "h"}), json!({"c_hash": "h"})] {
        bench.claims(&id_token, Err(TokenError::IdToken));
    }
}

#[test]
fn jwt_7_the_wanted_type_can_be_stricter_or_wider() {
    let bench = Bench::new();
    let wanting = |token_type| {
        let mut rules = rules();
        rules.claims.token_type = token_type;
        rules
    };
    let plain = good(&bench.signer);
    let at_jwt = bench.signer.sign(&json!({"typ": "at+jwt"}), &claims(&json!({})));
    let strict = wanting(TokenType::AccessTokenRfc9068);
    check_with("plain", &plain, &strict, &bench.keys, Err(TokenError::WrongType));
    check_with("at+jwt", &at_jwt, &strict, &bench.keys, Ok(()));
    bench.claims_with(&json!({"nonce": "n"}), &wanting(TokenType::Any), Ok(()));
    let logout = bench.signer.sign(&json!({"typ": "logout+jwt"}), &claims(&json!({})));
    check_with(
        "logout",
        &logout,
        &wanting(TokenType::Any),
        &bench.keys,
        Err(TokenError::WrongType),
    );
}
