use super::*;
use crate::store::tests::{Folder, at, id};
use crate::store::{Breaker, DeliveryQuery, Reader, SinkState, Store, StoreError};
use proptest::prelude::*;
use rusqlite::StatementStatus;

const LEASE: Duration = Duration::from_secs(40);

fn enqueue_one(store: &mut Store, incident: &str, kind: NoticeKind, revision: u32) -> Enqueued {
    let key = format!("{incident}-{revision}");
    let payload = format!("payload of {key}");
    let incident = id(incident);
    let new = NewDelivery {
        sink: "soc",
        id: &key,
        incident: &incident,
        kind,
        revision,
        payload: &payload,
        time: at(0),
        suppressed: None,
    };
    store.transaction(|commit| commit.enqueue(&new)).unwrap()
}

fn request(seconds: i64) -> ClaimRequest<'static> {
    ClaimRequest { sink: "soc", now: at(seconds), lease: LEASE, boot: "boot-1" }
}

fn retry(seconds: i64) -> Settlement {
    Settlement::Retry {
        next_at: at(seconds),
        error: "503".into(),
        counted: true,
        maybe_delivered: false,
    }
}

fn claim_key(store: &mut Store, seconds: i64) -> Option<String> {
    store.claim(&request(seconds)).unwrap().map(|claimed| claimed.key)
}

#[test]
fn a_message_is_owed_once_under_its_key() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let first = enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    assert_eq!(first, Enqueued::New(DeliveryId(1)));
    assert_eq!(enqueue_one(&mut store, "a", NoticeKind::Opened, 1), Enqueued::Known(DeliveryId(1)));
    let claimed = store.claim(&request(5)).unwrap().unwrap();
    assert_eq!(
        claimed,
        Claimed {
            ticket: Ticket { id: DeliveryId(1), attempt: 1 },
            key: "a-1".into(),
            incident: id("a"),
            kind: NoticeKind::Opened,
            revision: 1,
            payload: "payload of a-1".into(),
            failures: 0,
            maybe_delivered: 0,
            created: at(0),
            first_attempt: at(5),
        }
    );
    assert_eq!(store.settle(claimed.ticket, &Settlement::Done, at(6)).unwrap(), Settled::Applied);
    assert_eq!(store.settle(claimed.ticket, &Settlement::Done, at(7)).unwrap(), Settled::Stale);
    assert_eq!(enqueue_one(&mut store, "a", NoticeKind::Opened, 1), Enqueued::Known(DeliveryId(1)));
    assert_eq!(store.claim(&request(99)).unwrap(), None);
    assert_eq!(store.next_due("soc").unwrap(), None);
}

#[test]
fn a_resolution_never_overtakes_and_other_incidents_do_not_wait() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    enqueue_one(&mut store, "a", NoticeKind::Resolved, 2);
    enqueue_one(&mut store, "b", NoticeKind::Opened, 1);
    let opened = store.claim(&request(0)).unwrap().unwrap();
    assert_eq!(opened.key, "a-1");
    assert_eq!(claim_key(&mut store, 0).as_deref(), Some("b-1"));
    assert_eq!(claim_key(&mut store, 0), None);
    store.settle(opened.ticket, &retry(60), at(1)).unwrap();
    assert_eq!(store.next_due("soc").unwrap(), Some(at(60)));
    assert_eq!(claim_key(&mut store, 59), None);
    let again = store.claim(&request(60)).unwrap().unwrap();
    assert_eq!((&*again.key, again.ticket.attempt, again.failures), ("a-1", 2, 1));
    assert_eq!(again.first_attempt, at(0));
    store.settle(again.ticket, &Settlement::Dead { error: "410".into() }, at(61)).unwrap();
    assert_eq!(claim_key(&mut store, 61).as_deref(), Some("a-2"));
}

