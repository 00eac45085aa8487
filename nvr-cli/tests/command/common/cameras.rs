//! Cameras that refuse whoever comes, for tests of what is told of passwords.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::mpsc;

/// Of a camera, by a key of its own and within an address; and as HTTP and RTSP send it (Basic).
pub const PASSWORD: &str = "hunter2secret";
pub const BASIC: &str = "YWRtaW46aHVudGVyMnNlY3JldA==";

/// Ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Wants a password by RTSP or HTTP and takes none; tells by its name that one was shown.
pub fn camera(name: &'static str, shown: &mpsc::Sender<&'static str>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let shown = shown.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shown = shown.clone();
            std::thread::spawn(move || {
                let _ = refuse(name, &stream, &shown);
            });
        }
    });
    port
}

fn refuse(
    name: &'static str,
    mut stream: &TcpStream,
    shown: &mpsc::Sender<&'static str>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let (mut protocol, mut number) = (String::new(), String::from("1"));
    while let Some(Ok(line)) = lines.next() {
        if line.contains(BASIC) {
            let _ = shown.send(name);
        }
        if let Some(n) = line.strip_prefix("CSeq: ") {
            n.clone_into(&mut number);
        } else if let Some((_, version)) = line.rsplit_once(' ')
            && protocol.is_empty()
        {
            version.clone_into(&mut protocol);
        } else if line.is_empty() {
            write!(
                stream,
                "{protocol} 401 Unauthorized\r\nCSeq: {number}\r\nWWW-Authenticate: Basic realm=\"camera\"\r\n\
                 Content-Length: 0\r\n\r\n"
            )?;
            protocol.clear();
        }
    }
    Ok(())
}
