//! Which streams of a description are set up, under which addresses, and what their formats mean.

use url::Url;

use super::bits::Bits;
use super::error::{RtspError, RtspErrorKind, quoted};
use super::event::{AudioKind, AudioParams};
use super::sdp::{Description, Direction, Media, unbase64, unhex};
use crate::track::VideoCodec;

/// Sampling frequencies by index (ISO/IEC 14496-3, table 1.18).
const AAC_RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350,
];

/// How the frames of an audio stream lie in its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AudioPacking {
    /// One frame a packet: G.711, Opus.
    Whole,
    /// RFC 3640, 3.2.1: bits of the fields of an AU header.
    AuHeaders { size: u32, index: u32, delta: u32 },
    /// RFC 6416, 7: a length in bytes of 255 and the rest, then the frame.
    Latm,
}

/// The video stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ChosenVideo {
    pub codec: VideoCodec,
    /// Parameter sets of the description, with their NAL headers.
    pub sets: Vec<Vec<u8>>,
    pub payload_type: u8,
    pub clock_rate: u32,
    pub control: String,
}

/// The audio stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ChosenAudio {
    pub params: AudioParams,
    pub packing: AudioPacking,
    pub payload_type: u8,
    pub clock_rate: u32,
    pub control: String,
}

/// What is set up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Chosen {
    pub video: ChosenVideo,
    pub audio: Option<ChosenAudio>,
    /// Address of the whole, for `PLAY`, keep-alive and `TEARDOWN`.
    pub control: String,
    /// Names of the streams that are left out.
    pub left_out: Vec<String>,
}

/// Chooses the first video and the first audio of a known kind.
///
/// # Errors
/// `NoVideo`, with the names of what there is, when there is no H.264 or H.265 video; `Unsupported` when the video is
/// packed in a way that is not read here.
pub(super) fn choose(description: &Description, base: &str, want_audio: bool) -> Result<Chosen, RtspError> {
    let mut video = None;
    let mut audio = None;
    let mut left_out = Vec::new();
    for media in &description.media {
        let to_client = media.direction == Direction::ToClient && !media.protocol.contains("SAVP");
        if to_client && media.kind == "video" && video.is_none() {
            video = video_of(media, base);
            if let Some(v) = &video {
                if v.codec == VideoCodec::H264
                    && media.parameter(v.payload_type, "packetization-mode") == Some("2")
                {
                    return Err(RtspError::unsupported(
                        "the camera sends H.264 interleaved (packetization-mode=2)",
                    ));
                }
                continue;
            }
        } else if to_client && media.kind == "audio" && audio.is_none() && want_audio {
            audio = audio_of(media, base);
            if audio.is_some() {
                continue;
            }
        }
        let name = name_of(media);
        if left_out.len() < 16 && !left_out.contains(&name) {
            left_out.push(name);
        }
    }
    let Some(video) = video else {
        let there = if left_out.is_empty() {
            "nothing".into()
        } else {
            left_out.join(", ")
        };
        return Err(RtspError::new(
            RtspErrorKind::NoVideo,
            format!("the stream has no H.264 or H.265 video; it has {there}"),
        ));
    };
    Ok(Chosen {
        video,
        audio,
        control: resolve(base, description.control.as_deref()),
        left_out,
    })
}

fn name_of(media: &Media) -> String {
    let encoding = media
        .formats
        .iter()
        .find_map(|&f| media.rtpmap(f))
        .map(|m| m.encoding);
    let encoding = encoding.unwrap_or_else(|| media.protocol.clone());
    let mut name = quoted(&format!("{}/{}", media.kind, encoding.to_ascii_lowercase()));
    match media.direction {
        Direction::ToClient => {}
        Direction::FromClient => name.push_str(" (backchannel)"),
        Direction::None => name.push_str(" (inactive)"),
    }
    if media.protocol.contains("SAVP") {
        name.push_str(" (encrypted)");
    }
    name
}

