use super::*;
use crate::sink::{Attempted, NoticeView};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::task::JoinHandle;

const START: i64 = 1_795_255_200_000_000_000;

/// A wall clock that goes with tokio's paused time, and can be set back.
struct Wall {
    clock: Clock,
    offset: Arc<AtomicI64>,
    _ticks: JoinSet<()>,
}

impl Wall {
    fn start() -> Self {
        let nanos = Arc::new(AtomicI64::new(START));
        let offset = Arc::new(AtomicI64::new(0));
        let clock = Clock::Manual(Arc::clone(&nanos));
        let (from, moved) = (Instant::now(), Arc::clone(&offset));
        let mut ticks = JoinSet::new();
        ticks.spawn(async move {
            loop {
                let passed = from.elapsed().as_nanos() as i64;
                nanos.store(START + passed + moved.load(Ordering::Relaxed), Ordering::Relaxed);
                sleep(Duration::from_millis(50)).await;
            }
        });
        Self { clock, offset, _ticks: ticks }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    InFlight,
    Done,
    Dead,
}

#[derive(Debug, Clone)]
struct Row {
    owed: Owed,
    state: State,
    next_at: Timestamp,
}

/// The other end of the port, as the store implements it, in memory.
#[derive(Debug, Default)]
struct Outbox {
    rows: BTreeMap<i64, Row>,
    states: Vec<SinkState>,
    pulled: u32,
    settled: Vec<Settlement>,
    /// How many of the next answers never come.
    mute: u32,
}

type Shared = Arc<Mutex<Outbox>>;

impl Outbox {
    fn owe(&mut self, row: i64, incident: &str, revision: u32) {
        let id = format!("{incident}-{revision}");
        let owed = Owed {
            row,
            incident: incident.to_owned(),
            payload: format!("payload of {id}"),
            id,
            kind: "incident.updated".to_owned(),
            attempts: 0,
            first_at: Timestamp::from_nanos(START),
            maybe_delivered: 0,
        };
        self.rows.insert(row, Row { owed, state: State::Ready, next_at: Timestamp::MIN });
    }

    fn is_finished(&self) -> bool {
        self.rows.values().all(|row| matches!(row.state, State::Done | State::Dead))
    }

    /// What a restart does.
    fn recover(&mut self) {
        for row in self.rows.values_mut().filter(|row| row.state == State::InFlight) {
            row.state = State::Ready;
            row.owed.maybe_delivered += 1;
        }
    }

    fn claim(&mut self, now: Timestamp) -> Claim {
        assert!(self.rows.values().all(|row| row.state != State::InFlight), "one at a time");
        let mut heads: BTreeMap<&str, &Row> = BTreeMap::new();
        for row in self.rows.values().filter(|row| row.state == State::Ready) {
            heads.entry(&row.owed.incident).or_insert(row);
        }
        let next = heads.values().min_by_key(|row| (row.next_at, row.owed.row));
        let Some((row, next_at)) = next.map(|row| (row.owed.row, row.next_at)) else {
            return Claim::Nothing { next_at: None };
        };
        if next_at > now {
            return Claim::Nothing { next_at: Some(next_at) };
        }
        let row = self.rows.get_mut(&row).unwrap();
        row.state = State::InFlight;
        row.owed.attempts += 1;
        Claim::Message(row.owed.clone())
    }

    fn settle(&mut self, row: i64, settlement: Settlement) {
        let row = self.rows.get_mut(&row).unwrap();
        assert_eq!(row.state, State::InFlight);
        match &settlement {
            Settlement::Done => row.state = State::Done,
            Settlement::Dead { .. } => row.state = State::Dead,
            Settlement::Ready { .. } => {
                row.state = State::Ready;
                row.owed.attempts -= 1;
            }
            Settlement::Retry { next_at, counted, maybe_delivered, .. } => {
                row.state = State::Ready;
                row.next_at = *next_at;
                row.owed.attempts -= u32::from(!counted);
                row.owed.maybe_delivered += u32::from(*maybe_delivered);
            }
        }
        self.settled.push(settlement);
    }

