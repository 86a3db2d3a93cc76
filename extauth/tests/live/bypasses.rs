//! Requests as an attacker sends them. Each row is a bypass that some product had.

use prost::Message as _;
use proto::auth::CheckResponse;
use serde_json::json;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;

use crate::issuer::{Issuer, Key};
use crate::process::Process;
use crate::requests::{AUTH_CONFIG, get, get_raw, http_status, manifest, ok, set};

async fn start() -> (Key, Issuer, Process) {
    let key = Key::new("one");
    let issuer = Issuer::of(&[&key]).await;
    let process = Process::start(&manifest(&issuer.url(), "")).await;
    process.until(&key.token(&json!({})), 200).await;
    (key, issuer, process)
}

/// Sends bytes as they are, and reads an answer.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = CheckResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(target, &bytes);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = CheckResponse;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<CheckResponse>, Status> {
        CheckResponse::decode(source)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

async fn check_bytes(channel: &Channel, bytes: Vec<u8>) -> Result<CheckResponse, Status> {
    let mut client = Grpc::new(channel.clone());
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/envoy.service.auth.v3.Authorization/Check");
    let response = client.unary(tonic::Request::new(bytes), path, Raw).await?;
    Ok(response.into_inner())
}

/// A field of kind "bytes of this length": strings, maps and messages alike.
fn field(number: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut bytes);
    prost::encoding::encode_varint(content.len().try_into().unwrap(), &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

/// A CheckRequest whose HTTP attributes are `http`, bytes of `AttributeContext.HttpRequest`.
fn http_request(http: &[u8]) -> Vec<u8> {
    let config_id = [field(1, b"config_id"), field(2, AUTH_CONFIG.as_bytes())].concat();
    let attributes = [field(4, &field(2, http)), field(10, &config_id)].concat();
    field(1, &attributes)
}

#[tokio::test]
async fn cve_2023_27488_bytes_that_are_not_utf_8_are_denied_in_every_field() {
    let (key, _issuer, process) = start().await;
    let bad: &[u8] = b"a\xff\xfeb";
    let authorization = [
        field(1, b"authorization"),
        field(2, format!("Bearer {}", key.token(&json!({}))).as_bytes()),
    ];
    let good = field(3, &authorization.concat());
    let entry = |name: &[u8], value: &[u8]| field(3, &[field(1, name), field(2, value)].concat());
    let header = |inner: Vec<u8>| field(13, &field(1, &inner));
    let peer = |number: u32| field(1, &[field(1, &field(number, bad)), field(4, &field(2, &good))].concat());
    let of_http = |inner: Vec<u8>| http_request(&[good.clone(), inner].concat());
    // metadata_context { filter_metadata { "ns": Struct { fields { "k": Value { string_value } } } } }
    let value = field(3, bad);
    let structure = field(1, &[field(1, b"k"), field(2, &value)].concat());
    let metadata = field(1, &[field(1, b"ns"), field(2, &structure)].concat());
    let context = |number: u32, inner: &[u8]| field(1, &[field(4, &field(2, &good)), field(number, inner)].concat());
    let rows = [
        ("id", of_http(field(1, bad))),
        ("method", of_http(field(2, bad))),
        ("header name", of_http(entry(bad, b"x"))),
        ("header value", of_http(entry(b"x", bad))),
        ("path", of_http(field(4, bad))),
        ("host", of_http(field(5, bad))),
        ("scheme", of_http(field(6, bad))),
        ("query", of_http(field(7, bad))),
        ("fragment", of_http(field(8, bad))),
        ("protocol", of_http(field(10, bad))),
        ("body", of_http(field(11, bad))),
        ("raw header name", of_http(header(field(1, bad)))),
        (
            "raw header value",
            of_http(header([field(1, b"x"), field(2, bad)].concat())),
        ),
        ("source service", peer(2)),
        ("source label", peer(3)),
        ("source principal", peer(4)),
        ("source certificate", peer(5)),
        ("sni", context(12, &field(1, bad))),
        ("cve-2024-23324, metadata", context(11, &metadata)),
        ("route metadata", context(13, &metadata)),
        ("extension", context(10, &[field(1, b"k"), field(2, bad)].concat())),
        ("cut off", of_http(Vec::new())[..20].to_vec()),
        ("no message", b"\xff\xff\xff".to_vec()),
    ];
    for (name, bytes) in rows {
        let response = check_bytes(&process.channel, bytes).await;
        assert_eq!(
            http_status(&response.expect("a denial and not an RPC error")),
            400,
            "{name}"
        );
    }
    // Raw bytes where bytes may be are no reason to deny.
    let response = check_bytes(
        &process.channel,
        of_http(header([field(1, b"x"), field(3, bad)].concat())),
    )
    .await;
    assert_eq!(http_status(&response.unwrap()), 200);
    // Nothing at all is not an HTTP request.
    assert_eq!(
        http_status(&check_bytes(&process.channel, Vec::new()).await.unwrap()),
        400
    );
}

#[tokio::test]
async fn large_messages_are_decided_and_not_failed() {
    let (key, _issuer, process) = start().await;
    let mut request = get(
        AUTH_CONFIG,
        &[("authorization", &format!("Bearer {}", key.token(&json!({}))))],
    );
    let http = request
        .attributes
        .as_mut()
        .and_then(|a| a.request.as_mut()?.http.as_mut())
        .unwrap();
    http.raw_body = vec![b'x'; 8 << 20];
    assert_eq!(http_status(&process.check(request).await), 200);
}

#[tokio::test]
async fn two_credentials_are_denied_in_every_form() {
    let (key, _issuer, process) = start().await;
    let good = format!("Bearer {}", key.token(&json!({})));
    let other = format!("Bearer {}", key.token(&json!({"sub": "bob"})));
    let joined = [
        format!("{good},{other}"),
        format!("{good}, {good}"),
        format!("Basic eDp5,{good}"),
    ];
    for value in &joined {
        let response = process.check(get(AUTH_CONFIG, &[("authorization", value)])).await;
        assert_eq!(http_status(&response), 400, "joined");
    }
    for lines in [[&good, &other], [&other, &good], [&good, &good]] {
        let lines = lines.map(|value| ("authorization", value.as_bytes()));
        assert_eq!(
            http_status(&process.check(get_raw(AUTH_CONFIG, &lines)).await),
            400,
            "raw"
        );
    }
    let one = process
        .check(get_raw(AUTH_CONFIG, &[("authorization", good.as_bytes())]))
        .await;
    assert_eq!(http_status(&one), 200);
}

#[tokio::test]
async fn cve_2025_64484_every_spelling_of_an_identity_header_is_taken_away() {
    let (key, _issuer, process) = start().await;
    let good = format!("Bearer {}", key.token(&json!({"tenant": "acme"})));
    let evil = b"evil".as_slice();
    let sent = [
        ("authorization", good.as_bytes()),
        ("x-tenant-id", evil),
        ("x-tenant-id", evil),
        ("X-Tenant-Id", evil),
        ("x_tenant_id", evil),
        ("x-tenant_id", evil),
        ("x_user_id", evil),
    ];
    let response = process.check(get_raw(AUTH_CONFIG, &sent)).await;
    assert!(set(&response).contains(&("x-tenant-id".to_owned(), "acme".to_owned())));
    let removed = &ok(&response).headers_to_remove;
    for name in ["x_tenant_id", "x-tenant_id", "x_user_id", "x-roles", "x_roles"] {
        assert!(removed.iter().any(|own| own == name), "{name} in {removed:?}");
    }
    assert!(!removed.iter().any(|name| name == "x-tenant-id"), "Envoy removes last");
}

#[tokio::test]
async fn a_missing_claim_removes_the_clients_header() {
    let (key, _issuer, process) = start().await;
    for claims in [
        json!({}),
        json!({"tenant": null}),
        json!({"tenant": ""}),
        json!({"tenant": []}),
    ] {
        let good = format!("Bearer {}", key.token(&claims));
        let sent = [("authorization", good.as_str()), ("x-tenant-id", "evil")];
        let response = process.check(get(AUTH_CONFIG, &sent)).await;
        assert!(ok(&response).headers_to_remove.contains(&"x-tenant-id".to_owned()));
        assert!(set(&response).iter().all(|(name, _)| name != "x-tenant-id"));
    }
}

#[tokio::test]
async fn cve_2023_27493_a_claim_that_could_break_a_header_denies() {
    let (key, _issuer, process) = start().await;
    let breaking = ["a\r\nx-admin: true", "a\nb", "a\0b", "a\x7fb", "\u{85}"].map(|text| json!(text));
    let large = [json!("x".repeat(10_000)), json!(["a", "b,admin"]), json!(" acme")];
    for tenant in breaking.into_iter().chain(large) {
        assert_eq!(
            process.status_of(&key.token(&json!({ "tenant": tenant }))).await,
            403,
            "{tenant}"
        );
    }
    let emoji = process.status_of(&key.token(&json!({"tenant": "🚀"}))).await;
    assert_eq!(emoji, 200);
}

#[tokio::test]
async fn headers_that_proxies_set_change_nothing() {
    let (key, _issuer, process) = start().await;
    let names = [
        "x-envoy-original-path",
        "x-envoy-auth-failure-mode-allowed",
        "x-original-url",
        "x-forwarded-uri",
        "x-forwarded-method",
        "config_id",
    ];
    for name in names {
        let response = process.check(get(AUTH_CONFIG, &[(name, "/healthcheck")])).await;
        assert_eq!(http_status(&response), 401, "{name}");
    }
    let good = format!("Bearer {}", key.token(&json!({})));
    let agent = [("authorization", good.as_str()), ("user-agent", "kube-probe/1.0")];
    assert_eq!(http_status(&process.check(get(AUTH_CONFIG, &agent)).await), 200);
    assert_eq!(http_status(&process.check(get(AUTH_CONFIG, &agent[1..])).await), 401);
}
