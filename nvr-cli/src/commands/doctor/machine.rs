//! The machine: GStreamer, encoders, clock, ports, devices.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use nvr_core::config::{Auth, Config};
use nvr_core::detect::{self, CodecKind, CodecReport, Outcome, PartReport};
use nvr_core::error::ErrorKind;
use nvr_core::machine::ClockSync;
use nvr_core::source::SourceSpec;
use nvr_core::track::VideoCodec;

use super::Finding;
use crate::client;

pub async fn gstreamer(config: Option<&Config>) -> Vec<Finding> {
    let parts = match detect::parts().await {
        Ok(parts) => parts,
        Err(e) => return vec![Finding::of("GStreamer", &e)],
    };
    let present = parts.iter().filter(|p| p.present).count();
    let text = format!(
        "{}, {present} of {} elements that are used",
        detect::gstreamer_version(),
        parts.len()
    );
    let mut out = vec![Finding::ok("GStreamer", text)];
    // Hardly a machine has a camera at CSI, and Debian does not bring this one along.
    let at_csi = config.is_some_and(|c| {
        c.cameras
            .iter()
            .any(|camera| matches!(camera.source, SourceSpec::Libcamera(_)))
    });
    let wanted: Vec<PartReport> = parts
        .into_iter()
        .filter(|p| at_csi || p.element != "libcamerasrc")
        .collect();
    out.extend(lacking(&wanted));
    out
}

/// One finding for each package that is missing.
fn lacking(parts: &[PartReport]) -> Vec<Finding> {
    let mut packages: BTreeMap<&str, Vec<&PartReport>> = BTreeMap::new();
    for part in parts.iter().filter(|p| !p.present) {
        packages.entry(part.package).or_default().push(part);
    }
    packages
        .into_iter()
        .map(|(package, parts)| {
            let elements: Vec<&str> = parts.iter().map(|p| p.element).collect();
            let mut uses: Vec<&str> = parts.iter().map(|p| p.used_for).collect();
            uses.dedup();
            let text = format!("without {}: {}", elements.join(", "), uses.join("; "));
            let advice = format!("apt install {package}");
            if parts.iter().any(|p| p.needed) {
                Finding::fail("GStreamer", ErrorKind::Unsupported, text, advice)
            } else {
                Finding::warn("GStreamer", text, advice)
            }
        })
        .collect()
}

pub async fn encoders(config: Option<&Config>) -> Finding {
    match detect::codecs().await {
        Ok(codecs) => judge_encoders(&codecs, config.is_some_and(encodes)),
        Err(e) => Finding::of("encoders", &e),
    }
}

/// Whether there are cameras whose pictures have to be encoded.
fn encodes(config: &Config) -> bool {
    config.cameras.iter().filter(|c| c.enabled).any(|c| {
        matches!(
            c.source,
            SourceSpec::V4l2(_) | SourceSpec::Mjpeg(_) | SourceSpec::Libcamera(_) | SourceSpec::Test(_)
        )
    })
}

fn judge_encoders(codecs: &[CodecReport], wanted: bool) -> Finding {
    let encoders = || codecs.iter().filter(|c| c.kind == CodecKind::Encoder);
    let names = |codec: VideoCodec| -> Vec<String> {
        let works = encoders().filter(|c| c.codec == codec && matches!(c.outcome, Outcome::Works { .. }));
        works
            .map(|c| {
                let place = if c.hardware { " (hardware)" } else { "" };
                format!("{}{place}", c.name)
            })
            .collect()
    };
    let (h264, h265) = (names(VideoCodec::H264), names(VideoCodec::H265));
    let or_none = |names: &[String]| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let mut text = format!("H.264: {}; H.265: {}", or_none(&h264), or_none(&h265));
    let broken: Vec<&str> = encoders()
        .filter(|c| matches!(c.outcome, Outcome::Broken { .. }))
        .map(|c| c.name.as_str())
        .collect();
    if !broken.is_empty() {
        text += &format!("; installed, but broken: {}", broken.join(", "));
    }
    let software = "apt install gstreamer1.0-plugins-ugly (x264enc)";
    match (h264.is_empty(), wanted) {
        (true, true) => Finding::fail("encoders", ErrorKind::Unsupported, text, software),
        (true, false) => Finding::warn("encoders", text, software),
        _ if h265.is_empty() => Finding::warn(
            "encoders",
            text,
            "only `[transcode]` needs H.265: apt install gstreamer1.0-plugins-bad (x265enc)",
        ),
        _ if !broken.is_empty() => Finding::warn("encoders", text, "`nvr detect` says what they answered"),
        _ => Finding::ok("encoders", text),
    }
}

