//! Rules 3, 4, 5, 11 and 14: which key verifies, and with which algorithm.

use super::*;

#[test]
fn jwt_3_none_and_symmetric_algorithms_do_not_exist() {
    let bench = Bench::new();
    for name in [
        "none", "None", "NONE", "nOnE", "HS256", "HS384", "HS512", "es256", "ES256K", "RSA1_5", "",
    ] {
        bench.header(&json!({"alg": name}), Err(TokenError::AlgorithmNotAllowed));
    }
    for alg in [json!(null), json!(1), json!(["ES256"]), json!({})] {
        bench.header(&json!({"alg": alg}), Err(TokenError::HeaderMalformed("alg")));
    }
    let payload = URL_SAFE_NO_PAD.encode(claims(&json!({})).to_string());
    let unsigned = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#));
    check("unsigned", &unsigned, &bench.keys, Err(TokenError::AlgorithmNotAllowed));
}

#[test]
fn jwt_3_the_key_decides_and_the_list_of_the_step() {
    let (ec, ed) = (es256(), eddsa());
    let (rs256, rs512) = (RS256.with("RS256"), RS256.with("RS512"));
    check(
        "es256 as eddsa",
        &ec.sign(&json!({"alg": "EdDSA"}), &claims(&json!({}))),
        &keys(&ec),
        Err(TokenError::KeyDoesNotFit),
    );
    check(
        "eddsa as rs256",
        &ed.sign(&json!({"alg": "RS256"}), &claims(&json!({}))),
        &keys(&ed),
        Err(TokenError::KeyDoesNotFit),
    );
    check(
        "rs256 as ps256",
        &rs256.sign(&json!({"alg": "PS256"}), &claims(&json!({}))),
        &keys(&rs256),
        Err(TokenError::BadSignature),
    );
    check(
        "eddsa by its other name",
        &ed.sign(&json!({"alg": "Ed25519"}), &claims(&json!({}))),
        &keys(&ed),
        Ok(()),
    );
    check(
        "not by default",
        &good(&rs512),
        &keys(&rs512),
        Err(TokenError::AlgorithmNotAllowed),
    );
    check(
        "not by default",
        &good(&es384()),
        &keys(&es384()),
        Err(TokenError::AlgorithmNotAllowed),
    );
    let wider = TokenRules {
        algorithms: [Algorithm::Rs512, Algorithm::Es384].into_iter().collect(),
        ..rules()
    };
    check_with("on wish", &good(&rs512), &wider, &keys(&rs512), Ok(()));
    let ec384 = es384();
    check_with("on wish", &good(&ec384), &wider, &keys(&ec384), Ok(()));
    check_with(
        "no longer",
        &good(&rs256),
        &wider,
        &keys(&rs256),
        Err(TokenError::AlgorithmNotAllowed),
    );
}

#[test]
fn jwt_3_the_alg_of_a_key_is_its_only_one() {
    let with = |alg: &str| {
        let mut jwk = RS256.jwk("key");
        merge(&mut jwk, &json!({"alg": alg}));
        key_set(&[jwk])
    };
    check("equal", &good(&RS256), &with("RS256"), Ok(()));
    check("other", &good(&RS256), &with("PS256"), Err(TokenError::KeyDoesNotFit));
    for alg in ["ES256", "HS256", "none", "RSA-OAEP"] {
        assert_eq!(
            with(alg).ignored(),
            [IgnoredKey {
                index: 0,
                error: KeyError::AlgorithmMismatch
            }],
            "{alg}"
        );
    }
}

#[track_caller]
fn check_key(name: &str, base: &Value, more: &Value, expected: Option<KeyError>) {
    let mut jwk = base.clone();
    merge(&mut jwk, more);
    let good = es256();
    // One bad key never voids the set.
    let set = key_set(&[jwk, good.jwk("good")]);
    let ignored: Vec<_> = set.ignored().iter().map(|ignored| ignored.error).collect();
    assert_eq!(ignored, expected.into_iter().collect::<Vec<_>>(), "{name}");
    let token = good.sign(&json!({"kid": "good"}), &claims(&json!({})));
    check(name, &token, &set, Ok(()));
}

#[test]
fn jwt_4_keys_that_are_not_for_verifying_are_left_out() {
    let ec = es256().jwk("key");
    check_key("use sig", &ec, &json!({"use": "sig"}), None);
    check_key("use enc", &ec, &json!({"use": "enc"}), Some(KeyError::NotForVerifying));
    check_key(
        "use of another type",
        &ec,
        &json!({"use": 1}),
        Some(KeyError::Malformed("use")),
    );
    check_key("key_ops", &ec, &json!({"key_ops": ["sign", "verify"]}), None);
    check_key(
        "key_ops without verify",
        &ec,
        &json!({"key_ops": ["sign"]}),
        Some(KeyError::NotForVerifying),
    );
    check_key(
        "key_ops empty",
        &ec,
        &json!({"key_ops": []}),
        Some(KeyError::NotForVerifying),
    );
    check_key(
        "key_ops of another type",
        &ec,
        &json!({"key_ops": "verify"}),
        Some(KeyError::Malformed("key_ops")),
    );
}

