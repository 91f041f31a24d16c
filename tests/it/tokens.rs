//! Reads Rust source as tokens, so that tests can hold rules about it: comments and strings are
//! told from code, and code that only tests compile is marked.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name or keyword.
    Name,
    /// One character of punctuation.
    Mark,
    /// A string, character, number or lifetime.
    Literal,
}

/// A piece of code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// As written (a raw name without its `r#`).
    pub(crate) text: String,
    /// What it is.
    pub(crate) kind: TokenKind,
    /// Line of its first character, from 1.
    pub(crate) line: usize,
    /// Whether only tests compile it.
    pub(crate) test: bool,
}

impl Token {
    /// Whether it is this name or mark.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.kind != TokenKind::Literal && self.text == text
    }
}

/// A comment without its slashes and asterisks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    /// Its text, trimmed.
    pub(crate) text: String,
    /// Line of its first character, from 1.
    pub(crate) line: usize,
}

/// A Rust file, read.
#[derive(Debug, Clone, Default)]
pub(crate) struct RustFile {
    /// Path from the root of the package, with `/`.
    pub(crate) path: String,
    /// The code.
    pub(crate) tokens: Vec<Token>,
    /// The comments.
    pub(crate) comments: Vec<Comment>,
}

/// A path such as `crate::event::Value`, groups spread out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CodePath {
    /// Its names.
    pub(crate) names: Vec<String>,
    /// Line of its first name.
    pub(crate) line: usize,
    /// Whether only tests compile it.
    pub(crate) test: bool,
    /// How many `mod x { .. }` of the file stand around it.
    pub(crate) depth: usize,
}

/// The folder of the package.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the package, sorted, as paths from the root with `/`. Folders that
/// builds and version control fill are left out.
pub(crate) fn files_below(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    let mut names: Vec<String> = found
        .iter()
        .filter_map(|path| path.strip_prefix(root()).ok()?.to_str())
        .map(|path| path.replace('\\', "/"))
        .collect();
    names.sort();
    names
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let skipped = [".git", "target", "node_modules"].iter().any(|known| name == *known);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !skipped => collect(&path, found),
            Ok(kind) if kind.is_file() && !skipped => found.push(path),
            _ => {}
        }
    }
}

/// The text of a file of the package, `None` if it is not text.
pub(crate) fn text_of(path: &str) -> Option<String> {
    match fs::read_to_string(root().join(path)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => None,
        // A test may remove its own files while another one reads the tree.
        Err(_) => Some(String::new()),
    }
}

/// Whether a path ends in one of the extensions.
pub(crate) fn has_extension(path: &str, wanted: &[&str]) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| wanted.contains(&extension))
}

/// Every Rust file below `src` or another folder of the package.
pub(crate) fn rust_files(folder: &str) -> Vec<RustFile> {
    files_below(folder)
        .into_iter()
        .filter(|path| has_extension(path, &["rs"]))
        .map(|path| RustFile::read(&path, &text_of(&path).unwrap_or_default()))
        .collect()
}

impl RustFile {
    /// Reads a text.
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let mut reader = Reader { text: text.chars().collect(), at: 0, line: 1 };
        let mut file = Self { path: path.to_owned(), ..Self::default() };
        while reader.step(&mut file) {}
        mark_tests(&mut file.tokens);
        file
    }

    /// Every path of two or more names.
    pub(crate) fn paths(&self) -> Vec<CodePath> {
        let mut found = Vec::new();
        let mut open_modules: Vec<usize> = Vec::new();
        let mut braces = 0_usize;
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            if token.is("{") {
                braces += 1;
                if self.opens_module(at) {
                    open_modules.push(braces);
                }
            } else if token.is("}") {
                if open_modules.last() == Some(&braces) {
                    open_modules.pop();
                }
                braces = braces.saturating_sub(1);
            }
            if token.kind != TokenKind::Name || !self.joined(at + 1) {
                at += 1;
                continue;
            }
            let from = found.len();
            at = self.spread(at, &mut Vec::new(), &mut found);
            for path in found.iter_mut().skip(from) {
                path.depth = open_modules.len();
            }
        }
        found
    }

    /// The modules a file declares without a body: name, the inline modules around it, and whether
    /// only tests compile it.
    pub(crate) fn declared_modules(&self) -> Vec<(Vec<String>, String, bool)> {
        let mut found = Vec::new();
        let mut around: Vec<(usize, String)> = Vec::new();
        let mut braces = 0_usize;
        for (at, token) in self.tokens.iter().enumerate() {
            if token.is("{") {
                braces += 1;
                if self.opens_module(at) {
                    let name = self.text(at.wrapping_sub(1)).to_owned();
                    around.push((braces, name));
                }
            } else if token.is("}") {
                if around.last().is_some_and(|(depth, _)| *depth == braces) {
                    around.pop();
                }
                braces = braces.saturating_sub(1);
            } else if token.is("mod") && self.text(at + 2) == ";" {
                let names = around.iter().map(|(_, name)| name.clone()).collect();
                found.push((names, self.text(at + 1).to_owned(), token.test));
            }
        }
        found
    }

    /// The text of a token, empty outside of the file.
    pub(crate) fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    fn is(&self, at: usize, text: &str) -> bool {
        self.tokens.get(at).is_some_and(|token| token.is(text))
    }

    fn joined(&self, at: usize) -> bool {
        self.is(at, ":") && self.is(at + 1, ":")
    }

    fn opens_module(&self, at: usize) -> bool {
        at >= 2 && self.is(at - 2, "mod")
    }

    /// Follows a path from its name at `at`; gives the place behind it.
    fn spread(&self, at: usize, names: &mut Vec<String>, found: &mut Vec<CodePath>) -> usize {
        let Some(token) = self.tokens.get(at) else { return at };
        names.push(token.text.clone());
        let behind = if !self.joined(at + 1) {
            found.push(CodePath {
                names: names.clone(),
                line: token.line,
                test: token.test,
                depth: 0,
            });
            at + 1
        } else if self.is(at + 3, "{") {
            self.spread_group(at + 4, names, found)
        } else if self.tokens.get(at + 3).is_some_and(|next| next.kind == TokenKind::Name)
            || self.is(at + 3, "*")
        {
            self.spread(at + 3, names, found)
        } else {
            let path =
                CodePath { names: names.clone(), line: token.line, test: token.test, depth: 0 };
            found.push(path);
            at + 3
        };
        names.pop();
        behind
    }

    fn spread_group(
        &self,
        mut at: usize,
        names: &mut Vec<String>,
        found: &mut Vec<CodePath>,
    ) -> usize {
        while at < self.tokens.len() && !self.is(at, "}") {
            let name = self.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Name);
            if self.is(at, "as") {
                at += 2;
            } else if name || self.is(at, "*") {
                at = self.spread(at, names, found);
            } else {
                at += 1;
            }
        }
        at + 1
    }
}

