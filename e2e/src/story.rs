//! What both doors do to the requests of good and bad callers, told through a real Envoy: each request, what must come back, why.
//!
//! The demo prints it, the tests demand it of memory and of Redis, and `demo --attach` tells it to a running compose file. It
//! starts nothing and knows only Envoy's address and the issuer's.

use std::time::Duration;

use anyhow::Result;

use crate::client::{Answer, Client, Request};
use crate::issuer::{AUDIENCE, IssuerClient};
use crate::tokens::{self, Algorithm, SigningKey};
use crate::wait;

/// The path that `config/` limits to [`EXPENSIVE_LIMIT`] calls a minute.
pub const EXPENSIVE: &str = "/api/v1/expensive";
/// How often a tenant may call [`EXPENSIVE`] in a minute.
pub const EXPENSIVE_LIMIT: u32 = 10;
/// A path that only the tenant's own limit counts.
pub const CHEAP: &str = "/api/v1/cheap";

/// Ways to write [`EXPENSIVE`] that an upstream may take for the same.
const SPELLINGS: [&str; 8] = [
    "/api/v1/expensive?n=1",
    "/api/v1/expensive/",
    "/api/v1/expensive/?n=2",
    "/api/v1/expensive?n=3&path=/api/v1/cheap",
    "/api/v1/expensive;v=1",
    "/api//v1/expensive//",
    "/api/v1/%65xpensive",
    "/API/v1/Expensive?",
];
/// Time enough for the burst of calls that has to fit into one minute of the clock.
const BURST: Duration = Duration::from_secs(10);

/// One request of the story and what came of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// Who calls.
    pub title: String,
    /// What was sent.
    pub request: Request,
    /// What came back.
    pub answer: Answer,
    /// Why that is right.
    pub why: &'static str,
    /// How the answer differs from what is right; empty if it does not.
    pub wrong: Vec<String>,
}

/// Tells the story to `hear`, step by step.
///
/// # Errors
///
/// Envoy or the issuer does not answer at all.
pub async fn tell(client: &Client, issuer: &IssuerClient, mut hear: impl FnMut(Step)) -> Result<()> {
    let mut teller = Teller {
        client,
        hear: &mut hear,
    };
    teller.strangers(issuer).await?;
    teller.known_tenant(issuer).await?;
    teller.expensive_path(issuer).await
}

struct Teller<'a> {
    client: &'a Client,
    hear: &'a mut dyn FnMut(Step),
}

/// A step before it is taken.
struct Line<'a> {
    title: &'a str,
    request: Request,
    expect: Expect<'a>,
    why: &'static str,
}

/// What an answer must be.
enum Expect<'a> {
    /// 401 or 403, and the upstream not reached.
    Denied,
    /// 200, and the upstream saw this tenant and no other.
    Tenant(&'a str),
    /// 429 with the headers of the limit.
    Limited,
}

impl Teller<'_> {
    async fn strangers(&mut self, issuer: &IssuerClient) -> Result<()> {
        let good = issuer.token("acme").await?;
        let rows = [
            ("no token", None, "extauth: no credentials, no entry"),
            (
                "a token of another issuer",
                Some(other_issuer()?),
                "extauth: neither its issuer nor its key is ours",
            ),
            (
                "a forged token, with our issuer's name and key id",
                Some(forged(&good)?),
                "extauth: the signature is not by that key",
            ),
            (
                "a tampered token: acme made globex",
                Some(tampered(&good)?),
                "extauth: the signature is of other claims",
            ),
            (
                "an unsigned token (alg: none)",
                Some(tokens::unsigned(&tokens::claims(&good)?)),
                "extauth: unsigned is not signed",
            ),
            (
                "a token that expired an hour ago",
                Some(issuer.token_with("tenant=acme&ttl=-3600").await?),
                "extauth: expired",
            ),
            (
                "a token for another audience",
                Some(issuer.token_with("tenant=acme&aud=other").await?),
                "extauth: not meant for us",
            ),
            (
                "a token without a tenant",
                Some(issuer.token_with("").await?),
                "valid, but nobody to count for: denied, not unlimited",
            ),
        ];
        for (title, token, why) in rows {
            let mut request = Request::to(CHEAP).with("x-tenant-id", "evil");
            request.token = token;
            let expect = Expect::Denied;
            self.step(Line {
                title,
                request,
                expect,
                why,
            })
            .await?;
        }
        Ok(())
    }

    async fn known_tenant(&mut self, issuer: &IssuerClient) -> Result<()> {
        for algorithm in ["RS256", "ES256"] {
            let token = issuer.token_with(&format!("tenant=acme&alg={algorithm}")).await?;
            let request = Request::to(CHEAP).bearing(&token);
            let request = request
                .with("x-tenant-id", "evil")
                .with("X-Tenant-Id", "worse")
                .with("x_tenant_id", "worst");
            let title = &format!("acme's token ({algorithm}), with x-tenant-id: evil");
            let expect = Expect::Tenant("acme");
            let why = "extauth overwrote the client's header: the upstream sees the tenant of the token, once";
            self.step(Line {
                title,
                request,
                expect,
                why,
            })
            .await?;
        }
        Ok(())
    }

    async fn expensive_path(&mut self, issuer: &IssuerClient) -> Result<()> {
        let acme = issuer.token("acme").await?;
        let spelt = |spelling: &str| Request::to(spelling).bearing(&acme);
        self.first_of_a_minute(spelt(EXPENSIVE)).await?;
        for (call, spelling) in (2..=EXPENSIVE_LIMIT).zip(SPELLINGS.iter().cycle()) {
            self.step(Line {
                title: &format!("acme, expensive call {call}"),
                request: spelt(spelling),
                expect: Expect::Tenant("acme"),
                why: "ratelimit: counted twice, for the tenant and for the path, however it is spelt",
            })
            .await?;
        }
        self.step(Line {
            title: "acme, expensive call 11",
            request: spelt(EXPENSIVE),
            expect: Expect::Limited,
            why: "ratelimit: 10 a minute for this path are used up; x-ratelimit-reset says for how many seconds",
        })
        .await?;
        for spelling in SPELLINGS {
            self.step(Line {
                title: "acme tries another spelling",
                request: spelt(spelling),
                expect: Expect::Limited,
                why: "ratelimit: one path, one counter; a query or a slash is no way around it",
            })
            .await?;
        }
        self.step(Line {
            title: "globex, its first expensive call",
            request: Request::to(EXPENSIVE).bearing(&issuer.token("globex").await?),
            expect: Expect::Tenant("globex"),
            why: "ratelimit: another tenant has counters of its own",
        })
        .await?;
        self.step(Line {
            title: "acme, another path",
            request: Request::to(CHEAP).bearing(&acme),
            expect: Expect::Tenant("acme"),
            why: "ratelimit: acme has most of its 1,000 a minute left for other paths",
        })
        .await
    }

    /// Makes the first expensive call of a minute: one with time left for the others, in which none was made before. Those of
    /// an earlier telling to the same counters are waited out.
    async fn first_of_a_minute(&mut self, request: Request) -> Result<()> {
        let fresh = (EXPENSIVE_LIMIT - 1).to_string();
        wait::for_room_in_the_minute(BURST).await;
        let mut answer = self.client.send(&request).await?;
        if answer.status == 429 || answer.header("x-ratelimit-remaining").is_some_and(|left| left != fresh) {
            wait::for_room_in_the_minute(wait::MINUTE).await;
            answer = self.client.send(&request).await?;
        }
        let line = Line {
            title: "acme, expensive call 1",
            request,
            expect: Expect::Tenant("acme"),
            why: "ratelimit: the first of 10 that acme may make in this minute",
        };
        self.judged(line, answer);
        Ok(())
    }

    async fn step(&mut self, line: Line<'_>) -> Result<()> {
        let answer = self.client.send(&line.request).await?;
        self.judged(line, answer);
        Ok(())
    }

    fn judged(&mut self, line: Line<'_>, answer: Answer) {
        let wrong = judge(&answer, &line.expect);
        (self.hear)(Step {
            title: line.title.to_owned(),
            request: line.request,
            answer,
            why: line.why,
            wrong,
        });
    }
}

