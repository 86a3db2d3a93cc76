//! The dialect of the documents: what existing files rely on, and what a hostile one must not do.

use super::*;

#[track_caller]
fn one(text: &str) -> Node {
    let mut documents = parse(text.as_bytes()).unwrap();
    assert_eq!(documents.len(), 1, "{text:?}");
    documents.remove(0)
}

/// The node as compact JSON-like text.
fn show(node: &Node) -> String {
    match &node.value {
        Value::Null => "null".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => format!("{number:?}"),
        Value::String(text) => format!("{text:?}"),
        Value::Seq(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(",")),
        Value::Map(entries) => {
            let entries = entries
                .iter()
                .map(|entry| format!("{}:{}", show(&entry.key), show(&entry.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
    }
}

#[track_caller]
fn reads(text: &str, expected: &str) {
    assert_eq!(show(&one(text)), expected, "{text:?}");
}

#[track_caller]
fn refuses(text: impl AsRef<[u8]>, expected: &str) {
    let text = text.as_ref();
    let error = parse(text).expect_err(&String::from_utf8_lossy(text));
    assert_eq!(error.to_string(), expected, "{:?}", String::from_utf8_lossy(text));
}

#[test]
fn reads_block_flow_and_json_style() {
    reads("a:\n  - b\n  - c: d\n", r#"{"a":["b",{"c":"d"}]}"#);
    reads("a:\n- b\n", r#"{"a":["b"]}"#);
    reads("{\"a\": [1, \"2\", true]}", r#"{"a":[1,"2",true]}"#);
    reads("a: |\n  x\n  y\nb: >\n  x\n  y\n", r#"{"a":"x\ny\n","b":"x y\n"}"#);
    reads("a:\n", r#"{"a":null}"#);
}

#[test]
fn quotes_make_strings_and_tags_overrule_quotes() {
    reads(
        r#"['5', "yes", 5, !!str 5, !!int "5", !!float 5, !!bool 'no', !custom 5]"#,
        r#"["5","yes",5,"5",5,5.0,false,"5"]"#,
    );
    refuses("a: !!int five", "line 1: cannot decode `five` as a !!int");
}

#[test]
fn keeps_the_source_text_of_scalars() {
    let node = one("[010, yes, ~, 1e3, \"a\\tb\", plain]");
    let texts: Vec<_> = node
        .as_seq()
        .unwrap()
        .iter()
        .map(|item| (item.text().unwrap(), item.is_plain()))
        .collect();
    assert_eq!(
        texts,
        [
            ("010", true),
            ("yes", true),
            ("~", true),
            ("1e3", true),
            ("a\tb", false),
            ("plain", true)
        ]
    );
    assert_eq!(node.text(), None);
}

#[test]
fn knows_line_and_column_of_keys_and_values() {
    let node = one("# comment\ndomain: d\nlist:\n  - key: ä\n    unit:  minute\n");
    let at = |node: &Node| node.position.to_string();
    assert_eq!(at(&node), "2:1");
    let list = node.field("list").unwrap();
    assert_eq!(at(list), "4:3");
    let item = &list.as_seq().unwrap()[0];
    assert_eq!(at(item), "4:5");
    assert_eq!(at(&item.as_map().unwrap()[1].key), "5:5");
    assert_eq!(at(item.field("unit").unwrap()), "5:12");
}

#[test]
fn takes_byte_order_mark_windows_lines_and_several_documents() {
    reads("\u{feff}a: 1\r\nb:\r\n  - 2\r\n", r#"{"a":1,"b":[2]}"#);
    let documents = parse(b"---\na: 1\n---\n---\nb: 2\n...\n").unwrap();
    assert_eq!(
        documents.iter().map(show).collect::<Vec<_>>(),
        [r#"{"a":1}"#, "null", r#"{"b":2}"#]
    );
    assert_eq!(parse(b"").unwrap(), []);
    assert_eq!(parse(b"# nothing\n").unwrap(), []);
}

#[test]
fn the_last_of_duplicate_keys_wins() {
    let node = one("a: 1\nb: 2\na: 3\n");
    assert_eq!(node.field("a").unwrap().as_int(), Some(3));
    assert_eq!(node.field("c"), None);
}

#[test]
fn resolves_anchors_aliases_and_merge_keys() {
    reads("a: &x {u: 1}\nb: *x\n", r#"{"a":{"u":1},"b":{"u":1}}"#);
    let node = one("base: &b {u: 1, v: 1}\nafter: {<<: *b, u: 2}\nbefore: {u: 2, <<: *b}\n");
    assert_eq!(node.field("after").unwrap().field("u").unwrap().as_int(), Some(2));
    assert_eq!(node.field("after").unwrap().field("v").unwrap().as_int(), Some(1));
    assert_eq!(
        node.field("before").unwrap().field("u").unwrap().as_int(),
        Some(1),
        "as yaml.v2 does"
    );
    let node = one("- &a {u: 1}\n- &b {u: 2, v: 2}\n- {<<: [*a, *b]}\n");
    let merged = &node.as_seq().unwrap()[2];
    assert_eq!(merged.field("u").unwrap().as_int(), Some(1));
    assert_eq!(merged.field("v").unwrap().as_int(), Some(2));
    reads("'<<': {u: 1}", r#"{"<<":{"u":1}}"#);
}

#[test]
fn refuses_aliases_that_lead_nowhere() {
    refuses("a: *x\n", "line 1: unknown anchor referenced");
    refuses("a: &x [*x]\n", "line 1: anchor value contains itself");
    refuses("a: &x 1\n---\nb: *x\n", "line 3: unknown anchor referenced");
    refuses(
        "<<: 5\n",
        "line 1: map merge requires map or sequence of maps as the value",
    );
}

#[test]
fn words_syntax_errors_as_libyaml_does() {
    refuses("'''\n", "line 2: found unexpected end of stream");
    refuses(
        "domain: d\ndescriptors: [\n",
        "line 2: did not find expected node content",
    );
    refuses(
        "domain: d\ndescriptors:\n\t- key: a\n",
        "line 3: found character that cannot start any token",
    );
    refuses("a: b: c\n", "line 1: mapping values are not allowed in this context");
    refuses("a: @b\n", "line 1: found character that cannot start any token");
    refuses("a: [b\n", "line 1: did not find expected ',' or ']'");
}

#[test]
fn refuses_what_is_not_text() {
    refuses(b"domain: d\nkey: \xff\xfe\n", "line 2: invalid leading UTF-8 octet");
    refuses(b"key: \xe2\x82", "line 1: incomplete UTF-8 octet sequence");
    refuses("a: \u{1}\n", "line 1: control characters are not allowed");
    refuses("a: \0\n", "line 1: control characters are not allowed");
}

#[test]
fn bounds_size_depth_and_aliases() {
    assert_eq!(
        parse(&vec![b' '; TEXT_BYTES_MAX + 1]).unwrap_err(),
        SyntaxError {
            position: None,
            message: format!("text is longer than {TEXT_BYTES_MAX} bytes")
        }
    );
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(parse(nested(DEPTH_MAX).as_bytes()).unwrap().len(), 1);
    refuses(
        nested(DEPTH_MAX + 1),
        "line 1: document is nested deeper than 200 levels",
    );
    // The depth that aliases bring in counts too.
    let chain: Vec<_> = (1..=DEPTH_MAX).map(|n| format!("- &a{n} [*a{}]", n - 1)).collect();
    refuses(
        format!("- &a0 x\n{}\n", chain.join("\n")),
        "line 201: document is nested deeper than 200 levels",
    );
    let ten = |n: usize| vec![format!("*a{n}"); 10].join(",");
    let laughs: Vec<_> = (1..9).map(|n| format!("a{n}: &a{n} [{}]", ten(n - 1))).collect();
    refuses(
        format!("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{}\n", laughs.join("\n")),
        "line 5: document contains excessive aliasing",
    );
    let long = "x".repeat(1 << 20);
    refuses(
        format!("a: &a {long}\nb: [{}]", vec!["*a"; 1000].join(",")),
        "line 2: document contains excessive aliasing",
    );
}

mod reader {
    use std::cell::RefCell;

    use super::*;
    use crate::problem::Problems;

    /// Runs `read` over `text` and returns the problems, one a line.
    fn problems(text: &str, read: impl FnOnce(Reader<'_>)) -> Vec<String> {
        let node = one(text);
        let problems = RefCell::new(Problems::new());
        read(Reader::root("f.yaml", &node, &problems));
        problems.into_inner().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_typed_fields_in_several_spellings() {
        let found = problems(
            "rateLimit: {count: 5, on: yes, s: 010}\nlist: [a, b]\nnone: ~\n",
            |root| {
                let limit = root.map(["rateLimit", "rate_limit"]).unwrap();
                assert_eq!(limit.optional_int::<u32>("count"), Some(5));
                assert_eq!(limit.optional_str("s"), Some("010"), "text as written");
                assert_eq!(limit.node().field("on"), None, "`on` is a boolean key");
                let list: Vec<_> = root.list("list").iter().filter_map(Reader::str).collect();
                assert_eq!(list, ["a", "b"]);
                assert_eq!(root.optional_str("none"), None);
                assert!(root.list("absent").is_empty());
            },
        );
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn collects_every_problem_with_place_and_path() {
        let found = problems(
            "list:\n  - i: -1\n    b: \"true\"\n  - i: x\n    s: [1]\n  - 7\n",
            |root| {
                for item in root.list("list") {
                    let _: (Option<u32>, _, _) =
                        (item.optional_int("i"), item.optional_bool("b"), item.optional_str("s"));
                }
                assert_eq!(root.required_str("domain"), None);
            },
        );
        assert_eq!(
            found,
            [
                "f.yaml:2:8: list[0].i: number is out of range, found '-1' (allowed: 0 to 4294967295)",
                "f.yaml:3:8: list[0].b: expected a boolean, got a string, found 'true'",
                "f.yaml:4:8: list[1].i: expected a whole number, got a string, found 'x'",
                "f.yaml:5:8: list[1].s: expected a string, got a list",
                "f.yaml:6:5: list[2]: expected a map, got a whole number, found '7'",
                "f.yaml:6:5: list[2]: expected a map, got a whole number, found '7'",
                "f.yaml:6:5: list[2]: expected a map, got a whole number, found '7'",
                "f.yaml:1:1: field 'domain' is required",
            ]
        );
    }

    #[test]
    fn names_unknown_fields_at_their_key() {
        let found = problems("a: 1\nbust: 2\n7: x\n", |root| root.deny_unknown(&["a", "burst"]));
        assert_eq!(
            found,
            [
                "f.yaml:2:1: unknown field 'bust' (allowed: a, burst)",
                "f.yaml:3:1: unknown field '7' (allowed: a, burst)"
            ]
        );
    }

    #[test]
    fn says_what_a_choice_allows() {
        let found = problems("unit: fortnight", |root| {
            assert_eq!(root.field("unit").unwrap().one_of(&[("day", 1), ("week", 7)]), None);
        });
        assert_eq!(
            found,
            ["f.yaml:1:7: unit: unknown value, found 'fortnight' (allowed: day, week)"]
        );
    }

    #[test]
    fn does_not_repeat_hidden_or_endless_values() {
        let long = "x".repeat(200);
        let found = problems(&format!("password: hunter2\nlong: {long}\n"), |root| {
            root.field("password").unwrap().hidden().reject("too short");
            root.field("long").unwrap().reject("too long");
        });
        assert_eq!(found[0], "f.yaml:1:11: password: too short");
        assert!(found[1].ends_with("xxx…'"), "{}", found[1]);
        assert!(found[1].len() < 150);
    }
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// No text makes the parser panic, and what it accepts it can show.
        #[test]
        fn any_text_is_read_or_refused(text in "[-\\[\\]{}&*a:!|>'\"#%@`? \t\n\r0-9~<,.]{0,60}") {
            if let Ok(documents) = parse(text.as_bytes()) {
                for node in &documents {
                    drop(show(node));
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(parse(&bytes));
        }
    }
}
