//! One entry of a selection, `field|modifier|…: values`, as an expression.

use super::encode::{self, Utf16};
use super::pattern::{Case, Pattern};
use super::predicate::{Anchor, Cidr, Comparison, Expr, Number, RegexTest, Target, Test, TimePart};
use crate::diagnostic::{Place, nearest};
use crate::event::{FieldId, FieldTable};
use crate::yaml::{Node, NodeKind, Problems};
use regex::{Regex, RegexBuilder};

/// Compiled size of one regular expression, in bytes.
const REGEX_SIZE_MAX: usize = 8 << 20;

/// Every modifier, for hints.
const KNOWN: &[&str] = &[
    "all",
    "base64",
    "base64offset",
    "cased",
    "cidr",
    "contains",
    "day",
    "dotall",
    "endswith",
    "exists",
    "expand",
    "fieldref",
    "gt",
    "gte",
    "hour",
    "i",
    "ignorecase",
    "lt",
    "lte",
    "m",
    "minute",
    "month",
    "multiline",
    "neq",
    "re",
    "s",
    "startswith",
    "utf16",
    "utf16be",
    "utf16le",
    "week",
    "wide",
    "windash",
    "year",
];

/// A field that a rule asks for, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMention {
    /// The field.
    pub field: FieldId,
    /// Where the rule names it.
    pub place: Place,
}

/// What reading a rule needs and leaves behind.
pub(super) struct Reader<'r> {
    /// Interned names.
    pub names: &'r mut FieldTable,
    /// What is wrong.
    pub problems: &'r mut Problems,
    /// The fields the rule asks for.
    pub mentions: Vec<FieldMention>,
}

impl Reader<'_> {
    /// The number of a field; a dotted name also makes its parents known, so that a value nested
    /// in an object is found.
    pub(super) fn field(&mut self, name: &str, place: Place) -> FieldId {
        for (at, _) in name.match_indices('.') {
            if let Some(parent) = name.get(..at) {
                self.names.intern(parent);
            }
        }
        let field = self.names.intern(name);
        self.mentions.push(FieldMention { field, place });
        field
    }
}

/// What kind of test the modifiers ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Text,
    Regex { folded: Case, lines: Lines, dot: Dot },
    Exists,
    Cidr,
    Number(Comparison),
    Time(TimePart, Comparison),
    FieldRef,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    Whole,
    Each,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dot {
    NotNewline,
    All,
}

/// A step that changes a value, in the order written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Contains,
    StartsWith,
    EndsWith,
    Windash,
    Base64,
    Base64Offset,
    Utf16(Utf16),
    Expand,
}

