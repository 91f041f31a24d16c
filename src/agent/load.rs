//! Rules, parsers and configuration to a pipeline, or everything that is wrong with them.

use super::AgentError;
use crate::config::{Config, read_yaml};
use crate::diagnostic::{Diagnostic, SourceText, Weight};
use crate::event::FieldTable;
use crate::parse::Parsers;
use crate::pipeline::{EventOutput, Pipeline, Setup, SourceSetup};
use crate::rule::{Ruleset, unreachable_fields};
use crate::shipped;
use std::sync::Arc;

/// A pipeline without state, and what is odd but no error.
#[derive(Debug)]
pub struct Loaded {
    /// The pipeline.
    pub pipeline: Pipeline,
    /// Warnings about rules, parsers and configuration.
    pub warnings: Vec<Diagnostic>,
}

/// Loads everything a configuration names. Nothing is used when any of it is wrong.
pub fn load(config: &Config, text: &SourceText) -> Result<Loaded, AgentError> {
    let mut names = FieldTable::default();
    let mut parser_texts = shipped::parsers();
    parser_texts.extend(read_yaml(&config.parsers)?);
    let (parsers, mut problems) = Parsers::load(&parser_texts, &mut names);
    let rule_texts =
        if config.rules.is_empty() { shipped::rules() } else { read_yaml(&config.rules)? };
    let (rules, found) = Ruleset::load(&rule_texts, &mut names);
    problems.extend(found);
    // A rule that waits for what never comes is said, but the others need not wait for it.
    problems.extend(
        unreachable_fields(&rules, &parsers, &names, &rule_texts)
            .into_iter()
            .map(|problem| Diagnostic { weight: Weight::Warning, ..problem }),
    );
    let formats = config.formats(&parsers, text);
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(Diagnostic::is_error);
    let formats = match formats {
        Ok(formats) if errors.is_empty() => formats,
        Ok(_) => return Err(AgentError::Refused { problems: errors }),
        Err(more) => {
            return Err(AgentError::Refused { problems: errors.into_iter().chain(more).collect() });
        }
    };
    let wants_events = config.outputs.iter().any(|output| output.sink.events().is_some());
    let sources = formats.into_iter().zip(&config.sources);
    let pipeline = Pipeline::new(Setup {
        names,
        parsers: Arc::new(parsers),
        rules: &rules,
        sources: sources
            .map(|(format, source)| SourceSetup { format, options: source.options.clone() })
            .collect(),
        route: config.route.clone(),
        events: if wants_events { EventOutput::On } else { EventOutput::Off },
    });
    Ok(Loaded { pipeline, warnings })
}
