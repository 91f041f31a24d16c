//! The whole way of the data, as one synchronous, pure, total and deterministic state machine.
//!
//! ```text
//! RawRecord -> parse -> Record -> normalize -> Event -> detect -> Finding -> group -> Incident
//!                                                          -> respond -> Step, route -> Notice
//! ```
//!
//! [`Pipeline::step`] takes one [`Input`] and appends [`Effect`]s. Time comes in with the records
//! and with [`Input::Tick`]; nothing here reads a clock, a file or a random number. The same inputs
//! give the same effects, which makes replay, live, simulation and tests one code path. What must
//! survive a crash leaves as [`Effect::Save`] at a [`Input::Checkpoint`] and comes back through
//! [`Pipeline::restore`]; whoever drives the pipeline commits effects and source positions together.

mod progress;

use crate::detect::{DetectCounts, Detector};
use crate::event::{
    Event, EventId, Evidence, FieldTable, FlatEvent, RawRecord, RecordFlags, StreamId, Timestamp,
};
use crate::fact::Fact;
use crate::finding::{
    Finding, Incident, IncidentChange, Notice, NoticeKind, Order, Phase, StateChange,
};
use crate::group::{Grouped, Incidents};
use crate::normalize::{NormalizeCounts, normalize};
use crate::parse::{Format, ParseOptions, Parsers};
use crate::respond::Advice;
use crate::route::Route;
use crate::rule::Ruleset;
use bumpalo::Bump;
use progress::{Counters, Progress};
use std::sync::Arc;

/// Everything that can happen to the pipeline.
#[derive(Debug)]
pub enum Input<'a> {
    /// A source read a record.
    Record(RawRecord<'a>),
    /// A stream will bring nothing more; it no longer holds event time back.
    StreamEnd(StreamId),
    /// The wall clock, about once a second while nothing else happens.
    Tick(Timestamp),
    /// There will be no more input: every running episode ends.
    Drain,
    /// People are told the latest count of every incident; nothing ends.
    Flush,
    /// Give out all state that changed since the last checkpoint, and the counters.
    Checkpoint,
    /// A person orders something about an incident; with the stored incident, if there is one, and
    /// the time of the order.
    Order(&'a Order, Option<Incident>, Timestamp),
    /// New rules; windows of rules whose meaning is unchanged go on.
    Reload(&'a Ruleset),
}

/// Everything the pipeline can ask for or tell.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// A normalized event, if [`Setup::events`] asked for them.
    Event(FlatEvent),
    /// A rule found something: it is new (`Single`, `Opened`; with the ids of its evidence) or has
    /// `Ended`. How it grows is seen in its incident.
    Finding(Finding, Vec<Box<str>>),
    /// Change the record of an incident.
    Incident(IncidentChange),
    /// Owe a message to an output.
    Send(Notice),
    /// Keep a piece of state.
    Save(StateChange),
    /// Count, and perhaps log.
    Note(Fact),
    /// An order was not carried out, and why.
    Refused(String),
}

/// What the pipeline knows of a source.
#[derive(Debug, Clone)]
pub struct SourceSetup {
    /// The format of its records.
    pub format: Format,
    /// How they are read.
    pub options: ParseOptions,
}

/// Everything a pipeline is made of.
#[derive(Debug)]
pub struct Setup<'r> {
    /// The interned names, after parsers and rules were loaded.
    pub names: FieldTable,
    /// The formats.
    pub parsers: Arc<Parsers>,
    /// The rules.
    pub rules: &'r Ruleset,
    /// The sources, in the order of their [`SourceId`](crate::event::SourceId)s.
    pub sources: Vec<SourceSetup>,
    /// Who is told.
    pub route: Route,
    /// Whether every event leaves as [`Effect::Event`].
    pub events: EventOutput,
}

/// Whether events leave the pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventOutput {
    /// Only what matched leaves, as evidence.
    #[default]
    Off,
    /// Not even that: evidence is told by its ids alone, which costs much less.
    Ids,
    /// Every event leaves.
    On,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Pipeline {
    names: FieldTable,
    parsers: Arc<Parsers>,
    sources: Vec<SourceSetup>,
    detector: Detector,
    incidents: Incidents,
    advice: Advice,
    route: Route,
    events: EventOutput,
    progress: Progress,
    counters: Counters,
    normalized: NormalizeCounts,
    arena: Bump,
    findings: Vec<Finding>,
    grouped: Vec<Grouped>,
}