#[derive(Debug)]
struct Chain {
    mode: Mode,
    steps: Vec<Step>,
    case: Case,
    join: Join,
    sign: Sign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Join {
    Any,
    All,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plain,
    Negated,
}

/// Reads one entry of a selection; an empty field name means keywords.
pub(super) fn entry(
    key: &str,
    place: Place,
    value: &Node,
    reader: &mut Reader<'_>,
) -> Option<Expr> {
    let mut parts = key.split('|');
    let name = parts.next().unwrap_or_default();
    let chain = chain(parts, place, reader.problems)?;
    let target = if name.is_empty() {
        if matches!(chain.mode, Mode::Text | Mode::Regex { .. }) {
            Target::Anywhere
        } else {
            let hint = "write the field before the first `|`";
            reader.problems.error_hint(place, format!("`{key}` names no field"), hint);
            return None;
        }
    } else {
        Target::Field(reader.field(name, place))
    };
    let items = value.items();
    if items.is_empty() {
        reader.problems.error(value.place, format!("`{key}` has no values"));
        return None;
    }
    if chain.join == Join::All && items.len() == 1 {
        let hint = "remove it, or list the values that must all match";
        reader.problems.warn(place, format!("`all` on the single value of `{key}`"), hint);
    }
    if chain.mode == Mode::Exists && value.as_bool().is_none() {
        reader.problems.error(value.place, "`exists` expects `true` or `false`");
        return None;
    }
    let mut tests = Vec::with_capacity(items.len());
    let mut complete = true;
    for item in items {
        match one(&chain, target, item, reader) {
            Some(test) => tests.push(test),
            None => complete = false,
        }
    }
    if !complete {
        return None;
    }
    let joined = match chain.join {
        Join::Any => Expr::any(tests),
        Join::All => Expr::all(tests),
    };
    Some(match chain.sign {
        Sign::Plain => joined,
        Sign::Negated => Expr::Not(Box::new(joined)),
    })
}

/// A keyword: text that stands anywhere in the event.
pub(super) fn keyword(value: &Node, reader: &mut Reader<'_>) -> Option<Expr> {
    let chain = Chain {
        mode: Mode::Text,
        steps: Vec::new(),
        case: Case::Folded,
        join: Join::Any,
        sign: Sign::Plain,
    };
    one(&chain, Target::Anywhere, value, reader)
}

fn chain<'k>(
    modifiers: impl Iterator<Item = &'k str>,
    place: Place,
    problems: &mut Problems,
) -> Option<Chain> {
    let mut chain = Chain {
        mode: Mode::Text,
        steps: Vec::new(),
        case: Case::Folded,
        join: Join::Any,
        sign: Sign::Plain,
    };
    for name in modifiers {
        if let Err(why) = chain.add(name) {
            match why {
                Refused::Unknown => {
                    let hint = nearest(name, KNOWN.iter().copied()).map_or_else(
                        || format!("known: {}", KNOWN.join(", ")),
                        |near| format!("did you mean `{near}`?"),
                    );
                    problems.error_hint(place, format!("unknown modifier `{name}`"), hint);
                }
                Refused::Clash(before) => problems.error(
                    place,
                    format!("the modifier `{name}` cannot be combined with {before}"),
                ),
            }
            return None;
        }
    }
    let anchored = chain
        .steps
        .iter()
        .all(|step| matches!(step, Step::Contains | Step::StartsWith | Step::EndsWith));
    let fits = match chain.mode {
        Mode::Text => true,
        Mode::Regex { .. } | Mode::FieldRef => anchored,
        Mode::Exists | Mode::Cidr | Mode::Number(_) | Mode::Time(..) => chain.steps.is_empty(),
    };
    if !fits {
        let message = "these modifiers cannot be combined: one asks for a text, another does not";
        problems.error(place, message);
        return None;
    }
    Some(chain)
}

enum Refused {
    Unknown,
    Clash(&'static str),
}

impl Chain {
    fn add(&mut self, name: &str) -> Result<(), Refused> {
        let regex = Mode::Regex { folded: Case::Exact, lines: Lines::Whole, dot: Dot::NotNewline };
        match name {
            "all" => self.join = Join::All,
            "cased" => self.case = Case::Exact,
            "neq" => self.sign = Sign::Negated,
            "contains" => self.steps.push(Step::Contains),
            "startswith" => self.steps.push(Step::StartsWith),
            "endswith" => self.steps.push(Step::EndsWith),
            "windash" => self.steps.push(Step::Windash),
            "base64" => self.steps.push(Step::Base64),
            "base64offset" => self.steps.push(Step::Base64Offset),
            "utf16le" | "wide" => self.steps.push(Step::Utf16(Utf16::Little)),
            "utf16be" => self.steps.push(Step::Utf16(Utf16::Big)),
            "utf16" => self.steps.push(Step::Utf16(Utf16::Marked)),
            "expand" => self.steps.push(Step::Expand),
            "re" => self.set(regex)?,
            "i" | "ignorecase" | "m" | "multiline" | "s" | "dotall" => {
                let Mode::Regex { folded, lines, dot } = &mut self.mode else {
                    return Err(Refused::Clash("a value that is no `re`; write `re` before it"));
                };
                match name {
                    "i" | "ignorecase" => *folded = Case::Folded,
                    "m" | "multiline" => *lines = Lines::Each,
                    _ => *dot = Dot::All,
                }
            }
            "exists" => self.set(Mode::Exists)?,
            "cidr" => self.set(Mode::Cidr)?,
            "fieldref" => self.set(Mode::FieldRef)?,
            other => {
                if let Some(part) = TimePart::parse(other) {
                    let comparison = match self.mode {
                        Mode::Number(comparison) => comparison,
                        _ => Comparison::Eq,
                    };
                    if !matches!(self.mode, Mode::Number(_)) {
                        self.set(Mode::Time(part, comparison))?;
                    }
                    self.mode = Mode::Time(part, comparison);
                } else if let Some(comparison) = Comparison::parse(other).filter(|_| other != "eq")
                {
                    match self.mode {
                        Mode::Time(part, Comparison::Eq) => {
                            self.mode = Mode::Time(part, comparison);
                        }
                        _ => self.set(Mode::Number(comparison))?,
                    }
                } else {
                    return Err(Refused::Unknown);
                }
            }
        }
        Ok(())
    }

