//! Mogrifiers: names turned into shorter names and tags before they go to a `DogStatsD` agent.
//!
//! One is three variables, `DOG_STATSD_MOGRIFIER_<X>_PATTERN`, `_NAME` and `_TAGS`, for each `X` of
//! `USE_DOG_STATSD_MOGRIFIERS`. Everything that is wrong with them is found at start and all at once.

use std::borrow::Cow;

use super::pattern::{Pattern, PatternError};
use super::sample::Sample;
use super::tags::Tags;
use super::template::{Syntax, Template};

/// The rewritings in the order they are tried. Empty is fine.
#[derive(Clone, Debug, Default)]
pub struct Mogrifiers(Vec<Mogrifier>);

#[derive(Clone, Debug)]
struct Mogrifier {
    pattern: Pattern,
    name: Template,
    tags: Vec<(String, Template)>,
}

/// What is wrong with a variable. The operator has to act.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MogrifierError {
    /// A pattern or name is not there or empty.
    #[error("{variable}: required for each name in USE_DOG_STATSD_MOGRIFIERS, and not empty")]
    Missing {
        /// The variable.
        variable: String,
    },
    /// A pattern does not compile.
    #[error("{variable}: {reason}")]
    Pattern {
        /// The variable.
        variable: String,
        /// Why not.
        reason: PatternError,
    },
    /// A tag is not a key and a value.
    #[error("{variable}: expected `key:value` with both parts, got '{item}'")]
    Tag {
        /// The variable.
        variable: String,
        /// The part between commas.
        item: String,
    },
}

impl Mogrifiers {
    /// Reads the variables of each name through `variable`, which gives `None` for one that is not set.
    ///
    /// # Errors
    /// Every missing or empty pattern or name, every pattern that does not compile, every tag without key or value.
    pub fn read(names: &[String], variable: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<MogrifierError>> {
        let mut mogrifiers = Vec::new();
        let mut errors = Vec::new();
        for name in names {
            mogrifiers.extend(read(name, &variable, &mut errors));
        }
        if errors.is_empty() {
            Ok(Self(mogrifiers))
        } else {
            Err(errors)
        }
    }

    /// The sample as it is sent: of the first mogrifier that matches, its name, and its tags after those there are.
    #[must_use]
    pub fn apply<'s>(&self, sample: &'s Sample<'s>, name: &'s mut String) -> Sample<'s> {
        let captured = |mogrifier: &'_ Mogrifier| mogrifier.pattern.captures(sample.name);
        let found = self
            .0
            .iter()
            .find_map(|mogrifier| Some((mogrifier, captured(mogrifier)?)));
        let Some((mogrifier, captured)) = found else {
            return Sample {
                tags: Cow::Borrowed(&sample.tags),
                ..*sample
            };
        };
        *name = mogrifier.name.fill(&captured);
        let tags = mogrifier
            .tags
            .iter()
            .map(|(key, value)| (key.clone(), value.fill(&captured)));
        let tags = sample.tags.followed_by(Tags::verbatim(tags.collect()));
        Sample {
            name,
            tags: Cow::Owned(tags),
            kind: sample.kind,
        }
    }
}

fn read(name: &str, variable: &impl Fn(&str) -> Option<String>, errors: &mut Vec<MogrifierError>) -> Option<Mogrifier> {
    let full = |part: &str| format!("DOG_STATSD_MOGRIFIER_{name}_{part}");
    let mut required = |part: &str| {
        let text = variable(&full(part)).filter(|text| !text.is_empty());
        if text.is_none() {
            errors.push(MogrifierError::Missing { variable: full(part) });
        }
        text
    };
    let (pattern, new_name) = (required("PATTERN"), required("NAME"));
    let pattern = pattern.and_then(|text| match Pattern::expression(&text) {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            errors.push(MogrifierError::Pattern {
                variable: full("PATTERN"),
                reason,
            });
            None
        }
    });
    let tags = variable(&full("TAGS")).unwrap_or_default();
    let pairs: Vec<_> = tags
        .split(',')
        .filter(|_| !tags.is_empty())
        .filter_map(|item| {
            let pair = item
                .split_once(':')
                .filter(|(key, value)| !key.is_empty() && is_value(value));
            if pair.is_none() {
                errors.push(MogrifierError::Tag {
                    variable: full("TAGS"),
                    item: item.to_owned(),
                });
            }
            pair
        })
        .collect();

    let (pattern, new_name) = (pattern?, new_name?);
    let template = |text: &str| Template::parse(text, Syntax::Numbers, |place| pattern.group_number(place));
    let tags = pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), template(value)))
        .collect();
    Some(Mogrifier {
        name: template(&new_name),
        tags,
        pattern,
    })
}

