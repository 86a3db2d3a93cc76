//! Text with places for what an expression captured: names and labels of mappings, names and tags of mogrifiers.

use super::pattern::Captured;

/// Which places a text may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Syntax {
    /// `$1` only; a number that no group has stays as it is written (mogrifiers of envoyproxy/ratelimit).
    Numbers,
    /// `$1`, `${1}`, `$name`, `${name}`, `$$` for a dollar; a group that is not there is empty (`statsd_exporter`).
    Names,
}

/// A text whose places are resolved to groups.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Literal(String),
    Group(usize),
}

impl Template {
    /// Reads a text; `group` gives the number of a group by its number or name as written.
    #[must_use]
    pub(super) fn parse(text: &str, syntax: Syntax, group: impl Fn(&str) -> Option<usize>) -> Self {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            parts.push(Part::Literal(before.to_owned()));
            let (place, written, behind) = match syntax {
                Syntax::Numbers => number(after),
                Syntax::Names => name(after),
            };
            rest = behind;
            parts.push(match (group(place), syntax) {
                (Some(number), _) if !place.is_empty() => Part::Group(number),
                (_, Syntax::Numbers) => Part::Literal(format!("${written}")),
                (_, Syntax::Names) if place.is_empty() => Part::Literal("$".to_owned()),
                (_, Syntax::Names) => Part::Literal(String::new()),
            });
        }
        parts.push(Part::Literal(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Literal(text) if text.is_empty()));
        Self(parts)
    }

    /// The text with the places filled. A group that took no part in the match is empty.
    #[must_use]
    pub(super) fn fill(&self, captured: &Captured<'_>) -> String {
        let piece = |part: &Part| match part {
            Part::Literal(text) => text.clone(),
            Part::Group(number) => captured.group(*number).to_owned(),
        };
        self.0.iter().map(piece).collect()
    }
}

/// The place behind a `$`, what of it was written, and what follows.
type Place<'a> = (&'a str, &'a str, &'a str);

fn number(after: &str) -> Place<'_> {
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    let (place, rest) = after.split_at(end);
    (place, place, rest)
}

fn name(after: &str) -> Place<'_> {
    if let Some(rest) = after.strip_prefix('$') {
        return ("", "$", rest);
    }
    if let Some((place, rest)) = after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
        return (place, place, rest);
    }
    let end = after
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(after.len());
    let (place, rest) = after.split_at(end);
    (place, place, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::pattern::Pattern;

    #[track_caller]
    fn check(syntax: Syntax, text: &str, expected: &str) {
        let pattern = Pattern::expression(r"^(\w+)\.(?P<second>\w+)(\.x)?$").unwrap();
        let template = Template::parse(text, syntax, |place| pattern.group_number(place));
        assert_eq!(template.fill(&pattern.captures("one.two").unwrap()), expected, "{text}");
    }

    #[test]
    fn numbers_fill_and_unknown_ones_stay() {
        check(Syntax::Numbers, "a.$1-$2.z", "a.one-two.z");
        check(Syntax::Numbers, "$5", "$5");
        check(Syntax::Numbers, "$", "$");
        check(Syntax::Numbers, "${1}$second$$1", "${1}$second$one");
        check(Syntax::Numbers, "$3|", "|");
        check(Syntax::Numbers, "$0", "one.two");
        check(Syntax::Numbers, "", "");
    }

    #[test]
    fn names_fill_and_unknown_ones_are_empty() {
        check(Syntax::Names, "a.$1-${second}.z", "a.one-two.z");
        check(Syntax::Names, "$1_x", "");
        check(Syntax::Names, "${1}_x$9", "one_x");
        check(Syntax::Names, "$$1$", "$1$");
        check(Syntax::Names, "${open", "${open");
    }
}
