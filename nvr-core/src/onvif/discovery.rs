//! Finding cameras on the local network: WS-Discovery 1.0 (2005/04) as ONVIF uses it (ONVIF Core Specification,
//! chapter 7).
//!
//! A `Probe` goes out by multicast on every interface; whoever is a camera answers by unicast. Answers come from
//! anybody on the network: they are bounded in number and size, and nothing they say is acted upon.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use quick_xml::events::Event;
use tokio::task::JoinSet;

use super::xml::character;
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};

/// Address and port of WS-Discovery.
const GROUP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(239, 255, 255, 250)), 3702);

/// Devices that are kept; more than this answer on no sane network.
const MAX_DEVICES: usize = 1024;

/// Datagrams that are read from one interface.
const MAX_ANSWERS: usize = 4096;

/// Longest text of one element.
const MAX_TEXT: usize = 8192;

/// What devices are asked for; some answer to one of these only.
const TYPES: [&str; 2] = ["dn:NetworkVideoTransmitter", "tds:Device"];

/// A device that answered.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Discovered {
    /// Its lasting name, usually `urn:uuid:…`.
    pub endpoint: String,
    /// Addresses of its device service, `http` or `https`, without credentials.
    pub addresses: Vec<String>,
    /// Name by its scopes.
    pub name: Option<String>,
    /// Model by its scopes.
    pub hardware: Option<String>,
    /// Place by its scopes.
    pub location: Option<String>,
    /// Where the answer came from.
    pub from: IpAddr,
}

/// How to look for cameras.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DiscoverOptions {
    /// Where the question goes.
    pub target: SocketAddr,
    /// How long answers are waited for.
    pub wait: Duration,
    /// Addresses of the interfaces to ask on; all of the machine's if empty.
    pub interfaces: Vec<Ipv4Addr>,
}

impl Default for DiscoverOptions {
    fn default() -> Self {
        Self {
            target: GROUP,
            wait: Duration::from_secs(3),
            interfaces: Vec::new(),
        }
    }
}

/// Asks and waits for the answers; each device appears once, in the order of their names.
///
/// # Errors
/// `Unavailable` when the question could be sent on no interface.
pub async fn discover(clock: &SharedClock, options: &DiscoverOptions) -> Result<Vec<Discovered>> {
    let mut interfaces = options.interfaces.clone();
    if interfaces.is_empty() {
        interfaces = local_addresses();
    }
    let mut tasks = JoinSet::new();
    let mut asked = 0;
    let mut last_error = None;
    for interface in interfaces {
        match ask(interface, options.target).await {
            Ok(socket) => {
                asked += 1;
                tasks.spawn(listen(socket, std::sync::Arc::clone(clock), options.wait));
            }
            Err(e) => {
                tracing::debug!(%interface, error = %e, "discovery cannot ask on this interface");
                last_error = Some(e);
            }
        }
    }
    if asked == 0 {
        let error = Error::new(ErrorKind::Unavailable, "discovery: no interface to ask on");
        return Err(match last_error {
            Some(e) => error.with_source(e),
            None => error,
        });
    }
    let mut devices: Vec<Discovered> = Vec::new();
    while let Some(found) = tasks.join_next().await {
        for device in found.unwrap_or_default() {
            merge(&mut devices, device);
        }
    }
    devices.sort_by(|a, b| (&a.name, &a.endpoint).cmp(&(&b.name, &b.endpoint)));
    Ok(devices)
}

/// A device answers on each interface and to each question.
fn merge(devices: &mut Vec<Discovered>, new: Discovered) {
    let same = |d: &&mut Discovered| {
        if new.endpoint.is_empty() {
            d.addresses == new.addresses
        } else {
            d.endpoint == new.endpoint
        }
    };
    if let Some(known) = devices.iter_mut().find(same) {
        for address in new.addresses {
            if !known.addresses.contains(&address) && known.addresses.len() < 16 {
                known.addresses.push(address);
            }
        }
        known.name = known.name.take().or(new.name);
        known.hardware = known.hardware.take().or(new.hardware);
        known.location = known.location.take().or(new.location);
    } else if devices.len() < MAX_DEVICES {
        devices.push(new);
    }
}

