//! The shipped rules through the program itself: they are valid, their tests hold, and in a night
//! of mixed work and intrusion they find what is there and nothing else.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use crate::tokens::{files_below, root, text_of};
use serde_json::Value;
use std::process::{Command, Output};

fn tripline(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("the program starts")
}

fn shown(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// Rule and group of every line, in an order of their own: rules that fire at once may differ.
fn findings(text: &str) -> Vec<String> {
    let mut all: Vec<String> = text
        .lines()
        .map(|line| {
            let finding: Value = serde_json::from_str(line).expect("a finding is an object");
            format!("{} {}", finding["rule"], finding["group"])
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_shipped_rules_are_valid() {
    let checked = tripline(&["check", "rules"]);
    assert_eq!(checked.status.code(), Some(0), "{}", shown(&checked));
}

#[test]
fn the_tests_inside_the_shipped_rules_hold() {
    let tested = tripline(&["test", "--json", "rules"]);
    assert_eq!(tested.status.code(), Some(0), "{}", shown(&tested));
    let passed = String::from_utf8_lossy(&tested.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|outcome| outcome["passed"] == true)
        .count();
    assert_eq!(passed, tests_inside(), "{}", shown(&tested));
}

/// How many tests the rule files hold, counted without the program's own reader of them.
fn tests_inside() -> usize {
    files_below("rules")
        .iter()
        .filter_map(|path| text_of(path))
        .map(|text| text.lines().filter(|line| line.starts_with("  - name: ")).count())
        .sum()
}

#[test]
fn a_night_at_a_store_gives_its_incidents_and_no_other() {
    let log = "fixtures/rules/linux/night.log";
    let hunted = tripline(&["hunt", "--rules", "rules", "--format", "syslog", log]);
    let wanted = text_of("fixtures/rules/linux/night.expected.jsonl").unwrap_or_default();
    let found = findings(&String::from_utf8_lossy(&hunted.stdout));
    assert_eq!(found, findings(&wanted), "{}", String::from_utf8_lossy(&hunted.stderr));
    assert_eq!(hunted.status.code(), Some(0), "{}", shown(&hunted));
}
