//! Tags of statistics: made from `EXTRA_TAGS` or from the end of a name, kept in order.
//!
//! envoyproxy/ratelimit writes tags into names, as `name.__region=eu`; [`Tags::write_suffix`] and [`Tags::split`] are
//! that form both ways. Sinks that know tags (`DogStatsD`, Prometheus labels) take them from here as pairs.

/// What begins a tag in a name.
const MARK: &str = ".__";

/// Keys and values in the order they are written.
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    /// Tags as envoyproxy/ratelimit takes them from `EXTRA_TAGS`: sorted by key, of one key the last, `.`, `:` and `|`
    /// in values `_`, pairs without key or without value left out.
    #[must_use]
    pub fn extra<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut sorted = std::collections::BTreeMap::new();
        for (key, value) in pairs {
            sorted.insert(key, value);
        }
        let kept = sorted
            .into_iter()
            .filter(|(key, value)| !key.is_empty() && !value.is_empty());
        Self(
            kept.map(|(key, value)| (key.to_owned(), value.replace(['.', ':', '|'], "_")))
                .collect(),
        )
    }

    /// Tags exactly as given.
    #[must_use]
    pub const fn verbatim(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// Takes `.__key=value` from the end of a name. A part without `=` is taken off and is no tag.
    #[must_use]
    pub fn split(full_name: &str) -> (&str, Self) {
        let mut parts = full_name.split(MARK);
        let name = parts.next().unwrap_or_default();
        let pairs = parts.filter_map(|part| part.split_once('='));
        let owned = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        (name, Self(owned.collect()))
    }

    /// These tags, then the others.
    #[must_use]
    pub fn followed_by(&self, others: Self) -> Self {
        let mut all = self.0.clone();
        all.extend(others.0);
        Self(all)
    }

    /// Writes the tags the way a name carries them.
    pub fn write_suffix(&self, name: &mut String) {
        for (key, value) in &self.0 {
            for part in [MARK, key, "=", value] {
                name.push_str(part);
            }
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn suffix(pairs: &[(&str, &str)], expected: &str) {
        let mut name = String::from("n");
        Tags::extra(pairs.iter().copied()).write_suffix(&mut name);
        assert_eq!(name, format!("n{expected}"));
    }

    #[test]
    fn extra_tags_are_sorted_and_cleaned() {
        suffix(&[], "");
        suffix(&[("b", "2"), ("a", "1")], ".__a=1.__b=2");
        suffix(&[("host", "a.b:1|2")], ".__host=a_b_1_2");
        suffix(&[("", "x"), ("y", "")], "");
        suffix(&[("a", "1"), ("a", "2")], ".__a=2");
    }

    #[track_caller]
    fn splits(full: &str, name: &str, pairs: &[(&str, &str)]) {
        let (found, tags) = Tags::split(full);
        assert_eq!(
            (found, tags.iter().collect::<Vec<_>>()),
            (name, pairs.to_vec()),
            "{full}"
        );
    }

    /// T4, first half; numbers are those of our conformance list.
    #[test]
    fn t4_tags_leave_the_name() {
        splits("test.counter", "test.counter", &[]);
        splits("test.counter.__COMMIT=12345", "test.counter", &[("COMMIT", "12345")]);
        splits(
            "t.__COMMIT=12345.__DEPLOY=6890",
            "t",
            &[("COMMIT", "12345"), ("DEPLOY", "6890")],
        );
        splits("test.counter.__COMMIT", "test.counter", &[]);
    }
}
