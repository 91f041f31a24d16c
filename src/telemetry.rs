//! Facts to metrics and log lines, and the latency of every stage.

use crate::clock::monotonic;
use crate::event::SourceId;
use crate::fact::{Fact, FactKind};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Samples of records that were not understood, kept per agent.
pub const SAMPLES_MAX: usize = 50;

/// A stretch of the way of the data whose latency is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// From reading a record to taking it into the pipeline.
    Queue,
    /// One record through parse, normalize, detect and group.
    Step,
    /// One transaction.
    Commit,
    /// From reading a record that led to something to the end of its commit.
    Detect,
    /// One attempt to deliver.
    Attempt,
    /// From owing a message to its arrival.
    Deliver,
}

impl Stage {
    /// Every stage, in the order of the data.
    pub const ALL: [Self; 6] =
        [Self::Queue, Self::Step, Self::Commit, Self::Detect, Self::Attempt, Self::Deliver];

    /// Its name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Step => "step",
            Self::Commit => "commit",
            Self::Detect => "detect",
            Self::Attempt => "attempt",
            Self::Deliver => "deliver",
        }
    }
}

/// A record that was not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The source's name.
    pub source: Box<str>,
    /// Why it is shown.
    pub kind: FactKind,
    /// The record, cut.
    pub text: Box<str>,
}

/// Latencies of a stage, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// Largest.
    pub max: u64,
}

/// Every metric of an agent.
#[derive(Debug)]
pub struct Telemetry {
    sources: Vec<Box<str>>,
    /// One row per source and one for what belongs to none.
    counts: Vec<Vec<AtomicU64>>,
    stages: Vec<Mutex<Histogram<u64>>>,
    samples: Mutex<VecDeque<Sample>>,
    started: Instant,
}

impl Telemetry {
    /// Everything at zero, for sources of these names.
    pub fn new(sources: Vec<Box<str>>) -> Self {
        let row = || FactKind::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        let counts = (0..=sources.len()).map(|_| row()).collect();
        // Two digits from 1 µs to an hour are 24 KiB a stage; `new_with_bounds` cannot fail there.
        let histogram = || Histogram::new_with_bounds(1, 3_600_000_000, 2).map(Mutex::new);
        let stages = Stage::ALL.iter().filter_map(|_| histogram().ok()).collect();
        Self { sources, counts, stages, samples: Mutex::default(), started: monotonic() }
    }

    /// Counts a fact and logs its detail.
    pub fn note(&self, fact: &Fact) {
        if let Some(counter) = self.counter(fact.kind, fact.source) {
            counter.fetch_add(fact.count, Ordering::Relaxed);
        }
        let Some(detail) = &fact.detail else { return };
        let source = self.source_name(fact.source);
        if matches!(fact.kind, FactKind::RecordsUnmatched | FactKind::RecordsFailed) {
            let sample = Sample { source: source.into(), kind: fact.kind, text: detail.clone() };
            let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
            if samples.len() >= SAMPLES_MAX {
                samples.pop_front();
            }
            samples.push_back(sample);
            return;
        }
        tracing::warn!(source, "{}: {}", fact.kind.name(), printable(detail));
    }

    /// Records the latency of a stage.
    pub fn time(&self, stage: Stage, took: Duration) {
        if let Some(histogram) = self.stages.get(stage as usize) {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
            histogram.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
        }
    }

    /// The count of a kind over all sources.
    pub fn total(&self, kind: FactKind) -> u64 {
        self.counts
            .iter()
            .filter_map(|row| row.get(kind as usize))
            .map(|c| c.load(Ordering::Relaxed))
            .sum()
    }

