//! YAML as a tree that knows where every node stands, so that each error names its place.
//!
//! Rules, parsers and the configuration are all read through this: a [`Node`] is asked for what is
//! expected, and what is wrong goes to [`Problems`] with line, column and a hint.

use crate::diagnostic::{Diagnostic, Place, SourceText};
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

/// Deepest nesting that is read.
pub const DEPTH_MAX: usize = 64;
/// Most nodes of one file, aliases counted each time they are used.
pub const NODES_MAX: usize = 2_000_000;

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it starts.
    pub place: Place,
    /// What it is.
    pub kind: NodeKind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// A single value.
    Scalar {
        /// As written, quotes and escapes resolved.
        text: String,
        /// Written without quotes: `1`, `true`, `null` are then not texts.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order written.
    Map(Vec<(Node, Node)>),
}

/// Collects what is wrong with one text.
#[derive(Debug)]
pub struct Problems {
    source: SourceText,
    /// What was found so far.
    pub list: Vec<Diagnostic>,
}

impl Problems {
    /// No problems yet.
    pub fn new(source: &SourceText) -> Self {
        Self { source: source.clone(), list: Vec::new() }
    }

    /// The text they are about.
    pub fn source(&self) -> &SourceText {
        &self.source
    }

    /// An error at a place.
    pub fn error(&mut self, place: Place, message: impl Into<String>) {
        self.list.push(Diagnostic::error(&self.source, place, message));
    }

    /// An error with a hint.
    pub fn error_hint(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.list.push(Diagnostic::error(&self.source, place, message).hint(hint));
    }

    /// A warning with a hint.
    pub fn warn(&mut self, place: Place, message: impl Into<String>, hint: impl Into<String>) {
        self.list.push(Diagnostic::warning(&self.source, place, message).hint(hint));
    }

    /// An error about a name, with the nearest known one as a hint, else all of them.
    pub fn unknown(&mut self, place: Place, what: &str, given: &str, known: &[&str]) {
        let error = Diagnostic::error(&self.source, place, format!("unknown {what} `{given}`"));
        let error = error.hint(format!("known: {}", known.join(", ")));
        self.list.push(error.suggest(given, known.iter().copied()));
    }

    /// Whether any of them is an error.
    pub fn any_error(&self) -> bool {
        self.list.iter().any(Diagnostic::is_error)
    }
}

/// Reads every document of a text. A text that is not YAML gives one error.
pub fn parse(source: &SourceText) -> Result<Vec<Node>, Box<Diagnostic>> {
    Builder { source, anchors: HashMap::new(), nodes: 0 }.documents()
}