struct Reader {
    text: Vec<char>,
    at: usize,
    line: usize,
}

impl Reader {
    fn peek(&self, ahead: usize) -> char {
        self.text.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn take(&mut self) -> char {
        let next = self.peek(0);
        self.at += 1;
        if next == '\n' {
            self.line += 1;
        }
        next
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while self.at < self.text.len() && keep(self.peek(0)) {
            taken.push(self.take());
        }
        taken
    }

    /// Reads one token, comment or stretch of blanks. False at the end.
    fn step(&mut self, file: &mut RustFile) -> bool {
        if self.at >= self.text.len() {
            return false;
        }
        let line = self.line;
        let first = self.peek(0);
        if first.is_whitespace() {
            self.take();
        } else if first == '/' && self.peek(1) == '/' {
            let text = self.take_while(|c| c != '\n');
            let text = text.trim_start_matches(['/', '!']).trim().to_owned();
            file.comments.push(Comment { text, line });
        } else if first == '/' && self.peek(1) == '*' {
            let text = self.block_comment();
            file.comments.push(Comment { text, line });
        } else {
            let (kind, text) = self.token(first);
            file.tokens.push(Token { text, kind, line, test: false });
        }
        true
    }

    fn token(&mut self, first: char) -> (TokenKind, String) {
        if let Some(hashes) = self.raw_string() {
            (TokenKind::Literal, self.finish_raw(hashes))
        } else if first == '"' || (matches!(first, 'b' | 'c') && self.peek(1) == '"') {
            (TokenKind::Literal, self.quoted('"'))
        } else if first == 'b' && self.peek(1) == '\'' {
            (TokenKind::Literal, self.quoted('\''))
        } else if first == '\'' {
            let lifetime =
                (self.peek(1).is_alphabetic() || self.peek(1) == '_') && self.peek(2) != '\'';
            if lifetime {
                self.take();
                let name = self.take_while(is_name);
                return (TokenKind::Literal, format!("'{name}"));
            }
            (TokenKind::Literal, self.quoted('\''))
        } else if first == 'r' && self.peek(1) == '#' && is_name(self.peek(2)) {
            self.at += 2;
            (TokenKind::Name, self.take_while(is_name))
        } else if first.is_ascii_digit() {
            (TokenKind::Literal, self.take_while(is_name))
        } else if is_name(first) {
            (TokenKind::Name, self.take_while(is_name))
        } else {
            (TokenKind::Mark, self.take().to_string())
        }
    }

    /// How many hashes the raw string that begins here has, if one does.
    fn raw_string(&self) -> Option<usize> {
        let letters = match (self.peek(0), self.peek(1)) {
            ('r', _) => 1,
            ('b' | 'c', 'r') => 2,
            _ => return None,
        };
        let mut hashes = 0;
        while self.peek(letters + hashes) == '#' {
            hashes += 1;
        }
        (self.peek(letters + hashes) == '"').then_some(hashes)
    }

    fn finish_raw(&mut self, hashes: usize) -> String {
        let mut text = self.take_while(|c| c != '"');
        text.push(self.take());
        while self.at < self.text.len() {
            let next = self.take();
            text.push(next);
            if next == '"' && (0..hashes).all(|ahead| self.peek(ahead) == '#') {
                self.at += hashes;
                break;
            }
        }
        text
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut text = self.take_while(|c| c != quote);
        text.push(self.take());
        while self.at < self.text.len() {
            let next = self.take();
            text.push(next);
            if next == '\\' {
                text.push(self.take());
            } else if next == quote {
                break;
            }
        }
        text
    }

    fn block_comment(&mut self) -> String {
        let mut text = String::new();
        let mut open = 0_usize;
        while self.at < self.text.len() {
            if self.peek(0) == '/' && self.peek(1) == '*' {
                open += 1;
                self.at += 2;
            } else if self.peek(0) == '*' && self.peek(1) == '/' {
                open -= 1;
                self.at += 2;
                if open == 0 {
                    break;
                }
            } else {
                text.push(self.take());
            }
        }
        text.trim_matches(|c: char| c.is_whitespace() || c == '*' || c == '!').to_owned()
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Marks what `#[cfg(test)]`, `#[test]` and `#![cfg(test)]` govern.
fn mark_tests(tokens: &mut [Token]) {
    let mut at = 0;
    while at < tokens.len() {
        let Some((inner, test, behind)) = attribute(tokens, at) else {
            at += 1;
            continue;
        };
        if !test {
            at = behind;
        } else if inner {
            for token in tokens {
                token.test = true;
            }
            return;
        } else {
            let end = item_end(tokens, behind);
            for token in tokens.iter_mut().take(end).skip(at) {
                token.test = true;
            }
            at = end;
        }
    }
}

/// The attribute at a place: whether it is an inner one, whether it is about tests, its end.
fn attribute(tokens: &[Token], at: usize) -> Option<(bool, bool, usize)> {
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.is(text));
    let inner = is(at + 1, "!");
    let open = at + 1 + usize::from(inner);
    if !is(at, "#") || !is(open, "[") {
        return None;
    }
    let behind = closing(tokens, open) + 1;
    let bare = is(open + 1, "test") && is(open + 2, "]");
    let cfg = is(open + 1, "cfg") && is(open + 3, "test") && is(open + 4, ")");
    Some((inner, bare || cfg, behind))
}

/// The place of the mark that closes the bracket at `open`.
pub(crate) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if ["(", "[", "{"].iter().any(|mark| token.is(mark)) {
            depth += 1;
        } else if [")", "]", "}"].iter().any(|mark| token.is(mark)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len()
}

/// The place behind the item that begins at a place.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        if token.is("{") {
            return closing(tokens, at) + 1;
        }
        if token.is(";") {
            return at + 1;
        }
        at = if token.is("(") || token.is("[") { closing(tokens, at) + 1 } else { at + 1 };
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        RustFile::read("src/x.rs", text).paths().iter().map(|path| path.names.join("::")).collect()
    }

    #[test]
    fn groups_are_spread_out_and_strings_are_not_code() {
        let text = "use crate::{a::{B, c::*}, d as e, f::{self}};\n\
            fn g() -> crate::h::I<'static> { \"crate::no::no\"; r#\"crate::\"no\"#; '\"'; crate::j! {} }\n\
            // crate::no\n/* crate::no /* x */ crate::no */ type K<'a> = std::fmt::Result<&'a u8>;";
        assert_eq!(
            paths(text),
            [
                "crate::a::B",
                "crate::a::c::*",
                "crate::d",
                "crate::f::self",
                "crate::h::I",
                "crate::j",
                "std::fmt::Result"
            ]
        );
    }

    #[test]
    fn a_turbofish_ends_a_path() {
        assert_eq!(
            paths("let x = Vec::<u8>::new(); a::<crate::b::C>();"),
            ["Vec", "a", "crate::b::C"]
        );
    }

    #[test]
    fn code_of_tests_is_marked() {
        let text = "fn a() {}\n#[cfg(test)]\n#[path(x)]\nmod tests { fn b() {} }\nfn c() {}\n\
            #[test]\nfn d() {}\n#[cfg(test)]\nuse crate::e::f;\nfn g() {}";
        let file = RustFile::read("src/x.rs", text);
        let marked = |name: &str| file.tokens.iter().find(|token| token.is(name)).unwrap().test;
        assert_eq!(
            ["a", "b", "c", "d", "f", "g"].map(marked),
            [false, true, false, true, true, false]
        );
    }

    #[test]
    fn modules_and_depth_are_followed() {
        let text = "mod a;\nmod b { pub mod c; use super::super::d::E; }\n#[cfg(test)]\nmod tests;";
        let file = RustFile::read("src/x.rs", text);
        let declared = file.declared_modules();
        assert_eq!(declared[0], (vec![], "a".to_owned(), false));
        assert_eq!(declared[1], (vec!["b".to_owned()], "c".to_owned(), false));
        assert_eq!(declared[2], (vec![], "tests".to_owned(), true));
        assert_eq!(file.paths()[0].depth, 1);
    }
}
