//! The way to the configuration server: a connection, made of what the certificate files hold at that moment.
//!
//! [`Connector::connect`] reads the files each time; [`Connector::renewed`] tells when they hold something else than the
//! connection was made of, so that a rotated certificate or authority is in use within seconds. No protocol here.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::settings::Settings;

/// How often the certificate files are looked at. New contents are used once they were the same at two looks, so that a
/// file is not taken half-written.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest a connection and its handshakes may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The longest certificate file that is read.
const FILE_BYTES: u64 = 1024 * 1024;

/// A peer that vanished is noticed by TCP, after [`TCP_PROBE_AFTER`] and [`TCP_PROBES`] times [`TCP_PROBE_EVERY`].
const TCP_PROBE_AFTER: Duration = Duration::from_secs(10);
const TCP_PROBE_EVERY: Duration = Duration::from_secs(5);
const TCP_PROBES: u32 = 3;
/// A peer that hangs while its kernel still answers is noticed by an HTTP/2 ping. Not more often: gRPC servers in Go
/// allow one in 5 minutes and end the connection of a client that sends more (GOAWAY `too_many_pings`).
const PING_AFTER: Duration = Duration::from_secs(6 * 60);
const PING_DEADLINE: Duration = Duration::from_secs(20);

/// Why there is no connection. The operator has to act on all but the last two, which may pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// A certificate file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file of authorities holds none.
    #[error("{}: no certificate in it", path.display())]
    NoAuthority {
        /// Which.
        path: PathBuf,
    },
    /// What the files hold or the settings say cannot be used.
    #[error("the TLS settings cannot be used: {}", causes(.0))]
    Unusable(#[source] tonic::transport::Error),
    /// The task that reads the files did not end.
    #[error("reading the certificates was interrupted")]
    Interrupted,
    /// Refused, unknown, or not trusted.
    #[error("{}", causes(.0))]
    Unreachable(#[source] tonic::transport::Error),
    /// Nobody answered.
    #[error("no connection within {} s", CONNECT_DEADLINE.as_secs())]
    Deadline,
}

/// Makes connections to one server.
#[derive(Debug)]
pub(super) struct Connector {
    settings: Arc<Settings>,
    /// What the certificate files held when the last connection was tried; `None` while they cannot be used.
    used: Option<Material>,
}

impl Connector {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self { settings, used: None }
    }

    /// Connects with what the files hold now. Cancel-safe.
    ///
    /// # Errors
    /// When the files cannot be used or the server cannot be reached with them.
    pub(super) async fn connect(&mut self) -> Result<Channel, ConnectError> {
        self.used = None;
        let (endpoint, material) = load(Arc::clone(&self.settings)).await?;
        self.used = Some(material);
        match tokio::time::timeout(CONNECT_DEADLINE, endpoint.connect()).await {
            Ok(connected) => connected.map_err(ConnectError::Unreachable),
            Err(_elapsed) => Err(ConnectError::Deadline),
        }
    }

    /// Waits until the files hold something else that can be used; for ever without TLS. Cancel-safe.
    pub(super) async fn renewed(&self) {
        if self.settings.tls.is_none() {
            return std::future::pending().await;
        }
        let mut looks = Looks::default();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = look(Arc::clone(&self.settings)).await.ok();
            // What is new may be half of a rotation. If it cannot be used, that is said when a connection needs it.
            if looks.is_settled(now, self.used.as_ref()) && load(Arc::clone(&self.settings)).await.is_ok() {
                return;
            }
        }
    }
}

/// What the last look at the files found.
#[derive(Debug, Default)]
struct Looks {
    last: Option<Material>,
}

impl Looks {
    /// Whether `now` is not what is used, and was there at the last look already.
    fn is_settled(&mut self, now: Option<Material>, used: Option<&Material>) -> bool {
        let is_settled = now.is_some() && now.as_ref() != used && now == self.last;
        self.last = now;
        is_settled
    }
}

