//! The running agent from outside: what it tells, what it refuses, what people can ask it.

use crate::shop::{Random, Shop, failure, noise, text};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

fn attack(shop: &Shop, ip: &str, start: u64, attempts: u64) {
    for attempt in 0..attempts {
        shop.log(&failure(start + attempt, ip, start * 100 + attempt));
    }
}

fn json(output: &std::process::Output) -> Json {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A webhook that answers the given statuses in turn, then 204, and tells what it got.
fn webhook(mut statuses: Vec<u16>) -> (String, Receiver<(Vec<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() <= 2 {
                    break;
                }
                head.push(line.trim().to_owned());
            }
            let length = head.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length")
                    .then(|| value.trim().parse::<usize>().unwrap())
            });
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            let status = if statuses.is_empty() { 204 } else { statuses.remove(0) };
            let answer =
                format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            drop(stream.write_all(answer.as_bytes()));
            if tell.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, told)
}

#[test]
fn an_attack_on_a_growing_log_is_one_incident_with_its_evidence() {
    let shop = Shop::new("agent-attack");
    let agent = shop.start();
    shop.log(&noise(90, 50));
    attack(&shop, "203.0.113.9", 100, 12);
    shop.wait("the incident at its tenth attempt", |shop| {
        shop.incidents().values().any(|data| data["count"].as_u64() >= Some(10))
    });
    let data = shop.incidents().into_values().next().unwrap();
    assert_eq!(data["alert_type"], "BRUTE_FORCE_DETECTED");
    assert_eq!(data["level"], "high");
    assert_eq!(data["group"], serde_json::json!({"source.ip": "203.0.113.9"}));
    assert_eq!(data["first_seen"], "2026-11-20T00:01:40Z");
    let evidence = data["events"].as_array().unwrap();
    assert!(evidence.len() >= 10);
    assert_eq!(evidence[0]["user.name"], "root");
    assert!(text(&evidence[0]["event.original"]).contains("Failed password for root"));

    let id = text(&data["id"]);
    let status = json(&shop.tripline(&["status", "--json", "--config", "tripline.yml"]));
    assert_eq!(status["pid"].as_u64(), Some(u64::from(agent.id())));
    assert_eq!(status["incidents"]["open"], 1);
    assert_eq!(status["sources"][0]["records"], 62);
    let config = ["--config", "tripline.yml"];
    let resolve = ["incidents", "resolve", &id, "--reason", "it was us"];
    assert!(shop.tripline(&[&resolve[..], &config[..]].concat()).status.success());
    shop.wait("the message that it is over", |shop| {
        shop.told().iter().any(|line| line["type"] == "incident.resolved")
    });
    let again = shop.tripline(&[&resolve[..], &config[..]].concat());
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is resolved already"));
}

#[test]
fn a_rotated_log_is_read_to_its_end_and_on() {
    let shop = Shop::new("agent-rotate");
    let _agent = shop.start();
    attack(&shop, "203.0.113.9", 100, 3);
    // Before its first sight a file that is moved away is none of the agent's.
    shop.wait("the first three lines", |shop| {
        let output = shop.tripline(&["status", "--json", "--config", "tripline.yml"]);
        let status: Json = serde_json::from_slice(&output.stdout).unwrap_or_default();
        status["sources"][0]["records"] == 3
    });
    let path = shop.folder.path().join("auth.log");
    fs::rename(&path, shop.folder.path().join("auth.log.1")).unwrap();
    // Written to the renamed file before the writer noticed, then to the new one.
    let mut old =
        fs::OpenOptions::new().append(true).open(shop.folder.path().join("auth.log.1")).unwrap();
    old.write_all(failure(104, "203.0.113.9", 4).as_bytes()).unwrap();
    attack(&shop, "203.0.113.9", 105, 1);
    shop.wait("the window over the rotation", |shop| !shop.incidents().is_empty());
    assert_eq!(shop.incidents().into_values().next().unwrap()["count"], 5);
}

#[test]
fn a_dead_output_holds_nothing_up_and_gets_everything_once_it_lives() {
    let (url, told) = webhook(vec![503, 500]);
    let outputs = format!(
        "  soc: {{kind: webhook, url: \"{url}\", secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLw}}\n  \
         dead: {{kind: webhook, url: \"http://127.0.0.1:9/\"}}\n"
    );
    let shop = Shop::with("agent-webhook", &outputs, "");
    let _agent = shop.start();
    attack(&shop, "203.0.113.9", 100, 5);
    shop.wait("the file output", |shop| !shop.incidents().is_empty());
    let seconds = std::time::Duration::from_secs(30);
    let attempts: Vec<_> = (0..3).map(|_| told.recv_timeout(seconds).unwrap()).collect();
    let header = |head: &[String], name: &str| {
        let line = head.iter().find(|line| line.to_lowercase().starts_with(name)).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    let ids: BTreeSet<String> =
        attempts.iter().map(|(head, _)| header(head, "webhook-id")).collect();
    assert_eq!(ids.len(), 1, "one id over all attempts");
    let bodies: BTreeSet<&String> = attempts.iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.len(), 1, "one body over all attempts");
    assert!(header(&attempts[0].0, "webhook-signature").starts_with("v1,"));
    let body: Json = serde_json::from_str(&attempts[0].1).unwrap();
    assert_eq!(body["type"], "incident.opened");
    assert_eq!(ids.first(), Some(&text(&body["id"])));
}

