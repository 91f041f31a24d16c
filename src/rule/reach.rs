//! Rules that can never fire because no parser makes a field they ask for.
//!
//! A rule names the events it is for by its `logsource`. If parsers feed that logsource and none
//! of them makes a field, the rule waits for something that will never come. Where no parser feeds
//! it (records bring their own names there, as JSON does), only a misspelt schema name is told.

use super::Ruleset;
use crate::diagnostic::{Diagnostic, SourceText};
use crate::event::{FieldId, FieldTable, FieldType, LogSource, SCHEMA};
use crate::parse::{ParserOutput, Parsers};
use std::collections::BTreeSet;

/// What no parser can bring to a rule, with its place. `texts` are the files of the rules.
pub fn unreachable_fields(
    rules: &Ruleset,
    parsers: &Parsers,
    names: &FieldTable,
    texts: &[SourceText],
) -> Vec<Diagnostic> {
    let outputs = parsers.outputs();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for used in rules.field_uses() {
        let is_new = seen.insert((used.path, used.place, used.field));
        let source = texts.iter().find(|text| text.path == *used.path);
        let (true, Some(source)) = (is_new, source) else { continue };
        let name = names.name(used.field);
        let feeding: Vec<&ParserOutput<'_>> =
            outputs.iter().filter(|output| feeds(output.logsource, used.logsource)).collect();
        let is_any = used.logsource == LogSource::default();
        if is_any || is_free(name) {
            continue;
        }
        if feeding.is_empty() {
            found.extend(misspelt(name).map(|meant| {
                let message = format!("no parser makes the field `{name}`");
                Diagnostic::error(source, used.place, message)
                    .hint(format!("did you mean `{meant}`?"))
            }));
        } else if !feeding.iter().any(|output| output.fields.contains(&used.field)) {
            found.push(told(name, &feeding, names, |message| {
                // A name of Sigma's own taxonomy may still come from a source of JSON records.
                if name.contains('.') {
                    Diagnostic::error(source, used.place, message)
                } else {
                    Diagnostic::warning(source, used.place, message)
                }
            }));
        }
    }
    found
}

fn told(
    name: &str,
    feeding: &[&ParserOutput<'_>],
    names: &FieldTable,
    make: impl FnOnce(String) -> Diagnostic,
) -> Diagnostic {
    let parsers: Vec<String> = feeding.iter().map(|output| format!("`{}`", output.name)).collect();
    let made: BTreeSet<&str> = feeding
        .iter()
        .flat_map(|output| &output.fields)
        .map(|id: &FieldId| names.name(*id))
        .collect();
    let message = format!("no parser makes the field `{name}` for this `logsource`");
    make(message)
        .hint(format!("it is fed by {}; `tripline parse` shows what they make", parsers.join(", ")))
        .suggest(name, made)
}

/// Whether events of a parser reach a rule: every key the rule names must be that of the event.
/// `auth` and `syslog` are families of services; what reaches them is not judged.
fn feeds(events: LogSource<'_>, rule: LogSource<'_>) -> bool {
    let fits = |wanted: Option<&str>, has: Option<&str>| wanted.is_none() || wanted == has;
    let is_family = matches!(rule.service, Some("auth" | "syslog"));
    fits(rule.product, events.product)
        && fits(rule.category, events.category)
        && (is_family || fits(rule.service, events.service))
}

/// Names that records bring themselves: within an object of free keys, or made by the agent.
fn is_free(name: &str) -> bool {
    let holds = |object: &str| name.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
    let objects = SCHEMA.iter().filter(|field| field.kind == FieldType::Object);
    name.starts_with("tail.") || objects.map(|field| field.name).any(holds)
}

/// The schema name that was meant by one that only looks like it.
fn misspelt(name: &str) -> Option<&'static str> {
    let schema = || SCHEMA.iter().map(|field| field.name);
    if !name.contains('.') || schema().any(|known| known == name) {
        return None;
    }
    crate::diagnostic::nearest(name, schema()).filter(|known| known.len().abs_diff(name.len()) <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(logsource: &str, field: &str) -> Vec<String> {
        let mut names = FieldTable::default();
        let parser = "parser: linux.demo\nversion: 1\ninput: {framing: syslog, when: {process.name: [demo]}}\n\
                      logsource: {product: linux, service: demo}\ncases:\n  - id: one\n    \
                      pattern: \"login of {user.name:word} from {source.ip:ip}\"\ntests:\n  - line: \"login of ann from 192.0.2.1\"\n    \
                      expect: {case: one}\n";
        let (parsers, problems) = Parsers::load(&[SourceText::new("p.yml", parser)], &mut names);
        assert!(problems.is_empty(), "{problems:?}");
        let rule = format!(
            "title: t\nid: 11111111-1111-4111-8111-111111111111\nlogsource: {logsource}\ndetection:\n  a:\n    {field}: x\n  condition: a\nlevel: low\n"
        );
        let texts = [SourceText::new("r.yml", &rule)];
        let (rules, problems) = Ruleset::load(&texts, &mut names);
        assert!(problems.is_empty(), "{problems:?}");
        unreachable_fields(&rules, &parsers, &names, &texts)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_field_that_never_comes_is_told_with_its_place() {
        let demo = "{product: linux, service: demo}";
        assert_eq!(check(demo, "user.name"), Vec::<String>::new());
        assert_eq!(
            check(demo, "source.ipp"),
            [
                "r.yml:6:5: error: no parser makes the field `source.ipp` for this `logsource`\n  |     source.ipp: x\n  |     ^\n  \
                 hint: did you mean `source.ip`?"
            ]
        );
        assert!(check(demo, "url.path")[0].contains("hint: it is fed by `linux.demo`"));
        assert!(check(demo, "CommandLine")[0].contains("warning"));
    }

    #[test]
    fn where_records_bring_their_own_names_only_misspelt_schema_names_are_told() {
        let other = "{product: shop}";
        for fine in ["CommandLine", "shop.till.door", "url.path", "db.after.amount", "tail.reason"]
        {
            assert_eq!(check(other, fine), Vec::<String>::new(), "{fine}");
        }
        assert!(check(other, "sorce.ip")[0].contains("did you mean `source.ip`?"));
        assert_eq!(check("{}", "url.path"), Vec::<String>::new());
    }
}
