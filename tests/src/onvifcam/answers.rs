//! What the camera answers.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Cam;

/// The operation in a request's body, without its prefix.
pub(super) fn operation(text: &str) -> Option<String> {
    let body = text.split_once(":Body>")?.1;
    let name: String = body
        .strip_prefix('<')?
        .chars()
        .take_while(|c| !matches!(c, ' ' | '/' | '>'))
        .collect();
    Some(name.rsplit(':').next()?.to_owned())
}

/// The text of the first element of a name, whatever its prefix.
pub(super) fn text_of<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (tag, inside) = after.split_once('>')?;
        let tag = tag.split(' ').next().unwrap_or_default();
        if tag.rsplit(':').next() == Some(name) && !tag.starts_with('/') {
            return inside.split('<').next();
        }
        rest = after;
    }
}

pub(super) fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}

pub(super) fn envelope(body: &str) -> String {
    format!(
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?><SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope""#,
            r#" xmlns:tt="http://www.onvif.org/ver10/schema" xmlns:tds="http://www.onvif.org/ver10/device/wsdl""#,
            r#" xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tr2="http://www.onvif.org/ver20/media/wsdl""#,
            r#" xmlns:tptz="http://www.onvif.org/ver20/ptz/wsdl" xmlns:tev="http://www.onvif.org/ver10/events/wsdl""#,
            r#" xmlns:tse="http://www.onvif.org/ver10/search/wsdl" xmlns:trp="http://www.onvif.org/ver10/replay/wsdl""#,
            r#" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2" xmlns:wsa5="http://www.w3.org/2005/08/addressing""#,
            r#" xmlns:ter="http://www.onvif.org/ver10/error" xmlns:tns1="http://www.onvif.org/ver10/topics">"#,
            "<SOAP-ENV:Body>{}</SOAP-ENV:Body></SOAP-ENV:Envelope>"
        ),
        body
    )
}

pub(super) fn fault(code: &str, subcode: &str, reason: &str) -> String {
    format!(
        "<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:{code}</SOAP-ENV:Value><SOAP-ENV:Subcode><SOAP-ENV:Value>ter:{subcode}</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code><SOAP-ENV:Reason><SOAP-ENV:Text xml:lang=\"en\">{reason}</SOAP-ENV:Text></SOAP-ENV:Reason></SOAP-ENV:Fault>"
    )
}

pub(super) fn notification(topic: &str, source: &str, data: &str) -> String {
    let items = |text: &str| {
        text.split(',').filter_map(|pair| pair.split_once('=')).fold(
            String::new(),
            |mut out, (name, value)| {
                let _ = write!(
                    out,
                    "<tt:SimpleItem Name=\"{}\" Value=\"{}\"/>",
                    escape(name),
                    escape(value)
                );
                out
            },
        )
    };
    format!(
        "<wsnt:NotificationMessage><wsnt:Topic Dialect=\"http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet\">{topic}</wsnt:Topic><wsnt:Message><tt:Message UtcTime=\"2026-01-01T00:00:00Z\" PropertyOperation=\"Changed\"><tt:Source>{}</tt:Source><tt:Data>{}</tt:Data></tt:Message></wsnt:Message></wsnt:NotificationMessage>",
        items(source),
        items(data)
    )
}

