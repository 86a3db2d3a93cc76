//! TLS to Redis: what the files hold at the moment a connection is made. [`Tls::renewed`] tells when they hold something
//! else, so that a link can be made anew and rotated certificates are in use within seconds.
//!
//! The chain is always verified, against the authorities of the system and those of the file; only the check of the
//! name can be left out. No protocol here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How to talk TLS. By default: trust the authorities of the system, present no certificate, check the name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tls {
    /// PEM file of authorities that are trusted beside those of the system.
    pub authorities: Option<PathBuf>,
    /// PEM files of our certificate chain and its key.
    pub pair: Option<(PathBuf, PathBuf)>,
    /// Whether the name of the server has to be in its certificate.
    pub name: NameCheck,
}

/// How often the files of a connection are looked at. New contents count once they were the same at two looks, so that a
/// rotation is not taken half-done.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the files held. To be compared only.
#[derive(Eq, PartialEq)]
pub(super) struct Material(Vec<Option<Vec<u8>>>);

/// What is made of the name in a certificate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NameCheck {
    /// It must be the server's.
    #[default]
    Verify,
    /// It may be any (`REDIS_TLS_SKIP_HOSTNAME_VERIFICATION`). The chain must be good all the same.
    Skip,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsError {
    /// The operator has to act.
    #[error("{}: {reason}", file.display())]
    File { file: PathBuf, reason: String },
    /// The operator has to act.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
    /// The two sides do not trust each other, or the connection broke.
    #[error("TLS handshake: {0}")]
    Handshake(#[source] io::Error),
}

impl Tls {
    /// Talks TLS on a connection to `host`.
    pub(super) async fn handshake(&self, host: &str, socket: TcpStream) -> Result<TlsStream<TcpStream>, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(setup)?;
        let tls = self.clone();
        // Files are read off the runtime's workers.
        let config = tokio::task::spawn_blocking(move || tls.config())
            .await
            .map_err(setup)??;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, socket);
        handshake.await.map_err(TlsError::Handshake)
    }

    /// What the files hold now.
    pub(super) async fn material(&self) -> Material {
        let pair = self.pair.iter().flat_map(|(certificate, key)| [certificate, key]);
        let files: Vec<PathBuf> = self.authorities.iter().chain(pair).cloned().collect();
        let read = move || files.iter().map(|file| std::fs::read(file).ok()).collect();
        Material(tokio::task::spawn_blocking(read).await.unwrap_or_default())
    }

    /// Returns once the files hold something else than `used` that can be used.
    pub(super) async fn renewed(&self, used: &Material) {
        let mut last = None;
        loop {
            sleep(LOOK_EVERY).await;
            let now = self.material().await;
            if now != *used && last.as_ref() == Some(&now) && self.can_be_used().await {
                return;
            }
            last = Some(now);
        }
    }

    async fn can_be_used(&self) -> bool {
        let tls = self.clone();
        let loaded = tokio::task::spawn_blocking(move || tls.config().is_ok());
        loaded.await.unwrap_or(false)
    }

    fn config(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = Arc::new(self.roots()?);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
        let verifier = verifier.build().map_err(setup)?;
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(setup)?;
        // The verifier is the default one, or the default one but for the name.
        let builder = builder.dangerous().with_custom_certificate_verifier(match self.name {
            NameCheck::Verify => verifier,
            NameCheck::Skip => Arc::new(AnyName(verifier)),
        });
        let Some((certificate, key)) = &self.pair else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| bad_file(key, &error))?;
        builder.with_client_auth_cert(chain, private).map_err(setup)
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        // A system without authorities, or with some that cannot be read, is one that trusts fewer.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = &self.authorities {
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| bad_file(file, &error))?;
            }
        }
        Ok(roots)
    }
}

/// The certificates in a file, one at least.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| bad_file(file, &error))?;
    if found.is_empty() {
        return Err(bad_file(file, &"no certificate in it"));
    }
    Ok(found)
}

fn bad_file(file: &Path, error: &dyn ToString) -> TlsError {
    TlsError::File {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn setup(error: impl ToString) -> TlsError {
    TlsError::Setup(error.to_string())
}

/// Verifies as the verifier in it does, and then takes a certificate for another name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        // The name is looked at last: who fails there has a good chain.
        let is_other_name = matches!(
            verified,
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            ))
        );
        if is_other_name {
            return Ok(ServerCertVerified::assertion());
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
