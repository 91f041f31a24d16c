//! Every countable happening, as one closed list: a fact becomes a metric and, where it has a
//! detail, a log line. Nothing is dropped, cut or late without one.

use crate::event::SourceId;

macro_rules! facts {
    ($($variant:ident $name:literal $help:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKind { $(#[doc = $help] $variant,)* }

        impl FactKind {
            /// Every kind, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Name of the metric, without prefix and `_total`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the metric counts.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

facts! {
    RecordsRead "records_read" "Records read from sources.";
    BytesRead "bytes_read" "Bytes read from sources.";
    EventsMade "events" "Normalized events.";
    RecordsUnmatched "records_unmatched" "Records whose header was understood and whose message no parser case knew.";
    RecordsFailed "records_failed" "Records that are not of their format.";
    RecordsTruncated "records_truncated" "Lines longer than the limit, cut.";
    RecordsUnterminated "records_unterminated" "Last lines of a finished file without a line end.";
    RecordsInvalidUtf8 "records_invalid_utf8" "Records with bytes that are not UTF-8.";
    LinesEmpty "lines_empty" "Empty lines, skipped.";
    TimesMissing "times_missing" "Records without a usable time, stamped with the time of reading.";
    EventsLate "events_late" "Events older than the window state that is still kept.";
    Matches "rule_matches" "Events that matched a rule.";
    FindingsOpened "findings" "Findings opened.";
    WindowsEvicted "windows_evicted" "Window groups dropped because a limit was reached.";
    WindowEntriesEvicted "window_entries_evicted" "Window entries dropped because a limit was reached.";
    IncidentsOpened "incidents_opened" "Incidents opened.";
    IncidentsResolved "incidents_resolved" "Incidents resolved.";
    IncidentsEvicted "incidents_evicted" "Open incidents resolved because too many were open.";
    CardsMasked "card_numbers_masked" "Card numbers masked.";
    Rotations "source_rotations" "Files rotated.";
    Truncations "source_truncations" "Files truncated or rewritten.";
    Gaps "source_gaps" "Stretches that were lost before they could be read.";
    GapBytes "source_gap_bytes" "Bytes of those stretches.";
    SourceErrors "source_errors" "Errors while reading a source.";
    Commits "commits" "Transactions committed.";
    DeliveriesDone "deliveries_done" "Messages delivered.";
    DeliveriesRetried "deliveries_retried" "Attempts that will be repeated.";
    DeliveriesDead "deliveries_dead" "Messages given up and kept as dead letters.";
    DeliveriesHeld "deliveries_held" "Attempts that put an output on hold.";
}

/// A number of happenings of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What happened.
    pub kind: FactKind,
    /// Where, if it is about one source.
    pub source: Option<SourceId>,
    /// How often.
    pub count: u64,
    /// What to write to the log, if anything.
    pub detail: Option<Box<str>>,
}

impl Fact {
    /// A number of happenings, without a log line.
    pub const fn count(kind: FactKind, source: Option<SourceId>, count: u64) -> Self {
        Self { kind, source, count, detail: None }
    }

    /// One happening that is also written to the log.
    pub fn told(kind: FactKind, source: Option<SourceId>, detail: impl Into<Box<str>>) -> Self {
        Self { kind, source, count: 1, detail: Some(detail.into()) }
    }
}
