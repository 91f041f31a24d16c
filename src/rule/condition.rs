//! The condition language: `selection and not 1 of filter_*`.
//!
//! From weakest to strongest: `or`, `and`, `not`, `1|any|all of …`, parentheses. Words are whole:
//! an identifier may begin with `not` or `and`.

use super::modifier::identifier_pattern;
use super::predicate::Expr;
use crate::diagnostic::{Place, nearest};
use crate::yaml::{Node, NodeKind, Problems};

/// Deepest nesting of parentheses and `not`.
const DEPTH_MAX: usize = 64;
/// Most words of one condition.
const WORDS_MAX: usize = 10_000;
/// Most predicates of one rule once its condition is written out.
pub(super) const PREDICATES_MAX: usize = 200_000;

/// The search identifiers of a rule, in the order written.
pub(super) type Selections<'s> = [(&'s str, Expr)];

/// Reads a condition, or a list of them (any of which is enough).
pub(super) fn read(
    node: &Node,
    selections: &Selections<'_>,
    problems: &mut Problems,
) -> Option<Expr> {
    let mut parts = Vec::new();
    for item in node.items() {
        let text = item.expect_text("the condition", problems)?;
        let quoted = matches!(item.kind, NodeKind::Scalar { plain: false, .. });
        match parse(text, selections) {
            Ok(expr) => parts.push(expr),
            Err(wrong) => {
                // Only in a text of one line is the column that of the file.
                let shift = (wrong.column + usize::from(quoted)) as u32;
                let place = if text.contains('\n') {
                    item.place
                } else {
                    Place { line: item.place.line, column: item.place.column + shift }
                };
                match wrong.hint {
                    Some(hint) => problems.error_hint(place, wrong.message, hint),
                    None => problems.error(place, wrong.message),
                }
                return None;
            }
        }
    }
    if parts.is_empty() {
        problems.error(node.place, "the condition is empty");
        return None;
    }
    Some(Expr::any(parts))
}

#[derive(Debug)]
struct Wrong {
    column: usize,
    message: String,
    hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Open,
    Close,
    Pipe,
    Word(&'t str),
}

fn parse(text: &str, selections: &Selections<'_>) -> Result<Expr, Wrong> {
    let tokens = tokens(text);
    if tokens.len() > WORDS_MAX {
        return Err(Wrong { column: 0, message: "the condition is too long".into(), hint: None });
    }
    let mut parser =
        Parser { tokens: &tokens, at: 0, end: text.chars().count(), selections, size: 0 };
    let expr = parser.any(0)?;
    match parser.peek() {
        None => Ok(expr),
        Some(Token::Pipe) => Err(parser.wrong(
            "the aggregation `| …` is obsolete and not supported",
            Some("write a correlation rule of type `event_count` or `value_count`".into()),
        )),
        Some(Token::Close) => Err(parser.wrong("this `)` closes nothing", None)),
        Some(Token::Open | Token::Word(_)) => {
            Err(parser.wrong("expected `and`, `or` or the end of the condition", None))
        }
    }
}

/// Words and signs with the column (in characters) where they start.
fn tokens(text: &str) -> Vec<(Token<'_>, usize)> {
    let mut tokens = Vec::new();
    let mut word: Option<(usize, usize)> = None;
    for (column, (at, letter)) in text.char_indices().enumerate() {
        let sign = match letter {
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '|' => Some(Token::Pipe),
            _ => None,
        };
        if sign.is_some() || letter.is_whitespace() {
            if let Some((start, start_column)) = word.take() {
                tokens.push((Token::Word(text.get(start..at).unwrap_or_default()), start_column));
            }
            tokens.extend(sign.map(|sign| (sign, column)));
        } else if word.is_none() {
            word = Some((at, column));
        }
    }
    if let Some((start, column)) = word {
        tokens.push((Token::Word(text.get(start..).unwrap_or_default()), column));
    }
    tokens
}

struct Parser<'p> {
    tokens: &'p [(Token<'p>, usize)],
    at: usize,
    end: usize,
    selections: &'p Selections<'p>,
    size: usize,
}

