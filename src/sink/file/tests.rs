use super::*;
use crate::finding::NoticeKind;
use crate::sink::tests::{Sample, build};
use std::os::unix::fs::PermissionsExt as _;

/// A folder of its own for one test, gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let unique = format!("tripline-sink-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn sink(&self, more: &str) -> Box<dyn Sink> {
        let path = self.log();
        let text = format!("kind: file\npath: {}\n{more}", path.display());
        let (sink, problems) = build(&text);
        assert!(problems.is_empty(), "{problems:?}");
        sink.unwrap()
    }

    fn log(&self) -> PathBuf {
        self.0.join("out/log.jsonl")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join("out").join(name)).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn write(sink: &dyn Sink, text: &str) {
    sink.events().unwrap().write(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn incidents_and_events_are_lines_of_one_private_file() {
    let folder = Folder::new("lines");
    let sink = folder.sink("send: [events, incidents]\n");
    assert!(!folder.log().exists(), "building does nothing");
    write(&*sink, "{\"type\":\"event\"}\n");
    let message = Sample::new(NoticeKind::Opened).message(&*sink);
    assert_eq!(sink.send(&message).await, Outcome::Done);
    assert_eq!(folder.read("log.jsonl"), format!("{{\"type\":\"event\"}}\n{}\n", message.payload));
    assert_eq!(fs::metadata(folder.log()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_message_that_a_killed_process_had_written_is_not_written_again() {
    let folder = Folder::new("once");
    let before = folder.sink("");
    let first = Sample::new(NoticeKind::Opened).message(&*before);
    assert_eq!(before.send(&first).await, Outcome::Done);
    drop(before);
    let after = folder.sink("");
    let second = Sample::new(NoticeKind::Resolved).message(&*after);
    for message in [&first, &second] {
        assert_eq!(after.send(message).await, Outcome::Done);
    }
    assert_eq!(folder.read("log.jsonl"), format!("{}\n{}\n", first.payload, second.payload));
    // Only what was in hand at the crash can be there twice; later the same line is a new one.
    assert_eq!(after.send(&first).await, Outcome::Done);
    assert_eq!(folder.read("log.jsonl").lines().count(), 3);
}

#[test]
fn a_torn_last_line_is_closed_when_the_file_is_opened() {
    let folder = Folder::new("torn");
    let sink = folder.sink("send: events\n");
    write(&*sink, "{\"a\":1}\n");
    fs::write(folder.log(), "{\"a\":1}\n{\"half").unwrap();
    let again = folder.sink("send: events\n");
    write(&*again, "{\"b\":2}\n");
    write(&*again, "{\"c\":3}\n");
    assert_eq!(folder.read("log.jsonl"), "{\"a\":1}\n{\"half\n{\"b\":2}\n{\"c\":3}\n");
}

#[test]
fn a_file_that_was_moved_away_is_made_again() {
    let folder = Folder::new("moved");
    let sink = folder.sink("send: events\n");
    write(&*sink, "1\n");
    fs::rename(folder.log(), folder.0.join("out/old")).unwrap();
    write(&*sink, "2\n");
    fs::remove_dir_all(folder.0.join("out")).unwrap();
    write(&*sink, "3\n");
    assert_eq!(folder.read("log.jsonl"), "3\n");
    fs::write(folder.log(), "").unwrap();
    write(&*sink, "4\n");
    assert_eq!(folder.read("log.jsonl"), "4\n");
}

#[test]
fn a_full_file_moves_on_and_the_oldest_goes() {
    let folder = Folder::new("rotate");
    let sink = folder.sink("send: events\nrotate: 64KiB\nkeep: 2\n");
    let line = |n: u8| format!("{}\n", char::from(b'a' + n).to_string().repeat(40_000));
    for n in 0..5 {
        write(&*sink, &line(n));
    }
    assert_eq!(folder.read("log.jsonl"), line(4));
    assert_eq!(folder.read("log.jsonl.1"), line(3));
    assert_eq!(folder.read("log.jsonl.2"), line(2));
    assert!(!folder.0.join("out/log.jsonl.3").exists());
    // A crash between two moves leaves a free number, which takes the next file: nothing is lost.
    fs::rename(folder.0.join("out/log.jsonl.1"), folder.0.join("out/other")).unwrap();
    write(&*sink, &line(5));
    assert_eq!(folder.read("log.jsonl.1"), line(4));
    assert_eq!(folder.read("log.jsonl.2"), line(2));
}

#[tokio::test]
async fn a_wrong_path_holds_and_a_pipe_does_not_block() {
    let folder = Folder::new("wrong");
    let sink = folder.sink("");
    let message = Sample::new(NoticeKind::Opened).message(&*sink);
    fs::write(folder.0.join("out"), "a file where a folder should be").unwrap();
    let outcome = sink.send(&message).await;
    assert!(
        matches!(&outcome, Outcome::Hold { why } | Outcome::Retry { why, .. } if why.contains("log.jsonl")),
        "{outcome:?}"
    );
    fs::remove_file(folder.0.join("out")).unwrap();
    fs::create_dir_all(folder.log()).unwrap();
    assert!(matches!(sink.send(&message).await, Outcome::Hold { .. }));
    fs::remove_dir(folder.log()).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.log()).status().unwrap();
    assert!(pipe.success());
    let outcome = sink.send(&message).await;
    assert!(
        matches!(&outcome, Outcome::Hold { why } if why.ends_with("not a regular file")),
        "{outcome:?}"
    );
    fs::remove_file(folder.log()).unwrap();
    assert_eq!(sink.send(&message).await, Outcome::Done);
}

#[test]
fn a_full_disk_is_tried_again() {
    let full = io::Error::from(ErrorKind::StorageFull);
    let Outcome::Retry { after: None, why, maybe_delivered: false } =
        outcome(Path::new("/x/log.jsonl"), Err(full))
    else {
        panic!("not a retry");
    };
    assert!(why.starts_with("`/x/log.jsonl`: "), "{why}");
}

#[test]
fn several_threads_never_mix_their_lines() {
    let folder = Folder::new("writers");
    let sink = folder.sink("send: events\nrotate: 64KiB\nkeep: 10\n");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let sink = &*sink;
            scope.spawn(move || {
                let line = format!("{}\n", n.to_string().repeat(500));
                for _ in 0..200 {
                    write(sink, &line);
                }
            });
        }
    });
    let text: String = fs::read_dir(folder.0.join("out"))
        .unwrap()
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect();
    assert_eq!(text.lines().count(), 800);
    for line in text.lines() {
        assert_eq!(line, line.chars().next().unwrap().to_string().repeat(500));
    }
}
