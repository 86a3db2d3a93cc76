//! Files that change, break, and come back.

use serde_json::json;

use crate::eventually;
use crate::issuer::{Issuer, Key};
use crate::process::Process;
use crate::requests::{get, http_status, manifest};

#[tokio::test]
async fn one_bad_auth_config_leaves_the_others_and_its_own_last_version() {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let good = manifest(&issuer.url(), "");
    let process = Process::start(&good).await;
    let token = key.token(&json!({}));
    process.until(&token, 200).await;
    let authorization = format!("Bearer {token}");
    let ask = |config_id: &'static str| {
        let request = get(config_id, &[("authorization", &authorization)]);
        async { http_status(&process.check(request).await) }
    };

    let broken = good.replace("oauth2:", "ldap:");
    let never_good = broken.replace("name: api", "name: other");
    process.write("auth.yaml", &format!("{broken}---\n{never_good}"));
    eventually("the problems are counted", || async {
        process.metric("extauth_config_problems").await > 1
    })
    .await;
    assert_eq!(ask("demo.api").await, 200, "its last good version");
    assert_eq!(ask("demo.other").await, 403, "it never was good");

    process.write("auth.yaml", "kind: [not yaml");
    eventually("the syntax error is counted", || async {
        process.metric("extauth_config_problems").await == 1
    })
    .await;
    assert_eq!(ask("demo.api").await, 200, "what the file held before");

    process.write("auth.yaml", &good.replace("name: api", "name: other"));
    eventually("the other one serves", || async { ask("demo.other").await == 200 }).await;
    assert_eq!(ask("demo.api").await, 403, "it is gone");
}

#[tokio::test]
async fn without_files_everything_is_denied_until_they_come() {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let process = Process::start_with("", |settings| settings.config.push("later"), None).await;
    let token = key.token(&json!({}));
    assert_eq!(process.status_of(&token).await, 403);
    assert!(!process.is_healthy().await);
    let later = process.directory.path().join("config/later");
    std::fs::create_dir(&later).unwrap();
    process.write("later/auth.yaml", &manifest(&issuer.url(), ""));
    process.until(&token, 200).await;
    eventually("it is healthy", || process.is_healthy()).await;
}