/// `None` for what the camera does not know.
pub(super) fn answer(cam: &Arc<Cam>, operation: &str, text: &str) -> Option<String> {
    let (options, host) = (&cam.options, cam.host());
    let inner = match operation {
        "GetSystemDateAndTime" => time(cam.now_s()),
        "SetSystemDateAndTime" => {
            *cam.ahead_s.lock().unwrap_or_else(PoisonError::into_inner) = 0;
            String::new()
        }
        "GetDeviceInformation" => "<tds:Manufacturer>Simulated</tds:Manufacturer><tds:Model>Cam &amp; Co</tds:Model><tds:FirmwareVersion>1.0</tds:FirmwareVersion><tds:SerialNumber>7</tds:SerialNumber><tds:HardwareId>1</tds:HardwareId>".into(),
        "GetServices" if !options.old => services(cam, &host),
        "GetCapabilities" => {
            let ptz = if options.ptz { format!("<tt:PTZ><tt:XAddr>http://{host}/onvif/ptz</tt:XAddr></tt:PTZ>") } else { String::new() };
            format!("<tds:Capabilities><tt:Events><tt:XAddr>http://{host}/onvif/events</tt:XAddr></tt:Events><tt:Media><tt:XAddr>http://{host}/onvif/media</tt:XAddr></tt:Media>{ptz}</tds:Capabilities>")
        }
        "GetProfiles" => profiles(options.media2, options.ptz),
        "GetStreamUri" => {
            let stream = &options.streams[usize::from(text_of(text, "ProfileToken")? != "main")];
            let stream = escape(&at_host(stream, options.believes_to_be.as_deref()));
            if options.media2 {
                format!("<tr2:Uri>{stream}</tr2:Uri>")
            } else {
                format!("<trt:MediaUri><tt:Uri>{stream}</tt:Uri><tt:Timeout>PT0S</tt:Timeout></trt:MediaUri>")
            }
        }
        "GetSnapshotUri" => format!("<trt:MediaUri><tt:Uri>http://{host}/snapshot.jpg</tt:Uri></trt:MediaUri>"),
        "CreatePullPointSubscription" => {
            let mut seen = cam.lock();
            seen.subscriptions += 1;
            seen.alive = Some(seen.subscriptions);
            format!("<tev:SubscriptionReference><wsa5:Address>http://{host}/onvif/pull?sub={}</wsa5:Address></tev:SubscriptionReference>", seen.subscriptions)
        }
        "Renew" => String::new(),
        "Unsubscribe" => {
            cam.lock().alive = None;
            String::new()
        }
        "FindRecordings" if options.replay.is_some() => "<tse:SearchToken>search 1</tse:SearchToken>".into(),
        "EndSearch" if options.replay.is_some() => "<tse:Endpoint>2026-01-01T00:00:00Z</tse:Endpoint>".into(),
        "GetRecordingSearchResults" => results(cam, text)?,
        "GetReplayUri" if text_of(text, "RecordingToken") == Some("rec") => {
            format!("<trp:Uri>{}</trp:Uri>", escape(options.replay.as_deref()?))
        }
        _ if options.ptz => ptz(cam, operation, text)?,
        _ => return None,
    };
    let prefix = match operation {
        "GetProfiles" | "GetStreamUri" if options.media2 => "tr2",
        "GetProfiles" | "GetStreamUri" | "GetSnapshotUri" => "trt",
        "CreatePullPointSubscription" => "tev",
        "Renew" | "Unsubscribe" => "wsnt",
        "FindRecordings" | "GetRecordingSearchResults" | "EndSearch" => "tse",
        "GetReplayUri" => "trp",
        _ if operation.contains("Date")
            || operation.starts_with("GetDevice")
            || operation.starts_with("GetServ")
            || operation == "GetCapabilities" =>
        {
            "tds"
        }
        _ => "tptz",
    };
    Some(format!(
        "<{prefix}:{operation}Response>{inner}</{prefix}:{operation}Response>"
    ))
}

/// The same address at the host that the camera believes in.
fn at_host(stream: &str, host: Option<&str>) -> String {
    let Some(host) = host.and_then(|h| h.split(':').next()) else {
        return stream.to_owned();
    };
    stream.replacen("127.0.0.1", host, 1)
}

