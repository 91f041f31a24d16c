//! The tests inside parser files: a line and what it must become, or a line no case may take.

use super::super::attempt::{ATTEMPT_NAMES, Session};
use super::{Language, Programs};
use crate::diagnostic::Place;
use crate::event::{FieldTable, Parsed, Record, Value, ecs};
use crate::yaml::{Node, NodeKind, Problems};
use bumpalo::Bump;
use std::sync::Arc;

/// Tests of one parser.
pub(super) const TESTS_MAX: usize = 2_000;

/// One test as written.
#[derive(Debug)]
pub(super) struct Test {
    place: Place,
    line: String,
    /// The program whose line it is.
    program: Option<String>,
    /// What must hold; `None` where no case may match.
    expect: Option<Vec<(String, Node)>>,
}

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// The parser's name.
    pub parser: String,
    /// The file.
    pub path: Arc<str>,
    /// Where in the file.
    pub place: Place,
    /// The line that was parsed.
    pub line: String,
    /// What did not hold; empty when the test passed.
    pub failures: Vec<String>,
}

/// Reads the tests of a parser.
pub(super) fn read(node: Option<&Node>, names: &FieldTable, problems: &mut Problems) -> Vec<Test> {
    let Some(node) = node else { return Vec::new() };
    let mut tests = Vec::new();
    for test in node.items().iter().take(TESTS_MAX) {
        test.check_keys("test", &["line", "program", "expect", "reject"], problems);
        let (line, expect) = match (test.get("line"), test.get("reject")) {
            (Some(line), None) => (line, Some(expectations(test, names, problems))),
            (None, Some(line)) => (line, None),
            _ => {
                problems.error(test.place, "a test has either a `line` or a line to `reject`");
                continue;
            }
        };
        tests.push(Test {
            place: test.place,
            line: line.as_text().unwrap_or_default().to_owned(),
            program: test.get("program").and_then(Node::as_text).map(str::to_owned),
            expect,
        });
    }
    tests
}

fn expectations(test: &Node, names: &FieldTable, problems: &mut Problems) -> Vec<(String, Node)> {
    let Some(expect) = test.get("expect") else { return Vec::new() };
    let mut list = Vec::new();
    for (name, key, value) in expect.expect_map("`expect`", problems).unwrap_or_default() {
        if !matches!(name, "case" | "repeat" | "attempt") && names.lookup(name).is_none() {
            problems.error(key.place, format!("unknown field `{name}`"));
        }
        list.push((name.to_owned(), value.clone()));
    }
    list
}

/// Runs the tests of a parser; those that fail are errors.
pub(super) fn check(language: &Language, names: &FieldTable, problems: &mut Problems) -> bool {
    let before = problems.list.len();
    for outcome in language.run_tests(names) {
        for failure in &outcome.failures {
            problems.error(outcome.place, format!("this test fails: {failure}"));
        }
    }
    problems.list.len() == before
}

impl Language {
    /// Runs its tests, in the order of the file.
    pub(in crate::parse) fn run_tests(&self, names: &FieldTable) -> Vec<TestOutcome> {
        let outcome = |test: &Test| TestOutcome {
            parser: self.name.to_string(),
            path: Arc::clone(&self.path),
            place: test.place,
            line: test.line.clone(),
            failures: self.run_test(test, names),
        };
        self.tests.iter().map(outcome).collect()
    }

    fn run_test(&self, test: &Test, names: &FieldTable) -> Vec<String> {
        let arena = Bump::new();
        let mut record = Record::new(&arena, &test.line);
        let program = match (&test.program, &self.programs) {
            (Some(program), _) => program,
            (None, Programs::Named(list)) => list.first().map_or("", AsRef::as_ref),
            (None, _) => "",
        };
        let session = Session { host: "host", program, pid: Some(1) };
        let matched = self.apply(test.line.trim(), &session, &mut record, &arena);
        match &test.expect {
            None if matched => vec![format!("the case `{}` matches", case(&record))],
            None => Vec::new(),
            Some(_) if !matched => vec!["no case matches".to_owned()],
            Some(expect) => expect
                .iter()
                .filter_map(|(name, node)| differs(&record, name, node, names))
                .collect(),
        }
    }
}

fn case<'a>(record: &Record<'a>) -> &'a str {
    record.get(ecs::TRIPLINE_CASE).and_then(Value::as_str).unwrap_or_default()
}

fn differs(record: &Record<'_>, name: &str, wanted: &Node, names: &FieldTable) -> Option<String> {
    debug_assert_eq!(record.parsed, Parsed::Matched);
    let found = match name {
        "case" => Some(Value::Str(case(record))),
        "repeat" => Some(Value::Int(i64::from(record.repeat))),
        "attempt" => record
            .attempt
            .and_then(|attempt| ATTEMPT_NAMES.get(usize::from(attempt.kind)))
            .map(|name| Value::Str(name)),
        field => names.lookup(field).and_then(|id| record.get(id)),
    };
    if same(found, wanted) {
        return None;
    }
    let found = found.map_or_else(|| "nothing".to_owned(), |value| value.to_json().to_string());
    Some(format!("`{name}` should be `{}`, found `{found}`", wanted.to_json()))
}

fn same(found: Option<Value<'_>>, wanted: &Node) -> bool {
    match (found, &wanted.kind) {
        (None, _) => wanted.is_null(),
        (Some(Value::List(found)), NodeKind::List(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| same(Some(*found), wanted))
        }
        (Some(found), _) => found.as_text().as_deref() == wanted.as_text(),
    }
}