fn video_of(media: &Media, base: &str) -> Option<ChosenVideo> {
    media.formats.iter().find_map(|&format| {
        let map = media.rtpmap(format)?;
        let codec = match map.encoding.as_str() {
            "H264" => VideoCodec::H264,
            "H265" | "HEVC" => VideoCodec::H265,
            _ => return None,
        };
        let names: &[&str] = match codec {
            VideoCodec::H264 => &["sprop-parameter-sets"],
            VideoCodec::H265 => &["sprop-vps", "sprop-sps", "sprop-pps"],
        };
        let sets = names
            .iter()
            .filter_map(|name| media.parameter(format, name))
            .flat_map(|list| list.split(','))
            .take(16)
            .map(unbase64)
            // Some cameras put start codes into them.
            .map(|nal| {
                nal.iter()
                    .position(|&b| b > 1)
                    .map_or(Vec::new(), |start| nal[start..].to_vec())
            })
            .filter(|nal| !nal.is_empty())
            .collect();
        Some(ChosenVideo {
            codec,
            sets,
            payload_type: format,
            clock_rate: map.clock_rate.unwrap_or(90_000),
            control: resolve(base, media.control.as_deref()),
        })
    })
}

fn audio_of(media: &Media, base: &str) -> Option<ChosenAudio> {
    media.formats.iter().find_map(|&format| {
        let map = media.rtpmap(format)?;
        let (kind, packing, rate, channels) = match map.encoding.as_str() {
            "PCMU" => (
                AudioKind::Pcmu,
                AudioPacking::Whole,
                map.clock_rate.unwrap_or(8000),
                map.channels,
            ),
            "PCMA" => (
                AudioKind::Pcma,
                AudioPacking::Whole,
                map.clock_rate.unwrap_or(8000),
                map.channels,
            ),
            // RFC 7587: the mapping says two channels whatever the stream has.
            "OPUS" => {
                let stereo = media.parameter(format, "sprop-stereo") == Some("1");
                let channels = if stereo { 2 } else { map.channels.unwrap_or(2) };
                (AudioKind::Opus, AudioPacking::Whole, 48_000, Some(channels))
            }
            "MPEG4-GENERIC" => aac(media, format, map.clock_rate, map.channels)?,
            "MP4A-LATM" => latm(media, format)?,
            _ => return None,
        };
        Some(ChosenAudio {
            params: AudioParams {
                kind,
                rate,
                channels: channels.unwrap_or(1),
            },
            packing,
            payload_type: format,
            clock_rate: map.clock_rate.unwrap_or(rate),
            control: resolve(base, media.control.as_deref()),
        })
    })
}

type Audio = (AudioKind, AudioPacking, u32, Option<u32>);

fn aac(media: &Media, format: u8, rate: Option<u32>, channels: Option<u32>) -> Option<Audio> {
    let mode = media.parameter(format, "mode").unwrap_or("AAC-hbr");
    let low = mode.eq_ignore_ascii_case("AAC-lbr");
    if !low && !mode.eq_ignore_ascii_case("AAC-hbr") {
        return None;
    }
    let number = |name, default| {
        let value = media
            .parameter(format, name)
            .map_or(Some(default), |t| t.parse().ok());
        value.filter(|n| *n <= 16)
    };
    let defaults = if low { (6, 2) } else { (13, 3) };
    let packing = AudioPacking::AuHeaders {
        size: number("sizelength", defaults.0).filter(|n| *n > 0)?,
        index: number("indexlength", defaults.1)?,
        delta: number("indexdeltalength", defaults.1)?,
    };
    let config = media
        .parameter(format, "config")
        .and_then(unhex)
        .filter(|c| read_config(c).is_some());
    let config = match config {
        Some(c) => c,
        // Without one: plain AAC LC, as the mapping says.
        None => {
            let index = AAC_RATES.iter().position(|r| Some(*r) == rate)? as u16;
            let channels = channels.unwrap_or(1).min(7) as u16;
            (2 << 11 | index << 7 | channels << 3).to_be_bytes().to_vec()
        }
    };
    let (rate, channels) = read_config(&config)?;
    Some((AudioKind::Aac { config }, packing, rate, Some(channels)))
}

/// Samples per second and channels of an AudioSpecificConfig.
fn read_config(config: &[u8]) -> Option<(u32, u32)> {
    let mut bits = Bits::of_bytes(config);
    if bits.take(5)? == 31 {
        bits.skip(6)?;
    }
    let rate = match bits.take(4)? {
        15 => bits.take(24)?,
        index => *AAC_RATES.get(index as usize)?,
    };
    let channels = match bits.take(4)? {
        0 => 1,
        7 => 8,
        n @ 1..=6 => n,
        _ => return None,
    };
    (rate > 0).then_some((rate, channels))
}