    fn take(&mut self, call: OutboxCall) {
        if self.mute > 0 && matches!(call, OutboxCall::Claim { .. } | OutboxCall::Settle { .. }) {
            self.mute -= 1;
            return;
        }
        match call {
            OutboxCall::Claim { now, reply, .. } => reply.send(self.claim(now)).unwrap(),
            OutboxCall::Settle { row, settlement, reply } => {
                self.settle(row, settlement);
                reply.send(()).unwrap();
            }
            OutboxCall::PullIn { after, to, .. } => {
                self.pulled += 1;
                let waiting = self.rows.values_mut().filter(|row| row.next_at > after);
                waiting.for_each(|row| row.next_at = to);
            }
            OutboxCall::SinkState { state, .. } => self.states.push(state),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sends {
    WithIds,
    WithoutIds,
}

/// An output that does what the test says, and remembers what arrived.
struct Scripted<F> {
    next: Mutex<F>,
    arrived: Arc<Mutex<Vec<(String, String)>>>,
    sends: Sends,
}

impl<F> fmt::Debug for Scripted<F> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Scripted")
    }
}

/// What an attempt does: whether the message arrives, how long it takes, what is answered.
struct Act {
    arrives: bool,
    takes: Duration,
    outcome: Outcome,
}

/// It arrives.
fn lands(outcome: Outcome) -> Act {
    Act { arrives: true, takes: Duration::from_millis(5), outcome }
}

/// It does not.
fn fails(outcome: Outcome) -> Act {
    Act { arrives: false, ..lands(outcome) }
}

impl<F: FnMut(&Message) -> Act + Send> Sink for Scripted<F> {
    fn render(&self, _: &NoticeView<'_>) -> String {
        String::new()
    }

    fn send<'a>(&'a self, message: &'a Message) -> Attempted<'a> {
        Box::pin(async move {
            let act = (self.next.lock().unwrap())(message);
            if act.arrives {
                let what = (message.id.clone(), message.payload.clone());
                self.arrived.lock().unwrap().push(what);
            }
            sleep(act.takes).await;
            act.outcome
        })
    }

    fn is_idempotent(&self) -> bool {
        self.sends == Sends::WithIds
    }
}

/// A worker with everything around it.
struct Bench {
    outbox: Shared,
    arrived: Arc<Mutex<Vec<(String, String)>>>,
    sink: Arc<dyn Sink>,
    mode: watch::Sender<Mode>,
    wake: Arc<Notify>,
    wall: Wall,
}

impl Bench {
    fn new(next: impl FnMut(&Message) -> Act + Send + 'static) -> Self {
        Self::with(Sends::WithIds, next)
    }

    fn with(sends: Sends, next: impl FnMut(&Message) -> Act + Send + 'static) -> Self {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let sink = Scripted { next: Mutex::new(next), arrived: Arc::clone(&arrived), sends };
        Self {
            outbox: Shared::default(),
            arrived,
            sink: Arc::new(sink),
            mode: watch::Sender::new(Mode::Run),
            wake: Arc::new(Notify::new()),
            wall: Wall::start(),
        }
    }

    fn spawn(&self, seed: u64) -> JoinHandle<Result<(), OwnerGone>> {
        let outbox = Arc::clone(&self.outbox);
        let parts = WorkerParts {
            name: "test".into(),
            sink: Arc::clone(&self.sink),
            port: OutboxPort::new(move |call| {
                outbox.lock().unwrap().take(call);
                Ok(())
            }),
            wake: Arc::clone(&self.wake),
            mode: self.mode.subscribe(),
            clock: self.wall.clock.clone(),
            seed,
        };
        tokio::spawn(Worker::new(parts).run())
    }

