//! Stops at any point, and what happens while the source is down.

use super::*;

#[test]
fn the_first_start_at_the_end_reads_only_what_comes_later() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", "old\nold half");
        let mut options = folder.options("*.log", events);
        options.start = Start::End;
        let mut run = Run::new(&options);
        run.until_started();
        folder.append("a.log", " line\nnew\n");
        folder.append("b.log", "later file\n");
        run.until_count(3);
        let mut lines = run.lines();
        lines.sort_unstable();
        assert_eq!(lines, ["later file", "new", "old half line"]);
        let committed = run.kill().all();
        folder.append("a.log", "while down\n");
        folder.append("c.log", "born while down\n");
        let mut run = Run::resumed(&options, committed);
        run.until_count(2);
        let mut lines = run.lines();
        lines.sort_unstable();
        assert_eq!(lines, ["born while down", "while down"]);
    }
}

#[test]
fn a_path_added_later_begins_where_the_configuration_says() {
    let folder = Folder::new();
    folder.append("a.log", "a\n");
    folder.append("b.txt", "old\n");
    let mut options = folder.options("*.log", Events::Watch);
    options.start = Start::End;
    let mut run = Run::new(&options);
    run.until_started();
    let committed = run.kill().all();
    options.patterns.include.push(folder.path("*.txt").to_string_lossy().into_owned());
    let mut run = Run::resumed(&options, committed.clone());
    run.until_started();
    folder.append("b.txt", "new\n");
    run.until_count(1);
    assert_eq!(run.lines(), ["new"]);
    let all = run.kill().all();
    // Taken out of the configuration, its position stays for the day it comes back.
    options.patterns.include.remove(0);
    let mut run = Run::with(&options, all.clone(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), Vec::<&str>::new());
    let kept = run.committed(usize::MAX);
    assert!(all.keys().all(|key| kept.contains_key(key)));
}

/// Small steps of a fixed generator, so that a failure repeats.
fn random(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[test]
fn a_crash_at_any_batch_loses_nothing_and_repeats_with_the_same_ids() {
    let folder = Folder::new();
    let mut written = 0;
    let options = folder.options("a.log", Events::Watch);
    let mut positions = Positions::new();
    let mut seed = 11;
    let mut ids: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for round in 0..40 {
        let mut run = Run::resumed(&options, positions.clone());
        let before = written;
        let some = 200 + random(&mut seed) % 12_000;
        folder.append("a.log", numbered(written..written + some));
        written += some;
        match random(&mut seed) % 4 {
            0 if round % 3 == 0 => {
                drop(fs::rename(folder.path("a.log.1"), folder.path("a.log.2")));
                folder.rename("a.log", "a.log.1");
                folder.append("a.log", numbered(written..written + 50));
                written += 50;
            }
            _ => folder.append("a.log", ""),
        }
        // Until the last line is there; or, every other round, only for a while.
        let want = line(if round % 2 == 0 { written - 1 } else { before });
        run.until(|run| run.lines().contains(&want.as_str()));
        let stopped = run.kill();
        let lines = |got: &Got| !got.flags.contains(RecordFlags::SYNTHETIC);
        for record in stopped.records.into_iter().filter(lines) {
            let id = (record.stream, record.offset);
            let known = ids.entry(record.text).or_insert(id);
            assert_eq!(*known, id, "the same line again has the same id");
        }
        let batch = random(&mut seed) % stopped.positions.len();
        positions = stopped.positions[batch].clone();
    }
    let mut run = Run::with(&options, positions, Until::Eof);
    run.until_end();
    let lines = run.records.iter().filter(|got| !got.flags.contains(RecordFlags::SYNTHETIC));
    ids.extend(lines.map(|r| (r.text.clone(), (r.stream, r.offset))));
    let missing = (0..written).filter(|number| !ids.contains_key(&line(*number))).count();
    assert_eq!((missing, ids.len()), (0, written));
}

/// Options as they are by default: what is there at the first start is skipped.
fn from_the_end(folder: &Folder, pattern: &str) -> Options {
    Options { start: Start::End, ..folder.options(pattern, Events::Watch) }
}

/// Reads half of 200 lines in one file, and gives the position in the middle.
fn half_read(folder: &Folder, options: &Options) -> Positions {
    folder.append("a.log", numbered(0..100));
    let mut run = Run::new(&Options { start: Start::Beginning, ..options.clone() });
    run.until_count(100);
    let committed = run.kill().all();
    folder.append("a.log", numbered(100..200));
    committed
}

#[test]
fn a_rotation_while_down_is_followed_out_of_the_pattern() {
    for pattern in ["a.log", "a.log*"] {
        let folder = Folder::new();
        let options = from_the_end(&folder, pattern);
        let positions = half_read(&folder, &options);
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(200..250));
        let mut run = Run::with(&options, positions.clone(), Until::Eof);
        run.until_end();
        assert_numbered(&run, 100..250);
        assert_eq!(run.gaps(), Vec::<serde_json::Value>::new());
        // Two of them.
        folder.rename("a.log.1", "a.log.2");
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(250..300));
        let mut run = Run::with(&options, positions, Until::Eof);
        run.until_end();
        assert_numbered(&run, 100..300);
    }
}