/// A StreamMuxConfig of the plainest form: one program, one layer, one frame (ISO/IEC 14496-3, 1.7.3).
fn latm(media: &Media, format: u8) -> Option<Audio> {
    if media.parameter(format, "cpresent").unwrap_or("1") != "0" {
        return None;
    }
    let mut bits = Bits::of_bytes(&unhex(media.parameter(format, "config")?)?);
    if bits.take(15)? != 0x2000 {
        return None;
    }
    // Objects whose configuration is two bytes: AAC LC at a rate that has a number.
    let config = (bits.take(16)? as u16).to_be_bytes().to_vec();
    if config[0] >> 3 != 2 || (config[0] & 7) << 1 | config[1] >> 7 == 15 {
        return None;
    }
    let (rate, channels) = read_config(&config)?;
    Some((
        AudioKind::Aac { config },
        AudioPacking::Latm,
        rate,
        Some(channels),
    ))
}

/// The address to which controls are relative: `Content-Base`, else `Content-Location`, else that of the request; the
/// first that is an address at all. A host that only the camera knows (none, or `0.0.0.0`) is replaced.
pub(super) fn base_of<'a>(headers: impl IntoIterator<Item = Option<&'a str>>, request: &Url) -> String {
    for text in headers.into_iter().flatten() {
        let Ok(mut url) = Url::parse(text.trim()) else {
            continue;
        };
        if !matches!(url.scheme(), "rtsp" | "rtsps" | "rtspu") {
            continue;
        }
        if url.host_str().is_none_or(|h| h.is_empty() || h == "0.0.0.0") {
            let _ = url.set_host(request.host_str());
            let _ = url.set_port(request.port());
            return plain(url);
        }
        if url.username().is_empty() && url.password().is_none() {
            // As the camera wrote it: it compares texts.
            return text.trim().to_owned();
        }
        return plain(url);
    }
    plain(request.clone())
}

