//! The streams of a camera: media profiles (ONVIF Media and Media 2) and their addresses.

use std::cmp::Reverse;
use std::sync::Arc;

use url::Url;

use super::device::{Access, Device, DeviceInfo};
use super::soap::escape;
use super::xml::{Node, plain};
use crate::clock::SharedClock;
use crate::error::{Error, ErrorKind, Result};

/// Most profiles that are looked at.
const MAX_PROFILES: usize = 32;
/// A sub stream narrower than this shows nothing.
const LEAST_SUB_WIDTH: u32 = 160;

/// A media profile: one way in which the camera sends its picture.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize)]
pub struct Profile {
    /// The camera's own name of it, for requests.
    pub token: String,
    /// Its name for people.
    pub name: String,
    /// The lens or input that it shows.
    pub video_source: String,
    /// `H264`, `H265`, `JPEG` or whatever the camera says.
    pub codec: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Frames a second, at most.
    pub frame_rate: Option<f64>,
    /// Kilobits a second, at most.
    pub bit_rate_kbps: Option<u32>,
    /// Whether the camera can be turned in it.
    pub ptz: bool,
    /// The stream's address, without credentials.
    pub stream: Option<String>,
    /// Address of a picture of now, without credentials.
    pub snapshot: Option<String>,
    /// Its node of PTZ, where that is told.
    #[serde(skip)]
    pub(super) ptz_node: Option<String>,
}

impl Profile {
    fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Whether it is recorded as it comes.
    fn is_recordable(&self) -> bool {
        self.stream.is_some() && matches!(self.codec.as_str(), "H264" | "H265")
    }
}

/// What a camera offers.
#[derive(Clone, PartialEq, Debug, serde::Serialize)]
pub struct Offer {
    /// Address of its device service, as it was asked.
    pub address: String,
    /// What it is.
    pub device: DeviceInfo,
    /// Its profiles, the largest picture first.
    pub profiles: Vec<Profile>,
    /// Which of them is best recorded.
    pub main: Option<usize>,
    /// Which of them is best shown where many are watched.
    pub sub: Option<usize>,
    /// How far its clock is ahead of the recorder's, in nanoseconds.
    pub clock_offset_ns: Option<i64>,
    /// Whether it has events.
    pub events: bool,
}

/// Asks a camera for all that is needed to add it.
///
/// # Errors
/// As [`Device::connect`].
pub async fn offer(clock: &SharedClock, access: Access) -> Result<Offer> {
    let device = Device::connect(clock, access).await?;
    // Makers forget it, and nothing hangs on it but a name.
    let info = match device.information().await {
        Ok(info) => info,
        Err(e) if e.kind() == ErrorKind::Unauthorized => return Err(e),
        Err(_) => DeviceInfo::default(),
    };
    let mut profiles = device.profiles().await?;
    for profile in &mut profiles {
        device.add_addresses(profile).await?;
    }
    profiles.sort_by_key(|p| Reverse(p.area()));
    let (main, sub) = choose(&profiles);
    Ok(Offer {
        address: device.address().to_string(),
        device: info,
        main,
        sub,
        profiles,
        clock_offset_ns: device.clock_offset_ns(),
        events: device.services.events.is_some(),
    })
}

/// Main: the largest that can be recorded. Sub: the smallest of the same lens that is another stream, H.264 before
/// others, since browsers show that.
fn choose(profiles: &[Profile]) -> (Option<usize>, Option<usize>) {
    let usable = || profiles.iter().enumerate().filter(|(_, p)| p.is_recordable());
    // Of streams alike the first counts: makers put their own main stream there.
    let Some((main, best)) = usable().max_by_key(|(n, p)| (p.area(), Reverse(*n))) else {
        return (None, None);
    };
    let sub = usable()
        .filter(|(_, p)| p.video_source == best.video_source && p.stream != best.stream)
        .filter(|(_, p)| p.area() < best.area() && p.width >= LEAST_SUB_WIDTH)
        .min_by_key(|(_, p)| (p.codec != "H264", p.area()));
    (Some(main), sub.map(|(n, _)| n))
}

