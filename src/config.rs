//! The configuration: one YAML file, read without any I/O but that of its secrets, checked whole.
//!
//! Names are free, `kind` chooses the component, an unknown key is an error with a hint, relative
//! paths are relative to the file, `${env:NAME}` and `${file:/path}` are the only substitutions.

mod places;
mod routes;
mod substitute;
mod texts;

pub use places::{default_state, usual};
pub use substitute::Secrets;
pub use texts::{TextError, read_text, read_yaml};

use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::kind::{self, Kind};
use crate::parse::{Format, ParseOptions, Parsers};
use crate::route::Route;
use crate::sink::{self, Sink};
use crate::source::{self, Source};
use crate::yaml::{self, Node, Problems};
use jiff::tz::TimeZone;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Sources and outputs of one configuration at most.
pub const COMPONENTS_MAX: usize = 1_000;

/// Where the API listens when the configuration does not say.
pub const LISTEN: &str = "127.0.0.1:7171";

/// A checked configuration; nothing is opened or started yet.
#[derive(Debug)]
pub struct Config {
    /// The folder of the store and the socket.
    pub state: PathBuf,
    /// Files and folders of rules; empty: the shipped packs.
    pub rules: Vec<PathBuf>,
    /// Files and folders of parsers besides the shipped ones.
    pub parsers: Vec<PathBuf>,
    /// What is read, in order.
    pub sources: Vec<SourceConfig>,
    /// Where messages go, in order.
    pub outputs: Vec<OutputConfig>,
    /// Who is told what.
    pub route: Route,
    /// Where metrics are served.
    pub listen: Listen,
}

/// Where metrics are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// At the usual place, or not at all if that is taken.
    Usual(SocketAddr),
    /// There, or it is an error.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// A source of the configuration.
pub struct SourceConfig {
    /// Its name.
    pub name: Box<str>,
    /// What reads it.
    pub source: Box<dyn Source>,
    /// The name of its format.
    pub format: Box<str>,
    /// Where the format is named.
    pub format_place: Place,
    /// How its records are read.
    pub options: ParseOptions,
}

impl std::fmt::Debug for SourceConfig {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("SourceConfig")
            .field("name", &self.name)
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

/// An output of the configuration.
#[derive(Debug)]
pub struct OutputConfig {
    /// Its name.
    pub name: Box<str>,
    /// What sends.
    pub sink: Box<dyn Sink>,
}

const KEYS: &[&str] = &["state", "rules", "parsers", "sources", "outputs", "route", "api"];

/// Everything that is wrong with a configuration file, without using it.
pub fn check(text: &SourceText) -> Vec<Diagnostic> {
    match read(text, Secrets::Unread) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
}

/// Reads a configuration. Nothing of it is used when any of it is wrong; warnings come with it.
pub fn read(
    text: &SourceText,
    secrets: Secrets,
) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let documents = yaml::parse(text).map_err(|broken| vec![*broken])?;
    let mut problems = Problems::new(text);
    let config = documents.first().and_then(|node| from_node(node, secrets, &mut problems));
    if documents.len() != 1 {
        problems.error(Place { line: 1, column: 1 }, "expected one YAML document");
    }
    match config {
        Some(config) if !problems.any_error() => Ok((config, problems.list)),
        _ => Err(problems.list),
    }
}

fn from_node(node: &Node, secrets: Secrets, problems: &mut Problems) -> Option<Config> {
    node.expect_map("the configuration", problems)?;
    node.check_keys("configuration", KEYS, problems);
    let path = PathBuf::from(&*problems.source().path);
    let base = path.parent().unwrap_or(Path::new("")).to_path_buf();
    let node = &substitute::substitute(node, secrets, problems);
    let paths = |key: &str, problems: &mut Problems| -> Vec<PathBuf> {
        node.get(key)
            .map(Node::items)
            .unwrap_or_default()
            .iter()
            .filter_map(|item| Some(base.join(item.expect_text(key, problems)?)))
            .collect()
    };
    let outputs = outputs(node, &base, problems);
    let sinks: Vec<&str> = outputs.iter().map(|output| &*output.name).collect();
    Some(Config {
        state: match node.get("state") {
            Some(state) => base.join(state.expect_text("state", problems)?),
            None => default_state(),
        },
        rules: paths("rules", problems),
        parsers: paths("parsers", problems),
        route: routes::read(node.get("route"), &sinks, problems),
        sources: sources(node, &base, problems),
        listen: listen(node.get("api"), problems),
        outputs,
    })
}

fn sources(node: &Node, base: &Path, problems: &mut Problems) -> Vec<SourceConfig> {
    let Some(entries) = node.get("sources") else {
        problems.error_hint(
            node.place,
            "there are no `sources`",
            "add for example `sources: {auth: {kind: file, paths: [/var/log/auth.log]}}`",
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    for (name, key, entry) in entries.expect_map("sources", problems).unwrap_or_default() {
        if let Some((kind, source)) =
            component("source", source::KINDS, (name, key, entry), base, problems)
        {
            let format = entry.get("format");
            found.push(SourceConfig {
                name: name.into(),
                source,
                format: format
                    .and_then(|node| node.as_text())
                    .unwrap_or(usual_format(kind.name))
                    .into(),
                format_place: format.map_or(entry.place, |node| node.place),
                options: ParseOptions { zone: zone(entry.get("timezone"), problems) },
            });
        }
    }
    found
}

fn usual_format(kind: &str) -> &'static str {
    if kind == "journald" { "journald" } else { "syslog" }
}

fn outputs(node: &Node, base: &Path, problems: &mut Problems) -> Vec<OutputConfig> {
    let Some(entries) = node.get("outputs") else { return places::terminal(problems) };
    let mut found = Vec::new();
    for (name, key, entry) in entries.expect_map("outputs", problems).unwrap_or_default() {
        if let Some((_, sink)) =
            component("output", sink::KINDS, (name, key, entry), base, problems)
        {
            found.push(OutputConfig { name: name.into(), sink });
        }
    }
    found
}

fn component<'k, T>(
    what: &str,
    kinds: &'k [&'static Kind<T>],
    (name, key, entry): (&str, &Node, &Node),
    base: &Path,
    problems: &mut Problems,
) -> Option<(&'k Kind<T>, T)> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
        let message = format!("the name of this {what} may hold letters, digits, `-`, `_` and `.`");
        problems.error(key.place, message);
        return None;
    }
    entry.expect_map(&format!("{what} `{name}`"), problems)?;
    let kind = kind::find(what, kinds, entry, problems)?;
    let built = (kind.build)(&places::absolute(entry, base), problems)?;
    Some((kind, built))
}