/// What the certificate files hold. Empty where none is set.
#[derive(Default, Eq, PartialEq)]
struct Material {
    authorities: Option<Vec<u8>>,
    /// Certificate and key.
    pair: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material").finish_non_exhaustive()
    }
}

/// Reads the files off the runtime's workers.
async fn look(settings: Arc<Settings>) -> Result<Material, ConnectError> {
    let looking = tokio::task::spawn_blocking(move || read(&settings));
    looking.await.unwrap_or(Err(ConnectError::Interrupted))
}

/// Reads the files and makes sure that they can be used, off the runtime's workers.
async fn load(settings: Arc<Settings>) -> Result<(Endpoint, Material), ConnectError> {
    let loading = tokio::task::spawn_blocking(move || {
        let material = read(&settings)?;
        Ok((endpoint(&settings, &material)?, material))
    });
    loading.await.unwrap_or(Err(ConnectError::Interrupted))
}

fn read(settings: &Settings) -> Result<Material, ConnectError> {
    let mut material = Material::default();
    let Some(tls) = &settings.tls else {
        return Ok(material);
    };
    if let Some(path) = &tls.authorities {
        let authorities = read_file(path)?;
        if !CertificateDer::pem_slice_iter(&authorities).any(|certificate| certificate.is_ok()) {
            return Err(ConnectError::NoAuthority { path: path.clone() });
        }
        material.authorities = Some(authorities);
    }
    if let Some((certificate, key)) = &tls.pair {
        material.pair = Some((read_file(certificate)?, read_file(key)?));
    }
    Ok(material)
}

