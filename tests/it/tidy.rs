//! Rules about the text of this repository that no compiler holds.

use crate::tokens::{
    RustFile, Token, closing, files_below, has_extension, root, rust_files, text_of,
};
use std::collections::BTreeMap;
use std::process::Command;
use tripline::diagnostic::SourceText;
use tripline::yaml::{self, Node};

/// Lines of code that are not tests a file may have; 400 are wanted.
const FILE_LINES_MAX: usize = 600;
/// Lines of code a function may have.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of code a test may have: it holds its table of cases.
const TEST_LINES_MAX: usize = 100;
/// Columns a line of code may have where the formatter cannot break it.
const LINE_COLUMNS_MAX: usize = 140;
/// Lines the map of the program may have.
const ARCHITECTURE_LINES_MAX: usize = 200;

/// Data tables, which grow with what they list.
const TABLES: &[&str] = &["src/event/field.rs"];

/// File and module names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc", "prelude"];

/// Words that promise work instead of doing it. In two parts, so that this file may be searched.
const PROMISES: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Folders that exist on no other machine.
const MACHINE_PATHS: &[&str] =
    &[concat!("/wo", "rk/"), concat!("/tmp/", "wt"), concat!("/tmp/", "tgt")];
/// Folders of people, which only sample data may name.
const PERSONAL_PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/")];
/// Where sample data lies, besides tests.
const DATA_FOLDERS: &[&str] =
    &["rules/", "parsers/", "fixtures/", "fuzz/corpus/", "docs/", "benches/", "src/cli/demo"];

/// The only registry a lock file may name.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn told(what: &str, problems: &[String]) {
    assert!(problems.is_empty(), "{what}:\n{}", problems.join("\n"));
}

/// Every file that version control has or would take. Without version control (an unpacked
/// release), every file.
fn tracked() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    match listed {
        Ok(listed) if listed.status.success() && !listed.stdout.is_empty() => {
            String::from_utf8_lossy(&listed.stdout)
                .split_terminator('\0')
                .map(str::to_owned)
                .filter(|path| root().join(path).is_file())
                .collect()
        }
        _ => files_below(""),
    }
}

/// Every tracked file that is text, with its text.
fn texts() -> Vec<(String, String)> {
    tracked().into_iter().filter_map(|path| text_of(&path).map(|text| (path, text))).collect()
}

fn code() -> Vec<RustFile> {
    ["src", "tests", "benches"].into_iter().flat_map(rust_files).collect()
}

#[test]
fn names_say_what_is_inside() {
    let mut problems = Vec::new();
    for path in tracked().iter().filter(|path| has_extension(path, &["rs"])) {
        let empty = path.split(['/', '.']).find(|part| EMPTY_NAMES.contains(part));
        if let Some(part) = empty {
            problems.push(format!("{path}: `{part}` says nothing: name what is inside"));
        }
        if path.ends_with("/mod.rs") {
            problems.push(format!("{path}: write `x.rs` beside the folder `x`"));
        }
    }
    told("names", &problems);
}

#[test]
fn files_and_functions_are_short() {
    let mut problems = Vec::new();
    for file in code() {
        let lines = count_lines(file.tokens.iter().filter(|token| !token.test));
        let test_file = file.path.starts_with("tests/") || file.path.ends_with("/tests.rs");
        if lines > FILE_LINES_MAX && !test_file && !TABLES.contains(&file.path.as_str()) {
            let limit = format!("at most {FILE_LINES_MAX} are allowed: split it by what it does");
            problems.push(format!("{}: {lines} lines of code, {limit}", file.path));
        }
        for (name, line, lines) in functions(&file) {
            let most = if test_file { TEST_LINES_MAX } else { FUNCTION_LINES_MAX };
            if lines > most {
                let limit = format!("at most {most} are allowed");
                problems.push(format!("{}:{line}: `{name}` has {lines} lines, {limit}", file.path));
            }
        }
    }
    told("lengths", &problems);
}

#[test]
fn lines_fit_and_end_clean() {
    let mut problems = Vec::new();
    for (path, text) in texts() {
        let data = DATA_FOLDERS.iter().any(|folder| path.starts_with(folder))
            && !has_extension(&path, &["yml", "md", "rs"]);
        if data || has_extension(&path, &["lock", "html", "svg", "css", "js", "snap"]) {
            continue;
        }
        problems.extend(line_problems(&path, &text));
    }
    told("lines", &problems);
}

