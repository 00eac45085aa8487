//! Descriptions and challenges as they are known of makers of cameras and servers, written after public reports of
//! their formats.

use super::super::testing::{Script, describe, options};
use super::super::{AudioKind, Client, RtspErrorKind};
use crate::track::VideoCodec;

struct Brand {
    text: &'static str,
    url: &'static str,
    codec: VideoCodec,
    /// Width by the description's parameter sets, 0 if there are none.
    width: u32,
    video: &'static str,
    audio: Option<(&'static str, u32, u32)>,
    play: &'static str,
    left_out: &'static [&'static str],
}

const META: &str = "application/vnd.onvif.metadata";

macro_rules! brand {
    ($file:literal, $url:literal, $codec:ident, $width:literal, $video:literal, $audio:expr, $play:literal, $out:expr) => {
        Brand {
            text: include_str!(concat!("../fixtures/", $file, ".txt")),
            url: $url,
            codec: VideoCodec::$codec,
            width: $width,
            video: $video,
            audio: $audio,
            play: $play,
            left_out: $out,
        }
    };
}

const BRANDS: [Brand; 24] = [
    // Absolute controls with a query of their own.
    brand!(
        "axis",
        "rtsp://10.0.0.2/axis-media/media.amp?videocodec=h264",
        H264,
        1280,
        "rtsp://10.0.0.2/axis-media/media.amp/stream=0?videocodec=h264&resolution=1280x800",
        None,
        "rtsp://10.0.0.2/axis-media/media.amp?videocodec=h264&resolution=1280x800",
        &[META]
    ),
    brand!(
        "axis_old",
        "rtsp://10.10.11.48/axis-media/media.amp",
        H264,
        640,
        "rtsp://10.10.11.48:554/axis-media/media.amp/trackID=1?videocodec=h264",
        Some((
            "rtsp://10.10.11.48:554/axis-media/media.amp/trackID=2?videocodec=h264",
            16_000,
            1
        )),
        "rtsp://10.10.11.48:554/axis-media/media.amp?videocodec=h264",
        &[]
    ),
    brand!(
        "hikvision",
        "rtsp://10.0.0.3/Streaming/Channels/101",
        H264,
        1920,
        "rtsp://10.0.0.3:554/Streaming/Channels/101/trackID=1",
        Some(("rtsp://10.0.0.3:554/Streaming/Channels/101/trackID=2", 8000, 1)),
        "rtsp://10.0.0.3:554/Streaming/Channels/101/",
        &[META]
    ),
    // No parameter sets, no base, parameters of audio under another number.
    brand!(
        "hikvision_nvr",
        "rtsp://10.0.0.3/Streaming/tracks/101?starttime=1",
        H264,
        0,
        "rtsp://10.0.0.3/Streaming/tracks/101?starttime=1/trackID=video",
        Some((
            "rtsp://10.0.0.3/Streaming/tracks/101?starttime=1/trackID=audio",
            16_000,
            1
        )),
        "rtsp://10.0.0.3/Streaming/tracks/101?starttime=1",
        &[]
    ),
    // The base ends behind its query; a backchannel.
    brand!(
        "dahua",
        "rtsp://10.0.0.4/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif",
        H264,
        1920,
        "rtsp://10.0.0.4:554/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif/trackID=0",
        Some((
            "rtsp://10.0.0.4:554/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif/trackID=1",
            8000,
            1
        )),
        "rtsp://10.0.0.4:554/cam/realmonitor?channel=1&subtype=0&unicast=true&proto=Onvif/",
        &[META, "audio/mpeg4-generic (backchannel)"]
    ),
    brand!(
        "dahua_h265",
        "rtsp://10.0.0.5/cam/realmonitor?channel=1&subtype=0",
        H265,
        2880,
        "rtsp://10.0.0.5:554/cam/realmonitor?channel=1&subtype=0/trackID=0",
        Some((
            "rtsp://10.0.0.5:554/cam/realmonitor?channel=1&subtype=0/trackID=1",
            8000,
            1
        )),
        "rtsp://10.0.0.5:554/cam/realmonitor?channel=1&subtype=0/",
        &["audio/pcma (backchannel)"]
    ),
    brand!(
        "amcrest",
        "rtsp://10.0.0.6/cam/realmonitor?channel=1&subtype=1",
        H264,
        960,
        "rtsp://10.0.0.6:554/cam/realmonitor?channel=1&subtype=1/trackID=0",
        Some((
            "rtsp://10.0.0.6:554/cam/realmonitor?channel=1&subtype=1/trackID=1",
            48_000,
            1
        )),
        "rtsp://10.0.0.6:554/cam/realmonitor?channel=1&subtype=1",
        &[]
    ),
    brand!(
        "reolink",
        "rtsp://10.0.0.7/h264Preview_01_main",
        H264,
        2560,
        "rtsp://10.0.0.7:554/h264Preview_01_main/trackID=1",
        Some(("rtsp://10.0.0.7:554/h264Preview_01_main/trackID=2", 16_000, 1)),
        "rtsp://10.0.0.7:554/h264Preview_01_main/",
        &[]
    ),
    brand!(
        "reolink_h265",
        "rtsp://10.0.0.8/Preview_01_main",
        H265,
        2880,
        "rtsp://10.0.0.8/Preview_01_main/track1",
        Some(("rtsp://10.0.0.8/Preview_01_main/track2", 16_000, 1)),
        "rtsp://10.0.0.8/Preview_01_main/",
        &[]
    ),
    // A list of parameter sets without the second, a static payload type without its mapping.
    brand!(
        "foscam",
        "rtsp://10.0.0.9:88/videoMain",
        H264,
        0,
        "rtsp://10.0.0.9:88/videoMain/track1",
        Some(("rtsp://10.0.0.9:88/videoMain/track2", 8000, 1)),
        "rtsp://10.0.0.9:88/videoMain/",
        &[]
    ),
    // Content-Location, a payload type that is not dynamic, audio that is not taken.
    brand!(
        "bosch",
        "rtsp://10.0.0.10/rtsp_tunnel?inst=1",
        H264,
        1920,
        "rtsp://10.0.0.10/rtsp_tunnel?inst=1&line=1&stream=video",
        None,
        "rtsp://10.0.0.10/rtsp_tunnel?inst=1",
        &["audio/l16", META]
    ),
    brand!(
        "hanwha",
        "rtsp://10.0.0.11/profile2/media.smp",
        H264,
        1920,
        "rtsp://10.0.0.11:554/profile2/media.smp/trackID=v",
        Some(("rtsp://10.0.0.11:554/profile2/media.smp/trackID=a", 8000, 1)),
        "rtsp://10.0.0.11:554/profile2/media.smp",
        &["audio/pcmu (backchannel)", META]
    ),
    brand!(
        "vivotek",
        "rtsp://10.0.0.12/live.sdp",
        H264,
        1920,
        "rtsp://10.0.0.12/live.sdp/trackID=1",
        Some(("rtsp://10.0.0.12/live.sdp/trackID=4", 16_000, 1)),
        "rtsp://10.0.0.12/live.sdp/",
        &[]
    ),
    // A media line that is none.
    brand!(
        "tapo",
        "rtsp://10.0.0.13/stream1",
        H264,
        1920,
        "rtsp://10.0.0.13:554/stream1/track1",
        Some(("rtsp://10.0.0.13:554/stream1/track2", 8000, 1)),
        "rtsp://10.0.0.13:554/stream1/",
        &["application/tp-link/rtp/avp"]
    ),
    // Audio first, twice, of the same number.
    brand!(
        "unifi",
        "rtsp://10.0.0.14:7447/68D79AE46148_0",
        H264,
        1920,
        "rtsp://10.0.0.14:7447/68D79AE46148_0/trackID=2",
        Some(("rtsp://10.0.0.14:7447/68D79AE46148_0/trackID=0", 48_000, 1)),
        "rtsp://10.0.0.14:7447/68D79AE46148_0/",
        &["audio/opus"]
    ),
    brand!(
        "go2rtc",
        "rtsp://10.0.0.15:8554/wyze",
        H264,
        1920,
        "rtsp://10.0.0.15:8554/wyze/trackID=0",
        Some(("rtsp://10.0.0.15:8554/wyze/trackID=1", 48_000, 2)),
        "rtsp://10.0.0.15:8554/wyze/",
        &[]
    ),
    brand!(
        "mediamtx",
        "rtsp://10.0.0.16:8554/cam",
        H265,
        2880,
        "rtsp://10.0.0.16:8554/cam/trackID=0",
        Some(("rtsp://10.0.0.16:8554/cam/trackID=1", 44_100, 2)),
        "rtsp://10.0.0.16:8554/cam/",
        &[]
    ),
    brand!(
        "gstreamer",
        "rtsp://10.0.0.17:8554/cam",
        H264,
        1920,
        "rtsp://10.0.0.17:8554/cam/stream=0",
        Some(("rtsp://10.0.0.17:8554/cam/stream=1", 44_100, 2)),
        "rtsp://10.0.0.17:8554/cam/",
        &[]
    ),
    brand!(
        "live555_proxy",
        "rtsp://10.0.0.18/6947244519572367685?device=3",
        H264,
        1920,
        "rtsp://10.0.0.18/6947244519572367685?device=3&connid=401040&sessionid=18/track1",
        None,
        "rtsp://10.0.0.18/6947244519572367685?device=3&connid=401040&sessionid=18/",
        &[]
    ),
    // Parameter sets that are none, no control of the session.
    brand!(
        "vstarcam",
        "rtsp://10.0.0.19:10554/tcp/av0_0",
        H264,
        0,
        "rtsp://10.0.0.19:10554/tcp/av0_0/track0",
        Some(("rtsp://10.0.0.19:10554/tcp/av0_0/track1", 8000, 1)),
        "rtsp://10.0.0.19:10554/tcp/av0_0",
        &[]
    ),
    // Lines that are cut short.
    brand!(
        "uniview",
        "rtsp://10.0.0.20/media/video1",
        H264,
        1920,
        "rtsp://10.0.0.20/media/video1/video",
        None,
        "rtsp://10.0.0.20/media/video1",
        &[META]
    ),
    brand!(
        "honeywell",
        "rtsp://10.0.0.21/ch01.264",
        H264,
        0,
        "rtsp://10.0.0.21:554/ch01.264/ctype=video",
        None,
        "rtsp://10.0.0.21:554/ch01.264/",
        &["application/vnd.onvif.metadata (backchannel)"]
    ),
    // Nothing but a media line, and a base that is empty.
    brand!(
        "bare",
        "rtsp://10.0.0.23/x",
        H264,
        0,
        "rtsp://10.0.0.23/x/trackID=0",
        None,
        "rtsp://10.0.0.23/x",
        &[]
    ),
    // A base without a host, NAL units of low importance.
    brand!(
        "beward",
        "rtsp://10.0.0.24/h264",
        H264,
        1920,
        "rtsp://10.0.0.24/h264/track1",
        Some(("rtsp://10.0.0.24/h264/track2", 8000, 1)),
        "rtsp://10.0.0.24/h264/",
        &[]
    ),
];

