use super::*;
use crate::clock::Clock;
use crate::diagnostic::SourceText;
use crate::event::SourceId;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::channel;

/// A stand-in for journalctl that writes down its arguments.
struct Fake(PathBuf);

impl Fake {
    fn new(body: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("tripline-journal-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let fake = Self(folder);
        let script = format!("echo \"$@\" > '{}'\n{body}\n", fake.0.join("arguments").display());
        fs::write(fake.0.join("script"), script).unwrap();
        fs::set_permissions(fake.0.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    fn source(&self, start: Start) -> Journald {
        let script = self.0.join("script").to_string_lossy().into_owned();
        let filters = vec!["--unit=ssh.service".to_owned(), "_TRANSPORT=syslog".to_owned()];
        Journald { command: vec!["/bin/sh".to_owned(), script], start, filters }
    }

    fn arguments(&self) -> String {
        fs::read_to_string(self.0.join("arguments")).unwrap().trim().to_owned()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn entry(number: u64) -> String {
    format!(
        r#"{{"__CURSOR":"s=ab;i={number:x};b=1;m=2;t=3;x={number:x}","MESSAGE":"entry {number}"}}"#
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Eof,
    Never,
}

fn context(
    positions: BTreeMap<Box<str>, Box<str>>,
    end: End,
) -> (SourceContext, Receiver<Batch>, Arc<AtomicBool>) {
    let (sender, receiver) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let context = SourceContext {
        id: SourceId(1),
        name: "journal".into(),
        positions,
        output: Box::new(move |batch| sender.send(batch).or(Err(Stopped))),
        stop: Arc::clone(&stop),
        until_eof: end == End::Eof,
        clock: Clock::System,
    };
    (context, receiver, stop)
}

#[test]
fn entries_carry_their_sequence_number_and_the_batch_the_last_cursor() {
    let fake = Fake::new(&format!("echo '{}'\necho '{}'", entry(10), entry(11)));
    let (context, receiver, _) = context(BTreeMap::new(), End::Eof);
    fake.source(Start::Beginning).run(context).unwrap();
    let batches: Vec<Batch> = receiver.iter().collect();
    let offsets: Vec<u64> =
        batches.iter().flat_map(|batch| batch.records().map(|r| r.offset)).collect();
    assert_eq!(offsets, [10, 11]);
    let last = batches.last().unwrap();
    assert_eq!(last.positions[0].state.as_deref(), Some("s=ab;i=b;b=1;m=2;t=3;x=b"));
    assert_eq!(
        fake.arguments(),
        "--output=json --all --quiet --unit=ssh.service _TRANSPORT=syslog"
    );
}

#[test]
fn it_goes_on_after_the_committed_cursor() {
    let fake = Fake::new("");
    let (context, _receiver, _) =
        context(BTreeMap::from([(KEY.into(), "s=ab;i=b".into())]), End::Never);
    let error = fake.source(Start::End).run(context).unwrap_err();
    assert!(error.message.contains("ended"), "{error}");
    assert!(fake.arguments().contains("--follow --no-tail --after-cursor=s=ab;i=b"));
}

#[test]
fn the_first_start_at_the_end_asks_for_no_old_lines() {
    let fake = Fake::new("");
    let (context, _receiver, _) = context(BTreeMap::new(), End::Never);
    fake.source(Start::End).run(context).unwrap_err();
    assert!(fake.arguments().contains("--follow --lines=0"), "{}", fake.arguments());
}

#[test]
fn what_the_program_complains_about_is_told() {
    let fake = Fake::new("echo 'no journal files were found' >&2; exit 1");
    let (context, _receiver, _) = context(BTreeMap::new(), End::Eof);
    let error = fake.source(Start::End).run(context).unwrap_err();
    assert!(error.message.contains("no journal files were found"), "{error}");
    let missing = Journald {
        command: vec!["/nonexistent/journalctl".to_owned()],
        start: Start::End,
        filters: Vec::new(),
    };
    let (context, _receiver, _) = self::context(BTreeMap::new(), End::Eof);
    let error = { missing }.run(context).unwrap_err();
    assert!(error.message.starts_with("cannot run `/nonexistent/journalctl`"), "{error}");
}

#[test]
fn a_stop_ends_a_program_that_would_go_on() {
    let fake = Fake::new(&format!("echo '{}'\nexec cat /dev/zero | tr -d '\\0'", entry(1)));
    let (context, receiver, stop) = context(BTreeMap::new(), End::Never);
    let mut source = fake.source(Start::Beginning);
    let thread = std::thread::spawn(move || source.run(context));
    receiver.recv_timeout(Duration::from_secs(30)).unwrap();
    stop.store(true, Ordering::Relaxed);
    assert!(thread.join().unwrap().is_ok());
}

#[test]
fn an_entry_without_a_usable_cursor_still_has_a_fixed_id() {
    assert_eq!(identify(None, b"x"), identify(None, b"x"));
    assert_ne!(identify(None, b"x"), identify(None, b"y"));
    assert_eq!(identify(Some("s=ab;i=1f"), b"x").1, 31);
    assert_eq!(cursor_of(b"{\"__CURSOR\" : \"s=a;i=1\"}"), Some("s=a;i=1".to_owned()));
    assert_eq!(cursor_of(b"{\"__CURSOR\":\"s=a b\"}"), None);
    assert_eq!(cursor_of(b"{\"__CURSOR\":\"s=a"), None);
}

#[test]
fn an_option_cannot_be_smuggled_in_as_a_match() {
    let text = SourceText::new("c.yml", "kind: journald\nmatches: [\"--file=/etc/passwd\"]\n");
    let node = crate::yaml::parse(&text).unwrap().remove(0);
    let mut problems = Problems::new(&text);
    assert!(build(&node, &mut problems).is_none());
    assert!(problems.list[0].message.contains("FIELD=value"));
}
