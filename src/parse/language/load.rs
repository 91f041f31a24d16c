//! Parser files from YAML: everything wrong with one is told with its place and a hint.

use super::super::attempt::ATTEMPT_NAMES;
use super::super::fields::{Binder, Complaint};
use super::super::pattern::{Pattern, Segment};
use super::{Body, Case, Constant, Framing, Language, Programs, REPEAT_MAX, Unmatched};
use super::{index, shadow, tests_inside};
use crate::diagnostic::{Diagnostic, SourceText};
use crate::event::{FieldId, FieldTable, FieldType};
use crate::yaml::{self, Node, Problems};
use std::sync::Arc;

/// Cases of one parser.
pub(super) const CASES_MAX: usize = 1_000;
/// Compiled size of one regex in bytes; a larger one is refused.
pub(super) const REGEX_MAX: usize = 1 << 20;
/// The version of the language that this program reads.
const VERSION: i64 = 1;

const PARSER_KEYS: &[&str] = &[
    "parser",
    "version",
    "description",
    "input",
    "logsource",
    "defaults",
    "prefix",
    "cases",
    "unmatched",
    "tests",
];
const CASE_KEYS: &[&str] =
    &["id", "description", "pattern", "regex", "map", "set", "flags", "repeat", "attempt"];

/// Compiles every parser of a text and runs the tests inside it.
pub(in crate::parse) fn load(
    source: &SourceText,
    names: &mut FieldTable,
) -> (Vec<Language>, Vec<Diagnostic>) {
    let documents = match yaml::parse(source) {
        Ok(documents) => documents,
        Err(error) => return (Vec::new(), vec![*error]),
    };
    let mut problems = Problems::new(source);
    let mut languages = Vec::new();
    for document in &documents {
        let before = problems.list.len();
        let language = parser(document, names, &mut problems);
        let broken = problems.list.iter().skip(before).any(Diagnostic::is_error);
        let Some(language) = language.filter(|_| !broken) else { continue };
        if tests_inside::check(&language, names, &mut problems) {
            languages.push(language);
        }
    }
    (languages, problems.list)
}

fn parser(node: &Node, names: &mut FieldTable, problems: &mut Problems) -> Option<Language> {
    node.expect_map("a parser", problems)?;
    node.check_keys("parser", PARSER_KEYS, problems);
    let name = required(node, "parser", problems)?.expect_text("the parser's name", problems)?;
    let version = required(node, "version", problems)?;
    if version.as_int() != Some(VERSION) {
        problems.error(version.place, format!("this program reads `version: {VERSION}`"));
    }
    let (framing, programs) = input(node.get("input"), problems);
    let mut binder = Binder::new(names, name);
    let defaults = constants(node.get("defaults"), &mut binder, problems);
    let prefix = match node.get("prefix") {
        Some(prefix) => pattern(prefix, &mut binder, problems).unwrap_or_default(),
        None => Pattern::default(),
    };
    if prefix.segments.iter().any(|segment| !matches!(segment, Segment::Optional { .. })) {
        let place = node.get("prefix").map_or(node.place, |prefix| prefix.place);
        problems.error_hint(
            place,
            "a `prefix` may only hold optional parts",
            "put it in brackets: `[error: ]`",
        );
    }
    let cases = cases(required(node, "cases", problems)?, &mut binder, problems);
    shadow::report(&cases, problems);
    let routing = |key: &str| node.get("logsource")?.get(key)?.as_text().map(Into::into);
    if let Some(logsource) = node.get("logsource") {
        logsource.check_keys("logsource", &["product", "category", "service"], problems);
    }
    Some(Language {
        name: name.into(),
        path: Arc::clone(&problems.source().path),
        framing,
        programs,
        product: routing("product"),
        category: routing("category"),
        service: routing("service"),
        defaults,
        prefix,
        index: index(&cases),
        cases,
        unmatched: unmatched(node.get("unmatched"), problems),
        outputs: binder.used,
        tests: tests_inside::read(node.get("tests"), names, problems),
    })
}

fn required<'n>(node: &'n Node, key: &str, problems: &mut Problems) -> Option<&'n Node> {
    let found = node.get(key);
    if found.is_none() {
        problems.error(node.place, format!("this parser has no `{key}`"));
    }
    found
}

fn input(node: Option<&Node>, problems: &mut Problems) -> (Framing, Programs) {
    let Some(node) = node else { return (Framing::None, Programs::ByFormat) };
    node.check_keys("input", &["framing", "when"], problems);
    let framing = match node.get("framing").map(|framing| (framing, framing.as_text())) {
        Some((_, Some("syslog"))) => Framing::Syslog,
        None | Some((_, Some("none"))) => Framing::None,
        Some((framing, given)) => {
            let given = given.unwrap_or_default();
            problems.unknown(framing.place, "framing", given, &["syslog", "none"]);
            Framing::None
        }
    };
    let Some(when) = node.get("when") else { return (framing, Programs::ByFormat) };
    when.check_keys("condition", &["process.name"], problems);
    let Some(programs) = when.get("process.name") else { return (framing, Programs::ByFormat) };
    let named: Vec<Box<str>> =
        programs.items().iter().filter_map(Node::as_text).map(Into::into).collect();
    if named.iter().any(|name| &**name == "*") {
        return (framing, Programs::Any);
    }
    (framing, Programs::Named(named))
}

