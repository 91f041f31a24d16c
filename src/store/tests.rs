use super::*;
use crate::event::FlatEvent;
use crate::fact::FactKind;
use crate::finding::{
    AlertType, EVIDENCE_MAX, Finding, Incident, IncidentChange, IncidentId, Level, NoticeKind,
    Phase, RuleHead, StateChange, Status, Step, TimelineEntry,
};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own for a test, gone afterwards.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tripline-store-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.0, &small())
    }

    fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    fn raw(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn small() -> OpenOptions {
    OpenOptions { busy_timeout: Duration::ZERO, reserve_bytes: 4096, ..OpenOptions::default() }
}

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_790_000_000 + seconds)
}

pub(super) fn id(text: &str) -> IncidentId {
    IncidentId(text.into())
}

fn incident(name: &str, count: u64) -> Incident {
    Incident {
        id: id(name),
        rule: Arc::new(RuleHead {
            id: "r-1".into(),
            title: "Many failed \"logins\"".into(),
            level: Level::High,
            alert_type: AlertType::BruteForce,
            tags: vec!["attack.t1110".into(), "pos".into()],
            description: "".into(),
        }),
        group: vec![("source.ip".into(), "192.0.2.1".into()), ("user.name".into(), "ü\0".into())],
        status: Status::Open,
        count,
        episodes: 2,
        first_seen: at(0),
        last_seen: at(count as i64),
        evidence: 3,
        revision: 4,
        notified_count: u64::MAX,
    }
}

fn event(name: &str) -> FlatEvent {
    let json = serde_json::json!({"event.id": name, "event.original": "a\u{0}\"b", "n": 1.5});
    FlatEvent(json.as_object().unwrap().clone())
}

fn entry(seconds: i64, text: &str) -> TimelineEntry {
    TimelineEntry { time: at(seconds), actor: "ann".into(), text: text.into() }
}

fn state(key: u32, value: Option<&[u8]>) -> StateChange {
    StateChange { kind: "window", key: key.to_be_bytes().into(), value: value.map(Into::into) }
}

type State = (String, Vec<u8>, Vec<u8>);

fn load(store: &Store) -> (Loaded, Vec<State>) {
    let mut states = Vec::new();
    let loaded = store
        .load(|piece| states.push((piece.kind.into(), piece.key.into(), piece.value.into())))
        .unwrap();
    (loaded, states)
}

/// Everything at once, all saying the same number.
fn write(store: &mut Store, number: u32) -> Result<(), StoreError> {
    store.transaction(|commit| {
        commit.position("auth", "f1", Some(&number.to_string()))?;
        commit.state(&state(number % 7, Some(&number.to_be_bytes())))?;
        commit.incident(&IncidentChange::Head(incident("inc-1", u64::from(number))))?;
        commit.count(FactKind::Commits, Some("auth"), 1)?;
        Ok(())
    })
}

/// The number that [`write`] wrote last, checked in every table; 0 if there is none.
fn written(store: &Store) -> u32 {
    let (loaded, states) = load(store);
    let Some(positions) = loaded.positions.get("auth") else {
        assert_eq!((states.len(), loaded.incidents.len()), (0, 0));
        return 0;
    };
    let number: u32 = positions["f1"].parse().unwrap();
    assert_eq!(loaded.incidents[0].count, u64::from(number));
    assert_eq!(loaded.counters[0].value, u64::from(number));
    let latest = states.iter().map(|(_, _, value)| value.clone()).max();
    assert_eq!(latest, Some(number.to_be_bytes().to_vec()));
    number
}

