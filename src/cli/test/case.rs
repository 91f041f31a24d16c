//! One test of a rule: lines or events in, findings expected out.

use super::coverage;
use crate::cli::formats::Formats;
use crate::cli::terminal;
use crate::config;
use crate::diagnostic::{Diagnostic, SourceText};
use crate::event::{RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use crate::finding::{Group, Incident, IncidentChange, Level, Phase};
use crate::parse::{Format, ParseOptions};
use crate::pipeline::{Effect, EventOutput, Input, Pipeline, Setup, SourceSetup};
use crate::route::Route;
use crate::rule::Ruleset;
use crate::yaml::{Node, Problems};
use std::sync::Arc;

/// When the lines of tests are read: 2026-12-31T00:00:00Z, so that `Nov 21` is one of 2026.
const READ_AT: Timestamp = Timestamp::from_seconds(1_798_675_200);

/// Findings that are shown of a test that failed.
const SHOWN_MAX: usize = 10;

const TEST_KEYS: &[&str] = &["name", "format", "timezone", "lines", "events", "expect"];
const EXPECT_KEYS: &[&str] = &["rule", "group", "count", "level"];

/// What came of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CaseOutcome {
    /// The file.
    pub(super) path: Arc<str>,
    /// The test.
    pub(super) name: Box<str>,
    /// What was found instead.
    pub(super) failure: Option<String>,
    /// The rules that fired, under each of their names.
    pub(super) fired: Vec<Box<str>>,
}

/// The rules of a file and their tests.
#[derive(Debug)]
pub(super) struct RuleFile<'t> {
    text: &'t SourceText,
    cases: Vec<Case>,
    /// The names of each rule, the one of its findings first.
    names: Vec<Vec<Box<str>>>,
}

#[derive(Debug)]
struct Case {
    name: Box<str>,
    format: Box<str>,
    options: ParseOptions,
    records: Vec<String>,
    expected: Vec<Expected>,
}

#[derive(Debug, Default)]
struct Expected {
    rule: Option<Box<str>>,
    group: Vec<(Box<str>, Box<str>)>,
    count: Option<u64>,
    level: Option<Level>,
}

/// What a rule found in a test.
#[derive(Debug)]
struct Found {
    rule: Box<str>,
    names: Vec<Box<str>>,
    level: Level,
    group: Group,
    count: u64,
}

impl<'t> RuleFile<'t> {
    /// Reads the tests of every document.
    pub(super) fn read(
        text: &'t SourceText,
        nodes: &[Node],
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut here = Problems::new(text);
        let cases = nodes
            .iter()
            .filter_map(|node| node.get("tests"))
            .flat_map(Node::items)
            .filter_map(|test| Case::read(test, &mut here))
            .collect();
        problems.append(&mut here.list);
        let names = |node: &Node| coverage::names(node).map(Box::from).collect();
        Self { text, cases, names: nodes.iter().map(names).collect() }
    }

    /// Runs them, each in a pipeline of its own.
    pub(super) fn run(
        &self,
        formats: &Formats,
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<CaseOutcome> {
        let mut names = formats.names.clone();
        let (rules, found) = Ruleset::load(std::slice::from_ref(self.text), &mut names);
        problems.extend(found);
        let run = |case: &Case| {
            let (failure, fired) = match formats.parsers.format(&case.format) {
                None => (Some(format!("unknown format `{}`", case.format)), Vec::new()),
                Some(format) => {
                    let pipeline = Pipeline::new(Setup {
                        names: names.clone(),
                        parsers: Arc::clone(&formats.parsers),
                        rules: &rules,
                        sources: vec![source(format, case)],
                        route: Route::default(),
                        events: EventOutput::Ids,
                    });
                    let found = case.run(pipeline, &self.names);
                    let fired = found.iter().flat_map(|found| found.names.iter().cloned());
                    (case.compare(&found), fired.collect())
                }
            };
            let (path, name) = (Arc::clone(&self.text.path), case.name.clone());
            CaseOutcome { path, name, failure, fired }
        };
        self.cases.iter().map(run).collect()
    }
}

fn source(format: Format, case: &Case) -> SourceSetup {
    SourceSetup { format, options: case.options.clone() }
}

impl Case {
    fn read(test: &Node, problems: &mut Problems) -> Option<Self> {
        test.expect_map("a test", problems)?;
        test.check_keys("test", TEST_KEYS, problems);
        let name = match test.get("name") {
            Some(name) => name.expect_text("`name`", problems)?.into(),
            None => format!("test in line {}", test.place.line).into(),
        };
        let (records, usual) = records(test, problems)?;
        let text = |key: &str, problems: &mut Problems| match test.get(key) {
            Some(value) => value.expect_text(&format!("`{key}`"), problems).map(ToOwned::to_owned),
            None => None,
        };
        let format = text("format", problems).unwrap_or_else(|| usual.to_owned()).into();
        let mut options = ParseOptions::default();
        if let Some(zone) = text("timezone", problems) {
            match config::parse_zone(&zone) {
                Some(zone) => options.zone = zone,
                None => problems.error(test.place, format!("unknown time zone `{zone}`")),
            }
        }
        let Some(expect) = test.get("expect") else {
            problems.error_hint(
                test.place,
                "this test has no `expect`",
                "list the findings, or `[]` for silence",
            );
            return None;
        };
        let expected = expect
            .items()
            .iter()
            .filter(|item| !item.is_null())
            .filter_map(|item| Expected::read(item, problems))
            .collect();
        Some(Self { name, format, options, records, expected })
    }

