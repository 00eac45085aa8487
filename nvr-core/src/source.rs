//! Where a camera's stream comes from. Parsed from the text that stands in the configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::secret::{Secret, is_secret_parameter};
use crate::track::VideoCodec;

/// User and password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// User.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// How an address of an ONVIF service may be written.
pub(crate) const ONVIF_ADDRESS_HINT: &str =
    "write a host (192.168.1.20), host:port, or http://host:port/onvif/device_service";

/// The address of a camera's ONVIF device service, with what is left out put in (ONVIF Core Specification, 5.1.1), and the
/// credentials that stood in it.
pub(crate) fn onvif_address(text: &str) -> Option<(url::Url, Option<Credentials>)> {
    let text = text.trim();
    let whole = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let mut url = url::Url::parse(&whole).ok().filter(|_| whole.len() <= 500)?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return None;
    }
    let decode = |t: &str| {
        percent_encoding::percent_decode_str(t)
            .decode_utf8_lossy()
            .into_owned()
    };
    let inside = (!url.username().is_empty()).then(|| Credentials {
        user: decode(url.username()),
        password: Secret::new(decode(url.password().unwrap_or_default())),
    });
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    if url.path() == "/" {
        url.set_path("/onvif/device_service");
    }
    url.set_fragment(None);
    Some((url, inside))
}

/// How RTP travels.
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// UDP if the camera offers it and packets arrive, else TCP.
    Auto,
    /// Interleaved in the RTSP connection.
    Tcp,
    /// UDP unicast.
    Udp,
    /// UDP to a group of addresses that the camera names, once for all who watch it.
    Multicast,
    /// Everything through HTTP, for cameras behind a proxy; give the port of the camera's HTTP server in the address.
    Http,
}

impl Transport {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Multicast => "multicast",
            Self::Http => "http",
        }
    }
}

/// Which client reads an RTSP stream.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Ingest {
    /// The lean one over TCP; GStreamer's for other transports, and for what the lean one refuses.
    #[default]
    Auto,
    /// This recorder's own: RTSP over TCP for many cameras in one thread.
    Lean,
    /// GStreamer's `rtspsrc`: every transport, a handful of threads for each camera.
    Rtspsrc,
}

impl Ingest {
    /// As in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Lean => "lean",
            Self::Rtspsrc => "rtspsrc",
        }
    }
}

/// A stream's origin. `Display` gives the address without credentials.
#[derive(Clone, PartialEq, Debug)]
pub enum SourceSpec {
    /// `rtsp://` or `rtsps://`.
    Rtsp(RtspSource),
    /// `v4l2:/dev/video0`.
    V4l2(DeviceSource),
    /// `http://` or `https://`: `multipart/x-mixed-replace` of JPEG pictures.
    Mjpeg(MjpegSource),
    /// `libcamera:` (the first camera) or `libcamera:NAME`.
    Libcamera(DeviceSource),
    /// `file:/path/clip.mp4`, looped as if live.
    File(PathBuf),
    /// `test:` with parameters: a picture with clock and frame number, and a tone.
    Test(TestSource),
}

/// An RTSP stream.
#[derive(Clone, PartialEq, Debug)]
pub struct RtspSource {
    /// Address without credentials.
    pub url: url::Url,
    /// From the URL or given separately.
    pub credentials: Option<Credentials>,
    /// How RTP travels. If absent over TCP, and with [`Ingest::Auto`] over UDP where the camera refuses TCP.
    pub transport: Option<Transport>,
    /// Jitter buffer.
    pub latency: Duration,
    /// Whether the certificate of `rtsps` is checked. Off by default in the field: cameras sign their own.
    pub verify_tls: bool,
    /// Whether the audio track is taken.
    pub audio: bool,
    /// Which client reads it.
    pub ingest: Ingest,
}

/// An HTTP stream of JPEG pictures.
#[derive(Clone, PartialEq, Debug)]
pub struct MjpegSource {
    /// Address without credentials.
    pub url: url::Url,
    /// From the URL or given separately.
    pub credentials: Option<Credentials>,
    /// Whether the certificate of `https` is checked.
    pub verify_tls: bool,
}

/// A local capture device.
#[derive(Clone, PartialEq, Debug)]
pub struct DeviceSource {
    /// Device node or stable link (`/dev/v4l/by-id/…`); for libcamera the camera's name, empty for the first.
    pub device: String,
    /// Wanted size in pixels; the device's best if absent.
    pub size: Option<(u32, u32)>,
    /// Wanted frames per second.
    pub frame_rate: Option<u32>,
    /// `h264`, `mjpeg` or `raw`; the first of these that the device has if absent.
    pub format: Option<DeviceFormat>,
}

/// What to ask a capture device for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceFormat {
    /// H.264 made by the camera, recorded as it is.
    H264,
    /// JPEG pictures, decoded and encoded.
    Mjpeg,
    /// Uncompressed pictures, encoded.
    Raw,
}