    fn owe(&self, rows: impl IntoIterator<Item = (i64, &'static str, u32)>) {
        let mut outbox = self.outbox.lock().unwrap();
        for (row, incident, revision) in rows {
            outbox.owe(row, incident, revision);
        }
        self.wake.notify_one();
    }

    /// Waits in paused time until nothing is owed any more.
    async fn finished(&self, limit: Duration) {
        let until = Instant::now() + limit;
        while !self.outbox.lock().unwrap().is_finished() {
            assert!(
                Instant::now() < until,
                "not finished: {:#?}",
                self.outbox.lock().unwrap().rows
            );
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn arrived(&self) -> Vec<String> {
        self.arrived.lock().unwrap().iter().map(|(id, _)| id.clone()).collect()
    }

    fn settled(&self) -> Vec<Settlement> {
        self.outbox.lock().unwrap().settled.clone()
    }
}

fn refused() -> Outcome {
    Outcome::Retry { after: None, why: "no".to_owned(), maybe_delivered: false }
}

fn cut_off() -> Outcome {
    Outcome::Retry { after: None, why: "no".to_owned(), maybe_delivered: true }
}

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn what_is_owed_is_delivered_when_it_comes() {
    let bench = Bench::new(|_| lands(Outcome::Done));
    let worker = bench.spawn(1);
    sleep(HOUR).await;
    let before = Instant::now();
    bench.owe([(1, "a", 1), (2, "a", 2), (3, "b", 1)]);
    bench.finished(Duration::from_secs(1)).await;
    assert!(before.elapsed() < Duration::from_millis(200));
    assert_eq!(bench.arrived(), ["a-1", "a-2", "b-1"]);
    bench.mode.send(Mode::Stop).unwrap();
    assert_eq!(worker.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn one_incident_waits_for_its_own_messages_and_others_go_on() {
    let mut left = 3;
    let bench = Bench::new(move |message| {
        if message.id == "a-1" && left > 0 {
            left -= 1;
            return fails(refused());
        }
        lands(Outcome::Done)
    });
    bench.owe([(1, "a", 1), (2, "a", 2), (3, "b", 1), (4, "a", 3), (5, "b", 2)]);
    let _worker = bench.spawn(2);
    bench.finished(HOUR).await;
    let arrived = bench.arrived();
    let of = |incident: &str| {
        arrived.iter().filter(|id| id.starts_with(incident)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("a"), ["a-1", "a-2", "a-3"]);
    assert_eq!(of("b"), ["b-1", "b-2"]);
    assert_eq!(arrived.first().unwrap(), "b-1", "while a-1 waits");
}

#[tokio::test(start_paused = true)]
async fn an_output_that_hangs_delays_no_other() {
    let slow = Bench::new(|_| Act { arrives: false, takes: HOUR, outcome: cut_off() });
    let quick = Bench::new(|_| lands(Outcome::Done));
    let _slow = slow.spawn(1);
    let _quick = quick.spawn(2);
    let rows = |n| (1..=n).map(|row| (row, "a", row as u32));
    slow.owe(rows(10));
    quick.owe(rows(500));
    quick.finished(Duration::from_secs(10)).await;
    assert_eq!(quick.arrived().len(), 500);
    assert_eq!(slow.settled(), []);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_everything_that_waits_goes_at_once() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let bench = Bench::new(move |_| {
        if is_down.load(Ordering::Relaxed) { fails(refused()) } else { lands(Outcome::Done) }
    });
    let names: Vec<&'static str> = vec!["a", "b", "c", "d", "e", "f", "g", "h"];
    bench.owe(names.iter().zip(1..).map(|(name, row)| (row, *name, 1)));
    let _worker = bench.spawn(3);
    sleep(2 * HOUR).await;
    let attempts = bench.settled().len();
    assert!((20..500).contains(&attempts), "{attempts} attempts in two hours");
    down.store(false, Ordering::Relaxed);
    let before = Instant::now();
    bench.finished(HOUR).await;
    let took = before.elapsed();
    assert!(took <= policy::BREAKER_MAX + SLEEP_MAX, "{took:?}");
    let outbox = bench.outbox.lock().unwrap();
    assert_eq!(outbox.pulled, 1);
    assert!(matches!(outbox.states.first(), Some(SinkState::Down { .. })));
    assert_eq!(outbox.states.last(), Some(&SinkState::Up));
}

#[tokio::test(start_paused = true)]
async fn a_held_output_is_probed_and_loses_nothing() {
    let mut probes = 0;
    let bench = Bench::new(move |_| {
        probes += 1;
        if probes <= 100 {
            fails(Outcome::Hold { why: "401".to_owned() })
        } else {
            lands(Outcome::Done)
        }
    });
    bench.owe([(1, "a", 1), (2, "b", 1)]);
    let _worker = bench.spawn(4);
    let before = Instant::now();
    bench.finished(3 * HOUR).await;
    let minutes = before.elapsed().as_secs_f64() / 60.0;
    assert!((99.0..103.0).contains(&minutes), "{minutes}");
    assert_eq!(bench.arrived(), ["a-1", "b-1"]);
    assert!(bench.outbox.lock().unwrap().rows.values().all(|row| row.owed.attempts == 1));
}

#[tokio::test(start_paused = true)]
async fn an_output_without_ids_gets_a_doubtful_message_twice_at_most() {
    let bench = Bench::with(Sends::WithoutIds, |_| lands(cut_off()));
    bench.owe([(1, "a", 1)]);
    let _worker = bench.spawn(5);
    bench.finished(HOUR).await;
    assert_eq!(bench.arrived(), ["a-1", "a-1"]);
    assert!(matches!(bench.settled().last(), Some(Settlement::Dead { .. })));
}

#[tokio::test(start_paused = true)]
async fn draining_ends_when_nothing_can_be_done_now() {
    for (outcome, wanted) in [
        (Outcome::Done, State::Done),
        (refused(), State::Ready),
        (Outcome::Hold { why: String::new() }, State::Ready),
        (Outcome::Throttled { after: None, why: String::new() }, State::Ready),
        (Outcome::Permanent { why: String::new() }, State::Dead),
    ] {
        let bench = Bench::new(move |_| fails(outcome.clone()));
        bench.owe([(1, "a", 1)]);
        bench.mode.send_replace(Mode::Drain);
        let before = Instant::now();
        assert_eq!(bench.spawn(6).await.unwrap(), Ok(()));
        assert!(before.elapsed() < Duration::from_millis(100));
        assert_eq!(bench.outbox.lock().unwrap().rows[&1].state, wanted);
    }
    // A worker that waits notices that it is to drain.
    let bench = Bench::new(|_| lands(Outcome::Done));
    let worker = bench.spawn(6);
    sleep(HOUR).await;
    bench.mode.send_replace(Mode::Drain);
    assert_eq!(worker.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_stop_lets_the_running_attempt_end_but_not_for_long() {
    for (takes, wanted) in [(3, Settlement::Done), (3_600, Settlement::Done)] {
        let takes = Duration::from_secs(takes);
        let bench = Bench::new(move |_| Act { arrives: true, takes, outcome: Outcome::Done });
        bench.owe([(1, "a", 1), (2, "a", 2)]);
        let worker = bench.spawn(7);
        sleep(Duration::from_secs(1)).await;
        let before = Instant::now();
        bench.mode.send_replace(Mode::Stop);
        assert_eq!(worker.await.unwrap(), Ok(()));
        assert!(before.elapsed() <= STOP_GRACE + Duration::from_millis(50));
        assert_eq!(bench.arrived(), ["a-1"], "nothing more is claimed");
        match bench.settled().as_slice() {
            [settlement] if takes < STOP_GRACE => assert_eq!(*settlement, wanted),
            [Settlement::Retry { counted: false, maybe_delivered: true, .. }] => {}
            other => panic!("{other:?}"),
        }
    }
    // Without anybody to say otherwise, it stops as well.
    let bench = Bench::new(|_| lands(Outcome::Done));
    let worker = bench.spawn(7);
    drop(bench.mode);
    assert_eq!(worker.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_asked_again_and_one_that_is_gone_is_not() {
    let bench = Bench::new(|_| lands(Outcome::Done));
    bench.outbox.lock().unwrap().mute = 3;
    bench.owe([(1, "a", 1)]);
    let _worker = bench.spawn(8);
    sleep(Duration::from_millis(100)).await;
    assert!(bench.arrived().is_empty());
    bench.finished(Duration::from_secs(10)).await;
    bench.outbox.lock().unwrap().owe(2, "a", 2);
    bench.wake.notify_one();
    tokio::task::yield_now().await;
    bench.finished(Duration::from_secs(10)).await;
    assert_eq!(bench.arrived(), ["a-1", "a-2"]);

    let parts = WorkerParts {
        name: "test".into(),
        sink: Arc::clone(&bench.sink),
        port: OutboxPort::new(|_| Err(OwnerGone)),
        wake: Arc::default(),
        mode: bench.mode.subscribe(),
        clock: Clock::System,
        seed: 0,
    };
    assert_eq!(Worker::new(parts).run().await, Err(OwnerGone));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_an_output_costs_one_message() {
    let bench = Bench::new(|message| {
        assert!(message.id != "a-1", "a panic made by this test");
        lands(Outcome::Done)
    });
    // The lock of the script is poisoned by it, so the second one panics, too, and dies, too.
    bench.owe([(1, "a", 1), (2, "b", 1)]);
    let _worker = bench.spawn(9);
    bench.finished(HOUR).await;
    assert!(bench.settled().iter().all(|settlement| matches!(settlement, Settlement::Dead { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_by_hours_delays_nothing_by_hours() {
    let mut first = true;
    let bench = Bench::new(move |_| {
        let outcome = if first {
            Outcome::Throttled { after: Some(HOUR), why: String::new() }
        } else {
            Outcome::Done
        };
        first = false;
        fails(outcome)
    });
    bench.owe([(1, "a", 1)]);
    let _worker = bench.spawn(10);
    sleep(Duration::from_mins(10)).await;
    bench.wall.offset.store(-5 * HOUR.as_nanos() as i64, Ordering::Relaxed);
    bench.finished(Duration::from_mins(3)).await;
    assert_eq!(bench.settled().last(), Some(&Settlement::Done));
}

/// Random outcomes, lost answers, a store that fails, crashes at any moment: in the end everything
/// arrived under its one id with its one payload, and the first arrivals of an incident are in
/// order.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_overtaken_whatever_happens() {
    for seed in 0..20 {
        let mut chance = policy::Jitter(seed);
        let mut below =
            move |most: u64| chance.up_to(Duration::from_nanos(most - 1)).as_nanos() as u64;
        let bench = Bench::new(move |_| {
            let takes = Duration::from_millis(below(2_000));
            let (arrives, outcome) = match below(10) {
                0..4 => (true, Outcome::Done),
                4 => (below(2) == 0, cut_off()),
                5 => {
                    let after = (below(2) == 0).then(|| Duration::from_secs(below(90)));
                    (false, Outcome::Retry { after, why: String::new(), maybe_delivered: false })
                }
                6 => {
                    let after = (below(2) == 0).then(|| Duration::from_secs(below(90)));
                    (false, Outcome::Throttled { after, why: String::new() })
                }
                7 if below(4) == 0 => (false, Outcome::Hold { why: String::new() }),
                _ => (false, refused()),
            };
            Act { arrives, takes, outcome }
        });
        let incidents = ["a", "b", "c", "d", "e"];
        let mut chance = policy::Jitter(seed ^ 0xabcd);
        let mut below = |most: u64| chance.up_to(Duration::from_nanos(most - 1)).as_nanos() as u64;
        let mut revisions = [0; 5];
        let mut worker = bench.spawn(seed);
        for row in 1..=40 {
            let which = below(5) as usize;
            revisions[which] += 1;
            bench.owe([(row, incidents[which], revisions[which])]);
            sleep(Duration::from_millis(below(20_000))).await;
            match below(8) {
                0 => {
                    worker.abort();
                    assert!(worker.await.is_err());
                    bench.outbox.lock().unwrap().recover();
                    worker = bench.spawn(seed + row as u64);
                }
                1 => bench.outbox.lock().unwrap().mute = below(3) as u32,
                _ => {}
            }
        }
        bench.finished(60 * HOUR).await;
        assert!(
            !bench.settled().iter().any(|s| matches!(s, Settlement::Dead { .. })),
            "seed {seed}"
        );
        let mut first: Vec<(String, String)> = Vec::new();
        for (id, payload) in bench.arrived.lock().unwrap().iter() {
            match first.iter().find(|(known, _)| known == id) {
                Some((_, known)) => assert_eq!(known, payload, "seed {seed}"),
                None => first.push((id.clone(), payload.clone())),
            }
        }
        assert_eq!(first.len(), 40, "seed {seed}");
        for (incident, revisions) in incidents.iter().zip(revisions) {
            let order: Vec<&str> = first
                .iter()
                .map(|(id, _)| id.as_str())
                .filter(|id| id.starts_with(incident))
                .collect();
            let wanted: Vec<String> =
                (1..=revisions).map(|revision| format!("{incident}-{revision}")).collect();
            assert_eq!(order, wanted, "seed {seed}");
        }
        worker.abort();
    }
}