#[test]
fn an_older_rotated_file_is_not_taken_for_a_later_one() {
    let folder = Folder::new();
    folder.append("a.log.1", "older\n");
    let options = from_the_end(&folder, "a.log");
    let positions = half_read(&folder, &options);
    folder.rename("a.log.1", "a.log.2");
    folder.rename("a.log", "a.log.1");
    let mut run = Run::with(&options, positions, Until::Eof);
    run.until_end();
    assert_numbered(&run, 100..200);
}

#[test]
fn copytruncate_while_down_reads_the_rest_from_the_copy() {
    for pattern in ["a.log", "a.log*"] {
        let folder = Folder::new();
        let options = from_the_end(&folder, pattern);
        let positions = half_read(&folder, &options);
        folder.copy_truncate("a.log", "a.log.1");
        folder.append("a.log", numbered(200..450));
        let mut run = Run::with(&options, positions.clone(), Until::Eof);
        run.until_end();
        assert_numbered(&run, 100..450);
        folder.rename("a.log.1", "a.log.2");
        folder.copy_truncate("a.log", "a.log.1");
        folder.append("a.log", numbered(450..460));
        let mut run = Run::with(&options, positions, Until::Eof);
        run.until_end();
        assert_numbered(&run, 100..460);
    }
}

#[test]
fn a_position_beyond_the_end_begins_again_with_a_gap() {
    let folder = Folder::new();
    let options = from_the_end(&folder, "a.log");
    let positions = half_read(&folder, &options);
    fs::write(folder.path("a.log"), "short\n").unwrap();
    let mut run = Run::with(&options, positions, Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["short"]);
    assert_eq!(run.gaps().len(), 1);
    assert_eq!(run.gaps()[0]["log.offset"], 7200);
}

#[test]
fn a_file_removed_while_down_is_told_and_its_successor_read() {
    let folder = Folder::new();
    let options = from_the_end(&folder, "a.log");
    let positions = half_read(&folder, &options);
    fs::remove_file(folder.path("a.log")).unwrap();
    folder.append("a.log", "fresh\n");
    let mut run = Run::with(&options, positions, Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["fresh"]);
    assert_eq!(run.gaps().len(), 1);
    assert!(["removed", "truncated"].contains(&run.gaps()[0]["tail.reason"].as_str().unwrap()));
    assert_eq!(run.committed(usize::MAX).len(), 2, "the source and the new file");
}

#[test]
fn the_same_content_on_another_device_is_the_same_file() {
    let folder = Folder::new();
    let options = from_the_end(&folder, "a.log");
    let positions = half_read(&folder, &options);
    let moved: Positions = positions
        .iter()
        .map(|(key, state)| (key.clone(), state.replace("\"dev\":", "\"dev\":77").into()))
        .collect();
    let mut run = Run::with(&options, moved, Until::Eof);
    run.until_end();
    assert_numbered(&run, 100..200);
    assert_eq!(run.gaps(), Vec::<serde_json::Value>::new());
}

#[test]
fn an_unreadable_position_is_told_and_the_file_read_anew() {
    let folder = Folder::new();
    let options = from_the_end(&folder, "a.log");
    let positions = half_read(&folder, &options);
    let torn: Positions = positions
        .iter()
        .map(|(key, state)| {
            let keep = if &**key == META { state.len() } else { state.len() / 2 };
            (key.clone(), state.get(..keep).unwrap().into())
        })
        .collect();
    let mut run = Run::with(&options, torn, Until::Eof);
    run.until_end();
    assert_numbered(&run, 0..200);
    assert!(run.told.iter().any(|told| told.contains("not readable")), "{:?}", run.told);
}

#[test]
fn a_stop_in_the_middle_of_a_line_goes_on_at_its_start() {
    let folder = Folder::new();
    let options = folder.options("a.log", Events::Watch);
    folder.append("a.log", "one\ntw");
    let mut run = Run::new(&options);
    run.until_count(1);
    let committed = run.kill().all();
    folder.append("a.log", "o\n");
    let mut run = Run::with(&options, committed, Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["two"]);
    assert_eq!(run.records[0].offset, 4);
}

#[test]
fn an_older_copy_beside_the_log_is_not_read_when_the_log_is_rotated() {
    for events in MODES {
        let folder = Folder::new();
        let options = folder.options("a.log", events);
        folder.append("a.log", numbered(0..100));
        let mut run = Run::new(&options);
        run.until_count(100);
        fs::copy(folder.path("a.log"), folder.path("a.log.old")).unwrap();
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(100..110));
        run.until_count(110);
        folder.append("a.log", numbered(110..120));
        run.until_count(120);
        assert_numbered(&run, 0..120);
    }
}