#[test]
fn a_newer_update_takes_the_place_of_older_ones_that_wait() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    enqueue_one(&mut store, "a", NoticeKind::Updated, 2);
    enqueue_one(&mut store, "a", NoticeKind::Updated, 3);
    enqueue_one(&mut store, "a", NoticeKind::Resolved, 4);
    enqueue_one(&mut store, "a", NoticeKind::Updated, 5);
    enqueue_one(&mut store, "b", NoticeKind::Updated, 2);
    let mut sent = Vec::new();
    while let Some(claimed) = store.claim(&request(0)).unwrap() {
        if claimed.key == "a-5" {
            // In hand: it is being sent and stays.
            enqueue_one(&mut store, "a", NoticeKind::Updated, 6);
        }
        store.settle(claimed.ticket, &Settlement::Done, at(0)).unwrap();
        sent.push(claimed.key);
    }
    assert_eq!(sent, ["a-1", "a-4", "a-5", "b-2", "a-6"]);
    let reader = Reader::open(&folder.0).unwrap();
    let rows = reader.deliveries(&DeliveryQuery::default()).unwrap();
    let superseded: Vec<&str> = rows
        .iter()
        .filter(|row| row.state == DeliveryState::Superseded)
        .map(|row| &*row.key)
        .collect();
    assert_eq!(superseded, ["a-2", "a-3"]);
}

#[test]
fn a_crash_in_mid_attempt_leaves_the_attempt_counted_and_the_payload_the_same() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    let before = store.claim(&request(0)).unwrap().unwrap();
    drop(store);
    let mut store = folder.open().unwrap();
    assert_eq!(store.recovered(), 1);
    let after = store.claim(&request(1)).unwrap().unwrap();
    assert_eq!((after.ticket.attempt, after.maybe_delivered), (2, 1));
    assert_eq!((after.key, after.payload), (before.key, before.payload));
    let late = store.settle(before.ticket, &retry(9), at(2)).unwrap();
    assert_eq!(late, Settled::Stale);
}

#[test]
fn a_lease_that_ended_is_given_to_another_and_a_late_success_counts() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    enqueue_one(&mut store, "a", NoticeKind::Resolved, 2);
    let slow = store.claim(&request(0)).unwrap().unwrap();
    let release = |store: &mut Store, seconds| {
        store.transaction(|commit| commit.release_expired(at(seconds))).unwrap()
    };
    assert_eq!(release(&mut store, 39), 0);
    assert_eq!(release(&mut store, 40), 1);
    assert_eq!(store.settle(slow.ticket, &retry(50), at(41)).unwrap(), Settled::Stale);
    assert_eq!(store.settle(slow.ticket, &Settlement::Done, at(41)).unwrap(), Settled::Applied);
    assert_eq!(claim_key(&mut store, 42).as_deref(), Some("a-2"));
}

#[test]
fn a_claim_that_was_not_tried_never_was() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    let claimed = store.claim(&request(0)).unwrap().unwrap();
    store.settle(claimed.ticket, &Settlement::Ready, at(1)).unwrap();
    let again = store.claim(&request(7)).unwrap().unwrap();
    assert_eq!((again.ticket.attempt, again.first_attempt), (1, at(7)));
}

#[test]
fn a_sink_that_asked_for_patience_gets_it() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    let mut state = SinkState {
        sink: "soc".into(),
        breaker: Breaker::Closed,
        not_before: Some(at(30)),
        ..SinkState::default()
    };
    store.save_sink(&state).unwrap();
    assert_eq!(claim_key(&mut store, 29), None);
    assert_eq!(store.next_due("soc").unwrap(), Some(at(30)));
    state.not_before = None;
    store.save_sink(&state).unwrap();
    assert_eq!(claim_key(&mut store, 29).as_deref(), Some("a-1"));
}

#[test]
fn a_clock_that_was_set_back_does_not_stop_delivery() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    for incident in ["a", "b"] {
        enqueue_one(&mut store, incident, NoticeKind::Opened, 1);
        let claimed = store.claim(&request(0)).unwrap().unwrap();
        let pause = if incident == "a" { 7_200 } else { 60 };
        store.settle(claimed.ticket, &retry(pause), at(0)).unwrap();
    }
    let asked =
        SinkState { sink: "soc".into(), not_before: Some(at(7_000)), ..SinkState::default() };
    store.save_sink(&asked).unwrap();
    // Two hours back: nothing can have a pause of more than 15 minutes.
    let mut pull = || store.transaction(|commit| commit.pull_back("soc", at(0), at(900))).unwrap();
    assert_eq!((pull(), pull()), (1, 0));
    assert_eq!(claim_key(&mut store, 5).as_deref(), Some("a-1"));
    assert_eq!(claim_key(&mut store, 59), None);
    assert_eq!(claim_key(&mut store, 60).as_deref(), Some("b-1"));
}