struct Builder<'s> {
    source: &'s SourceText,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn documents(&mut self) -> Result<Vec<Node>, Box<Diagnostic>> {
        let text = self.source.text.clone();
        let mut parser = Parser::new_from_str(&text);
        let mut documents = Vec::new();
        while let Some(next) = parser.next_event() {
            let (event, span) =
                next.map_err(|error| self.broken(place(*error.marker()), error.info()))?;
            match event {
                Event::StreamEnd => break,
                Event::Nothing
                | Event::StreamStart
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
                content => documents.push(self.node(&mut parser, content, span, 0)?),
            }
        }
        Ok(documents)
    }

    fn node<'p>(
        &mut self,
        parser: &mut Parser<'p, saphyr_parser::StrInput<'p>>,
        event: Event<'p>,
        span: Span,
        depth: usize,
    ) -> Result<Node, Box<Diagnostic>> {
        let here = place(span.start);
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            return Err(self.broken(here, "nested too deep or too large"));
        }
        let (anchor, kind) = match event {
            Event::Scalar(text, style, anchor, _) => {
                let plain = matches!(style, ScalarStyle::Plain);
                (anchor, NodeKind::Scalar { text: text.into_owned(), plain })
            }
            Event::SequenceStart(anchor, _) => (anchor, self.list(parser, depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(parser, depth)?),
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(self.broken(here, "an alias of an anchor that is not complete yet"));
                };
                self.nodes += node.size();
                if self.nodes > NODES_MAX {
                    return Err(self.broken(here, "too large once its aliases are expanded"));
                }
                return Ok(Node { place: here, kind: node.kind.clone() });
            }
            other => return Err(self.broken(here, &format!("unexpected {other:?}"))),
        };
        let node = Node { place: here, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list<'p>(
        &mut self,
        parser: &mut Parser<'p, saphyr_parser::StrInput<'p>>,
        depth: usize,
    ) -> Result<NodeKind, Box<Diagnostic>> {
        let mut items = Vec::new();
        loop {
            match self.next(parser)? {
                (Event::SequenceEnd, _) => return Ok(NodeKind::List(items)),
                (event, span) => items.push(self.node(parser, event, span, depth + 1)?),
            }
        }
    }

    fn map<'p>(
        &mut self,
        parser: &mut Parser<'p, saphyr_parser::StrInput<'p>>,
        depth: usize,
    ) -> Result<NodeKind, Box<Diagnostic>> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        loop {
            let key = match self.next(parser)? {
                (Event::MappingEnd, _) => return Ok(NodeKind::Map(entries)),
                (event, span) => self.node(parser, event, span, depth + 1)?,
            };
            if let Some(text) = key.as_text()
                && !seen.insert(text.to_owned())
            {
                return Err(self.broken(key.place, &format!("the key `{text}` stands twice")));
            }
            let (event, span) = self.next(parser)?;
            entries.push((key, self.node(parser, event, span, depth + 1)?));
        }
    }

    fn next<'p>(
        &self,
        parser: &mut Parser<'p, saphyr_parser::StrInput<'p>>,
    ) -> Result<(Event<'p>, Span), Box<Diagnostic>> {
        match parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(self.broken(place(*error.marker()), error.info())),
            None => Err(self.broken(Place::default(), "the text ends too early")),
        }
    }

    #[expect(
        clippy::unnecessary_box_returns,
        reason = "an error of every function here, kept small"
    )]
    fn broken(&self, place: Place, why: &str) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(self.source, place, format!("not valid YAML: {why}")))
    }
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line() as u32, column: marker.col() as u32 + 1 }
}

impl Node {
    /// A scalar's text, however it was written.
    pub fn as_text(&self) -> Option<&str> {
        if let NodeKind::Scalar { text, .. } = &self.kind { Some(text) } else { None }
    }

    /// Whether it is a plain `null`, `~` or nothing.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// A plain `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        match &self.kind {
            NodeKind::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" => Some(true),
                "false" | "False" | "FALSE" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// A plain whole number (decimal, or hexadecimal with `0x`).
    pub fn as_int(&self) -> Option<i64> {
        match &self.kind {
            NodeKind::Scalar { text, plain: true } => match text.strip_prefix("0x") {
                Some(hex) => i64::from_str_radix(hex, 16).ok(),
                None => text.parse().ok(),
            },
            _ => None,
        }
    }

    /// A plain number.
    pub fn as_float(&self) -> Option<f64> {
        match &self.kind {
            NodeKind::Scalar { text, plain: true }
                if text.bytes().any(|byte| byte.is_ascii_digit()) =>
            {
                text.parse().ok()
            }
            _ => None,
        }
    }

