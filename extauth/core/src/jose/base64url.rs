//! Base64url as RFC 7515 section 2 has it and nothing wider: no padding, no line break, no `+` or `/`, and the unused
//! bits of the last character are zero, so that one byte string has one spelling.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes that `text` spells; `None` if it is not the one spelling of them.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_one_spelling() {
        assert_eq!(decode(""), Some(vec![]));
        assert_eq!(decode("Zg"), Some(b"f".to_vec()));
        assert_eq!(decode("-_8"), Some(vec![0xfb, 0xff]));
    }

    #[test]
    fn refuses_every_other_spelling() {
        for text in [
            "Zg==", "Zg=", "Zh", "Zm9=", "Zm8\n", " Zg", "Z g", "+/8", "Zg\0", "Z", "Zm9v.", "Zé",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
