//! What the commands say of the client that reads a camera.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::{command, nvr};
use nvr_core::clock::{Clock as _, SystemClock};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
    a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:t\r\n";

/// Describes a stream, and refuses TCP; over UDP it takes its time.
fn camera() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let _ = answer(&stream);
            });
        }
    });
    port
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut request = Vec::new();
    while let Some(Ok(line)) = lines.next() {
        if !line.is_empty() {
            request.push(line);
            continue;
        }
        let asked = std::mem::take(&mut request);
        let cseq = asked.iter().find(|l| l.starts_with("CSeq")).unwrap();
        let method = asked[0].split(' ').next();
        let over_tcp = asked.iter().any(|l| l.contains("RTP/AVP/TCP"));
        match method {
            Some("DESCRIBE") => write!(
                stream,
                "RTSP/1.0 200 OK\r\n{cseq}\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
                SDP.len()
            )?,
            Some("SETUP") if over_tcp => {
                write!(stream, "RTSP/1.0 461 Unsupported Transport\r\n{cseq}\r\n\r\n")?;
            }
            Some("SETUP") => {}
            _ => write!(
                stream,
                "RTSP/1.0 200 OK\r\n{cseq}\r\nPublic: DESCRIBE, SETUP, PLAY\r\n\r\n"
            )?,
        }
    }
    Ok(())
}

#[test]
fn commands_tell_why_it_is_not_the_lean_one() {
    let dir = tempfile::tempdir().unwrap();
    let (rtsp, page) = (camera(), crate::common::free_port());
    let text = format!(
        "[recorder]\nroot = \"rec\"\n[http]\nlisten = \"127.0.0.1:{page}\"\nauth = \"none\"\nwebrtc = false\n\
         [[cameras]]\nid = \"yard\"\nsource = \"rtsp://127.0.0.1:{rtsp}/x\"\n"
    );
    std::fs::write(dir.path().join("nvr.toml"), text).unwrap();
    let mut process = command(dir.path(), &["run"]);
    process
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.path().join("log")).unwrap())
        .stdin(Stdio::null());
    let _recorder = Running(process.spawn().unwrap());
    let clock = SystemClock::new();
    let until = |args: &[&str], word: &str| loop {
        let out = nvr(dir.path(), args);
        if out.stdout.contains(word) {
            return out;
        }
        assert!(clock.steady_ns() < 120_000_000_000, "{word}: {out:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let out = until(&["cameras", "--json"], "461");
    let yard = &out.json()[0];
    assert_eq!(yard["ingest"], "rtspsrc", "{yard:#}");
    assert!(
        yard["ingest_reason"].as_str().unwrap().contains("461"),
        "{yard:#}"
    );
    until(&["status"], "yard: read by rtspsrc: SETUP");
}
