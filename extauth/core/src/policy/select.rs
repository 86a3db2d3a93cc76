//! Which AuthConfig guards a request: the one that the gateway names in the context extension `config_id`, or else the
//! configured default. Selection by host, path and method belongs between the two, in [`Policies::select`].
//!
//! A name that nothing answers to is denied and does not fall back to the default: a route whose AuthConfig is missing
//! must not be guarded by a weaker one.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::AuthConfig;
use crate::request::CheckRequest;

/// The context extension in which the gateway names the AuthConfig of a route.
const CONFIG_ID_EXTENSION: &str = "config_id";
/// Most bytes of an id: a Kubernetes namespace has 63, a name 253.
const ID_BYTES_MAX: usize = 320;

/// Namespace and name of an AuthConfig. Namespaces have no dot, names may.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConfigId(String);

/// A text that is not `namespace.name` or `namespace/name`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not of the form namespace.name or namespace/name")]
pub struct ConfigIdError;

impl ConfigId {
    /// The id of an object.
    ///
    /// # Errors
    /// When either is empty or holds a `/`, the namespace holds a `.`, or both are longer than Kubernetes has them.
    pub fn new(namespace: &str, name: &str) -> Result<Self, ConfigIdError> {
        let is_word = |text: &str| !text.is_empty() && !text.contains('/');
        if !is_word(namespace) || !is_word(name) || namespace.contains('.') {
            return Err(ConfigIdError);
        }
        let id = format!("{namespace}.{name}");
        if id.len() > ID_BYTES_MAX {
            Err(ConfigIdError)
        } else {
            Ok(Self(id))
        }
    }

    /// The id that a text names: split at a `/` if there is one, else at the first dot.
    ///
    /// # Errors
    /// See [`ConfigId::new`].
    pub fn parse(text: &str) -> Result<Self, ConfigIdError> {
        let (namespace, name) = text
            .split_once('/')
            .or_else(|| text.split_once('.'))
            .ok_or(ConfigIdError)?;
        Self::new(namespace, name)
    }

    /// As `namespace.name`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConfigId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known under an id.
#[derive(Clone, Debug)]
pub enum Policy {
    /// It serves.
    Ready(Arc<AuthConfig>),
    /// Its document has never been good: whatever it was meant to guard is denied.
    Broken,
}

/// Why no AuthConfig guards a request. What was asked for goes to the log; the gateway's configuration chose it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SelectError {
    /// The AuthConfig has never been good.
    #[error("AuthConfig '{0}' has problems and never was good")]
    Broken(ConfigId),
    /// Nothing was named, and there is no default.
    #[error("the route names no AuthConfig in '{CONFIG_ID_EXTENSION}', and there is no default")]
    NotNamed,
    /// There is no such AuthConfig.
    #[error("there is no AuthConfig '{0}'")]
    Unknown(ConfigId),
    /// The name is not an id.
    #[error("{0:?} is not of the form namespace.name")]
    NotAnId(String),
}

impl SelectError {
    /// A word for metrics, from a closed list.
    #[must_use]
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Broken(_) => "config_broken",
            Self::NotNamed | Self::Unknown(_) | Self::NotAnId(_) => "config_not_found",
        }
    }
}

/// Every AuthConfig of one load. Immutable.
#[derive(Clone, Debug, Default)]
pub struct Policies {
    by_id: HashMap<ConfigId, Policy>,
    default: Option<ConfigId>,
}

impl Policies {
    /// The policies by id, and the id of the one for routes that name none.
    #[must_use]
    pub const fn new(by_id: HashMap<ConfigId, Policy>, default: Option<ConfigId>) -> Self {
        Self { by_id, default }
    }

    /// What is known under an id.
    #[must_use]
    pub fn get(&self, id: &ConfigId) -> Option<&Policy> {
        self.by_id.get(id)
    }

    /// All policies, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&ConfigId, &Policy)> {
        self.by_id.iter()
    }

    /// The AuthConfig that guards a request.
    ///
    /// # Errors
    /// When none does; the request is then denied.
    pub fn select(&self, request: &CheckRequest) -> Result<&Arc<AuthConfig>, SelectError> {
        if let Some(named) = request.context_extensions.get(CONFIG_ID_EXTENSION) {
            let id = ConfigId::parse(named).map_err(|_form| SelectError::NotAnId(shortened(named)))?;
            return self.ready(&id);
        }
        self.ready(self.default.as_ref().ok_or(SelectError::NotNamed)?)
    }

    fn ready(&self, id: &ConfigId) -> Result<&Arc<AuthConfig>, SelectError> {
        match self.by_id.get(id) {
            Some(Policy::Ready(config)) => Ok(config),
            Some(Policy::Broken) => Err(SelectError::Broken(id.clone())),
            None => Err(SelectError::Unknown(id.clone())),
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(ID_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(default: Option<&str>) -> Policies {
        let id = |text| ConfigId::parse(text).unwrap();
        let by_id =
            ["demo.api", "demo.api.v2"].map(|text| (id(text), Policy::Ready(crate::pipeline::testing::closed(text))));
        let broken = [(id("demo.broken"), Policy::Broken)];
        Policies::new(by_id.into_iter().chain(broken).collect(), default.map(id))
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "rows read better")]
    fn check(default: Option<&str>, named: Option<&str>, expected: Result<&str, SelectError>) {
        let mut request = CheckRequest::default();
        if let Some(named) = named {
            request
                .context_extensions
                .insert("config_id".to_owned(), named.to_owned());
        }
        let policies = policies(default);
        let selected = policies.select(&request).map(|config| config.id().as_str());
        assert_eq!(selected, expected, "{named:?}");
    }

    #[test]
    fn the_gateways_name_comes_first() {
        check(Some("demo.api"), Some("demo.api.v2"), Ok("demo.api.v2"));
        check(None, Some("demo/api.v2"), Ok("demo.api.v2"));
        check(Some("demo.api"), None, Ok("demo.api"));
    }

    #[test]
    fn nothing_else_guards_in_its_place() {
        let unknown = |text| Err(SelectError::Unknown(ConfigId::parse(text).unwrap()));
        check(None, None, Err(SelectError::NotNamed));
        check(Some("demo.api"), Some("demo.apis"), unknown("demo.apis"));
        check(Some("demo.gone"), None, unknown("demo.gone"));
        let broken = ConfigId::parse("demo.broken").unwrap();
        check(Some("demo.api"), Some("demo.broken"), Err(SelectError::Broken(broken)));
        for text in ["", "api", ".api", "demo.", "a/b/c", "a.b/c"] {
            check(Some("demo.api"), Some(text), Err(SelectError::NotAnId(text.to_owned())));
        }
    }
}
