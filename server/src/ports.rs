//! Telling whoever started us where we listen: a JSON file of `{"grpc": "127.0.0.1:40123", …}`, there only once every
//! listener is bound. With port 0 this is how a test or a supervisor finds the real ports.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use crate::listen::Address;

/// Writes the file at once: it appears complete or not at all.
///
/// # Errors
/// When the directory cannot be written.
pub fn write(path: &Path, listeners: &[(&str, Address)]) -> io::Result<()> {
    let listeners: BTreeMap<&str, String> = listeners.iter().map(|(name, at)| (*name, at.to_string())).collect();
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, serde_json::to_vec(&listeners)?)?;
    std::fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_every_listener() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ports.json");
        write(
            &path,
            &[("grpc", Address::tcp("127.0.0.1", 1)), ("http", Address::tcp("::1", 2))],
        )
        .unwrap();
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            r#"{"grpc":"127.0.0.1:1","http":"[::1]:2"}"#
        );
    }
}