#[test]
fn dead_letters_are_shown_sent_again_and_purged_on_record() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    for revision in 1..=2 {
        enqueue_one(&mut store, "a", NoticeKind::Opened, revision);
    }
    let first = store.claim(&request(0)).unwrap().unwrap().ticket;
    let error = "x".repeat(ERROR_TEXT_MAX + 10);
    store.settle(first, &Settlement::Dead { error }, at(1)).unwrap();
    let second = store.claim(&request(2)).unwrap().unwrap().ticket;

    let reader = Reader::open(&folder.0).unwrap();
    let dead = DeliveryQuery {
        state: Some(DeliveryState::Dead),
        sink: Some("soc".into()),
        ..DeliveryQuery::default()
    };
    assert_eq!(reader.deliveries(&dead).unwrap().len(), 1);
    let held = reader.delivery(second.id).unwrap().unwrap().delivery;
    assert_eq!((held.state, held.held_by.as_deref()), (DeliveryState::Inflight, Some("boot-1")));
    let shown = reader.delivery(first.id).unwrap().unwrap();
    assert_eq!(shown.payload, "payload of a-1");
    assert_eq!((shown.attempts.len(), &*shown.attempts[0].outcome), (1, "dead"));
    assert!(shown.delivery.last_error.unwrap().ends_with("… (2058 bytes)"));

    let requeue = |store: &mut Store| {
        store.transaction(|commit| commit.requeue(first.id, "ann", at(3))).unwrap()
    };
    assert!(requeue(&mut store));
    assert!(!requeue(&mut store), "it is not dead any more");
    // The newer one is in hand: the older waits for it, then has the turn.
    assert_eq!(claim_key(&mut store, 4), None);
    store.settle(second, &retry(5), at(4)).unwrap();
    let again = store.claim(&request(6)).unwrap().unwrap();
    assert_eq!((&*again.key, again.ticket.attempt, again.failures), ("a-1", 2, 0));
    store.settle(again.ticket, &Settlement::Dead { error: "410".into() }, at(7)).unwrap();
    let gone = store.transaction(|commit| commit.purge(first.id, "ann", at(8))).unwrap();
    assert!(gone);
    assert_eq!(reader.delivery(first.id).unwrap(), None);
    assert_eq!(claim_key(&mut store, 9).as_deref(), Some("a-2"));
    let audit: Vec<(String, String)> =
        reader.audit(0, 10).unwrap().into_iter().map(|row| (row.action, row.subject)).collect();
    assert_eq!(
        audit,
        [
            ("delivery.requeued".to_owned(), "soc/a-1".to_owned()),
            ("delivery.purged".to_owned(), "soc/a-1".to_owned())
        ]
    );
    let attempts: i64 =
        store.sql.query_row("SELECT count(*) FROM attempt_log", [], |row| row.get(0)).unwrap();
    assert_eq!(attempts, 1, "the attempts of a purged row went with it");
}

#[test]
fn a_silenced_message_is_recorded_and_not_sent() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    let incident = id("a");
    let new = NewDelivery {
        sink: "soc",
        id: "a-1",
        incident: &incident,
        kind: NoticeKind::Opened,
        revision: 1,
        payload: "",
        time: at(0),
        suppressed: Some("silence 7"),
    };
    store.transaction(|commit| commit.enqueue(&new)).unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Resolved, 2);
    let resolved = store.claim(&request(0)).unwrap().unwrap();
    assert_eq!(resolved.key, "a-2");
    let reason = "silence 8".to_owned();
    store.settle(resolved.ticket, &Settlement::Suppressed { reason }, at(1)).unwrap();
    let rows = Reader::open(&folder.0).unwrap().deliveries(&DeliveryQuery::default()).unwrap();
    let seen: Vec<(DeliveryState, Option<&str>)> =
        rows.iter().map(|row| (row.state, row.last_error.as_deref())).collect();
    let suppressed = DeliveryState::Suppressed;
    assert_eq!(seen, [(suppressed, Some("silence 7")), (suppressed, Some("silence 8"))]);
}