#[test]
fn jwt_4_a_bad_key_is_left_out_alone() {
    let ec = es256().jwk("key");
    check_key("private", &ec, &json!({"d": "AAAA"}), Some(KeyError::Private));
    check_key(
        "private",
        &RS256.jwk("key"),
        &json!({"qi": "AAAA"}),
        Some(KeyError::Private),
    );
    check_key(
        "symmetric",
        &json!({"kty": "oct", "k": "c2VjcmV0"}),
        &json!({}),
        Some(KeyError::Symmetric),
    );
    check_key("no kty", &ec, &json!({"kty": null}), Some(KeyError::Malformed("kty")));
    check_key("another kty", &ec, &json!({"kty": "AKP"}), Some(KeyError::Unsupported));
    check_key(
        "another curve",
        &ec,
        &json!({"crv": "secp256k1"}),
        Some(KeyError::Unsupported),
    );
    check_key(
        "curve mixed up",
        &ec,
        &json!({"crv": "P-384"}),
        Some(KeyError::NotAValidKey),
    );
    check_key(
        "kid of another type",
        &ec,
        &json!({"kid": 1}),
        Some(KeyError::Malformed("kid")),
    );
    check_key(
        "off the curve",
        &ec,
        &json!({"x": URL_SAFE_NO_PAD.encode([7; 32])}),
        Some(KeyError::NotAValidKey),
    );
    check_key(
        "padded",
        &ec,
        &json!({"x": format!("{}=", ec["x"].as_str().unwrap())}),
        Some(KeyError::Malformed("x")),
    );
    check_key(
        "x25519",
        &eddsa().jwk("key"),
        &json!({"crv": "X25519"}),
        Some(KeyError::Unsupported),
    );
    check_key(
        "short ed25519",
        &eddsa().jwk("key"),
        &json!({"x": "AAAA"}),
        Some(KeyError::NotAValidKey),
    );
    check_key(
        "not an object",
        &json!({}),
        &json!({}),
        Some(KeyError::Malformed("kty")),
    );
}

#[test]
fn jwt_4_a_kid_that_means_two_keys_means_none() {
    let (one, two, rsa) = (es256(), es256(), &*RS256);
    let set = key_set(&[one.jwk("key"), two.jwk("key")]);
    check("two of one type", &good(&one), &set, Err(TokenError::AmbiguousKey));
    check("two of one type", &good(&two), &set, Err(TokenError::AmbiguousKey));
    check(
        "two of two types",
        &good(&one),
        &key_set(&[one.jwk("key"), rsa.jwk("key")]),
        Ok(()),
    );
    check(
        "one key twice",
        &good(&one),
        &key_set(&[one.jwk("key"), one.jwk("key")]),
        Ok(()),
    );
}

#[test]
fn jwt_5_kid_is_a_name_to_compare_and_nothing_else() {
    let bench = Bench::new();
    let unknown = |key_id: &str| {
        Err(TokenError::UnknownKey {
            key_id: key_id.to_owned(),
        })
    };
    for key_id in ["", "KEY", "key ", "../key", "http://evil/jwks", "' or 1=1", "\u{0}"] {
        bench.header(&json!({"kid": key_id}), unknown(key_id));
    }
    bench.header(&json!({"kid": "k".repeat(256)}), unknown(&"k".repeat(256)));
    bench.header(
        &json!({"kid": "k".repeat(257)}),
        Err(TokenError::HeaderMalformed("kid")),
    );
    for key_id in [json!(1), json!(["key"]), json!({})] {
        bench.header(&json!({"kid": key_id}), Err(TokenError::HeaderMalformed("kid")));
    }
}

#[test]
fn jwt_5_a_token_without_kid_needs_a_set_with_one_usable_key() {
    let (one, two) = (es256(), es256());
    let token = one.sign(&json!({"kid": null}), &claims(&json!({})));
    let mut encrypting = two.jwk("two");
    merge(&mut encrypting, &json!({"use": "enc"}));
    let mut nameless = one.jwk("x");
    merge(&mut nameless, &json!({"kid": null}));
    check("one key", &token, &keys(&one), Ok(()));
    check("one key without a name", &token, &key_set(&[nameless.clone()]), Ok(()));
    check(
        "one usable key",
        &token,
        &key_set(&[one.jwk("one"), encrypting]),
        Ok(()),
    );
    check(
        "one of an allowed algorithm",
        &token,
        &key_set(&[one.jwk("one"), es384().jwk("two")]),
        Ok(()),
    );
    check(
        "two keys",
        &token,
        &key_set(&[one.jwk("one"), two.jwk("two")]),
        Err(TokenError::NoKeyId),
    );
    check(
        "two types",
        &token,
        &key_set(&[one.jwk("one"), RS256.jwk("two")]),
        Err(TokenError::NoKeyId),
    );
    check("no key", &token, &key_set(&[]), Err(TokenError::NoKeyId));
    check("another key", &token, &keys(&two), Err(TokenError::BadSignature));
    let unknown = Err(TokenError::UnknownKey {
        key_id: "key".to_owned(),
    });
    check("a name that no key has", &good(&one), &key_set(&[nameless]), unknown);
}

