use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_255_200);

fn owed(attempts: u32) -> Owed {
    Owed {
        row: 1,
        incident: "inc-1".to_owned(),
        id: "inc-1-1".to_owned(),
        kind: "incident.opened".to_owned(),
        payload: "{}".to_owned(),
        attempts,
        first_at: NOW,
        maybe_delivered: 0,
    }
}

fn retry(after: Option<u64>) -> Outcome {
    let after = after.map(Duration::from_secs);
    Outcome::Retry { after, why: "no".to_owned(), maybe_delivered: false }
}

fn throttled(after: Option<u64>) -> Outcome {
    Outcome::Throttled { after: after.map(Duration::from_secs), why: "slow".to_owned() }
}

fn hold() -> Outcome {
    Outcome::Hold { why: "401".to_owned() }
}

/// Seconds from `NOW` to the next attempt.
fn wait(settlement: &Settlement) -> f64 {
    match settlement {
        Settlement::Retry { next_at, .. } => next_at.since(NOW) as f64 / 1e9,
        other => panic!("{other:?}"),
    }
}

fn closed_for(policy: &Policy, now: Timestamp) -> Option<f64> {
    policy.closed_until(now).map(|until| until.since(now) as f64 / 1e9)
}

fn fail(policy: &mut Policy, times: u32) {
    for _ in 0..times {
        policy.judge(&owed(1), retry(None), NOW);
    }
}

#[test]
fn the_back_off_grows_with_full_jitter_up_to_its_cap() {
    let mut jitter = Jitter(7);
    for (attempts, most) in
        [(1, 1.0), (2, 2.0), (5, 16.0), (10, 512.0), (11, 900.0), (u32::MAX, 900.0)]
    {
        let waits: Vec<f64> =
            (0..500).map(|_| backoff(attempts, &mut jitter).as_secs_f64()).collect();
        let (least, longest) =
            waits.iter().fold((f64::MAX, 0.0_f64), |(a, b), w| (a.min(*w), b.max(*w)));
        assert!(
            longest <= most && longest > most * 0.95 && least < most * 0.05,
            "{attempts}: {least} {longest}"
        );
        let mean = waits.iter().sum::<f64>() / 500.0;
        assert!((mean / most - 0.5).abs() < 0.06, "{attempts}: {mean}");
    }
}