fn answer(text: &str) -> String {
    let (headers, sdp) = text.split_once("\n\n").unwrap();
    describe(sdp, &format!("{headers}\n"))
}

fn requested(request: &str) -> (&str, &str) {
    let mut words = request.split(' ');
    (words.next().unwrap(), words.next().unwrap())
}

#[test]
fn each_brand_is_set_up() {
    let ok = "RTSP/1.0 200 OK\nCSeq: %c\nSession: 1\n\n";
    for b in BRANDS {
        let mut script = Script::new(&[ok, &answer(b.text), ok, ok, ok]);
        let mut client = Client::new(options(b.url), 0);
        script
            .run(&mut client, 0)
            .unwrap_or_else(|e| panic!("{}: {e}", b.url));
        let mut want = vec![("OPTIONS", b.url), ("DESCRIBE", b.url), ("SETUP", b.video)];
        want.extend(b.audio.map(|(url, ..)| ("SETUP", url)));
        want.push(("PLAY", b.play));
        assert_eq!(
            script.requests.iter().map(|r| requested(r)).collect::<Vec<_>>(),
            want
        );
        let (tracks, params) = client.set_up_for_test();
        assert_eq!(tracks.video.codec, b.codec, "{}", b.url);
        assert_eq!(params.map_or(0, |p| p.width), b.width, "{}", b.url);
        assert_eq!(tracks.left_out, b.left_out, "{}", b.url);
        let audio = tracks.audio.as_ref().map(|a| (a.rate, a.channels));
        assert_eq!(
            audio,
            b.audio.map(|(_, rate, channels)| (rate, channels)),
            "{}",
            b.url
        );
        if let Some(AudioKind::Aac { config }) = tracks.audio.map(|a| a.kind) {
            assert_eq!(config.len(), 2);
        }
    }
}

