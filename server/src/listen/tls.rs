//! TLS for a listener, from files that may be replaced at any time. New handshakes use what the files hold now; a pair
//! that does not load keeps the old one serving, and says so.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::io::Plain;

/// How often the files are looked at. Reading three small files costs nothing beside missing a rotation.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where the certificates are and who may connect.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// PEM file of the certificate chain, leaf first.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
    /// PEM file of the authorities that client certificates must come from; without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// A DNS name that the client certificate must be valid for.
    pub client_name: Option<String>,
    /// The protocols to offer (ALPN), as `h2`.
    pub protocols: Vec<Vec<u8>>,
}

/// Why TLS could not be set up or a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds no PEM of its kind. Operator: replace it.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The files do not fit together. Operator: replace them.
    #[error("cannot use certificate {certificate} with key {key}: {source}")]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The name that client certificates must carry is not a DNS name. Operator: correct the setting.
    #[error("'{0}' is not a DNS name")]
    Name(String),
    /// The peer's certificate is not for the required name.
    #[error("the client certificate is not valid for '{0}'")]
    Client(String),
    /// The connection failed below or during the handshake.
    #[error("{0}")]
    Connection(#[source] io::Error),
}

/// TLS that follows its files. Clones share the state.
#[derive(Clone, Debug)]
pub struct ReloadingTls {
    settings: Arc<TlsSettings>,
    client_name: Option<ServerName<'static>>,
    loaded: Arc<ArcSwap<Loaded>>,
}

/// What serves now, and the files it came from.
#[derive(Debug)]
struct Loaded {
    files: Files,
    config: Arc<ServerConfig>,
}

impl ReloadingTls {
    /// Loads the files once.
    ///
    /// # Errors
    /// When a file is missing or wrong: a listener does not start with bad certificates.
    pub fn load(settings: TlsSettings) -> Result<Self, TlsError> {
        let client_name = settings.client_name.clone().map(server_name).transpose()?;
        let loaded = Loaded::load(Files::read(&settings)?, &settings)?;
        Ok(Self {
            settings: Arc::new(settings),
            client_name,
            loaded: Arc::new(ArcSwap::from_pointee(loaded)),
        })
    }

    /// Looks at the files once and serves them from now on if they changed; true if they did. Reads files: not for a
    /// runtime worker.
    ///
    /// # Errors
    /// When the files changed but do not load; what served before serves on.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let files = Files::read(&self.settings)?;
        if files == self.loaded.load().files {
            return Ok(false);
        }
        self.loaded.store(Arc::new(Loaded::load(files, &self.settings)?));
        Ok(true)
    }

    /// Follows the files for ever, and logs what it finds once. Cancel-safe.
    pub(super) async fn reload_on_change(&self) {
        let mut complained = String::new();
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = self.clone();
            let Ok(looked) = tokio::task::spawn_blocking(move || tls.reload()).await else {
                continue;
            };
            let complaint = looked.as_ref().err().map(ToString::to_string).unwrap_or_default();
            match looked {
                Ok(false) => {}
                Ok(true) => tracing::info!(certificate = %self.settings.certificate.display(), "certificates reloaded"),
                Err(_) if complaint == complained => {}
                Err(error) => tracing::error!(%error, "certificates not reloaded, keeping the old ones"),
            }
            complained = complaint;
        }
    }

    /// Shakes hands with the certificates of this moment.
    pub(super) async fn accept(&self, plain: Plain) -> Result<TlsStream<Plain>, TlsError> {
        let acceptor = TlsAcceptor::from(self.loaded.load().config.clone());
        let stream = acceptor.accept(plain).await.map_err(TlsError::Connection)?;
        if let Some(name) = &self.client_name {
            let (_, session) = stream.get_ref();
            let wrong = || TlsError::Client(name.to_str().into_owned());
            let leaf = session
                .peer_certificates()
                .and_then(|chain| chain.first())
                .ok_or_else(wrong)?;
            let leaf = ParsedCertificate::try_from(leaf).map_err(|_unparsable| wrong())?;
            verify_server_name(&leaf, name).map_err(|_other_name| wrong())?;
        }
        Ok(stream)
    }
}

fn server_name(name: String) -> Result<ServerName<'static>, TlsError> {
    match ServerName::try_from(name.clone()) {
        Ok(parsed) => Ok(parsed),
        Err(_invalid) => Err(TlsError::Name(name)),
    }
}

impl Loaded {
    fn load(files: Files, settings: &TlsSettings) -> Result<Self, TlsError> {
        let config = Arc::new(files.config(settings)?);
        Ok(Self { files, config })
    }
}

/// The bytes of the files, to see whether they changed.
#[derive(Eq, PartialEq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl std::fmt::Debug for Files {
    /// The key is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

impl Files {
    fn read(settings: &TlsSettings) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&settings.certificate)?,
            key: read(&settings.key)?,
            client_ca: settings.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn config(&self, settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
        let chain = certificates(&self.certificate, &settings.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| file_error(&settings.key, &error))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair_error = |source| TlsError::Pair {
            certificate: settings.certificate.clone(),
            key: settings.key.clone(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(pair_error)?;
        let builder = match (&self.client_ca, &settings.client_ca) {
            (Some(pem), Some(file)) => {
                let roots = Arc::new(roots(pem, file)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| file_error(file, &error))?)
            }
            (None, _) | (_, None) => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(pair_error)?;
        config.alpn_protocols.clone_from(&settings.protocols);
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| file_error(path, &error))
}

fn certificates(pem: &[u8], file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| file_error(file, &error))?;
    if chain.is_empty() {
        Err(file_error(file, &"holds no certificate"))
    } else {
        Ok(chain)
    }
}

fn roots(pem: &[u8], file: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, file)? {
        roots.add(certificate).map_err(|error| file_error(file, &error))?;
    }
    Ok(roots)
}

fn file_error(file: &Path, reason: &dyn std::fmt::Display) -> TlsError {
    TlsError::File {
        file: file.to_owned(),
        reason: reason.to_string(),
    }
}