/// A synthetic camera: `test:?size=1280x720&fps=25&gop=50&audio=1&codec=h264&pattern=smpte`.
#[derive(Clone, PartialEq, Debug)]
pub struct TestSource {
    /// Width and height in pixels.
    pub size: (u32, u32),
    /// Frames per second.
    pub frame_rate: u32,
    /// Frames from keyframe to keyframe.
    pub gop: u32,
    /// Whether there is a tone.
    pub audio: bool,
    /// Codec.
    pub codec: VideoCodec,
    /// Name of a `videotestsrc` pattern; `still` is a picture in which nothing moves, not even a clock, and `mover` the
    /// same with a thing that crosses it.
    pub pattern: String,
    /// Of `mover`: seconds of each round in which nothing moves, before those in which the thing crosses the picture.
    pub still_s: u32,
    /// Of `mover`: in how many seconds it crosses.
    pub moving_s: u32,
}

impl Default for TestSource {
    fn default() -> Self {
        Self {
            size: (1280, 720),
            frame_rate: 25,
            gop: 50,
            audio: true,
            codec: VideoCodec::H264,
            pattern: "smpte".into(),
            still_s: 20,
            moving_s: 5,
        }
    }
}

impl SourceSpec {
    /// Reads the text of a source. Credentials in a URL are taken out of it.
    ///
    /// # Errors
    /// `InvalidArgument` saying what is wrong with it; the message never holds a password.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(ErrorKind::InvalidArgument, format!("source: {why}")).with_hint(
                "write rtsp://…, rtsps://…, http(s)://… (MJPEG), v4l2:/dev/video0, libcamera:, file:/path or test:",
            )
        };
        let bad_test = |why: String| {
            Error::new(ErrorKind::InvalidArgument, format!("source: {why}"))
                .with_hint("as in test:?size=640x360&fps=25&gop=50&audio=1&codec=h264&pattern=ball")
        };
        let (scheme, rest) = text.split_once(':').ok_or_else(|| bad("no scheme"))?;
        match scheme.to_ascii_lowercase().as_str() {
            "rtsp" | "rtsps" => {
                let (url, credentials) = split_url(text).map_err(|e| bad(&e))?;
                Ok(Self::Rtsp(RtspSource {
                    url,
                    credentials,
                    transport: None,
                    latency: Duration::from_millis(200),
                    verify_tls: false,
                    audio: true,
                    ingest: Ingest::Auto,
                }))
            }
            "http" | "https" => {
                let (url, credentials) = split_url(text).map_err(|e| bad(&e))?;
                Ok(Self::Mjpeg(MjpegSource {
                    url,
                    credentials,
                    verify_tls: true,
                }))
            }
            "v4l2" if rest.starts_with("/dev/") => Ok(Self::V4l2(device(rest))),
            "v4l2" => Err(bad("a v4l2 device is a path below /dev")),
            "libcamera" => Ok(Self::Libcamera(device(rest))),
            "file" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                if path.is_empty() {
                    return Err(bad("file: without a path"));
                }
                Ok(Self::File(path.into()))
            }
            "test" => test(rest).map(Self::Test).map_err(bad_test),
            _ => Err(bad("the scheme is not known")),
        }
    }

    /// Replaces the credentials of an RTSP or MJPEG source; others have none and ignore it.
    pub fn set_credentials(&mut self, user: String, password: Secret) {
        let new = Some(Credentials { user, password });
        match self {
            Self::Rtsp(s) => s.credentials = new,
            Self::Mjpeg(s) => s.credentials = new,
            _ => {}
        }
    }
}

impl SourceSpec {
    /// Leaves the audio track out, where the source has a choice.
    pub fn without_audio(&mut self) {
        match self {
            Self::Rtsp(s) => s.audio = false,
            Self::Test(s) => s.audio = false,
            _ => {}
        }
    }
}

fn device(name: &str) -> DeviceSource {
    DeviceSource {
        device: name.to_owned(),
        size: None,
        frame_rate: None,
        format: None,
    }
}

fn split_url(text: &str) -> Result<(url::Url, Option<Credentials>), String> {
    // The parser's own message may quote the input, password and all; its kind does not.
    let mut url = url::Url::parse(text).map_err(|e| format!("not a URL ({e})"))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the URL has no host".into());
    }
    let decode = |s: &str| {
        percent_encoding::percent_decode_str(s)
            .decode_utf8_lossy()
            .into_owned()
    };
    let credentials = (!url.username().is_empty() || url.password().is_some()).then(|| Credentials {
        user: decode(url.username()),
        password: Secret::new(decode(url.password().unwrap_or_default())),
    });
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Ok((url, credentials))
}