#[test]
fn what_was_committed_is_loaded_again() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let resolved = Incident { status: Status::Resolved, ..incident("inc-2", 1) };
    let sink = SinkState {
        sink: "soc".into(),
        breaker: Breaker::Half,
        opened_at: Some(at(1)),
        fail_streak: 5,
        hold_reason: Some("401".into()),
        not_before: Some(at(9)),
    };
    store
        .transaction(|commit| {
            commit.position("auth", "f1", Some("{\"offset\":1}"))?;
            commit.position("auth", "f1", Some("{\"offset\":2}"))?;
            commit.position("auth", "gone", Some("{}"))?;
            commit.position("auth", "gone", None)?;
            commit.position("app", "f1", Some("{}"))?;
            commit.states(&[
                state(2, Some(b"two")),
                state(1, Some(b"one")),
                state(2, Some(b"\0two\xff")),
                state(1, None),
            ])?;
            commit.incident(&IncidentChange::Head(incident("inc-1", 7)))?;
            commit.incident(&IncidentChange::Head(resolved.clone()))?;
            commit.sink(&sink)?;
            commit.count(FactKind::RecordsRead, None, 3)?;
            commit.count(FactKind::RecordsRead, None, 4)?;
            Ok::<_, StoreError>(())
        })
        .unwrap();
    drop(store);
    let (loaded, states) = load(&folder.open().unwrap());
    let positions: Vec<(&str, &str, &str)> = loaded
        .positions
        .iter()
        .flat_map(|(source, streams)| {
            streams.iter().map(move |(stream, state)| (&**source, &**stream, &**state))
        })
        .collect();
    assert_eq!(positions, [("app", "f1", "{}"), ("auth", "f1", "{\"offset\":2}")]);
    assert_eq!(states, [("window".to_owned(), vec![0, 0, 0, 2], b"\0two\xff".to_vec())]);
    assert_eq!(loaded.incidents, [incident("inc-1", 7)]);
    assert_eq!(loaded.sinks, [sink]);
    let counter = CounterValue { kind: "records_read".into(), source: "".into(), value: 7 };
    assert_eq!(loaded.counters, [counter]);
}

#[test]
fn an_error_of_the_work_undoes_all_of_it() {
    #[derive(Debug)]
    enum WorkError {
        Store,
        Own,
    }
    impl From<StoreError> for WorkError {
        fn from(_: StoreError) -> Self {
            Self::Store
        }
    }
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    write(&mut store, 1).unwrap();
    let result: Result<(), WorkError> = store.transaction(|commit| {
        commit.position("auth", "f1", Some("2"))?;
        Err(WorkError::Own)
    });
    assert!(matches!(result, Err(WorkError::Own)));
    assert_eq!(written(&store), 1);
    write(&mut store, 2).unwrap();
    assert_eq!(written(&store), 2);
}

#[test]
fn a_reader_holds_up_neither_commit_nor_checkpoint() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    write(&mut store, 1).unwrap();
    let reader = folder.raw();
    reader.execute_batch("BEGIN; SELECT * FROM position").unwrap();
    write(&mut store, 2).unwrap();
    assert!(!store.checkpoint().unwrap());
    let seen: String =
        reader.query_row("SELECT state FROM position", [], |row| row.get(0)).unwrap();
    assert_eq!(seen, "1");
    reader.execute_batch("COMMIT").unwrap();
    assert!(store.checkpoint().unwrap());
    assert_eq!(folder::wal_bytes(store.path()), 0);
}

