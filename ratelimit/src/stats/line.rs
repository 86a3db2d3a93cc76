//! Lines of the statsd protocol and of its `DogStatsD` dialect. The one place that writes them, so the one place that
//! keeps separators and line ends out of names and tags, whatever they came from.

use super::sample::{Kind, Sample};
use super::tags::Tags;

/// How tags are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    /// Into the name: `name.__region=eu:1|c`.
    Statsd,
    /// After the value: `name:1|c|#region:eu`.
    DogStatsd,
}

/// Appends the line of a sample, line end included.
pub(super) fn write(line: &mut Vec<u8>, dialect: Dialect, sample: &Sample<'_>) {
    let (value, letter) = match sample.kind {
        Kind::Counter(delta) => (delta, "c"),
        Kind::Gauge(value) => (value, "g"),
        Kind::Timer(elapsed) => (u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), "ms"),
    };
    write_clean(line, sample.name);
    if dialect == Dialect::Statsd {
        write_suffix(line, &sample.tags);
    }
    line.push(b':');
    line.extend_from_slice(value.to_string().as_bytes());
    line.push(b'|');
    line.extend_from_slice(letter.as_bytes());
    if dialect == Dialect::DogStatsd {
        write_tags(line, &sample.tags);
    }
    line.push(b'\n');
}

fn write_suffix(line: &mut Vec<u8>, tags: &Tags) {
    let mut suffix = String::new();
    tags.write_suffix(&mut suffix);
    write_clean(line, &suffix);
}

fn write_tags(line: &mut Vec<u8>, tags: &Tags) {
    let mut before: &[u8] = b"|#";
    for (key, value) in tags.iter() {
        line.extend_from_slice(before);
        write_clean_tag(line, key);
        line.push(b':');
        write_clean_tag(line, value);
        before = b",";
    }
}

fn write_clean(line: &mut Vec<u8>, text: &str) {
    line.extend(text.bytes().map(|byte| match byte {
        b':' | b'|' => b'_',
        control if control.is_ascii_control() => b'_',
        other => other,
    }));
}

/// A comma would begin another tag.
fn write_clean_tag(line: &mut Vec<u8>, text: &str) {
    write_clean(line, &text.replace(',', "_"));
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn text(dialect: Dialect, sample: &Sample<'_>) -> String {
        let mut line = Vec::new();
        write(&mut line, dialect, sample);
        String::from_utf8(line).unwrap()
    }

    #[track_caller]
    fn check(kind: Kind, statsd: &str, dog: &str) {
        let tags = Tags::extra([("b", "2"), ("a", "1.5")]);
        let sample = Sample::new("x.y", &tags, kind);
        assert_eq!(text(Dialect::Statsd, &sample), statsd);
        assert_eq!(text(Dialect::DogStatsd, &sample), dog);
    }

    #[test]
    fn each_kind_has_its_letter() {
        check(Kind::Counter(3), "x.y.__a=1_5.__b=2:3|c\n", "x.y:3|c|#a:1_5,b:2\n");
        check(Kind::Gauge(0), "x.y.__a=1_5.__b=2:0|g\n", "x.y:0|g|#a:1_5,b:2\n");
        let elapsed = Duration::from_micros(12_900);
        check(
            Kind::Timer(elapsed),
            "x.y.__a=1_5.__b=2:12|ms\n",
            "x.y:12|ms|#a:1_5,b:2\n",
        );
    }

    #[test]
    fn without_tags_there_is_no_mark() {
        let none = Tags::default();
        let sample = Sample::new("x", &none, Kind::Counter(1));
        assert_eq!(text(Dialect::Statsd, &sample), "x:1|c\n");
        assert_eq!(text(Dialect::DogStatsd, &sample), "x:1|c\n");
    }

    proptest! {
        /// Whatever a name or a tag holds, a line is one line with the separators that the protocol gives it.
        #[test]
        fn nothing_breaks_out_of_its_place(name in ".*|[:|,#\n\r.]*", key in "\\PC+", value in "(?s).*|[:|,#\n\r]*") {
            let tags = Tags::verbatim(vec![(key, value)]);
            let sample = Sample { name: &name, tags: Cow::Borrowed(&tags), kind: Kind::Counter(1) };

            let statsd = text(Dialect::Statsd, &sample);
            let body = statsd.strip_suffix(":1|c\n").unwrap();
            prop_assert!(!body.contains([':', '|', '\n', '\r']), "{body:?}");

            let dog = text(Dialect::DogStatsd, &sample);
            let body = dog.strip_suffix('\n').unwrap();
            prop_assert!(!body.contains(['\n', '\r']));
            prop_assert_eq!(body.matches('|').count(), 2);
            prop_assert_eq!(body.matches(':').count(), 2);
            let (_, tags) = body.split_once("|#").unwrap();
            prop_assert!(!tags.contains(','));
        }
    }
}
