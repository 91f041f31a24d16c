//! `tripline generate`: completions, man pages, a configuration and its schema, all from the same
//! definitions the program itself uses.

use super::{Answer, Cli, Failure, terminal};
use crate::diagnostic::SourceText;
use crate::kind::Kind;
use crate::{sink, source, yaml};
use clap::CommandFactory;
use serde_json::{Map, Value as Json, json};
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  tripline generate config > tripline.yml
  tripline generate completions bash > /etc/bash_completion.d/tripline
  tripline generate man | man -l -
  tripline generate man --folder /usr/share/man/man1
  tripline generate schema > tripline.schema.json";

/// Write completions, man pages, a configuration or its schema
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// The man page, or with a folder those of every command
    Man {
        /// Write `tripline.1`, `tripline-hunt.1` and so on there
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
    /// A configuration that shows every kind of source and output
    Config,
    /// The JSON Schema of the configuration
    Schema,
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<Answer, Failure> {
    let mut out = terminal::stdout();
    match &arguments.what {
        What::Completions { shell } => {
            // The generator panics when its writer fails, so it writes into memory.
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "tripline", &mut text);
            out.write_all(&text)?;
        }
        What::Man { folder: None } => clap_mangen::Man::new(Cli::command()).render(&mut out)?,
        What::Man { folder: Some(folder) } => {
            let shown = folder.display().to_string();
            clap_mangen::generate_to(Cli::command(), folder)
                .map_err(|error| Failure::usage(cannot_write(&shown, &error)))?;
        }
        What::Config => out.write_all(config().as_bytes())?,
        What::Schema => {
            serde_json::to_writer_pretty(&mut out, &schema()).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()?;
    Ok(Answer::Done)
}

fn cannot_write(path: &str, error: &io::Error) -> String {
    format!("cannot write to `{path}`: {}", terminal::reason(error))
}

const CONFIG_HEAD: &str = "\
# The configuration of tripline. Unknown keys are errors: `tripline check tripline.yml`.
# Durations are written 60s, 5m, 7d; sizes 64KiB; ${env:NAME} and ${file:/path} are replaced.
# Relative paths are relative to this file.

# Where positions, incidents and messages that are still owed are kept:
state: ./state

# Rules and parsers, files and folders; without these lines the shipped ones:
# rules: [rules/]
# parsers: [parsers/]
";

const CONFIG_TAIL: &str = "
# Which outputs are told of incidents:
route: {to: [screen]}

# The interface for people and programs; only this machine reaches it:
api: {listen: 127.0.0.1:7171}
";

/// The default configuration: what is there works, the rest is commented out.
fn config() -> String {
    let mut text = CONFIG_HEAD.to_owned();
    text.push_str("\n# What is read. The names are yours.\nsources:\n");
    text.push_str("  auth: {kind: file, paths: [\"/var/log/auth.log*\"], format: syslog}\n");
    for kind in source::KINDS {
        example(&mut text, kind);
    }
    text.push_str("\n# Where incidents (and events) go. The names are yours.\noutputs:\n");
    text.push_str("  screen: {kind: terminal}\n");
    for kind in sink::KINDS {
        example(&mut text, kind);
    }
    text.push_str(CONFIG_TAIL);
    text
}

/// A component's example as a commented entry.
fn example<T>(text: &mut String, kind: &Kind<T>) {
    text.push_str(&format!("\n  # {}: {}\n  # my-{}:\n", kind.name, kind.summary, kind.name));
    for line in kind.example.trim_end().lines() {
        text.push_str(format!("  #   {line}").trim_end());
        text.push('\n');
    }
}

/// What an editor needs for completion; `tripline check` is what decides.
fn schema() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "tripline configuration",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "state": {"type": "string", "description": "Folder of the store and the socket"},
            "rules": strings("Rule files and folders"),
            "parsers": strings("Parser files and folders, besides the shipped ones"),
            "sources": entries("What is read, by name", source::KINDS),
            "outputs": entries("Where incidents and events go, by name", sink::KINDS),
            "route": {"type": "object", "description": "Which outputs are told of what"},
            "api": {
                "type": "object",
                "properties": {"listen": {"type": "string", "description": "Address and port"}},
            },
        },
    })
}

fn strings(description: &str) -> Json {
    json!({"type": "array", "items": {"type": "string"}, "description": description})
}

fn entries<T>(description: &str, kinds: &[&Kind<T>]) -> Json {
    let one_of: Vec<Json> = kinds.iter().map(|kind| entry(kind)).collect();
    let one = if one_of.is_empty() { json!({"type": "object"}) } else { json!({"oneOf": one_of}) };
    json!({"type": "object", "description": description, "additionalProperties": one})
}

/// One kind; the keys its example shows are offered, others are left to the program to judge.
fn entry<T>(kind: &Kind<T>) -> Json {
    let example = yaml::parse(&SourceText::new(kind.name, kind.example))
        .ok()
        .and_then(|nodes| nodes.first().map(yaml::Node::to_json))
        .unwrap_or_default();
    let mut properties: Map<String, Json> = example
        .as_object()
        .map(|shown| {
            shown.iter().map(|(key, value)| (key.clone(), json!({"examples": [value]}))).collect()
        })
        .unwrap_or_default();
    properties.insert("kind".to_owned(), json!({"const": kind.name}));
    json!({
        "type": "object",
        "description": kind.summary,
        "required": ["kind"],
        "properties": properties,
        "examples": [example],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind<()> = Kind {
        name: "pigeon",
        summary: "carries letters",
        example: "kind: pigeon\nloft: north\n",
        build: |_, _| Some(()),
    };

    #[test]
    fn the_configuration_is_yaml_and_shows_examples_as_comments() {
        let mut text = config();
        let nodes = yaml::parse(&SourceText::new("t.yml", &text)).unwrap();
        assert_eq!(nodes[0].get("state").unwrap().as_text(), Some("./state"));
        assert!(nodes[0].get("sources").unwrap().get("auth").is_some());
        text.clear();
        example(&mut text, &KIND);
        assert_eq!(
            text,
            "\n  # pigeon: carries letters\n  # my-pigeon:\n  #   kind: pigeon\n  #   loft: north\n"
        );
    }

    #[test]
    fn the_schema_offers_the_keys_of_the_example() {
        let schema = entries("x", &[&KIND]);
        let one = &schema["additionalProperties"]["oneOf"][0];
        assert_eq!(one["properties"]["kind"], json!({"const": "pigeon"}));
        assert_eq!(one["properties"]["loft"], json!({"examples": ["north"]}));
    }
}
