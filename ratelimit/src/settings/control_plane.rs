//! `CONFIG_TYPE=GRPC_XDS_SOTW`: where limits are pushed from.

use std::path::PathBuf;

use super::values::Values;
use crate::xds::{Jitter, MessageLimit, PauseSettings, Settings, TlsFiles};

/// `None` is a problem that was added to `values`.
pub(super) fn control_plane(values: &mut Values<'_>) -> Option<Settings> {
    // Each is read before any is given up, so that all problems are found.
    let server = values.parsed("CONFIG_GRPC_XDS_SERVER_URL");
    let node_metadata = values.parsed("CONFIG_GRPC_XDS_NODE_METADATA");
    let headers = values.parsed("CONFIG_GRPC_XDS_CLIENT_ADDITIONAL_HEADERS");
    Some(Settings {
        node_id: values.text("CONFIG_GRPC_XDS_NODE_ID").to_owned(),
        tls: values.bool("CONFIG_GRPC_XDS_SERVER_USE_TLS").then(|| tls(values)),
        pauses: PauseSettings {
            connect: values.duration("CONFIG_GRPC_XDS_SERVER_CONNECT_RETRY_INTERVAL"),
            initial: values.duration("XDS_CLIENT_BACKOFF_INITIAL_INTERVAL"),
            max: values.duration("XDS_CLIENT_BACKOFF_MAX_INTERVAL"),
            jitter: jitter(values),
        },
        max_message: MessageLimit::new(values.int("XDS_CLIENT_MAX_MSG_SIZE_IN_BYTES")),
        server: server?,
        node_metadata: node_metadata?,
        headers: headers?,
    })
}

/// A certificate without its key, or a key without its certificate, is not used; so it is with envoyproxy/ratelimit.
fn tls(values: &Values<'_>) -> TlsFiles {
    let some = |name| Some(values.text(name).to_owned()).filter(|text| !text.is_empty());
    let path = |name| some(name).map(PathBuf::from);
    TlsFiles {
        authorities: path("CONFIG_GRPC_XDS_SERVER_TLS_CACERT"),
        pair: path("CONFIG_GRPC_XDS_CLIENT_TLS_CERT").zip(path("CONFIG_GRPC_XDS_CLIENT_TLS_KEY")),
        server_name: some("CONFIG_GRPC_XDS_SERVER_TLS_SAN"),
    }
}

fn jitter(values: &Values<'_>) -> Jitter {
    let share = values.text("XDS_CLIENT_BACKOFF_RANDOM_FACTOR").parse();
    if values.bool("XDS_CLIENT_BACKOFF_JITTER") {
        share.map_or(Jitter::NONE, Jitter::new)
    } else {
        Jitter::NONE
    }
}
