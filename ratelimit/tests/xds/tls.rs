//! Mutual TLS 1.3 as Envoy Gateway asks for it, and certificates that are replaced in place.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ratelimit::xds::{Settings, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair, PKCS_RSA_SHA256,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

use crate::control_plane::{ControlPlane, Manners};
use crate::follower::{Follower, patient, settings};
use crate::{good, good_lines};

/// A certificate and its key, PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    fn der(&self) -> Vec<u8> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes())
            .unwrap()
            .to_vec()
    }
}

/// What `certgen` makes: an authority that signs both sides.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate as for the rate limit service: CN `*`, a wildcard name, no extended key usage.
    fn sign(&self, name: &str, key: &KeyPair) -> Pair {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "*");
        Pair {
            certificate: params.signed_by(key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub(crate) fn pair(&self, name: &str) -> Pair {
        self.sign(name, &KeyPair::generate().unwrap())
    }

    pub(crate) fn client(&self) -> Pair {
        self.pair("*.envoy-gateway-system")
    }

    /// TLS 1.3 only, client certificates of this authority only.
    pub(crate) fn server(&self, name: &str) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateDer::from_pem_slice(self.sign(name, &key).certificate.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .unwrap();
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![leaf],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// `/certs` of the pod.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new(authority: &Authority, pair: &Pair) -> Self {
        let files = Self(TempDir::new().unwrap());
        files.write("ca.crt", &authority.pem());
        files.write("tls.crt", &pair.certificate);
        files.write("tls.key", &pair.key);
        files
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// As a variable names it.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As Envoy Gateway's environment says, with a name because there is no host of that name here.
    fn tls(&self) -> TlsFiles {
        TlsFiles {
            authorities: Some(self.path("ca.crt")),
            pair: Some((self.path("tls.crt"), self.path("tls.key"))),
            server_name: Some("envoy-gateway".to_owned()),
        }
    }

    fn settings(&self, control_plane: &ControlPlane) -> Settings {
        let tls = Some(self.tls());
        Settings {
            tls,
            ..settings(control_plane)
        }
    }

    fn follow(&self, control_plane: &ControlPlane) -> Follower {
        Follower::with(self.settings(control_plane))
    }
}

#[tokio::test]
async fn mutual_tls_1_3_with_the_name_that_is_set() {
    let authority = Authority::new();
    let client = authority.client();
    let files = Files::new(&authority, &client);
    let mut control_plane = ControlPlane::start_with(Manners::Patient, Some(authority.server("envoy-gateway")));
    let mut follower = files.follow(&control_plane);
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    let seen = control_plane.request().await;
    assert_eq!(seen.certificate, Some(client.der()));
}

#[tokio::test]
async fn without_a_name_the_address_must_be_in_the_certificate() {
    let authority = Authority::new();
    let files = Files::new(&authority, &authority.client());
    let mut control_plane = ControlPlane::start_with(Manners::Patient, Some(authority.server("127.0.0.1")));
    control_plane.push("1", good(3));
    let mut wrong = files.follow(&control_plane);
    let refusal = control_plane.refused().await;
    assert!(refusal.contains("BadCertificate"), "{refusal}");
    assert!(wrong.is_quiet());
    wrong.end().await;
    let tls = Some(TlsFiles {
        server_name: None,
        ..files.tls()
    });
    let mut right = Follower::with(Settings {
        tls,
        ..settings(&control_plane)
    });
    assert_eq!(right.outcome().await, Ok(good_lines(3)));
}

#[tokio::test]
async fn a_server_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let files = Files::new(&ours, &ours.client());
    let mut control_plane = ControlPlane::start_with(Manners::Patient, Some(theirs.server("envoy-gateway")));
    control_plane.push("1", good(3));
    let mut follower = files.follow(&control_plane);
    let refusal = control_plane.refused().await;
    // Which one depends on what the two authorities have in common.
    assert!(refusal.contains("fatal alert"), "{refusal}");
    assert!(follower.is_quiet());
}

/// Keys as Envoy Gateway's `certgen` writes them: RSA, PKCS#1 and not PKCS#8.
#[tokio::test]
async fn keys_may_be_pkcs1() {
    const PKCS8_HEADER: usize = 26;
    let authority = Authority::new();
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let mut client = authority.sign("*.envoy-gateway-system", &key);
    let pkcs1 = STANDARD.encode(key.serialize_der().split_at(PKCS8_HEADER).1);
    client.key = format!("-----BEGIN RSA PRIVATE KEY-----\n{pkcs1}\n-----END RSA PRIVATE KEY-----\n");
    let files = Files::new(&authority, &client);
    let control_plane = ControlPlane::start_with(Manners::Patient, Some(authority.server("envoy-gateway")));
    let mut follower = files.follow(&control_plane);
    control_plane.push("1", good(3));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
}

/// Under TLS 1.3 the client's handshake is complete before the server has looked at its certificate.
#[tokio::test]
async fn a_missing_client_certificate_is_a_disconnect_that_is_tried_again() {
    let authority = Authority::new();
    let files = Files::new(&authority, &authority.client());
    let mut control_plane = ControlPlane::start_with(Manners::Patient, Some(authority.server("envoy-gateway")));
    control_plane.push("1", good(3));
    let mut follower = Follower::with(Settings {
        tls: Some(TlsFiles {
            pair: None,
            ..files.tls()
        }),
        ..settings(&control_plane)
    });
    for _ in 0..3 {
        control_plane.refused().await;
    }
    assert!(follower.is_quiet());
    follower.end().await;
}

#[tokio::test]
async fn files_that_appear_later_are_used() {
    let authority = Authority::new();
    let client = authority.client();
    let files = Files::new(&authority, &client);
    std::fs::remove_file(files.path("tls.key")).unwrap();
    let control_plane = ControlPlane::start_with(Manners::Patient, Some(authority.server("envoy-gateway")));
    control_plane.push("1", good(3));
    let mut follower = Follower::with(patient(files.settings(&control_plane)));
    files.write("tls.key", &client.key);
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
}

#[tokio::test]
async fn certificates_replaced_in_place_are_used_within_ten_seconds() {
    let authority = Authority::new();
    let (first, second) = (authority.client(), authority.client());
    let files = Files::new(&authority, &first);
    let mut control_plane = ControlPlane::start_with(Manners::Patient, Some(authority.server("envoy-gateway")));
    control_plane.push("1", good(3));
    let mut follower = Follower::with(patient(files.settings(&control_plane)));
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    for _ in ["subscribed", "acknowledged"] {
        assert_eq!(control_plane.request().await.certificate, Some(first.der()));
    }
    let began = server::clock::monotonic_now();
    files.write("tls.crt", &second.certificate);
    files.write("tls.key", &second.key);
    let seen = control_plane.request().await;
    assert_eq!(seen.said(), ["none", "", ""]);
    assert_eq!(seen.certificate, Some(second.der()));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
}

#[tokio::test]
async fn a_rotation_to_a_new_authority_reconnects() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = Files::new(&old, &old.client());
    let mut control_plane = ControlPlane::start_with(Manners::Patient, Some(old.server("envoy-gateway")));
    control_plane.push("1", good(3));
    let mut settings = files.settings(&control_plane);
    settings.pauses.connect = Duration::from_secs(3600);
    let mut follower = Follower::with(settings);
    assert_eq!(follower.outcome().await, Ok(good_lines(3)));
    // The server is first, as a controller that restarts; the pause after the refusal is an hour, and the new files
    // cut it short.
    control_plane.set_tls(new.server("envoy-gateway"));
    control_plane.restart();
    control_plane.push("1", good(4));
    control_plane.refused().await;
    assert!(follower.is_quiet());
    let client = new.client();
    files.write("ca.crt", &new.pem());
    files.write("tls.crt", &client.certificate);
    files.write("tls.key", &client.key);
    assert_eq!(follower.outcome().await, Ok(good_lines(4)));
}
