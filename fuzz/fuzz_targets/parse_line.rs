//! No line, whatever its bytes, stops a parser: each format gives records and never panics.
#![no_main]

use bumpalo::Bump;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tripline::event::{FieldTable, RawRecord, RecordFlags, SourceId, StreamId, Timestamp};
use tripline::normalize::{NormalizeCounts, normalize};
use tripline::parse::{ParseOptions, Parsers};
use tripline::shipped;

static READY: LazyLock<(Parsers, FieldTable)> = LazyLock::new(|| {
    let mut names = FieldTable::default();
    let (parsers, problems) = Parsers::load(&shipped::parsers(), &mut names);
    assert!(problems.is_empty(), "{problems:?}");
    (parsers, names)
});

fuzz_target!(|data: &[u8]| {
    let (parsers, names) = &*READY;
    let Some((choice, bytes)) = data.split_first() else { return };
    let formats = parsers.format_names();
    let Some(name) = formats.get(usize::from(*choice) % formats.len().max(1)) else { return };
    let Some(format) = parsers.format(name) else { panic!("{name} is listed and unknown") };
    let raw = RawRecord {
        source: SourceId(0),
        stream: StreamId(1),
        path: Some("/var/log/auth.log"),
        offset: 0,
        received: Timestamp::from_nanos(1_767_139_200_000_000_000),
        bytes,
        full_length: bytes.len() as u64,
        flags: RecordFlags::NONE,
    };
    let arena = Bump::new();
    let mut counts = NormalizeCounts::default();
    let records = parsers.parse(format, &ParseOptions::default(), names, &raw, &arena);
    for (part, record) in records.into_iter().enumerate() {
        normalize(record, &raw, part as u32, names, &arena, &mut counts);
    }
});