/// A socket on one interface, with the questions sent.
async fn ask(interface: Ipv4Addr, target: SocketAddr) -> std::io::Result<tokio::net::UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    socket.bind(&SocketAddr::from((interface, 0)).into())?;
    if target.ip().is_multicast() {
        socket.set_multicast_if_v4(&interface)?;
        socket.set_multicast_ttl_v4(1)?;
    }
    socket.set_nonblocking(true)?;
    let socket = tokio::net::UdpSocket::from_std(socket.into())?;
    for types in TYPES {
        socket.send_to(question(types).as_bytes(), target).await?;
    }
    Ok(socket)
}

fn question(types: &str) -> String {
    let id: u128 = rand::random();
    // Version 4, variant 1, as RFC 4122 wants it.
    let id = id & !(0xF000 << 64) & !(0xC000 << 48) | 0x4000 << 64 | 0x8000 << 48;
    let hex = format!("{id:032x}");
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?>"#,
            r#"<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope""#,
            r#" xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing""#,
            r#" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery""#,
            r#" xmlns:dn="http://www.onvif.org/ver10/network/wsdl""#,
            r#" xmlns:tds="http://www.onvif.org/ver10/device/wsdl">"#,
            r#"<e:Header><w:MessageID>uuid:{}-{}-{}-{}-{}</w:MessageID>"#,
            r#"<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"#,
            r#"<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"#,
            r#"<e:Body><d:Probe><d:Types>{}</d:Types></d:Probe></e:Body></e:Envelope>"#,
        ),
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
        types
    )
}

async fn listen(socket: tokio::net::UdpSocket, clock: SharedClock, wait: Duration) -> Vec<Discovered> {
    let mut found = Vec::new();
    let mut packet = vec![0; 65_536];
    let over = clock.sleep(wait);
    tokio::pin!(over);
    for _ in 0..MAX_ANSWERS {
        let received = tokio::select! {
            () = &mut over => break,
            r = socket.recv_from(&mut packet) => r,
        };
        // An ICMP error of an earlier packet comes back here: no reason to stop.
        let Ok((length, from)) = received else { continue };
        let Some(bytes) = packet.get(..length) else {
            continue;
        };
        for device in parse(bytes, from.ip()) {
            merge(&mut found, device);
        }
    }
    found
}

/// The devices in an answer; none when it is not one.
fn parse(bytes: &[u8], from: IpAddr) -> Vec<Discovered> {
    let packet = String::from_utf8_lossy(bytes);
    let mut reader = quick_xml::Reader::from_str(&packet);
    let mut found = Vec::new();
    let mut device: Option<Draft> = None;
    let mut text = String::new();
    loop {
        match reader.read_event() {
            Ok(Event::Start(e)) => {
                text.clear();
                if e.local_name().as_ref() == "ProbeMatch" {
                    device = Some(Draft::default());
                }
            }
            Ok(Event::Text(t)) => {
                if text.len() + t.len() <= MAX_TEXT {
                    text.push_str(&t);
                }
            }
            Ok(Event::GeneralRef(r)) => {
                text.extend(character(&r).filter(|_| text.len() < MAX_TEXT));
            }
            Ok(Event::End(e)) => {
                match e.local_name().as_ref() {
                    "ProbeMatch" => {
                        found.extend(device.take().and_then(|d| d.finish(from)));
                        if found.len() >= 64 {
                            return found;
                        }
                    }
                    name => {
                        if let Some(d) = &mut device {
                            d.field(name, text.trim());
                        }
                    }
                }
                text.clear();
            }
            Ok(Event::Eof) => return found,
            Err(e) => {
                tracing::debug!(%from, error = %e, "discovery: an answer is not XML");
                return found;
            }
            Ok(_) => {}
        }
    }
}