fn time(now_s: i64) -> String {
    let t = nvr_core::Timestamp::from_secs(now_s).to_string();
    let n = |from: usize, to: usize| t[from..to].parse::<u32>().unwrap_or(0);
    format!(
        "<tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType><tt:UTCDateTime><tt:Time><tt:Hour>{}</tt:Hour><tt:Minute>{}</tt:Minute><tt:Second>{}</tt:Second></tt:Time><tt:Date><tt:Year>{}</tt:Year><tt:Month>{}</tt:Month><tt:Day>{}</tt:Day></tt:Date></tt:UTCDateTime></tds:SystemDateAndTime>",
        n(11, 13),
        n(14, 16),
        n(17, 19),
        n(0, 4),
        n(5, 7),
        n(8, 10)
    )
}

fn services(cam: &Cam, host: &str) -> String {
    let media = if cam.options.media2 {
        "ver20/media"
    } else {
        "ver10/media"
    };
    let mut all = vec![
        ("ver10/device", "device_service"),
        (media, "media"),
        ("ver10/events", "events"),
    ];
    if cam.options.ptz {
        all.push(("ver20/ptz", "ptz"));
    }
    if cam.options.replay.is_some() {
        all.extend([("ver10/search", "search"), ("ver10/replay", "replay")]);
    }
    all.iter().fold(String::new(), |mut out, (space, path)| {
        let _ = write!(out, "<tds:Service><tds:Namespace>http://www.onvif.org/{space}/wsdl</tds:Namespace><tds:XAddr>http://{host}/onvif/{path}</tds:XAddr></tds:Service>");
        out
    })
}

/// What is on the card.
fn results(cam: &Cam, text: &str) -> Option<String> {
    use super::CardAnswer;
    cam.options.replay.as_ref()?;
    if text_of(text, "SearchToken") != Some("search 1") {
        return None;
    }
    let now = cam.now_s();
    let time = |s: i64| nvr_core::Timestamp::from_secs(s).to_string();
    let recording = |token: &str, source: &str, from: String, to: String| {
        format!(
            "<tt:RecordingInformation><tt:RecordingToken>{token}</tt:RecordingToken><tt:Source><tt:SourceId>{source}</tt:SourceId><tt:Name>{source}</tt:Name></tt:Source><tt:Content/><tt:Track><tt:TrackToken>v</tt:TrackToken><tt:TrackType>Video</tt:TrackType><tt:Description/><tt:DataFrom>{from}</tt:DataFrom><tt:DataTo>{to}</tt:DataTo></tt:Track><tt:RecordingStatus>Recording</tt:RecordingStatus></tt:RecordingInformation>"
        )
    };
    let fine = |token: &str, source: &str| recording(token, source, time(now - 86_400), time(now));
    let found = match cam.options.card {
        CardAnswer::Fine => fine("rec", "lens"),
        CardAnswer::Huge => fine("rec", "lens").repeat(20_000),
        CardAnswer::NoXml => return Some("<<not a word of XML".into()),
        CardAnswer::Absurd => recording(
            "rec",
            "lens",
            "9999-12-31T23:59:59Z".into(),
            "0000-00-00T99:00:00Z".into(),
        ),
        CardAnswer::TwoLenses => fine("rec", "left") + &fine("other", "right"),
        CardAnswer::Endless => {
            return Some(
                "<tse:ResultList><tt:SearchState>Searching</tt:SearchState></tse:ResultList>".into(),
            );
        }
    };
    Some(format!(
        "<tse:ResultList><tt:SearchState>Completed</tt:SearchState>{found}</tse:ResultList>"
    ))
}

