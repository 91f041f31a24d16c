use super::*;
use crate::finding::{AlertType, Level, RuleHead};

fn rule() -> Arc<RuleHead> {
    Arc::new(RuleHead {
        id: "brute".into(),
        title: "Brute force".into(),
        level: Level::High,
        alert_type: AlertType::BruteForce,
        tags: vec!["attack.t1110".into()],
        description: "".into(),
    })
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(second)
}

fn finding(phase: Phase, ip: &str, episode: u64, second: i64, count: u64) -> Finding {
    Finding {
        rule: rule(),
        phase,
        episode,
        group: vec![("source.ip".into(), ip.into())],
        time: at(second),
        count,
        first_seen: at(episode as i64),
        last_seen: at(second),
        evidence: Vec::new(),
    }
}

/// Applies findings and gives what people were told: kind, id, count.
fn told(incidents: &mut Incidents, findings: &[Finding]) -> Vec<(NoticeKind, String, u64)> {
    let mut out = Vec::new();
    for finding in findings {
        incidents.apply(finding, Vec::new(), &mut out);
    }
    tells(&out)
}

fn tells(out: &[Grouped]) -> Vec<(NoticeKind, String, u64)> {
    let tell = |grouped: &Grouped| match grouped {
        Grouped::Tell(kind, _, incident) => Some((*kind, incident.id.to_string(), incident.count)),
        _ => None,
    };
    out.iter().filter_map(tell).collect()
}

#[test]
fn one_incident_for_a_group_however_often_it_fires() {
    let mut incidents = Incidents::default();
    let mut all = vec![finding(Phase::Opened, "a", 1, 5, 5)];
    all.extend((6..=12).map(|count| finding(Phase::Grew, "a", 1, count as i64, count)));
    all.push(finding(Phase::Ended, "a", 1, 80, 12));
    all.push(finding(Phase::Opened, "a", 900, 905, 5));
    let told = told(&mut incidents, &all);
    let id = told[0].1.clone();
    assert_eq!(
        told,
        vec![
            (NoticeKind::Opened, id.clone(), 5),
            (NoticeKind::Updated, id.clone(), 10),
            (NoticeKind::Updated, id.clone(), 12),
            (NoticeKind::Updated, id, 17),
        ]
    );
    assert_eq!(incidents.len(), 1);
}

#[test]
fn a_resolved_incident_comes_back_only_while_its_episode_runs() {
    let mut incidents = Incidents::default();
    let first = told(&mut incidents, &[finding(Phase::Opened, "a", 1, 5, 5)]);
    let order = |status| Order {
        incident: IncidentId(first[0].1.as_str().into()),
        status,
        actor: "kim".into(),
        reason: "drill".into(),
    };
    let mut out = Vec::new();
    incidents.order(&order(Status::Resolved), None, at(6), &mut out);
    assert_eq!(tells(&out), vec![(NoticeKind::Resolved, first[0].1.clone(), 5)]);
    let again = told(&mut incidents, &[finding(Phase::Grew, "a", 1, 7, 6)]);
    assert_eq!(again, vec![(NoticeKind::Updated, first[0].1.clone(), 6)]);

    out.clear();
    incidents.order(&order(Status::Resolved), None, at(8), &mut out);
    incidents.apply(&finding(Phase::Ended, "a", 1, 70, 6), Vec::new(), &mut out);
    assert!(incidents.is_empty());
    let new = told(&mut incidents, &[finding(Phase::Opened, "a", 900, 905, 5)]);
    assert_ne!(new[0].1, first[0].1, "a later attack is another incident");
}

#[test]
fn orders_that_change_nothing_or_name_nothing_are_refused() {
    let mut incidents = Incidents::default();
    let first = told(&mut incidents, &[finding(Phase::Opened, "a", 1, 5, 5)]);
    let mut out = Vec::new();
    for (id, status) in [(first[0].1.as_str(), Status::Open), ("inc-none", Status::Resolved)] {
        let order = Order {
            incident: IncidentId(id.into()),
            status,
            actor: "kim".into(),
            reason: "".into(),
        };
        incidents.order(&order, None, at(9), &mut out);
    }
    assert_eq!(
        out,
        vec![
            Grouped::Refused(format!("`{}` is open already", first[0].1)),
            Grouped::Refused("there is no incident `inc-none`".to_owned()),
        ]
    );
}

#[test]
fn saved_and_restored_it_goes_on_as_if_nothing_had_happened() {
    let findings: Vec<Finding> = vec![
        finding(Phase::Opened, "a|=:", 1, 5, 5),
        finding(Phase::Grew, "a|=:", 1, 6, 6),
        finding(Phase::Single, "b", 7, 7, 1),
        finding(Phase::Grew, "a|=:", 1, 8, 11),
        finding(Phase::Ended, "a|=:", 1, 99, 11),
    ];
    let mut whole = Incidents::default();
    let expected = told(&mut whole, &findings);
    for cut in 0..findings.len() {
        let mut before = Incidents::default();
        let mut seen = told(&mut before, &findings[..cut]);
        let mut changes = Vec::new();
        before.save(&mut changes, &mut Vec::new());
        let mut after = Incidents::default();
        for change in &changes {
            assert!(change.value.as_ref().is_none_or(|value| after.restore(value)));
        }
        seen.extend(told(&mut after, &findings[cut..]));
        assert_eq!(seen, expected, "cut at {cut}");
    }
    assert!(!Incidents::default().restore(b"{\"id\":"));
}

#[test]
fn too_many_open_incidents_and_long_quiet_ones_are_resolved_and_said() {
    let mut incidents = Incidents::default();
    let mut out = Vec::new();
    for number in 0..=OPEN_MAX {
        let second = i64::try_from(number).unwrap();
        incidents.apply(
            &finding(Phase::Single, &number.to_string(), 1, second, 1),
            Vec::new(),
            &mut out,
        );
    }
    assert_eq!(incidents.len(), OPEN_MAX);
    assert!(out.contains(&Grouped::Note(Fact::count(FactKind::IncidentsEvicted, None, 1))));
    incidents.advance(at(10_000_000), &mut out);
    assert!(incidents.is_empty());
}