#[derive(Default)]
struct Draft {
    endpoint: String,
    addresses: Vec<String>,
    name: Option<String>,
    hardware: Option<String>,
    location: Option<String>,
}

impl Draft {
    fn field(&mut self, name: &str, text: &str) {
        match name {
            "Address" => self.endpoint = text.chars().filter(|c| !c.is_control()).take(200).collect(),
            "XAddrs" => {
                self.addresses = text
                    .split_ascii_whitespace()
                    .filter_map(service_address)
                    .take(8)
                    .collect();
            }
            "Scopes" => {
                for scope in text.split_ascii_whitespace().take(64) {
                    self.scope(scope);
                }
            }
            _ => {}
        }
    }

    /// `onvif://www.onvif.org/name/Front%20door`; a device may have several places, one more precise than another.
    fn scope(&mut self, scope: &str) {
        let Some(path) = scope.strip_prefix("onvif://www.onvif.org/") else {
            return;
        };
        let Some((key, value)) = path.split_once('/') else {
            return;
        };
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
        let value: String = value.chars().filter(|c| !c.is_control()).take(200).collect();
        let slot = match key {
            "name" => &mut self.name,
            "hardware" => &mut self.hardware,
            "location" => &mut self.location,
            _ => return,
        };
        let value = value.trim();
        match slot {
            _ if value.is_empty() => {}
            Some(known) if key == "location" && known.len() < 200 => {
                known.push_str(", ");
                known.push_str(value);
            }
            Some(_) => {}
            None => *slot = Some(value.to_owned()),
        }
    }

    fn finish(self, from: IpAddr) -> Option<Discovered> {
        let Self {
            endpoint,
            addresses,
            name,
            hardware,
            location,
        } = self;
        (!endpoint.is_empty() || !addresses.is_empty()).then_some(Discovered {
            endpoint,
            addresses,
            name,
            hardware,
            location,
            from,
        })
    }
}

fn service_address(text: &str) -> Option<String> {
    let mut url = url::Url::parse(text).ok()?;
    if !matches!(url.scheme(), "http" | "https") || text.len() > 500 {
        return None;
    }
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.into())
}

/// The machine's IPv4 addresses without loopback; the system's choice when they are not known.
fn local_addresses() -> Vec<Ipv4Addr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut found = addresses_in(&table);
    if found.is_empty() {
        found.push(Ipv4Addr::UNSPECIFIED);
    }
    found
}