/// Reads a time zone: `local`, `UTC`, an offset like `+02:00`, or an IANA name.
pub fn parse_zone(text: &str) -> Option<TimeZone> {
    match text {
        "local" => Some(TimeZone::system()),
        "UTC" | "Z" | "utc" => Some(TimeZone::UTC),
        _ if text.starts_with(['+', '-']) => {
            let sign = if text.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = text.get(1..)?.split_once(':').unwrap_or((text.get(1..)?, "0"));
            let hours = hours.parse::<i32>().ok().filter(|hours| (0..24).contains(hours))?;
            let minutes =
                minutes.parse::<i32>().ok().filter(|minutes| (0..60).contains(minutes))?;
            let seconds = hours * 3_600 + minutes * 60;
            jiff::tz::Offset::from_seconds(sign * seconds).ok().map(TimeZone::fixed)
        }
        _ => TimeZone::get(text).ok(),
    }
}

fn zone(node: Option<&Node>, problems: &mut Problems) -> TimeZone {
    let Some(node) = node else { return TimeZone::system() };
    let Some(text) = node.expect_text("timezone", problems) else { return TimeZone::UTC };
    parse_zone(text).unwrap_or_else(|| {
        problems.error_hint(
            node.place,
            format!("unknown time zone `{text}`"),
            "write `local`, `UTC`, an offset like `+02:00`, or a name like `Europe/Paris`",
        );
        TimeZone::UTC
    })
}

fn listen(node: Option<&Node>, problems: &mut Problems) -> Listen {
    let usual = LISTEN.parse().map_or(Listen::Off, Listen::Usual);
    let Some(node) = node else { return usual };
    if node.expect_map("api", problems).is_none() {
        return usual;
    }
    node.check_keys("api", &["listen"], problems);
    let Some(entry) = node.get("listen") else { return usual };
    let Some(text) = entry.expect_text("listen", problems) else { return usual };
    parse_listen(text).unwrap_or_else(|why| {
        let hint = format!("write for example `{LISTEN}`, or `off`");
        problems.error_hint(entry.place, why, hint);
        usual
    })
}

/// Reads where metrics are served: a loopback address with a port, or `off`.
pub fn parse_listen(text: &str) -> Result<Listen, String> {
    if text == "off" {
        return Ok(Listen::Off);
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(Listen::At(address)),
        Ok(_) => Err(format!(
            "`{text}` is not a loopback address; metrics have no password, reach them through a tunnel"
        )),
        Err(_) => Err(format!("`{text}` is not an address with a port")),
    }
}

impl Config {
    /// The formats of the sources, in order, or what is wrong with them.
    pub fn formats(
        &self,
        parsers: &Parsers,
        text: &SourceText,
    ) -> Result<Vec<Format>, Vec<Diagnostic>> {
        let mut problems = Problems::new(text);
        let mut formats = Vec::new();
        for source in &self.sources {
            if let Some(format) = parsers.format(&source.format) {
                formats.push(format);
            } else {
                let known = parsers.format_names();
                problems.unknown(source.format_place, "format", &source.format, &known);
            }
        }
        if problems.any_error() { Err(problems.list) } else { Ok(formats) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_names_or_offsets_that_exist() {
        let offset = |text: &str| {
            let at = jiff::Timestamp::from_second(1_795_132_800).unwrap();
            parse_zone(text).map(|zone| zone.to_offset(at).seconds())
        };
        assert_eq!(offset("+02:00"), Some(7_200));
        assert_eq!(offset("-05:30"), Some(-19_800));
        assert_eq!(offset("Europe/Paris"), Some(3_600));
        for bad in ["+99:00", "+999999999:0", "+1:99", "Mars", "", "+-1"] {
            assert_eq!(offset(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_loopback_is_listened_on() {
        assert_eq!(parse_listen("off"), Ok(Listen::Off));
        assert_eq!(parse_listen("[::1]:9"), Ok(Listen::At("[::1]:9".parse().unwrap())));
        assert!(parse_listen("0.0.0.0:7171").unwrap_err().contains("loopback"));
        assert!(parse_listen("7171").unwrap_err().contains("address with a port"));
    }

    #[test]
    fn routes_choose_by_level_type_and_group_and_unknown_outputs_are_refused() {
        let text = "sources: {a: {kind: stdin}}\noutputs: {screen: {kind: terminal}, team: {kind: terminal}}\n\
                    route: {to: [screen], routes: [{match: {level: high, source.ip: [10.0.0.1]}, to: [team, scren]}]}\n";
        let problems = check(&SourceText::new("c.yml", text));
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().starts_with("c.yml:3:"), "{}", problems[0]);
        assert!(problems[0].to_string().contains("did you mean `screen`?"));
    }
}