#[test]
fn the_log_of_attempts_is_bounded() {
    let folder = Folder::new();
    let mut store = folder.open().unwrap();
    enqueue_one(&mut store, "a", NoticeKind::Opened, 1);
    let rounds = i64::from(ATTEMPTS_KEPT) + 5;
    for round in 0..rounds {
        let claimed = store.claim(&request(round)).unwrap().unwrap();
        store.settle(claimed.ticket, &retry(round + 1), at(round)).unwrap();
    }
    let shown = Reader::open(&folder.0).unwrap().delivery(DeliveryId(1)).unwrap().unwrap();
    assert_eq!(shown.attempts.len(), ATTEMPTS_KEPT as usize);
    assert_eq!(shown.attempts[0].attempt, 6);
    assert_eq!(shown.delivery.attempts, rounds as u32);
}

/// Steps of SQLite's machine for one claim and its settlement.
fn steps(store: &mut Store) -> i32 {
    for sql in [MAKE_DUE, TAKE] {
        store.sql.prepare_cached(sql).unwrap().reset_status(StatementStatus::VmStep);
    }
    let claimed = store.claim(&request(1_000)).unwrap().unwrap();
    let taken = [MAKE_DUE, TAKE]
        .map(|sql| store.sql.prepare_cached(sql).unwrap().get_status(StatementStatus::VmStep));
    store.settle(claimed.ticket, &Settlement::Done, at(1_000)).unwrap();
    taken.iter().sum()
}

#[test]
fn a_claim_costs_the_same_with_a_backlog_of_a_hundred_thousand() {
    let mut costs = Vec::new();
    for backlog in [300, 100_000] {
        let folder = Folder::new();
        let mut store = folder.open().unwrap();
        // A third waits behind another row, a third has a pause that is not over, a third is due.
        store
            .sql
            .execute(
                "WITH RECURSIVE row(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM row WHERE n < ?1)
                 INSERT INTO delivery(sink, idem_key, incident, kind, revision, state, blocked,
                                      next_at, created_at, payload)
                 SELECT 'soc', n, 'inc-' || iif(n % 3 = 0, n + 1, n), 'incident.opened', n, 'ready',
                        n % 3 = 1, iif(n % 3 = 2, ?2, 0), 0, 'payload' FROM row",
                params![backlog - 1, at(9_000).nanos()],
            )
            .unwrap();
        steps(&mut store);
        costs.push(steps(&mut store));
    }
    assert_eq!(costs[0], costs[1]);
    assert!(costs[0] < 400, "{costs:?}");
}

#[derive(Debug, Clone)]
enum Op {
    Enqueue { incident: u8, kind: NoticeKind },
    Claim,
    Settle { which: usize, settlement: Settlement },
    Late { which: usize, settlement: Settlement },
    Advance { seconds: i64 },
    Expire,
    Crash,
    Requeue { which: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![
        Just(NoticeKind::Opened),
        Just(NoticeKind::Updated),
        Just(NoticeKind::Updated),
        Just(NoticeKind::Resolved)
    ];
    let settlement = || {
        prop_oneof![
            Just(Settlement::Done),
            (0..90_i64, any::<bool>(), any::<bool>()).prop_map(
                |(pause, counted, maybe_delivered)| {
                    Settlement::Retry {
                        next_at: at(pause),
                        error: "e".into(),
                        counted,
                        maybe_delivered,
                    }
                }
            ),
            Just(Settlement::Dead { error: "d".into() }),
            Just(Settlement::Suppressed { reason: "s".into() }),
            Just(Settlement::Ready),
        ]
    };
    prop_oneof![
        4 => (0..3_u8, kind).prop_map(|(incident, kind)| Op::Enqueue { incident, kind }),
        5 => Just(Op::Claim),
        4 => (any::<usize>(), settlement())
            .prop_map(|(which, settlement)| Op::Settle { which, settlement }),
        1 => (any::<usize>(), settlement())
            .prop_map(|(which, settlement)| Op::Late { which, settlement }),
        2 => (1..50_i64).prop_map(|seconds| Op::Advance { seconds }),
        1 => Just(Op::Expire),
        1 => Just(Op::Crash),
        1 => any::<usize>().prop_map(|which| Op::Requeue { which }),
    ]
}

/// What a delivery must be, worked out without any index or flag.
#[derive(Debug, Clone)]
struct Expected {
    id: i64,
    incident: u8,
    key: String,
    kind: NoticeKind,
    state: DeliveryState,
    next_at: i64,
    attempts: u32,
    failures: u32,
    maybe_delivered: u32,
    lease_until: i64,
}

#[derive(Debug, Default)]
struct Model {
    rows: Vec<Expected>,
    tickets: Vec<Ticket>,
    now: i64,
}

impl Model {
    fn head(&self, incident: u8) -> Option<&Expected> {
        let mut line = self.rows.iter().filter(|row| {
            let unfinished = matches!(row.state, DeliveryState::Ready | DeliveryState::Inflight);
            row.incident == incident && unfinished
        });
        let in_hand = line.clone().any(|row| row.state == DeliveryState::Inflight);
        line.next().filter(|_| !in_hand)
    }