impl Pipeline {
    /// A pipeline without any state.
    pub fn new(setup: Setup<'_>) -> Self {
        Self {
            detector: Detector::new(setup.rules),
            advice: advice(setup.rules),
            names: setup.names,
            parsers: setup.parsers,
            sources: setup.sources,
            incidents: Incidents::default(),
            route: setup.route,
            events: setup.events,
            progress: Progress::default(),
            counters: Counters::default(),
            normalized: NormalizeCounts::default(),
            arena: Bump::new(),
            findings: Vec::new(),
            grouped: Vec::new(),
        }
    }

    /// Takes one input and appends its effects, in the order in which they must be committed.
    pub fn step(&mut self, input: Input<'_>, out: &mut Vec<Effect>) {
        match input {
            Input::Record(raw) => self.record(&raw, out),
            Input::StreamEnd(stream) => self.progress.end(stream),
            Input::Tick(now) => {
                if let Some(watermark) = self.progress.tick(now) {
                    self.advance(watermark, out);
                }
            }
            Input::Drain => {
                self.detector.drain(&mut self.findings);
                self.settle(None, out);
            }
            Input::Flush => {
                self.incidents.flush(&mut self.grouped);
                self.give_out(out);
            }
            Input::Checkpoint => self.checkpoint(out),
            Input::Order(order, stored, now) => {
                self.incidents.order(order, stored, now, &mut self.grouped);
                self.give_out(out);
            }
            Input::Reload(rules) => {
                self.detector.replace(rules);
                self.advice = advice(rules);
            }
        }
    }

    /// Takes back a piece of saved state. False: it was damaged and is ignored, which the caller
    /// must tell people.
    pub fn restore(&mut self, kind: &str, key: &[u8], value: &[u8]) -> bool {
        match kind {
            crate::group::STATE_KIND => self.incidents.restore(value),
            progress::STATE_KIND => self.progress.restore(value),
            _ => self.detector.restore(key, value).is_ok(),
        }
    }

    /// The event of a record again, as it was when it matched.
    pub fn flatten(&mut self, evidence: &Evidence) -> Option<FlatEvent> {
        self.again(evidence, FlatEvent::from_event)
    }

    /// The id of the event of a record; the record is only parsed where it may name one itself.
    fn id_of(&mut self, evidence: &Evidence) -> Option<Box<str>> {
        let source = self.sources.get(usize::from(evidence.source.0))?;
        let is_made = !evidence.flags.contains(RecordFlags::SYNTHETIC)
            && !self.parsers.brings_ids(source.format);
        if is_made {
            let Evidence { stream, offset, part, .. } = *evidence;
            return Some(EventId::Derived { stream, offset, part }.to_string().into());
        }
        self.again(evidence, |event, _| event.id.to_string().into())
    }

