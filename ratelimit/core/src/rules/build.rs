//! From rules as written to the compiled tree, reporting every problem on the way.
//!
//! One walk does both, in file order and depth first, so that the first problem is the one envoyproxy/ratelimit
//! would stop at. After a problem the walk goes on with what can still be read; the tree is handed out only when
//! there was none.

use std::fmt::Write as _;
use std::sync::Arc;

use super::tree::{Children, Node, NodeId, Nodes};
use super::wildcard::is_wildcard;
use super::{BuildOptions, Origin, Rule, RuleId, RuleSet};
use crate::source::{Counting, Position, RateLimit, RuleFile, RuleNode, Sharing};
use crate::{Limit, Rate, RuleProblem, RuleProblemKind, Unit};

pub(super) fn build(files: &[RuleFile], options: BuildOptions) -> Result<RuleSet, Vec<RuleProblem>> {
    let mut built = RuleSet {
        options,
        ..RuleSet::default()
    };
    let mut problems = Vec::new();
    for file in files {
        add_file(&mut built, file, &mut problems);
    }
    if problems.is_empty() { Ok(built) } else { Err(problems) }
}

fn add_file(built: &mut RuleSet, file: &RuleFile, problems: &mut Vec<RuleProblem>) {
    let domain: Arc<str> = file.domain.value.as_str().into();
    let mut builder = Builder {
        nodes: &mut built.nodes,
        rules: &mut built.rules,
        problems,
        file: file.name.as_str().into(),
        domain: Arc::clone(&domain),
        path: file.domain.value.clone(),
        field: String::new(),
    };
    if file.domain.value.is_empty() {
        builder.report("domain", file.domain.position, RuleProblemKind::EmptyDomain);
    }
    let merge = built.options.merge_domains;
    if !merge && !domain.is_empty() && built.domains.contains_key(&domain) {
        let domain = file.domain.value.clone();
        builder.report(
            "domain",
            file.domain.position,
            RuleProblemKind::DuplicateDomain { domain },
        );
    }
    // A refused second file is checked on its own: its descriptors are no duplicates of the first one's.
    let mut root = if merge {
        built.domains.remove(&domain).unwrap_or_default()
    } else {
        Children::default()
    };
    builder.add_level(&mut root, &file.descriptors);
    built.domains.insert(domain, root);
}

/// The walk through one file.
struct Builder<'b> {
    nodes: &'b mut Nodes,
    rules: &'b mut Vec<Rule>,
    problems: &'b mut Vec<RuleProblem>,
    file: Arc<str>,
    domain: Arc<str>,
    /// The domain and the composites down to the parent, joined with dots.
    path: String,
    /// The field of the parent: `descriptors[0].descriptors[2].`
    field: String,
}

