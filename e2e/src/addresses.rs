//! Rewrites the addresses in the shipped configuration: service names of the compose file become loopback addresses.
//!
//! Nothing else of a file changes (docs/adr/0004). An address that the table does not know is an error, so that nothing
//! here can ever reach beyond this machine.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// Which address of the shipped files stands for which on this machine.
#[derive(Clone, Debug, Default)]
pub struct Addresses(Vec<(String, u16, SocketAddr)>);

impl Addresses {
    /// Adds `host:port` as the shipped files write it.
    #[must_use]
    pub fn with(mut self, host: &str, port: u16, here: SocketAddr) -> Self {
        self.0.push((host.to_owned(), port, here));
        self
    }

    /// Envoy's bootstrap file, as JSON: each `{address, port_value}` is looked up and replaced.
    ///
    /// # Errors
    ///
    /// It is not YAML, or names an address that is not in the table.
    pub fn rewrite_envoy(&self, yaml: &str) -> Result<Value> {
        let mut document: Value = serde_saphyr::from_str(yaml).context("Envoy's file is not YAML")?;
        self.rewrite_node(&mut document)?;
        Ok(document)
    }

    /// Any other file: each `host:port` in its text is replaced.
    #[must_use]
    pub fn rewrite_text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (host, port, here) in &self.0 {
            text = replace_word(&text, &format!("{host}:{port}"), &here.to_string());
        }
        text
    }

    fn rewrite_node(&self, node: &mut Value) -> Result<()> {
        match node {
            Value::Object(map) => {
                self.rewrite_socket_address(map)?;
                map.values_mut().try_for_each(|value| self.rewrite_node(value))
            }
            Value::Array(items) => items.iter_mut().try_for_each(|value| self.rewrite_node(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
        }
    }

    fn rewrite_socket_address(&self, map: &mut Map<String, Value>) -> Result<()> {
        let (Some(Value::String(host)), Some(port)) =
            (map.get("address"), map.get("port_value").and_then(Value::as_u64))
        else {
            return Ok(());
        };
        let known = self
            .0
            .iter()
            .find(|(name, number, _)| name == host && u64::from(*number) == port);
        let Some((_, _, here)) = known else {
            bail!("Envoy's file names {host}:{port}, which has no place on this machine");
        };
        map.insert("address".to_owned(), here.ip().to_string().into());
        map.insert("port_value".to_owned(), here.port().into());
        Ok(())
    }
}

/// Replaces `word` where it is not a part of a longer host name or number.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let mut pieces = text.split(word);
    let mut result = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let alone = !result.ends_with(host) && !piece.starts_with(|c: char| c.is_ascii_digit());
        result.push_str(if alone { by } else { word });
        result.push_str(piece);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Addresses {
        Addresses::default()
            .with("issuer", 10001, "127.0.0.1:4001".parse().unwrap())
            .with("extauth", 9000, "127.0.0.1:4002".parse().unwrap())
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(table().rewrite_text(text), expected);
    }

    #[test]
    fn replaces_whole_addresses_in_text() {
        check(
            "url: http://issuer:10001/jwks.json",
            "url: http://127.0.0.1:4001/jwks.json",
        );
        check("issuer:10001 and extauth:9000", "127.0.0.1:4001 and 127.0.0.1:4002");
    }

    #[test]
    fn leaves_what_only_looks_like_an_address() {
        check("my-issuer:10001", "my-issuer:10001");
        check("issuer:100011", "issuer:100011");
        check(
            "issuer: https://issuer.sallyport.example",
            "issuer: https://issuer.sallyport.example",
        );
    }

    #[test]
    fn replaces_socket_addresses_wherever_they_are() {
        let yaml = "clusters:\n  - {socket_address: {address: extauth, port_value: 9000}}\n";
        let json = table().rewrite_envoy(yaml).unwrap();
        let expected =
            serde_json::json!({"clusters": [{"socket_address": {"address": "127.0.0.1", "port_value": 4002}}]});
        assert_eq!(json, expected);
    }

    #[test]
    fn refuses_an_address_beyond_this_machine() {
        let error = table()
            .rewrite_envoy("{address: example.org, port_value: 443}")
            .unwrap_err();
        assert!(error.to_string().contains("example.org:443"), "{error}");
    }
}
