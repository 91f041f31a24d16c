use super::*;
use crate::event::{Attempt, Key, SourceId, StreamId, Timestamp};
use serde_json::{Map, Value as Json, json};

const SSHD: &str = include_str!("../../parsers/linux/sshd.yml");
const PAM: &str = include_str!("../../parsers/linux/pam.yml");
const CRON: &str = include_str!("../../parsers/linux/cron.yml");

fn raw(bytes: &[u8]) -> RawRecord<'_> {
    RawRecord {
        source: SourceId(0),
        stream: StreamId(1),
        path: None,
        offset: 0,
        received: Timestamp::parse_rfc3339("2026-11-21T22:00:00Z").unwrap(),
        bytes,
        full_length: bytes.len() as u64,
        flags: RecordFlags::NONE,
    }
}

fn texts(texts: &[(&str, &str)]) -> Vec<SourceText> {
    texts.iter().map(|(path, text)| SourceText::new(path, text)).collect()
}

fn loaded() -> (Parsers, FieldTable) {
    let mut names = FieldTable::default();
    let files = texts(&[("sshd.yml", SSHD), ("pam.yml", PAM), ("cron.yml", CRON)]);
    let (parsers, problems) = Parsers::load(&files, &mut names);
    assert_eq!(problems, []);
    (parsers, names)
}

/// What a test looks at of one record.
#[derive(Debug)]
struct Seen {
    fields: Map<String, Json>,
    parsed: String,
    time: Option<String>,
    message: String,
    repeat: u32,
    attempt: Option<Attempt>,
    service: Option<String>,
}

fn parse(format: &str, line: &str) -> Seen {
    let (parsers, names) = loaded();
    let arena = Bump::new();
    let format = parsers.format(format).unwrap();
    let raw = raw(line.as_bytes());
    let mut records = parsers.parse(format, &ParseOptions::default(), &names, &raw, &arena);
    assert_eq!(records.len(), 1, "{line}");
    let record = records.pop().unwrap();
    let mut fields = Map::new();
    for (key, value) in &record.fields {
        let name = match key {
            Key::Id(id) => names.name(*id),
            Key::Name(name) => name,
        };
        fields.entry(name.to_owned()).or_insert_with(|| value.to_json());
    }
    Seen {
        fields,
        parsed: format!("{:?}", record.parsed),
        time: record.time.map(|time| time.to_string()),
        message: record.message.to_owned(),
        repeat: record.repeat,
        attempt: record.attempt,
        service: record.logsource.service.map(str::to_owned),
    }
}

#[test]
fn a_syslog_line_goes_to_the_parser_of_its_program() {
    let line = "Mar  3 10:00:01 pos7 sshd[412]: Failed password for invalid user a from 9.9.9.9 port 1 ssh2 from 192.0.2.8 port 5022 ssh2";
    let seen = parse("authlog", line);
    for (name, wanted) in [
        ("host.hostname", json!("pos7")),
        ("process.name", json!("sshd")),
        ("process.pid", json!(412)),
        ("user.name", json!("a from 9.9.9.9 port 1 ssh2")),
        ("source.ip", json!("192.0.2.8")),
        ("source.port", json!(5022)),
        ("event.outcome", json!("failure")),
        ("event.module", json!("sshd")),
        ("tripline.parser", json!("linux.sshd")),
        ("tripline.case", json!("failed")),
    ] {
        assert_eq!(seen.fields[name], wanted, "{name}");
    }
    assert_eq!(seen.time.as_deref(), Some("2026-03-03T10:00:01Z"));
    assert_eq!((seen.parsed.as_str(), seen.service.as_deref()), ("Matched", Some("sshd")));
    assert_eq!(seen.message, line.split_once(": ").unwrap().1);
}