    /// The counts of one source.
    pub fn of_source(&self, index: usize, kind: FactKind) -> u64 {
        let row = self.counts.get(index);
        row.and_then(|row| row.get(kind as usize))
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// The names of the sources.
    pub fn sources(&self) -> &[Box<str>] {
        &self.sources
    }

    /// The latest records that were not understood.
    pub fn samples(&self) -> Vec<Sample> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The latencies of a stage.
    pub fn latency(&self, stage: Stage) -> Latency {
        let Some(histogram) = self.stages.get(stage as usize) else {
            return Latency { count: 0, p50: 0, p99: 0, max: 0 };
        };
        let histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
        Latency {
            count: histogram.len(),
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            max: histogram.max(),
        }
    }

    /// Time since the agent started.
    pub fn uptime(&self) -> Duration {
        monotonic().duration_since(self.started)
    }

    /// Everything in the Prometheus text format 0.0.4.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        for kind in FactKind::ALL {
            let name = kind.name();
            line(&mut text, format_args!("# HELP tripline_{name}_total {}", kind.help()));
            line(&mut text, format_args!("# TYPE tripline_{name}_total counter"));
            for (index, row) in self.counts.iter().enumerate() {
                let count =
                    row.get(*kind as usize).map_or(0, |counter| counter.load(Ordering::Relaxed));
                match self.sources.get(index) {
                    Some(source) if count > 0 => {
                        line(
                            &mut text,
                            format_args!("tripline_{name}_total{{source=\"{source}\"}} {count}"),
                        );
                    }
                    Some(_) => {}
                    None if count > 0 || self.total(*kind) == 0 => {
                        line(&mut text, format_args!("tripline_{name}_total {count}"));
                    }
                    None => {}
                }
            }
        }
        line(&mut text, format_args!("# HELP tripline_stage_seconds Latency of each stage."));
        line(&mut text, format_args!("# TYPE tripline_stage_seconds summary"));
        for stage in Stage::ALL {
            let (name, latency) = (stage.name(), self.latency(stage));
            for (quantile, micros) in
                [("0.5", latency.p50), ("0.99", latency.p99), ("1", latency.max)]
            {
                let seconds = micros as f64 / 1e6;
                line(
                    &mut text,
                    format_args!(
                        "tripline_stage_seconds{{stage=\"{name}\",quantile=\"{quantile}\"}} {seconds}"
                    ),
                );
            }
            line(
                &mut text,
                format_args!("tripline_stage_seconds_count{{stage=\"{name}\"}} {}", latency.count),
            );
        }
        text
    }

    fn counter(&self, kind: FactKind, source: Option<SourceId>) -> Option<&AtomicU64> {
        let row = source.map_or(self.sources.len(), |source| usize::from(source.0));
        self.counts.get(row).or(self.counts.last())?.get(kind as usize)
    }

    fn source_name(&self, source: Option<SourceId>) -> &str {
        source.and_then(|source| self.sources.get(usize::from(source.0))).map_or("-", AsRef::as_ref)
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    if writeln!(text, "{arguments}").is_err() {
        text.push('\n');
    }
}

/// Log text is the attacker's: nothing of it may steer a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_become_metrics_and_samples() {
        let telemetry = Telemetry::new(vec!["auth".into()]);
        telemetry.note(&Fact::count(FactKind::RecordsRead, Some(SourceId(0)), 3));
        telemetry.note(&Fact::count(FactKind::Commits, None, 2));
        for number in 0..SAMPLES_MAX + 5 {
            telemetry.note(&Fact::told(
                FactKind::RecordsUnmatched,
                Some(SourceId(0)),
                number.to_string(),
            ));
        }
        let text = telemetry.prometheus();
        assert!(text.contains("tripline_records_read_total{source=\"auth\"} 3\n"), "{text}");
        assert!(text.contains("tripline_commits_total 2\n"), "{text}");
        assert_eq!(telemetry.samples().len(), SAMPLES_MAX);
        assert_eq!(telemetry.samples()[0].text, "5".into());
        assert_eq!(telemetry.total(FactKind::RecordsUnmatched), SAMPLES_MAX as u64 + 5);
    }

    #[test]
    fn latencies_are_percentiles_in_microseconds() {
        let telemetry = Telemetry::new(Vec::new());
        for micros in 1..=100 {
            telemetry.time(Stage::Commit, Duration::from_micros(micros));
        }
        let latency = telemetry.latency(Stage::Commit);
        assert_eq!((latency.count, latency.p50, latency.max), (100, 50, 100));
        assert_eq!(telemetry.latency(Stage::Step).count, 0);
    }
}
