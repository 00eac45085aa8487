//! Each channel against a server on loopback.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::clock::SystemClock;
use crate::config::{MailTls, MqttConfig};
use crate::mqtt::tests::Broker;
use crate::secret::Secret;
use crate::time::Timestamp;

/// A request as a server saw it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What a server saw.
pub(crate) struct Received(mpsc::UnboundedReceiver<Request>);

impl Received {
    pub(crate) async fn next(&mut self) -> Request {
        tokio::time::timeout(Duration::from_secs(60), self.0.recv())
            .await
            .expect("within a minute")
            .unwrap()
    }

    pub(crate) fn is_empty(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// An HTTP server that answers with a status after the path.
pub(crate) struct Server {
    port: u16,
}

impl Server {
    pub(crate) async fn start(status: fn(&str) -> u16) -> (Self, Received) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, received) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((wire, _)) = listener.accept().await {
                tokio::spawn(serve(wire, status, seen.clone()));
            }
        });
        (Self { port }, Received(received))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

async fn serve(mut wire: TcpStream, status: fn(&str) -> u16, seen: mpsc::UnboundedSender<Request>) {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at + 4;
        }
        if wire.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|l| {
        l.to_ascii_lowercase()
            .strip_prefix("content-length: ")
            .map(str::to_owned)
    });
    let length: usize = length.map_or(0, |l| l.parse().unwrap());
    while bytes.len() < end + length {
        if wire.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let code = status(&path);
    let _ = seen.send(Request {
        head,
        body: bytes.split_off(end),
    });
    let answer = format!(
        "HTTP/1.1 {code} X\r\nLocation: http://127.0.0.1:1/else\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    );
    let _ = wire.write_all(answer.as_bytes()).await;
}

fn message() -> Message {
    Message::test(
        Timestamp::from_secs(1_790_000_000),
        Some("front".parse().unwrap()),
    )
}

async fn send(config: AlertChannel, picture: Option<&'static [u8]>) -> Result<(), Refusal> {
    let sender = Sender::new(config, None, SystemClock::shared()).unwrap();
    sender
        .send(
            &message(),
            picture.map(Bytes::from_static),
            Some("https://nvr.lan"),
        )
        .await
}

fn webhook(url: String) -> AlertChannel {
    let place = ChannelPlace::Webhook {
        url: Secret::new(url),
        method: "PUT".into(),
        headers: vec![("X-Key".into(), Secret::new("k-{{ status }}"))],
        secret: Some(Secret::new("hunter2")),
    };
    AlertChannel::new("hook", place)
}

#[tokio::test]
async fn a_webhook_is_signed_and_templated() {
    let (server, mut received) = Server::start(|_| 204).await;
    send(webhook(server.url("/x")), None).await.unwrap();
    let request = received.next().await;
    assert!(request.head.starts_with("PUT /x HTTP/1.1"), "{}", request.head);
    let header = |name: &str| {
        let line = request
            .head
            .lines()
            .find(|l| l.to_ascii_lowercase().starts_with(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{name}"))
            .split_once(": ")
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(header("x-key"), "k-test");
    assert_eq!(header("content-type"), "application/json");
    let stamp = header("x-nvr-timestamp");
    let want = services::signature(&Secret::new("hunter2"), &stamp, &request.body).unwrap();
    assert_eq!(header("x-nvr-signature"), format!("sha256={want}"));
    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&body["camera"], &body["page"]),
        (&"front".into(), &"https://nvr.lan".into())
    );

    let mut own = webhook(server.url("/x"));
    own.body = Some("{{ title }}!".into());
    send(own, None).await.unwrap();
    let request = received.next().await;
    assert_eq!(request.body, b"nvr: a test!");
    assert!(request.head.contains("text/plain"));
}

/// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
#[test]
fn signatures_are_hmac_sha256() {
    let long: &[u8] = &[0xaa; 131];
    let cases: [(&[u8], &[u8], &str); 3] = [
        (
            &[0x0b; 20],
            b"Hi There",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
        ),
        (
            b"Jefe",
            b"what do ya want for nothing?",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
        ),
        (
            long,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
    ];
    for (key, text, want) in cases {
        assert_eq!(services::hmac_sha256(key, &[text]).unwrap(), want);
        let (one, two) = text.split_at(3);
        assert_eq!(services::hmac_sha256(key, &[one, two]).unwrap(), want);
    }
    // What is signed is time stamp, dot and body.
    assert_eq!(
        services::signature(&Secret::new("Jefe"), "1", b"{}").unwrap(),
        services::hmac_sha256(b"Jefe", &[b"1.{}"]).unwrap()
    );
}

#[tokio::test]
async fn refusals_tell_whether_to_try_again_and_redirects_are_not_followed() {
    let (server, _received) = Server::start(|path| path.trim_start_matches('/').parse().unwrap()).await;
    for (code, passing) in [(500, true), (429, true), (400, false), (401, false), (302, false)] {
        let refusal = send(webhook(server.url(&format!("/{code}"))), None)
            .await
            .unwrap_err();
        assert_eq!(refusal.passing, passing, "{code} {refusal}");
        assert!(refusal.message.contains(&code.to_string()) && !refusal.message.contains("hunter2"));
    }
    let refusal = send(webhook("http://127.0.0.1:1/secretpath".into()), None)
        .await
        .unwrap_err();
    assert!(
        refusal.passing && !refusal.message.contains("secretpath"),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let refusal = send(webhook(format!("http://127.0.0.1:{port}/")), None)
        .await
        .unwrap_err();
    assert!(refusal.passing, "{refusal}");
    drop(listener);
}

#[tokio::test]
async fn discord_and_ntfy_take_a_text_and_a_picture() {
    let (server, mut received) = Server::start(|_| 200).await;
    let discord = || {
        AlertChannel::new(
            "d",
            ChannelPlace::Discord {
                url: Secret::new(server.url("/api/webhooks/1/x")),
            },
        )
    };
    send(discord(), None).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&received.next().await.body).unwrap();
    assert_eq!(body["embeds"][0]["title"], "nvr: a test");
    assert_eq!(body["allowed_mentions"]["parse"], serde_json::json!([]));
    send(discord(), Some(b"JPEG")).await.unwrap();
    let request = received.next().await;
    let text = String::from_utf8_lossy(&request.body).into_owned();
    assert!(request.head.contains("multipart/form-data; boundary="));
    for part in [
        "name=\"payload_json\"",
        "name=\"files[0]\"",
        "attachment://picture.jpg",
        "\r\n\r\nJPEG\r\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let ntfy = || {
        let place = ChannelPlace::Ntfy {
            url: Secret::new(server.url("/topic")),
            token: Some(Secret::new("tk_1")),
            login: None,
        };
        AlertChannel {
            title: Some("Tür {{ status }}".into()),
            ..AlertChannel::new("n", place)
        }
    };
    send(ntfy(), None).await.unwrap();
    let request = received.next().await;
    assert!(request.head.starts_with("POST /topic"));
    assert!(
        request.head.contains("x-title: =?UTF-8?B?VMO8ciB0ZXN0?="),
        "{}",
        request.head
    );
    assert!(
        request.head.contains("authorization: Bearer tk_1")
            && request.head.contains("x-click: https://nvr.lan")
    );
    assert!(String::from_utf8_lossy(&request.body).starts_with("somebody tries"));
    send(ntfy(), Some(b"JPEG")).await.unwrap();
    let request = received.next().await;
    assert!(request.head.starts_with("PUT /topic") && request.head.contains("x-message: somebody tries"));
    assert_eq!(request.body, b"JPEG");
    // One that is too large stays behind.
    static LARGE: [u8; MOST_PICTURE + 1] = [0; MOST_PICTURE + 1];
    send(ntfy(), Some(&LARGE)).await.unwrap();
    assert!(received.next().await.head.starts_with("POST"));
}

/// aiosmtpd, which prints each mail; killed when dropped.
struct Smtp(Child, u16);

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Smtp {
    async fn start(folder: &std::path::Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let out = std::fs::File::create(folder.join("mails")).unwrap();
        let child = Command::new("/usr/bin/python3")
            .args(["-u", "-m", "aiosmtpd", "-n", "-l", &format!("127.0.0.1:{port}")])
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .expect("python3-aiosmtpd: tools/install-deps.sh test");
        let up = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), up)
            .await
            .expect("python3-aiosmtpd: tools/install-deps.sh test");
        Self(child, port)
    }
}

fn email(port: u16, tls: MailTls) -> AlertChannel {
    let place = ChannelPlace::Email {
        host: "127.0.0.1".into(),
        port,
        tls,
        login: None,
        from: "nvr <nvr@example.org>".into(),
        to: vec!["me@example.org".into(), "you@example.org".into()],
    };
    AlertChannel::new("mail", place)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_arrives_with_its_picture() {
    let folder = tempfile::tempdir().unwrap();
    let server = Smtp::start(folder.path()).await;
    send(email(server.1, MailTls::None), Some(b"\xff\xd8JPEG"))
        .await
        .unwrap();
    let arrived = async {
        loop {
            let mails = std::fs::read_to_string(folder.path().join("mails")).unwrap();
            if mails.contains("END MESSAGE") {
                return mails;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mails = tokio::time::timeout(Duration::from_secs(60), arrived)
        .await
        .unwrap();
    for part in [
        "Subject: nvr: a test",
        "To: me@example.org, you@example.org",
        "somebody tries",
        "image/jpeg",
        "/9hKUEVH",
    ] {
        assert!(mails.contains(part), "{part}: {mails}");
    }
    // A server that does not encrypt gets nothing where that is asked for.
    let refusal = send(email(server.1, MailTls::Starttls), None).await.unwrap_err();
    assert!(!refusal.message.is_empty());
    assert!(send(email(server.1, MailTls::Tls), None).await.is_err());
    let port = server.1;
    drop(server);
    assert!(send(email(port, MailTls::None), None).await.unwrap_err().passing);
    assert!(is_mail_address("A <a@b.org>") && !is_mail_address("a b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_mqtt_is_told() {
    let mut broker = Broker::start();
    let config: MqttConfig = broker.config("nvr");
    let mqtt = Mqtt::start(config, SystemClock::shared()).unwrap();
    let mut heard = mqtt.subscribe("nvr/alerts").await.unwrap();
    mqtt.connections().wait_for(|s| s.connected).await.unwrap();
    let channel = AlertChannel::new(
        "m",
        ChannelPlace::Mqtt {
            topic: "nvr/alerts".into(),
        },
    );
    let sender = Sender::new(channel, Some(mqtt.clone()), SystemClock::shared()).unwrap();
    sender.send(&message(), None, None).await.unwrap();
    let got = tokio::time::timeout(Duration::from_secs(60), heard.recv())
        .await
        .unwrap()
        .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&got.payload).unwrap();
    assert_eq!(body["status"], "test");
    broker.kill();
    mqtt.connections().wait_for(|s| !s.connected).await.unwrap();
    assert!(sender.send(&message(), None, None).await.unwrap_err().passing);
}