    fn due(&self) -> Option<usize> {
        let heads = (0..3).filter_map(|incident| self.head(incident));
        let due = heads.filter(|row| row.next_at <= self.now).map(|row| row.id).min()?;
        self.rows.iter().position(|row| row.id == due)
    }

    fn enqueue(&mut self, incident: u8, kind: NoticeKind) -> (String, u32) {
        let id = self.rows.len() as i64 + 1;
        let key = format!("{incident}-{id}");
        if kind == NoticeKind::Updated {
            for row in &mut self.rows {
                let waits = row.state == DeliveryState::Ready && row.kind == NoticeKind::Updated;
                if row.incident == incident && waits {
                    row.state = DeliveryState::Superseded;
                }
            }
        }
        self.rows.push(Expected {
            id,
            incident,
            key: key.clone(),
            kind,
            state: DeliveryState::Ready,
            next_at: 0,
            attempts: 0,
            failures: 0,
            maybe_delivered: 0,
            lease_until: 0,
        });
        (key, id as u32)
    }

    fn settle(&mut self, ticket: Ticket, settlement: &Settlement) -> Settled {
        let row = &mut self.rows[ticket.id.0 as usize - 1];
        let held = row.state == DeliveryState::Inflight && row.attempts == ticket.attempt;
        let true_anyway = *settlement == Settlement::Done && row.state != DeliveryState::Done;
        if !held && !true_anyway {
            return Settled::Stale;
        }
        match settlement {
            Settlement::Done => row.state = DeliveryState::Done,
            Settlement::Suppressed { .. } => row.state = DeliveryState::Suppressed,
            Settlement::Dead { .. } => {
                row.state = DeliveryState::Dead;
                row.failures += 1;
            }
            Settlement::Retry { next_at, counted, maybe_delivered, .. } => {
                row.state = DeliveryState::Ready;
                row.next_at = next_at.since(at(0)) / 1_000_000_000;
                row.failures += u32::from(*counted);
                row.maybe_delivered += u32::from(*maybe_delivered);
            }
            Settlement::Ready => {
                row.state = DeliveryState::Ready;
                row.next_at = 0;
                row.attempts -= 1;
            }
        }
        Settled::Applied
    }

