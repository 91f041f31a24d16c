//! `kill -9` of the real process: nothing is lost, nothing is told in two ways.

use crate::shop::{Agent, Random, Shop, failure, noise, text};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;

const ADDRESS: &str = "203.0.113.9";

/// Waits until the agent has committed everything that is in the log.
fn settle(shop: &Shop, marker: &str, second: u64) {
    for session in 0..5 {
        shop.log(&failure(second, marker, 900_000 + session));
    }
    shop.wait("the marker's incident", |shop| counts(shop).contains_key(marker));
}

fn counts(shop: &Shop) -> BTreeMap<String, u64> {
    let incidents = shop.incidents();
    incidents
        .values()
        .map(|data| (text(&data["group"]["source.ip"]), data["count"].as_u64().unwrap_or_default()))
        .collect()
}

fn window_survives(name: &str, busy: u64) {
    let shop = Shop::new(name);
    let mut agent = shop.start();

    // A: three failures, kill, restart, two more within the minute.
    for second in 0..3 {
        shop.log(&failure(100 + second, ADDRESS, second));
        shop.log(&noise(100 + second, busy));
    }
    settle(&shop, "198.51.100.1", 103);
    agent.kill();
    agent = shop.start();
    for second in 3..5 {
        shop.log(&failure(120 + second, ADDRESS, second));
        shop.log(&noise(120 + second, busy));
    }
    shop.wait("A: a window over the kill", |shop| counts(shop).contains_key(ADDRESS));
    agent.kill();

    // B: written while the agent was down.
    for second in 0..5 {
        shop.log(&failure(300 + second, "203.0.113.20", second));
        shop.log(&noise(300 + second, busy));
    }
    agent = shop.start();
    shop.wait("B: lines written while down", |shop| counts(shop).contains_key("203.0.113.20"));

    // C: after the restart as ever.
    for second in 0..5 {
        shop.log(&failure(400 + second, "203.0.113.30", second));
        shop.log(&noise(400 + second, busy));
    }
    shop.wait("C: after the restart", |shop| counts(shop).contains_key("203.0.113.30"));
    agent.kill();

    // D: what was told is not told again.
    let agent = shop.start();
    settle(&shop, "198.51.100.2", 500);
    drop(agent);
    let opened = shop.told().into_iter().filter(|line| line["type"] == "incident.opened").count();
    assert_eq!(opened, 5, "three attacks and two markers, each opened once");
    assert_eq!(counts(&shop)[ADDRESS], 5);
}

#[test]
fn a_window_survives_kill_9_on_a_quiet_log() {
    window_survives("kill-quiet", 0);
}

#[test]
fn a_window_survives_kill_9_with_unrelated_traffic() {
    window_survives("kill-busy", 400);
}

/// A day of attacks: attackers with their own rhythm, among noise, cut into pieces.
fn pieces(seed: u64, count: usize) -> Vec<String> {
    let mut random = Random(seed);
    let mut lines: Vec<(u64, String)> = Vec::new();
    for attacker in 0..60 {
        let ip = format!("203.0.113.{attacker}");
        let mut second = random.below(3_000);
        for attempt in 0..random.below(25) {
            let session = attacker * 1_000 + attempt;
            lines.push((second, failure(second, &ip, session)));
            second += random.below(25);
        }
    }
    for second in 0..3_200 {
        let amount = random.below(8);
        lines.push((second, noise(second, amount)));
    }
    lines.sort_by_key(|(second, _)| *second);
    let text: String = lines.into_iter().map(|(_, line)| line).collect();
    let bytes = text.as_bytes();
    // Cuts fall anywhere, also within a line.
    let mut cuts: Vec<usize> =
        (1..count).map(|_| random.below(bytes.len() as u64) as usize).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| String::from_utf8_lossy(&bytes[pair[0]..pair[1]]).into_owned())
        .collect()
}

/// The incidents without what differs between two folders: the identity of the file.
fn comparable(mut incidents: BTreeMap<String, Json>) -> BTreeMap<String, Json> {
    for data in incidents.values_mut() {
        for event in data["events"].as_array_mut().unwrap() {
            let event = event.as_object_mut().unwrap();
            event.remove("event.id").unwrap();
            event.remove("log.file.path").unwrap();
        }
    }
    incidents
}

#[test]
fn fifty_kills_at_random_moments_change_nothing() {
    let pieces = pieces(7, 51);
    let whole = Shop::new("kill-none");
    for piece in &pieces {
        whole.log(piece);
    }
    whole.run_to_end();
    let expected = comparable(whole.incidents());
    assert!(expected.len() > 20, "the day has attacks: {}", expected.len());

    let shop = Shop::new("kill-fifty");
    let mut random = Random(11);
    let mut agent: Option<Agent> = None;
    for piece in &pieces {
        shop.log(piece);
        let running = agent.take().unwrap_or_else(|| shop.start());
        tripline::clock::pause(Duration::from_millis(random.below(120)));
        running.kill();
    }
    shop.run_to_end();
    assert_eq!(comparable(shop.incidents()), expected);
}