#[test]
fn evidence_timeline_and_steps_are_unique_and_capped() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let name = id("inc-1");
    let saved = store
        .transaction(|commit| {
            let mut saved = Vec::new();
            for number in 0..EVIDENCE_MAX {
                let change = IncidentChange::Evidence(name.clone(), event(&format!("e{number}")));
                saved.push(commit.incident(&change)?);
            }
            let again = IncidentChange::Evidence(name.clone(), event("e3"));
            saved.push(commit.incident(&again)?);
            let more = IncidentChange::Evidence(name.clone(), event("more"));
            saved.push(commit.incident(&more)?);
            for number in 0..TIMELINE_MAX + 2 {
                let entry = entry(i64::from(number), &format!("t{number}"));
                saved.push(commit.incident(&IncidentChange::Timeline(name.clone(), entry))?);
            }
            for (number, text) in [(2, "then"), (1, "old"), (1, "first"), (STEPS_MAX + 1, "no")] {
                let step = Step { incident: name.clone(), number, text: text.into() };
                saved.push(commit.incident(&IncidentChange::Step(step))?);
            }
            commit.incident(&IncidentChange::Head(incident("inc-1", 1)))?;
            assert_eq!(commit.evidence(&name)?.len(), EVIDENCE_MAX);
            assert_eq!(commit.steps(&name)?.len(), 2);
            Ok::<_, StoreError>(saved)
        })
        .unwrap();
    let (evidence, rest) = saved.split_at(EVIDENCE_MAX);
    assert!(evidence.iter().all(|saved| *saved == Saved::Kept));
    assert_eq!(rest[..2], [Saved::Known, Saved::Capped]);
    let timeline = &rest[2..2 + TIMELINE_MAX as usize + 2];
    assert_eq!(timeline.iter().filter(|saved| **saved == Saved::Capped).count(), 2);
    assert_eq!(rest.last(), Some(&Saved::Capped));

    let reader = Reader::open(&folder.0).unwrap();
    let detail = reader.incident(&name).unwrap().unwrap();
    assert_eq!(detail.incident, incident("inc-1", 1));
    assert_eq!(detail.evidence[3], event("e3"));
    assert_eq!(detail.evidence.len(), EVIDENCE_MAX);
    assert_eq!(detail.timeline.len(), TIMELINE_MAX as usize);
    assert_eq!(detail.timeline[0], entry(0, "t0"));
    assert_eq!(&*detail.timeline[1].text, "t3");
    let steps: Vec<&str> = detail.steps.iter().map(|step| &*step.text).collect();
    assert_eq!(steps, ["first", "then"]);
    assert_eq!(reader.incident(&id("none")).unwrap(), None);
}

#[test]
fn a_killed_writer_leaves_the_last_commit() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    for number in 1..=20 {
        write(&mut store, number).unwrap();
        let after = copy(&folder, u64::MAX);
        assert_eq!(written(&after.open().unwrap()), number);
    }
    let during = store
        .transaction(|commit| {
            commit.position("auth", "f1", Some("21"))?;
            Ok::<_, StoreError>(copy(&folder, u64::MAX))
        })
        .unwrap();
    assert_eq!(written(&during.open().unwrap()), 20);
}

#[test]
fn a_torn_log_leaves_an_earlier_commit_whole() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store.checkpoint().unwrap();
    for number in 1..=12 {
        write(&mut store, number).unwrap();
    }
    let length = folder::wal_bytes(&folder.database());
    let mut before = 0;
    let mut seen = std::collections::BTreeSet::new();
    for cut in (0..=length).step_by(1_531) {
        let number = written(&copy(&folder, cut).open().unwrap());
        assert!(number >= before, "{cut}");
        before = number;
        seen.insert(number);
    }
    assert!(seen.len() > 10, "{seen:?}");
    assert_eq!(written(&copy(&folder, length).open().unwrap()), 12);
}

/// What a killed process leaves, with as much of the log as `wal_bytes`.
fn copy(folder: &Folder, wal_bytes: u64) -> Folder {
    let copy = Folder::new();
    fs::copy(folder.database(), copy.database()).unwrap();
    let wal = fs::read(folder.0.join("tripline.db-wal")).unwrap();
    let kept = wal.len().min(usize::try_from(wal_bytes).unwrap_or(usize::MAX));
    fs::write(copy.0.join("tripline.db-wal"), &wal[..kept]).unwrap();
    copy
}