pub fn clock(sync: Option<ClockSync>) -> Finding {
    let advice = "apt install systemd-timesyncd (or chrony); recordings go by this clock";
    match sync {
        Some(sync) if sync.synchronised => {
            let most = sync.most_error_us as f64 / 1e6;
            Finding::ok(
                "clock",
                format!("kept by a time service, wrong by at most {most:.3} s"),
            )
        }
        Some(_) => Finding::warn("clock", "no time service keeps it right", advice),
        None => Finding::warn("clock", "the kernel does not say whether it is right", advice),
    }
}

/// Looks at the ports; whether a recorder answers there.
pub async fn ports(config: &Config, findings: &mut Vec<Finding>) -> bool {
    let http = &config.http;
    let Some(recorder) = client::address(config) else {
        findings.push(Finding::ok("ports", "HTTP is off"));
        findings.extend(rtsp_server(config, None));
        return false;
    };
    let answers = client::get(&recorder, "/health").await;
    let running = answers.is_some_and(|health| health["ready"].is_boolean());
    findings.push(tcp_port(http.listen, running));
    if http.webrtc && !running {
        findings.push(udp_port(SocketAddr::new(http.listen.ip(), http.webrtc_port)));
    }
    if http.auth == Auth::None && !http.listen.ip().is_loopback() {
        findings.push(Finding::warn(
            "ports",
            format!("everybody who reaches {} may do everything", http.listen),
            "remove `http.auth = \"none\"`",
        ));
    }
    let answer = client::get(&recorder, "/api/v1/rtsp").await;
    findings.extend(rtsp_server(config, answer.filter(|_| running).as_ref()));
    running
}

/// The RTSP server, if there is to be one. `answer` is what a running recorder tells of it.
fn rtsp_server(config: &Config, answer: Option<&serde_json::Value>) -> Option<Finding> {
    let server = &config.rtsp_server;
    if !server.enabled {
        return None;
    }
    let readers = |all: &serde_json::Value| all["clients"].as_array().map(Vec::len);
    Some(match answer {
        Some(all) if all["enabled"] == true => Finding::ok(
            "rtsp server",
            format!(
                "serves {}, {} clients read",
                all["url"].as_str().unwrap_or_default(),
                readers(all).unwrap_or(0)
            ),
        ),
        Some(all) if all["enabled"] == false => Finding::warn(
            "rtsp server",
            "the recorder that runs serves nothing, though the configuration says so",
            "start it again",
        ),
        // A recorder that does not tell may be the one that listens there.
        Some(_) => Finding::ok("rtsp server", format!("{} is the recorder's", server.listen)),
        None => match std::net::TcpListener::bind(server.listen) {
            Ok(_) => Finding::ok("rtsp server", format!("{} is free", server.listen)),
            Err(e) => Finding {
                subject: "rtsp server",
                ..cannot_bind(&server.listen.to_string(), &e, "rtsp_server.listen")
            },
        },
    })
}

fn tcp_port(address: SocketAddr, running: bool) -> Finding {
    if running {
        return Finding::ok("ports", format!("a recorder answers at {address}"));
    }
    match std::net::TcpListener::bind(address) {
        Ok(_) => Finding::ok("ports", format!("{address} is free")),
        Err(e) => cannot_bind(&format!("{address}"), &e, "http.listen"),
    }
}

fn udp_port(address: SocketAddr) -> Finding {
    match std::net::UdpSocket::bind(address) {
        Ok(_) => Finding::ok("ports", format!("{address} (UDP, for WebRTC) is free")),
        Err(e) => cannot_bind(&format!("{address} (UDP, for WebRTC)"), &e, "http.webrtc_port"),
    }
}

fn cannot_bind(what: &str, e: &std::io::Error, key: &str) -> Finding {
    match e.kind() {
        std::io::ErrorKind::AddrInUse => Finding::fail(
            "ports",
            ErrorKind::Conflict,
            format!("{what} is taken, and no recorder answers there"),
            format!("`ss -lnp` shows by whom; stop it, or change `{key}`"),
        ),
        std::io::ErrorKind::PermissionDenied => Finding::fail(
            "ports",
            ErrorKind::InvalidArgument,
            format!("{what} may not be used by this user"),
            format!("take a port above 1023 (`{key}`), or give the service CAP_NET_BIND_SERVICE"),
        ),
        _ => Finding::fail(
            "ports",
            ErrorKind::InvalidArgument,
            format!("{what}: {e}"),
            format!("change `{key}` to an address of this machine"),
        ),
    }
}

