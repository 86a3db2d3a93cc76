//! The names of statistics, as dashboards made for envoyproxy/ratelimit know them. Pure text.
//!
//! Keys of counters keep the original text; only what becomes part of a name goes through [`sanitised`]. Control
//! characters, which would break the line protocol, are `_` as well; `ratelimit` of the Envoy project sends them.

use std::borrow::Cow;

/// Before every statistic of a rule and of a domain.
const RULE: &str = "ratelimit.service.rate_limit";

/// What is counted for each rule.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RuleCounter {
    /// Hits asked for.
    TotalHits,
    /// Hits beyond the limit.
    OverLimit,
    /// Hits within the limit, above the near limit.
    NearLimit,
    /// Hits beyond the limit that were answered from memory.
    OverLimitWithLocalCache,
    /// Hits within the limit.
    WithinLimit,
    /// Hits beyond the limit of a rule in shadow mode.
    ShadowMode,
}

impl RuleCounter {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::TotalHits,
        Self::OverLimit,
        Self::NearLimit,
        Self::OverLimitWithLocalCache,
        Self::WithinLimit,
        Self::ShadowMode,
    ];

    /// The last part of the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TotalHits => "total_hits",
            Self::OverLimit => "over_limit",
            Self::NearLimit => "near_limit",
            Self::OverLimitWithLocalCache => "over_limit_with_local_cache",
            Self::WithinLimit => "within_limit",
            Self::ShadowMode => "shadow_mode",
        }
    }
}

/// Name of a rule's counter, written over what `name` held. `stats_key` is sanitised and starts with the domain.
pub fn write_rule(name: &mut String, stats_key: &str, counter: RuleCounter) {
    name.clear();
    for part in [RULE, ".", stats_key, ".", counter.as_str()] {
        name.push_str(part);
    }
}

/// Name of the count of requests for a domain that has no rules. Domains come from clients: bound them.
#[must_use]
pub fn domain_not_found(domain: &str) -> String {
    format!("{RULE}.{}.domain_not_found", sanitised(domain))
}

/// Name of a method's count of calls.
#[must_use]
pub fn total_requests(method: &str) -> String {
    format!("ratelimit_server.{method}.total_requests")
}

/// Name of a method's timer.
#[must_use]
pub fn response_time(method: &str) -> String {
    format!("ratelimit_server.{method}.response_time")
}

/// Text that may be part of a name: `:`, `|`, control characters and the dots of IPv4 literals become `_`.
/// Other dots, spaces, `/`, `*` and `#` stay.
#[must_use]
pub fn sanitised(text: &str) -> Cow<'_, str> {
    let is_clean = |byte: u8| !matches!(byte, b':' | b'|') && !byte.is_ascii_control();
    if text.bytes().all(is_clean) && ipv4(text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut literal = 0..0;
    for (at, character) in text.char_indices() {
        if at >= literal.end
            && let Some(length) = text.as_bytes().get(at..).and_then(ipv4_prefix)
        {
            literal = at..at.saturating_add(length);
        }
        let is_kept = match character {
            ':' | '|' => false,
            '.' => !literal.contains(&at),
            other => !other.is_ascii_control(),
        };
        clean.push(if is_kept { character } else { '_' });
    }
    Cow::Owned(clean)
}

/// Where the first text of the form `\d{1,3}(\.\d{1,3}){3}` begins.
fn ipv4(bytes: &[u8]) -> Option<usize> {
    (0..bytes.len()).find(|start| bytes.get(*start..).and_then(ipv4_prefix).is_some())
}

/// Length of such a text at the very beginning. Its last group takes as many digits as there are, up to three.
fn ipv4_prefix(bytes: &[u8]) -> Option<usize> {
    let mut length = 0_usize;
    for group in 0..4 {
        if group > 0 {
            let dot = bytes.get(length)?;
            length = (*dot == b'.').then(|| length.saturating_add(1))?;
        }
        let rest = bytes.get(length..)?;
        let digits = rest.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count();
        length = (digits > 0).then(|| length.saturating_add(digits))?;
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(sanitised(text), expected);
    }

    /// T1; numbers are those of our conformance list.
    #[test]
    fn t1_names_are_sanitised() {
        check("path_/foo/bar", "path_/foo/bar");
        check("path_/foo:*:bar", "path_/foo_*_bar");
        check("path_/foo|bar|baz", "path_/foo_bar_baz");
        check("path_/foo:bar|baz", "path_/foo_bar_baz");
        check("ip_10.0.0.1", "ip_10_0_0_1");
        check("masked_remote_address_0.0.0.0/0", "masked_remote_address_0_0_0_0/0");
        check(
            "masked_remote_address_invert_192.0.2.0/24",
            "masked_remote_address_invert_192_0_2_0/24",
        );
    }

    #[test]
    fn other_dots_and_signs_stay() {
        check("host_www.example.com", "host_www.example.com");
        check("version_1.2.3", "version_1.2.3");
        check("a b#c*d", "a b#c*d");
        check("größe_1.1.1.1é", "größe_1_1_1_1é");
    }

    #[test]
    fn literals_inside_longer_numbers_are_found_as_the_expression_finds_them() {
        check("1234.5.6.7", "1234_5_6_7");
        check("1.2.3.4567.8.9.1", "1_2_3_4567_8_9_1");
        check("1.2.3.4.5.6.7.8", "1_2_3_4.5_6_7_8");
        check("1.2.3.4567.8", "1_2_3_4567.8");
    }

    #[test]
    fn no_control_character_reaches_a_name() {
        check("a\nb\rc\0d\u{7f}", "a_b_c_d_");
    }

    #[test]
    fn names_have_the_shape_dashboards_know() {
        let mut name = String::from("left over");
        write_rule(&mut name, "mongo_cps.database_users", RuleCounter::TotalHits);
        assert_eq!(name, "ratelimit.service.rate_limit.mongo_cps.database_users.total_hits");
        assert_eq!(
            domain_not_found("a:b"),
            "ratelimit.service.rate_limit.a_b.domain_not_found"
        );
        assert_eq!(
            total_requests("ShouldRateLimit"),
            "ratelimit_server.ShouldRateLimit.total_requests"
        );
        assert_eq!(response_time("Check"), "ratelimit_server.Check.response_time");
    }

    proptest! {
        /// The expression of envoyproxy/ratelimit is the oracle; control characters are ours.
        #[test]
        fn agrees_with_the_expression(text in "([0-9]{1,4}\\.?|[a.:|é]){0,24}") {
            let expression = regex::Regex::new(r"[0-9]{1,3}(\.[0-9]{1,3}){3}").unwrap();
            let replaced = expression.replace_all(&text, |found: &regex::Captures<'_>| found[0].replace('.', "_"));
            prop_assert_eq!(sanitised(&text), replaced.replace([':', '|'], "_"));
        }
    }
}