#[test]
fn every_earlier_version_is_migrated() {
    let tables = |sql: &Connection| -> Vec<String> {
        let mut statement =
            sql.prepare("SELECT coalesce(sql, name) FROM sqlite_schema ORDER BY name").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let fresh = Folder::new();
    drop(fresh.open().unwrap());
    let wanted = tables(&fresh.raw());
    for version in 1..=schema::version() {
        let folder = Folder::new();
        let mut old = folder.raw();
        schema::migrate_to(&mut old, 0, version).unwrap();
        old.execute("INSERT INTO position VALUES ('auth', 'f1', '7')", []).unwrap();
        drop(old);
        if version < schema::version() {
            let refused = Reader::open(&folder.0).unwrap_err();
            assert!(matches!(refused, StoreError::Older { found, .. } if found == version));
        }
        let mut store = folder.open().unwrap();
        assert_eq!(&*load(&store).0.positions["auth"]["f1"], "7");
        write(&mut store, 1).unwrap();
        drop(store);
        let sql = folder.raw();
        assert_eq!(tables(&sql), wanted);
        assert_eq!(
            sql.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)).unwrap(),
            schema::version()
        );
    }
}

#[test]
fn the_files_are_private() {
    let parent = Folder::new();
    let path = parent.0.join("a/b");
    let mut store = Store::open(&path, &small()).unwrap();
    write(&mut store, 1).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let mut names: Vec<String> = Vec::new();
    for file in fs::read_dir(&path).unwrap() {
        let file = file.unwrap();
        assert_eq!(mode(&file.path()), 0o600, "{}", file.path().display());
        names.push(file.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(
        names.join(" "),
        "tripline.db tripline.db-shm tripline.db-wal tripline.lock tripline.reserve"
    );
    drop(store);
    fs::set_permissions(path.join("tripline.db"), fs::Permissions::from_mode(0o644)).unwrap();
    drop(Store::open(&path, &small()).unwrap());
    assert_eq!(mode(&path.join("tripline.db")), 0o600);
}

#[test]
fn a_second_agent_is_refused_with_the_pid_of_the_first() {
    let folder = Folder::new();
    let first = folder.open().unwrap();
    let refused = folder.open().unwrap_err();
    let pid = std::process::id();
    assert!(matches!(&refused, StoreError::Locked { pid: Some(found), .. } if *found == pid));
    assert!(refused.to_string().contains(&format!("in use by the agent with pid {pid}\nhint: ")));
    drop(first);
    folder.open().unwrap();
}

#[test]
fn damage_is_named_and_nothing_is_overwritten() {
    let sound = Folder::new();
    let mut store = sound.open().unwrap();
    for number in 0..400 {
        store.transaction(|commit| commit.state(&state(number, Some(&[7; 500])))).unwrap();
    }
    drop(store);
    let bytes = fs::read(sound.database()).unwrap();
    let mut scratched = bytes.clone();
    for page in scratched.chunks_mut(4096).skip(4) {
        page[..64].fill(0xa5);
    }
    let half = bytes[..bytes.len() / 2].to_vec();
    let cases = [
        ("noise", vec![0x5a; 9_000]),
        ("scratched", scratched),
        ("half", half),
        ("text", b"hello\n".to_vec()),
    ];
    for (name, damaged) in cases {
        let folder = Folder::new();
        fs::write(folder.database(), &damaged).unwrap();
        let error = folder.open().unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{name}: {error:?}");
        assert!(error.to_string().contains("is damaged: "), "{error}");
        assert_eq!(fs::read(folder.database()).unwrap(), damaged, "{name}");
    }
    fs::write(sound.database(), b"").unwrap();
    let emptied = sound.open().unwrap_err();
    assert!(matches!(emptied, StoreError::Damaged { why, .. } if why.contains("empty")));
}

#[test]
fn a_value_nobody_wrote_is_damage() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    write(&mut store, 1).unwrap();
    store.sql.execute("UPDATE incident SET alert_type = 'NOISE'", []).unwrap();
    let error = store.load(|_| {}).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { why, .. } if why.contains("`NOISE` is no alert type")),
        "{error}"
    );
}

