//! Files that are renamed, copied, truncated, replaced, removed.

use super::*;

fn truncate(path: &Path, size: u64) {
    File::options().write(true).open(path).unwrap().set_len(size).unwrap();
}

#[test]
fn a_rename_while_caught_up_loses_nothing() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..100));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(100);
        let first = run.records[0].stream;
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(100..150));
        run.until_count(150);
        assert_numbered(&run, 0..150);
        let second = run.records[149].stream;
        assert_ne!(first, second);
        assert_ranges(&run, first, &folder.path("a.log.1"));
        assert_ranges(&run, second, &folder.path("a.log"));
        assert_eq!(run.fact(FactKind::Rotations), 1);
        assert!(run.records.iter().all(|r| r.path.ends_with("/a.log")));
    }
}

#[test]
fn a_rename_while_far_behind_reads_the_old_file_first() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..140_000));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(1);
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(140_000..140_500));
        run.until_count(140_500);
        assert_numbered(&run, 0..140_500);
    }
}

#[test]
fn a_writer_that_goes_on_in_the_renamed_file_is_heard() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..10));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(10);
        let mut writer = OpenOptions::new().append(true).open(folder.path("a.log")).unwrap();
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(10..20));
        run.until_count(20);
        for number in 20..40 {
            writeln!(writer, "{}", line(number)).unwrap();
            run.until_count(number + 1);
        }
        // Long after it was closed it is still looked at.
        run.until(|run| run.positions.iter().flatten().any(is_retired));
        writeln!(writer, "{}", line(40)).unwrap();
        run.until_count(41);
        assert_numbered(&run, 0..41);
    }
}

fn is_retired(position: &Position) -> bool {
    position.state.as_deref().is_some_and(|state| state.contains("\"retired\":true"))
}

#[test]
fn a_new_file_that_is_larger_than_the_old_is_read_whole() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..10));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(10);
        folder.append("a.log", numbered(10..20));
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(20..300));
        run.until_count(300);
        assert_numbered(&run, 0..300);
    }
}

#[test]
fn three_rotations_between_two_looks_are_read_in_order() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..10));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(10);
        folder.append("a.log", numbered(10..20));
        for round in 2..5 {
            for number in (1..round - 1).rev() {
                folder.rename(&format!("a.log.{number}"), &format!("a.log.{}", number + 1));
            }
            folder.rename("a.log", "a.log.1");
            folder.append("a.log", numbered(round * 10..round * 10 + 10));
        }
        run.until_count(50);
        assert_numbered(&run, 0..50);
    }
}

#[test]
fn a_renamed_file_that_matches_again_is_not_read_again() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..20));
        let mut run = Run::new(&folder.options("a.log*", events));
        run.until_count(20);
        folder.rename("a.log", "a.log.1");
        folder.append("a.log", numbered(20..40));
        run.until_count(40);
        folder.rename("a.log.1", "a.log.2");
        folder.rename("a.log", "a.log-20261121");
        folder.append("a.log", numbered(40..60));
        run.until_count(60);
        assert_numbered(&run, 0..60);
    }
}

#[test]
fn a_compressed_file_is_left_alone_and_its_original_drained() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..30_000));
        let mut run = Run::new(&folder.options("a.log*", events));
        run.until_count(1);
        folder.rename("a.log", "a.log.1");
        folder.append("a.log.1.gz", "not lines\nat all\n");
        fs::remove_file(folder.path("a.log.1")).unwrap();
        folder.append("a.log", numbered(30_000..30_010));
        run.until_count(30_010);
        assert_numbered(&run, 0..30_010);
    }
}

#[test]
fn a_file_moved_to_another_folder_is_drained() {
    for events in MODES {
        let folder = Folder::new();
        fs::create_dir(folder.path("old")).unwrap();
        folder.append("a.log", numbered(0..30_000));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(1);
        folder.rename("a.log", "old/a.log");
        folder.append("a.log", numbered(30_000..30_010));
        run.until_count(30_010);
        assert_numbered(&run, 0..30_010);
    }
}

