//! Files of documents as policies: any number of documents in any number of files, in any order.
//!
//! One bad AuthConfig never takes down the others. Its last good version goes on; one that never was good is known and
//! denies. A file that is no YAML keeps what it held before. Problems and notes are returned, not logged.

mod access_token;
mod auth_config;
mod unsupported;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use extauth_core::{ConfigId, HeaderName, KeySource, Policies, Policy, Statuses};
use server::document::{self, Node, Reader};
use server::problem::{Problem, Problems};
use server::reload::Build;
use server::source::{DotFiles, Extensions, Selection, SourceFile};

/// Which files of a directory are read.
pub const SELECTION: Selection = Selection {
    dot_files: DotFiles::Ignore,
    extensions: Extensions::Documents,
};
/// The API groups of AuthConfig; both have the same spec.
const API_VERSIONS: [&str; 2] = ["extauth.solo.io/v1", "enterprise.gloo.solo.io/v1"];
/// Most AuthConfigs of one load.
const CONFIGS_MAX: usize = 10_000;

/// What the process says where a document does not.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether key sets may come over plain HTTP from other hosts.
    pub plain_http: PlainHttp,
    /// Statuses of AuthConfigs that do not choose.
    pub statuses: Statuses,
    /// What an empty `audiences` means.
    pub unnamed_audience: UnnamedAudience,
    /// The header for the caller's id, if any.
    pub user_id_header: Option<HeaderName>,
    /// The AuthConfig for routes that name none.
    pub default: Option<ConfigId>,
}

/// Whether key sets may come over plain HTTP from hosts other than this one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PlainHttp {
    /// Whoever is on the way could put a key into the set, so they may not.
    #[default]
    LoopbackOnly,
    /// The operator trusts the network.
    Allowed,
}

/// What a manifest without `audiences` means. The manifests' own meaning is "not checked". RFC 7519 section 4.1.3 says
/// that a token which names an audience is refused by whoever has no name; we load such a manifest and do that.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum UnnamedAudience {
    /// Tokens that name an audience are denied.
    #[default]
    Deny,
    /// The audience does not matter.
    Unchecked,
}

/// What one load came to.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The policies, ready to select from.
    pub policies: Policies,
    /// The key sets they need, each with its refresh interval.
    pub sources: BTreeMap<KeySource, Duration>,
    /// What is odd but not wrong: unknown fields, documents of other kinds.
    pub notes: Problems,
    /// Each AuthConfig's place, for the next load.
    entries: HashMap<ConfigId, Entry>,
}

impl Loaded {
    /// How many AuthConfigs serve.
    #[must_use]
    pub fn ready(&self) -> usize {
        let is_ready = |(_, policy): &(&ConfigId, &Policy)| matches!(policy, Policy::Ready(_));
        self.policies.iter().filter(is_ready).count()
    }
}

/// One AuthConfig and what came with it.
#[derive(Clone, Debug)]
struct Entry {
    file: String,
    policy: Policy,
    sources: Vec<(KeySource, Duration)>,
}

/// Reads files into policies. Nothing is ever refused as a whole.
#[must_use]
pub fn load(files: &[SourceFile], before: Option<&Loaded>, options: &Options) -> Build<Loaded> {
    let mut load = Load {
        options,
        before,
        entries: HashMap::new(),
        unreadable: BTreeSet::new(),
        problems: Problems::new(),
        notes: Problems::new(),
    };
    for file in files {
        load.file(file);
    }
    load.finish()
}

struct Load<'a> {
    options: &'a Options,
    before: Option<&'a Loaded>,
    entries: HashMap<ConfigId, Entry>,
    /// Files of which a document cannot be told from another: what they held before goes on.
    unreadable: BTreeSet<String>,
    problems: Problems,
    notes: Problems,
}

