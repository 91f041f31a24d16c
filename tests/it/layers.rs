//! The import law: which module may know which, what the pure ones never name, no dead files.

use crate::tokens::{CodePath, RustFile, TokenKind, closing, rust_files};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// How the modules of one layer may know each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Freely, but never in a circle.
    NoCircles,
    /// Only the names further left.
    LeftOnly,
    /// Only themselves and `clock`.
    ClockOnly,
}

struct Layer {
    title: &'static str,
    modules: &'static [&'static str],
    inside: Inside,
    /// How many layers, from the lowest, its modules may use.
    uses: usize,
}

const LAYERS: &[Layer] = &[
    Layer {
        title: "nouns",
        modules: &["diagnostic", "yaml", "kind", "secret", "event", "fact", "finding"],
        inside: Inside::NoCircles,
        uses: 0,
    },
    Layer {
        title: "verbs",
        modules: &["parse", "normalize", "rule", "detect", "group", "respond", "route", "pipeline"],
        inside: Inside::LeftOnly,
        uses: 1,
    },
    Layer {
        title: "edges",
        modules: &["clock", "telemetry", "source", "sink", "action", "store"],
        inside: Inside::ClockOnly,
        uses: 1,
    },
    Layer { title: "shipped", modules: &["shipped"], inside: Inside::LeftOnly, uses: 1 },
    Layer {
        title: "process",
        modules: &["config", "report", "api", "agent"],
        inside: Inside::LeftOnly,
        uses: 4,
    },
    Layer { title: "front", modules: &["cli", "lib", "main"], inside: Inside::LeftOnly, uses: 5 },
];

/// Which layer is a pure function of its input.
const PURE: usize = 1;

/// Paths a pure module never names, with what it does instead.
const IMPURE_PATHS: &[(&[&str], &str)] = &[
    (&["std", "fs"], "reads no files: the text comes as an argument"),
    (&["std", "io"], "does no I/O: bytes come as an argument, text leaves as a value"),
    (&["std", "env"], "reads no environment: options come as an argument"),
    (&["std", "net", "TcpStream"], "does no I/O"),
    (&["std", "net", "TcpListener"], "does no I/O"),
    (&["std", "net", "UdpSocket"], "does no I/O"),
    (&["std", "net", "ToSocketAddrs"], "asks no name server"),
    (&["std", "process"], "starts nothing: it returns a step"),
    (&["std", "thread"], "runs in one thread"),
    (&["std", "time", "SystemTime"], "reads no clock: time is an argument"),
    (&["std", "time", "Instant"], "reads no clock: time is an argument"),
    (&["time", "SystemTime"], "reads no clock: time is an argument"),
    (&["time", "Instant"], "reads no clock: time is an argument"),
    (&["tokio"], "is synchronous: async belongs to the edges"),
    (&["rand"], "knows no chance: ids are derived"),
    (&["tracing"], "logs nothing: it returns facts"),
];

/// Names a pure module never uses in any way.
const IMPURE_NAMES: &[(&str, &str)] = &[
    ("async", "is synchronous: async belongs to the edges"),
    ("await", "is synchronous: async belongs to the edges"),
    ("SystemTime", "reads no clock: time is an argument"),
    ("DefaultHasher", "derives ids with a fixed hash"),
    ("RandomState", "knows no chance"),
];

/// Methods that show the order of a hash map.
const ORDER_SHOWN: &[&str] = &[
    "iter",
    "iter_mut",
    "into_iter",
    "keys",
    "into_keys",
    "values",
    "values_mut",
    "into_values",
    "drain",
];

/// What a comment says on the line, or the line before, where the order does not matter.
const ANY_ORDER: &str = "any order:";

#[test]
fn modules_import_only_what_their_layer_may_know() {
    let files = rust_files("src");
    let problems = import_problems(&files);
    assert!(problems.is_empty(), "imports against the layers:\n{}", problems.join("\n"));
}

#[test]
fn no_module_knows_another_in_a_circle() {
    let circles = circles(&rust_files("src"));
    assert!(circles.is_empty(), "modules that import each other:\n{}", circles.join("\n"));
}