    /// What is made of the event of a record.
    fn again<T>(
        &mut self,
        evidence: &Evidence,
        make: impl Fn(&Event<'_>, &FieldTable) -> T,
    ) -> Option<T> {
        let (arena, parsers) = (std::mem::take(&mut self.arena), Arc::clone(&self.parsers));
        let raw = evidence.as_raw();
        let mut made = None;
        let counted = self.normalized;
        self.each_event(&raw, &parsers, &arena, |pipeline, event| {
            if event.part == evidence.part {
                made = Some(make(&event, &pipeline.names));
            }
        });
        self.normalized = counted;
        self.recycle(arena);
        made
    }

    /// How many incidents can still grow.
    pub fn open_incidents(&self) -> usize {
        self.incidents.len()
    }

    fn record(&mut self, raw: &RawRecord<'_>, out: &mut Vec<Effect>) {
        let (arena, parsers) = (std::mem::take(&mut self.arena), Arc::clone(&self.parsers));
        self.each_event(raw, &parsers, &arena, |pipeline, event| pipeline.event(&event, raw, out));
        self.recycle(arena);
        if let Some(watermark) = self.progress.due() {
            self.advance(watermark, out);
        }
    }

    fn each_event<'a>(
        &mut self,
        raw: &RawRecord<'a>,
        parsers: &'a Parsers,
        arena: &'a Bump,
        mut with: impl FnMut(&mut Self, Event<'a>),
    ) {
        let Some(source) = self.sources.get(usize::from(raw.source.0)) else { return };
        let records = parsers.parse(source.format, &source.options, &self.names, raw, arena);
        for (part, record) in (0_u32..).zip(records) {
            let event = normalize(record, raw, part, &self.names, arena, &mut self.normalized);
            with(self, event);
        }
    }

    fn event(&mut self, event: &Event<'_>, raw: &RawRecord<'_>, out: &mut Vec<Effect>) {
        if let Some(sample) = self.counters.event(event, raw.source) {
            out.push(Effect::Note(sample));
        }
        self.progress.observe(raw, event.time);
        if self.events == EventOutput::On {
            out.push(Effect::Event(FlatEvent::from_event(event, &self.names)));
        }
        self.detector.observe(event, raw, &self.names, &mut self.findings);
        self.settle(Some((event, raw)), out);
    }

    fn advance(&mut self, watermark: Timestamp, out: &mut Vec<Effect>) {
        self.detector.advance(watermark, &mut self.findings);
        self.settle(None, out);
        self.incidents.advance(watermark, &mut self.grouped);
        self.give_out(out);
    }

    /// Turns the collected findings into incidents and what follows from them. The event that led
    /// to them need not be made again from its record.
    fn settle(&mut self, current: Option<(&Event<'_>, &RawRecord<'_>)>, out: &mut Vec<Effect>) {
        if self.findings.is_empty() {
            return;
        }
        let mut findings = std::mem::take(&mut self.findings);
        for finding in findings.drain(..) {
            let is_new = matches!(finding.phase, Phase::Single | Phase::Opened);
            self.counters.findings += u64::from(is_new);
            let events = self.evidence(&finding, current);
            let ids = if is_new { self.ids(&finding, &events, current) } else { Vec::new() };
            self.incidents.apply(&finding, events, &mut self.grouped);
            if finding.phase != Phase::Grew {
                out.push(Effect::Finding(finding, ids));
            }
            self.give_out(out);
        }
        self.findings = findings;
    }

    /// The events of a finding's evidence that its incident has room for.
    fn evidence(
        &mut self,
        finding: &Finding,
        current: Option<(&Event<'_>, &RawRecord<'_>)>,
    ) -> Vec<FlatEvent> {
        let room = match self.events {
            EventOutput::Ids => 0,
            EventOutput::Off | EventOutput::On => self.incidents.room(finding),
        };
        let event_of = |evidence: &Evidence| match current {
            Some((event, raw)) if is_of(evidence, event, raw) => {
                Some(FlatEvent::from_event(event, &self.names))
            }
            _ => self.flatten(evidence),
        };
        finding.evidence.iter().take(room).filter_map(event_of).collect()
    }

    /// The ids of all of a finding's evidence, of which the first were made events already.
    fn ids(
        &mut self,
        finding: &Finding,
        events: &[FlatEvent],
        current: Option<(&Event<'_>, &RawRecord<'_>)>,
    ) -> Vec<Box<str>> {
        let mut ids: Vec<Box<str>> = events.iter().map(|event| event.id().into()).collect();
        for evidence in finding.evidence.iter().skip(events.len()) {
            ids.extend(match current {
                Some((event, raw)) if is_of(evidence, event, raw) => {
                    Some(event.id.to_string().into())
                }
                _ => self.id_of(evidence),
            });
        }
        ids
    }

    fn give_out(&mut self, out: &mut Vec<Effect>) {
        for grouped in self.grouped.drain(..) {
            match grouped {
                Grouped::Change(change) => out.push(Effect::Incident(change)),
                Grouped::Note(fact) => out.push(Effect::Note(fact)),
                Grouped::Refused(why) => out.push(Effect::Refused(why)),
                Grouped::Tell(kind, time, incident) => {
                    if kind == NoticeKind::Opened {
                        let steps = self.advice.steps(&incident);
                        out.extend(
                            steps
                                .into_iter()
                                .map(|step| Effect::Incident(IncidentChange::Step(step))),
                        );
                    }
                    for sink in self.route.targets(&incident) {
                        let incident = incident.clone();
                        out.push(Effect::Send(Notice { sink: sink.into(), kind, time, incident }));
                    }
                }
            }
        }
    }

    fn checkpoint(&mut self, out: &mut Vec<Effect>) {
        let (mut changes, mut heads) = (Vec::new(), Vec::new());
        self.detector.save(&mut changes);
        self.incidents.save(&mut changes, &mut heads);
        out.extend(heads.into_iter().map(|head| Effect::Incident(IncidentChange::Head(head))));
        self.progress.save(&mut changes);
        out.extend(changes.into_iter().map(Effect::Save));
        let detected: DetectCounts = std::mem::take(&mut self.detector.counts);
        let normalized = std::mem::take(&mut self.normalized);
        self.counters.give_out(&detected, &normalized, out);
    }

    fn recycle(&mut self, mut arena: Bump) {
        arena.reset();
        self.arena = arena;
    }
}

/// The steps that the rules name.
fn advice(rules: &Ruleset) -> Advice {
    Advice::new(rules.rules().iter().map(|rule| (rule.head.id.clone(), rule.steps.clone())))
}

/// Whether evidence is the record of this event.
fn is_of(evidence: &Evidence, event: &Event<'_>, raw: &RawRecord<'_>) -> bool {
    evidence.offset == raw.offset && evidence.stream == raw.stream && evidence.part == event.part
}
