use crate::store::tests::{Folder, at};
use crate::store::*;

fn entry(number: u64) -> (Timestamp, String) {
    (at(number as i64), format!("subject {number}"))
}

fn filled(folder: &Folder, rows: u64) -> Store {
    let mut store = folder.open().unwrap();
    store
        .transaction(|commit| {
            for number in 1..=rows {
                let (time, subject) = entry(number);
                let entry = AuditEntry {
                    time,
                    actor: "ann",
                    action: "incident.resolved",
                    subject: &subject,
                    detail: "",
                };
                assert_eq!(commit.audit(&entry)?, number);
            }
            Ok::<_, StoreError>(())
        })
        .unwrap();
    store
}

#[test]
fn an_untouched_log_verifies_and_its_hash_is_the_documented_one() {
    let folder = Folder::new();
    let store = filled(&folder, 3);
    let report = store.verify_audit().unwrap();
    assert_eq!((report.rows, report.anchor, report.head, report.broken), (3, 0, 3, None));
    let mut expected = [0_u8; 32];
    for number in 1..=3_u64 {
        let (time, subject) = entry(number);
        let mut bytes = expected.to_vec();
        bytes.extend(number.to_le_bytes());
        bytes.extend(time.nanos().to_le_bytes());
        for text in ["ann", "incident.resolved", &subject, ""] {
            bytes.extend((text.len() as u64).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        expected = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
    }
    assert_eq!(report.head_hash, super::hex(&expected));
    let reader = Reader::open(&folder.0).unwrap();
    assert_eq!(reader.verify_audit().unwrap(), report);
    let rows = reader.audit(1, 10).unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[1].number, &rows[1].hash), (3, &report.head_hash));
    assert_eq!((&*rows[0].subject, rows[0].time), ("subject 2", at(2)));
}

#[test]
fn every_kind_of_tampering_is_found_at_its_row() {
    let cases: [(&str, u64, &str); 11] = [
        ("UPDATE audit SET subject = 'other' WHERE number = 4", 4, "altered"),
        ("UPDATE audit SET time = time + 1 WHERE number = 7", 7, "altered"),
        (
            "UPDATE audit SET actor = 'annincident.', action = 'resolved' WHERE number = 2",
            2,
            "altered",
        ),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 5", 5, "altered"),
        ("DELETE FROM audit WHERE number = 3", 3, "missing"),
        ("DELETE FROM audit WHERE number = 1", 1, "missing"),
        ("DELETE FROM audit WHERE number > 8", 9, "removed"),
        ("DELETE FROM audit", 1, "removed"),
        ("DELETE FROM audit_end WHERE name = 'anchor'", 0, "ends is missing"),
        ("UPDATE audit_end SET number = 9 WHERE name = 'head'", 10, "recorded end"),
        ("UPDATE audit_end SET hash = zeroblob(32) WHERE name = 'head'", 10, "recorded end"),
    ];
    for (tampering, number, why) in cases {
        let folder = Folder::new();
        let store = filled(&folder, 10);
        store.sql.execute(tampering, []).unwrap();
        let broken = store.verify_audit().unwrap().broken.unwrap();
        assert_eq!(broken.number, number, "{tampering}");
        assert!(broken.why.contains(why), "{tampering}: {}", broken.why);
    }
}

#[test]
fn a_shortened_log_still_verifies() {
    let folder = Folder::new();
    let mut store = filled(&folder, 10);
    let policy = RetentionPolicy { audit: Duration::from_secs(4), ..RetentionPolicy::default() };
    let slice = store.retain(at(10), &policy, 2).unwrap();
    assert_eq!((slice.audit, slice.more), (2, true));
    assert_eq!(store.retain(at(10), &policy, 100).unwrap().audit, 3);
    assert_eq!(store.retain(at(10), &policy, 100).unwrap().audit, 0);
    let report = store.verify_audit().unwrap();
    assert_eq!((report.rows, report.anchor, report.head, report.broken), (5, 5, 10, None));
    store.sql.execute("DELETE FROM audit WHERE number = 6", []).unwrap();
    assert_eq!(store.verify_audit().unwrap().broken.unwrap().number, 6);
}

#[test]
fn an_emptied_log_goes_on_where_it_was() {
    let folder = Folder::new();
    let mut store = filled(&folder, 2);
    let policy = RetentionPolicy { audit: Duration::ZERO, ..RetentionPolicy::default() };
    assert_eq!(store.retain(at(100), &policy, 100).unwrap().audit, 2);
    assert_eq!(store.verify_audit().unwrap().broken, None);
    let long = "x".repeat(AUDIT_TEXT_MAX + 1);
    let entry = AuditEntry { time: at(3), actor: "bob", action: "a", subject: "s", detail: &long };
    assert_eq!(store.transaction(|commit| commit.audit(&entry)).unwrap(), 3);
    let report = store.verify_audit().unwrap();
    assert_eq!((report.rows, report.anchor, report.broken), (1, 2, None));
}