impl Builder<'_> {
    fn add_level(&mut self, children: &mut Children, level: &[RuleNode]) {
        let (path_len, field_len) = (self.path.len(), self.field.len());
        for (index, written) in level.iter().enumerate() {
            // Writing to a String cannot fail.
            let _written: std::fmt::Result = write!(self.field, "descriptors[{index}].");
            self.add_node(children, written);
            self.path.truncate(path_len);
            self.field.truncate(field_len);
        }
    }

    fn add_node(&mut self, children: &mut Children, written: &RuleNode) {
        let composite = composite(&written.key.value, &written.value.value);
        self.path.push('.');
        self.path.push_str(&composite);
        let is_duplicate = !written.key.value.is_empty() && children.contains(&composite, self.nodes);
        if written.key.value.is_empty() {
            self.report(
                "key",
                written.key.position.or(written.position),
                RuleProblemKind::EmptyKey,
            );
        } else if is_duplicate {
            let path = self.path.clone();
            self.report(
                "key",
                written.key.position,
                RuleProblemKind::DuplicateDescriptor { path },
            );
        }
        let rule = written
            .rate_limit
            .as_ref()
            .and_then(|limit| self.add_rule(written, limit));
        if written.sharing.value == Sharing::Shared && !is_wildcard(&composite) {
            let composite = composite.clone();
            let kind = RuleProblemKind::SharingWithoutWildcard { composite };
            self.report("share_threshold", written.sharing.position, kind);
        }
        let node = Node {
            composite: composite.into_boxed_str(),
            rule,
            sharing: written.sharing.value,
            value_in_stats: written.value_in_stats,
            children: Children::default(),
        };
        let Some(id) = self.nodes.push(node) else {
            let kind = RuleProblemKind::TooManyDescriptors { limit: u32::MAX };
            return self.report("key", written.position, kind);
        };
        if !is_duplicate {
            children.insert(id, self.nodes);
        }
        self.add_children(id, written);
    }

    /// Built outside the arena and put in when complete, as adding them changes the arena.
    fn add_children(&mut self, id: NodeId, written: &RuleNode) {
        let mut children = Children::default();
        self.add_level(&mut children, &written.descriptors);
        if let Some(node) = self.nodes.get_mut(id) {
            node.children = children;
        }
    }

    /// The rule of a limit, unless something is wrong with it.
    fn add_rule(&mut self, written: &RuleNode, limit: &RateLimit) -> Option<RuleId> {
        let allowed = self.check_unit(limit);
        self.check_replaces(limit);
        let allowed = allowed?;
        let id = RuleId(u32::try_from(self.rules.len()).ok()?);
        let mut replaces: Vec<Box<str>> = limit.replaces.iter().map(|name| name.value.as_str().into()).collect();
        replaces.sort_unstable();
        self.rules.push(Rule {
            id,
            origin: Origin {
                file: Arc::clone(&self.file),
                position: written.position,
            },
            domain: Arc::clone(&self.domain),
            stats_key: self.path.as_str().into(),
            name: limit.name.value.as_str().into(),
            limit: allowed,
            stated_requests: limit.requests_per_unit,
            enforcement: written.enforcement,
            role: written.role,
            stats_detail: written.stats_detail,
            replaces: replaces.into_boxed_slice(),
            metadata: written.metadata.clone(),
        });
        Some(id)
    }

    fn check_unit(&mut self, limit: &RateLimit) -> Option<Limit> {
        let position = limit.unit.position.or(limit.position);
        let spelled = || limit.unit.value.clone();
        match (limit.counting, Unit::from_name(&limit.unit.value)) {
            (Counting::Counted, Some(unit)) => Some(Limit::Rate(Rate::new(limit.requests_per_unit, unit))),
            (Counting::Unlimited, None) => Some(Limit::Unlimited),
            (Counting::Unlimited, Some(_)) => {
                let kind = RuleProblemKind::UnitWhenUnlimited { unit: spelled() };
                self.report("rate_limit.unit", position, kind);
                None
            }
            (Counting::Counted, None) => {
                self.report(
                    "rate_limit.unit",
                    position,
                    RuleProblemKind::InvalidUnit { unit: spelled() },
                );
                None
            }
        }
    }

    fn check_replaces(&mut self, limit: &RateLimit) {
        for (index, name) in limit.replaces.iter().enumerate() {
            let kind = if name.value.is_empty() {
                RuleProblemKind::EmptyReplaces
            } else if name.value == limit.name.value {
                RuleProblemKind::ReplacesItself {
                    name: name.value.clone(),
                }
            } else {
                continue;
            };
            self.report(&format!("rate_limit.replaces[{index}].name"), name.position, kind);
        }
    }

    fn report(&mut self, field: &str, position: Option<Position>, kind: RuleProblemKind) {
        let field = format!("{}{field}", self.field);
        self.problems.push(RuleProblem {
            file: self.file.to_string(),
            position,
            field,
            kind,
        });
    }
}

/// `key`, or `key_value` when there is a value.
fn composite(key: &str, value: &str) -> String {
    if value.is_empty() {
        key.to_owned()
    } else {
        format!("{key}_{value}")
    }
}