fn read_file(path: &Path) -> Result<Vec<u8>, ConnectError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES).read_to_end(&mut bytes))
        .map_err(|source| ConnectError::File {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

fn endpoint(settings: &Settings, material: &Material) -> Result<Endpoint, ConnectError> {
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let endpoint = Endpoint::from_shared(format!("{scheme}://{}", settings.server))
        .map_err(ConnectError::Unusable)?
        .tcp_keepalive(Some(TCP_PROBE_AFTER))
        .tcp_keepalive_interval(Some(TCP_PROBE_EVERY))
        .tcp_keepalive_retries(Some(TCP_PROBES))
        .http2_keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_DEADLINE);
    let Some(tls) = &settings.tls else {
        return Ok(endpoint);
    };
    let name = tls.server_name.as_deref().unwrap_or_else(|| settings.server.host());
    with_tls(&endpoint, name, material).map_err(ConnectError::Unusable)
}

/// The authorities of the system count beside the one that is set, as in envoyproxy/ratelimit. An image without any is
/// fine if one is set.
fn with_tls(endpoint: &Endpoint, name: &str, material: &Material) -> Result<Endpoint, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new().domain_name(name);
    if let Some((certificate, key)) = &material.pair {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let Some(authorities) = &material.authorities else {
        return endpoint.clone().tls_config(tls.with_native_roots());
    };
    let tls = tls.ca_certificate(Certificate::from_pem(authorities));
    let with_system = endpoint.clone().tls_config(tls.clone().with_native_roots());
    with_system.or_else(|_no_system_roots| endpoint.clone().tls_config(tls))
}

/// The causes of an error, or the error if it has none: what tonic says of its own is only "transport error".
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let first = error.source().unwrap_or(error);
    let causes = std::iter::successors(Some(first), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use rcgen::generate_simple_self_signed;

    use super::*;
    use crate::xds::{Headers, Jitter, MessageLimit, NodeMetadata, PauseSettings, TlsFiles};

    /// The files of a pod, and settings that name them.
    fn files() -> (tempfile::TempDir, Settings) {
        let directory = tempfile::tempdir().unwrap();
        let file = |name| directory.path().join(name);
        let settings = Settings {
            server: "envoy-gateway:18001".parse().unwrap(),
            node_id: "test-node".to_owned(),
            node_metadata: NodeMetadata::default(),
            headers: Headers::default(),
            tls: Some(TlsFiles {
                authorities: Some(file("ca.crt")),
                pair: Some((file("tls.crt"), file("tls.key"))),
                server_name: None,
            }),
            pauses: PauseSettings {
                connect: Duration::ZERO,
                initial: Duration::ZERO,
                max: Duration::ZERO,
                jitter: Jitter::NONE,
            },
            max_message: MessageLimit::new(0),
        };
        write(&directory, ["ca.crt", "tls.crt", "tls.key"], &pair());
        (directory, settings)
    }

    /// Certificate and key.
    fn pair() -> [String; 2] {
        let made = generate_simple_self_signed(["ratelimit".to_owned()]).unwrap();
        [made.cert.pem(), made.signing_key.serialize_pem()]
    }

    fn write<const N: usize>(directory: &tempfile::TempDir, names: [&str; N], [certificate, key]: &[String; 2]) {
        for name in names {
            let text = if name == "tls.key" { key } else { certificate };
            std::fs::write(directory.path().join(name), text).unwrap();
        }
    }

    fn loaded(settings: &Settings) -> Result<Material, ConnectError> {
        let material = read(settings)?;
        endpoint(settings, &material).map(|_endpoint| material)
    }

    #[test]
    fn a_complete_set_of_files_is_used() {
        let (_directory, settings) = files();
        loaded(&settings).unwrap();
    }

    #[test]
    fn files_that_are_missing_or_empty_are_named() {
        let (directory, settings) = files();
        std::fs::write(directory.path().join("ca.crt"), "").unwrap();
        let error = loaded(&settings).unwrap_err();
        assert!(matches!(&error, ConnectError::NoAuthority { path } if path.ends_with("ca.crt")));
        std::fs::remove_file(directory.path().join("ca.crt")).unwrap();
        let error = loaded(&settings).unwrap_err();
        assert!(matches!(&error, ConnectError::File { path, .. } if path.ends_with("ca.crt")));
        assert!(error.to_string().contains("ca.crt: No such file"), "{error}");
    }

    #[test]
    fn a_pair_whose_key_has_not_come_yet_is_not_used() {
        let (directory, settings) = files();
        let next = pair();
        write(&directory, ["tls.crt"], &next);
        let error = loaded(&settings).unwrap_err();
        assert!(matches!(error, ConnectError::Unusable(_)));
        assert!(error.to_string().contains("KeyMismatch"), "{error}");
        write(&directory, ["tls.key"], &next);
        loaded(&settings).unwrap();
    }

    #[test]
    fn nothing_is_read_without_tls() {
        let (directory, mut settings) = files();
        std::fs::remove_file(directory.path().join("tls.key")).unwrap();
        settings.tls = None;
        loaded(&settings).unwrap();
    }

    #[test]
    fn new_files_are_used_at_the_second_look() {
        let material = |text: &str| Material {
            authorities: Some(text.into()),
            pair: None,
        };
        let old = material("old");
        let mut looks = Looks::default();
        for (found, settled) in [
            (Some("old"), false),
            (Some("old"), false),
            (Some("half"), false),
            (Some("new"), false),
            (None, false),
            (Some("new"), false),
            (Some("new"), true),
        ] {
            assert_eq!(looks.is_settled(found.map(material), Some(&old)), settled, "{found:?}");
        }
        let mut looks = Looks::default();
        assert!(!looks.is_settled(Some(material("new")), None), "nothing is used yet");
        assert!(looks.is_settled(Some(material("new")), None));
    }

    #[test]
    fn keys_are_not_shown() {
        let (_directory, settings) = files();
        let shown = format!("{:?}", loaded(&settings).unwrap());
        assert_eq!(shown, "Material { .. }");
    }

    #[test]
    fn pings_are_rarer_than_go_servers_punish() {
        assert!(PING_AFTER > Duration::from_secs(5 * 60));
    }
}