fn unmatched(node: Option<&Node>, problems: &mut Problems) -> Unmatched {
    match node.map(|node| (node, node.as_text())) {
        None | Some((_, Some("keep"))) => Unmatched::Keep,
        Some((_, Some("error"))) => Unmatched::Error,
        Some((node, given)) => {
            problems.error_hint(
                node.place,
                format!("`unmatched: {}` is not known", given.unwrap_or_default()),
                "`keep` or `error`; a line that was read is never dropped",
            );
            Unmatched::Keep
        }
    }
}

fn complain<T>(result: Result<T, Complaint>, node: &Node, problems: &mut Problems) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(complaint) if complaint.hint.is_empty() => {
            problems.error(node.place, complaint.message);
            None
        }
        Err(complaint) => {
            problems.error_hint(node.place, complaint.message, complaint.hint);
            None
        }
    }
}

fn pattern(node: &Node, binder: &mut Binder<'_>, problems: &mut Problems) -> Option<Pattern> {
    let text = node.expect_text("a pattern", problems)?;
    complain(Pattern::compile(text, binder), node, problems)
}

fn cases(node: &Node, binder: &mut Binder<'_>, problems: &mut Problems) -> Vec<Case> {
    let Some(list) = node.as_list() else {
        problems.error(node.place, format!("expected a list of cases, found {}", node.describe()));
        return Vec::new();
    };
    if list.len() > CASES_MAX {
        problems.error(node.place, format!("more than {CASES_MAX} cases"));
        return Vec::new();
    }
    let mut cases: Vec<Case> = Vec::with_capacity(list.len());
    for node in list {
        let Some(case) = case(node, binder, problems) else { continue };
        if cases.iter().any(|other| other.id == case.id) {
            problems.error(node.place, format!("the case `{}` stands twice", case.id));
        }
        cases.push(case);
    }
    cases
}

fn case(node: &Node, binder: &mut Binder<'_>, problems: &mut Problems) -> Option<Case> {
    node.expect_map("a case", problems)?;
    node.check_keys("case", CASE_KEYS, problems);
    let Some(id) = node.get("id") else {
        problems.error(node.place, "this case has no `id`");
        return None;
    };
    let id = id.expect_text("the case's id", problems)?;
    binder.map = map(node.get("map"), problems);
    let repeat = repeat(node.get("repeat"), binder, problems);
    let body = match (node.get("pattern"), node.get("regex")) {
        (Some(text), None) => Body::Pattern(pattern(text, binder, problems)?),
        (None, Some(text)) => regex(text, binder, problems)?,
        _ => {
            problems.error(node.place, "a case has either a `pattern` or a `regex`");
            return None;
        }
    };
    Some(Case {
        id: id.into(),
        place: node.place,
        set: constants(node.get("set"), binder, problems),
        flags: flags(node.get("flags"), &body, binder, problems),
        repeat,
        attempt: attempt(node.get("attempt"), problems),
        body,
    })
}

fn map(node: Option<&Node>, problems: &mut Problems) -> Vec<(String, String)> {
    let Some(entries) = node.and_then(|node| node.expect_map("`map`", problems)) else {
        return Vec::new();
    };
    let text = |(key, _, value): &(&str, &Node, &Node)| {
        Some(((*key).to_owned(), value.as_text()?.to_owned()))
    };
    entries.iter().filter_map(text).collect()
}

/// A number, or `"{n}"` for the number that the hole or group `n` finds.
fn repeat(node: Option<&Node>, binder: &mut Binder<'_>, problems: &mut Problems) -> u32 {
    binder.count = None;
    let Some(node) = node else { return 1 };
    if let Some(number) = node.as_int() {
        if let Some(number) = u32::try_from(number).ok().filter(|n| (1..=REPEAT_MAX).contains(n)) {
            return number;
        }
    } else if let Some(name) =
        node.as_text().and_then(|text| text.strip_prefix('{')?.strip_suffix('}'))
    {
        binder.count = Some(name.to_owned());
        return 1;
    }
    let hint = format!("write a number from 1 to {REPEAT_MAX}, or `\"{{n}}\"` for the hole `n`");
    problems.error_hint(node.place, "`repeat` is no number of occurrences", hint);
    1
}

fn attempt(node: Option<&Node>, problems: &mut Problems) -> Option<u8> {
    let node = node?;
    let name = node.expect_text("a kind of attempt", problems)?;
    let found = ATTEMPT_NAMES.iter().position(|known| *known == name);
    if found.is_none() {
        problems.unknown(node.place, "kind of attempt", name, &ATTEMPT_NAMES);
    }
    found.map(|number| number as u8)
}