#[test]
fn one_failed_login_is_one_session_with_one_kind_a_line() {
    let lines = [
        ("sshd", "Invalid user ann from 192.0.2.8 port 5022"),
        (
            "sshd",
            "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.8",
        ),
        ("sshd-session", "Failed password for invalid user ann from 192.0.2.8 port 5022 ssh2"),
        ("sshd-auth", "Connection closed by invalid user ann 192.0.2.8 port 5022 [preauth]"),
    ];
    let attempts: Vec<Attempt> = lines
        .iter()
        .map(|(tag, text)| parse("syslog", &format!("Mar  3 10:00:01 pos7 {tag}[9]: {text}")))
        .map(|seen| {
            assert_eq!(seen.fields["event.action"], "ssh_login");
            assert_eq!(seen.fields["event.category"], json!(["authentication"]));
            seen.attempt.unwrap()
        })
        .collect();
    let mut kinds: Vec<u8> = attempts.iter().map(|attempt| attempt.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), lines.len());
    assert!(attempts.iter().all(|attempt| attempt.session == attempts[0].session));
    let other = parse("syslog", "Mar  3 10:00:01 pos8 sshd[9]: Invalid user ann from 192.0.2.8");
    assert_ne!(other.attempt.unwrap().session, attempts[0].session);
    let without_pid = parse("syslog", "Mar  3 10:00:01 pos7 sshd: Invalid user ann from 192.0.2.8");
    assert_eq!((without_pid.attempt, without_pid.parsed.as_str()), (None, "Matched"));
}

#[test]
fn repeated_messages_stand_for_their_number() {
    for (line, repeat, parsed) in [
        (
            "sshd[9]: message repeated 5 times: [ Failed password for ann from 192.0.2.8 port 1 ssh2]",
            5,
            "Matched",
        ),
        (
            "sshd[9]: PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.8  user=ann",
            2,
            "Matched",
        ),
        (
            "sshd[9]: message repeated 3 times: [ PAM 2 more authentication failures; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.8  user=ann]",
            6,
            "Matched",
        ),
        (
            "sshd[9]: message repeated 4000000000 times: [ Invalid user ann from 192.0.2.8]",
            100_000,
            "Matched",
        ),
        ("sshd[9]: message repeated 0 times: [ Invalid user ann from 192.0.2.8]", 1, "Unmatched"),
        ("last message repeated 7 times", 7, "Unmatched"),
    ] {
        let seen = parse("syslog", &format!("Mar  3 10:00:01 pos7 {line}"));
        assert_eq!((seen.repeat, seen.parsed.as_str()), (repeat, parsed), "{line}");
    }
    let seen = parse("syslog", "Mar  3 10:00:01 --- last message repeated 3 times ---");
    assert_eq!((seen.repeat, seen.fields.len()), (3, 0));
}

#[test]
fn lines_nobody_knows_keep_header_and_message() {
    let seen = parse("syslog", "<30>Mar  3 10:00:01 pos7 till[3]: drawer opened");
    assert_eq!((seen.parsed.as_str(), seen.service.as_deref()), ("Unmatched", Some("syslog")));
    assert_eq!(seen.message, "drawer opened");
    assert_eq!(seen.fields["log.syslog.facility.code"], 3);
    assert_eq!(seen.fields["log.syslog.severity.code"], 6);
    let own = parse("syslog", "Mar  3 10:00:01 pos7 sshd[3]: something new");
    assert_eq!((own.parsed.as_str(), own.service.as_deref()), ("Unmatched", Some("sshd")));
    assert_eq!(own.fields["tripline.parser"], "linux.sshd");
    let failed = parse("syslog", "not a syslog line");
    assert_eq!(failed.parsed, "Failed(\"the line does not begin with a syslog time\")");
    assert_eq!(failed.message, "not a syslog line");
}

