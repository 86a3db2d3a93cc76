//! `key_value` without joining it.
//!
//! Matching is defined on the joined text (so `a`,`b_c` and `a_b`,`c` are the same), but joining costs an allocation a
//! look-up. A [`Joined`] compares and hashes as if it had been joined.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::Entry;

/// The text `key`, or `key_value`, as three pieces that are never put together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Joined<'a> {
    pieces: [&'a [u8]; 3],
}

impl<'a> Joined<'a> {
    /// `key_value`, with the underscore even when the value is empty.
    pub(super) fn entry(entry: Entry<'a>) -> Self {
        Self {
            pieces: [entry.key.as_bytes(), b"_", entry.value.as_bytes()],
        }
    }

    /// One text that is whole already.
    pub(super) fn text(text: &'a str) -> Self {
        Self {
            pieces: [text.as_bytes(), b"", b""],
        }
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.iter().fold(0, |len, piece| len.saturating_add(piece.len()))
    }

    /// The part from `start` up to `end`; what lies outside the text is left out.
    pub(super) fn part(&self, start: usize, end: usize) -> Self {
        let mut offset = 0_usize;
        let pieces = self.pieces.map(|piece| {
            let from = start.saturating_sub(offset).min(piece.len());
            let to = end.saturating_sub(offset).min(piece.len());
            offset = offset.saturating_add(piece.len());
            piece.get(from..to).unwrap_or_default()
        });
        Self { pieces }
    }

    pub(super) fn equals(&self, text: &str) -> bool {
        let mut rest = text.as_bytes();
        for piece in self.pieces {
            let Some(after) = rest.strip_prefix(piece) else {
                return false;
            };
            rest = after;
        }
        rest.is_empty()
    }

    /// The text itself: borrowed when it lies in one piece, as what a wildcard leaves of a value does.
    pub(super) fn to_text(self) -> Cow<'a, str> {
        let mut pieces = self.pieces.into_iter().filter(|piece| !piece.is_empty());
        match (pieces.next(), pieces.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(piece), None) => String::from_utf8_lossy(piece),
            (Some(_), Some(_)) => Cow::Owned(String::from_utf8_lossy(&self.pieces.concat()).into_owned()),
        }
    }

    /// A hash that depends on the text alone and not on how it is cut: std's `SipHash` feeds on a stream of bytes.
    pub(super) fn hash(&self, state: &RandomState) -> u64 {
        let mut hasher = state.build_hasher();
        self.feed(&mut hasher);
        hasher.finish()
    }

    pub(super) fn feed(&self, hasher: &mut impl Hasher) {
        for piece in self.pieces {
            hasher.write(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined<'a>(key: &'a str, value: &'a str) -> Joined<'a> {
        Joined::entry(Entry { key, value })
    }

    #[test]
    fn equals_the_joined_text_and_nothing_else() {
        assert!(joined("a", "b_c").equals("a_b_c"));
        assert!(joined("a_b", "c").equals("a_b_c"));
        assert!(joined("a", "").equals("a_"));
        assert!(!joined("a", "").equals("a"));
        assert!(!joined("a", "b").equals("a_bc"));
        assert!(!joined("a", "bc").equals("a_b"));
    }

    #[test]
    fn the_hash_does_not_depend_on_where_the_text_is_cut() {
        let state = RandomState::new();
        let text = "a_key_of_some_length_and_its_value/with/a/path";
        for (at, _) in text.match_indices('_') {
            let (key, value) = text.split_at(at);
            let cut = joined(key, value.strip_prefix('_').unwrap());
            assert_eq!(cut.hash(&state), Joined::text(text).hash(&state), "cut at {at}");
        }
    }

    #[test]
    fn parts_cross_the_pieces() {
        let text = joined("abc", "def");
        assert!(text.part(2, 5).equals("c_d"));
        assert!(text.part(0, 7).equals("abc_def"));
        assert!(text.part(3, 3).equals(""));
        assert!(text.part(5, 99).equals("ef"));
        assert!(text.part(9, 2).equals(""));
    }

    #[test]
    fn is_borrowed_from_one_piece_and_joined_from_several() {
        let text = joined("ab", "cd");
        assert!(matches!(text.part(3, 5).to_text(), Cow::Borrowed("cd")));
        assert!(matches!(text.part(2, 2).to_text(), Cow::Borrowed("")));
        assert_eq!(text.part(1, 4).to_text(), "b_c");
    }
}