/// An address without credentials.
pub(super) fn plain(mut url: Url) -> String {
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// The address of a control: RFC 2326, C.1.1, as cameras understand it. These append the control to the base, query and
/// all, where RFC 3986 would replace its last segment.
fn resolve(base: &str, control: Option<&str>) -> String {
    match control.map(str::trim) {
        None | Some("" | "*") => base.to_owned(),
        Some(c) if is_address(c) => Url::parse(c).map_or_else(
            |_| c.to_owned(),
            |url| {
                if url.username().is_empty() && url.password().is_none() {
                    c.to_owned()
                } else {
                    plain(url)
                }
            },
        ),
        Some(c) => format!(
            "{}/{}",
            base.strip_suffix('/').unwrap_or(base),
            c.strip_prefix('/').unwrap_or(c)
        ),
    }
}

fn is_address(text: &str) -> bool {
    let head = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    (head.starts_with("rtsp://") || head.starts_with("rtsps://")) && !text.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(sdp: &str) -> Result<Chosen, RtspError> {
        choose(&Description::parse(sdp.as_bytes()), "rtsp://h/s/", true)
    }

    #[test]
    fn addresses_as_cameras_mean_them() {
        let request = Url::parse("rtsp://cam:8554/live?x=1").unwrap();
        let base = |b: Option<&'static str>, l: Option<&'static str>| base_of([b, l], &request);
        assert_eq!(base(None, None), "rtsp://cam:8554/live?x=1");
        assert_eq!(base(Some("rtsp://cam/a/"), Some("rtsp://cam/b")), "rtsp://cam/a/");
        assert_eq!(base(Some("/a/"), Some("rtsp://cam/b")), "rtsp://cam/b");
        assert_eq!(base(Some("rtsp://0.0.0.0/a/"), None), "rtsp://cam:8554/a/");
        assert_eq!(base(Some("rtsp://u:p@cam/a/"), None), "rtsp://cam/a/");
        let q = "rtsp://h/cam/realmonitor?channel=1&subtype=0";
        for (base, control, want) in [
            (
                q,
                Some("trackID=0"),
                "rtsp://h/cam/realmonitor?channel=1&subtype=0/trackID=0",
            ),
            ("rtsp://h/a/", Some("/track1"), "rtsp://h/a/track1"),
            ("rtsp://h/a", Some("*"), "rtsp://h/a"),
            ("rtsp://h/a", None, "rtsp://h/a"),
            (
                "rtsp://h/a",
                Some("RTSP://h/b/trackID=1?v=h264"),
                "RTSP://h/b/trackID=1?v=h264",
            ),
            ("rtsp://h/a", Some("rtsp://u:p@h/b"), "rtsp://h/b"),
        ] {
            assert_eq!(resolve(base, control), want);
        }
    }

    #[test]
    fn what_there_is_is_named() {
        let e = chosen(
            "m=video 0 RTP/AVP 26\nm=application 0 RTP/AVP 107\na=rtpmap:107 vnd.onvif.metadata/90000\n",
        )
        .unwrap_err();
        assert!(
            e.message
                .ends_with("it has video/jpeg, application/vnd.onvif.metadata"),
            "{e}"
        );
        assert!(chosen("").unwrap_err().message.ends_with("nothing"));
        let e = chosen("m=video 0 RTP/SAVP 96\na=rtpmap:96 H264/90000\n").unwrap_err();
        assert!(e.message.contains("encrypted"), "{e}");
    }

    #[test]
    fn audio_of_all_kinds() {
        let video = "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
        let audio = |lines: &str| chosen(&format!("{video}{lines}")).unwrap().audio;
        let aac = audio("m=audio 0 RTP/AVP 97\na=rtpmap:97 MPEG4-GENERIC/16000\na=fmtp:97 streamtype=5;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config=1408; profile=1;\n").unwrap();
        assert_eq!(
            (aac.params.rate, aac.params.channels, aac.clock_rate),
            (16_000, 1, 16_000)
        );
        // Without a configuration, and with the parameters of another format.
        let bare = audio("m=audio 0 RTP/AVP 104\na=rtpmap:104 mpeg4-generic/16000/1\n").unwrap();
        assert_eq!(bare.params, aac.params);
        let wrong =
            audio("m=audio 0 RTP/AVP 104\na=rtpmap:104 mpeg4-generic/8000\na=fmtp:97 config=1408\n").unwrap();
        assert_eq!((wrong.params.rate, wrong.clock_rate), (16_000, 8_000));
        let latm = audio(
            "m=audio 0 RTP/AVP 97\na=rtpmap:97 MP4A-LATM/44100/2\na=fmtp:97 cpresent=0;config=400024203FC0\n",
        )
        .unwrap();
        assert_eq!(
            (latm.packing, latm.params.rate, latm.params.channels),
            (AudioPacking::Latm, 44_100, 2)
        );
        assert_eq!(
            latm.params.kind,
            AudioKind::Aac {
                config: vec![0x12, 0x10]
            }
        );
        let opus = audio("m=audio 0 RTP/AVP 98\na=rtpmap:98 opus/48000/2\na=fmtp:98\n").unwrap();
        assert_eq!((opus.params.kind, opus.params.channels), (AudioKind::Opus, 2));
        assert_eq!(
            audio("m=audio 0 RTP/AVP 8\n").unwrap().params.kind,
            AudioKind::Pcma
        );
        for none in [
            "m=audio 0 RTP/AVP 97\na=rtpmap:97 G726-32/8000\n",
            "m=audio 0 RTP/AVP 0\na=sendonly\n",
            "m=audio 0 RTP/AVP 97\na=rtpmap:97 MP4A-LATM/44100\n",
            "m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/16000\na=fmtp:97 mode=CELP-vbr\n",
            "m=audio 0 RTP/AVP 97\na=rtpmap:97 mpeg4-generic/16000\na=fmtp:97 sizelength=99\n",
        ] {
            assert_eq!(audio(none), None, "{none}");
        }
    }

    #[test]
    fn interleaved_h264_is_refused_before_anything_is_set_up() {
        let of = |mode: &str| {
            let sdp = format!(
                "m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\na=fmtp:96 packetization-mode={mode}\n"
            );
            choose(&Description::parse(sdp.as_bytes()), "rtsp://cam/s", true)
        };
        assert_eq!(of("2").unwrap_err().kind, RtspErrorKind::Unsupported);
        assert!(of("1").is_ok());
    }
}
