use super::*;
use crate::event::RecordFlags;

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

fn record(stream: u64, received: i64) -> RawRecord<'static> {
    RawRecord {
        source: SourceId(0),
        stream: StreamId(stream),
        path: None,
        offset: 0,
        received: at(received),
        bytes: b"",
        full_length: 0,
        flags: RecordFlags::NONE,
    }
}

#[test]
fn the_stream_that_is_furthest_behind_decides() {
    let mut progress = Progress::default();
    progress.observe(&record(1, 1_000), at(900));
    progress.observe(&record(2, 1_000), at(100));
    assert_eq!(progress.tick(at(1_001)), Some(at(100)));
    progress.observe(&record(2, 1_001), at(950));
    assert_eq!(progress.tick(at(1_002)), Some(at(900)));
    assert_eq!(progress.tick(at(1_002)), None, "it does not go back or stand still loudly");
}

#[test]
fn an_idle_or_ended_stream_holds_nothing_back() {
    let mut progress = Progress::default();
    progress.observe(&record(1, 1_000), at(100));
    progress.observe(&record(2, 1_000), at(900));
    progress.end(StreamId(1));
    assert_eq!(progress.tick(at(1_001)), Some(at(900)));
    progress.observe(&record(3, 1_020), at(1_020));
    assert_eq!(progress.tick(at(1_020)), Some(at(1_020)), "stream 2 has been idle for 20 s");
}

#[test]
fn while_nothing_is_read_event_time_moves_at_the_speed_of_the_clock() {
    let mut progress = Progress::default();
    assert_eq!(progress.tick(at(5)), None);
    // A log of yesterday is read today: its time goes on from yesterday.
    progress.observe(&record(1, 100_000), at(500));
    assert_eq!(progress.tick(at(100_005)), Some(at(500)));
    assert_eq!(progress.tick(at(100_030)), Some(at(530)));
    let mut saved = Vec::new();
    progress.save(&mut saved);
    let mut restored = Progress::default();
    assert!(restored.restore(saved[0].value.as_deref().unwrap()));
    assert_eq!(restored.tick(at(100_040)), Some(at(540)));
    assert!(!restored.restore(b"short"));
}

#[test]
fn the_number_of_streams_is_bounded() {
    let mut progress = Progress::default();
    for stream in 0..STREAMS_MAX as u64 + 100 {
        progress.observe(&record(stream, 1_000 + stream as i64), at(stream as i64));
    }
    assert!(progress.streams.len() <= STREAMS_MAX);
}

#[test]
fn a_line_without_a_time_does_not_carry_an_old_log_to_now() {
    let mut progress = Progress::default();
    progress.observe(&record(1, 100_000), at(100_000));
    progress.observe(&record(1, 100_000), at(500));
    progress.observe(&record(1, 100_000), at(100_000));
    assert_eq!(progress.tick(at(100_001)), Some(at(500)));
    // A log that never tells a time goes by the time of reading.
    progress.observe(&record(2, 100_002), at(100_002));
    progress.end(StreamId(1));
    assert_eq!(progress.tick(at(100_003)), Some(at(100_002)));
}