impl<'p> Parser<'p> {
    fn peek(&self) -> Option<Token<'p>> {
        self.tokens.get(self.at).map(|(token, _)| *token)
    }

    fn wrong(&self, message: impl Into<String>, hint: Option<String>) -> Wrong {
        let column = self.tokens.get(self.at).map_or(self.end, |(_, column)| *column);
        Wrong { column, message: message.into(), hint }
    }

    /// Takes the word if it is the operator; an identifier of the same spelling wins.
    fn take(&mut self, operator: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word))
            if word.eq_ignore_ascii_case(operator) && !self.selections.iter().any(|(name, _)| *name == word));
        self.at += usize::from(found);
        found
    }

    fn any(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let mut parts = vec![self.all(depth)?];
        while self.take("or") {
            parts.push(self.all(depth)?);
        }
        Ok(Expr::any(parts))
    }

    fn all(&mut self, depth: usize) -> Result<Expr, Wrong> {
        let mut parts = vec![self.not(depth)?];
        while self.take("and") {
            parts.push(self.not(depth)?);
        }
        Ok(Expr::all(parts))
    }

    fn not(&mut self, depth: usize) -> Result<Expr, Wrong> {
        if depth > DEPTH_MAX {
            return Err(self.wrong("nested too deep", None));
        }
        if self.take("not") {
            return Ok(Expr::Not(Box::new(self.not(depth + 1)?)));
        }
        self.primary(depth)
    }

    fn primary(&mut self, depth: usize) -> Result<Expr, Wrong> {
        match self.peek() {
            Some(Token::Open) => {
                self.at += 1;
                let inner = self.any(depth + 1)?;
                if self.peek() != Some(Token::Close) {
                    return Err(self.wrong("expected `)`", None));
                }
                self.at += 1;
                Ok(inner)
            }
            Some(Token::Word(word)) => {
                let quantified = matches!(self.tokens.get(self.at + 1),
                    Some((Token::Word(next), _)) if next.eq_ignore_ascii_case("of"));
                if quantified { self.quantified(word) } else { self.identifier(word) }
            }
            Some(Token::Pipe) => Err(self.wrong("a search identifier must stand before `|`", None)),
            Some(Token::Close) | None => Err(self.wrong("expected a search identifier", None)),
        }
    }

    fn identifier(&mut self, word: &str) -> Result<Expr, Wrong> {
        let Some((name, expr)) = self.selections.iter().find(|(name, _)| *name == word) else {
            let known: Vec<&str> = self.selections.iter().map(|(name, _)| *name).collect();
            let hint = match nearest(word, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known: {}", known.join(", ")),
            };
            return Err(self.wrong(format!("unknown search identifier `{word}`"), Some(hint)));
        };
        self.grow(expr)?;
        self.at += 1;
        Ok(Expr::Named((*name).into(), Box::new(expr.clone())))
    }

    fn quantified(&mut self, quantity: &str) -> Result<Expr, Wrong> {
        let every = match quantity.to_ascii_lowercase().as_str() {
            "all" => true,
            "1" | "any" => false,
            other => {
                let hint = "only `1 of`, `any of` and `all of` exist".to_owned();
                return Err(self.wrong(format!("unknown quantity `{other} of`"), Some(hint)));
            }
        };
        self.at += 2;
        let Some(Token::Word(wanted)) = self.peek() else {
            return Err(self.wrong("expected `them` or a pattern of search identifiers", None));
        };
        let them = wanted == "them" && !self.selections.iter().any(|(name, _)| *name == "them");
        let pattern = identifier_pattern(wanted);
        let chosen: Vec<Expr> = self
            .selections
            .iter()
            .filter(|(name, _)| {
                if them {
                    !name.starts_with('_')
                } else {
                    pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
                }
            })
            .map(|(name, expr)| Expr::Named((*name).into(), Box::new(expr.clone())))
            .collect();
        if chosen.is_empty() {
            return Err(self.wrong(format!("no search identifier is called `{wanted}`"), None));
        }
        for expr in &chosen {
            self.grow(expr)?;
        }
        self.at += 1;
        Ok(if every { Expr::all(chosen) } else { Expr::any(chosen) })
    }

    fn grow(&mut self, expr: &Expr) -> Result<(), Wrong> {
        expr.each(&mut |_| self.size += 1);
        if self.size > PREDICATES_MAX {
            return Err(self.wrong("the condition names too many values", None));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::SourceText;
    use crate::event::{FieldId, FieldTable};
    use crate::rule::predicate::{Target, Test};

    /// The meaning over identifiers `a`, `b`, `c` … as letters.
    fn shown(condition: &str, names: &[&str]) -> Result<String, String> {
        let source = SourceText::new("c.yml", &format!("condition: {condition}"));
        let node = crate::yaml::parse(&source).map_err(|error| error.to_string())?.remove(0);
        let selections: Vec<(&str, Expr)> = names
            .iter()
            .enumerate()
            .map(|(at, name)| (*name, Expr::is(Target::Field(FieldId(at as u16)), Test::Exists)))
            .collect();
        let mut problems = Problems::new(&source);
        let read =
            read(&node.items()[0].as_map().unwrap_or_default()[0].1, &selections, &mut problems);
        let letters = FieldTable::default();
        match read {
            Some(expr) => {
                let mut text = String::new();
                expr.describe(&letters, &mut text);
                for (at, name) in names.iter().enumerate() {
                    let field = letters.name(FieldId(at as u16));
                    text = text.replace(&format!("{field}|exists: true"), name);
                }
                Ok(text.replace(";)", ")"))
            }
            None => Err(problems.list.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn precedence_and_words_are_those_of_the_specification() {
        let names = ["a", "b", "c", "nothing", "android", "order", "_x"];
        for (condition, wanted) in [
            ("a or b and c", "or(a;and(b;c))"),
            ("not a or b", "or(not(a);b)"),
            ("not not a", "not(not(a))"),
            ("((a) and (b or (c)))", "and(a;or(b;c))"),
            ("a AND NOT b", "and(a;not(b))"),
            ("nothing and not android or order", "or(and(nothing;not(android));order)"),
            ("1 of them", "or(a;b;c;nothing;android;order)"),
            ("all of *r*", "and(android;order)"),
            ("any of _*", "_x"),
            ("not 1 of a", "not(a)"),
        ] {
            assert_eq!(shown(condition, &names).as_deref(), Ok(wanted), "{condition}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_column() {
        for (condition, wanted) in [
            ("a and", "c.yml:1:17: error: expected a search identifier"),
            ("a b", "c.yml:1:14: error: expected `and`, `or` or the end"),
            ("a and selecton", "c.yml:1:18: error: unknown search identifier `selecton`"),
            ("2 of a*", "c.yml:1:12: error: unknown quantity `2 of`"),
            ("1 of x*", "c.yml:1:17: error: no search identifier is called `x*`"),
            ("(a", "c.yml:1:14: error: expected `)`"),
            ("a | count() > 5", "c.yml:1:14: error: the aggregation `| …` is obsolete"),
            ("a)", "c.yml:1:13: error: this `)` closes nothing"),
        ] {
            let error = shown(condition, &["a", "selection"]).unwrap_err();
            assert!(error.starts_with(wanted), "{error}");
        }
    }

    #[test]
    fn hostile_conditions_end_in_an_error() {
        assert!(shown(&"(".repeat(5_000), &["a"]).is_err());
        assert!(shown(&"not ".repeat(5_000), &["a"]).is_err());
    }
}