    fn run(&self, mut pipeline: Pipeline, names: &[Vec<Box<str>>]) -> Vec<Found> {
        let mut effects = Vec::new();
        let mut offset = 0;
        for record in &self.records {
            let raw = RawRecord {
                source: SourceId(0),
                stream: StreamId(0),
                path: Some("test"),
                offset,
                received: READ_AT,
                bytes: record.as_bytes(),
                full_length: record.len() as u64,
                flags: RecordFlags::NONE,
            };
            offset += record.len() as u64 + 1;
            pipeline.step(Input::Record(raw), &mut effects);
        }
        pipeline.step(Input::StreamEnd(StreamId(0)), &mut effects);
        pipeline.step(Input::Drain, &mut effects);
        pipeline.step(Input::Checkpoint, &mut effects);
        findings(&effects, names)
    }

    /// What differs between what was expected and what was found, if anything.
    fn compare(&self, found: &[Found]) -> Option<String> {
        let fits = self.expected.len() == found.len()
            && self.expected.iter().zip(found).all(|(expected, found)| expected.fits(found));
        if fits {
            return None;
        }
        let mut text = String::new();
        write_list(&mut text, "expected", self.expected.iter().map(Expected::describe));
        write_list(&mut text, "found", found.iter().map(Found::describe));
        Some(text)
    }
}

fn write_list(text: &mut String, what: &str, items: impl ExactSizeIterator<Item = String>) {
    let total = items.len();
    let word = if total == 0 { "nothing".to_owned() } else { format!("{total}:") };
    terminal::append(text, format_args!("{what} {word}\n"));
    for item in items.take(SHOWN_MAX) {
        terminal::append(text, format_args!("  {item}\n"));
    }
    if total > SHOWN_MAX {
        terminal::append(text, format_args!("  and {} more\n", total - SHOWN_MAX));
    }
}

/// The records of a test, and the format they have if none is named.
fn records(test: &Node, problems: &mut Problems) -> Option<(Vec<String>, &'static str)> {
    match (test.get("lines"), test.get("events")) {
        (Some(lines), None) => {
            let lines: Option<Vec<String>> = lines
                .items()
                .iter()
                .map(|line| line.expect_text("a line", problems).map(ToOwned::to_owned))
                .collect();
            Some((lines?, "syslog"))
        }
        (None, Some(events)) => {
            let events = events.items().iter().map(|event| event.to_json().to_string()).collect();
            Some((events, "ecs"))
        }
        _ => {
            problems.error(test.place, "a test has either `lines` or `events`");
            None
        }
    }
}

/// The findings that opened, with the final counts of their incidents.
fn findings(effects: &[Effect], names: &[Vec<Box<str>>]) -> Vec<Found> {
    let opened = effects.iter().filter_map(|effect| match effect {
        Effect::Finding(finding, _) if matches!(finding.phase, Phase::Single | Phase::Opened) => {
            Some(finding)
        }
        _ => None,
    });
    let last = |rule: &str, group: &Group| -> Option<&Incident> {
        effects.iter().rev().find_map(|effect| match effect {
            Effect::Incident(IncidentChange::Head(head))
                if *head.rule.id == *rule && head.group == *group =>
            {
                Some(head)
            }
            _ => None,
        })
    };
    opened
        .map(|finding| Found {
            rule: finding.rule.id.clone(),
            names: named(&finding.rule.id, names),
            level: finding.rule.level,
            group: finding.group.clone(),
            count: last(&finding.rule.id, &finding.group)
                .map_or(finding.count, |incident| incident.count),
        })
        .collect()
}

/// Every name of a rule that is known by its first one.
fn named(rule: &str, names: &[Vec<Box<str>>]) -> Vec<Box<str>> {
    let found = names.iter().find(|names| names.first().is_some_and(|first| **first == *rule));
    found.cloned().unwrap_or_else(|| vec![rule.into()])
}

impl Expected {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        node.expect_map("an expected finding", problems)?;
        node.check_keys("expect", EXPECT_KEYS, problems);
        let mut expected = Self::default();
        if let Some(rule) = node.get("rule") {
            expected.rule = Some(rule.expect_text("`rule`", problems)?.into());
        }
        if let Some(group) = node.get("group") {
            for (field, _, value) in group.expect_map("`group`", problems)? {
                let value = value.expect_text("a value of `group`", problems)?;
                expected.group.push((field.into(), value.into()));
            }
        }
        if let Some(count) = node.get("count") {
            let Some(number) = count.as_int().and_then(|number| u64::try_from(number).ok()) else {
                problems.error(count.place, "expected `count` as a whole number");
                return None;
            };
            expected.count = Some(number);
        }
        if let Some(level) = node.get("level") {
            let text = level.expect_text("`level`", problems)?;
            expected.level = Level::parse(text);
            if expected.level.is_none() {
                problems.unknown(level.place, "level", text, &Level::ALL.map(Level::as_str));
                return None;
            }
        }
        Some(expected)
    }