#[test]
fn nothing_is_promised_or_left_behind() {
    let mut problems = Vec::new();
    for (path, text) in texts().iter().filter(|(path, _)| !path.starts_with("fixtures/")) {
        for (number, line) in text.lines().enumerate() {
            for word in PROMISES.iter().filter(|word| has_word(line, word)) {
                problems.push(format!("{path}:{}: `{word}`: do it or leave it", number + 1));
            }
        }
    }
    for file in code() {
        problems.extend(left_behind(&file));
    }
    told("leftovers", &problems);
}

#[test]
fn comments_are_sentences_not_banners() {
    let mut problems = Vec::new();
    for file in code() {
        for comment in file.comments.iter().filter(|comment| is_banner(&comment.text)) {
            let why = "a banner: a heading is a module";
            problems.push(format!("{}:{}: {why}", file.path, comment.line));
        }
    }
    for (path, text) in texts() {
        if has_extension(&path, &["yml", "yaml", "toml", "sh"]) || path == ".ci/run" {
            for (number, line) in text.lines().enumerate() {
                if line.trim_start().strip_prefix('#').is_some_and(is_banner) {
                    problems.push(format!("{path}:{}: a banner", number + 1));
                }
            }
        }
    }
    told("comments", &problems);
}

#[test]
fn the_documents_hang_together() {
    let mut problems = Vec::new();
    let read = |path: &str| text_of(path).unwrap_or_default();
    let (readme, map, changes) = (read("README.md"), read("ARCHITECTURE.md"), read("CHANGELOG.md"));
    let lines = map.lines().count();
    if lines == 0 || lines > ARCHITECTURE_LINES_MAX {
        problems
            .push(format!("ARCHITECTURE.md: {lines} lines, wanted 1 to {ARCHITECTURE_LINES_MAX}"));
    }
    if !changes.lines().any(|line| line.trim() == "## Unreleased") {
        problems.push("CHANGELOG.md: has no section `## Unreleased`".to_owned());
    }
    for path in files_below("docs").iter().filter(|path| has_extension(path, &["md"])) {
        if !readme.contains(path.as_str()) && !map.contains(path.as_str()) {
            problems.push(format!("{path}: neither README.md nor ARCHITECTURE.md links to it"));
        }
    }
    for path in tracked().iter().filter(|path| has_extension(path, &["md"])) {
        problems.extend(dead_links(path, &read(path)));
    }
    told("documents", &problems);
}

#[test]
fn every_shipped_rule_is_tested_both_ways() {
    let mut problems = Vec::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for path in files_below("rules").iter().filter(|path| has_extension(path, &["yml", "yaml"])) {
        match yaml::parse(&SourceText::new(path, &text_of(path).unwrap_or_default())) {
            Err(error) => problems.push(error.to_string()),
            Ok(documents) => {
                problems.extend(rule_problems(path, &documents));
                for id in documents.iter().filter_map(|rule| rule.get("id")?.as_text()) {
                    if let Some(other) = ids.insert(id.to_owned(), path.clone()) {
                        problems.push(format!("{path}: the id {id} is also in {other}"));
                    }
                }
            }
        }
    }
    told("rules", &problems);
}

#[test]
fn nothing_names_the_machine_it_was_made_on() {
    let mut problems = Vec::new();
    for (path, text) in texts() {
        for (number, line) in text.lines().enumerate() {
            for banned in MACHINE_PATHS.iter().filter(|banned| names_path(line, banned)) {
                problems.push(format!("{path}:{}: `{banned}` exists nowhere else", number + 1));
            }
        }
        let data = path.starts_with("tests/") || DATA_FOLDERS.iter().any(|f| path.starts_with(f));
        let outside_tests = code_lines(&path, &text);
        for (number, line) in text.lines().enumerate().filter(|(at, _)| !data && outside_tests(*at))
        {
            for banned in PERSONAL_PATHS.iter().filter(|banned| names_path(line, banned)) {
                problems.push(format!("{path}:{}: `{banned}` is one person's", number + 1));
            }
            if let Some(host) = private_host(line) {
                problems.push(format!("{path}:{}: `{host}` is a host of one network", number + 1));
            }
        }
        if path.ends_with("Cargo.lock") {
            let foreign = |line: &&str| {
                line.strip_prefix("source = ")
                    .is_some_and(|source| source.trim_matches('"') != REGISTRY)
            };
            problems.extend(text.lines().filter(foreign).map(|line| format!("{path}: {line}")));
        }
        if path.starts_with(".cargo/") {
            problems.push(format!("{path}: the settings of one machine"));
        }
    }
    told("machine names", &problems);
}