/// Whether this user may use the devices of cameras.
pub fn devices(config: &Config) -> Vec<Finding> {
    let mut out = Vec::new();
    for camera in &config.cameras {
        let SourceSpec::V4l2(source) = &camera.source else {
            continue;
        };
        let path = Path::new(&source.device);
        let opened = std::fs::OpenOptions::new().read(true).write(true).open(path);
        let shown = format!("{} of {}", path.display(), camera.id);
        out.push(match opened {
            Ok(_) => Finding::ok("devices", shown),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => Finding::fail(
                "devices",
                ErrorKind::Storage,
                format!("{shown} may not be opened by this user"),
                "add the recorder's user to the group `video`: usermod -aG video nvr",
            ),
            Err(e) => Finding::fail(
                "devices",
                ErrorKind::NotFound,
                format!("{shown}: {e}"),
                "`nvr detect` shows the devices that are there",
            ),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Verdict;

    fn part(element: &'static str, package: &'static str, needed: bool, present: bool) -> PartReport {
        PartReport {
            element,
            package,
            used_for: "this",
            needed,
            present,
        }
    }

    #[test]
    fn the_rtsp_server_is_told_where_there_is_to_be_one() {
        let mut config = Config::new("/nowhere");
        assert!(rtsp_server(&config, None).is_none());
        config.rtsp_server.enabled = true;
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        config.rtsp_server.listen = taken.local_addr().unwrap();
        let found = rtsp_server(&config, None).unwrap();
        assert_eq!((found.subject, found.verdict), ("rtsp server", Verdict::Fail));
        assert!(found.advice.unwrap().contains("rtsp_server.listen"));
        let told = |all| rtsp_server(&config, Some(&all)).unwrap();
        let serves = told(serde_json::json!({"enabled": true, "url": "rtsp://h:8554", "clients": [{}]}));
        assert_eq!(serves.text, "serves rtsp://h:8554, 1 clients read");
        let not = told(serde_json::json!({"enabled": false, "clients": []}));
        assert_eq!(not.verdict, Verdict::Warn);
    }

    #[test]
    fn a_missing_package_is_named_once() {
        let found = lacking(&[
            part("a", "good", true, true),
            part("b", "good", false, false),
            part("c", "bad", false, false),
            part("d", "bad", true, false),
        ]);
        let shown: Vec<_> = found
            .iter()
            .map(|f| (f.verdict, f.text.as_str(), f.advice.as_deref().unwrap()))
            .collect();
        let want = [
            (Verdict::Fail, "without c, d: this", "apt install bad"),
            (Verdict::Warn, "without b: this", "apt install good"),
        ];
        assert_eq!(shown, want);
    }

    #[test]
    fn encoders_matter_to_those_who_need_them() {
        let codec = |name: &str, codec, outcome| CodecReport {
            name: name.into(),
            kind: CodecKind::Encoder,
            codec,
            hardware: false,
            outcome,
        };
        let works = || Outcome::Works { fps: 100.0 };
        let all = [
            codec("x264enc", VideoCodec::H264, works()),
            codec("x265enc", VideoCodec::H265, works()),
        ];
        assert_eq!(judge_encoders(&all, true).verdict, Verdict::Ok);
        assert_eq!(judge_encoders(&all[..1], true).verdict, Verdict::Warn);
        assert_eq!(judge_encoders(&all[1..], false).verdict, Verdict::Warn);
        assert_eq!(judge_encoders(&all[1..], true).verdict, Verdict::Fail);
        let reason = String::new();
        let broken = codec("vah264enc", VideoCodec::H264, Outcome::Broken { reason });
        let [a, b] = all;
        let found = judge_encoders(&[a, b, broken], true);
        assert_eq!(found.verdict, Verdict::Warn);
        assert!(found.text.contains("broken: vah264enc"), "{}", found.text);
    }

    #[test]
    fn a_clock_that_nobody_keeps_is_told() {
        let of = |synchronised| {
            clock(Some(ClockSync {
                synchronised,
                most_error_us: 1500,
            }))
        };
        assert_eq!(of(true).verdict, Verdict::Ok);
        assert_eq!(of(false).verdict, Verdict::Warn);
        assert_eq!(clock(None).verdict, Verdict::Warn);
    }

    #[test]
    fn a_port_of_another_program_is_told() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let found = tcp_port(address, false);
        assert_eq!((found.verdict, found.kind), (Verdict::Fail, ErrorKind::Conflict));
        assert_eq!(tcp_port(address, true).verdict, Verdict::Ok);
        drop(taken);
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(udp_port(taken.local_addr().unwrap()).verdict, Verdict::Fail);
        // An address that this machine does not have (RFC 5737).
        assert_eq!(
            tcp_port("192.0.2.1:8080".parse().unwrap(), false).verdict,
            Verdict::Fail
        );
    }
}