fn judge(answer: &Answer, expect: &Expect<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut demand = |right: bool, text: String| {
        if !right {
            wrong.push(text);
        }
    };
    let status = answer.status;
    match expect {
        Expect::Denied => {
            demand(
                matches!(status, 401 | 403),
                format!("expected 401 or 403, got {status}"),
            );
            demand(answer.seen().is_none(), "the upstream was reached".to_owned());
        }
        Expect::Tenant(tenant) => {
            demand(status == 200, format!("expected 200, got {status}"));
            let seen = answer.seen();
            let tenants = seen.as_ref().map_or(&[][..], |seen| seen.header("x-tenant-id"));
            demand(
                tenants == [*tenant],
                format!("expected x-tenant-id: {tenant} upstream, once; got {tenants:?}"),
            );
            let underscored = seen.as_ref().map_or(&[][..], |seen| seen.header("x_tenant_id"));
            demand(
                underscored.is_empty(),
                format!("x_tenant_id: {underscored:?} reached the upstream"),
            );
            demand(
                answer.header("x-ratelimit-remaining").is_some(),
                "no x-ratelimit-remaining: was it counted?".to_owned(),
            );
        }
        Expect::Limited => {
            demand(status == 429, format!("expected 429, got {status}"));
            let limit = answer.header("x-ratelimit-limit").unwrap_or_default();
            demand(
                limit.starts_with("10,"),
                format!("expected x-ratelimit-limit: 10, ...; got {limit:?}"),
            );
            let remaining = answer.header("x-ratelimit-remaining");
            demand(
                remaining == Some("0"),
                format!("expected x-ratelimit-remaining: 0; got {remaining:?}"),
            );
            let reset = answer
                .header("x-ratelimit-reset")
                .and_then(|reset| reset.parse::<u32>().ok());
            demand(
                reset.is_some_and(|reset| reset <= 60),
                format!("expected x-ratelimit-reset within 60 s; got {reset:?}"),
            );
        }
    }
    wrong
}

fn other_issuer() -> Result<String> {
    let now = server::clock::unix_now().as_secs();
    let claims = serde_json::json!({
        "iss": "https://issuer.example.net", "aud": AUDIENCE, "sub": "mallory", "tenant": "acme",
        "iat": now, "exp": now.saturating_add(600),
    });
    SigningKey::generate("theirs-1", Algorithm::Rs256)?.token(&claims)
}

/// A token that says everything a good one says, under the key id of the good one, by a key of the forger's own.
fn forged(good: &str) -> Result<String> {
    let key = SigningKey::generate(&tokens::key_id(good)?, Algorithm::Rs256)?;
    key.token(&tokens::claims(good)?)
}

fn tampered(good: &str) -> Result<String> {
    let mut claims = tokens::claims(good)?;
    if let Some(claims) = claims.as_object_mut() {
        claims.insert("tenant".to_owned(), "globex".into());
    }
    Ok(tokens::tampered(good, &claims))
}