#[test]
fn events_pass_to_a_file_with_stable_ids() {
    let shop = Shop::with(
        "agent-events",
        "  all: {kind: file, path: ./events.jsonl, send: [events]}\n",
        "",
    );
    shop.log(&noise(10, 3));
    shop.log(&failure(20, "203.0.113.9", 1));
    shop.run_to_end();
    let text_of_file = fs::read_to_string(shop.folder.path().join("events.jsonl")).unwrap();
    let events: Vec<Json> =
        text_of_file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 4);
    assert!(events.iter().all(|event| event["type"] == "event"));
    assert_eq!(events[3]["data"]["source.ip"], "203.0.113.9");
    assert_eq!(events[3]["data"]["log.offset"].as_u64(), Some(noise(10, 3).len() as u64));
    assert_eq!(events[3]["id"], events[3]["data"]["event.id"]);
    // A second run has nothing to add.
    shop.run_to_end();
    assert_eq!(fs::read_to_string(shop.folder.path().join("events.jsonl")).unwrap(), text_of_file);
}

#[test]
fn what_cannot_work_is_refused_with_a_place_and_nothing_starts() {
    let cases = [
        (
            "api: {listen: \"off\"}",
            "apy: {listen: \"off\"}",
            "unknown configuration key `apy`",
            "did you mean `api`?",
        ),
        ("kind: file, paths", "kind: flie, paths", "unknown source `flie`", "did you mean `file`?"),
        ("format: syslog", "format: sysloq", "unknown format `sysloq`", "did you mean `syslog`?"),
        ("timezone: UTC", "timezone: Mars", "unknown time zone `Mars`", "Europe/Paris"),
    ];
    for (old, new, message, hint) in cases {
        let shop = Shop::new("agent-refused");
        let config = fs::read_to_string(shop.folder.path().join("tripline.yml")).unwrap();
        shop.folder.write("tripline.yml", &config.replace(old, new));
        let output = shop.tripline(&["run", "--config", "tripline.yml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("tripline.yml:") && said.contains(message) && said.contains(hint),
            "{said}"
        );
        assert!(!shop.folder.path().join("state").exists(), "nothing was started");
    }
}

#[test]
fn a_bad_rule_is_refused_with_its_place() {
    let shop = Shop::new("agent-bad-rule");
    shop.folder.write(
        "rules/bad.yml",
        "title: x\nlogsource: {product: linux}\ndetection:\n  a: {b|frob: c}\n  condition: a\n",
    );
    let output = shop.tripline(&["run", "--config", "tripline.yml"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("bad.yml:4:") && said.contains("frob") && said.contains("hint:"),
        "{said}"
    );
    assert!(!shop.folder.path().join("state").exists());
}

#[test]
fn a_damaged_newer_or_used_store_is_refused_and_nothing_is_read() {
    let shop = Shop::new("agent-store");
    attack(&shop, "203.0.113.9", 100, 5);
    shop.run_to_end();
    let before = shop.told().len();
    attack(&shop, "203.0.113.20", 300, 5);
    let agent = shop.start();
    shop.wait("the agent to run", |shop| {
        shop.tripline(&["status", "--config", "tripline.yml"]).status.success()
    });
    shop.wait("its incident", |shop| shop.told().len() > before);
    let output = shop.tripline(&["run", "--config", "tripline.yml", "--until-eof"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("pid {}", agent.id())));
    agent.kill();
    let before = shop.told().len();
    let database = fs::read_dir(shop.folder.path().join("state")).unwrap().filter_map(Result::ok);
    let database = database
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "db"))
        .unwrap();
    for suffix in ["-wal", "-shm"] {
        drop(fs::remove_file(format!("{}{suffix}", database.display())));
    }
    let mut bytes = fs::read(&database).unwrap();
    let mut random = Random(3);
    for _ in 0..4_000 {
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = random.next() as u8;
    }
    fs::write(&database, &bytes).unwrap();
    let output = shop.tripline(&["run", "--config", "tripline.yml", "--until-eof"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("hint:"), "{said}");
    assert_eq!(shop.told().len(), before);
}

#[test]
fn without_an_agent_what_it_wrote_down_can_still_be_read() {
    let shop = Shop::new("agent-gone");
    attack(&shop, "203.0.113.9", 100, 6);
    shop.run_to_end();
    let config = ["--config", "tripline.yml", "--json"];
    let listed = shop.tripline(&[&["incidents"][..], &config[..]].concat());
    let said = String::from_utf8_lossy(&listed.stderr).into_owned();
    assert!(listed.status.success() && said.contains("no agent is running"), "{said}");
    assert!(String::from_utf8_lossy(&listed.stdout).contains("203.0.113.9"));
    let verified = shop.tripline(&[&["audit", "verify"][..], &config[..]].concat());
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let status = shop.tripline(&[&["status"][..], &config[..]].concat());
    assert_eq!(status.status.code(), Some(3));
}

#[test]
fn without_an_agent_people_are_told_so() {
    let shop = Shop::new("agent-none");
    let output = shop.tripline(&["status", "--config", "tripline.yml"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("hint:"));
}