/// A second colon is refused, as in every map of the environment.
fn is_value(text: &str) -> bool {
    !text.is_empty() && !text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::sample::Kind;

    const NAME: &str = "ratelimit.service.rate_limit.mongo_cps.database_users.within_limit";
    const PATTERN: &str = r"^ratelimit\.service\.rate_limit\.(.*)\.(.*)\.(.*)$";

    /// Reads mogrifiers from `PART_OF_NAME=value` rows.
    fn read(names: &[&str], rows: &[(&str, &str)]) -> Result<Mogrifiers, Vec<MogrifierError>> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Mogrifiers::read(&names, |variable| {
            let wanted = variable.strip_prefix("DOG_STATSD_MOGRIFIER_").unwrap();
            rows.iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[track_caller]
    fn check(mogrifiers: &Mogrifiers, full_name: &str, expected: &str) {
        let common = Tags::extra([("region", "eu")]);
        let sample = Sample::new(full_name, &common, Kind::Counter(1));
        let mut name = String::new();
        let sent = mogrifiers.apply(&sample, &mut name);
        let tags: Vec<_> = sent.tags.iter().map(|(key, value)| format!("{key}:{value}")).collect();
        assert_eq!(format!("{} {}", sent.name, tags.join(",")), expected);
    }

    /// T4, second half; numbers are those of our conformance list.
    #[test]
    fn t4_extra_tags_come_before_those_of_the_mogrifier() {
        let some = read(&["A"], &[("A_PATTERN", "^t$"), ("A_NAME", "new"), ("A_TAGS", "m:1")]).unwrap();
        check(&some, "t.__COMMIT=12345", "new region:eu,COMMIT:12345,m:1");
        check(&some, "other.__COMMIT=12345", "other region:eu,COMMIT:12345");
    }

    #[test]
    fn t5_groups_fill_name_and_tags() {
        let tags = "domain:$1,descriptor:$2,fixed:x,none:$5";
        let rows = [
            ("A_PATTERN", PATTERN),
            ("A_NAME", "ratelimit.service.rate_limit.$3"),
            ("A_TAGS", tags),
        ];
        let some = read(&["A"], &rows).unwrap();
        check(
            &some,
            NAME,
            "ratelimit.service.rate_limit.within_limit \
             region:eu,domain:mongo_cps,descriptor:database_users,fixed:x,none:$5",
        );
        check(&some, "unrelated.name", "unrelated.name region:eu");
    }

    #[test]
    fn t5_the_first_match_wins() {
        let rows = [
            ("A_PATTERN", "limit"),
            ("A_NAME", "first"),
            ("B_PATTERN", "limit"),
            ("B_NAME", "second"),
        ];
        check(&read(&["A", "B"], &rows).unwrap(), NAME, "first region:eu");
        check(&read(&["B", "A"], &rows).unwrap(), NAME, "second region:eu");
    }

    #[test]
    fn t5_no_mogrifiers_are_fine() {
        check(&read(&[], &[]).unwrap(), "x", "x region:eu");
    }

    #[track_caller]
    fn refused(rows: &[(&str, &str)], expected: &[&str]) {
        let errors = read(&["A"], rows).unwrap_err();
        let shown: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn t5_each_mistake_is_an_error_that_names_its_variable() {
        const PATTERN_MISSING: &str = "DOG_STATSD_MOGRIFIER_A_PATTERN: required for each name in \
                                       USE_DOG_STATSD_MOGRIFIERS, and not empty";
        const NAME_MISSING: &str = "DOG_STATSD_MOGRIFIER_A_NAME: required for each name in \
                                    USE_DOG_STATSD_MOGRIFIERS, and not empty";
        let good = [("A_PATTERN", "p"), ("A_NAME", "n")];
        let with_tags = |tags| [good[0], good[1], ("A_TAGS", tags)];
        refused(&[], &[PATTERN_MISSING, NAME_MISSING]);
        refused(&[("A_PATTERN", ""), good[1]], &[PATTERN_MISSING]);
        refused(&[good[0], ("A_NAME", "")], &[NAME_MISSING]);
        for (tags, item) in [
            (":5", ":5"),
            ("a:", "a:"),
            ("a:1,b", "b"),
            ("a:b:c", "a:b:c"),
            ("a:1,", ""),
        ] {
            let expected = format!("DOG_STATSD_MOGRIFIER_A_TAGS: expected `key:value` with both parts, got '{item}'");
            refused(&with_tags(tags), &[&expected]);
        }
        let errors = read(&["A"], &[("A_PATTERN", "("), good[1]]).unwrap_err();
        assert!(matches!(errors[..], [MogrifierError::Pattern { .. }]), "{errors:?}");
    }

    #[test]
    fn all_mistakes_come_at_once() {
        let errors = read(&["A", "B"], &[("A_PATTERN", "("), ("A_TAGS", "x,:y")]).unwrap_err();
        assert_eq!(errors.len(), 6);
    }
}
