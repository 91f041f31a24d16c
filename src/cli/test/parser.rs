//! Where `test` meets the tests inside parsers.

use super::Tally;
use crate::diagnostic::SourceText;
use crate::event::FieldTable;
use crate::parse::Parsers;

/// Runs the tests of one parser file.
pub(super) fn run(text: &SourceText, tally: &mut Tally) {
    let mut names = FieldTable::default();
    let (_, problems) = Parsers::load(std::slice::from_ref(text), &mut names);
    tally.problems.extend(problems);
}