impl Load<'_> {
    fn file(&mut self, file: &SourceFile) {
        match document::parse(&file.bytes) {
            Ok(documents) => {
                for document in documents.iter().filter(|document| !document.is_null()) {
                    self.document(&file.name, document);
                }
            }
            Err(error) => {
                self.problems.push(Problem {
                    file: file.name.clone(),
                    position: error.position,
                    message: error.message,
                    ..Problem::default()
                });
                self.unreadable.insert(file.name.clone());
            }
        }
    }

    fn document(&mut self, file: &str, document: &Node) {
        let found = RefCell::new(Problems::new());
        let root = Reader::root(file, document, &found);
        let kind = root.required_str("kind");
        let api_version = root.required_str(["apiVersion", "api_version"]);
        if let (Some("AuthConfig"), Some(api_version)) = (kind, api_version) {
            if API_VERSIONS.contains(&api_version) {
                self.auth_config(&root, &found);
            } else if let Some(field) = root.field(["apiVersion", "api_version"]) {
                field.reject_allowing("not an API group of AuthConfig", API_VERSIONS.join(", "));
            }
        } else if let Some(kind) = kind {
            self.notes.push(note(&root, format!("kind '{kind}' is not read here")));
        } else {
            self.unreadable.insert(file.to_owned());
        }
        self.problems.extend(found.into_inner());
    }

    fn auth_config(&mut self, root: &Reader<'_>, found: &RefCell<Problems>) {
        let Some(id) = auth_config::id(root) else {
            self.unreadable.insert(root.file().to_owned());
            return;
        };
        let read = auth_config::read(root, id.clone(), self.options, &mut self.notes);
        if self.entries.contains_key(&id) {
            root.reject(format!("a second AuthConfig '{id}'; neither is used"));
            return self.keep(id, root.file());
        }
        if self.entries.len() >= CONFIGS_MAX {
            return root.reject(format!("more than {CONFIGS_MAX} AuthConfigs"));
        }
        match read.filter(|_| found.borrow().is_empty()) {
            Some((config, sources)) => {
                let policy = Policy::Ready(Arc::new(config));
                let file = root.file().to_owned();
                self.entries.insert(id, Entry { file, policy, sources });
            }
            None => self.keep(id, root.file()),
        }
    }

    /// The last good version goes on. Without one, the id is known as broken and denies.
    fn keep(&mut self, id: ConfigId, file: &str) {
        let last = self.before.and_then(|before| before.entries.get(&id)).cloned();
        let entry = last.unwrap_or_else(|| Entry {
            file: file.to_owned(),
            policy: Policy::Broken,
            sources: Vec::new(),
        });
        self.entries.insert(id, entry);
    }

    /// What unreadable files held before goes on, as far as no document has it now.
    fn keep_unreadable(&mut self) {
        let before = self.before.into_iter().flat_map(|before| &before.entries);
        for (id, entry) in before.filter(|(_, entry)| self.unreadable.contains(&entry.file)) {
            self.entries.entry(id.clone()).or_insert_with(|| entry.clone());
        }
    }

    fn finish(mut self) -> Build<Loaded> {
        self.keep_unreadable();
        if let Some(default) = self
            .options
            .default
            .as_ref()
            .filter(|id| !self.entries.contains_key(id))
        {
            let message = format!("the default AuthConfig '{default}' does not exist, its requests are denied");
            self.problems.push(Problem {
                message,
                ..Problem::default()
            });
        }
        let mut sources: BTreeMap<KeySource, Duration> = BTreeMap::new();
        for (source, refresh) in self.entries.values().flat_map(|entry| &entry.sources) {
            let shortest = sources.entry(source.clone()).or_insert(*refresh);
            *shortest = (*shortest).min(*refresh);
        }
        let policies = self
            .entries
            .iter()
            .map(|(id, entry)| (id.clone(), entry.policy.clone()));
        let loaded = Loaded {
            policies: Policies::new(policies.collect(), self.options.default.clone()),
            sources,
            notes: self.notes,
            entries: self.entries,
        };
        self.problems.sort();
        if self.problems.is_empty() {
            Build::Good(loaded)
        } else {
            Build::Partly(loaded, self.problems)
        }
    }
}

/// Something odd at a place.
fn note(at: &Reader<'_>, message: String) -> Problem {
    Problem {
        file: at.file().to_owned(),
        position: Some(at.node().position),
        field: at.path(),
        message,
        ..Problem::default()
    }
}

/// Notes each field that we do not know. The manifests' servers never fail on one.
fn note_unknown(at: &Reader<'_>, known: &[&str], notes: &mut Problems) {
    for entry in at.unknown(known) {
        let name = entry.key.text().unwrap_or_else(|| entry.key.kind());
        notes.push(Problem {
            position: Some(entry.key.position),
            ..note(at, format!("unknown field '{name}' has no effect"))
        });
    }
}

#[cfg(test)]
mod tests;