    fn fits(&self, found: &Found) -> bool {
        let group_fits = self.group.iter().all(|(field, value)| {
            found.group.iter().any(|(name, held)| name == field && held == value)
        });
        let is_rule = |rule: &str| found.names.iter().any(|name| **name == *rule);
        group_fits
            && self.rule.as_deref().is_none_or(is_rule)
            && self.count.is_none_or(|count| count == found.count)
            && self.level.is_none_or(|level| level == found.level)
    }

    fn describe(&self) -> String {
        let rule = self.rule.as_deref().unwrap_or("any rule");
        describe(rule, self.level, &self.group, self.count)
    }
}

impl Found {
    fn describe(&self) -> String {
        describe(&self.rule, Some(self.level), &self.group, Some(self.count))
    }
}

fn describe(rule: &str, level: Option<Level>, group: &Group, count: Option<u64>) -> String {
    let mut text = rule.to_owned();
    if let Some(level) = level {
        terminal::append(&mut text, format_args!(", {}", level.as_str()));
    }
    for (field, value) in group {
        terminal::append(&mut text, format_args!(", {field}={value}"));
    }
    if let Some(count) = count {
        terminal::append(&mut text, format_args!(", count {count}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn read(text: &str) -> (Vec<Case>, Vec<String>) {
        let source = SourceText::new("r.yml", text);
        let nodes = yaml::parse(&source).unwrap();
        let mut problems = Vec::new();
        let file = RuleFile::read(&source, &nodes, &mut problems);
        (file.cases, problems.iter().map(ToString::to_string).collect())
    }

    fn found(count: u64) -> Found {
        Found {
            rule: "r1".into(),
            names: vec!["r1".into(), "Many".into()],
            level: Level::High,
            group: vec![("source.ip".into(), "10.0.0.1".into())],
            count,
        }
    }

    #[test]
    fn the_time_of_reading_is_the_last_day_of_2026() {
        assert_eq!(READ_AT.to_string(), "2026-12-31T00:00:00Z");
    }

    #[test]
    fn tests_are_read_with_the_usual_formats() {
        let (cases, problems) = read(
            "tests:\n- {name: a, lines: [x], expect: []}\n- events: [{user.name: bob, n: 1}]\n  \
             expect: [{rule: r1, count: 2}]\n",
        );
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!((&*cases[0].format, &*cases[1].format), ("syslog", "ecs"));
        assert_eq!(cases[1].records, ["{\"n\":1,\"user.name\":\"bob\"}"]);
        assert_eq!(&*cases[1].name, "test in line 3");
    }

    #[test]
    fn mistakes_in_tests_have_a_place_and_a_hint() {
        let (_, problems) = read("tests:\n- {name: a, lines: [x], expcet: []}\n");
        assert_eq!(
            problems[0],
            "r.yml:2:25: error: unknown test key `expcet`\n  | - {name: a, lines: [x], expcet: []}\n  \
             |                         ^\n  hint: did you mean `expect`?"
        );
        assert!(problems[1].contains("this test has no `expect`"), "{problems:?}");
        let (_, problems) = read("tests:\n- {lines: [x], events: [], expect: []}\n");
        assert!(problems[0].contains("a test has either `lines` or `events`"));
    }

    #[test]
    fn what_was_found_instead_is_told() {
        let (cases, _) = read(
            "tests:\n- {lines: [], expect: [{rule: Many, level: high, group: {source.ip: 10.0.0.1}, count: 5}]}\n",
        );
        assert_eq!(cases[0].compare(&[found(5)]), None);
        assert_eq!(
            cases[0].compare(&[found(6)]).unwrap(),
            "expected 1:\n  Many, high, source.ip=10.0.0.1, count 5\n\
             found 1:\n  r1, high, source.ip=10.0.0.1, count 6\n"
        );
        assert!(cases[0].compare(&[]).unwrap().ends_with("found nothing\n"));
        assert!(cases[0].compare(&[found(5), found(5)]).is_some());
    }
}
