//! Sigma's string values: escapes and wildcards, and the shape a matcher can index.

use std::borrow::Cow;

/// A part of a string value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Piece {
    /// These characters.
    Text(Box<str>),
    /// `*`: any characters, or none.
    Any,
    /// `?`: exactly one character.
    One,
    /// One of the five characters that introduce an option on Windows (`windash`).
    Dash,
}

/// Hyphen, slash, en dash, em dash, horizontal bar.
pub const DASHES: [char; 5] = ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'];

/// A string value with its wildcards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

/// Whether letters of either case are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Case {
    /// `A` is `a`; the pattern is stored folded.
    Folded,
    /// `A` is not `a` (`cased`).
    Exact,
}

/// A pattern as a matcher looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Any text, also the empty one.
    AnyText,
    /// The whole text.
    Exact(Box<str>),
    /// The beginning of the text.
    Prefix(Box<str>),
    /// The end of the text.
    Suffix(Box<str>),
    /// Somewhere in the text.
    Contains(Box<str>),
    /// Anything else, with wildcards inside.
    Glob(Box<[Piece]>),
}

impl Pattern {
    /// Reads escapes and wildcards: a backslash is plain unless `*`, `?` or a backslash follows.
    pub fn parse(text: &str) -> Self {
        let mut pattern = Self::default();
        let mut chars = text.chars().peekable();
        while let Some(letter) = chars.next() {
            match letter {
                '*' => pattern.push(Piece::Any),
                '?' => pattern.push(Piece::One),
                '\\' => match chars.next_if(|next| matches!(next, '*' | '?' | '\\')) {
                    Some(escaped) => pattern.push_char(escaped),
                    None => pattern.push_char('\\'),
                },
                other => pattern.push_char(other),
            }
        }
        pattern
    }

    /// A text without wildcards.
    pub fn literal(text: &str) -> Self {
        let pieces = if text.is_empty() { Vec::new() } else { vec![Piece::Text(text.into())] };
        Self { pieces }
    }

    /// The text, if there is no wildcard in it.
    pub fn plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The texts between its wildcards.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(text) => Some(&**text),
            Piece::Any | Piece::One | Piece::Dash => None,
        })
    }

    /// The same with `*` before it.
    #[must_use]
    pub fn after_any(mut self) -> Self {
        self.pieces.insert(0, Piece::Any);
        self
    }

    /// The same with `*` behind it.
    #[must_use]
    pub fn before_any(mut self) -> Self {
        self.pieces.push(Piece::Any);
        self
    }

    /// Lets every dash that introduces an option stand for all of [`DASHES`]: one that no word
    /// character precedes and one follows.
    #[must_use]
    pub fn with_dashes(self) -> Self {
        let mut found = Self::default();
        for piece in self.pieces {
            let Piece::Text(text) = piece else {
                found.push(piece);
                continue;
            };
            let mut before = None;
            let mut chars = text.chars().peekable();
            while let Some(letter) = chars.next() {
                let option = DASHES.contains(&letter)
                    && !before.is_some_and(is_word)
                    && chars.peek().copied().is_some_and(is_word);
                if option {
                    found.push(Piece::Dash);
                } else {
                    found.push_char(letter);
                }
                before = Some(letter);
            }
        }
        found
    }

    /// What a matcher needs of it; folded unless case matters.
    pub fn shape(&self, case: Case) -> Shape {
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.pieces.len());
        for piece in &self.pieces {
            match piece {
                Piece::Any if pieces.last() == Some(&Piece::Any) => {}
                Piece::Text(text) if case == Case::Folded => {
                    pieces.push(Piece::Text(fold(text).into()));
                }
                other => pieces.push(other.clone()),
            }
        }
        match pieces.as_slice() {
            [] => Shape::Exact("".into()),
            [Piece::Any] => Shape::AnyText,
            [Piece::Text(text)] => Shape::Exact(text.clone()),
            [Piece::Text(text), Piece::Any] => Shape::Prefix(text.clone()),
            [Piece::Any, Piece::Text(text)] => Shape::Suffix(text.clone()),
            [Piece::Any, Piece::Text(text), Piece::Any] => Shape::Contains(text.clone()),
            _ => Shape::Glob(pieces.into()),
        }
    }

    fn push(&mut self, piece: Piece) {
        self.pieces.push(piece);
    }

    fn push_char(&mut self, letter: char) {
        if let Some(Piece::Text(text)) = self.pieces.last_mut() {
            let mut longer = String::from(std::mem::take(text));
            longer.push(letter);
            *text = longer.into();
        } else {
            self.pieces.push(Piece::Text(letter.to_string().into()));
        }
    }
}

fn is_word(letter: char) -> bool {
    letter == '_' || letter.is_alphanumeric()
}