#[test]
fn pam_serves_every_program_and_keeps_the_program_its_routing() {
    let line = "pam_unix(cron:session): session opened for user root(uid=0) by ann(uid=1000)";
    let seen = parse("syslog", &format!("Mar  3 10:00:01 pos7 CRON[3]: {line}"));
    assert_eq!(seen.fields["user.name"], "ann");
    assert_eq!(seen.fields["user.effective.name"], "root");
    assert_eq!(seen.fields["pam.service"], "cron");
    assert_eq!(seen.service.as_deref(), Some("cron"));
    let seen = parse(
        "syslog",
        "Mar  3 10:00:01 pos7 ftpd: pam_unix(ftp:session): session closed for user ann",
    );
    assert_eq!((seen.service.as_deref(), seen.parsed.as_str()), (Some("auth"), "Matched"));
}

#[test]
fn rfc5424_lines_and_solaris_numbers_are_taken_off() {
    let seen = parse(
        "syslog",
        "<86>1 2026-03-03T10:00:01Z pos7 sshd 412 - [a@1 k=\"v\"] [ID 800047 auth.info] Invalid user ann from 192.0.2.8",
    );
    assert_eq!(seen.fields["user.name"], "ann");
    assert_eq!(seen.fields["process.pid"], 412);
    assert_eq!(seen.fields["log.syslog.structured_data"], json!({"a@1.k": "v"}));
    let failed = parse("syslog", "<86>1 2026-13-03T10:00:01Z pos7 sshd 412 - - x");
    assert_eq!(failed.parsed, "Failed(\"the header is not that of RFC 5424\")");
}

#[test]
fn journal_messages_go_to_the_parser_of_their_identifier() {
    let line = r#"{"__REALTIME_TIMESTAMP":"1772532001000250","_HOSTNAME":"pos7","SYSLOG_IDENTIFIER":"sshd","_COMM":"sshd-session",
        "_PID":"412","PRIORITY":"6","_EXE":"/usr/sbin/sshd","MESSAGE":[73,110,118,97,108,105,100,32,117,115,101,114,32,233,32,102,114,111,109,32,49,46,50,46,51,46,52]}"#;
    let seen = parse("journald_json", line);
    assert_eq!(seen.time.as_deref(), Some("2026-03-03T10:00:01.000250Z"));
    assert_eq!(seen.fields["user.name"], "\u{fffd}");
    assert_eq!(seen.fields["source.ip"], "1.2.3.4");
    assert_eq!(seen.fields["process.name"], "sshd-session");
    assert_eq!(seen.fields["log.syslog.severity.code"], 6);
    let file = parse("syslog", "Mar  3 10:00:01 pos7 sshd[412]: Invalid user x from 1.2.3.4");
    assert_eq!(seen.attempt, file.attempt);
}

