//! How the story looks on a terminal. Colour only there; a pipe gets plain text.
//!
//! It decides nothing. A terminal that has gone away is no reason to fail: what cannot be written is not missed.

use std::io::{IsTerminal as _, Stdout, Write as _};

use e2e::client::{Answer, Request};
use e2e::stack::{Stack, Store};
use e2e::story::Step;

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";
const BOLD: &str = "1";
const DIM: &str = "2";

/// Headers of an answer that are part of the story.
const SHOWN: [&str; 5] = [
    "www-authenticate",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-envoy-ratelimited",
];
/// How much of a token is shown: enough to tell two apart.
const TOKEN_CHARS: usize = 10;
/// A body longer than this is not shown.
const BODY_BYTES: usize = 200;

/// Writes the story.
#[derive(Debug)]
pub(crate) struct Narrator {
    out: Stdout,
    colours: bool,
    steps: u32,
    last_why: Option<&'static str>,
}

impl Narrator {
    pub(crate) fn on_stdout() -> Self {
        let out = std::io::stdout();
        Self {
            colours: out.is_terminal(),
            out,
            steps: 0,
            last_why: None,
        }
    }

    pub(crate) fn starting(&self, store: Store) {
        let counters = match store {
            Store::Memory => "counters in memory",
            Store::Redis => "counters in Redis",
        };
        self.line(&format!(
            "starting Envoy, extauth, ratelimit ({counters}), an issuer and an upstream ..."
        ));
    }

    pub(crate) fn started(&self, stack: &Stack) {
        self.line(&format!(
            "Envoy listens on http://{}; logs are in {}",
            stack.envoy.address,
            stack.directory().display()
        ));
        self.line("");
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.steps = self.steps.saturating_add(1);
        let colour = match step.answer.status {
            200..=299 => GREEN,
            429 => YELLOW,
            _ => RED,
        };
        let status = self.paint(colour, &step.answer.status.to_string());
        if self.last_why == Some(step.why) {
            // The same again needs one line.
            let left = step
                .answer
                .header("x-ratelimit-remaining")
                .map_or(String::new(), |left| format!(", {left} left"));
            self.line(&format!(
                "{:>3}  {}: GET {} -> {status}{left}",
                self.steps, step.title, step.request.path
            ));
        } else {
            self.line(&format!("{:>3}  {}", self.steps, self.paint(BOLD, &step.title)));
            self.line(&format!("     {} {}", self.paint(DIM, "sent"), sent(&step.request)));
            self.line(&format!(
                "     {} {status}{}",
                self.paint(DIM, "got "),
                got(&step.answer)
            ));
            self.line(&format!("     {} {}", self.paint(DIM, "why "), step.why));
        }
        self.last_why = Some(step.why);
        for wrong in &step.wrong {
            self.line(&format!("     {} {wrong}", self.paint(RED, "WRONG")));
        }
    }

    pub(crate) fn verdict(&self, wrong: u32) {
        let verdict = match wrong {
            0 => self.paint(GREEN, &format!("all {} answers are as they should be", self.steps)),
            wrong => self.paint(RED, &format!("{wrong} of {} answers are wrong", self.steps)),
        };
        self.line(&format!("\n{verdict}"));
    }

    pub(crate) fn invite(&self, stack: &Stack) {
        let envoy = stack.envoy.address;
        let issuer = stack.issuer.asks.address();
        let rows = [
            (
                "a token",
                format!("curl -s 'http://{issuer}/token?tenant=acme'    (or: make -s token TENANT=acme)"),
            ),
            (
                "a request",
                format!(
                    "curl -i -H \"authorization: Bearer $(make -s token TENANT=acme)\" http://{envoy}/api/v1/expensive"
                ),
            ),
            (
                "new keys",
                format!("curl -X POST http://{issuer}/rotate    (old tokens end within the refresh interval)"),
            ),
            (
                "the limits",
                format!("edit {}; they are in force when you have saved", stack.limits.display()),
            ),
            ("as loaded", format!("curl http://{}/rlconfig", stack.ratelimit.debug)),
            ("the policy", format!("{}/tenants.yaml", stack.policies.display())),
            ("Envoy", format!("http://{}", stack.envoy.admin)),
            (
                "metrics",
                format!(
                    "http://{}/metrics and http://{}/metrics",
                    stack.ratelimit.metrics, stack.extauth.admin
                ),
            ),
            ("logs", format!("{}/*.log", stack.directory().display())),
        ];
        self.line("\nIt stays up until Ctrl-C. To play with:\n");
        for (what, how) in rows {
            self.line(&format!("  {} {how}", self.paint(BOLD, &format!("{what:<11}"))));
        }
    }

    pub(crate) fn stopping(&self) {
        self.line("\nstopping everything ...");
    }

    pub(crate) fn error(&self, error: &anyhow::Error) {
        self.line(&format!("{} {error:#}", self.paint(RED, "error:")));
    }

    fn line(&self, text: &str) {
        drop(writeln!(self.out.lock(), "{text}"));
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

fn sent(request: &Request) -> String {
    let mut words = vec![format!("GET {}", request.path)];
    if let Some(token) = &request.token {
        // The end of a token is its signature, where two tokens surely differ.
        let hidden = token.len().saturating_sub(TOKEN_CHARS);
        let end: String = token.chars().skip(hidden).collect();
        words.push(format!("authorization: Bearer ...{end}"));
    }
    words.extend(request.headers.iter().map(|(name, value)| format!("{name}: {value}")));
    words.join("  ")
}

fn got(answer: &Answer) -> String {
    let header = |name: &str| Some(format!("  {name}: {}", answer.header(name)?));
    let mut words: Vec<String> = SHOWN.into_iter().filter_map(header).collect();
    if let Some(seen) = answer.seen() {
        words.push(format!(
            "  the upstream saw x-tenant-id: {}",
            seen.header("x-tenant-id").join(", ")
        ));
    } else if !answer.body.trim().is_empty() && answer.body.len() < BODY_BYTES {
        words.push(format!("  {}", answer.body.trim()));
    }
    words.concat()
}