#[test]
fn a_newer_and_a_foreign_database_are_left_alone() {
    let folder = Folder::new();
    drop(folder.open().unwrap());
    folder.raw().pragma_update(None, "user_version", 99).unwrap();
    let newer = folder.open().unwrap_err();
    assert!(matches!(newer, StoreError::Newer { found: 99, known: 4, .. }), "{newer}");
    assert!(matches!(Reader::open(&folder.0).unwrap_err(), StoreError::Newer { .. }));

    let other = Folder::new();
    other.raw().execute_batch("CREATE TABLE mine(a)").unwrap();
    assert!(matches!(other.open().unwrap_err(), StoreError::Foreign { found: 0, .. }));
    let count: i64 =
        other.raw().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 1);
}

#[test]
fn a_read_only_store_is_told_and_still_read() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    write(&mut store, 3).unwrap();
    drop(store);
    // A write format above SQLite's own makes the file read-only to it, also for root.
    let mut bytes = fs::read(folder.database()).unwrap();
    bytes[18] = 3;
    fs::write(folder.database(), &bytes).unwrap();
    assert!(matches!(folder.open().unwrap_err(), StoreError::ReadOnly { .. }));
    let reader = Reader::open(&folder.0).unwrap();
    assert_eq!(reader.incidents(&IncidentQuery::default()).unwrap().incidents.len(), 1);
}

#[test]
fn a_path_that_is_no_folder_is_told() {
    let folder = Folder::new();
    let file = folder.0.join("file");
    fs::write(&file, b"").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Store::open(&path, &small()).unwrap_err();
        assert!(matches!(error, StoreError::Folder { .. }), "{error}");
    }
    assert!(matches!(Reader::open(&folder.0).unwrap_err(), StoreError::Missing { .. }));
    fs::create_dir(folder.database()).unwrap();
    assert!(matches!(folder.open().unwrap_err(), StoreError::Folder { .. }));
}

#[test]
fn another_program_that_holds_the_file_is_waited_for() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let other = folder.raw();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let busy = write(&mut store, 1).unwrap_err();
    assert!(matches!(busy, StoreError::Busy { .. }) && busy.is_passing());
    other.execute_batch("COMMIT").unwrap();
    write(&mut store, 1).unwrap();
    assert_eq!(written(&store), 1);
}

#[test]
fn a_full_store_refuses_and_then_goes_on() {
    let folder = Folder::new();
    let bytes_max = 200 * PAGE_BYTES;
    let options = OpenOptions { size_max: Some(bytes_max), reserve_bytes: 40_960, ..small() };
    let mut store = Store::open(&folder.0, &options).unwrap();
    let name = id("inc-1");
    let owed = NewDelivery { payload: "p", ..delivery(&name) };
    store.transaction(|commit| commit.enqueue(&owed)).unwrap();
    let mut key = 0;
    let full = loop {
        key += 1;
        match store.transaction(|commit| commit.state(&state(key, Some(&[1; 900])))) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(full, StoreError::Full { .. }) && full.is_passing(), "{full}");
    assert!(store.has_reserve(), "a new transaction does not use the reserve up");
    let swallowed: Result<(), StoreError> = store.transaction(|commit| {
        assert!(commit.state(&state(key, Some(&vec![1; 90_000]))).is_err());
        Ok(())
    });
    assert!(matches!(swallowed.unwrap_err(), StoreError::Abandoned { .. }));

    // What was delivered is still marked as such, at the expense of the reserve.
    let request =
        ClaimRequest { sink: "soc", now: at(0), lease: Duration::from_secs(1), boot: "b" };
    let claimed = store.claim(&request).unwrap().unwrap();
    let long = Settlement::Retry {
        next_at: at(1),
        error: "x".repeat(ERROR_TEXT_MAX),
        counted: true,
        maybe_delivered: false,
    };
    let mut ticket = claimed.ticket;
    let mut rounds = 0;
    while store.has_reserve() {
        rounds += 1;
        assert!(rounds < 40);
        store.settle(ticket, &long, at(rounds)).unwrap();
        let request = ClaimRequest { now: at(rounds + 1), ..request };
        ticket = store.claim(&request).unwrap().unwrap().ticket;
    }
    assert!(!folder.0.join("tripline.reserve").exists());
    assert_eq!(store.settle(ticket, &Settlement::Done, at(99)).unwrap(), Settled::Applied);

    // With room again the same transaction succeeds and the reserve is back.
    store.size_max = Some(400 * PAGE_BYTES);
    store.transaction(|commit| commit.state(&state(key, Some(&[1; 900])))).unwrap();
    assert!(store.has_reserve());
    assert_eq!(load(&store).1.len(), key as usize);
}

