//! The commands as people and programs use them, through the binary.

use crate::shop::{BRUTE_FORCE, Folder, Shop, failure, noise, text};
use serde_json::{Value as Json, json};
use std::io::{Read as _, Write as _};
use std::process::{Command, Output, Stdio};

const BINARY: &str = env!("CARGO_BIN_EXE_tripline");

fn tripline(folder: &Folder, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A command that refuses its arguments does not read.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json_lines(output: &Output) -> Vec<Json> {
    assert_eq!(output.status.code(), Some(0), "{}", err(output));
    out(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Six failures of one address: five in the older file's last and the newer file's first minute.
fn two_logs(folder: &Folder) {
    let lines = |seconds: [u64; 3]| -> String {
        seconds.iter().map(|second| failure(*second, "203.0.113.9", *second)).collect()
    };
    folder.write("brute.yml", BRUTE_FORCE);
    folder.write("auth.log.1", &(noise(0, 3) + &lines([100, 110, 120])));
    folder.write("auth.log", &(lines([130, 140, 150]) + &noise(200, 3)));
}

#[test]
fn hunting_gives_the_same_in_any_order_of_files_and_from_a_pipe() {
    let folder = Folder::new("hunt-order");
    two_logs(&folder);
    let hunt = ["hunt", "--rules", "brute.yml", "--quiet"];
    let forth = tripline(&folder, &[&hunt[..], &["auth.log.1", "auth.log"]].concat(), b"");
    let back = tripline(&folder, &[&hunt[..], &["auth.log", "auth.log.1"]].concat(), b"");
    let found = json_lines(&forth);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["rule"], "0d9ed1d0-4f5e-4c11-9b1c-3a1d0e5f0002");
    assert_eq!(found[0]["level"], "high");
    assert_eq!(found[0]["group"], json!({"source.ip": "203.0.113.9"}));
    assert_eq!(found[0]["count"], 5);
    assert!(text(&found[0]["time"]).ends_with("-11-20T00:02:20Z"), "{}", found[0]["time"]);
    assert_eq!(found[0]["events"].as_array().unwrap().len(), 5);
    assert_eq!(out(&forth), out(&back));
    let all = std::fs::read(folder.path().join("auth.log.1")).unwrap();
    let all = [all, std::fs::read(folder.path().join("auth.log")).unwrap()].concat();
    let piped = json_lines(&tripline(&folder, &[&hunt[..], &["-"]].concat(), &all));
    assert_eq!(piped[0]["group"], found[0]["group"]);
    assert_eq!(err(&forth), "");
}

#[test]
fn hunting_writes_matches_and_incidents_and_says_with_its_exit_code() {
    let folder = Folder::new("hunt-outputs");
    two_logs(&folder);
    let hunt = |arguments: &[&str]| {
        let base = ["hunt", "--rules", "brute.yml", "auth.log", "auth.log.1"];
        tripline(&folder, &[&base[..], arguments].concat(), b"")
    };
    let matches = json_lines(&hunt(&["--output", "matches"]));
    let correlated: Vec<&Json> = matches
        .iter()
        .filter(|line| line["rule"] == "0d9ed1d0-4f5e-4c11-9b1c-3a1d0e5f0002")
        .collect();
    assert_eq!(correlated.len(), 1);
    assert!(!text(&correlated[0]["event"]).is_empty());
    let incidents = json_lines(&hunt(&["--output", "incidents"]));
    assert_eq!(incidents.len(), 1);
    assert_eq!(incidents[0]["count"], 6);
    assert_eq!(incidents[0]["alert_type"], "BRUTE_FORCE_DETECTED");
    assert_eq!(incidents[0]["status"], "open");
    assert_eq!(incidents[0]["events"].as_array().unwrap().len(), 6);
    assert!(text(&incidents[0]["events"][0]["event.original"]).contains("Failed password"));
    let found = hunt(&["--exit-code"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(err(&found).contains("tripline hunt: 12 lines, 1 found"), "{}", err(&found));
    let calm = tripline(&folder, &["hunt", "--rules", "brute.yml", "--exit-code"], b"");
    assert_eq!(calm.status.code(), Some(0));
}

#[test]
fn hunting_routes_envelopes_by_their_own_logsource() {
    let folder = Folder::new("hunt-envelope");
    folder.write(
        "rule.yml",
        "title: Whoami\nid: 11111111-2222-4333-8444-555555555555\n\
         logsource: {category: process_creation, product: windows}\n\
         detection: {sel: {Image|endswith: '\\whoami.exe'}, condition: sel}\n",
    );
    let event = |id: &str, product: &str| {
        json!({"id": id, "time": "2026-01-05T12:00:00Z",
               "logsource": {"category": "process_creation", "product": product},
               "event": {"Image": "C:\\Windows\\whoami.exe"}})
        .to_string()
            + "\n"
    };
    let lines = event("e1", "windows") + &event("e2", "linux");
    let arguments =
        ["hunt", "--rules", "rule.yml", "--format", "envelope", "--output", "matches", "-"];
    let output = tripline(&folder, &arguments, lines.as_bytes());
    assert_eq!(
        out(&output),
        "{\"rule\":\"11111111-2222-4333-8444-555555555555\",\"event\":\"e1\"}\n",
        "{}",
        err(&output)
    );
}

#[test]
fn a_rule_with_errors_is_told_and_never_hides_the_others() {
    let folder = Folder::new("hunt-errors");
    two_logs(&folder);
    folder.write(
        "bad.yml",
        "title: Bad\nlogsource: {product: linux}\ndetection: {sel: {a: 1}, condition: sle}\n",
    );
    let hunt = ["hunt", "--rules", "brute.yml", "bad.yml", "--format", "syslog"];
    let refused = tripline(&folder, &[&hunt[..], &["auth.log", "auth.log.1"]].concat(), b"");
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(out(&refused).lines().count(), 1);
    assert!(err(&refused).contains("bad.yml:3:"), "{}", err(&refused));
    assert!(err(&refused).ends_with("hint: mend them; `--keep-going` makes this no failure\n"));
    let going =
        tripline(&folder, &[&hunt[..], &["--keep-going", "auth.log", "auth.log.1"]].concat(), b"");
    assert_eq!((going.status.code(), json_lines(&going).len()), (Some(0), 1));
    let alone = tripline(&folder, &["hunt", "--rules", "bad.yml", "auth.log"], b"");
    assert_eq!((alone.status.code(), out(&alone).as_str()), (Some(2), ""));
}

#[test]
fn wrong_use_is_told_with_a_hint_and_exit_code_2() {
    let folder = Folder::new("usage");
    folder.write("packed.log.gz", "");
    std::fs::write(folder.path().join("packed.log.gz"), [0x1f, 0x8b, 8, 0, 0, 0]).unwrap();
    for (arguments, message) in [
        (vec!["hunt", "none.log"], "error: cannot read `none.log`: it does not exist\n"),
        (
            vec!["hunt", "--format", "sylog", "-"],
            "error: unknown format `sylog`\n  hint: did you mean `syslog`?\n",
        ),
        (
            vec!["hunt", "--timezone", "Europe/Pairs", "-"],
            "error: unknown time zone `Europe/Pairs`\n  hint: a name such as `Europe/Paris`, an \
             offset such as `+02:00`, `UTC` or `local`\n",
        ),
        (
            vec!["hunt", "packed.log.gz"],
            "error: `packed.log.gz` is compressed\n  hint: unpack it on the way: \
             `zcat packed.log.gz | tripline … -`\n",
        ),
        (
            vec!["parse", "--follow", "-"],
            "error: `--follow` needs a file\n  hint: stdin is followed to its end anyway\n",
        ),
    ] {
        let output = tripline(&folder, &arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(err(&output), message);
        assert_eq!(out(&output), "");
    }
    assert_eq!(tripline(&folder, &["hnut"], b"").status.code(), Some(2));
    let help = tripline(&folder, &["hunt", "--help"], b"");
    assert_eq!(help.status.code(), Some(0));
    assert!(out(&help).contains("Examples:\n  tripline hunt /var/log/auth.log*"));
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let folder = Folder::new("pipe");
    folder.write("long.log", &noise(0, 20_000));
    let mut child = Command::new(BINARY)
        .args(["parse", "long.log"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 100]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!(err(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn every_line_becomes_an_event_whatever_it_is() {
    let folder = Folder::new("parse");
    let mut log = failure(60, "203.0.113.9", 7).into_bytes();
    log.extend(b"\n\xff\xfe not syslog at all\r\n");
    log.extend(vec![b'x'; 70_000]);
    let events = json_lines(&tripline(&folder, &["parse", "--format", "syslog"], &log));
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["event.action"], "ssh_login");
    assert_eq!(events[0]["source.ip"], "203.0.113.9");
    assert!(text(&events[0]["@timestamp"]).ends_with("-11-20T00:01:00Z"));
    for broken in &events[1..] {
        assert_eq!(broken["event.kind"], "pipeline_error");
        assert!(!text(&broken["error.message"]).is_empty());
        assert!(!text(&broken["event.original"]).is_empty());
    }
    assert!(text(&events[2]["event.original"]).len() <= 64 * 1024);
    let zone = ["parse", "--timezone", "+02:00"];
    let events = json_lines(&tripline(&folder, &zone, failure(7_200, "192.0.2.1", 1).as_bytes()));
    assert!(text(&events[0]["@timestamp"]).ends_with("-11-20T00:00:00Z"), "{events:?}");
}

#[test]
fn record_units_are_answered_one_by_one() {
    let folder = Folder::new("records");
    let line = failure(3_600, "203.0.113.9", 7);
    let unit = |id: Json, options: Json| {
        json!({"id": id, "lines": [line.trim_end()], "options": options}).to_string() + "\n"
    };
    let input = unit(json!("a"), json!({"tz": "+01:00", "frob": 1}))
        + "no json\n"
        + &unit(json!(2), json!({}))
        + &json!({"id": "c", "lines": ["garbage"]}).to_string();
    let arguments = ["parse", "--format", "syslog", "--records", "-"];
    let answers = json_lines(&tripline(&folder, &arguments, input.as_bytes()));
    assert_eq!(answers.len(), 4);
    assert_eq!((&answers[0]["id"], &answers[0]["error"]), (&json!("a"), &Json::Null));
    assert!(text(&answers[0]["events"][0]["@timestamp"]).ends_with("-11-20T00:00:00Z"));
    assert!(text(&answers[1]["error"]).starts_with("expected `{\"id\",\"lines\",\"options\"}`"));
    assert_eq!(answers[2]["id"], 2);
    assert!(text(&answers[2]["events"][0]["@timestamp"]).ends_with("-11-20T01:00:00Z"));
    assert_eq!(answers[3]["events"][0]["event.kind"], "pipeline_error");
}

#[test]
fn cases_show_what_a_parser_does_not_know() {
    let folder = Folder::new("cases");
    let log = failure(60, "203.0.113.9", 7)
        + "Nov 20 00:02:00 pos7 sshd[9]: something never seen 17\n"
        + "Nov 20 00:02:01 pos7 sshd[9]: something never seen 18\n";
    let output = tripline(&folder, &["parse", "--cases"], log.as_bytes());
    let lines = json_lines(&output);
    assert_eq!((&lines[0]["line"], &lines[0]["parsed"]), (&json!(1), &json!("matched")));
    assert_eq!((&lines[0]["parser"], &lines[0]["case"]), (&json!("linux.sshd"), &json!("failed")));
    assert_eq!(lines[1]["parsed"], "unmatched");
    assert!(err(&output).contains("2      line 2  something never seen #\n"), "{}", err(&output));
}

#[test]
fn a_followed_file_is_read_as_it_grows() {
    let folder = Folder::new("follow");
    let path = folder.write("grows.log", &failure(1, "203.0.113.1", 1));
    let mut child = Command::new(BINARY)
        .args(["parse", "--follow", "grows.log"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = child.stdout.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stdout));
    let mut next = || -> Json { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["source.ip"], "203.0.113.1");
    let mut log = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    log.write_all(failure(2, "203.0.113.2", 2).as_bytes()).unwrap();
    assert_eq!(next()["source.ip"], "203.0.113.2");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn check_tells_what_is_wrong_where_and_what_to_do() {
    let folder = Folder::new("check");
    folder.write("rules/good.yml", BRUTE_FORCE);
    let good = tripline(&folder, &["check", "rules"], b"");
    assert_eq!(out(&good), "checked 1 rule file: 0 errors, 0 warnings\n", "{}", err(&good));
    assert_eq!(good.status.code(), Some(0));
    folder.write("rules/broken.yml", "title: [x\n");
    folder.write("rules/level.yml", &BRUTE_FORCE.replace("level: high", "level: hihg"));
    folder.write("rules/other.yaml", "services: {web: {}}\n");
    folder.write("rules/notes.txt", "not looked at");
    let bad = tripline(&folder, &["check", "rules"], b"");
    assert_eq!(bad.status.code(), Some(1));
    let said = out(&bad);
    assert!(said.contains("rules/broken.yml:"), "{said}");
    assert!(
        said.contains(
            "rules/level.yml:12:8: error: unknown level `hihg`\n  | level: hihg\n  |        ^\n  \
             hint: did you mean `high`?\n"
        ),
        "{said}"
    );
    assert!(
        said.contains(
            "rules/other.yaml:1:1: error: this is neither a rule, a parser nor a configuration\n"
        ),
        "{said}"
    );
    let lines = tripline(&folder, &["check", "--json", "rules/level.yml"], b"");
    assert_eq!(lines.status.code(), Some(1));
    assert_eq!(
        out(&lines),
        "{\"path\":\"rules/level.yml\",\"line\":12,\"column\":8,\"severity\":\"error\",\
         \"message\":\"unknown level `hihg`\",\"hint\":\"did you mean `high`?\"}\n"
    );
    let missing = tripline(&folder, &["check", "nowhere"], b"");
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).starts_with("error: cannot use `nowhere`: "), "{}", err(&missing));
}

#[test]
fn check_reads_configurations_and_parsers_too() {
    let folder = Folder::new("check-config");
    folder.write("tripline.yml", "sources:\n  a: {kind: fiel, paths: [x], format: syslog}\n");
    let output = tripline(&folder, &["check", "tripline.yml"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).contains("tripline.yml:2:13: error: unknown source `fiel`"),
        "{}",
        out(&output)
    );
    assert!(out(&output).contains("hint: did you mean `file`?"), "{}", out(&output));
    folder.write("parser.yml", "parser: 7\nfrob: 1\n");
    let output = tripline(&folder, &["check", "parser.yml"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).contains("parser.yml:"), "{}", out(&output));
}

#[test]
fn what_the_program_carries_is_right_and_tested() {
    let folder = Folder::new("shipped");
    let checked = tripline(&folder, &["check"], b"");
    assert_eq!(checked.status.code(), Some(0), "{}", out(&checked));
    let tested = tripline(&folder, &["test"], b"");
    assert_eq!(tested.status.code(), Some(0), "{}\n{}", out(&tested), err(&tested));
    assert!(!out(&tested).contains("untested"), "{}", out(&tested));
}

#[test]
fn tests_inside_rules_are_run_and_failures_show_what_was_found() {
    let folder = Folder::new("test");
    let lines: String = (0..5)
        .map(|n| format!("      - '{}'\n", failure(n, "203.0.113.9", n).trim_end()))
        .collect();
    let tests = |count: u64| {
        format!(
            "{BRUTE_FORCE}tests:\n  - name: five\n    lines:\n{lines}    expect:\n      \
             - {{rule: Brute force on SSH, group: {{source.ip: 203.0.113.9}}, count: {count}}}\n  \
             - name: silence\n    events: [{{event.action: ssh_login, event.outcome: success}}]\n    \
             expect: []\n"
        )
    };
    folder.write("rule.yml", &tests(5));
    let good = tripline(&folder, &["test", "rule.yml"], b"");
    assert_eq!(out(&good), "2 passed, 0 failed\n", "{}", err(&good));
    assert_eq!(good.status.code(), Some(0));
    folder.write("rule.yml", &tests(6));
    let bad = tripline(&folder, &["test", "rule.yml"], b"");
    assert_eq!(bad.status.code(), Some(1));
    assert_eq!(
        out(&bad),
        "FAILED rule.yml: five\n  expected 1:\n    Brute force on SSH, source.ip=203.0.113.9, \
         count 6\n  found 1:\n    0d9ed1d0-4f5e-4c11-9b1c-3a1d0e5f0002, high, \
         source.ip=203.0.113.9, count 5\n1 passed, 1 failed\n"
    );
    folder.write("bare.yml", BRUTE_FORCE);
    let bare = tripline(&folder, &["test", "--json", "bare.yml"], b"");
    assert_eq!(
        out(&bare),
        "{\"path\":\"bare.yml\",\"rule\":\"0d9ed1d0-4f5e-4c11-9b1c-3a1d0e5f0002\",\
         \"missing\":\"firing\"}\n{\"path\":\"bare.yml\",\
         \"rule\":\"0d9ed1d0-4f5e-4c11-9b1c-3a1d0e5f0002\",\"missing\":\"silent\"}\n"
    );
}

#[test]
fn what_is_generated_fits_the_program() {
    let folder = Folder::new("generate");
    let config = tripline(&folder, &["generate", "config"], b"");
    folder.write("tripline.yml", &out(&config));
    let checked = tripline(&folder, &["check", "tripline.yml"], b"");
    assert_eq!(checked.status.code(), Some(0), "{}", out(&checked));
    let schema: Json =
        serde_json::from_slice(&tripline(&folder, &["generate", "schema"], b"").stdout).unwrap();
    let kinds = &schema["properties"]["sources"]["additionalProperties"]["oneOf"];
    let names: Vec<&Json> =
        kinds.as_array().unwrap().iter().map(|kind| &kind["properties"]["kind"]["const"]).collect();
    assert!(names.contains(&&json!("file")), "{names:?}");
    let page = out(&tripline(&folder, &["generate", "man"], b""));
    assert!(page.contains(".TH tripline 1"), "{page}");
    assert_eq!(
        tripline(&folder, &["generate", "man", "--folder", "."], b"").status.code(),
        Some(0)
    );
    assert!(folder.path().join("tripline-hunt.1").is_file());
    let completions = out(&tripline(&folder, &["generate", "completions", "bash"], b""));
    assert!(completions.contains("_tripline()"), "{completions}");
}

#[test]
fn an_agent_that_does_not_run_cannot_be_reached() {
    let shop = Shop::new("unreachable");
    for arguments in [
        &["status"][..],
        &["incidents", "--json"],
        &["incidents", "ack", "inc-1"],
        &["deliveries"],
        &["test-alert"],
        &["audit", "verify"],
    ] {
        let arguments = [arguments, &["--config", "tripline.yml"]].concat();
        let output = shop.tripline(&arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}", err(&output));
        let said = err(&output);
        assert!(said.starts_with("error: cannot reach the agent at `"), "{said}");
        assert!(said.contains("state/tripline.sock`: there is no socket\n  hint: "), "{said}");
    }
}

#[test]
fn a_running_agent_answers_people() {
    let shop = Shop::new("answers");
    let lines: String = (0..6).map(|n| failure(n, "203.0.113.9", n)).collect();
    shop.log(&lines);
    let agent = shop.start();
    shop.wait("the incident", |shop| !shop.told().is_empty());
    let ask =
        |arguments: &[&str]| shop.tripline(&[arguments, &["--config", "tripline.yml"]].concat());
    let listed = json_lines(&ask(&["incidents", "--json"]));
    let id = text(&listed[0]["incidents"][0]["id"]);
    let table = out(&ask(&["incidents", "list", "--status", "open"]));
    assert!(table.starts_with("ID ") && table.contains(&id), "{table}");
    let shown = out(&ask(&["incidents", "show", &id]));
    assert!(shown.starts_with("HIGH Brute force on SSH\n"), "{shown}");
    assert!(shown.contains("Failed password for root"), "{shown}");
    let taken = ask(&["incidents", "ack", &id, "--actor", "ann", "--reason", "looking"]);
    assert!(out(&taken).contains("acknowledged"), "{}", err(&taken));
    let none = ask(&["incidents", "show", "inc-none"]);
    assert_eq!(none.status.code(), Some(1));
    assert_eq!(err(&none), "error: there is no incident `inc-none`\n");
    let status = out(&ask(&["status"]));
    assert!(status.starts_with("tripline ") && status.contains("auth"), "{status}");
    let deliveries = out(&ask(&["deliveries"]));
    assert!(deliveries.contains("archive"), "{deliveries}");
    let audit = ask(&["audit", "verify"]);
    assert_eq!(audit.status.code(), Some(0), "{}", err(&audit));
    drop(agent);
}