    fn set(&mut self, mode: Mode) -> Result<(), Refused> {
        let before = match self.mode {
            Mode::Text => {
                self.mode = mode;
                return Ok(());
            }
            Mode::Regex { .. } => "`re`",
            Mode::Exists => "`exists`",
            Mode::Cidr => "`cidr`",
            Mode::Number(_) => "a comparison",
            Mode::Time(..) => "a part of a time",
            Mode::FieldRef => "`fieldref`",
        };
        Err(Refused::Clash(before))
    }
}

/// The test of one value.
fn one(chain: &Chain, target: Target, value: &Node, reader: &mut Reader<'_>) -> Option<Expr> {
    let NodeKind::Scalar { text, .. } = &value.kind else {
        let message = format!("expected a value, found {}", value.describe());
        reader.problems.error(value.place, message);
        return None;
    };
    let problems = &mut *reader.problems;
    let test = match chain.mode {
        Mode::Text if value.is_null() => {
            if target == Target::Anywhere {
                problems.error(value.place, "a keyword cannot be null");
                return None;
            }
            Test::Null
        }
        Mode::Text => return texts(chain, target, value, problems),
        Mode::Exists => {
            let exists = Expr::is(target, Test::Exists);
            let wanted = value.as_bool()?;
            return Some(if wanted { exists } else { Expr::Not(Box::new(exists)) });
        }
        Mode::Regex { .. } => Test::Regex(regex(chain, text, value.place, problems)?),
        Mode::Cidr => {
            let Some(cidr) = Cidr::parse(text) else {
                let hint = "write an address and the number of its bits: `10.0.0.0/8`";
                problems.error_hint(value.place, format!("`{text}` is not a network"), hint);
                return None;
            };
            Test::Cidr(cidr)
        }
        Mode::Number(comparison) => {
            Test::Number(comparison, Number(number(text, value, problems)?))
        }
        Mode::Time(part, comparison) => {
            let Ok(wanted) = text.parse() else {
                let message = format!("`{}` expects a whole number", part.as_str());
                problems.error(value.place, message);
                return None;
            };
            Test::Time(part, comparison, wanted)
        }
        Mode::FieldRef => {
            let anchor = match chain.steps.last() {
                Some(Step::StartsWith) => Anchor::Start,
                Some(Step::EndsWith) => Anchor::End,
                Some(Step::Contains) => Anchor::Inside,
                _ => Anchor::Whole,
            };
            Test::SameAs(reader.field(text, value.place), anchor, chain.case)
        }
    };
    Some(Expr::is(target, test))
}

fn number(text: &str, value: &Node, problems: &mut Problems) -> Option<f64> {
    let number = value
        .as_int()
        .map(|whole| whole as f64)
        .or_else(|| text.trim().parse().ok())
        .filter(|number: &f64| number.is_finite());
    if number.is_none() {
        problems.error(value.place, format!("a comparison expects a number, found `{text}`"));
    }
    number
}

fn regex(chain: &Chain, text: &str, place: Place, problems: &mut Problems) -> Option<RegexTest> {
    let Mode::Regex { folded, lines, dot } = chain.mode else { return None };
    let mut flagged = String::new();
    let flags =
        [(folded == Case::Folded, 'i'), (lines == Lines::Each, 'm'), (dot == Dot::All, 's')];
    let set: String = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| *flag).collect();
    if !set.is_empty() {
        flagged = ["(?", &set, ")"].concat();
    }
    match chain.steps.last() {
        Some(Step::StartsWith) => flagged.extend([r"\A(?:", text, ")"]),
        Some(Step::EndsWith) => flagged.extend(["(?:", text, r")\z"]),
        _ => flagged.push_str(text),
    }
    match RegexBuilder::new(&flagged).size_limit(REGEX_SIZE_MAX).build() {
        Ok(compiled) => Some(RegexTest { text: flagged.into(), compiled }),
        Err(error) => {
            let shown = error.to_string();
            let reason = shown.lines().last().unwrap_or_default().trim();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            let message = format!("not a regular expression that can be run: {reason}");
            if shown.contains("look-around") || shown.contains("backreference") {
                let hint = "express it with several selections and `not` in the condition";
                problems.error_hint(place, message, hint);
            } else {
                problems.error(place, message);
            }
            None
        }
    }
}

