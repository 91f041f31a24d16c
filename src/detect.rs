//! Events to findings: matching and exact sliding windows, in event time.
//!
//! An event is first matched by itself, against the index of the rules that concern it. A match
//! either is a finding or feeds the windows of the correlations that refer to the rule; a window
//! whose condition comes to hold is a finding, and may feed further correlations.
//!
//! Nothing here knows the time of day: windows move with the times of events, and
//! [`Detector::advance`] only ends and forgets what is over.

mod codec;
mod explain;
mod feed;
mod groups;
mod index;
mod matcher;
mod measure;
mod packed;
mod program;
mod route;
mod squeeze;
mod view;
mod window;

pub use explain::{Explanation, Verdict, WindowEntry, WindowView};
pub use groups::GROUPS_MAX;
pub use window::{ENTRIES_MAX, LATENESS_MAX, LATENESS_MIN};

use crate::event::{Event, FieldId, FieldTable, LogSource, RawRecord, Timestamp, ecs};
use crate::finding::{Finding, Group, Phase, RuleHead, StateChange};
use crate::rule::{Body, RuleSource, Ruleset};
use feed::Feeds;
use groups::{Elsewhere, GroupKey, Groups, Runner, Turns};
use index::Group as RuleGroup;
use matcher::{Matcher, Rules};
use packed::{Packed, Paths};
use program::Program;
use route::{RouteKey, Vocabulary};
use std::collections::HashMap;
use std::sync::Arc;
use view::NestedFields;
use window::Turn;

/// What detection counted since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DetectCounts {
    /// Matches of an event with a rule.
    pub matches: u64,
    /// Events older than the state still kept.
    pub late: u64,
    /// Window groups dropped by a limit.
    pub windows_evicted: u64,
    /// Window entries dropped by a limit.
    pub entries_evicted: u64,
}

/// Why a saved piece of state was not taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("saved window state is damaged: {why}")]
pub struct RestoreError {
    /// What was wrong with it.
    pub why: &'static str,
}

/// Kinds of events the rules are indexed for at a time; events of further kinds have the indexes
/// made anew.
pub const ROUTES_MAX: usize = 256;

/// The kind of state that windows are saved under.
pub const WINDOW_STATE: &str = "window";

/// The detector: compiled rules and the windows of their correlations.
#[derive(Debug)]
pub struct Detector {
    /// What it counted.
    pub counts: DetectCounts,
    singles: Vec<Single>,
    program: Program,
    nested: NestedFields,
    vocabulary: Vocabulary,
    routes: HashMap<RouteKey, usize>,
    rule_groups: Vec<RuleGroup>,
    last_route: Option<(OwnedSource, usize)>,
    matcher: Matcher,
    runners: Vec<Runner>,
    feeds: Feeds,
    groups: Groups,
    paths: Paths,
    scratch: Scratch,
}

/// What of a rule over single events detection needs.
#[derive(Debug)]
struct Single {
    head: Arc<RuleHead>,
    source: Option<RuleSource>,
    alerts: bool,
    group_by: Box<[(Box<str>, FieldId)]>,
}

type OwnedSource = (Option<Box<str>>, Option<Box<str>>, Option<Box<str>>);

/// Kept from event to event so that the common path allocates nothing.
#[derive(Debug, Default)]
struct Scratch {
    matched: Vec<u32>,
    turns: Turns,
    queue: Vec<feed::Occurrence>,
    keys: Vec<u8>,
    pack: Vec<u8>,
    found: Vec<(u32, Finding)>,
}

/// One event on its way through the correlations.
struct Occasion<'o, 'a> {
    event: &'o Event<'a>,
    raw: &'o RawRecord<'a>,
    packed: Option<Packed>,
}

impl Detector {
    /// Compiles a set of rules.
    pub fn new(rules: &Ruleset) -> Self {
        Self::with_limit(rules, GROUPS_MAX)
    }

