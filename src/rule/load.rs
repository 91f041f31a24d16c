//! From texts to rules: documents first, then filters, correlations and what refers to what.

use super::modifier::{FieldMention, Reader};
use super::predicate::Expr;
use super::{Body, Correlation, Detection, RULES_MAX, Rule, RuleSource, RuleTests};
use super::{correlation, detection, document, lint};
use crate::diagnostic::{Diagnostic, Place, SourceText};
use crate::event::FieldTable;
use crate::yaml::{self, Node, Problems};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// What a document is, references still open.
#[derive(Debug)]
enum DraftBody {
    Detection(Detection),
    Correlation(correlation::Draft),
}

#[derive(Debug)]
struct Draft<'t> {
    source: &'t SourceText,
    top: document::Top,
    place: Place,
    body: DraftBody,
    mentions: Vec<FieldMention>,
    tests: Option<Arc<RuleTests>>,
}

#[derive(Debug)]
struct Filter<'t> {
    source: &'t SourceText,
    place: Place,
    /// `None` for `any`.
    rules: Option<Vec<String>>,
    applies_to: RuleSource,
    expr: Expr,
    mentions: Vec<FieldMention>,
}

#[derive(Default)]
struct Loader<'t> {
    drafts: Vec<Draft<'t>>,
    filters: Vec<Filter<'t>>,
    diagnostics: Vec<Diagnostic>,
}

pub(super) fn load(texts: &[SourceText], names: &mut FieldTable) -> (Vec<Rule>, Vec<Diagnostic>) {
    let mut loader = Loader::default();
    for source in texts {
        match yaml::parse(source) {
            Ok(documents) => {
                for node in documents.iter().filter(|node| !node.is_null()) {
                    loader.document(source, node, names);
                }
            }
            Err(error) => loader.diagnostics.push(*error),
        }
    }
    loader.refuse_doubles();
    loader.apply_filters();
    let rules = loader.resolve(names);
    (rules, loader.diagnostics)
}

impl<'t> Loader<'t> {
    fn document(&mut self, source: &'t SourceText, node: &Node, names: &mut FieldTable) {
        let mut problems = Problems::new(source);
        if node.as_map().is_none() {
            let message = format!("expected a rule as a mapping, found {}", node.describe());
            problems.error(node.place, message);
        } else if node.get("filter").is_some() {
            let mut reader = Reader { names, problems: &mut problems, mentions: Vec::new() };
            let filter = filter(source, node, &mut reader);
            if !problems.any_error() {
                self.filters.extend(filter);
            }
        } else {
            let mut reader = Reader { names, problems: &mut problems, mentions: Vec::new() };
            let body = body(node, &mut reader);
            let top = document::top(node, &mut reader);
            let mentions = std::mem::take(&mut reader.mentions);
            let tests = node
                .get("tests")
                .map(|tests| Arc::new(RuleTests { source: source.clone(), node: tests.clone() }));
            let too_many = self.drafts.len() >= RULES_MAX;
            if too_many {
                problems.error(node.place, format!("more than {RULES_MAX} rules"));
            }
            if let (Some(body), Some(top), false) = (body, top, problems.any_error()) {
                let place = node.place;
                self.drafts.push(Draft { source, top, place, body, mentions, tests });
            }
        }
        self.diagnostics.append(&mut problems.list);
    }

    /// A second rule of the same id would make two incidents one.
    fn refuse_doubles(&mut self) {
        let mut first: HashMap<Box<str>, (Arc<str>, Place)> = HashMap::new();
        let diagnostics = &mut self.diagnostics;
        self.drafts.retain(|draft| {
            let id = &draft.top.head.id;
            if let Some((path, place)) = first.get(id) {
                let message = format!("the id `{id}` is taken by {path}:{}", place.line);
                let error = Diagnostic::error(draft.source, draft.place, message);
                diagnostics.push(error.hint("every rule needs an id of its own"));
                return false;
            }
            first.insert(id.clone(), (Arc::clone(&draft.source.path), draft.place));
            true
        });
    }

    /// As pySigma has it: rule and (condition of the filter).
    fn apply_filters(&mut self) {
        for filter in &self.filters {
            let mut applied = false;
            for draft in &mut self.drafts {
                let named = filter.rules.as_ref().is_none_or(|rules| {
                    rules.iter().any(|rule| {
                        *draft.top.head.id == **rule || draft.top.name.as_deref() == Some(rule)
                    })
                });
                let DraftBody::Detection(detection) = &mut draft.body else { continue };
                if named && filter.applies_to.covers(&detection.source) {
                    let rule = std::mem::replace(&mut detection.expr, Expr::And(Vec::new()));
                    detection.expr = Expr::And(vec![rule, filter.expr.clone()]);
                    draft.mentions.extend(
                        filter
                            .mentions
                            .iter()
                            .filter(|_| *draft.source.path == *filter.source.path)
                            .cloned(),
                    );
                    applied = true;
                }
            }
            if !applied {
                let message = "this filter applies to no rule";
                let warning = Diagnostic::warning(filter.source, filter.place, message);
                let hint = "its `rules` and `logsource` must both fit a rule that is loaded";
                self.diagnostics.push(warning.hint(hint));
            }
        }
    }