    fn release(&mut self, until: i64) -> u64 {
        let mut count = 0;
        for row in &mut self.rows {
            if row.state == DeliveryState::Inflight && row.lease_until <= until {
                row.state = DeliveryState::Ready;
                row.next_at = 0;
                row.maybe_delivered += 1;
                count += 1;
            }
        }
        count
    }
}

fn claim_one(model: &mut Model, open: &mut Store) {
    let expected = model.due().map(|index| {
        let row = &mut model.rows[index];
        row.state = DeliveryState::Inflight;
        row.attempts += 1;
        row.lease_until = model.now + 40;
        let ticket = Ticket { id: DeliveryId(row.id), attempt: row.attempts };
        model.tickets.push(ticket);
        (ticket, row.key.clone(), row.failures, row.maybe_delivered)
    });
    let claimed = open.claim(&request(model.now)).unwrap();
    let seen = claimed.map(|claimed| {
        assert_eq!(claimed.key, claimed.payload);
        (claimed.ticket, claimed.key, claimed.failures, claimed.maybe_delivered)
    });
    assert_eq!(seen, expected);
}

/// Makes one operation on both and compares what they answer.
fn apply(op: Op, model: &mut Model, store: &mut Option<Store>, folder: &Folder) {
    let now = at(model.now);
    let open = store.as_mut().unwrap();
    match op {
        Op::Enqueue { incident, kind } => {
            let (key, revision) = model.enqueue(incident, kind);
            let incident = id(&incident.to_string());
            let new = NewDelivery {
                sink: "soc",
                id: &key,
                incident: &incident,
                kind,
                revision,
                payload: &key,
                time: now,
                suppressed: None,
            };
            let made = open.transaction(|commit| commit.enqueue(&new)).unwrap();
            assert_eq!(made, Enqueued::New(DeliveryId(i64::from(revision))));
        }
        Op::Claim => claim_one(model, open),
        Op::Settle { which, settlement } => {
            let held: Vec<Ticket> = model
                .rows
                .iter()
                .filter(|row| row.state == DeliveryState::Inflight)
                .map(|row| Ticket { id: DeliveryId(row.id), attempt: row.attempts })
                .collect();
            if let Some(ticket) = held.get(which % held.len().max(1)) {
                let settled = open.settle(*ticket, &settlement, now).unwrap();
                assert_eq!(settled, model.settle(*ticket, &settlement));
            }
        }
        Op::Late { which, settlement } => {
            let tickets = &model.tickets;
            if let Some(ticket) = tickets.get(which % tickets.len().max(1)).copied() {
                let settled = open.settle(ticket, &settlement, now).unwrap();
                assert_eq!(settled, model.settle(ticket, &settlement));
            }
        }
        Op::Advance { seconds } => model.now += seconds,
        Op::Expire => {
            let released = open.transaction(|commit| commit.release_expired(now)).unwrap();
            assert_eq!(released, model.release(model.now));
        }
        Op::Crash => {
            *store = None;
            *store = Some(folder.open().unwrap());
            assert_eq!(store.as_ref().unwrap().recovered(), model.release(i64::MAX));
        }
        Op::Requeue { which } => {
            let dead = |row: &&mut Expected| row.state == DeliveryState::Dead;
            let count = model.rows.iter_mut().filter(dead).count();
            if let Some(row) = model.rows.iter_mut().filter(dead).nth(which % count.max(1)) {
                (row.state, row.next_at, row.failures) = (DeliveryState::Ready, 0, 0);
                let id = DeliveryId(row.id);
                let requeued: Result<bool, StoreError> =
                    open.transaction(|commit| commit.requeue(id, "ann", now));
                assert!(requeued.unwrap());
            }
        }
    }
}

fn compare(model: &Model, store: &Store) {
    let mut statement = store
        .sql
        .prepare("SELECT id, state, attempts, failures, maybe_delivered FROM delivery ORDER BY id")
        .unwrap();
    let rows: Vec<(i64, String, u32, u32, u32)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let expected: Vec<(i64, String, u32, u32, u32)> = model
        .rows
        .iter()
        .map(|row| {
            let state = row.state.as_str().to_owned();
            (row.id, state, row.attempts, row.failures, row.maybe_delivered)
        })
        .collect();
    assert_eq!(rows, expected);
    let heads = (0..3).filter_map(|incident| model.head(incident)).map(|row| row.next_at).min();
    let due = store.next_due("soc").unwrap().map(|time| time.max(at(0)).since(at(0)));
    let (due, heads) = (due.map(|nanos| nanos / 1_000_000_000), heads);
    // A pause that is over shows as due.
    assert_eq!(due.map(|seconds| seconds.max(model.now)), heads.map(|next| next.max(model.now)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_outbox_does_what_the_model_does(ops in proptest::collection::vec(op(), 1..60)) {
        let folder = Folder::new();
        let mut store = Some(folder.open().unwrap());
        let mut model = Model::default();
        for op in ops {
            apply(op, &mut model, &mut store, &folder);
            compare(&model, store.as_ref().unwrap());
        }
        // Whatever happened, all that is owed can be delivered in the end, in order.
        model.now += 1_000;
        apply(Op::Expire, &mut model, &mut store, &folder);
        for _ in 0..model.rows.len() {
            apply(Op::Claim, &mut model, &mut store, &folder);
            let settlement = Settlement::Done;
            apply(Op::Settle { which: 0, settlement }, &mut model, &mut store, &folder);
        }
        compare(&model, store.as_ref().unwrap());
        let owed = [DeliveryState::Ready, DeliveryState::Inflight];
        prop_assert!(model.rows.iter().all(|row| !owed.contains(&row.state)));
    }
}
