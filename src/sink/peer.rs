//! The other side of a request: a server on loopback that reads one request a connection and then
//! does what its script says.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What to do with one connection.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Read the request, send this, close.
    Answer(String),
    /// Read the request and say nothing for as long as the other side waits.
    Hang,
    /// Read the request, close without a word.
    Close,
    /// Read the request, reset the connection.
    Reset,
}

impl Act {
    /// A whole answer with a status line, further header lines and a body.
    pub(super) fn status(status: &str, headers: &[&str], body: &str) -> Self {
        let lines: String = headers.iter().flat_map(|line| [*line, "\r\n"]).collect();
        let length = body.len();
        Self::Answer(format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{lines}\r\n{body}"
        ))
    }
}

/// A running server.
pub(super) struct Peer {
    /// Its address, without a path.
    pub(super) url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Serves one connection for each act, then refuses.
    pub(super) async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for act in script {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, act, &seen).await;
            }
        });
        Self { url, requests }
    }

    /// An address on which nothing listens.
    pub(super) async fn refusing() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    /// Every request so far, head and body as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// The value of a header of a request.
pub(super) fn header<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let head = request.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (given, value) = line.split_once(": ")?;
        given.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The body of a request.
pub(super) fn body(request: &str) -> &str {
    request.split_once("\r\n\r\n").unwrap().1
}

async fn serve(mut stream: TcpStream, act: Act, seen: &Mutex<Vec<String>>) {
    let request = read(&mut stream).await;
    seen.lock().unwrap().push(request);
    match act {
        Act::Answer(text) => {
            stream.write_all(text.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
        }
        Act::Hang => {
            let mut end = Vec::new();
            stream.read_to_end(&mut end).await.unwrap();
        }
        Act::Close => drop(stream),
        Act::Reset => stream.set_zero_linger().unwrap(),
    }
}

async fn read(stream: &mut TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((_, body)) = text.split_once("\r\n\r\n") {
            let length: usize = header(&text, "content-length").unwrap().parse().unwrap();
            if body.len() >= length {
                return text;
            }
        }
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "a request ends too early");
    }
}
