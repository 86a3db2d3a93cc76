//! The proof that a request may go on. Made here and nowhere else.

use super::steps::Passed;
use crate::policy::AuthConfig;

/// Every step of an AuthConfig passed.
#[derive(Debug)]
pub struct Permit(());

impl Permit {
    /// A permit if `passed` are all the steps of `config`, of which there is at least one.
    pub(super) fn for_steps(config: &AuthConfig, passed: &[Passed]) -> Option<Self> {
        (!passed.is_empty() && passed.len() == config.steps().len()).then_some(Self(()))
    }
}