#[test]
fn copytruncate_while_caught_up_loses_and_doubles_nothing() {
    for pattern in ["a.log", "a.log*"] {
        for events in MODES {
            let folder = Folder::new();
            folder.append("a.log", numbered(0..50));
            let mut run = Run::new(&folder.options(pattern, events));
            run.until_count(50);
            let first = run.records[0].stream;
            folder.copy_truncate("a.log", "a.log.1");
            folder.append("a.log", numbered(50..80));
            run.until_count(80);
            assert_numbered(&run, 0..80);
            assert_ne!(run.records[79].stream, first, "offsets begin again in another stream");
            assert_eq!(run.records[50].offset, 0);
            assert_eq!(run.gaps(), Vec::<serde_json::Value>::new());
            folder.append("a.log", numbered(80..81));
            run.until_count(81);
        }
    }
}

#[test]
fn copytruncate_while_far_behind_reads_the_rest_from_the_copy() {
    for pattern in ["a.log", "a.log*"] {
        for events in MODES {
            let folder = Folder::new();
            folder.append("a.log", numbered(0..140_000));
            let mut run = Run::new(&folder.options(pattern, events));
            run.until_count(1);
            let first = run.records[0].stream;
            folder.copy_truncate("a.log", "a.log.1");
            folder.append("a.log", numbered(140_000..140_500));
            run.until_count(140_500);
            assert_numbered(&run, 0..140_500);
            assert_eq!(run.records[139_999].stream, first, "the copy goes on in the same stream");
            assert_eq!(run.records[139_999].offset, 139_999 * 72);
            assert_eq!(run.gaps(), Vec::<serde_json::Value>::new());
        }
    }
}

#[test]
fn truncation_without_a_copy_while_behind_is_told_with_the_bytes() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..140_000));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(1);
        truncate(&folder.path("a.log"), 0);
        folder.append("a.log", "after\n");
        run.until(|run| run.lines().last() == Some(&"after"));
        let gaps = run.gaps();
        assert_eq!(gaps.len(), 1);
        let read = run.lines().len() - 1;
        assert!(read < 140_000);
        assert_eq!(gaps[0]["event.action"], "tail.gap");
        assert_eq!(gaps[0]["tail.reason"], "truncated");
        assert_eq!(gaps[0]["tail.lost_bytes"], (140_000 - read) * 72);
        assert_eq!(run.fact(FactKind::Gaps), 1);
        assert_eq!(run.fact(FactKind::GapBytes), ((140_000 - read) * 72) as u64);
    }
}

#[test]
fn growth_beyond_the_old_offset_after_a_truncation_is_seen() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..20));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(20);
        fs::write(folder.path("a.log"), numbered(20..70)).unwrap();
        run.until_count(70);
        assert_numbered(&run, 0..70);
        assert_eq!(run.gaps(), Vec::<serde_json::Value>::new());
        // The same size as before.
        fs::write(folder.path("a.log"), numbered(70..120)).unwrap();
        run.until_count(120);
        assert_numbered(&run, 0..120);
        assert_eq!(run.fact(FactKind::Truncations), 2);
    }
}

#[test]
fn truncation_to_less_than_was_read_reads_what_is_left_anew() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..20));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(20);
        truncate(&folder.path("a.log"), 72 * 5);
        run.until_count(25);
        assert_eq!(run.lines()[20..], (0..5).map(line).collect::<Vec<_>>());
        assert_ne!(run.records[20].stream, run.records[0].stream);
    }
}

#[test]
fn an_edit_that_replaces_the_file_goes_on_where_it_was() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..100));
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(100);
        folder.append("tmp", numbered(0..99));
        folder.rename("tmp", "a.log");
        run.until(|run| run.fact(FactKind::Rotations) == 1);
        folder.append("a.log", numbered(100..110));
        run.until_count(110);
        assert_numbered(&run, 0..110);
        let streams: std::collections::BTreeSet<u64> =
            run.records.iter().map(|record| record.stream).collect();
        assert_eq!(streams.len(), 1);
    }
}