/// How many lines hold a token.
fn count_lines<'t>(tokens: impl Iterator<Item = &'t Token>) -> usize {
    let mut lines: Vec<usize> = tokens.map(|token| token.line).collect();
    lines.dedup();
    lines.len()
}

/// Every function: name, line, lines of code in its body.
fn functions(file: &RustFile) -> Vec<(String, usize, usize)> {
    let mut found = Vec::new();
    for (at, token) in file.tokens.iter().enumerate().filter(|(_, token)| token.is("fn")) {
        let mut open = at + 1;
        while !matches!(file.text(open), "{" | ";" | "") {
            let nested = matches!(file.text(open), "(" | "[");
            open = if nested { closing(&file.tokens, open) + 1 } else { open + 1 };
        }
        // `fn(u8) -> u8` is a type and has no body of its own.
        if file.text(open) == "{" && file.text(at + 1) != "(" {
            let end = closing(&file.tokens, open);
            let inside = file.tokens.iter().take(end).skip(open + 1);
            found.push((file.text(at + 1).to_owned(), token.line, count_lines(inside)));
        }
    }
    found
}

fn line_problems(path: &str, text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let is_code = has_extension(path, &["rs"]);
    let outside_tests = code_lines(path, text);
    for (at, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        let number = at + 1;
        if is_code && columns > LINE_COLUMNS_MAX && !path.starts_with("tests/") && outside_tests(at)
        {
            problems
                .push(format!("{path}:{number}: {columns} columns, at most {LINE_COLUMNS_MAX}"));
        }
        if line.contains('\t') {
            problems.push(format!("{path}:{number}: a tab: blanks, or \\t within a string"));
        }
        if line.ends_with([' ', '\r']) {
            problems.push(format!("{path}:{number}: a blank at the end of the line"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        problems.push(format!("{path}: the last line has no end"));
    }
    problems
}

/// Tells, for a line from 0, whether it is outside of tests. Lines of files that are not Rust are.
fn code_lines(path: &str, text: &str) -> impl Fn(usize) -> bool {
    let file =
        if has_extension(path, &["rs"]) { RustFile::read(path, text) } else { RustFile::default() };
    let all = path.ends_with("/tests.rs");
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for pair in file.tokens.windows(2) {
        if let [token, next] = pair
            && token.test
        {
            ranges.push((token.line, next.line));
        }
    }
    move |at| !all && !ranges.iter().any(|(from, to)| (*from..=*to).contains(&(at + 1)))
}

/// Whether a word stands alone in a line.
fn has_word(line: &str, word: &str) -> bool {
    let bounds = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, found)| {
        let (before, rest) = line.split_at(at);
        bounds(before.chars().next_back()) && bounds(rest.chars().nth(found.chars().count()))
    })
}

/// Whether a line names a folder from the root of a machine (`/a/` but not `b/a/`).
fn names_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line.split_at(at).0.chars().next_back();
        !before
            .is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '*'))
    })
}

fn left_behind(file: &RustFile) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, token) in file.tokens.iter().enumerate() {
        let (next, after) = (file.text(at + 1), file.text(at + 2));
        let attribute =
            at >= 2 && file.text(at - 1) == "[" && matches!(file.text(at - 2), "#" | "!");
        let why = match token.text.as_str() {
            "todo" | "dbg" | "unimplemented" if next == "!" => "is for unfinished work",
            "ignore" | "should_panic" if attribute => "hides what a test should say",
            "allow" if attribute && next == "(" => {
                let end = closing(&file.tokens, at + 1);
                let reason = file.tokens.iter().take(end).skip(at).any(|token| token.is("reason"));
                if reason {
                    continue;
                }
                "needs a reason; better `expect` with one"
            }
            _ => continue,
        };
        if token.is(&token.text) {
            let shown = format!("{}{next}{after}", token.text);
            problems.push(format!("{}:{}: `{shown}` {why}", file.path, token.line));
        }
    }
    problems
}

/// Whether a comment is decorated with a run of one mark.
fn is_banner(comment: &str) -> bool {
    let text = comment.trim();
    if text.starts_with('|') || text.starts_with("```") {
        return false;
    }
    ["----", "====", "****", "####", "~~~~", "////", "____", "++++"]
        .iter()
        .any(|run| text.starts_with(run) || text.ends_with(run))
}

/// Links of a Markdown file that lead to no file of the repository.
fn dead_links(path: &str, text: &str) -> Vec<String> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut problems = Vec::new();
    for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let file = link.split('#').next().unwrap_or_default();
        if !file.is_empty() && !file.contains("://") && !root().join(folder).join(file).exists() {
            problems.push(format!("{path}: the link `{link}` leads nowhere"));
        }
    }
    problems
}