fn delivery(incident: &IncidentId) -> NewDelivery<'_> {
    NewDelivery {
        sink: "soc",
        id: "inc-1-1",
        incident,
        kind: NoticeKind::Opened,
        revision: 1,
        payload: "{}",
        time: at(0),
        suppressed: None,
    }
}

#[test]
fn incidents_are_listed_page_by_page() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store
        .transaction(|commit| {
            for number in 0..25_u64 {
                let mut one = incident(&format!("inc-{number:02}"), number / 2);
                if number % 5 == 0 {
                    one.status = Status::Resolved;
                }
                commit.incident(&IncidentChange::Head(one))?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let reader = Reader::open(&folder.0).unwrap();
    let mut query = IncidentQuery { limit: 10, ..IncidentQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = reader.incidents(&query).unwrap();
        seen.extend(page.incidents.iter().map(|incident| incident.id.0.to_string()));
        let Some(next) = page.next else { break };
        query.after = IncidentCursor::parse(&next.to_string());
        assert_eq!(query.after, Some(next));
    }
    let wanted: Vec<String> = (0..25).rev().map(|number| format!("inc-{number:02}")).collect();
    assert_eq!(seen, wanted);
    let count = |status, level_min| {
        let query = IncidentQuery { status, level_min, ..IncidentQuery::default() };
        reader.incidents(&query).unwrap().incidents.len()
    };
    assert_eq!(count(Some(Status::Resolved), None), 5);
    assert_eq!(count(None, Some(Level::High)), 25);
    assert_eq!(count(None, Some(Level::Critical)), 0);
    let counts = reader.counts().unwrap();
    assert_eq!(counts.incidents, [(Status::Open, 20), (Status::Resolved, 5)]);
    assert!(counts.store_bytes > 0 && counts.wal_bytes > 0);
    assert_eq!(counts.positions, 0);
    assert!(IncidentCursor::parse("x").is_none() && IncidentCursor::parse("x.y").is_none());
}

fn finding(rule: &str, episode: u64, count: u64) -> Finding {
    let rule = RuleHead { id: rule.into(), ..(*incident("i", 1).rule).clone() };
    Finding {
        rule: Arc::new(rule),
        phase: Phase::Grew,
        episode,
        group: vec![("source.ip".into(), "192.0.2.1".into())],
        time: at(count as i64),
        count,
        first_seen: at(0),
        last_seen: at(count as i64),
        evidence: Vec::new(),
    }
}

#[test]
fn findings_are_counted_once_per_episode() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    store
        .transaction(|commit| {
            for (rule, episode, count) in
                [("a", u64::MAX, 5), ("a", u64::MAX, 9), ("a", 2, 5), ("b", 1, 6)]
            {
                commit.finding(&finding(rule, episode, count))?;
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    let fired = Reader::open(&folder.0).unwrap().rules_fired(at(0), 10).unwrap();
    let seen: Vec<(&str, u64, u64)> =
        fired.iter().map(|rule| (&*rule.rule, rule.findings, rule.occurrences)).collect();
    assert_eq!(seen, [("a", 2, 14), ("b", 1, 6)]);
    assert_eq!((fired[0].level, fired[0].last_seen), (Level::High, at(9)));
}

#[test]
fn retention_forgets_in_slices_and_never_what_is_owed() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let sinks = ["done", "ready", "dead"];
    store
        .transaction(|commit| {
            for number in 0..10 {
                let name = format!("inc-{number}");
                let mut one = incident(&name, 1);
                one.status = if number == 9 { Status::Open } else { Status::Resolved };
                commit.incident(&IncidentChange::Head(one))?;
                commit.incident(&IncidentChange::Evidence(id(&name), event("e")))?;
                commit.incident(&IncidentChange::Timeline(id(&name), entry(0, "opened")))?;
                commit.finding(&finding("a", number, 1))?;
                let incident = id(&name);
                if let Some(sink) = sinks.get(number as usize) {
                    commit.enqueue(&NewDelivery { sink, id: &name, ..delivery(&incident) })?;
                }
            }
            // Resolved late: its history is young.
            let late = entry(86_400 * 100, "resolved");
            commit.incident(&IncidentChange::Timeline(id("inc-8"), late.clone()))?;
            let again = Incident { status: Status::Resolved, ..incident("inc-8", 1) };
            commit.incident(&IncidentChange::Head(again))?;
            // The history of a new incident may be written before its head.
            commit.incident(&IncidentChange::Timeline(id("inc-late"), late))?;
            let new = Incident { status: Status::Resolved, ..incident("inc-late", 1) };
            commit.incident(&IncidentChange::Head(new))?;
            Ok::<_, StoreError>(())
        })
        .unwrap();
    for (sink, settlement) in
        [("done", Settlement::Done), ("dead", Settlement::Dead { error: "410".into() })]
    {
        let request = ClaimRequest { sink, now: at(0), lease: Duration::from_secs(1), boot: "b" };
        let claimed = store.claim(&request).unwrap().unwrap();
        store.settle(claimed.ticket, &settlement, at(1)).unwrap();
    }
    let policy = RetentionPolicy::default();
    let young = store.retain(at(86_400 * 80), &policy, 4).unwrap();
    assert_eq!(young, Retained::default());
    let now = at(86_400 * 200);
    let first = store.retain(now, &policy, 4).unwrap();
    assert_eq!((first.incidents, first.deliveries, first.findings, first.more), (4, 1, 4, true));
    let mut more = true;
    while more {
        more = store.retain(now, &policy, 4).unwrap().more;
    }
    let reader = Reader::open(&folder.0).unwrap();
    let kept = reader.incidents(&IncidentQuery::default()).unwrap().incidents;
    let names: Vec<&str> = kept.iter().map(|incident| &*incident.id.0).collect();
    assert_eq!(names, ["inc-late", "inc-9", "inc-8", "inc-2", "inc-1"]);
    let states: Vec<DeliveryState> =
        reader.deliveries(&DeliveryQuery::default()).unwrap().iter().map(|row| row.state).collect();
    assert_eq!(states, [DeliveryState::Ready, DeliveryState::Dead]);
    assert_eq!(reader.rules_fired(at(0), 0).unwrap(), []);
    let left: i64 =
        store.sql.query_row("SELECT count(*) FROM evidence", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 4);
}

#[test]
fn unused_pages_go_back_to_the_disk() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let change = |value| {
        move |commit: &Transaction<'_>| {
            (0..300).try_for_each(|key| commit.state(&state(key, value)))
        }
    };
    store.transaction(change(Some(&[1; 2_000]))).unwrap();
    store.transaction(change(None)).unwrap();
    assert!(store.checkpoint().unwrap());
    let before = fs::metadata(store.path()).unwrap().len();
    store.vacuum(50).unwrap();
    store.checkpoint().unwrap();
    let slice = fs::metadata(store.path()).unwrap().len();
    assert_eq!(before - slice, 50 * PAGE_BYTES);
    store.vacuum(10_000).unwrap();
    store.checkpoint().unwrap();
    assert!(fs::metadata(store.path()).unwrap().len() < before / 2);
    assert_eq!(folder::wal_bytes(store.path()), 0);
}

#[test]
fn a_text_is_cut_between_characters() {
    assert_eq!(cut("short", 5), "short");
    assert_eq!(cut("aüb", 2), "a… (4 bytes)");
}
