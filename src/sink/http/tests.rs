use super::*;
use crate::sink::peer::{Act, Peer};
use crate::sink::tests::{Sample, build};
use crate::sink::{Message, Sink};

const SECOND: Duration = Duration::from_secs(1);

fn webhook(url: &str) -> (Box<dyn Sink>, Message) {
    let (sink, problems) =
        build(&format!("kind: webhook\nurl: {url}/in/token-4711?key=k3y-long\ntimeout: 300ms\n"));
    let sink = sink.unwrap_or_else(|| panic!("{problems:?}"));
    let message = Sample::new(crate::finding::NoticeKind::Opened).message(&*sink);
    (sink, message)
}

async fn outcome(act: Act) -> Outcome {
    let peer = Peer::start(vec![act]).await;
    let (sink, message) = webhook(&peer.url);
    let outcome = sink.send(&message).await;
    assert_eq!(peer.requests().len(), 1);
    let shown = format!("{outcome:?}");
    assert!(!shown.contains("token-4711") && !shown.contains("k3y-long"), "{shown}");
    outcome
}

#[tokio::test]
async fn every_answer_has_its_meaning() {
    for (status, wanted) in [
        ("200 OK", "done"),
        ("202 Accepted", "done"),
        ("204 No Content", "done"),
        ("301 Moved Permanently", "hold"),
        ("307 Temporary Redirect", "hold"),
        ("400 Bad Request", "permanent"),
        ("401 Unauthorized", "hold"),
        ("403 Forbidden", "hold"),
        ("404 Not Found", "hold"),
        ("408 Request Timeout", "retry"),
        ("410 Gone", "hold"),
        ("413 Content Too Large", "permanent"),
        ("422 Unprocessable Content", "permanent"),
        ("429 Too Many Requests", "throttled"),
        ("500 Internal Server Error", "retry"),
        ("502 Bad Gateway", "retry"),
        ("503 Service Unavailable", "retry"),
    ] {
        let location = "Location: http://127.0.0.1:1/elsewhere";
        let got = match outcome(Act::status(status, &[location], "")).await {
            Outcome::Done => "done",
            Outcome::Retry { maybe_delivered: false, after: None, .. } => "retry",
            Outcome::Throttled { after: None, .. } => "throttled",
            Outcome::Permanent { .. } => "permanent",
            Outcome::Hold { .. } => "hold",
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(got, wanted, "{status}");
    }
}

#[tokio::test]
async fn retry_after_is_read_as_seconds_or_date_and_bounded() {
    let date = "Date: Sat, 21 Nov 2026 10:00:00 GMT";
    for (headers, wanted) in [
        (vec!["Retry-After: 17"], Some(17)),
        (vec!["Retry-After: 0"], Some(1)),
        (vec!["Retry-After: 99999999"], Some(3_600)),
        (vec!["Retry-After: Sat, 21 Nov 2026 10:02:00 GMT", date], Some(120)),
        // Without a date of its own, the answer's date is compared with the attempt's time.
        (vec!["Retry-After: Sat, 21 Nov 2026 10:01:30 GMT"], Some(30)),
        (vec!["Retry-After: Sat, 21 Nov 2020 10:00:00 GMT", date], Some(1)),
        (vec!["Retry-After: soon"], None),
        (vec!["Retry-After: -4"], None),
    ] {
        let wanted = wanted.map(Duration::from_secs);
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let got = match outcome(Act::status(status, &headers, "")).await {
                Outcome::Throttled { after, .. } | Outcome::Retry { after, .. } => after,
                other => panic!("{other:?}"),
            };
            assert_eq!(got, wanted, "{headers:?}");
        }
    }
}

#[tokio::test]
async fn a_body_is_shown_bounded_harmless_and_without_what_is_secret() {
    let body = format!("no \x1b[31m /in/token-4711 {}", "x".repeat(100_000));
    let Outcome::Permanent { why } = outcome(Act::status("400 Bad", &[], &body)).await else {
        panic!("not permanent");
    };
    assert!(why.contains("answered 400: no \\u{1b}[31m *** xxxx"), "{why}");
    assert!(why.ends_with('…') && why.len() < 300, "{why}");
}

#[tokio::test]
async fn what_is_cut_short_may_have_arrived() {
    for act in [Act::Hang, Act::Close, Act::Reset, Act::Answer("HTTP/1.1 2".to_owned())] {
        match outcome(act.clone()).await {
            Outcome::Retry { after: None, maybe_delivered: true, why } => {
                assert!(why.starts_with("`127.0.0.1:"), "{why}");
                let timed_out = why.ends_with("did not answer within 300ms");
                assert_eq!(timed_out, matches!(act, Act::Hang), "{why}");
            }
            other => panic!("{act:?}: {other:?}"),
        }
    }
    // The status has come: a body that breaks off changes nothing.
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf".to_owned();
    assert_eq!(outcome(Act::Answer(cut)).await, Outcome::Done);
    let cut = "HTTP/1.1 500 Oh\r\nContent-Length: 500\r\n\r\nhalf".to_owned();
    match outcome(Act::Answer(cut)).await {
        Outcome::Retry { maybe_delivered: false, why, .. } => {
            assert!(why.ends_with("answered 500: half"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_connection_has_certainly_not_arrived() {
    let (sink, message) = webhook(&Peer::refusing().await);
    match sink.send(&message).await {
        Outcome::Retry { after: None, maybe_delivered: false, why } => {
            assert!(why.contains("cannot be reached") && why.contains("refused"), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

/// Answers a handshake with a certificate no one has signed but itself.
fn tls_peer() -> String {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
    let text = include_str!("self-signed.pem");
    let certificate = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut tls = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        while tls.is_handshaking() {
            if tls.complete_io(&mut stream).is_err() {
                break;
            }
        }
    });
    url
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_holds_the_output() {
    let (sink, problems) = build(&format!("kind: webhook\nurl: {}\ntimeout: 5s\n", tls_peer()));
    assert!(problems.is_empty());
    let sink = sink.unwrap();
    let message = Sample::new(crate::finding::NoticeKind::Opened).message(&*sink);
    match sink.send(&message).await {
        Outcome::Hold { why } => {
            // A host without any certificate installed cannot even begin.
            assert!(
                why.contains("the certificate of `127.0.0.1") || why.contains("cannot set up"),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_address_shows_only_its_host() {
    let endpoint = Endpoint::parse("https://me:pass-word@h.example:8443/T0/B0/XX?k=v").unwrap();
    assert_eq!(format!("{endpoint:?}"), "Endpoint(h.example:8443)");
    assert!(endpoint.is_tls && !endpoint.is_loopback);
    for (url, loopback) in [
        ("http://localhost/", true),
        ("http://127.9.9.9:1/", true),
        ("http://[::1]:1/", true),
        ("http://10.0.0.1/", false),
    ] {
        assert_eq!(Endpoint::parse(url).unwrap().is_loopback, loopback, "{url}");
    }
    let bounded = (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&TIMEOUT_USUAL);
    assert!(bounded && CONNECT_MAX == 5 * SECOND);
}
