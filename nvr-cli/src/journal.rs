//! The journal of systemd, written in its own protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>), so that records
//! keep level and fields: `journalctl -u nvr -p warning NVR_CAMERA=front`.

use std::fmt::Write as _;
use std::os::fd::AsFd as _;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use nvr_http::LogRecord;
use serde_json::Value;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// Longest name of a field.
const MOST_NAME: usize = 64;

/// A connection to the journal.
#[derive(Debug)]
pub struct Journal(UnixDatagram);

impl Journal {
    /// The journal, if the standard error goes there; else, or if it cannot be reached, `None`.
    pub fn of_stderr() -> Option<Self> {
        let stream = std::env::var("JOURNAL_STREAM").ok()?;
        let stderr = std::io::stderr().as_fd().try_clone_to_owned().ok()?;
        let stat = std::fs::File::from(stderr).metadata().ok()?;
        if !is_stream(&stream, stat.st_dev(), stat.st_ino()) {
            return None;
        }
        Self::at(Path::new(SOCKET)).ok()
    }

    fn at(socket: &Path) -> std::io::Result<Self> {
        let datagram = UnixDatagram::unbound()?;
        datagram.connect(socket)?;
        Ok(Self(datagram))
    }

    /// Writes a record; one that the journal does not take goes to the standard error as a line.
    pub fn write(&self, record: &LogRecord) {
        if self.0.send(&message(record)).is_err() {
            use std::io::Write as _;
            let _ = writeln!(
                std::io::stderr().lock(),
                "<{}>{}",
                priority(record.level),
                line(record)
            );
        }
    }
}

/// Whether `JOURNAL_STREAM` names this file.
fn is_stream(text: &str, device: u64, inode: u64) -> bool {
    let numbers = text
        .split_once(':')
        .and_then(|(d, i)| Some((d.parse::<u64>().ok()?, i.parse::<u64>().ok()?)));
    numbers == Some((device, inode))
}

/// Levels of syslog(3).
fn priority(level: &str) -> u8 {
    match level {
        "error" => 3,
        "warn" => 4,
        "info" => 6,
        _ => 7,
    }
}

/// What `journalctl` shows: the camera first, and all other fields behind the message.
fn line(record: &LogRecord) -> String {
    let mut text = String::new();
    if let Some(camera) = record.fields.get("camera").and_then(Value::as_str) {
        let _ = write!(text, "{camera}: ");
    }
    text += &record.message;
    for (name, value) in &record.fields {
        match value {
            _ if name == "camera" => {}
            Value::String(value) => {
                let _ = write!(text, " {name}={value}");
            }
            value => {
                let _ = write!(text, " {name}={value}");
            }
        }
    }
    text
}

fn message(record: &LogRecord) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, "MESSAGE", &line(record));
    put(&mut out, "PRIORITY", &priority(record.level).to_string());
    put(&mut out, "SYSLOG_IDENTIFIER", "nvr");
    put(&mut out, "NVR_TARGET", &record.target);
    for (name, value) in &record.fields {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        put(&mut out, &field_name(name), &text);
    }
    out
}

/// Capitals, digits and underscores; a prefix keeps them apart from the journal's own.
fn field_name(name: &str) -> String {
    let upper = name.chars().map(|c| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    "NVR_".chars().chain(upper).take(MOST_NAME).collect()
}

/// A value with a line break in it is preceded by its length, so that it cannot begin a field of its own.
fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    if value.contains('\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> LogRecord {
        let fields = serde_json::json!({ "camera": "front", "run": 7, "the error": "no answer" });
        LogRecord {
            id: 1,
            at: String::new(),
            level: "warn",
            target: "nvr_core::camera".into(),
            message: message.into(),
            fields: fields.as_object().cloned().unwrap_or_default(),
        }
    }

    #[test]
    fn the_journal_gets_level_and_fields() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let journal = UnixDatagram::bind(&socket).unwrap();
        Journal::at(&socket).unwrap().write(&record("connection lost"));
        let mut buffer = [0; 4096];
        let n = journal.recv(&mut buffer).unwrap();
        let text = std::str::from_utf8(&buffer[..n]).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let want = [
            "MESSAGE=front: connection lost run=7 the error=no answer",
            "NVR_CAMERA=front",
            "NVR_RUN=7",
            "NVR_TARGET=nvr_core::camera",
            "NVR_THE_ERROR=no answer",
            "PRIORITY=4",
            "SYSLOG_IDENTIFIER=nvr",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn a_line_break_begins_no_field() {
        let bytes = message(&record("one\nPRIORITY=0"));
        let text = "front: one\nPRIORITY=0 run=7 the error=no answer";
        let mut want = b"MESSAGE\n".to_vec();
        want.extend_from_slice(&(text.len() as u64).to_le_bytes());
        want.extend_from_slice(text.as_bytes());
        assert!(bytes.starts_with(&want), "{:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn only_its_own_stream_is_the_journal() {
        assert!(is_stream("8:42", 8, 42));
        for other in ["8:43", "9:42", "8", "", "x:42", "8:42:1"] {
            assert!(!is_stream(other, 8, 42), "{other}");
        }
    }
}
