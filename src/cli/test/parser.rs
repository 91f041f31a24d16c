//! Where `test` meets the tests inside parsers.

use super::case::CaseOutcome;
use crate::diagnostic::{Diagnostic, SourceText};
use crate::event::FieldTable;
use crate::parse::Parsers;
use std::sync::Arc;

/// Runs the tests of one parser file. Loading reports those that fail as errors as well; they are
/// told once, as failed tests.
pub(super) fn run(text: &SourceText, problems: &mut Vec<Diagnostic>) -> Vec<CaseOutcome> {
    let mut names = FieldTable::default();
    let (parsers, found) = Parsers::load(std::slice::from_ref(text), &mut names);
    let outcomes = parsers.run_tests(&names);
    let is_told = |problem: &Diagnostic| {
        outcomes.iter().any(|test| !test.failures.is_empty() && test.place == problem.place)
    };
    problems.extend(found.into_iter().filter(|problem| !is_told(problem)));
    let outcome = |test: &crate::parse::TestOutcome| CaseOutcome {
        path: Arc::clone(&test.path),
        name: format!("line {}: {}", test.place.line, test.line).into(),
        failure: (!test.failures.is_empty()).then(|| test.failures.join("\n")),
        fired: Vec::new(),
    };
    outcomes.iter().map(outcome).collect()
}