#[test]
fn pure_modules_name_nothing_impure() {
    let problems: Vec<String> = rust_files("src")
        .iter()
        .filter(|file| layer_of(module_of(file)).is_some_and(|(at, _)| at == PURE))
        .flat_map(purity_problems)
        .collect();
    assert!(problems.is_empty(), "impure names in pure modules:\n{}", problems.join("\n"));
}

#[test]
fn every_file_belongs_to_the_program() {
    let mut dead = dead_files(&rust_files("src"), &["src/lib.rs", "src/main.rs"], "src");
    dead.extend(dead_files(&rust_files("tests/it"), &["tests/it/main.rs"], "tests/it"));
    assert!(dead.is_empty(), "files that no `mod` reaches:\n{}", dead.join("\n"));
}

/// The first name below `src`: `src/rule/sigma.rs` is of `rule`.
fn module_of(file: &RustFile) -> &str {
    let inside = file.path.strip_prefix("src/").unwrap_or(&file.path);
    inside.split(['/', '.']).next().unwrap_or_default()
}

fn layer_of(module: &str) -> Option<(usize, usize)> {
    LAYERS.iter().enumerate().find_map(|(at, layer)| {
        let place = layer.modules.iter().position(|name| *name == module)?;
        Some((at, place))
    })
}

/// Why `from` may not import `to`; `None` if it may.
fn forbidden(from: &str, to: &str) -> Option<String> {
    if from == to || from == "main" || from == "lib" {
        return None;
    }
    let (Some((from_layer, from_place)), Some((to_layer, to_place))) =
        (layer_of(from), layer_of(to))
    else {
        return Some(format!("`{to}` is no module with a layer; known are those of LAYERS"));
    };
    let layer = LAYERS.get(from_layer)?;
    if from_layer != to_layer {
        let lower: Vec<&str> = LAYERS.iter().take(layer.uses).map(|layer| layer.title).collect();
        return (to_layer >= layer.uses).then(|| match lower.as_slice() {
            [] => format!("{} know only each other", layer.title),
            _ => format!("{} know only {} below them", layer.title, lower.join(", ")),
        });
    }
    match layer.inside {
        Inside::NoCircles => None,
        Inside::LeftOnly if to_place < from_place => None,
        Inside::LeftOnly => Some(format!(
            "within {} only names further left: {}",
            layer.title,
            layer.modules.join(" < ")
        )),
        Inside::ClockOnly if to == "clock" => None,
        Inside::ClockOnly => {
            Some(format!("{} never know each other, apart from `clock`", layer.title))
        }
    }
}

/// The module of the crate that a path leads to, if it leads out of its own.
fn target<'p>(file: &RustFile, path: &'p CodePath) -> Option<&'p str> {
    let name = |at: usize| path.names.get(at).map(String::as_str);
    if name(0) == Some("crate") {
        return name(1);
    }
    let inside = file.path.strip_prefix("src/").unwrap_or(&file.path);
    let root_file = matches!(inside, "lib.rs" | "main.rs");
    let depth = if root_file { 0 } else { inside.split('/').count() } + path.depth;
    let ups = path.names.iter().take_while(|name| *name == "super").count();
    (ups > 0 && ups >= depth).then(|| name(ups)).flatten()
}

fn imports(file: &RustFile) -> Vec<(String, usize)> {
    file.paths()
        .iter()
        .filter(|path| !path.test)
        .filter_map(|path| Some((target(file, path)?.to_owned(), path.line)))
        .collect()
}

