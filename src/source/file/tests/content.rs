//! What stands in the lines: ends, lengths, bytes that are no text.

use super::*;

#[test]
fn one_byte_at_a_time_gives_one_record_a_line() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", "");
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_started();
        for byte in b"first line\nsecond\n" {
            folder.append("a.log", [*byte]);
        }
        run.until_count(2);
        folder.append("a.log", "third\n");
        run.until_count(3);
        assert_eq!(run.lines(), ["first line", "second", "third"]);
        assert_eq!(run.records.iter().map(|r| r.offset).collect::<Vec<_>>(), [0, 11, 18]);
    }
}

#[test]
fn a_partial_line_waits_for_its_end_and_the_offset_waits_with_it() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", "whole\nhalf");
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(1);
        folder.append("b", "");
        let state: serde_json::Value = {
            let positions = run.committed(usize::MAX);
            let file = positions.iter().find(|(key, _)| &***key != META).unwrap();
            serde_json::from_str(file.1).unwrap()
        };
        assert_eq!(state["offset"], 6);
        folder.append("a.log", "-rest\nnext\n");
        run.until_count(3);
        assert_eq!(run.lines(), ["whole", "half-rest", "next"]);
    }
}

#[test]
fn carriage_returns_go_and_empty_lines_are_counted() {
    let folder = Folder::new();
    folder.append("a.log", "one\r\n\r\n\n\ntwo\r\nthr\ree\n");
    let mut run = Run::with(&folder.options("a.log", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["one", "two", "thr\ree"]);
    assert_eq!(run.records.iter().map(|r| r.offset).collect::<Vec<_>>(), [0, 9, 14]);
    assert_eq!(run.fact(FactKind::LinesEmpty), 3);
    assert_eq!(run.fact(FactKind::RecordsRead), 3);
    assert_eq!(run.fact(FactKind::BytesRead), 21);
}

#[test]
fn bytes_that_are_no_text_are_handed_over_as_they_are() {
    let folder = Folder::new();
    folder.append("a.log", b"\xef\xbb\xbfbom\n\xff\xfe bad\nin\0side\n\xc3\xa9t\xc3\xa9\n");
    let mut run = Run::with(&folder.options("a.log", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["bom", "\u{fffd}\u{fffd} bad", "in\0side", "été"]);
    assert_eq!(run.records[0].offset, 3);
}

#[test]
fn characters_across_a_read_boundary_stay_whole() {
    let folder = Folder::new();
    let text = (0..60_000).map(|n| format!("é{n}ü")).collect::<Vec<_>>().join("\n") + "\n";
    folder.append("a.log", &text);
    let mut run = Run::with(&folder.options("a.log", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), text.lines().collect::<Vec<_>>());
    assert!(run.positions.len() > 2, "several batches");
}

#[test]
fn utf16_is_told_loudly() {
    let folder = Folder::new();
    folder.append("a.log", b"\xff\xfeh\0i\0\n\0");
    let mut run = Run::with(&folder.options("a.log", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    assert!(run.told.iter().any(|told| told.contains("UTF-16")), "{:?}", run.told);
    assert_eq!(run.fact(FactKind::SourceErrors), 1);
}

#[test]
fn long_lines_are_cut_and_the_file_goes_on() {
    for (length, cut) in [(999, false), (1000, false), (1001, true), (40_000, true)] {
        let folder = Folder::new();
        folder.append("a.log", format!("before\n{}\r\nafter\n", "z".repeat(length)));
        let mut options = folder.options("a.log", Events::Watch);
        options.line_max = 1000;
        let mut run = Run::with(&options, Positions::new(), Until::Eof);
        run.until_end();
        let (kept, after) = (length.min(1000), 7 + length as u64 + 2);
        assert_eq!(run.lines(), ["before", &"z".repeat(kept), "after"]);
        assert_eq!(run.records[1].full_length, length as u64);
        assert_eq!(run.records[1].flags.contains(RecordFlags::TRUNCATED), cut);
        assert_eq!(run.records[2].offset, after);
        assert_eq!(run.fact(FactKind::RecordsTruncated), u64::from(cut));
    }
}

#[test]
fn a_line_of_many_batches_is_cut_without_being_kept() {
    let folder = Folder::new();
    folder.append("a.log", "before\n");
    let long = "z".repeat(1024 * 1024);
    for _ in 0..20 {
        folder.append("a.log", &long);
    }
    folder.append("a.log", "\r\nafter\n");
    for line_max in [64, 64 * 1024, 1024 * 1024] {
        let mut options = folder.options("a.log", Events::Watch);
        options.line_max = line_max;
        let mut run = Run::with(&options, Positions::new(), Until::Eof);
        run.until_end();
        assert_eq!(run.lines(), ["before", &"z".repeat(line_max), "after"]);
        assert_eq!(run.records[1].full_length, 20 * 1024 * 1024);
        assert!(run.records[1].flags.contains(RecordFlags::TRUNCATED));
        assert_eq!(run.records[2].offset, 7 + 20 * 1024 * 1024 + 2);
    }
}

#[test]
fn a_line_longer_than_a_batch_but_allowed_is_whole() {
    let folder = Folder::new();
    let long = "q".repeat(700_000);
    folder.append("a.log", format!("a\n{long}\nb\n"));
    let mut options = folder.options("a.log", Events::Watch);
    options.line_max = 1024 * 1024;
    let mut run = Run::with(&options, Positions::new(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["a", &long, "b"]);
    assert_eq!(run.records[1].flags, RecordFlags::NONE);
}

#[test]
fn nul_padding_is_skipped_and_read_again_when_it_is_overwritten() {
    use std::os::unix::fs::FileExt;
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", "one\nhal");
        folder.append("a.log", vec![0; 600_000]);
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(1);
        let file = OpenOptions::new().write(true).open(folder.path("a.log")).unwrap();
        file.write_all_at(b"f\ntwo\n", 7).unwrap();
        run.until_count(3);
        file.write_all_at(b"three\n", 13).unwrap();
        run.until_count(4);
        assert_eq!(run.lines(), ["one", "half", "two", "three"]);
    }
}

#[test]
fn lines_behind_a_hole_are_read() {
    let folder = Folder::new();
    let mut content = vec![0; 900_000];
    content.extend_from_slice(b"behind\nnext\n");
    folder.append("a.log", content);
    folder.append("b.log", b"\0\0\0\0near\n\0\0far\n");
    let mut run = Run::with(&folder.options("*.log", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    let mut lines = run.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["behind", "far", "near", "next"]);
    let behind = run.records.iter().find(|record| record.text == "behind").unwrap();
    assert_eq!(behind.offset, 900_000);
}

#[test]
fn at_the_end_an_unterminated_line_is_a_record_and_its_rest_another() {
    let folder = Folder::new();
    folder.append("a.log", "one\nunfin");
    let options = folder.options("a.log", Events::Watch);
    let mut run = Run::with(&options, Positions::new(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["one", "unfin"]);
    assert_eq!(run.records[1].flags, RecordFlags::UNTERMINATED);
    assert_eq!(run.fact(FactKind::RecordsUnterminated), 1);
    let committed = run.committed(usize::MAX);
    folder.append("a.log", "ished\ntwo\n");
    let mut run = Run::with(&options, committed, Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["ished", "two"]);
}

#[test]
fn an_empty_file_is_read_at_its_first_line() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", "");
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_started();
        folder.append("a.log", "twenty bytes of text\n");
        run.until_count(1);
        assert_eq!(run.lines(), ["twenty bytes of text"]);
    }
}