/// A value on its way through the chain.
enum Draft {
    Text(Pattern),
    Bytes(Vec<u8>),
}

fn texts(chain: &Chain, target: Target, value: &Node, problems: &mut Problems) -> Option<Expr> {
    let mut drafts = drafts(value)?;
    for step in &chain.steps {
        let mut next = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match apply(*step, draft) {
                Ok(changed) => next.extend(changed),
                Err(why) => {
                    problems.error(value.place, why);
                    return None;
                }
            }
        }
        drafts = next;
    }
    let mut tests = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let pattern = match draft {
            Draft::Text(pattern) => pattern,
            Draft::Bytes(bytes) => {
                let Ok(text) = String::from_utf8(bytes) else {
                    let message =
                        "the encoded value is no text; `base64` or `base64offset` must follow";
                    problems.error(value.place, message);
                    return None;
                };
                Pattern::literal(&text)
            }
        };
        let pattern = match target {
            Target::Anywhere => pattern.after_any().before_any(),
            Target::Field(_) => pattern,
        };
        tests.push(Expr::is(target, Test::Text(pattern.shape(chain.case), chain.case)));
    }
    Some(Expr::any(tests))
}

/// The texts a value stands for: numbers also as they are written canonically (`0x10` is 16).
fn drafts(value: &Node) -> Option<Vec<Draft>> {
    let NodeKind::Scalar { text, plain } = &value.kind else { return None };
    if let Some(truth) = value.as_bool() {
        return Some(vec![Draft::Text(Pattern::literal(if truth { "true" } else { "false" }))]);
    }
    let canonical = match (plain, value.as_int(), value.as_float()) {
        (true, Some(whole), _) => whole.to_string(),
        (true, None, Some(float)) if float.is_finite() => float.to_string(),
        _ => return Some(vec![Draft::Text(Pattern::parse(text))]),
    };
    let mut drafts = vec![Draft::Text(Pattern::literal(text))];
    if canonical != *text {
        drafts.push(Draft::Text(Pattern::literal(&canonical)));
    }
    Some(drafts)
}

fn apply(step: Step, draft: Draft) -> Result<Vec<Draft>, String> {
    let bytes = |draft: &Draft| match draft {
        Draft::Bytes(bytes) => Ok(bytes.clone()),
        Draft::Text(pattern) => match pattern.plain() {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => Err("a value with wildcards cannot be encoded".to_owned()),
        },
    };
    let text = |draft| match draft {
        Draft::Text(pattern) => Ok(pattern),
        Draft::Bytes(bytes) => String::from_utf8(bytes)
            .map(|text| Pattern::literal(&text))
            .map_err(|error| format!("the encoded value is no text: {error}")),
    };
    Ok(match step {
        Step::Contains => vec![Draft::Text(text(draft)?.after_any().before_any())],
        Step::StartsWith => vec![Draft::Text(text(draft)?.before_any())],
        Step::EndsWith => vec![Draft::Text(text(draft)?.after_any())],
        Step::Windash => vec![Draft::Text(text(draft)?.with_dashes())],
        Step::Base64 => vec![Draft::Text(Pattern::literal(&encode::base64(&bytes(&draft)?)))],
        Step::Base64Offset => encode::base64_offsets(&bytes(&draft)?)
            .iter()
            .map(|encoded| Draft::Text(Pattern::literal(encoded)))
            .collect(),
        Step::Utf16(form) => {
            let plain = text(draft)?;
            let plain = plain.plain().ok_or("a value with wildcards cannot be encoded")?;
            vec![Draft::Bytes(encode::utf16(plain, form))]
        }
        Step::Expand => {
            let pattern = text(draft)?;
            if let Some(name) = pattern.texts().find_map(placeholder) {
                return Err(format!("no values are known for the placeholder `%{name}%`"));
            }
            vec![Draft::Text(pattern)]
        }
    })
}

/// The first `%name%` of a text.
fn placeholder(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('%')?;
    let (name, _) = rest.split_once('%')?;
    (!name.is_empty()).then_some(name)
}

/// Whether a text compiles; used where a rule names a pattern of identifiers.
pub(super) fn identifier_pattern(pattern: &str) -> Option<Regex> {
    let parts: Vec<String> = pattern.split('*').map(regex::escape).collect();
    Regex::new(&format!("^{}$", parts.join(".*"))).ok()
}