fn import_problems(files: &[RustFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files {
        let from = module_of(file);
        if layer_of(from).is_none() {
            problems.push(format!("{}:1: module `{from}` has no layer: give it one", file.path));
            continue;
        }
        for (to, line) in imports(file) {
            if to == "*" {
                let why = "a glob of the crate's root hides what is imported";
                problems.push(format!("{}:{line}: {why}", file.path));
            } else if let Some(why) = forbidden(from, &to) {
                problems.push(format!("{}:{line}: `{from}` imports `{to}`: {why}", file.path));
            }
        }
    }
    problems
}

fn circles(files: &[RustFile]) -> Vec<String> {
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| !matches!(module_of(file), "lib" | "main")) {
        let from = module_of(file);
        let targets = imports(file).into_iter().map(|(to, _)| to).filter(|to| to != from);
        known.entry(from).or_default().extend(targets);
    }
    // Whoever knows nobody that is left over is in no circle: strike those out until none is.
    loop {
        let free: Vec<&str> = known
            .iter()
            .filter(|(_, targets)| targets.iter().all(|to| !known.contains_key(to.as_str())))
            .map(|(from, _)| *from)
            .collect();
        if free.is_empty() {
            break;
        }
        known.retain(|from, _| !free.contains(from));
    }
    let left = |targets: &BTreeSet<String>| {
        let inside: Vec<&str> =
            targets.iter().map(String::as_str).filter(|to| known.contains_key(to)).collect();
        inside.join(", ")
    };
    known.iter().map(|(from, targets)| format!("{from} -> {}", left(targets))).collect()
}

fn purity_problems(file: &RustFile) -> Vec<String> {
    let mut problems = Vec::new();
    let mut tell = |line: usize, what: &str, why: &str| {
        problems.push(format!("{}:{line}: names `{what}`: this layer {why}", file.path));
    };
    for path in file.paths().iter().filter(|path| !path.test) {
        for (banned, why) in IMPURE_PATHS {
            if path.names.iter().map(String::as_str).take(banned.len()).eq(banned.iter().copied()) {
                tell(path.line, &banned.join("::"), why);
            }
        }
    }
    for token in file.tokens.iter().filter(|token| !token.test && token.kind == TokenKind::Name) {
        for (banned, why) in IMPURE_NAMES {
            if token.text == *banned {
                tell(token.line, banned, why);
            }
        }
    }
    for (line, name) in shown_orders(file) {
        let why =
            "never shows the order of a hash map (`// any order: why` where it is lost again)";
        tell(line, &name, why);
    }
    problems
}

/// Places where a method shows the order of what this file declares as a hash map or set. Loops
/// over one are found by clippy (`iter_over_hash_type`), which knows types.
fn shown_orders(file: &RustFile) -> Vec<(usize, String)> {
    let excused = |line: usize| {
        file.comments.iter().any(|note| {
            (note.line == line || note.line + 1 == line) && note.text.contains(ANY_ORDER)
        })
    };
    let hashed = hashed_names(file);
    let mut found = Vec::new();
    for (at, token) in file.tokens.iter().enumerate() {
        let method = file.text(at + 1) == "." && ORDER_SHOWN.contains(&file.text(at + 2));
        if token.test || !method || !matches!(file.text(at + 3), "(" | ":") {
            continue;
        }
        let of_field = at > 0 && file.text(at - 1) == ".";
        let declared = hashed.iter().any(|name| {
            name.text == token.text && name.field == of_field && name.scope.contains(&at)
        });
        if declared && !excused(token.line) {
            found.push((token.line, token.text.clone()));
        }
    }
    found
}

/// A name declared as a hash map or set, and the tokens in which it means that.
struct HashedName<'f> {
    text: &'f str,
    field: bool,
    scope: Range<usize>,
}

/// Names declared with `name: HashMap<..>` or `let name = HashMap::new()`.
fn hashed_names(file: &RustFile) -> Vec<HashedName<'_>> {
    let structs = items(file, "struct");
    let functions = items(file, "fn");
    let mut names = Vec::new();
    for at in 0..file.tokens.len() {
        if !matches!(file.text(at), "HashMap" | "HashSet") {
            continue;
        }
        // Back over `std::collections::`, `&`, `mut` and lifetimes to the `:` or `=`.
        let mut before = at;
        while before > 1
            && (matches!(file.text(before - 1), "&" | "mut" | "std" | "collections")
                || file.text(before - 1).starts_with('\'')
                || (file.text(before - 1) == ":" && file.text(before - 2) == ":"))
        {
            before -= if file.text(before - 1) == ":" { 2 } else { 1 };
        }
        if before < 2 || !matches!(file.text(before - 1), ":" | "=") {
            continue;
        }
        let text = file.text(before - 2);
        if structs.iter().any(|range| range.contains(&at)) {
            names.push(HashedName { text, field: true, scope: 0..file.tokens.len() });
        } else if let Some(scope) = functions.iter().rfind(|range| range.contains(&at)) {
            names.push(HashedName { text, field: false, scope: scope.clone() });
        }
    }
    names
}