    /// The items of a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        if let NodeKind::List(items) = &self.kind { Some(items) } else { None }
    }

    /// The entries of a mapping.
    pub fn as_map(&self) -> Option<&[(Node, Node)]> {
        if let NodeKind::Map(entries) = &self.kind { Some(entries) } else { None }
    }

    /// The items of a list, or the node itself where a single value may stand for a list of one.
    pub fn items(&self) -> &[Node] {
        self.as_list().unwrap_or(std::slice::from_ref(self))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|(_, value)| value)
    }

    /// A key with its value.
    pub fn entry(&self, key: &str) -> Option<(&Node, &Node)> {
        let found = self.as_map()?.iter().find(|(name, _)| name.as_text() == Some(key))?;
        Some((&found.0, &found.1))
    }

    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::Scalar { .. } if self.is_null() => "nothing",
            NodeKind::Scalar { .. } => "a value",
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a mapping",
        }
    }

    /// The text of a scalar, or an error that says what was expected.
    pub fn expect_text(&self, what: &str, problems: &mut Problems) -> Option<&str> {
        let text = self.as_text().filter(|_| !self.is_null());
        if text.is_none() {
            let message = format!("expected {what} as text, found {}", self.describe());
            problems.error(self.place, message);
        }
        text
    }

    /// The entries of a mapping with text keys, or an error that says what was expected.
    pub fn expect_map(
        &self,
        what: &str,
        problems: &mut Problems,
    ) -> Option<Vec<(&str, &Node, &Node)>> {
        let Some(entries) = self.as_map() else {
            let message = format!("expected {what} as a mapping, found {}", self.describe());
            problems.error(self.place, message);
            return None;
        };
        let mut named = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            match key.as_text() {
                Some(name) => named.push((name, key, value)),
                None => problems.error(key.place, format!("a key of {what} must be text")),
            }
        }
        Some(named)
    }

    /// Reports every key that is not known.
    pub fn check_keys(&self, what: &str, known: &[&str], problems: &mut Problems) {
        for (key, _) in self.as_map().unwrap_or_default() {
            let name = key.as_text().unwrap_or_default();
            if !known.contains(&name) {
                problems.unknown(key.place, &format!("{what} key"), name, known);
            }
        }
    }

    /// The same as JSON: plain scalars typed as YAML 1.2 says, keys as text.
    pub fn to_json(&self) -> Json {
        match &self.kind {
            NodeKind::List(items) => items.iter().map(Node::to_json).collect(),
            NodeKind::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, value)| {
                        (key.as_text().unwrap_or_default().to_owned(), value.to_json())
                    })
                    .collect::<Map<_, _>>(),
            ),
            NodeKind::Scalar { text, .. } => {
                if self.is_null() {
                    Json::Null
                } else if let Some(value) = self.as_bool() {
                    Json::Bool(value)
                } else if let Some(number) = self.as_int() {
                    Json::from(number)
                } else if let Some(number) = self.as_float() {
                    Json::from(number)
                } else {
                    Json::from(text.as_str())
                }
            }
        }
    }

    fn size(&self) -> usize {
        match &self.kind {
            NodeKind::Scalar { .. } => 1,
            NodeKind::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            NodeKind::Map(entries) => {
                1 + entries.iter().map(|(key, value)| key.size() + value.size()).sum::<usize>()
            }
        }
    }
}

/// Reads a length of time as people write it: `500ms`, `60s`, `5m`, `2h`, `7d`, `2w`, in
/// nanoseconds. `M` is a month of 2,629,746 s and `y` a year of 31,556,952 s, as Sigma has them.
pub fn duration(text: &str) -> Option<i64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let unit: i64 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        "w" => 604_800_000_000_000,
        "M" => 2_629_746_000_000_000,
        "y" => 31_556_952_000_000_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

/// Reads a size as people write it: `512`, `64KiB`, `10MiB`, `1GiB`, `2KB`, in bytes.
pub fn size(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let unit = match unit.trim() {
        "" | "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1_u64 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Node {
        parse(&SourceText::new("t.yml", text)).unwrap().remove(0)
    }

    #[test]
    fn every_node_knows_its_place() {
        let node = read("a: 1\nb:\n  - x: 'yes'\n    y: ~\n");
        let item = &node.get("b").unwrap().items()[0];
        assert_eq!(item.get("x").unwrap().place, Place { line: 3, column: 8 });
        assert!(item.get("y").unwrap().is_null());
        assert_eq!(node.get("a").unwrap().as_int(), Some(1));
        assert_eq!(read("a: '1'").get("a").unwrap().as_int(), None);
    }

    #[test]
    fn doubled_keys_bad_syntax_and_bombs_are_refused() {
        for (text, wanted) in [
            ("a: 1\na: 2", "t.yml:2:1: error: not valid YAML: the key `a` stands twice"),
            ("a: [1", "t.yml:"),
        ] {
            let error = parse(&SourceText::new("t.yml", text)).unwrap_err().to_string();
            assert!(error.starts_with(wanted), "{error}");
        }
        let deep = "[".repeat(DEPTH_MAX + 10) + &"]".repeat(DEPTH_MAX + 10);
        assert!(parse(&SourceText::new("t.yml", &deep)).is_err());
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..9 {
            let before = format!("*a{},", level - 1).repeat(10);
            bomb = format!("{bomb}a{level}: &a{level} [{before}]\n");
        }
        assert!(parse(&SourceText::new("t.yml", &bomb)).is_err());
    }

    #[test]
    fn durations_and_sizes() {
        assert_eq!(duration("90s"), Some(90_000_000_000));
        assert_eq!(duration("1M"), Some(2_629_746_000_000_000));
        assert_eq!(duration("5 m"), None);
        assert_eq!(size("64KiB"), Some(65_536));
        assert_eq!(size("1XB"), None);
    }
}
