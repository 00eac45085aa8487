//! The recorder as a service: what it tells the service manager.

use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::common::command;

struct Recorder(Child);

impl Recorder {
    fn signal(&self, signal: &str) {
        let status = std::process::Command::new("kill")
            .args([signal, &self.0.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Messages until one has this line.
fn until(socket: &UnixDatagram, line: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let n = socket
            .recv(&mut buffer)
            .unwrap_or_else(|e| panic!("{e} while waiting for {line}: {all:#?}"));
        let message = std::str::from_utf8(&buffer[..n]).unwrap();
        all.extend(message.lines().map(str::to_owned));
        if message.lines().any(|l| l == line) {
            return all;
        }
    }
}

#[test]
fn the_service_manager_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut process = command(
        dir.path(),
        &["demo", "--dir", "demo", "--listen", "127.0.0.1:0", "--json"],
    );
    process
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "2000000")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(dir.path().join("log")).unwrap());
    let mut recorder = Recorder(process.spawn().unwrap());

    let first = until(&socket, "READY=1");
    assert_eq!(first[0], "READY=1", "{first:#?}");
    until(&socket, "STATUS=recording 2 of 2 cameras");
    until(&socket, "WATCHDOG=1");
    until(&socket, "WATCHDOG=1");
    recorder.signal("-HUP");
    let reload = until(&socket, "READY=1");
    let at = reload.iter().position(|l| l == "RELOADING=1").unwrap();
    assert!(reload[at + 1].starts_with("MONOTONIC_USEC="), "{reload:#?}");
    recorder.signal("-TERM");
    until(&socket, "STOPPING=1");
    assert_eq!(recorder.0.wait().unwrap().code(), Some(0));
}

/// Nothing is said that was not asked for.
#[test]
fn without_a_watchdog_none_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut process = command(
        dir.path(),
        &["demo", "--dir", "demo", "--listen", "127.0.0.1:0", "--json"],
    );
    process
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _recorder = Recorder(process.spawn().unwrap());
    let all = until(&socket, "STATUS=recording 2 of 2 cameras");
    assert!(!all.iter().any(|l| l == "WATCHDOG=1"), "{all:#?}");
}