/// Local addresses in the kernel's routing table: a line with the address, then one that says `host LOCAL`.
fn addresses_in(fib_trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut address = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("|-- ") {
            address = rest.parse::<Ipv4Addr>().ok();
        } else if line.ends_with("host LOCAL")
            && let Some(a) = address
            && !a.is_loopback()
            && !found.contains(&a)
            && found.len() < 64
        {
            found.push(a);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use proptest::prelude::*;

    fn answer(endpoint: &str, body: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
            xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery">
            <s:Header><a:Address>not the device</a:Address></s:Header><s:Body><d:ProbeMatches><d:ProbeMatch>
            <a:EndpointReference><a:Address>{endpoint}</a:Address></a:EndpointReference>{body}
            </d:ProbeMatch></d:ProbeMatches></s:Body></s:Envelope>"#
        )
    }

    const CAMERA: &str = "<d:Types>dn:NetworkVideoTransmitter</d:Types>
        <d:Scopes>onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/Front%20door%20&amp;%20yard
        onvif://www.onvif.org/hardware/IPC-1 onvif://www.onvif.org/location/country/china onvif://www.onvif.org/location/city/x</d:Scopes>
        <d:XAddrs>http://admin:pw@192.168.1.64/onvif/device_service http://[fe80::1]/onvif/device_service javascript:x</d:XAddrs>";

    fn from() -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 168, 1, 64))
    }

    #[test]
    fn an_answer_is_read() {
        let found = parse(answer("urn:uuid:1", CAMERA).as_bytes(), from());
        assert_eq!(
            found,
            [Discovered {
                endpoint: "urn:uuid:1".into(),
                addresses: vec![
                    "http://192.168.1.64/onvif/device_service".into(),
                    "http://[fe80::1]/onvif/device_service".into(),
                ],
                name: Some("Front door & yard".into()),
                hardware: Some("IPC-1".into()),
                location: Some("country/china, city/x".into()),
                from: from(),
            }]
        );
    }

    #[test]
    fn the_question_is_xml_with_a_fresh_id() {
        let (a, b) = (question(TYPES[0]), question(TYPES[0]));
        assert_ne!(a, b);
        assert!(parse(a.as_bytes(), from()).is_empty());
        assert!(a.contains("NetworkVideoTransmitter"));
        let id = a.split("uuid:").nth(1).unwrap().split('<').next().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
    }

    #[test]
    fn local_addresses_come_from_the_routing_table() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.7\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\nLocal:\n     |-- 10.0.0.7\n        /32 host LOCAL\n";
        assert_eq!(addresses_in(table), [Ipv4Addr::new(10, 0, 0, 7)]);
        assert!(!local_addresses().is_empty());
    }

    /// Answers each question with all of `answers`, until the test ends.
    fn respond(socket: tokio::net::UdpSocket, answers: Vec<Vec<u8>>) {
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
                assert!(String::from_utf8_lossy(&buffer[..n]).contains("Probe"));
                for a in &answers {
                    let _ = socket.send_to(a, from).await;
                }
            }
        });
    }

    fn options(target: SocketAddr) -> DiscoverOptions {
        DiscoverOptions {
            target,
            wait: Duration::from_millis(500),
            interfaces: vec![Ipv4Addr::LOCALHOST],
        }
    }

    #[tokio::test]
    async fn devices_answer_once_each_and_rubbish_is_passed_over() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let target = socket.local_addr().unwrap();
        let whole = answer("urn:uuid:1", CAMERA);
        respond(
            socket,
            vec![
                b"\xff\xfe\x00 no xml <<<".to_vec(),
                whole.as_bytes()[..whole.len() / 2].to_vec(),
                whole.clone().into_bytes(),
                answer("urn:uuid:1", "<d:XAddrs>http://10.1.1.1/</d:XAddrs>").into_bytes(),
                answer("urn:uuid:2", "").into_bytes(),
                answer("", "").into_bytes(),
            ],
        );
        let found = discover(&SystemClock::shared(), &options(target)).await.unwrap();
        let ends: Vec<_> = found.iter().map(|d| d.endpoint.as_str()).collect();
        assert_eq!(ends, ["urn:uuid:2", "urn:uuid:1"]);
        assert_eq!(found[1].addresses.len(), 3);
    }

    #[tokio::test]
    async fn multicast_reaches_a_device() {
        let group = Ipv4Addr::new(239, 255, 42, 99);
        let device = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        device
            .bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())
            .unwrap();
        device.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
        device.set_nonblocking(true).unwrap();
        let device = tokio::net::UdpSocket::from_std(device.into()).unwrap();
        let port = device.local_addr().unwrap().port();
        respond(device, vec![answer("urn:uuid:3", CAMERA).into_bytes()]);
        let found = discover(&SystemClock::shared(), &options(SocketAddr::from((group, port))))
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[tokio::test]
    async fn no_interface_is_an_error() {
        let mut o = options(GROUP);
        o.interfaces = vec![Ipv4Addr::new(203, 0, 113, 1)];
        let e = discover(&SystemClock::shared(), &o).await.unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Unavailable);
    }

    proptest! {
        #[test]
        fn any_answer_is_survived(at in 0usize..600, with in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut bytes = answer("urn:uuid:1", CAMERA).into_bytes();
            let at = at.min(bytes.len());
            let end = (at + with.len()).min(bytes.len());
            bytes.splice(at..end, with);
            let _ = parse(&bytes, from());
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, from());
        }
    }
}
