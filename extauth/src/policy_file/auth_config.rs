//! One AuthConfig document: its envelope and its list of steps. What a step holds is read in a file of its own.

use std::time::Duration;

use extauth_core::pipeline::steps::StepConfig;
use extauth_core::{AuthConfig, ConfigId, KeySource, NamedStep, Statuses};
use server::document::Reader;
use server::problem::Problems;

use super::{Options, access_token, note, note_unknown, unsupported};

/// The namespace of a document that names none, as `kubectl apply` has it.
const NAMESPACE_DEFAULT: &str = "default";
/// Fields of `spec`, in both spellings.
const SPEC_FIELDS: [&str; 8] = [
    "configs",
    "booleanExpr",
    "boolean_expr",
    "failOnRedirect",
    "fail_on_redirect",
    "match",
    "statusCodes",
    "status_codes",
];
/// Most steps of one AuthConfig.
const STEPS_MAX: usize = 32;

/// A good AuthConfig and the key sets it needs.
pub(super) type Read = (AuthConfig, Vec<(KeySource, Duration)>);

/// Namespace and name of a document.
pub(super) fn id(root: &Reader<'_>) -> Option<ConfigId> {
    let metadata = root.required("metadata")?;
    let name = metadata.required_str("name")?;
    let namespace = metadata.optional_str("namespace").unwrap_or(NAMESPACE_DEFAULT);
    let id = ConfigId::new(namespace, name);
    if let Err(error) = id {
        metadata.reject(format!("namespace and name are {error}"));
    }
    id.ok()
}

/// Reads a document. `None` if it cannot be an AuthConfig at all; else look at the problems.
pub(super) fn read(root: &Reader<'_>, id: ConfigId, options: &Options, notes: &mut Problems) -> Option<Read> {
    note_unknown(
        root,
        &["apiVersion", "api_version", "kind", "metadata", "spec", "status"],
        notes,
    );
    let spec = root.required("spec")?;
    note_unknown(&spec, &SPEC_FIELDS, notes);
    unsupported::refuse_in_spec(&spec);
    // No step of ours redirects, so either value means the same.
    let _fail_on_redirect: Option<bool> = spec.optional_bool(["failOnRedirect", "fail_on_redirect"]);
    let statuses = spec
        .field(["statusCodes", "status_codes"])
        .and_then(|field| field.one_of(&[("standard", Statuses::Standard), ("manifest", Statuses::Manifest)]));
    let configs = spec.required("configs")?.items();
    if configs.len() > STEPS_MAX {
        spec.reject(format!("more than {STEPS_MAX} configs"));
        return None;
    }
    let mut sources = Vec::new();
    let mut steps = Vec::with_capacity(configs.len());
    for (index, item) in configs.iter().enumerate() {
        let name = item
            .optional_str("name")
            .map_or_else(|| format!("config_{index}"), str::to_owned);
        if let Some((step, source)) = step(item, options, notes) {
            sources.extend(source);
            steps.push(NamedStep { name, step });
        }
    }
    if steps.len() < configs.len() {
        return None;
    }
    let config = AuthConfig::new(
        id,
        steps,
        statuses.unwrap_or(options.statuses),
        options.user_id_header.clone(),
    );
    match config {
        Ok(config) => Some((config, sources)),
        Err(error) => {
            spec.reject(error.to_string());
            None
        }
    }
}

/// One element of `configs`: a name and exactly one kind of step.
fn step(
    item: &Reader<'_>,
    options: &Options,
    notes: &mut Problems,
) -> Option<(StepConfig, Option<(KeySource, Duration)>)> {
    if unsupported::refuse_in_step(item) {
        return None;
    }
    note_unknown(item, &["name", "oauth2"], notes);
    let Some(oauth2) = item.map("oauth2") else {
        item.reject_allowing("no kind of step that we have", "oauth2");
        return None;
    };
    if unsupported::refuse_in_oauth2(&oauth2) {
        return None;
    }
    note_unknown(&oauth2, &["accessTokenValidation", "access_token_validation"], notes);
    let validation = oauth2.required(["accessTokenValidation", "access_token_validation"])?;
    let (step, source) = access_token::read(&validation, options, notes)?;
    if let Some(advice) = access_token::advice(&step) {
        notes.push(note(&validation, advice));
    }
    Some((StepConfig::AccessToken(Box::new(step)), source))
}