fn test(rest: &str) -> Result<TestSource, String> {
    let mut spec = TestSource::default();
    let query = rest.trim_start_matches('/').trim_start_matches('?');
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let number = |most: u32| match value.parse::<u32>() {
            Ok(n) if (1..=most).contains(&n) => Ok(n),
            _ => Err(format!("test: {key}={value} is not a number from 1 to {most}")),
        };
        match &*key {
            "size" => {
                let (w, h) = value
                    .split_once('x')
                    .ok_or_else(|| format!("test: size={value}, want 640x360"))?;
                let side = |t: &str| match t.parse::<u32>() {
                    Ok(n) if (16..=7680).contains(&n) && n % 2 == 0 => Ok(n),
                    _ => Err(format!("test: size={value}, sides are even and from 16 to 7680")),
                };
                spec.size = (side(w)?, side(h)?);
            }
            "fps" => spec.frame_rate = number(240)?,
            "still" => spec.still_s = number(86_400)?,
            "moving" => spec.moving_s = number(86_400)?,
            "gop" => spec.gop = number(100_000)?,
            "audio" => spec.audio = matches!(&*value, "1" | "true" | "yes"),
            "codec" => {
                spec.codec = match &*value {
                    "h264" => VideoCodec::H264,
                    "h265" => VideoCodec::H265,
                    _ => return Err(format!("test: codec={value}, want h264 or h265")),
                }
            }
            "pattern" => {
                if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                    return Err(format!("test: pattern={value} is not a name"));
                }
                spec.pattern = value.into_owned();
            }
            _ => {
                return Err(format!(
                    "test: {key} is not known (size, fps, gop, audio, codec, pattern, still, moving)"
                ));
            }
        }
    }
    Ok(spec)
}

/// An address with `***` for what its parameters hold in secret: many cameras take `?user=…&password=…`.
fn without_secrets(url: &url::Url) -> String {
    let Some(query) = url.query() else {
        return url.to_string();
    };
    let shown = query.split('&').map(|part| match part.split_once('=') {
        Some((name, value)) if !value.is_empty() && is_secret_parameter(name) => format!("{name}=***"),
        _ => part.to_owned(),
    });
    let shown: Vec<String> = shown.collect();
    let mut url = url.clone();
    url.set_query(Some(&shown.join("&")));
    url.to_string()
}

impl fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rtsp(s) => f.write_str(&without_secrets(&s.url)),
            Self::Mjpeg(s) => f.write_str(&without_secrets(&s.url)),
            Self::V4l2(s) => write!(f, "v4l2:{}", s.device),
            Self::Libcamera(s) => write!(f, "libcamera:{}", s.device),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Test(s) => write!(
                f,
                "test:?size={}x{}&fps={}&gop={}&audio={}&codec={}&pattern={}",
                s.size.0,
                s.size.1,
                s.frame_rate,
                s.gop,
                u8::from(s.audio),
                match s.codec {
                    VideoCodec::H264 => "h264",
                    VideoCodec::H265 => "h265",
                },
                s.pattern
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_leave_the_url_and_are_never_printed() {
        let s = SourceSpec::parse("rtsp://admin:p%40ss@10.0.0.2:554/h264?channel=1").unwrap();
        assert_eq!(s.to_string(), "rtsp://10.0.0.2:554/h264?channel=1");
        let SourceSpec::Rtsp(r) = &s else { panic!("{s}") };
        assert_eq!(r.credentials.as_ref().unwrap().password.expose(), "p@ss");
        assert!(!format!("{s:?}").contains("p@ss"));
    }

    #[test]
    fn secrets_in_parameters_are_never_shown() {
        for (text, shown) in [
            (
                "http://h/video?user=a&pwd=hunter2&res=1",
                "http://h/video?user=a&pwd=***&res=1",
            ),
            ("rtsp://h/1?key=abc#x", "rtsp://h/1?key=***#x"),
            ("rtsp://h/1?channel=1&sig", "rtsp://h/1?channel=1&sig"),
        ] {
            let s = SourceSpec::parse(text).unwrap();
            assert_eq!(s.to_string(), shown);
            let (SourceSpec::Rtsp(RtspSource { url, .. }) | SourceSpec::Mjpeg(MjpegSource { url, .. })) = &s
            else {
                panic!("{s}")
            };
            assert_eq!(url.as_str(), text, "it is asked with");
        }
    }

    #[test]
    fn bad_sources_say_why_without_the_password() {
        for bad in [
            "",
            "rtsp",
            "gopher://x",
            "rtsp://user:hunter2@",
            "v4l2:video0",
            "file:",
            "test:?size=1x1",
            "test:?x=1",
        ] {
            let e = SourceSpec::parse(bad).unwrap_err();
            assert_eq!(e.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(!format!("{e:?}").contains("hunter2"));
        }
    }

    #[test]
    fn test_source_round_trips() {
        let s = SourceSpec::parse("test:?size=640x360&fps=10&audio=0&codec=h265").unwrap();
        assert_eq!(SourceSpec::parse(&s.to_string()).unwrap(), s);
    }
}