    fn with_limit(rules: &Ruleset, groups_max: usize) -> Self {
        let sources = rules.rules().iter().filter_map(|rule| match &rule.body {
            Body::Detection(detection) => Some(&detection.source),
            Body::Correlation(_) => None,
        });
        let (runners, feeds) = feed::wire(rules);
        Self {
            counts: DetectCounts::default(),
            singles: rules.rules().iter().map(single).collect(),
            program: Program::new(rules.rules().iter().map(crate::rule::Rule::expr)),
            nested: NestedFields::new(rules.nested()),
            vocabulary: Vocabulary::new(sources),
            routes: HashMap::new(),
            rule_groups: Vec::new(),
            last_route: None,
            matcher: Matcher::default(),
            groups: Groups::new(runners.len(), groups_max),
            runners,
            feeds,
            paths: Paths::default(),
            scratch: Scratch::default(),
        }
    }

    /// Lets every rule see one event; findings are appended in the order of the rules.
    pub fn observe(
        &mut self,
        event: &Event<'_>,
        raw: &RawRecord<'_>,
        _names: &FieldTable,
        out: &mut Vec<Finding>,
    ) {
        let group = self.route(&event.logsource);
        let mut matched = std::mem::take(&mut self.scratch.matched);
        matched.clear();
        if let Some(group) = self.rule_groups.get(group) {
            let rules = Rules { program: &self.program, group, nested: &self.nested };
            self.matcher.matches(rules, event, &mut matched);
        }
        if !matched.is_empty() {
            self.counts.matches += matched.len() as u64;
            let mut occasion = Occasion { event, raw, packed: None };
            for rule in &matched {
                self.single(*rule, &occasion);
                self.feed_event(*rule, &occasion);
            }
            self.run_queue(&mut occasion);
            let found = &mut self.scratch.found;
            found.sort_by_key(|(rule, _)| *rule);
            out.extend(found.drain(..).map(|(_, finding)| finding));
        }
        self.scratch.matched = matched;
    }