#[test]
fn a_brand_without_usable_video_is_refused_by_name() {
    let ok = "RTSP/1.0 200 OK\nCSeq: %c\n\n";
    let mut script = Script::new(&[ok, &answer(include_str!("../fixtures/mjpeg_only.txt"))]);
    let mut client = Client::new(options("rtsp://10.0.0.22/mjpeg"), 0);
    let e = script.run(&mut client, 0).unwrap_err();
    assert_eq!(e.kind, RtspErrorKind::NoVideo);
    assert!(e.message.contains("video/jpeg, audio/g726-32"), "{e}");
}

/// Challenges by maker, and what the answer must hold.
#[test]
fn each_brand_is_logged_in_to() {
    let challenges: [(&[&str], &[&str]); 12] = [
        (
            &[
                r#"Digest realm="AXIS_00408CA1B2C3", nonce="0000B5F2Y7894b7a6b0c8d2f4", stale=FALSE"#,
                r#"Basic realm="AXIS_00408CA1B2C3""#,
            ],
            &["realm=\"AXIS_00408CA1B2C3\""],
        ),
        (
            &[
                r#"Digest realm="IP Camera(J8266)", nonce="54db9867cc85efdfa92501047c0e7025", stale="FALSE""#,
                r#"Basic realm="IP Camera(J8266)""#,
            ],
            &["Digest", "IP Camera(J8266)"],
        ),
        (
            &[r#"Digest realm="Login to 4F05B9DPAZ3A1B2", nonce="71a3bd4a8e4a9a7b""#],
            &["Login to 4F05B9DPAZ3A1B2"],
        ),
        // Dahua with SHA-256 turned on.
        (
            &[
                r#"Digest realm="Login to x", qop="auth", nonce="1", opaque="o", algorithm="SHA-256""#,
                r#"Digest realm="Login to x", nonce="2""#,
            ],
            &[
                "algorithm=SHA-256",
                "qop=auth",
                "nc=00000001",
                "cnonce=\"",
                "opaque=\"o\"",
            ],
        ),
        (
            &[r#"Digest realm="iPOLiS", nonce="3E6D6092539213F251271B0E14136E17""#],
            &["iPOLiS"],
        ),
        (
            &[r#"Digest realm="TP-Link IP-Camera", nonce="74e64d94c83a3e8b4a4c3f6d7e3b1a2c""#],
            &["TP-Link"],
        ),
        (
            &[r#"Digest qop="auth", realm="streaming_server", nonce="33ac6b2b5d1e9ba1""#],
            &["qop=auth"],
        ),
        // Reolink and others with live555.
        (
            &[r#"Digest realm="BC Streaming Media", nonce="a9e1aa9c4b9d4c1d2c1a5cfd6d8b3a44""#],
            &["BC Streaming Media"],
        ),
        (
            &[r#"Basic realm="Foscam IPCam Living Video""#],
            &["Basic YWRtaW46cGFzcyB3b3Jk"],
        ),
        // Bosch.
        (
            &[
                r#"Digest realm="please log in with a valid username",nonce="0123456789abcdef",opaque="",stale=FALSE,algorithm=MD5,qop="auth""#,
            ],
            &["algorithm=MD5", "opaque=\"\""],
        ),
        (
            &[r#"Basic realm="IPCAM", Digest realm="IPCAM", nonce="f1b2", algorithm="MD5""#],
            &["Digest"],
        ),
        // GStreamer.
        (
            &[r#"Digest realm="GStreamer RTSP Server", nonce="5b0f2d41a2c9e8a7", algorithm=MD5, qop="auth""#],
            &["qop=auth"],
        ),
    ];
    for (headers, wanted) in challenges {
        let lines: String = headers
            .iter()
            .map(|h| format!("WWW-Authenticate: {h}\n"))
            .collect();
        let refused = format!("RTSP/1.0 401 Unauthorized\nCSeq: %c\n{lines}\n");
        let mut script = Script::new(&[&refused, "RTSP/1.0 200 OK\nCSeq: %c\n\n"]);
        let mut client = Client::new(options("rtsp://cam/s"), 0);
        script.run(&mut client, 0).unwrap();
        assert!(!script.requests[0].contains("Authorization"));
        let login = script.requests[1]
            .lines()
            .find(|l| l.starts_with("Authorization: "))
            .unwrap();
        for w in wanted {
            assert!(login.contains(w), "{w} in {login}");
        }
        // And so is every request from then on.
        assert!(script.requests[2].starts_with("DESCRIBE") && script.requests[2].contains("Authorization: "));
    }
}
