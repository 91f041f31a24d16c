//! A shop for the tests: a temporary folder with a log, a configuration, and the real agent.

use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Five failures of one address within a minute, as the shipped rule has them.
pub(crate) const BRUTE_FORCE: &str = "\
title: Failed SSH login
id: 0d9ed1d0-4f5e-4c11-9b1c-3a1d0e5f0001
name: ssh-failure
logsource: {product: linux, service: sshd}
detection:
  selection: {event.action: ssh_login, event.outcome: failure}
  condition: selection
---
title: Brute force on SSH
id: 0d9ed1d0-4f5e-4c11-9b1c-3a1d0e5f0002
name: ssh-brute-force
level: high
correlation:
  type: event_count
  rules: [ssh-failure]
  group-by: [source.ip]
  timespan: 60s
  condition: {gte: 5}
tripline: {alert_type: BRUTE_FORCE_DETECTED}
";

/// A seeded generator (SplitMix64): the same seed gives the same test.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    pub(crate) fn one_in(&mut self, chance: u64) -> bool {
        self.below(chance) == 0
    }
}

/// A folder that goes away with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let unique = format!("tripline-it-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A shop whose agent reads `auth.log` and writes `out.jsonl`.
pub(crate) struct Shop {
    pub(crate) folder: Folder,
}

impl Shop {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, "", "")
    }

    /// With further outputs (indented YAML lines) and further top-level keys.
    pub(crate) fn with(name: &str, outputs: &str, more: &str) -> Self {
        let folder = Folder::new(name);
        folder.write("rules/brute.yml", BRUTE_FORCE);
        folder.write("auth.log", "");
        let config = format!(
            "state: ./state\nrules: [rules/]\nsources:\n  auth: {{kind: file, paths: [auth.log], format: syslog, \
             start: beginning, timezone: UTC}}\noutputs:\n  archive: {{kind: file, path: ./out.jsonl}}\n{outputs}\
             api: {{listen: \"off\"}}\n{more}"
        );
        folder.write("tripline.yml", &config);
        Self { folder }
    }

    pub(crate) fn log(&self, lines: &str) {
        let path = self.folder.path().join("auth.log");
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }

    pub(crate) fn start(&self) -> Agent {
        let log = fs::File::create(self.folder.path().join("agent.err")).unwrap();
        let child =
            self.command().args(["run", "--config", "tripline.yml"]).stderr(log).spawn().unwrap();
        Agent(child)
    }

    pub(crate) fn run_to_end(&self) {
        let output = self.tripline(&["run", "--config", "tripline.yml", "--until-eof"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn tripline(&self, arguments: &[&str]) -> Output {
        self.command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
        command.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// The lines of the output, and that each is whole.
    pub(crate) fn told(&self) -> Vec<Json> {
        let text = fs::read_to_string(self.folder.path().join("out.jsonl")).unwrap_or_default();
        text.lines()
            .filter(|line| !line.is_empty())
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Every message once, by id and type; a repeated one must be the same to the letter.
    pub(crate) fn messages(&self) -> BTreeMap<(String, String), Json> {
        let mut messages = BTreeMap::new();
        for line in self.told() {
            let key = (text(&line["id"]), text(&line["type"]));
            if let Some(before) = messages.insert(key.clone(), line.clone()) {
                assert_eq!(before, line, "the message {key:?} was told in two ways");
            }
        }
        messages
    }

    /// The last state of every incident, by id.
    pub(crate) fn incidents(&self) -> BTreeMap<String, Json> {
        let mut latest: BTreeMap<String, (u64, Json)> = BTreeMap::new();
        for ((id, _), message) in self.messages() {
            let revision =
                id.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            let data = message["data"].clone();
            let entry = latest.entry(text(&data["id"])).or_insert((0, Json::Null));
            if revision >= entry.0 {
                *entry = (revision, data);
            }
        }
        latest.into_iter().map(|(id, (_, data))| (id, data)).collect()
    }

    pub(crate) fn wait(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        for _ in 0..1_500 {
            if done(self) {
                return;
            }
            tripline::clock::pause(Duration::from_millis(20));
        }
        let log = fs::read_to_string(self.folder.path().join("agent.err")).unwrap_or_default();
        panic!("waited 30 s for {what}\nagent said: {log}\ntold: {:#?}", self.told());
    }
}

/// A running agent; killed with the test.
pub(crate) struct Agent(Child);

impl Agent {
    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

pub(crate) fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// `Nov 20 HH:MM:SS` for a second of that day and what follows it.
pub(crate) fn clock(second: u64) -> String {
    let (day, second) = (20 + second / 86_400, second % 86_400);
    format!("Nov {day} {:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// One failed login, as the one line that tells it.
pub(crate) fn failure(second: u64, ip: &str, session: u64) -> String {
    let time = clock(second);
    format!(
        "{time} pos7 sshd[{session}]: Failed password for root from {ip} port {} ssh2\n",
        1_024 + session % 60_000
    )
}

/// Lines that no rule looks for.
pub(crate) fn noise(second: u64, lines: u64) -> String {
    let time = clock(second);
    (0..lines)
        .map(|n| format!("{time} pos7 CRON[{n}]: (root) CMD (/usr/bin/till-sync {n})\n"))
        .collect()
}
