//! What holds for every token: good ones verify, and nothing made at random or changed does.

use super::*;

#[test]
fn good_tokens_of_every_default_algorithm_verify() {
    for signer in [RS256.with("RS256"), RS256.with("PS256"), es256(), eddsa()] {
        let verified = verify(&good(&signer), &rules(), &keys(&signer), NOW).unwrap();
        assert_eq!(verified.subject(), Some("alice"), "{}", signer.algorithm());
    }
}

#[test]
fn a_changed_token_does_not_verify() {
    let bench = Bench::new();
    let token = good(&bench.signer);
    let (input, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let evil = URL_SAFE_NO_PAD.encode(claims(&json!({"sub": "root"})).to_string());
    check(
        "payload",
        &format!("{header}.{evil}.{signature}"),
        &bench.keys,
        Err(TokenError::BadSignature),
    );
}

proptest! {
    #[test]
    fn no_random_text_verifies(token in "\\PC*") {
        prop_assert!(verify(&token, &rules(), &keys(&es256()), NOW).is_err());
    }

    #[test]
    fn no_random_parts_verify(header in prop::collection::vec(any::<u8>(), 0..80), payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let bench = Bench::new();
        prop_assert!(verify(&bench.signer.sign_raw(&header, &payload), &rules(), &bench.keys, NOW).is_err());
    }

    #[test]
    fn one_changed_character_is_enough(at in 0_usize..400, with in "[A-Za-z0-9._=+/ -]") {
        let bench = Bench::new();
        let token = good(&bench.signer);
        let at = at % token.len();
        let (before, after) = (token.get(..at).unwrap(), token.get(at + 1..).unwrap());
        let changed = format!("{before}{with}{after}");
        prop_assume!(changed != token);
        prop_assert!(verify(&changed, &rules(), &bench.keys, NOW).is_err());
    }

    #[test]
    fn no_random_bytes_make_a_key_set_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(KeySet::parse(&text).map_or(true, |set| set.is_empty()));
    }
}
