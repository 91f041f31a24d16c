use super::*;
use crate::finding::NoticeKind;
use crate::sink::peer::{Act, Peer, body, header};
use crate::sink::tests::{START, Sample, build};
use sha2::Digest as _;

/// HMAC after RFC 2104, from the hash alone.
fn hmac_by_hand(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

#[test]
fn the_published_example_of_the_specification_is_met() {
    let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let signature =
        sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", r#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn keys_are_base64_after_the_prefix_and_else_the_text() {
    for (text, wanted) in [
        ("whsec_AAEC", Some(vec![0, 1, 2])),
        ("whsec_AAECAw==", Some(vec![0, 1, 2, 3])),
        ("whsec_AAECAw", Some(vec![0, 1, 2, 3])),
        ("whsec_", Some(vec![])),
        ("whsec_a-b_", None),
        ("plain text", Some(b"plain text".to_vec())),
    ] {
        assert_eq!(key(&Secret::new(text)), wanted, "{text}");
    }
}

#[tokio::test]
async fn a_request_is_signed_and_its_id_stays_while_its_time_moves() {
    let peer =
        Peer::start(vec![Act::status("503 Not now", &[], ""), Act::status("200 OK", &[], "")])
            .await;
    let config = format!(
        "kind: webhook\nurl: {}/hook?tenant=1\nsecret: [whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==, an old secret of 24 bytes]\nheaders: {{X-Store: store-17}}\n",
        peer.url
    );
    let (sink, problems) = build(&config);
    assert!(problems.is_empty(), "{problems:?}");
    let sink = sink.unwrap();
    let mut message = Sample::new(NoticeKind::Opened).message(&*sink);
    assert!(matches!(sink.send(&message).await, Outcome::Retry { .. }));
    message.attempt = 2;
    message.now = message.now.plus(5_000_000_000);
    assert_eq!(sink.send(&message).await, Outcome::Done);

    let requests = peer.requests();
    assert_eq!(requests.len(), 2);
    for (request, time) in requests.iter().zip([START + 60, START + 65]) {
        assert!(request.starts_with("POST /hook?tenant=1 HTTP/1.1\r\n"), "{request}");
        assert_eq!(header(request, "content-type"), Some("application/json"));
        assert_eq!(header(request, "webhook-id"), Some(message.id.as_str()));
        assert_eq!(header(request, "webhook-timestamp"), Some(time.to_string().as_str()));
        assert_eq!(header(request, "x-store"), Some("store-17"));
        let agent = concat!("tripline/", env!("CARGO_PKG_VERSION"));
        assert_eq!(header(request, "user-agent"), Some(agent));
        assert_eq!(body(request), message.payload);
        let signed = format!("{}.{time}.{}", message.id, body(request));
        let keys: [Vec<u8>; 2] = [(0..28).collect(), b"an old secret of 24 bytes".to_vec()];
        let wanted = keys.map(|key| {
            let code = hmac_by_hand(&key, signed.as_bytes());
            format!("v1,{}", base64::engine::general_purpose::STANDARD.encode(code))
        });
        assert_eq!(header(request, "webhook-signature"), Some(wanted.join(" ").as_str()));
    }
}

#[tokio::test]
async fn without_a_secret_there_is_no_signature() {
    let peer = Peer::start(vec![Act::status("200 OK", &[], "")]).await;
    let sink = build(&format!("kind: webhook\nurl: {}\n", peer.url)).0.unwrap();
    let message = Sample::new(NoticeKind::Resolved).message(&*sink);
    assert_eq!(sink.send(&message).await, Outcome::Done);
    let request = peer.requests().remove(0);
    assert_eq!(header(&request, "webhook-signature"), None);
    assert!(body(&request).starts_with(r#"{"type":"incident.resolved","id":"inc-"#));
}

#[tokio::test]
async fn secrets_that_are_sent_back_are_not_shown() {
    let echo = "got store-17 and whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==";
    let peer = Peer::start(vec![Act::status("400 Bad", &[], echo)]).await;
    let config = format!(
        "kind: webhook\nurl: {}\nsecret: whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==\nheaders: {{X-Store: store-17}}\n",
        peer.url
    );
    let sink = build(&config).0.unwrap();
    let message = Sample::new(NoticeKind::Opened).message(&*sink);
    let Outcome::Permanent { why } = sink.send(&message).await else { panic!("not permanent") };
    assert!(why.ends_with("answered 400: got *** and ***"), "{why}");
}

#[tokio::test]
async fn an_id_that_is_no_header_is_refused_without_a_request() {
    let sink = build("kind: webhook\nurl: http://127.0.0.1:1/\n").0.unwrap();
    let mut message = Sample::new(NoticeKind::Opened).message(&*sink);
    message.id = "a\r\nb".to_owned();
    assert!(matches!(sink.send(&message).await, Outcome::Permanent { .. }));
}