    fn resolve(&mut self, names: &mut FieldTable) -> Vec<Rule> {
        let drafts = std::mem::take(&mut self.drafts);
        let mut index: HashMap<&str, usize> = HashMap::new();
        for (at, draft) in drafts.iter().enumerate() {
            if let Some(name) = &draft.top.name {
                index.entry(name).or_insert(at);
            }
        }
        for (at, draft) in drafts.iter().enumerate() {
            index.insert(&draft.top.head.id, at);
        }
        let mut resolver = Resolver {
            drafts: &drafts,
            index: &index,
            names,
            states: drafts.iter().map(|_| State::Open).collect(),
            diagnostics: Vec::new(),
        };
        for at in 0..drafts.len() {
            resolver.settle(at, 0);
        }
        let states = std::mem::take(&mut resolver.states);
        self.diagnostics.append(&mut resolver.diagnostics);
        drop(index);
        assemble(drafts, states, names)
    }
}

/// How far a draft is.
#[derive(Debug)]
enum State {
    Open,
    /// Its references are being settled: meeting it again is a circle.
    Running,
    Refused,
    Detection,
    Correlation(Correlation),
}

struct Resolver<'r, 't> {
    drafts: &'r [Draft<'t>],
    index: &'r HashMap<&'r str, usize>,
    names: &'r mut FieldTable,
    states: Vec<State>,
    diagnostics: Vec<Diagnostic>,
}

/// Longest chain of correlations over correlations.
const CHAIN_MAX: usize = 16;

impl Resolver<'_, '_> {
    fn settle(&mut self, at: usize, depth: usize) {
        let Some(draft) = self.drafts.get(at) else { return };
        if !matches!(self.states.get(at), Some(State::Open)) {
            return;
        }
        let DraftBody::Correlation(correlation) = &draft.body else {
            self.set(at, State::Detection);
            return;
        };
        self.set(at, State::Running);
        for (rule, place) in &correlation.rules {
            let Some(&target) = self.index.get(rule.as_str()) else { continue };
            if depth >= CHAIN_MAX || matches!(self.states.get(target), Some(State::Running)) {
                let message = format!("`{rule}` leads back to this correlation, or too far");
                self.diagnostics.push(Diagnostic::error(draft.source, *place, message));
                self.set(at, State::Refused);
                return;
            }
            self.settle(target, depth + 1);
        }
        let mut problems = Problems::new(draft.source);
        let (index, states) = (self.index, &self.states);
        let find = |name: &str| {
            index.get(name).copied().filter(|target| {
                matches!(states.get(*target), Some(State::Detection | State::Correlation(_)))
            })
        };
        let mut reader =
            Reader { names: self.names, problems: &mut problems, mentions: Vec::new() };
        let resolved = correlation.resolve(&find, &mut reader);
        if let Some(resolved) = &resolved {
            lint::groups(correlation.group_place, resolved, &mut problems, |rule| {
                match states.get(rule) {
                    Some(State::Correlation(inner)) => Some(inner),
                    _ => None,
                }
            });
        }
        self.diagnostics.append(&mut problems.list);
        self.set(at, resolved.map_or(State::Refused, State::Correlation));
    }

    fn set(&mut self, at: usize, state: State) {
        if let Some(slot) = self.states.get_mut(at) {
            *slot = state;
        }
    }
}

/// Leaves refused drafts out, renumbers references and decides which rules alert.
fn assemble(drafts: Vec<Draft<'_>>, states: Vec<State>, names: &FieldTable) -> Vec<Rule> {
    let mut position = Vec::with_capacity(drafts.len());
    let mut kept = 0;
    for state in &states {
        position.push(kept);
        kept += usize::from(matches!(state, State::Detection | State::Correlation(_)));
    }
    let mut silent = vec![false; kept];
    let mut loud = vec![false; kept];
    let mut rules = Vec::with_capacity(kept);
    for (draft, state) in drafts.into_iter().zip(states) {
        let body = match (draft.body, state) {
            (DraftBody::Detection(detection), State::Detection) => Body::Detection(detection),
            (DraftBody::Correlation(of), State::Correlation(mut correlation)) => {
                for input in &mut correlation.inputs {
                    input.rule = position.get(input.rule).copied().unwrap_or_default();
                    let marks = if of.generate { &mut loud } else { &mut silent };
                    if let Some(mark) = marks.get_mut(input.rule) {
                        *mark = true;
                    }
                }
                Body::Correlation(correlation)
            }
            _ => continue,
        };
        rules.push(Rule {
            head: Arc::new(draft.top.head),
            name: draft.top.name,
            path: Arc::clone(&draft.source.path),
            place: draft.place,
            alerts: true,
            group_by: draft.top.group_by,
            steps: draft.top.steps,
            body,
            fingerprint: 0,
            mentions: draft.mentions,
            tests: draft.tests,
        });
    }
    for (at, rule) in rules.iter_mut().enumerate() {
        let marked = |marks: &[bool]| marks.get(at).copied().unwrap_or(false);
        rule.alerts = !marked(&silent) || marked(&loud);
    }
    fingerprint(&mut rules, names);
    rules
}