impl Device {
    /// The media profiles, without addresses. Media 2 is asked where there is one, since H.265 is only in it.
    ///
    /// # Errors
    /// As [`Device::connect`]; `Unsupported` when it has no media service.
    pub(super) async fn profiles(self: &Arc<Self>) -> Result<Vec<Profile>> {
        let mut failed = None;
        if let Some(at) = &self.services.media2 {
            match self
                .call(at, "<tr2:GetProfiles><tr2:Type>All</tr2:Type></tr2:GetProfiles>")
                .await
            {
                Ok(answer) => {
                    let found = read_profiles(&answer);
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
                Err(e) => failed = Some(e),
            }
        }
        let Some(at) = &self.services.media else {
            return Err(failed.unwrap_or_else(|| {
                Error::new(ErrorKind::Unsupported, "the camera has no media service by ONVIF")
            }));
        };
        let answer = self.call(at, "<trt:GetProfiles/>").await?;
        Ok(read_profiles(&answer))
    }

    /// Addresses of a profile; one that the camera does not give is left out.
    async fn add_addresses(&self, profile: &mut Profile) -> Result<()> {
        let token = escape(&profile.token);
        let ways = [
            (
                &self.services.media2,
                format!(
                    "<tr2:GetStreamUri><tr2:Protocol>RTSP</tr2:Protocol><tr2:ProfileToken>{token}</tr2:ProfileToken></tr2:GetStreamUri>"
                ),
                format!(
                    "<tr2:GetSnapshotUri><tr2:ProfileToken>{token}</tr2:ProfileToken></tr2:GetSnapshotUri>"
                ),
            ),
            (
                &self.services.media,
                format!(
                    concat!(
                        "<trt:GetStreamUri><trt:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream>",
                        "<tt:Transport><tt:Protocol>RTSP</tt:Protocol></tt:Transport></trt:StreamSetup>",
                        "<trt:ProfileToken>{}</trt:ProfileToken></trt:GetStreamUri>"
                    ),
                    token
                ),
                format!(
                    "<trt:GetSnapshotUri><trt:ProfileToken>{token}</trt:ProfileToken></trt:GetSnapshotUri>"
                ),
            ),
        ];
        for (service, stream, snapshot) in ways {
            let Some(at) = service else { continue };
            if profile.stream.is_none() {
                profile.stream = self.ask_address(at, &stream, &["rtsp", "rtsps"]).await?;
            }
            if profile.snapshot.is_none() {
                profile.snapshot = self.ask_address(at, &snapshot, &["http", "https"]).await?;
            }
        }
        Ok(())
    }

    async fn ask_address(&self, at: &Url, body: &str, schemes: &[&str]) -> Result<Option<String>> {
        match self.call(at, body).await {
            Ok(answer) => {
                let text = answer.find("Uri").map(Node::text).unwrap_or_default();
                Ok(self.at_our_host(text, schemes))
            }
            Err(e)
                if matches!(
                    e.kind(),
                    ErrorKind::Unauthorized | ErrorKind::Unavailable | ErrorKind::Timeout
                ) =>
            {
                Err(e)
            }
            Err(_) => Ok(None),
        }
    }

    /// An address that the camera names, at the host that was reached, without credentials.
    pub(super) fn at_our_host(&self, text: &str, schemes: &[&str]) -> Option<String> {
        let mut url = Url::parse(text).ok().filter(|_| text.len() <= 1024)?;
        if !schemes.contains(&url.scheme()) || url.host().is_none() {
            return None;
        }
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_host(self.address().host_str()).ok()?;
        Some(url.into())
    }
}

/// Profiles of either service: Media has them flat, Media 2 below `Configurations`.
pub(super) fn read_profiles(answer: &Node) -> Vec<Profile> {
    let mut found = Vec::new();
    for node in answer.all("Profiles").take(MAX_PROFILES) {
        let Some(token) = node.attribute("token") else {
            continue;
        };
        let nothing = Node::default();
        let of = |flat: &str, nested: &str| {
            node.child(flat)
                .or_else(|| node.at(&["Configurations", nested]))
                .unwrap_or(&nothing)
                .clone()
        };
        let encoder = of("VideoEncoderConfiguration", "VideoEncoder");
        let source = of("VideoSourceConfiguration", "VideoSource");
        let ptz = of("PTZConfiguration", "PTZ");
        found.push(Profile {
            token: token.to_owned(),
            name: plain(node.text_at(&["Name"]).unwrap_or(token)),
            video_source: source.text_at(&["SourceToken"]).map(plain).unwrap_or_default(),
            codec: codec(encoder.text_at(&["Encoding"]).unwrap_or_default()),
            width: encoder.number(&["Resolution", "Width"]).unwrap_or(0),
            height: encoder.number(&["Resolution", "Height"]).unwrap_or(0),
            frame_rate: encoder
                .number(&["RateControl", "FrameRateLimit"])
                .filter(|r: &f64| r.is_finite() && *r > 0.0),
            bit_rate_kbps: encoder.number(&["RateControl", "BitrateLimit"]),
            ptz: !ptz.name.is_empty(),
            ptz_node: ptz.text_at(&["NodeToken"]).map(str::to_owned),
            stream: None,
            snapshot: None,
        });
    }
    found
}

fn codec(text: &str) -> String {
    match text.to_ascii_uppercase().as_str() {
        "H264" | "H.264" => "H264".into(),
        "H265" | "H.265" | "HEVC" => "H265".into(),
        _ => plain(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a camera with gSOAP's prefixes answers: a main stream, a sub stream, and JPEG.
    const FLAT: &str = r#"<trt:GetProfilesResponse xmlns:trt="http://www.onvif.org/ver10/media/wsdl" xmlns:tt="http://www.onvif.org/ver10/schema">
        <trt:Profiles token="Profile_1" fixed="true"><tt:Name>mainStream</tt:Name>
          <tt:VideoSourceConfiguration token="VideoSourceToken"><tt:Name>VideoSourceConfig</tt:Name><tt:SourceToken>VideoSource_1</tt:SourceToken></tt:VideoSourceConfiguration>
          <tt:VideoEncoderConfiguration token="VideoEncoderToken_1"><tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>2560</tt:Width><tt:Height>1440</tt:Height></tt:Resolution>
            <tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit><tt:EncodingInterval>1</tt:EncodingInterval><tt:BitrateLimit>6144</tt:BitrateLimit></tt:RateControl></tt:VideoEncoderConfiguration>
          <tt:PTZConfiguration token="PTZToken"><tt:NodeToken>PTZNODETOKEN</tt:NodeToken></tt:PTZConfiguration></trt:Profiles>
        <trt:Profiles token="Profile_2" fixed="true"><tt:Name>subStream</tt:Name>
          <tt:VideoSourceConfiguration token="VideoSourceToken"><tt:SourceToken>VideoSource_1</tt:SourceToken></tt:VideoSourceConfiguration>
          <tt:VideoEncoderConfiguration token="VideoEncoderToken_2"><tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>640</tt:Width><tt:Height>360</tt:Height></tt:Resolution></tt:VideoEncoderConfiguration></trt:Profiles>
        <trt:Profiles token="jpeg"><tt:Name>jpeg</tt:Name><tt:VideoEncoderConfiguration><tt:Encoding>JPEG</tt:Encoding><tt:Resolution><tt:Width>3000</tt:Width><tt:Height>2000</tt:Height></tt:Resolution></tt:VideoEncoderConfiguration></trt:Profiles>
        <trt:Profiles><tt:Name>no token</tt:Name></trt:Profiles></trt:GetProfilesResponse>"#;

    /// Media 2, another maker's prefixes.
    const NESTED: &str = r#"<ns3:GetProfilesResponse xmlns:ns3="http://www.onvif.org/ver20/media/wsdl" xmlns:ns1="http://www.onvif.org/ver10/schema">
        <ns3:Profiles token="000" fixed="true"><ns3:Name>Main</ns3:Name><ns3:Configurations>
          <ns3:VideoSource token="v"><ns1:Name>v</ns1:Name><ns1:SourceToken>00000</ns1:SourceToken></ns3:VideoSource>
          <ns3:VideoEncoder token="e" GovLength="50"><ns1:Encoding>H265</ns1:Encoding><ns1:Resolution><ns1:Width>3840</ns1:Width><ns1:Height>2160</ns1:Height></ns1:Resolution>
            <ns1:RateControl ConstantBitRate="false"><ns1:FrameRateLimit>12.5</ns1:FrameRateLimit><ns1:BitrateLimit>8192</ns1:BitrateLimit></ns1:RateControl></ns3:VideoEncoder>
        </ns3:Configurations></ns3:Profiles></ns3:GetProfilesResponse>"#;

    #[test]
    fn profiles_of_both_services_are_read() {
        let flat = read_profiles(&Node::parse(FLAT).unwrap());
        assert_eq!(flat.len(), 3);
        assert_eq!(
            (
                flat[0].name.as_str(),
                flat[0].width,
                flat[0].frame_rate,
                flat[0].bit_rate_kbps
            ),
            ("mainStream", 2560, Some(25.0), Some(6144))
        );
        assert_eq!(
            (flat[0].ptz, flat[0].ptz_node.as_deref()),
            (true, Some("PTZNODETOKEN"))
        );
        assert!(!flat[1].ptz);
        let nested = read_profiles(&Node::parse(NESTED).unwrap());
        assert_eq!(
            (
                nested[0].codec.as_str(),
                nested[0].height,
                nested[0].frame_rate,
                nested[0].video_source.as_str()
            ),
            ("H265", 2160, Some(12.5), "00000")
        );
    }

    #[test]
    fn main_is_the_largest_that_is_recorded_and_sub_the_smallest_of_the_same_lens() {
        let of = |codec: &str, width, source: &str, stream: Option<&str>| Profile {
            codec: codec.into(),
            width,
            height: width / 2,
            video_source: source.into(),
            stream: stream.map(str::to_owned),
            ..Profile::default()
        };
        let profiles = [
            of("JPEG", 4000, "1", Some("j")),
            of("H265", 3840, "1", Some("a")),
            of("H264", 3840, "1", None),
            of("H265", 320, "1", Some("b")),
            of("H264", 640, "1", Some("c")),
            of("H264", 1280, "1", Some("d")),
            of("H264", 320, "2", Some("e")),
            of("H264", 80, "1", Some("f")),
        ];
        assert_eq!(choose(&profiles), (Some(1), Some(4)));
        assert_eq!(choose(&profiles[..1]), (None, None));
        assert_eq!(choose(&profiles[1..2]), (Some(0), None));
    }
}