fn regex(node: &Node, binder: &mut Binder<'_>, problems: &mut Problems) -> Option<Body> {
    let text = node.expect_text("a regex", problems)?;
    if !text.starts_with('^') {
        problems.error_hint(node.place, "a regex must begin with `^`", "cases see the whole text");
        return None;
    }
    let regex = match regex::RegexBuilder::new(text).size_limit(REGEX_MAX).build() {
        Ok(regex) => regex,
        Err(error) => {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default().trim().to_owned();
            problems.error(node.place, format!("the regex is not accepted: {last}"));
            return None;
        }
    };
    let (mut groups, mut pairs) = (Vec::new(), None);
    for (number, name) in regex.capture_names().enumerate() {
        let Some(name) = name else { continue };
        if name == "kv" {
            let segments = binder.pairs("*").map(|map| vec![Segment::Pairs(map)]);
            pairs = Some((number, complain(segments, node, problems)?));
            continue;
        }
        let field = binder.map.iter().find(|(key, _)| key == name).map(|(_, field)| field.clone());
        if field.is_none() && binder.count.as_deref() != Some(name) {
            let message = format!("the group `{name}` fills no field");
            problems.error_hint(node.place, message, format!("add `map: {{{name}: user.name}}`"));
            continue;
        }
        let target = binder.target(field.as_deref().unwrap_or(name), "map");
        if let Some(target) = complain(target, node, problems) {
            groups.push((number, target));
        }
    }
    Some(Body::Regex { head: regex_head(text), regex, groups, pairs })
}

/// The plain text that a regex begins with, as far as that is plain to see.
fn regex_head(text: &str) -> String {
    let text = text.strip_prefix('^').unwrap_or(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | ':' | ';' | ',' | '_');
    let mut head: String = text.chars().take_while(|c| plain(*c)).collect();
    let next = text.chars().nth(head.chars().count());
    if matches!(next, Some('?' | '*' | '{' | '+')) {
        head.pop();
    }
    if text.contains('|') { String::new() } else { head }
}

fn flags(
    node: Option<&Node>,
    body: &Body,
    binder: &mut Binder<'_>,
    problems: &mut Problems,
) -> Vec<(FieldId, u8)> {
    let Some(node) = node else { return Vec::new() };
    let Body::Pattern(pattern) = body else {
        problems.error(node.place, "`flags` need a `pattern`");
        return Vec::new();
    };
    let mut flags = Vec::new();
    for (name, key, value) in node.expect_map("`flags`", problems).unwrap_or_default() {
        let Some((id, kind)) = complain(binder.field(name), key, problems) else { continue };
        if !matches!(kind, FieldType::Bool | FieldType::Keyword) {
            problems.error(key.place, format!("`{name}` is a {kind:?}, a flag is true or absent"));
        }
        let text = value.as_text().unwrap_or_default();
        let before = flags.len();
        let bits = pattern.bits.iter().enumerate().filter(|(_, part)| *part == text);
        flags.extend(bits.map(|(bit, _)| (id, bit as u8)));
        if flags.len() == before {
            problems.error_hint(
                value.place,
                format!("no optional part or alternative of the pattern is `{text}`"),
                "a flag names one of them as it is written, blanks included",
            );
        }
    }
    flags
}

fn constants(
    node: Option<&Node>,
    binder: &mut Binder<'_>,
    problems: &mut Problems,
) -> Vec<(FieldId, Constant)> {
    let mut list = Vec::new();
    let Some(node) = node else { return list };
    for (name, key, value) in node.expect_map("fields", problems).unwrap_or_default() {
        let Some((id, kind)) = complain(binder.field(name), key, problems) else { continue };
        if let Some(constant) = constant(value, kind) {
            list.push((id, constant));
        } else {
            let found = value.describe();
            problems.error(value.place, format!("`{name}` is a {kind:?}, {found} does not fit"));
        }
    }
    list
}

fn constant(node: &Node, kind: FieldType) -> Option<Constant> {
    let texts = |node: &Node| -> Option<Box<[Box<str>]>> {
        node.items().iter().map(|item| Some(item.as_text()?.into())).collect()
    };
    match kind {
        FieldType::Long => node.as_int().map(Constant::Int),
        FieldType::Float => node.as_float().map(Constant::Float),
        FieldType::Bool => node.as_bool().map(Constant::Bool),
        FieldType::Keywords | FieldType::Ips | FieldType::Macs => texts(node).map(Constant::Texts),
        FieldType::Ip => {
            let text = node.as_text()?;
            text.parse::<std::net::IpAddr>().ok().map(|_| Constant::Text(text.into()))
        }
        FieldType::Keyword | FieldType::Text | FieldType::Date => match node.as_bool() {
            Some(value) => Some(Constant::Bool(value)),
            None => node.as_text().map(|text| Constant::Text(text.into())),
        },
        FieldType::Object => None,
    }
}
