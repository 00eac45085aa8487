//! For tests: a server of RTSP that answers what it is told to, and a wire that changes what a camera answers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Answers requests by a function of them; what it was asked is kept. Its threads end with the connections.
pub(crate) struct Scripted {
    /// `127.0.0.1:5000`.
    pub address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// With TLS, or without.
pub(crate) type Tls = Option<Arc<rustls::ServerConfig>>;

impl Scripted {
    /// `answer` gives status and headers from the second on (`200 OK\r\nSession: 1\r\n`), and a body behind an empty
    /// line if there is one, whose length is added.
    pub(crate) fn serve(
        host: &str,
        tls: Tls,
        answer: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (asked, answer) = (requests.clone(), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (asked, answer, tls) = (asked.clone(), answer.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => converse(stream, &asked, &*answer),
                    Some(config) => {
                        let tls = rustls::ServerConnection::new(config).unwrap();
                        converse(rustls::StreamOwned::new(tls, stream), &asked, &*answer);
                    }
                });
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn converse(
    mut stream: impl Read + Write,
    asked: &Mutex<Vec<String>>,
    answer: &(dyn Fn(&str) -> String + Send + Sync),
) {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
        request.push(byte[0]);
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut request)).unwrap();
        let cseq = text.lines().find(|l| l.starts_with("CSeq")).unwrap().to_owned();
        let answer = answer(&text);
        asked.lock().unwrap().push(text);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.trim_end(), ""));
        let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut out = format!(
            "RTSP/1.0 {status}\r\n{cseq}\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.is_empty() {
            out.push_str(headers.trim_end());
            out.push_str("\r\n");
        }
        out.push_str("\r\n");
        out.push_str(body);
        if stream.write_all(out.as_bytes()).is_err() {
            return;
        }
    }
}

/// A wire to a camera that changes what comes back over the first connection.
pub(crate) struct Wire {
    pub port: u16,
    connections: Arc<AtomicUsize>,
}

impl Wire {
    /// In all that the camera at a port says over the first connection, `from` is replaced by `to`.
    pub(crate) fn changing(camera: u16, from: &'static str, to: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let first = count.fetch_add(1, Ordering::SeqCst) == 0;
                let Ok(server) = TcpStream::connect(("127.0.0.1", camera)) else {
                    return;
                };
                let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || pass(up, server, |piece| piece));
                std::thread::spawn(move || {
                    pass(down, client, |piece| match String::from_utf8(piece) {
                        Ok(text) if first => text.replace(from, to).into_bytes(),
                        Ok(text) => text.into_bytes(),
                        Err(e) => e.into_bytes(),
                    });
                });
            }
        });
        Self { port, connections }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Until either side hangs up. An answer of the camera comes in one piece.
fn pass(mut from: TcpStream, mut to: TcpStream, change: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut piece = vec![0; 64 << 10];
    while let Ok(n) = from.read(&mut piece) {
        if n == 0 || to.write_all(&change(piece[..n].to_vec())).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
