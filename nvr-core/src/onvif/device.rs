//! A camera's ONVIF services: where they are, asking them, proving who asks.
//!
//! A camera may be behind an address translation or believe in an address that it no longer has, so what it says about
//! hosts is not followed: every service is asked at the host that was reached. That is also why a camera's answer cannot
//! send credentials anywhere else.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT, WWW_AUTHENTICATE};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use url::Url;

use super::soap::{self, Answer, envelope, username_token};
use super::xml::{Node, plain};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};
use crate::rtsp::Authenticator;
use crate::source::Credentials;
use crate::time::Timestamp;
use crate::web::{self, AGENT, causes};

/// Most bytes of an answer.
const MAX_ANSWER: usize = 2 << 20;
/// How long an answer may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(5);

/// Where a camera is asked, and as whom.
#[derive(Clone, PartialEq, Debug)]
pub struct Access {
    /// Its device service.
    pub address: Url,
    /// User and password there.
    pub credentials: Option<Credentials>,
}

impl Access {
    /// Reads an address: `192.168.1.20`, `camera.lan:8080`, or a whole URL. User and password in it count unless others
    /// are given.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no address of a web service.
    pub fn parse(address: &str, credentials: Option<Credentials>) -> Result<Self> {
        let (url, inside) = crate::source::onvif_address(address).ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "this is no address of an ONVIF service",
            )
            .with_hint(crate::source::ONVIF_ADDRESS_HINT)
        })?;
        Ok(Self {
            address: url,
            credentials: credentials.or(inside),
        })
    }
}

/// What a camera says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct DeviceInfo {
    /// Who made it.
    pub manufacturer: String,
    /// Which model it is.
    pub model: String,
    /// Version of its software.
    pub firmware: String,
    /// Its number.
    pub serial: String,
}

/// Addresses of a camera's services; those that it does not have are absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Services {
    pub(super) media: Option<Url>,
    pub(super) media2: Option<Url>,
    pub(super) ptz: Option<Url>,
    pub(super) events: Option<Url>,
    /// Profile G: what is on the camera's card, and playing it.
    pub(super) search: Option<Url>,
    pub(super) replay: Option<Url>,
}

/// A camera that is asked by ONVIF.
#[derive(Debug)]
pub struct Device {
    access: Access,
    clock: SharedClock,
    http: Client<web::Connector, Full<Bytes>>,
    auth: Mutex<Authenticator>,
    /// The camera's clock less ours; `None` where it does not tell.
    offset_ns: Option<i64>,
    pub(super) services: Services,
}

impl Device {
    fn new(clock: &SharedClock, access: Access) -> Result<Self> {
        Ok(Self {
            auth: Mutex::new(Authenticator::new(access.credentials.clone(), rand::random())),
            // Small web servers close connections as they like: a kept one fails more often than it saves.
            http: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .build(web::connector(CONNECT, None)?),
            access,
            clock: clock.clone(),
            offset_ns: None,
            services: Services::default(),
        })
    }