#[test]
fn jwt_11_ecdsa_signatures_have_one_form() {
    let bench = Bench::new();
    let token = good(&bench.signer);
    let (input, signature) = token.rsplit_once('.').unwrap();
    let fixed = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let (r, s) = fixed.split_at(32);
    let with = |signature: &[u8]| format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature));
    let integer = |bytes: &[u8]| [&[0x02, 0x21, 0x00][..], bytes].concat();
    let der = [&[0x30, 0x46][..], &integer(r), &integer(s)].concat();
    // The order of P-256.
    let order = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let rows: [(&str, Vec<u8>); 9] = [
        ("der", der),
        ("all zero", vec![0; 64]),
        ("r zero", [&[0; 32], s].concat()),
        ("s zero", [r, &[0; 32]].concat()),
        ("r is n", [&order, s].concat()),
        ("s is n", [r, &order].concat()),
        ("short", fixed[..63].to_vec()),
        ("long", [&fixed[..], &[0]].concat()),
        ("halves swapped", [s, r].concat()),
    ];
    for (name, signature) in rows {
        check(name, &with(&signature), &bench.keys, Err(TokenError::BadSignature));
    }
}

#[test]
fn jwt_11_rsa_and_edwards_keys_have_bounds() {
    let base = RS256.jwk("key");
    let modulus = |bytes: &[u8]| json!({"n": URL_SAFE_NO_PAD.encode(bytes)});
    let exponent = |bytes: &[u8]| json!({"e": URL_SAFE_NO_PAD.encode(bytes)});
    let bounds = Some(KeyError::RsaOutOfBounds);
    check_key("1024 bits", &base, &modulus(&[0xff; 128]), bounds);
    check_key(
        "2047 bits",
        &base,
        &modulus(&[&[0x7f][..], &[0xff; 255]].concat()),
        bounds,
    );
    check_key(
        "zeros in front",
        &base,
        &modulus(&[&[0; 256][..], &[0xff; 128]].concat()),
        bounds,
    );
    check_key("16384 bits", &base, &modulus(&[0xff; 2048]), bounds);
    check_key("no modulus", &base, &modulus(&[]), bounds);
    check_key("e = 1", &base, &exponent(&[1]), bounds);
    check_key("e = 2", &base, &exponent(&[2]), bounds);
    check_key("e even", &base, &exponent(&[1, 0, 0]), bounds);
    check_key("e = 0", &base, &exponent(&[0]), bounds);
    check_key("e = 2^33 + 1", &base, &exponent(&[2, 0, 0, 0, 1]), bounds);
    check_key("e of nine bytes", &base, &exponent(&[1; 9]), bounds);
    check_key("e = 3", &base, &exponent(&[3]), None);
    let larger = rsa(KeySize::Rsa3072);
    check("3072 bits", &good(&larger), &keys(&larger), Ok(()));
    let small_order = json!({"kty": "OKP", "crv": "Ed25519", "kid": "key", "x": URL_SAFE_NO_PAD.encode([1; 32])});
    let token = eddsa().sign(&json!({}), &claims(&json!({})));
    verify(&token, &rules(), &key_set(&[small_order]), NOW).unwrap_err();
}

#[test]
fn jwt_14_a_set_has_at_most_a_hundred_keys() {
    let set = |count: usize| json!({"keys": vec![json!({"kty": "oct"}); count]}).to_string();
    assert_eq!(
        KeySet::parse(set(100).as_bytes()).map(|set| set.ignored().len()),
        Ok(100)
    );
    assert_eq!(KeySet::parse(set(101).as_bytes()).err(), Some(KeySetError::TooManyKeys));
}

#[test]
fn jwt_14_what_is_not_a_set_is_an_error_and_an_empty_set_is_not() {
    for text in ["{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"kty":"RSA"}"#] {
        assert_eq!(
            KeySet::parse(text.as_bytes()).err(),
            Some(KeySetError::NoKeys),
            "{text}"
        );
    }
    for text in ["", "<html>", "[]", "null", r#"{"keys":[],"keys":[]}"#] {
        assert!(
            matches!(KeySet::parse(text.as_bytes()), Err(KeySetError::NotJson(_))),
            "{text}"
        );
    }
    assert!(KeySet::parse(br#"{"keys":[]}"#).unwrap().is_empty());
}