#[test]
fn records_of_the_agent_itself_are_read_as_its_schema() {
    let (parsers, names) = loaded();
    let arena = Bump::new();
    let format = parsers.format("syslog").unwrap();
    let mut gap = raw(br#"{"event.action":"tail.gap","tail.lost_bytes":7}"#);
    gap.flags = RecordFlags::SYNTHETIC;
    let records = parsers.parse(format, &ParseOptions::default(), &names, &gap, &arena);
    assert_eq!(records[0].get(ecs::TAIL_LOST_BYTES), Some(Value::Int(7)));
    assert!(
        parsers
            .parse(format, &ParseOptions::default(), &names, &raw(b"\xef\xbb\xbf \t"), &arena)
            .is_empty()
    );
}

#[test]
fn bytes_that_are_not_text_never_stop_a_format() {
    let (parsers, names) = loaded();
    let arena = Bump::new();
    for bytes in [
        &b"\xff\xfe\x00\x01"[..],
        b"Mar  3 10:00:01 \xff sshd[1]: Invalid user \xff from 1.2.3.4",
        b"{\"a\":\"\xff\"}",
        b"<",
        b"[",
        b"\xef\xbb\xbf[",
    ] {
        for name in parsers.format_names() {
            let format = parsers.format(name).unwrap();
            let raw = raw(bytes);
            assert_eq!(
                parsers.parse(format, &ParseOptions::default(), &names, &raw, &arena).len(),
                1,
                "{name}"
            );
        }
    }
}

const SMALL: &str = "parser: test.small
version: 1
input: {framing: none}
cases:
  - {id: a, pattern: 'sale {pos.amount:word} by {pos.operator_id:word}', set: {event.action: sale}}
tests:
  - {line: 'sale 9.5 by ann', expect: {case: a, pos.amount: 9.5, pos.operator_id: ann}}
";

#[test]
fn a_parser_file_is_a_format() {
    let mut names = FieldTable::default();
    let (parsers, problems) = Parsers::load(&texts(&[("small.yml", SMALL)]), &mut names);
    assert_eq!(problems, []);
    assert!(parsers.format_names().contains(&"test.small"));
    let outcomes = parsers.run_tests(&names);
    assert_eq!(outcomes.len(), 1);
    assert_eq!((outcomes[0].parser.as_str(), outcomes[0].place.line), ("test.small", 7));
    assert_eq!(outcomes[0].failures, Vec::<String>::new());
    let outputs = parsers.outputs();
    assert!(outputs[0].fields.contains(&ecs::POS_AMOUNT));
    assert!(!outputs[0].fields.contains(&ecs::USER_NAME));
    assert_eq!(parsers.format("no.such"), None);
}

/// The first problem of a parser file that differs from the small one in one place.
fn problem(from: &str, to: &str) -> String {
    let text = SMALL.replace(from, to);
    assert_ne!(text, SMALL);
    let mut names = FieldTable::default();
    let (parsers, problems) = Parsers::load(&texts(&[("small.yml", &text)]), &mut names);
    assert!(!parsers.format_names().contains(&"test.small"), "{to}");
    let shown = problems.first().unwrap().to_string();
    let lines: Vec<&str> = shown.lines().filter(|line| !line.starts_with("  |")).collect();
    lines.join(" ")
}

/// A change of the small parser file, and what is said about it.
const WRONG: &[(&str, &str, &str)] = &[
    ("version: 1", "version: 2", "small.yml:2:10: error: this program reads `version: 1`"),
    (
        "input:",
        "inptu:",
        "small.yml:3:1: error: unknown parser key `inptu`   hint: did you mean `input`?",
    ),
    (
        "framing: none",
        "framing: sylog",
        "small.yml:3:18: error: unknown framing `sylog`   hint: did you mean `syslog`?",
    ),
    (
        "pos.operator_id:word}'",
        "pos.oprator_id:word}'",
        "small.yml:5:22: error: unknown field `pos.oprator_id`   hint: did you mean `pos.operator_id`?",
    ),
    (
        "pos.operator_id:word}'",
        "process.pid:word}'",
        "small.yml:5:22: error: a `word` hole cannot fill `process.pid`, which is a Long   hint: use `int` or `port`",
    ),
    (
        "event.action: sale",
        "event.severity: sale",
        "small.yml:5:96: error: `event.severity` is a Long, a value does not fit",
    ),
    (
        "event.action: sale}",
        "event.action: sale}, attempt: filed",
        "small.yml:5:110: error: unknown kind of attempt `filed`   hint: did you mean `failed`?",
    ),
    (
        "event.action: sale}",
        "event.action: sale}, repeat: 0",
        "small.yml:5:109: error: `repeat` is no number of occurrences   hint: write a number from 1 to 100000, or `\"{n}\"` for the hole `n`",
    ),
    (
        "event.action: sale}",
        "event.action: sale}, flags: {pos.void: x}",
        "small.yml:5:119: error: no optional part or alternative of the pattern is `x`   hint: a flag names one of them as it is written, blanks included",
    ),
    (
        "case: a, pos.amount: 9.5",
        "case: b",
        "small.yml:7:5: error: this test fails: `case` should be `\"b\"`, found `\"a\"`",
    ),
    (
        "'sale 9.5 by ann', expect",
        "'sale', expect",
        "small.yml:7:5: error: this test fails: no case matches",
    ),
    (
        "line: 'sale 9.5 by ann', expect: {case: a, pos.amount: 9.5, pos.operator_id: ann}",
        "reject: 'sale 9.5 by ann'",
        "small.yml:7:5: error: this test fails: the case `a` matches",
    ),
    (
        "tests:",
        "unmatched: drop\ntests:",
        "small.yml:6:12: error: `unmatched: drop` is not known   hint: `keep` or `error`; a line that was read is never dropped",
    ),
    (
        "cases:\n",
        "cases:\n  - {id: z, pattern: 'sale {_:rest}'}\n",
        "small.yml:6:5: error: the case `a` can never match: `z` takes its lines   hint: put the more special case first, or remove one",
    ),
    (
        "cases:\n",
        "cases:\n  - {id: z, pattern: 'sale {pos.amount:word} by {user.name:word}'}\n",
        "small.yml:6:5: error: the case `a` can never match: `z` takes its lines   hint: put the more special case first, or remove one",
    ),
    (
        "cases:\n",
        "cases:\n  - {id: z, regex: '^(?P<n>a)$'}\n",
        "small.yml:5:20: error: the group `n` fills no field   hint: add `map: {n: user.name}`",
    ),
    (
        "cases:\n",
        "cases:\n  - {id: z, regex: 'a'}\n",
        "small.yml:5:20: error: a regex must begin with `^`   hint: cases see the whole text",
    ),
    (
        "cases:\n",
        "cases:\n  - {id: z, regex: '^a{1000}{1000}{1000}'}\n",
        "small.yml:5:20: error: the regex is not accepted: Compiled regex exceeds size limit of 1048576 bytes.",
    ),
    (
        "cases:\n",
        "prefix: 'a'\ncases:\n",
        "small.yml:4:9: error: a `prefix` may only hold optional parts   hint: put it in brackets: `[error: ]`",
    ),
];

#[test]
fn what_is_wrong_with_a_parser_file_is_told_with_its_place() {
    for (from, to, wanted) in WRONG {
        assert_eq!(problem(from, to), *wanted);
    }
}

#[test]
fn a_regex_case_fills_fields_counts_and_pairs() {
    let text = "parser: test.re
version: 1
cases:
  - id: more
    regex: '^(?P<n>\\d+) more; (?P<kv>.*)$'
    map: {who: user.name, rhost: source.ip?}
    repeat: '{n}'
tests:
  - {line: '7 more; who=ann rhost=192.0.2.1', expect: {case: more, repeat: 7, user.name: ann, source.ip: 192.0.2.1}}
  - {line: '7 more; rhost=till4', expect: {source.domain: till4, user.name: null}}
";
    let (_, problems) = Parsers::load(&texts(&[("re.yml", text)]), &mut FieldTable::default());
    assert_eq!(problems, []);
}

#[test]
fn a_parser_of_the_user_replaces_a_shipped_one_and_no_other() {
    let names = |first: &str| {
        let files = texts(&[(first, SMALL), ("mine.yml", SMALL)]);
        let (parsers, problems) = Parsers::load(&files, &mut FieldTable::default());
        (parsers.outputs().len(), problems.len())
    };
    assert_eq!(names("<shipped>/parsers/small.yml"), (1, 0));
    assert_eq!(names("other.yml"), (1, 1));
}

#[test]
fn the_worked_example_of_the_guide_loads_and_its_tests_hold() {
    let guide = include_str!("../../docs/parsers.md");
    let (_, rest) = guide.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let mut names = FieldTable::default();
    let (parsers, problems) = Parsers::load(&texts(&[("till.yml", example)]), &mut names);
    assert_eq!(problems, []);
    assert_eq!(parsers.run_tests(&names).len(), 5);
}
