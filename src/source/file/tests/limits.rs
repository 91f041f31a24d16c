//! What is refused, what is missing, what there is too much of.

use super::*;
use crate::diagnostic::SourceText;
use rustix::fs::{CWD, FileType, Mode};
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn what_is_no_regular_file_is_refused_with_a_reason() {
    for events in MODES {
        let folder = Folder::new();
        fs::create_dir(folder.path("folder.log")).unwrap();
        symlink(folder.path("nothing"), folder.path("dangling.log")).unwrap();
        symlink(folder.path("loop.log"), folder.path("loop.log")).unwrap();
        symlink("/dev/zero", folder.path("device.log")).unwrap();
        rustix::fs::mknodat(CWD, folder.path("pipe.log"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        folder.append("real.log", "line\n");
        let mut run = Run::new(&folder.options("*.log", events));
        run.until_count(1);
        for name in ["folder", "dangling", "loop", "device", "pipe"] {
            let told = run.told.iter().filter(|told| told.contains(&format!("{name}.log")));
            assert_eq!(told.count(), 1, "{name}: {:?}", run.told);
        }
    }
}

#[test]
fn compressed_files_are_remarked_once() {
    let folder = Folder::new();
    folder.append("a.log.2.gz", "junk\n");
    folder.append("a.log.3.gz", "junk\n");
    folder.append("a.log", "line\n");
    let mut run = Run::with(&folder.options("a.log*", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["line"]);
    assert!(run.told.iter().any(|told| told.starts_with("2 compressed files")), "{:?}", run.told);
    assert_eq!(run.fact(FactKind::SourceErrors), 0);
}

#[test]
fn a_lost_permission_is_told_and_nothing_is_lost_when_it_returns() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    for events in MODES {
        let folder = Folder::new();
        folder.append("a.log", "line\n");
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(folder.path("a.log"), closed).unwrap();
        let mut run = Run::new(&folder.options("a.log", events));
        run.until(|run| run.fact(FactKind::SourceErrors) > 0);
        fs::set_permissions(folder.path("a.log"), fs::Permissions::from_mode(0o600)).unwrap();
        run.until_count(1);
        assert_eq!(run.lines(), ["line"]);
    }
}

#[test]
fn more_files_than_may_be_open_are_all_read() {
    let folder = Folder::new();
    let count = tailer::FDS_MAX * 3;
    for number in 0..count {
        folder.append(&format!("{number}.log"), format!("first {number}\n"));
    }
    let mut run = Run::new(&folder.options("*.log", Events::Watch));
    run.until_count(count);
    for number in 0..count {
        folder.append(&format!("{number}.log"), format!("second {number}\n"));
    }
    run.until_count(2 * count);
    let mut lines = run.lines();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 2 * count);
}

#[test]
fn several_large_files_take_turns() {
    let folder = Folder::new();
    folder.append("a.log", numbered(0..20_000));
    folder.append("b.log", numbered(0..20_000));
    let mut run = Run::with(&folder.options("*.log", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    let first_b = run.records.iter().position(|r| r.path.ends_with("b.log")).unwrap();
    assert!(first_b < 8_000, "b begins after {first_b} lines of a");
    assert_eq!(run.records.len(), 40_000);
}

#[test]
fn rotated_files_that_are_there_at_the_start_are_read_oldest_first() {
    let folder = Folder::new();
    for (name, range, day) in
        [("a.log", 20_000..20_010, 3), ("a.log.1", 10_000..20_000, 2), ("a.log.2", 0..10_000, 1)]
    {
        folder.append(name, numbered(range));
        let file = OpenOptions::new().append(true).open(folder.path(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(day * 86_400)).unwrap();
    }
    let mut run = Run::with(&folder.options("a.log*", Events::Watch), Positions::new(), Until::Eof);
    run.until_end();
    assert_numbered(&run, 0..20_010);
}

#[test]
fn a_batch_is_bounded_and_its_positions_are_those_of_its_records() {
    let folder = Folder::new();
    folder.append("a.log", numbered(0..20_000));
    folder.append("b.log", "\n".repeat(300_000) + &"y\n".repeat(50_000));
    let options = folder.options("*.log", Events::Watch);
    let mut run = Run::with(&options, Positions::new(), Until::Eof);
    run.until_end();
    let total = run.records.len();
    assert_eq!(total, 70_000);
    for batch in [1, run.positions.len() / 2, run.positions.len() - 1] {
        let before = run.records.iter().filter(|record| record.batch < batch).count();
        let mut rest = Run::with(&options, run.committed(batch), Until::Eof);
        rest.until_end();
        assert_eq!(before + rest.records.len(), total, "from batch {batch}");
    }
}

#[test]
fn excluded_files_are_not_read() {
    let folder = Folder::new();
    folder.append("a.log", "a\n");
    folder.append("b.log", "b\n");
    let mut options = folder.options("*.log", Events::Watch);
    options.patterns.exclude.push(Pattern::new("b*").unwrap());
    let mut run = Run::with(&options, Positions::new(), Until::Eof);
    run.until_end();
    assert_eq!(run.lines(), ["a"]);
}

#[test]
fn wrong_configurations_are_explained() {
    for (text, message) in [
        ("kind: file", "this file source has no `paths`"),
        ("kind: file\npaths: [\"/a/[\"]", "is not a path pattern"),
        ("kind: file\npaths: /a\nstart: middle", "unknown start `middle`"),
        ("kind: file\npaths: /a\nmax_line: big", "`max_line` is a size"),
        ("kind: file\npaths: /a\npoll: 1ms", "`poll` is a time"),
        ("kind: file\npaths: /a\npath: /b", "unknown file source key `path`"),
    ] {
        let source = SourceText::new("c.yml", text);
        let node = crate::yaml::parse(&source).unwrap().remove(0);
        let mut problems = Problems::new(&source);
        build(&node, &mut problems);
        assert_eq!(problems.list.len(), 1, "{text}");
        assert!(problems.list[0].message.contains(message), "{}", problems.list[0].message);
    }
}