/// Hashes the meaning of every rule: of a correlation with that of the rules it refers to.
fn fingerprint(rules: &mut [Rule], names: &FieldTable) {
    let mut meanings: Vec<Option<u64>> = vec![None; rules.len()];
    // A chain is at most this long, so that every pass settles a further link.
    for _ in 0..=CHAIN_MAX {
        for (at, rule) in rules.iter().enumerate() {
            if meanings.get(at).copied().flatten().is_none()
                && let Some(meaning) = meaning(rule, &meanings, names)
                && let Some(slot) = meanings.get_mut(at)
            {
                *slot = Some(meaning);
            }
        }
    }
    for (rule, meaning) in rules.iter_mut().zip(meanings) {
        rule.fingerprint = meaning.unwrap_or_default();
    }
}

fn meaning(rule: &Rule, known: &[Option<u64>], names: &FieldTable) -> Option<u64> {
    let mut text = String::new();
    let written = match &rule.body {
        Body::Detection(detection) => {
            detection.expr.describe(names, &mut text);
            write!(text, "{:?}", detection.source)
        }
        Body::Correlation(correlation) => {
            for input in &correlation.inputs {
                let inner = known.get(input.rule).copied().flatten()?;
                let fields: Vec<&str> = input
                    .group
                    .iter()
                    .chain(&input.values)
                    .map(|field| names.name(*field))
                    .collect();
                write!(text, "{inner:016x}{fields:?};").ok()?;
            }
            let groups: Vec<&str> = correlation.group_by.iter().map(|(name, _)| &**name).collect();
            let (measure, span) = (&correlation.measure, correlation.timespan);
            // The id is part of it: two rules of the same meaning keep windows of their own.
            let id = &rule.head.id;
            write!(text, "{id:?}{measure:?}{groups:?}{span}{:?}", correlation.condition)
        }
    };
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
    let digest = Sha256::digest(text.as_bytes());
    Some(digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn body(node: &Node, reader: &mut Reader<'_>) -> Option<DraftBody> {
    if let Some(correlation) = node.get("correlation") {
        return correlation::read(correlation, reader).map(DraftBody::Correlation);
    }
    let mut missing = false;
    for key in ["logsource", "detection"] {
        if node.get(key).is_none() {
            reader.problems.error(node.place, format!("the rule has no `{key}`"));
            missing = true;
        }
    }
    if missing {
        return None;
    }
    let source = detection::source(node.get("logsource")?, reader);
    let detection = node.get("detection")?;
    let expr = detection::detection(detection, &[], reader)?;
    lint::expr(detection.place, &expr, reader);
    Some(DraftBody::Detection(Detection { source: source?, expr }))
}

fn filter<'t>(source: &'t SourceText, node: &Node, reader: &mut Reader<'_>) -> Option<Filter<'t>> {
    let body = node.get("filter")?;
    document::top(node, reader)?;
    let Some(logsource) = node.get("logsource") else {
        reader.problems.error(node.place, "the filter has no `logsource`");
        return None;
    };
    let applies_to = detection::source(logsource, reader)?;
    let rules = match body.get("rules") {
        None => {
            let hint = "list ids or names of rules, or write `rules: any`";
            reader.problems.error_hint(body.place, "the filter has no `rules`", hint);
            return None;
        }
        Some(any) if any.as_text() == Some("any") => None,
        Some(list) => {
            let texts = list
                .items()
                .iter()
                .map(|item| item.expect_text("a rule", reader.problems).map(str::to_owned));
            Some(texts.collect::<Option<Vec<String>>>()?)
        }
    };
    let expr = detection::detection(body, &["rules"], reader)?;
    lint::filter(body.place, &expr, reader);
    let mentions = std::mem::take(&mut reader.mentions);
    Some(Filter { source, place: node.place, rules, applies_to, expr, mentions })
}