/// A rule file needs tests that fire and tests that stay silent, and every document an id.
fn rule_problems(path: &str, documents: &[Node]) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut firing, mut silent) = (0, 0);
    for document in documents {
        let is_rule =
            ["detection", "correlation", "filter"].iter().any(|key| document.get(key).is_some());
        if is_rule && document.get("id").is_none() {
            problems.push(format!("{path}:{}: this rule has no `id`", document.place.line));
        }
        for test in document.get("tests").map(Node::items).unwrap_or_default() {
            match test.get("expect").and_then(Node::as_list) {
                Some([]) => silent += 1,
                Some(_) => firing += 1,
                None => {
                    problems.push(format!("{path}:{}: this test has no `expect`", test.place.line));
                }
            }
        }
    }
    if firing == 0 || silent == 0 {
        problems
            .push(format!("{path}: {firing} firing and {silent} silent tests, wanted one of each"));
    }
    problems
}

/// The host of an address in a line, if it is of a private network.
fn private_host(line: &str) -> Option<&str> {
    line.split("://").skip(1).find_map(|rest| {
        let host = rest.split(['/', ':', '"', '\'', ' ', '`', ')', '}']).next()?;
        let named = [".internal", ".local", ".lan", ".corp", ".intra"]
            .iter()
            .any(|end| host.ends_with(end));
        let numbered = host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_private());
        (named || numbered).then_some(host)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> RustFile {
        RustFile::read("src/x.rs", text)
    }

    #[test]
    fn functions_are_measured_without_blanks_and_comments() {
        let text = "fn a<F: Fn(u8) -> [u8; 2]>(f: F) {\n    // why\n\n    b();\n    c();\n}\n\
            trait T { fn d(&self); }\ntype G = fn(u8) -> u8;";
        assert_eq!(functions(&file(text)), [("a".to_owned(), 1, 2)]);
    }

    #[test]
    fn leftovers_are_told_apart_from_names() {
        let text = "#![allow(x)]\n#[allow(y, reason = \"z\")]\n#[ignore]\nfn ignore() { dbg!(allow(1)); }\n\
            // todo!\nlet a = \"todo!()\";";
        let lines: Vec<String> = left_behind(&file(text));
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[0].starts_with("src/x.rs:1: `allow(x`"), "{}", lines[0]);
        assert!(lines[1].starts_with("src/x.rs:3: `ignore]"), "{}", lines[1]);
        assert!(lines[2].starts_with("src/x.rs:4: `dbg!("), "{}", lines[2]);
    }

    #[test]
    fn words_paths_hosts_and_banners_are_recognised() {
        let promise = PROMISES[0];
        assert!(has_word(&format!("// {promise}: later"), promise));
        assert!(!has_word(&format!("{promise}S"), promise));
        let folder = MACHINE_PATHS[0];
        assert!(names_path(&format!("see {folder}main"), folder));
        assert!(!names_path(&format!("https://example.org/frame{folder}"), folder));
        assert_eq!(private_host("url = \"https://10.1.2.3:8080/x\""), Some("10.1.2.3"));
        assert_eq!(private_host("http://127.0.0.1:7171/ https://soc.example/hook"), None);
        assert!(is_banner("---- rules ----") && is_banner("=========="));
        assert!(!is_banner("a -> b -- c") && !is_banner("| a |---|"));
    }

    #[test]
    fn lines_are_checked_outside_of_tests_only_for_length() {
        let long = "x".repeat(LINE_COLUMNS_MAX + 1);
        let text = format!(
            "// {long}\n#[cfg(test)]\nmod tests {{\n  // {long}\n  fn a() {{}}\n}}\nb(); \n"
        );
        assert_eq!(
            line_problems("src/x.rs", &text),
            [
                format!("src/x.rs:1: {} columns, at most {LINE_COLUMNS_MAX}", LINE_COLUMNS_MAX + 4),
                "src/x.rs:7: a blank at the end of the line".to_owned(),
            ]
        );
    }

    #[test]
    fn a_rule_without_a_silent_case_is_told() {
        let text = "id: a\ndetection: {}\ntests:\n  - expect: [{count: 1}]\n";
        let documents = yaml::parse(&SourceText::new("r.yml", text)).unwrap();
        assert_eq!(
            rule_problems("r.yml", &documents),
            ["r.yml: 1 firing and 0 silent tests, wanted one of each"]
        );
    }
}