    /// Moves event time on without an event: episodes whose window has emptied end.
    pub fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Finding>) {
        let mut over = std::mem::take(&mut self.scratch.turns.elsewhere);
        self.groups.advance(watermark.nanos(), &self.runners, &mut over);
        self.tell(&mut over, out);
        self.scratch.turns.elsewhere = over;
    }

    /// Ends every running episode: there will be no more input.
    pub fn drain(&mut self, out: &mut Vec<Finding>) {
        let mut over = std::mem::take(&mut self.scratch.turns.elsewhere);
        self.groups.drain(&self.runners, &mut over);
        self.tell(&mut over, out);
        self.scratch.turns.elsewhere = over;
    }

    /// Appends what changed since the last call.
    pub fn save(&mut self, out: &mut Vec<StateChange>) {
        let paths = &self.paths;
        self.groups.take_changes(&self.runners, |key, window| {
            let value = window.map(|window| codec::encode(window, paths));
            out.push(StateChange { kind: WINDOW_STATE, key, value });
        });
    }

    /// Takes back one saved piece of state (kind `window`). State of a rule that is gone or whose
    /// meaning has changed is ignored: `Ok(false)`.
    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<bool, RestoreError> {
        let Some((fingerprint, key)) = key.split_first_chunk::<8>() else {
            return Err(RestoreError { why: "its key is too short" });
        };
        let fingerprint = u64::from_be_bytes(*fingerprint);
        let found = self.runners.iter().enumerate().find(|(_, r)| r.fingerprint == fingerprint);
        let Some((number, runner)) = found else { return Ok(false) };
        let window = codec::decode(value, &mut self.paths)?;
        self.groups.restore(number as u32, runner, key.into(), window);
        Ok(true)
    }

    /// Exchanges the rules; windows of rules whose meaning is the same are kept.
    pub fn replace(&mut self, rules: &Ruleset) {
        let mut next = Self::new(rules);
        next.counts = self.counts;
        next.paths = std::mem::take(&mut self.paths);
        let groups = std::mem::take(&mut self.groups);
        groups.move_into(&self.runners, &mut next.groups, &next.runners);
        *self = next;
    }

    /// How many windows are kept.
    pub fn windows(&self) -> usize {
        self.groups.len()
    }

    /// The position of the rules that concern a source, indexed when its first event comes.
    fn route(&mut self, source: &LogSource<'_>) -> usize {
        if let Some(((product, category, service), group)) = &self.last_route {
            let same = product.as_deref() == source.product
                && category.as_deref() == source.category
                && service.as_deref() == source.service;
            if same {
                return *group;
            }
        }
        let key = self.vocabulary.key(source);
        let group = match self.routes.get(&key) {
            Some(group) => *group,
            None => self.add_route(key, source),
        };
        let owned = |text: Option<&str>| text.map(Box::from);
        let owned = (owned(source.product), owned(source.category), owned(source.service));
        self.last_route = Some((owned, group));
        group
    }

    fn add_route(&mut self, key: RouteKey, source: &LogSource<'_>) -> usize {
        let mut members = vec![0_u64; self.singles.len().div_ceil(64)].into_boxed_slice();
        for (rule, single) in self.singles.iter().enumerate() {
            let concerned =
                single.source.as_ref().is_some_and(|rule| route::concerns(rule, source));
            if concerned && let Some(word) = members.get_mut(rule / 64) {
                *word |= 1 << (rule % 64);
            }
        }
        let known = self.rule_groups.iter().position(|group| group.members == members);
        let group = known.unwrap_or_else(|| {
            if self.rule_groups.len() >= ROUTES_MAX {
                self.rule_groups.clear();
                self.routes.clear();
            }
            self.rule_groups.push(RuleGroup::new(&self.program, members));
            self.rule_groups.len() - 1
        });
        if self.routes.len() >= ROUTES_MAX * 64 {
            self.routes.clear();
        }
        self.routes.insert(key, group);
        group
    }

    /// The finding of a rule that a single event satisfies.
    fn single(&mut self, rule: u32, occasion: &Occasion<'_, '_>) {
        let Some(single) = self.singles.get(rule as usize).filter(|single| single.alerts) else {
            return;
        };
        let event = occasion.event;
        let mut group = Group::new();
        for (name, field) in &single.group_by {
            if let Some(value) = feed::first_text(event, &self.nested, *field) {
                group.push((name.clone(), value.into()));
            }
        }
        self.scratch.found.push((
            rule,
            Finding {
                rule: Arc::clone(&single.head),
                phase: Phase::Single,
                episode: event.time.nanos() as u64,
                group,
                time: event.time,
                count: u64::from(event.repeat),
                first_seen: event.time,
                last_seen: event.time,
                evidence: vec![occasion.evidence()],
            },
        ));
    }

    fn tell(&self, over: &mut Vec<Elsewhere>, out: &mut Vec<Finding>) {
        for Elsewhere { runner, key, turn } in over.drain(..) {
            if let Some(runner) = self.runners.get(runner as usize).filter(|runner| runner.alerts) {
                out.push(finding(runner, &key, turn, &self.paths));
            }
        }
    }
}

fn single(rule: &crate::rule::Rule) -> Single {
    let usual = [
        ("host.name", ecs::HOST_NAME),
        ("user.name", ecs::USER_NAME),
        ("source.ip", ecs::SOURCE_IP),
    ];
    let group_by = match &rule.group_by {
        Some(fields) => fields.clone().into(),
        None => usual.map(|(name, field)| (Box::from(name), field)).into(),
    };
    let source = match &rule.body {
        Body::Detection(detection) => Some(detection.source.clone()),
        Body::Correlation(_) => None,
    };
    Single { head: Arc::clone(&rule.head), source, alerts: rule.alerts, group_by }
}

fn finding(runner: &Runner, key: &GroupKey, turn: Turn, paths: &Paths) -> Finding {
    let Turn { told: _, phase, time, id, count, first, last, evidence } = turn;
    Finding {
        rule: Arc::clone(&runner.head),
        phase,
        episode: id,
        group: groups::group(runner, key),
        time: Timestamp::from_nanos(time),
        count,
        first_seen: Timestamp::from_nanos(first),
        last_seen: Timestamp::from_nanos(last),
        evidence: evidence.iter().filter_map(|packed| paths.unpack(packed)).collect(),
    }
}

#[cfg(test)]
mod tests;
