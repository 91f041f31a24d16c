//! Rules as people write them: Sigma YAML, checked, with places for every error.

use crate::diagnostic::{Diagnostic, SourceText};
use crate::event::FieldTable;
use crate::finding::RuleHead;
use std::sync::Arc;

/// Checked rules, detections and correlations, in the order of their files.
#[derive(Debug, Default, Clone)]
pub struct Ruleset {}

impl Ruleset {
    /// Reads rule files; rules with errors are left out and reported, the others stand.
    pub fn load(_texts: &[SourceText], _names: &mut FieldTable) -> (Self, Vec<Diagnostic>) {
        (Self {}, Vec::new())
    }

    /// The steps each rule names, by rule id; rules without any are left out.
    pub fn steps(&self) -> Vec<(Box<str>, Vec<Box<str>>)> {
        Vec::new()
    }

    /// What is shown of every rule, in order.
    pub fn heads(&self) -> impl Iterator<Item = &Arc<RuleHead>> {
        std::iter::empty()
    }
}