#[test]
fn the_same_seed_waits_the_same() {
    let run = |seed| {
        let mut policy = Policy::new(u32::MAX, seed);
        (1..20)
            .map(|n| wait(&policy.judge(&owed(n), retry(None), NOW).settlement))
            .collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}

#[test]
fn retry_after_holds_the_whole_output() {
    for (outcome, counted) in [(retry(Some(40)), true), (throttled(Some(40)), false)] {
        let mut policy = Policy::new(u32::MAX, 1);
        let settlement = policy.judge(&owed(1), outcome, NOW).settlement;
        assert!(wait(&settlement) >= 40.0);
        assert!(matches!(settlement, Settlement::Retry { counted: c, .. } if c == counted));
        assert_eq!(closed_for(&policy, NOW), Some(40.0));
        assert!(matches!(policy.state(), SinkState::Throttled { .. }));
        assert_eq!(policy.closed_until(NOW.plus(40_000_000_000)), None);
        policy.judge(&owed(2), Outcome::Done, NOW.plus(40_000_000_000));
        assert_eq!(policy.state(), SinkState::Up);
    }
}

#[test]
fn being_throttled_never_kills_and_never_opens_the_breaker() {
    let mut policy = Policy::new(u32::MAX, 1);
    let old = Owed { first_at: NOW.plus(-nanos(AGE_MAX) * 10), ..owed(500) };
    for _ in 0..100 {
        let verdict = policy.judge(&old, throttled(None), NOW);
        let Settlement::Retry { counted: false, maybe_delivered: false, .. } = verdict.settlement
        else {
            panic!("{verdict:?}");
        };
        assert!((1.0..=900.0).contains(&wait(&verdict.settlement)));
    }
    assert!(matches!(policy.state(), SinkState::Throttled { .. }));
}

#[test]
fn a_message_is_given_up_by_age_and_not_by_number() {
    let mut policy = Policy::new(u32::MAX, 1);
    let almost = Owed { first_at: NOW.plus(1 - nanos(AGE_MAX)), ..owed(10_000) };
    assert!(matches!(policy.judge(&almost, retry(None), NOW).settlement, Settlement::Retry { .. }));
    let old = Owed { first_at: NOW.plus(-nanos(AGE_MAX)), ..owed(2) };
    let dead = Settlement::Dead { error: "given up after 72 h: no".to_owned() };
    assert_eq!(policy.judge(&old, retry(None), NOW).settlement, dead);
    // A set-up that is mended after a week still gets what it is owed.
    assert!(matches!(policy.judge(&old, hold(), NOW).settlement, Settlement::Ready { .. }));
}

#[test]
fn a_refusal_kills_the_message_and_proves_the_output_alive() {
    let mut policy = Policy::new(u32::MAX, 1);
    fail(&mut policy, BREAKER_FAILURES - 1);
    let verdict = policy.judge(&owed(1), Outcome::Permanent { why: "400".to_owned() }, NOW);
    assert_eq!(verdict.settlement, Settlement::Dead { error: "400".to_owned() });
    fail(&mut policy, BREAKER_FAILURES - 1);
    assert_eq!(policy.closed_until(NOW), None);
}

#[test]
fn the_breaker_opens_after_five_probes_singly_and_doubles_its_pause() {
    let mut policy = Policy::new(u32::MAX, 1);
    fail(&mut policy, BREAKER_FAILURES - 1);
    assert_eq!(policy.closed_until(NOW), None);
    let mut now = NOW;
    for pause in [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0] {
        let verdict = policy.judge(&owed(9), retry(None), now);
        assert!(!verdict.recovered);
        let closed = closed_for(&policy, now).unwrap();
        assert!((pause / 2.0..=pause).contains(&closed), "{pause}: {closed}");
        assert!(matches!(policy.state(), SinkState::Down { .. }));
        now = policy.closed_until(now).unwrap();
        assert_eq!(policy.closed_until(now), None, "one probe may go");
    }
    let verdict = policy.judge(&owed(9), Outcome::Done, now);
    assert_eq!(verdict, Verdict { settlement: Settlement::Done, recovered: true });
    assert_eq!(policy.state(), SinkState::Up);
    fail(&mut policy, BREAKER_FAILURES - 1);
    assert_eq!(policy.closed_until(NOW), None, "it counts from the start again");
}

#[test]
fn a_hold_keeps_everything_and_probes_every_minute() {
    let mut policy = Policy::new(u32::MAX, 1);
    let mut now = NOW;
    for _ in 0..5_000 {
        let verdict = policy.judge(&owed(1), hold(), now);
        assert_eq!(verdict.settlement, Settlement::Ready { error: "401".to_owned() });
        assert_eq!(closed_for(&policy, now), Some(60.0));
        now = policy.closed_until(now).unwrap();
    }
    assert!(matches!(policy.state(), SinkState::Held { .. }));
    assert!(policy.judge(&owed(1), Outcome::Done, now).recovered);
    // An answer that asks for patience is an answer: the hold is over, the patience is not.
    policy.judge(&owed(1), hold(), now);
    assert!(policy.judge(&owed(1), throttled(Some(9)), now).recovered);
    assert_eq!(closed_for(&policy, now), Some(9.0));
}

#[test]
fn what_may_have_arrived_is_sent_twice_at_most_where_it_cannot_be_told() {
    let maybe = || Outcome::Retry { after: None, why: "cut".to_owned(), maybe_delivered: true };
    let mut slack = Policy::new(DOUBTFUL_MAX, 1);
    let first = slack.judge(&owed(1), maybe(), NOW).settlement;
    assert!(matches!(first, Settlement::Retry { maybe_delivered: true, .. }));
    let second = Owed { maybe_delivered: 1, ..owed(2) };
    assert!(slack.refuse(&second).is_none());
    // Refused connections do not count as sent.
    assert!(matches!(slack.judge(&second, retry(None), NOW).settlement, Settlement::Retry { .. }));
    let dead = "sent 2 times and perhaps delivered each time: cut".to_owned();
    assert_eq!(slack.judge(&second, maybe(), NOW).settlement, Settlement::Dead { error: dead });
    let third = Owed { maybe_delivered: 2, ..owed(3) };
    assert!(matches!(slack.refuse(&third), Some(Settlement::Dead { .. })));

    let mut webhook = Policy::new(u32::MAX, 1);
    let often = Owed { maybe_delivered: 50, ..owed(51) };
    assert!(webhook.refuse(&often).is_none());
    let again = webhook.judge(&often, maybe(), NOW).settlement;
    assert!(matches!(again, Settlement::Retry { maybe_delivered: true, .. }));
}

#[test]
fn a_clock_set_back_shortens_what_would_last_until_the_old_time() {
    let mut policy = Policy::new(u32::MAX, 1);
    policy.judge(&owed(1), hold(), NOW);
    assert_eq!(policy.clock_went_back(nanos(CLOCK_JUMP), NOW), None);
    assert_eq!(policy.clock_went_back(-nanos(BACKOFF_MAX), NOW), None);
    let back = NOW.plus(-7_200_000_000_000);
    let (after, to) = policy.clock_went_back(7_200_000_000_000, back).unwrap();
    assert_eq!(after, back.plus(nanos(BACKOFF_MAX)));
    assert!((0..=nanos(BACKOFF_BASE)).contains(&to.since(back)));
    assert!(closed_for(&policy, back).unwrap_or_default() <= 1.0);
}
