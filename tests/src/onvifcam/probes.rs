//! Answers to those who look for cameras: WS-Discovery by multicast.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::Cam;
use super::answers::text_of;

const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const PORT: u16 = 3702;

/// A socket that hears what goes to the group on the camera's interface.
pub(super) fn listen(at: Ipv4Addr) -> anyhow::Result<tokio::net::UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV4,
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    // Several cameras of one machine hear the same.
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    socket.join_multicast_v4(&GROUP, &at)?;
    socket.set_nonblocking(true)?;
    Ok(tokio::net::UdpSocket::from_std(socket.into())?)
}

/// Answers each probe for cameras by unicast, until it is aborted.
pub(super) async fn answer(socket: tokio::net::UdpSocket, cam: Arc<Cam>) {
    let mut packet = vec![0; 65_536];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut packet).await else {
            continue;
        };
        let text = String::from_utf8_lossy(&packet[..length]).into_owned();
        let Some(types) = text_of(&text, "Types") else {
            continue;
        };
        if !types.contains("NetworkVideoTransmitter") {
            continue;
        }
        let asked = text_of(&text, "MessageID").unwrap_or_default();
        cam.lock().operations.push("Probe".into());
        let answer = matches(&cam, asked);
        if let Err(e) = socket.send_to(answer.as_bytes(), from).await {
            tracing::warn!(%from, error = %e, "a probe is not answered");
        }
    }
}

fn matches(cam: &Cam, asked: &str) -> String {
    let host = cam.host();
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope""#,
            r#" xmlns:wsa="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery""#,
            r#" xmlns:dn="http://www.onvif.org/ver10/network/wsdl"><SOAP-ENV:Header>"#,
            "<wsa:MessageID>urn:uuid:00000000-0000-4000-8000-00000000000a</wsa:MessageID><wsa:RelatesTo>{asked}</wsa:RelatesTo>",
            "<wsa:To>http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous</wsa:To>",
            "<wsa:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/ProbeMatches</wsa:Action></SOAP-ENV:Header>",
            "<SOAP-ENV:Body><d:ProbeMatches><d:ProbeMatch><wsa:EndpointReference><wsa:Address>urn:uuid:{host}</wsa:Address>",
            "</wsa:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types>",
            "<d:Scopes>onvif://www.onvif.org/name/Simulated%20{host} onvif://www.onvif.org/hardware/Cam</d:Scopes>",
            "<d:XAddrs>http://{host}/onvif/device_service</d:XAddrs><d:MetadataVersion>1</d:MetadataVersion>",
            "</d:ProbeMatch></d:ProbeMatches></SOAP-ENV:Body></SOAP-ENV:Envelope>"
        ),
        asked = asked,
        host = host
    )
}
