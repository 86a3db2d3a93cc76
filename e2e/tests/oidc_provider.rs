//! Tokens of a provider that is not ours: a JWT access token opens the door, nothing else that the provider issues does.

use std::fs;
use std::time::Duration;

use e2e::client::Request;
use e2e::oidc_provider::{OidcProvider, RESOURCE, TokenKind};
use e2e::parts::Parts;
use e2e::stack::{Options, Stack, Store};
use e2e::{story, wait};

/// How soon a changed policy must be in force and its key set fetched.
const IN_FORCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn lets_in_jwt_access_tokens_of_a_certified_provider_and_nothing_else() {
    let stack = Stack::start(Options::for_test(Store::Memory)).await.unwrap();
    let provider = OidcProvider::start(&Parts::of_this_machine(), stack.directory())
        .await
        .unwrap();
    let client = stack.client().unwrap();
    let cheap = |token: &str| Request::to(story::CHEAP).bearing(token).with("x-tenant-id", "evil");

    // The shipped policy, with the provider in place of our issuer: three values change.
    let file = stack.policies.join("tenants.yaml");
    let shipped = fs::read_to_string(&file).unwrap();
    let ours = format!("http://{}/jwks.json", stack.issuer.asks.address());
    let theirs = [
        (ours.as_str(), provider.key_set_url()),
        (
            "issuer: https://issuer.sallyport.example",
            format!("issuer: {}", provider.issuer()),
        ),
        ("audiences: [sallyport-demo]", format!("audiences: [{RESOURCE}]")),
    ];
    let policy = theirs.iter().fold(shipped, |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in the shipped policy");
        text.replace(from, to)
    });
    fs::write(&file, policy).unwrap();

    for tenant in ["acme", "globex"] {
        let token = provider.token(tenant, TokenKind::Jwt).await.unwrap();
        let answer = wait::until("the provider's token is accepted", IN_FORCE, async || {
            let answer = client.send(&cheap(&token)).await?;
            Ok((answer.status == 200).then_some(answer))
        });
        let seen = answer.await.unwrap().seen().unwrap();
        assert_eq!(seen.header("x-tenant-id"), [tenant]);
    }
    let opaque = provider.token("acme", TokenKind::Opaque).await.unwrap();
    let of_our_issuer = stack.issuer.asks.token("acme").await.unwrap();
    for (row, token) in [("opaque", opaque), ("of the issuer before", of_our_issuer)] {
        let answer = client.send(&cheap(&token)).await.unwrap();
        assert!(matches!(answer.status, 401 | 403), "{row}: {}", answer.status);
    }
    stack.stop().await.unwrap();
}