impl Shape {
    /// Whether a text (folded, if the pattern is) has this shape.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::AnyText => true,
            Self::Exact(whole) => **whole == *text,
            Self::Prefix(start) => text.starts_with(&**start),
            Self::Suffix(end) => text.ends_with(&**end),
            Self::Contains(part) => text.contains(&**part),
            Self::Glob(pieces) => glob(pieces, text),
        }
    }

    /// The longest text that must be in whatever matches.
    pub fn needle(&self) -> Option<&str> {
        match self {
            Self::AnyText => None,
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) | Self::Contains(text) => {
                Some(text)
            }
            Self::Glob(pieces) => pieces
                .iter()
                .filter_map(|piece| match piece {
                    Piece::Text(text) => Some(&**text),
                    Piece::Any | Piece::One | Piece::Dash => None,
                })
                .max_by_key(|text| text.len()),
        }
    }
}

/// Matches a whole text. Only the last `*` is ever retried, which is enough: what stands between
/// two `*` may as well match as early as it can.
fn glob(pieces: &[Piece], text: &str) -> bool {
    let (mut piece_at, mut text_at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match pieces.get(piece_at) {
            None if text_at == text.len() => return true,
            Some(Piece::Any) => {
                piece_at += 1;
                if piece_at == pieces.len() {
                    return true;
                }
                retry = Some((piece_at, text_at));
                continue;
            }
            Some(piece) => {
                if let Some(length) = taken(piece, text.get(text_at..).unwrap_or_default()) {
                    piece_at += 1;
                    text_at += length;
                    continue;
                }
            }
            None => {}
        }
        let Some((after_any, from)) = retry else { return false };
        let rest = text.get(from..).unwrap_or_default();
        let Some(first) = rest.chars().next() else { return false };
        let mut next = from + first.len_utf8();
        if let Some(Piece::Text(wanted)) = pieces.get(after_any) {
            match text.get(next..).and_then(|rest| rest.find(&**wanted)) {
                Some(found) => next += found,
                None => return false,
            }
        }
        retry = Some((after_any, next));
        (piece_at, text_at) = (after_any, next);
    }
}

/// How many bytes a piece takes from the beginning of a text.
fn taken(piece: &Piece, text: &str) -> Option<usize> {
    match piece {
        Piece::Text(wanted) => text.starts_with(&**wanted).then_some(wanted.len()),
        Piece::One => text.chars().next().map(char::len_utf8),
        Piece::Dash => {
            text.chars().next().filter(|letter| DASHES.contains(letter)).map(char::len_utf8)
        }
        Piece::Any => Some(0),
    }
}

/// The text in lower case, letter by letter (Unicode, without looking at neighbours).
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()) {
        let mut folded = String::with_capacity(text.len());
        fold_into(text, &mut folded);
        return Cow::Owned(folded);
    }
    Cow::Borrowed(text)
}

/// Appends [`fold`] of a text.
pub fn fold_into(text: &str, folded: &mut String) {
    if text.is_ascii() {
        let start = folded.len();
        folded.push_str(text);
        if let Some(added) = folded.get_mut(start..) {
            added.make_ascii_lowercase();
        }
    } else {
        folded.extend(text.chars().flat_map(char::to_lowercase));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).shape(Case::Folded).matches(&fold(text))
    }

    #[test]
    fn backslashes_are_plain_except_before_wildcards_and_themselves() {
        for (pattern, text) in [
            (r"C:\Dir\x", r"C:\Dir\x"),
            (r"a\\b", r"a\b"),
            (r"a\\\b", r"a\\b"),
            (r"a\\\\b", r"a\\b"),
            (r"a\*", "a*"),
            (r"a\\\*", r"a\*"),
            (r"a\", r"a\"),
        ] {
            assert_eq!(
                Pattern::parse(pattern).shape(Case::Exact),
                Shape::Exact(text.into()),
                "{pattern}"
            );
        }
        assert!(matches(r"c:\\*", r"C:\anything"));
        assert!(!matches(r"c:\\*", "C:"));
    }

    #[test]
    fn wildcards_match_as_written_also_over_lines_and_letters_of_several_bytes() {
        for (pattern, text, wanted) in [
            ("a*c", "abc", true),
            ("a*c", "a\nb\nc", true),
            ("a*bc*d", "abxbcxd", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("a??", "aöü", true),
            ("a??", "aö", false),
            ("*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
            ("*.ex?", "x.exe", true),
            ("*.ex?", "x.exes", false),
            ("?*", "", false),
            ("*?", "ä", true),
        ] {
            assert_eq!(matches(pattern, text), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn an_option_dash_stands_for_five_characters_and_an_inner_one_for_itself() {
        let shape = Pattern::parse(" -long-name ").with_dashes().shape(Case::Folded);
        for dash in DASHES {
            assert!(shape.matches(&format!(" {dash}long-name ")), "{dash}");
        }
        assert!(!shape.matches(" -long/name "));
        assert!(!shape.matches(" +long-name "));
    }
}