#[test]
fn delete_and_create_is_a_new_file_and_an_unfinished_line_is_flagged() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..30_000) + "unfinished");
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(1);
        fs::remove_file(folder.path("a.log")).unwrap();
        folder.append("a.log", "new\n");
        run.until_count(30_002);
        let last: Vec<&Got> = run.records.iter().filter(|r| r.text == "unfinished").collect();
        assert_eq!(last.len(), 1);
        assert_eq!(last[0].flags, RecordFlags::UNTERMINATED);
        assert_eq!(run.lines().iter().filter(|text| **text == "new").count(), 1);
        run.until(|run| run.committed(usize::MAX).len() == 2);
        let left = run.committed(usize::MAX);
        assert!(left.contains_key(META), "and the new file: {left:?}");
    }
}

#[test]
fn one_inode_is_read_once_whatever_leads_to_it() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..10));
        fs::hard_link(folder.path("a.log"), folder.path("b.log")).unwrap();
        std::os::unix::fs::symlink(folder.path("a.log"), folder.path("c.log")).unwrap();
        let mut options = folder.options("*.log", events);
        options.patterns.include.push(folder.path("a*").to_string_lossy().into_owned());
        let mut run = Run::new(&options);
        run.until_count(10);
        folder.append("a.log", numbered(10..20));
        run.until_count(20);
        folder.append("d.log", numbered(20..21));
        run.until_count(21);
        assert_numbered(&run, 0..21);
    }
}

#[test]
fn files_with_the_same_beginning_are_different_files() {
    for events in MODES {
        let folder = Folder::new();
        let banner = "b".repeat(4095) + "\n";
        folder.append("a.log", banner.clone() + "a1\n");
        folder.append("b.log", banner.clone() + "b1\n");
        let mut run = Run::new(&folder.options("*.log", events));
        run.until_count(4);
        folder.append("c.log", banner + "c1\n");
        run.until_count(6);
        let mut short: Vec<&str> = run.lines().into_iter().filter(|l| l.len() < 9).collect();
        short.sort_unstable();
        assert_eq!(short, ["a1", "b1", "c1"]);
    }
}

#[test]
fn a_plain_copy_is_told_and_read_as_another_file() {
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", numbered(0..10));
        let mut run = Run::new(&folder.options("a.log*", events));
        run.until_count(10);
        fs::copy(folder.path("a.log"), folder.path("a.log.1")).unwrap();
        run.until_count(20);
        assert!(run.told.iter().any(|told| told.contains("begins like")), "{:?}", run.told);
    }
}

#[test]
fn a_link_that_turns_is_followed() {
    for events in MODES {
        let folder = Folder::new();
        fs::create_dir(folder.path("data")).unwrap();
        folder.append("data/one", numbered(0..20_000));
        folder.append("data/two", numbered(20_000..20_020));
        std::os::unix::fs::symlink(folder.path("data/one"), folder.path("a.log")).unwrap();
        let mut run = Run::new(&folder.options("a.log", events));
        run.until_count(1);
        std::os::unix::fs::symlink(folder.path("data/two"), folder.path("turned")).unwrap();
        folder.rename("turned", "a.log");
        run.until_count(20_020);
        folder.append("data/two", numbered(20_020..20_030));
        run.until_count(20_030);
        assert_numbered(&run, 0..20_030);
    }
}

#[test]
fn folders_that_come_later_or_are_replaced_are_found() {
    for events in MODES {
        let folder = Folder::new();
        let mut run = Run::new(&folder.options("sub/*.log", events));
        run.until_started();
        fs::create_dir(folder.path("sub")).unwrap();
        folder.append("sub/a.log", numbered(0..5));
        run.until_count(5);
        folder.rename("sub", "gone");
        fs::create_dir(folder.path("sub")).unwrap();
        folder.append("sub/a.log", numbered(5..10));
        run.until_count(10);
        folder.append("sub/a.log", numbered(10..15));
        run.until_count(15);
        assert_numbered(&run, 0..15);
    }
}