/// The tokens of every item that begins with a keyword and has a body, outer ones first.
fn items(file: &RustFile, keyword: &str) -> Vec<Range<usize>> {
    let begins = file.tokens.iter().enumerate().filter(|(_, token)| token.is(keyword));
    begins
        .filter_map(|(at, _)| {
            let mut open = at;
            while !matches!(file.text(open), "{" | ";" | "") {
                let nested = matches!(file.text(open), "(" | "[");
                open = if nested { closing(&file.tokens, open) + 1 } else { open + 1 };
            }
            (file.text(open) == "{").then(|| at..closing(&file.tokens, open))
        })
        .collect()
}

/// Files that no `mod` reaches from the given roots, and `mod` lines that lead nowhere.
fn dead_files(files: &[RustFile], roots: &[&str], folder: &str) -> Vec<String> {
    let by_path: BTreeMap<&str, &RustFile> =
        files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut ahead: Vec<String> = roots.iter().map(|root| (*root).to_owned()).collect();
    let mut problems = Vec::new();
    while let Some(path) = ahead.pop() {
        let Some(file) = by_path.get(path.as_str()) else { continue };
        if !reached.insert(path.clone()) {
            continue;
        }
        let own_folder = if roots.contains(&path.as_str()) {
            folder.to_owned()
        } else {
            path.trim_end_matches(".rs").to_owned()
        };
        for (around, name, _) in file.declared_modules() {
            let mut parts = vec![own_folder.clone()];
            parts.extend(around);
            let child = format!("{}/{name}.rs", parts.join("/"));
            if by_path.contains_key(child.as_str()) {
                ahead.push(child);
            } else {
                problems.push(format!("{path}: `mod {name}` leads to no file {child}"));
            }
        }
    }
    let dead = files.iter().filter(|file| !reached.contains(&file.path));
    problems.extend(dead.map(|file| format!("{}: no `mod` leads to it", file.path)));
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        import_problems(&[RustFile::read(path, text)])
    }

    #[test]
    fn lower_layers_and_names_to_the_left_are_allowed() {
        for (path, text) in [
            ("src/detect.rs", "use crate::{event::Event, rule::Ruleset};"),
            ("src/detect/window.rs", "use crate::detect::Detector; use super::Entry;"),
            ("src/source/file.rs", "use crate::clock::Clock; use crate::source::Batch;"),
            ("src/finding.rs", "use crate::event::Timestamp;"),
            ("src/config.rs", "fn a() { crate::shipped::rules(); crate::sink::KINDS; }"),
            ("src/agent.rs", "use crate::api::Command; use crate::store::Store;"),
            ("src/cli.rs", "use crate::pipeline::Pipeline;"),
            ("src/sink.rs", "#[cfg(test)] mod tests { use crate::store::Store; }"),
        ] {
            assert_eq!(problems(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn imports_upwards_to_the_right_and_between_edges_are_told_with_their_place() {
        for (path, text, wanted) in [
            (
                "src/event.rs",
                "\nuse crate::rule::R;",
                "src/event.rs:2: `event` imports `rule`: nouns",
            ),
            (
                "src/rule.rs",
                "use crate::detect::D;",
                "src/rule.rs:1: `rule` imports `detect`: within verbs",
            ),
            (
                "src/rule/a.rs",
                "use super::super::detect::D;",
                "src/rule/a.rs:1: `rule` imports `detect`",
            ),
            ("src/rule.rs", "use super::detect::D;", "src/rule.rs:1: `rule` imports `detect`"),
            (
                "src/parse.rs",
                "use crate::{clock::Clock};",
                "src/parse.rs:1: `parse` imports `clock`",
            ),
            (
                "src/sink/file.rs",
                "use crate::store::S;",
                "src/sink/file.rs:1: `sink` imports `store`",
            ),
            ("src/sink.rs", "use crate::group::G;", "src/sink.rs:1: `sink` imports `group`: edges"),
            ("src/config.rs", "use crate::agent::A;", "src/config.rs:1: `config` imports `agent`"),
            ("src/agent.rs", "use crate::cli::A;", "src/agent.rs:1: `agent` imports `cli`"),
            ("src/agent.rs", "use crate::*;", "src/agent.rs:1: a glob"),
            (
                "src/agent.rs",
                "use crate::nothing::A;",
                "src/agent.rs:1: `agent` imports `nothing`: `nothing` is no",
            ),
            ("src/extra.rs", "", "src/extra.rs:1: module `extra` has no layer"),
        ] {
            let told = problems(path, text);
            assert_eq!(told.len(), 1, "{path}: {told:?}");
            assert!(told[0].starts_with(wanted), "{}", told[0]);
        }
    }

    #[test]
    fn circles_among_nouns_are_told() {
        let files = [
            RustFile::read("src/event.rs", "use crate::fact::Fact;"),
            RustFile::read("src/fact.rs", "use crate::event::SourceId;"),
            RustFile::read("src/finding.rs", "use crate::event::Event;"),
        ];
        assert_eq!(circles(&files[1..]), Vec::<String>::new());
        assert_eq!(circles(&files), ["event -> fact", "fact -> event", "finding -> event"]);
    }

    #[test]
    fn impure_names_are_told_outside_of_tests() {
        let text = "use std::{fs, fmt};\nuse tokio::sync;\nasync fn a() {}\n\
            fn b() { std::time::SystemTime::now(); }\n#[cfg(test)] mod tests { use std::fs; }";
        let told = purity_problems(&RustFile::read("src/rule.rs", text));
        let places: Vec<&str> =
            told.iter().filter_map(|line| line.split(": this").next()).collect();
        assert_eq!(
            places,
            [
                "src/rule.rs:1: names `std::fs`",
                "src/rule.rs:2: names `tokio`",
                "src/rule.rs:4: names `std::time::SystemTime`",
                "src/rule.rs:3: names `async`",
                "src/rule.rs:4: names `SystemTime`",
            ]
        );
    }

    #[test]
    fn the_order_of_a_hash_map_is_not_shown() {
        let text = "struct S<'a> { map: HashMap<A, B>, list: Vec<A>, seen: &'a std::collections::HashSet<A> }\n\
            fn f(s: &S) { s.map.get(&1); s.list.iter(); s.map.values().count();\n\
            let fresh = HashMap::new(); fresh.keys();\n\
            // any order: a sum\ns.map.values().sum();\ns.seen.iter(); }\n\
            fn g(map: Vec<A>, fresh: Vec<A>) { map.iter(); fresh.iter(); }";
        let told: Vec<usize> = shown_orders(&RustFile::read("src/rule.rs", text))
            .into_iter()
            .map(|(line, _)| line)
            .collect();
        assert_eq!(told, [2, 3, 6]);
    }

    #[test]
    fn files_without_a_mod_line_are_dead() {
        let files = [
            RustFile::read("src/lib.rs", "pub mod a; mod gone;"),
            RustFile::read("src/a.rs", "mod b; #[cfg(test)] mod tests; mod c { mod d; }"),
            RustFile::read("src/a/b.rs", ""),
            RustFile::read("src/a/c/d.rs", ""),
            RustFile::read("src/a/tests.rs", ""),
            RustFile::read("src/a/old.rs", ""),
        ];
        assert_eq!(
            dead_files(&files, &["src/lib.rs"], "src"),
            [
                "src/lib.rs: `mod gone` leads to no file src/gone.rs",
                "src/a/old.rs: no `mod` leads to it"
            ]
        );
    }
}