    /// How far the clock of a camera is ahead of ours, which is asked without credentials; `None` where it does not tell.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn clock_offset_of(clock: &SharedClock, address: &Url) -> Result<Option<i64>> {
        let access = Access {
            address: address.clone(),
            credentials: None,
        };
        Self::new(clock, access)?.ask_time().await
    }

    /// Reaches a camera: its clock, then its services.
    ///
    /// # Errors
    /// `Unavailable` and `Timeout` when it does not answer, `Unauthorized` when it refuses the credentials, `Unsupported`
    /// when what answers is no ONVIF service.
    pub async fn connect(clock: &SharedClock, access: Access) -> Result<Arc<Self>> {
        let mut device = Self::new(clock, access)?;
        match device.ask_time().await {
            Ok(offset) => device.offset_ns = offset,
            // Some want to know even here who asks; what is decided by that comes with the next question.
            Err(e) if matches!(e.kind(), ErrorKind::Unauthorized | ErrorKind::Unsupported) => {}
            Err(e) => return Err(e),
        }
        device.services = device.ask_services().await?;
        Ok(Arc::new(device))
    }

    /// Where it is asked.
    #[must_use]
    pub fn address(&self) -> &Url {
        &self.access.address
    }

    /// How far the camera's clock was ahead of ours when it was reached; `None` where it does not tell.
    #[must_use]
    pub fn clock_offset_ns(&self) -> Option<i64> {
        self.offset_ns
    }

    /// Asks for the clock once more.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn measure_clock_ns(&self) -> Result<Option<i64>> {
        self.ask_time().await
    }

    /// Sets the camera's clock to ours, in UTC; its time zone and daylight saving stay.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and `Unauthorized` where the user may not.
    pub async fn set_clock(&self) -> Result<()> {
        let (date, time) = date_and_time(self.clock.now());
        let body = format!(
            concat!(
                "<tds:SetSystemDateAndTime><tds:DateTimeType>Manual</tds:DateTimeType>",
                "<tds:DaylightSavings>false</tds:DaylightSavings><tds:UTCDateTime>",
                "<tt:Time><tt:Hour>{}</tt:Hour><tt:Minute>{}</tt:Minute><tt:Second>{}</tt:Second></tt:Time>",
                "<tt:Date><tt:Year>{}</tt:Year><tt:Month>{}</tt:Month><tt:Day>{}</tt:Day></tt:Date>",
                "</tds:UTCDateTime></tds:SetSystemDateAndTime>"
            ),
            time[0], time[1], time[2], date[0], date[1], date[2]
        );
        self.call(&self.access.address, &body).await.map(drop)
    }

    /// Maker, model, versions.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn information(&self) -> Result<DeviceInfo> {
        let answer = self
            .call(&self.access.address, "<tds:GetDeviceInformation/>")
            .await?;
        let text = |name: &str| plain(answer.text_at(&[name]).unwrap_or_default());
        Ok(DeviceInfo {
            manufacturer: text("Manufacturer"),
            model: text("Model"),
            firmware: text("FirmwareVersion"),
            serial: text("SerialNumber"),
        })
    }

    async fn ask_time(&self) -> Result<Option<i64>> {
        let before = self.clock.now();
        let body = envelope("", "<tds:GetSystemDateAndTime/>");
        let answer = self.post(&self.access.address, &body, PATIENCE).await?;
        let after = self.clock.now();
        let middle = before.add_ns((after.as_ns() - before.as_ns()) / 2);
        Ok(read_time(&answer).map(|theirs| theirs.since(middle)))
    }

    async fn ask_services(&self) -> Result<Services> {
        let at = &self.access.address;
        let body = "<tds:GetServices><tds:IncludeCapability>false</tds:IncludeCapability></tds:GetServices>";
        let first = match self.call(at, body).await {
            Ok(answer) => {
                let found = self.services_of(&answer);
                if found.media.is_some() || found.media2.is_some() {
                    return Ok(found);
                }
                None
            }
            Err(e) if matches!(e.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) => return Err(e),
            Err(e) => Some(e),
        };
        // Older cameras know this one only.
        let body = "<tds:GetCapabilities><tds:Category>All</tds:Category></tds:GetCapabilities>";
        match self.call(at, body).await {
            Ok(answer) => Ok(self.capabilities_of(&answer)),
            Err(e) => Err(match first {
                Some(first) if first.kind() == ErrorKind::Unauthorized => first,
                _ => e,
            }),
        }
    }

    fn services_of(&self, answer: &Node) -> Services {
        let mut found = Services::default();
        for service in answer.all("Service").take(64) {
            let space = service.text_at(&["Namespace"]).unwrap_or_default();
            let place = service.text_at(&["XAddr"]).and_then(|x| self.place(x));
            let slot = match space.trim_end_matches('/') {
                "http://www.onvif.org/ver10/media/wsdl" => &mut found.media,
                "http://www.onvif.org/ver20/media/wsdl" => &mut found.media2,
                "http://www.onvif.org/ver20/ptz/wsdl" => &mut found.ptz,
                "http://www.onvif.org/ver10/events/wsdl" => &mut found.events,
                "http://www.onvif.org/ver10/search/wsdl" => &mut found.search,
                "http://www.onvif.org/ver10/replay/wsdl" => &mut found.replay,
                _ => continue,
            };
            *slot = place;
        }
        found
    }

    fn capabilities_of(&self, answer: &Node) -> Services {
        let place = |name: &str| {
            let xaddr = answer.text_at(&["Capabilities", name, "XAddr"])?;
            self.place(xaddr)
        };
        let further = |name: &str| {
            let xaddr = answer.text_at(&["Capabilities", "Extension", name, "XAddr"])?;
            self.place(xaddr)
        };
        Services {
            media: place("Media"),
            media2: None,
            ptz: place("PTZ"),
            events: place("Events"),
            search: further("Search"),
            replay: further("Replay"),
        }
    }

    /// A service's address at the host that was reached.
    pub(super) fn place(&self, xaddr: &str) -> Option<Url> {
        let theirs = Url::parse(xaddr).ok().filter(|_| xaddr.len() <= 1024)?;
        let ours = &self.access.address;
        let mut at = ours.clone();
        at.set_path(theirs.path());
        at.set_query(theirs.query());
        // Of the right host the port is believed too; one translated stands for all.
        if theirs.host() == ours.host() && theirs.scheme() == ours.scheme() {
            at.set_port(theirs.port()).ok()?;
        }
        Some(at)
    }

    /// Asks, as whoever the credentials are of.
    pub(super) async fn call(&self, at: &Url, body: &str) -> Result<Node> {
        self.call_with(at, "", body, PATIENCE).await
    }

    /// The same, with more in the header and another patience.
    pub(super) async fn call_with(
        &self,
        at: &Url,
        header: &str,
        body: &str,
        patience: Duration,
    ) -> Result<Node> {
        let token = self.access.credentials.as_ref().map(|credentials| {
            let now = self.clock.now().add_ns(self.offset_ns.unwrap_or(0));
            username_token(credentials, now, rand::random())
        });
        let envelope = envelope(&format!("{}{header}", token.unwrap_or_default()), body);
        self.post(at, &envelope, patience).await
    }

    async fn post(&self, at: &Url, envelope: &str, patience: Duration) -> Result<Node> {
        let exchange = self.exchange(at, envelope);
        tokio::select! {
            answer = exchange => answer,
            () = self.clock.sleep(patience) => {
                Err(Error::new(ErrorKind::Timeout, format!("{}: no answer in {} s", shown(at), patience.as_secs())))
            }
        }
    }

    async fn exchange(&self, at: &Url, envelope: &str) -> Result<Node> {
        let mut uri = at.path().to_owned();
        if let Some(query) = at.query() {
            uri = format!("{uri}?{query}");
        }
        let mut answered = self.answer(&uri);
        // The challenge, a nonce that went stale, a weaker hash: more rounds than that lead nowhere.
        for _ in 0..4 {
            let mut request = http::Request::post(at.as_str())
                .header(CONTENT_TYPE, "application/soap+xml; charset=utf-8")
                .header(USER_AGENT, AGENT);
            if let Some(answer) = &answered {
                request = request.header(AUTHORIZATION, answer);
            }
            let request = request
                .body(Full::new(Bytes::copy_from_slice(envelope.as_bytes())))
                .map_err(|e| {
                    Error::new(ErrorKind::InvalidArgument, "this address cannot be asked").with_source(e)
                })?;
            let unreachable =
                |why: String| Error::new(ErrorKind::Unavailable, format!("{}: {why}", shown(at)));
            let response = self
                .http
                .request(request)
                .await
                .map_err(|e| unreachable(causes(&e)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body =
                body.map_err(|e| unreachable(format!("the answer breaks off or is too large ({e})")))?;
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            if head.status == http::StatusCode::UNAUTHORIZED && head.headers.contains_key(WWW_AUTHENTICATE) {
                let headers = head.headers.get_all(WWW_AUTHENTICATE);
                let headers = headers.iter().filter_map(|v| v.to_str().ok());
                self.lock()
                    .challenge(headers, answered.is_some())
                    .map_err(|e| refused(at, &e.to_string()))?;
                answered = self.answer(&uri);
                continue;
            }
            return self.judge(at, head.status, &text);
        }
        Err(refused(at, "the camera refuses user or password"))
    }

    fn judge(&self, at: &Url, status: http::StatusCode, text: &str) -> Result<Node> {
        match soap::read(text) {
            Ok(Answer::Body(node)) if status.is_success() => {
                self.lock().accepted();
                Ok(node)
            }
            Ok(Answer::Fault(fault)) if fault.is_refusal() => Err(refused(at, &fault.to_string())),
            Ok(Answer::Fault(fault)) => {
                let kind = if fault.is_unsupported() {
                    ErrorKind::Unsupported
                } else {
                    ErrorKind::Conflict
                };
                Err(Error::new(
                    kind,
                    format!("{}: the camera answers: {fault}", shown(at)),
                ))
            }
            _ if matches!(status.as_u16(), 401 | 403) => Err(refused(at, &format!("it answers {status}"))),
            Ok(Answer::Body(_)) => Err(no_service(at, &format!("it answers {status}"))),
            Err(why) if status.is_success() => Err(no_service(at, &why)),
            Err(_) => Err(no_service(at, &format!("it answers {status}"))),
        }
    }

    fn answer(&self, uri: &str) -> Option<String> {
        self.lock().answer("POST", uri)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Authenticator> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(at: &Url, why: &str) -> Error {
    Error::new(ErrorKind::Unauthorized, format!("{}: {why}", shown(at)))
        .with_hint("check user and password; many cameras have users of their own for ONVIF, to be made on the camera's page")
}

fn no_service(at: &Url, why: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("{}: no ONVIF service answers there: {why}", shown(at)),
    )
    .with_hint(
        "switch ONVIF on at the camera's page, or give the address of its device service with its port",
    )
}

/// An address for people; a query may hold whatever the camera put there.
fn shown(at: &Url) -> String {
    let mut at = at.clone();
    at.set_query(None);
    at.to_string()
}

/// The camera's time in UTC.
fn read_time(answer: &Node) -> Option<Timestamp> {
    let utc = answer.find("UTCDateTime")?;
    let number = |path: &[&str], most: u32| utc.number::<u32>(path).filter(|n| *n <= most);
    let text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        number(&["Date", "Year"], 2200)?,
        number(&["Date", "Month"], 12)?,
        number(&["Date", "Day"], 31)?,
        number(&["Time", "Hour"], 23)?,
        number(&["Time", "Minute"], 59)?,
        // Leap seconds are no time that can be kept.
        number(&["Time", "Second"], 60)?.min(59),
    );
    text.parse().ok()
}

/// Year, month, day; hour, minute, second.
fn date_and_time(t: Timestamp) -> ([u32; 3], [u32; 3]) {
    let text = t.to_string();
    let number = |from: usize, to: usize| text.get(from..to).and_then(|n| n.parse().ok()).unwrap_or(0);
    (
        [number(0, 4), number(5, 7), number(8, 10)],
        [number(11, 13), number(14, 16), number(17, 19)],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed_and_lose_their_password() {
        for (text, full) in [
            ("192.168.1.20", "http://192.168.1.20/onvif/device_service"),
            ("cam.lan:8080", "http://cam.lan:8080/onvif/device_service"),
            ("[fe80::1]:81", "http://[fe80::1]:81/onvif/device_service"),
            ("https://u:p%40@h/x", "https://h/x"),
        ] {
            let access = Access::parse(text, None).unwrap();
            assert_eq!(access.address.as_str(), full);
            assert!(!format!("{access:?}").contains("p@"));
        }
        let inside = Access::parse("http://u:p%40@h/", None)
            .unwrap()
            .credentials
            .unwrap();
        assert_eq!((inside.user.as_str(), inside.password.expose()), ("u", "p@"));
        for bad in ["", "rtsp://h/", "http://", "a b"] {
            assert!(Access::parse(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_and_written() {
        let node = Node::parse(
            "<r><SystemDateAndTime><UTCDateTime><Time><Hour>7</Hour><Minute>5</Minute><Second>9</Second></Time><Date><Year>2026</Year><Month>2</Month><Day>3</Day></Date></UTCDateTime></SystemDateAndTime></r>",
        )
        .unwrap();
        let t = read_time(&node).unwrap();
        assert_eq!(t, "2026-02-03T07:05:09Z".parse().unwrap());
        assert_eq!(date_and_time(t), ([2026, 2, 3], [7, 5, 9]));
    }
}
