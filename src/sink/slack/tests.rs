use super::*;
use crate::sink::peer::{Act, Peer, body, header};
use crate::sink::tests::{Sample, build, flat};

fn rendered(sample: &Sample) -> Json {
    let sink = build(KIND.example).0.unwrap();
    serde_json::from_str(&sink.render(&sample.view())).unwrap()
}

/// Every text object below a value.
fn texts<'j>(json: &'j Json, out: &mut Vec<&'j Json>) {
    match json {
        Json::Array(items) => items.iter().for_each(|item| texts(item, out)),
        Json::Object(map) => {
            if map.get("text").is_some_and(Json::is_string) {
                out.push(json);
            }
            map.values().for_each(|value| texts(value, out));
        }
        _ => {}
    }
}

/// Slack's limits, as docs.slack.dev names them for blocks.
fn assert_within_limits(message: &Json) {
    let blocks = message["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    let units = |json: &Json| json.as_str().unwrap().encode_utf16().count();
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => assert!((1..=150).contains(&units(&block["text"]["text"]))),
            "section" => {
                if let Some(fields) = block["fields"].as_array() {
                    assert!((1..=10).contains(&fields.len()));
                    assert!(fields.iter().all(|field| (1..=2000).contains(&units(&field["text"]))));
                } else {
                    assert!((1..=3000).contains(&units(&block["text"]["text"])), "{block}");
                }
            }
            "context" => assert!(block["elements"].as_array().unwrap().len() <= 10),
            other => panic!("{other}"),
        }
    }
    assert!(units(&message["text"]) <= 4_000);
}

#[test]
fn an_incident_has_its_facts_in_blocks() {
    let sample = Sample::new(NoticeKind::Opened);
    let message = rendered(&sample);
    assert_within_limits(&message);
    let blocks = message["blocks"].as_array().unwrap();
    let kinds: Vec<&str> = blocks.iter().map(|block| block["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["header", "section", "section", "section", "section", "context"]);
    assert_eq!(blocks[0]["text"]["text"], "HIGH: SSH password guessing");
    assert_eq!(
        blocks[1]["text"]["text"],
        "to admin, root on pos-7 from 203.0.113.9\nMany failures from one address."
    );
    assert_eq!(blocks[2]["fields"][4]["text"], "*source.ip*\n`203.0.113.9`");
    assert_eq!(
        blocks[3]["text"]["text"],
        "```Failed password for root\nFailed password for root\nFailed password for admin```"
    );
    assert_eq!(blocks[4]["text"]["text"], "*Next*\n1. block the address\n2. look for a login");
    let id = &sample.notice.incident.id;
    assert_eq!(blocks[5]["elements"][0]["text"], format!("{id} · #1 · ssh-guessing"));
    let text = message["text"].as_str().unwrap();
    assert!(text.starts_with("HIGH: SSH password guessing: 12 times in 48 s"), "{text}");
}

#[test]
fn hostile_and_huge_text_stays_within_limits_and_calls_nobody() {
    let hostile = "<!channel> @here <@U1|x> & ``` `\u{202e}\x1b[1m\n";
    let mut sample = Sample::new(NoticeKind::Opened);
    for text in [hostile.to_owned(), hostile.repeat(5_000), "😀<&>".repeat(5_000)] {
        let incident = &mut sample.notice.incident;
        incident.group = (0..40).map(|n| (format!("f{n}").into(), text.as_str().into())).collect();
        incident.group.push((text.as_str().into(), "".into()));
        let mut rule = (*incident.rule).clone();
        (rule.title, rule.description) = (text.as_str().into(), text.as_str().into());
        incident.rule = rule.into();
        sample.evidence = (0..20).map(|n| flat(n, &text)).collect();
        sample.steps.iter_mut().for_each(|step| step.text = text.as_str().into());
        for kind in [NoticeKind::Opened, NoticeKind::Updated, NoticeKind::Resolved] {
            sample.notice.kind = kind;
            let message = rendered(&sample);
            assert_within_limits(&message);
            let mut all = Vec::new();
            texts(&message, &mut all);
            assert!(all.len() >= 3);
            for object in all {
                let text = object["text"].as_str().unwrap();
                for bad in ["<", ">", "@here", "@channel", "\u{202e}", "\u{1b}"] {
                    assert!(!text.contains(bad), "{bad:?} in {text}");
                }
                let bare = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
                assert!(!bare.contains('&'), "{text}");
                if text.starts_with("```") {
                    assert!(text.ends_with("```") && text.matches('`').count() == 6, "{text}");
                }
                let markdown = object["type"] == "mrkdwn";
                assert_eq!(object.get("verbatim"), markdown.then_some(&Json::Bool(true)));
            }
        }
    }
}

#[test]
fn an_incident_without_anything_known_is_still_a_valid_message() {
    let mut sample = Sample::new(NoticeKind::Opened);
    sample.notice.incident.group.clear();
    let mut rule = (*sample.notice.incident.rule).clone();
    rule.description = "".into();
    sample.notice.incident.rule = rule.into();
    sample.evidence.clear();
    sample.steps.clear();
    assert_within_limits(&rendered(&sample));
}

#[tokio::test]
async fn only_slacks_ok_is_a_success() {
    let throttled = |seconds| Outcome::Throttled {
        after: Some(Duration::from_secs(seconds)),
        why: String::new(),
    };
    let hold = || Outcome::Hold { why: String::new() };
    let permanent = || Outcome::Permanent { why: String::new() };
    let retry =
        |maybe_delivered| Outcome::Retry { after: None, why: String::new(), maybe_delivered };
    for (act, wanted) in [
        (Act::status("200 OK", &[], "ok"), Outcome::Done),
        (Act::status("200 OK", &[], r#"{"ok":true}"#), Outcome::Done),
        (Act::status("200 OK", &[], "<html>please log in"), hold()),
        (Act::status("200 OK", &[], r#"{"ok":false,"error":"x"}"#), hold()),
        (Act::Answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\no".to_owned()), retry(true)),
        (Act::status("400 Bad Request", &[], "invalid_payload"), permanent()),
        (Act::status("403 Forbidden", &[], "invalid_token"), hold()),
        (Act::status("404 Not Found", &[], "no_service"), hold()),
        (Act::status("410 Gone", &[], "channel_is_archived"), hold()),
        (Act::status("302 Found", &["Location: /login"], ""), hold()),
        (Act::status("429 Slow", &["Retry-After: 30"], r#"{"retry_after":1}"#), throttled(30)),
        (Act::status("429 Slow", &[], r#"{"retry_after":2,"ok":false}"#), throttled(2)),
        (Act::status("500 Oh", &[], "rollup_error"), retry(false)),
        (Act::Close, retry(true)),
    ] {
        let peer = Peer::start(vec![act.clone()]).await;
        let config = format!("kind: slack\nurl: {}/services/T0/B0/s3cr3t-token\n", peer.url);
        let sink = build(&config).0.unwrap();
        let message = Sample::new(NoticeKind::Opened).message(&*sink);
        let mut got = sink.send(&message).await;
        let request = peer.requests().remove(0);
        assert_eq!(body(&request), message.payload);
        assert_eq!(header(&request, "content-type"), Some("application/json"));
        match &mut got {
            Outcome::Done => {}
            Outcome::Retry { why, .. }
            | Outcome::Throttled { why, .. }
            | Outcome::Permanent { why }
            | Outcome::Hold { why } => {
                assert!(why.contains("127.0.0.1") && !why.contains("s3cr3t"), "{why}");
                why.clear();
            }
        }
        assert_eq!(got, wanted, "{act:?}");
    }
}
