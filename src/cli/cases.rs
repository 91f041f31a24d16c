//! `tripline parse --cases`: what each line was recognized as, for people who write parsers.

use super::Failure;
use super::events::{EventReader, Fit};
use super::files::RecordFile;
use super::parse::each_line;
use super::terminal::{self, Colour, Table, Tint};
use crate::parse::ParseOptions;
use std::collections::BTreeMap;
use std::io::Write;

/// Different shapes of lines that are counted; more are counted together.
const SHAPES_MAX: usize = 10_000;

/// Shapes that are shown.
const SHAPES_SHOWN: usize = 20;

/// Characters of a message that make its shape.
const SHAPE_CHARS_MAX: usize = 200;

#[derive(Debug, serde::Serialize)]
struct Case<'e> {
    line: u64,
    parsed: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parser: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'e str>,
    message: &'e str,
}

#[derive(Debug, Default)]
struct Tally {
    lines: u64,
    by_case: BTreeMap<String, u64>,
    unknown: BTreeMap<String, (u64, u64)>,
    beyond: u64,
}

/// Writes a line about every event and, at the end, what is missing.
pub(super) fn run<W: Write>(
    file: &RecordFile,
    reader: &mut EventReader,
    options: &ParseOptions,
    out: &mut W,
) -> Result<(), Failure> {
    let mut tally = Tally::default();
    each_line(file, out, |raw, out| {
        tally.lines += 1;
        let line = tally.lines;
        reader.read(options, raw, |event, fit, message| {
            let parsed = match fit {
                Fit::Matched => "matched",
                Fit::Unmatched => "unmatched",
                Fit::Failed => "failed",
            };
            let (parser, case) = (event.text("tripline.parser"), event.text("tripline.case"));
            let error = event.text("error.message").filter(|_| fit == Fit::Failed);
            tally.add(fit, parser.zip(case), message);
            serde_json::to_writer(&mut *out, &Case { line, parsed, parser, case, error, message })?;
            out.write_all(b"\n")
        })
    })?;
    terminal::say(&tally.show(Colour::Hidden));
    Ok(())
}

impl Tally {
    fn add(&mut self, fit: Fit, case: Option<(&str, &str)>, message: &str) {
        let name = match (fit, case) {
            (Fit::Matched, Some((parser, case))) => format!("{parser}/{case}"),
            (Fit::Matched, None) => "matched".to_owned(),
            (Fit::Unmatched, _) => "unmatched".to_owned(),
            (Fit::Failed, _) => "failed".to_owned(),
        };
        // Names come from parser files, which are few.
        *self.by_case.entry(name).or_default() += 1;
        if fit == Fit::Matched {
            return;
        }
        let shape = shape(message);
        if let Some((count, _)) = self.unknown.get_mut(&shape) {
            *count += 1;
        } else if self.unknown.len() < SHAPES_MAX {
            self.unknown.insert(shape, (1, self.lines));
        } else {
            self.beyond += 1;
        }
    }

    fn show(&self, colour: Colour) -> String {
        let mut cases = Table::new(&["LINES", "CASE"]);
        for (name, count) in ordered(&self.by_case, |count| *count) {
            cases.row([(count.to_string(), Tint::Plain), (name.clone(), Tint::Plain)]);
        }
        let mut shown = cases.show(colour);
        if self.unknown.is_empty() {
            return shown;
        }
        shown.push_str("\nnot recognized, numbers written as #:\n");
        let mut unknown = Table::new(&["LINES", "FIRST", "SHAPE"]);
        let all = ordered(&self.unknown, |(count, _)| *count);
        for (shape, (count, first)) in all.iter().take(SHAPES_SHOWN) {
            unknown.row([
                (count.to_string(), Tint::Plain),
                (format!("line {first}"), Tint::Plain),
                ((*shape).clone(), Tint::Plain),
            ]);
        }
        shown.push_str(&unknown.show(colour));
        let left = all.len().saturating_sub(SHAPES_SHOWN) as u64 + self.beyond;
        if left > 0 {
            shown.push_str(&format!("and {left} more\n"));
        }
        shown
    }
}

fn ordered<V>(map: &BTreeMap<String, V>, count: impl Fn(&V) -> u64) -> Vec<(&String, &V)> {
    let mut all: Vec<(&String, &V)> = map.iter().collect();
    all.sort_by_key(|(_, value)| std::cmp::Reverse(count(value)));
    all
}

/// The message with every run of digits as `#`, so that lines of one kind look the same.
fn shape(message: &str) -> String {
    let mut shape = String::new();
    let mut is_in_number = false;
    for c in message.chars().take(SHAPE_CHARS_MAX) {
        if !c.is_ascii_digit() {
            shape.push(c);
        } else if !is_in_number {
            shape.push('#');
        }
        is_in_number = c.is_ascii_digit();
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_kind_have_one_shape() {
        assert_eq!(shape("port 22 from 10.0.0.7"), "port # from #.#.#.#");
        assert_eq!(shape("port 2222 from 192.168.1.1"), "port # from #.#.#.#");
    }

    #[test]
    fn the_most_frequent_unknown_shape_comes_first() {
        let mut tally = Tally::default();
        for (line, message) in (1..).zip(["rare 1", "often 1", "often 2", "known"]) {
            tally.lines = line;
            match message {
                "known" => tally.add(Fit::Matched, Some(("sshd", "accepted")), message),
                _ => tally.add(Fit::Unmatched, None, message),
            }
        }
        assert_eq!(
            tally.show(Colour::Hidden),
            "LINES  CASE\n3      unmatched\n1      sshd/accepted\n\n\
             not recognized, numbers written as #:\n\
             LINES  FIRST   SHAPE\n2      line 2  often #\n1      line 1  rare #\n"
        );
    }
}