fn profiles(media2: bool, ptz: bool) -> String {
    let ptz_of = |prefix: &str| {
        if ptz {
            format!("<{prefix} token=\"ptz\"><tt:NodeToken>node</tt:NodeToken></{prefix}>")
        } else {
            String::new()
        }
    };
    let all = [
        ("sub", 640, 360, "H264"),
        ("main", 1920, 1080, if media2 { "H265" } else { "H264" }),
    ];
    all.iter().fold(String::new(), |mut out, (token, w, h, codec)| {
        let encoder = format!("<tt:Encoding>{codec}</tt:Encoding><tt:Resolution><tt:Width>{w}</tt:Width><tt:Height>{h}</tt:Height></tt:Resolution><tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit><tt:BitrateLimit>4096</tt:BitrateLimit></tt:RateControl>");
        let source = "<tt:SourceToken>lens</tt:SourceToken>";
        let _ = if media2 {
            write!(out, "<tr2:Profiles token=\"{token}\"><tr2:Name>{token}</tr2:Name><tr2:Configurations><tr2:VideoSource token=\"v\">{source}</tr2:VideoSource><tr2:VideoEncoder token=\"e\">{encoder}</tr2:VideoEncoder>{}</tr2:Configurations></tr2:Profiles>", ptz_of("tr2:PTZ"))
        } else {
            write!(out, "<trt:Profiles token=\"{token}\"><tt:Name>{token}</tt:Name><tt:VideoSourceConfiguration token=\"v\">{source}</tt:VideoSourceConfiguration><tt:VideoEncoderConfiguration token=\"e\">{encoder}</tt:VideoEncoderConfiguration>{}</trt:Profiles>", ptz_of("tt:PTZConfiguration"))
        };
        out
    })
}

fn ptz(cam: &Arc<Cam>, operation: &str, text: &str) -> Option<String> {
    let number = |element: &str, axis: &str| {
        let tag = text.split_once(&format!(":{element} "))?.1.split_once('>')?.0;
        tag.split_once(&format!("{axis}=\""))?
            .1
            .split('"')
            .next()?
            .parse::<f64>()
            .ok()
    };
    let preset = || text_of(text, "PresetToken").map(unescape);
    let mut seen = cam.lock();
    seen.moves += u64::from(operation != "GetPresets" && operation != "GetNodes");
    Some(match operation {
        "GetNodes" => "<tptz:PTZNode token=\"node\"><tt:SupportedPTZSpaces><tt:AbsolutePanTiltPositionSpace/><tt:RelativePanTiltTranslationSpace/><tt:ContinuousPanTiltVelocitySpace/><tt:ContinuousZoomVelocitySpace/></tt:SupportedPTZSpaces><tt:MaximumNumberOfPresets>16</tt:MaximumNumberOfPresets><tt:HomeSupported>true</tt:HomeSupported></tptz:PTZNode>".into(),
        "ContinuousMove" => {
            let of = |element, axis| number(element, axis).unwrap_or(0.0);
            seen.moving = Some([of("PanTilt", "x"), of("PanTilt", "y"), of("Zoom", "x")]);
            if cam.options.minds_timeout {
                let timeout = text_of(text, "Timeout")?.trim_start_matches("PT").trim_end_matches('S').parse().ok()?;
                let (cam, order) = (Arc::clone(cam), seen.moves);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_secs_f64(timeout)).await;
                    let mut seen = cam.lock();
                    if seen.moves == order {
                        seen.moving = None;
                    }
                });
            }
            String::new()
        }
        "Stop" => {
            seen.moving = None;
            String::new()
        }
        "RelativeMove" | "AbsoluteMove" | "GotoHomePosition" | "SetHomePosition" => String::new(),
        "GetPresets" => seen.presets.iter().fold(String::new(), |mut out, (token, name)| {
            let _ = write!(out, "<tptz:Preset token=\"{}\"><tt:Name>{}</tt:Name></tptz:Preset>", escape(token), escape(name));
            out
        }),
        "SetPreset" => {
            seen.made_presets += 1;
            let token = format!("p/{}", seen.made_presets);
            seen.presets.push((token.clone(), unescape(text_of(text, "PresetName")?)));
            format!("<tptz:PresetToken>{token}</tptz:PresetToken>")
        }
        "GotoPreset" => {
            let wanted = preset()?;
            seen.presets.iter().find(|(token, _)| *token == wanted)?;
            String::new()
        }
        "RemovePreset" => {
            let wanted = preset()?;
            seen.presets.retain(|(token, _)| *token != wanted);
            String::new()
        }
        _ => return None,
    })
}
