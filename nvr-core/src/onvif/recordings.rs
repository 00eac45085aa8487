//! What a camera kept on its own card: Profile G, the services Recording Search and Replay (ONVIF Recording Search
//! Specification, 5; Replay Control Specification, 5).

use std::time::Duration;

use url::Url;

use super::device::Device;
use super::soap::escape;
use super::xml::{Node, plain};
use crate::error::{Error, ErrorKind, Result};
use crate::time::{TimeRange, Timestamp};

/// Most recordings that are looked at.
const MAX_RECORDINGS: usize = 256;
/// Most times that a search is asked how far it is.
const MAX_ROUNDS: u32 = 30;
/// How long the camera may hold back an answer of a search.
const HOLD: Duration = Duration::from_secs(5);
/// How long an answer is waited for that the camera may hold back.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest token that is taken.
const MAX_TOKEN: usize = 256;

/// A recording on a camera's card. Cameras with one lens mostly have one, which grows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CardRecording {
    /// The camera's own name of it, for requests.
    pub token: String,
    /// What it was recorded of, in words of the camera.
    pub source: String,
    /// From its first to its last picture, by the camera's clock. There may be holes in it, and more behind it by now.
    pub range: TimeRange,
}

impl Device {
    /// The recordings with video on its card.
    ///
    /// # Errors
    /// `Unsupported` when it does not offer Profile G, as [`connect`](Self::connect) when it does not answer.
    pub(crate) async fn recordings(&self) -> Result<Vec<CardRecording>> {
        let (Some(search), Some(_)) = (&self.services.search, &self.services.replay) else {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the camera does not offer what is on its card by ONVIF (Profile G)",
            )
            .with_hint(
                "see whether it has a card that it records to, and whether newer firmware offers it",
            ));
        };
        let body = format!(
            "<tse:FindRecordings><tse:Scope/><tse:MaxMatches>{MAX_RECORDINGS}</tse:MaxMatches><tse:KeepAliveTime>PT60S</tse:KeepAliveTime></tse:FindRecordings>"
        );
        let answer = self.call(search, &body).await?;
        let token = token_at(&answer, "SearchToken")
            .ok_or_else(|| strange("begins a search without telling its token"))?;
        let found = self.results(search, token).await;
        let end = format!(
            "<tse:EndSearch><tse:SearchToken>{}</tse:SearchToken></tse:EndSearch>",
            escape(token)
        );
        // It ends by itself as well, and some cameras have ended it already.
        if let Err(e) = self.call(search, &end).await {
            tracing::debug!(error = %e, "a search on a camera's card was not ended");
        }
        found
    }

    async fn results(&self, search: &Url, token: &str) -> Result<Vec<CardRecording>> {
        let body = format!(
            concat!(
                "<tse:GetRecordingSearchResults><tse:SearchToken>{}</tse:SearchToken><tse:MinResults>1</tse:MinResults>",
                "<tse:MaxResults>64</tse:MaxResults><tse:WaitTime>PT{}S</tse:WaitTime></tse:GetRecordingSearchResults>"
            ),
            escape(token),
            HOLD.as_secs()
        );
        let mut found = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let answer = self.call_with(search, "", &body, PATIENCE).await?;
            let list = answer
                .find("ResultList")
                .ok_or_else(|| strange("answers a search without results"))?;
            found.extend(read_recordings(list));
            found.truncate(MAX_RECORDINGS);
            match list.text_at(&["SearchState"]) {
                Some("Queued" | "Searching") if found.len() < MAX_RECORDINGS => {}
                _ => return Ok(found),
            }
        }
        Err(Error::new(
            ErrorKind::Timeout,
            "the camera does not come to an end with searching its card",
        ))
    }

    /// Where a recording is played, without credentials, at the host that was reached.
    ///
    /// # Errors
    /// As [`recordings`](Self::recordings).
    pub(crate) async fn replay_address(&self, recording: &str) -> Result<Url> {
        let at = self.services.replay.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::Unsupported,
                "the camera does not play what is on its card",
            )
        })?;
        let body = format!(
            concat!(
                "<trp:GetReplayUri><trp:StreamSetup><tt:Stream>RTP-Unicast</tt:Stream><tt:Transport>",
                "<tt:Protocol>RTSP</tt:Protocol></tt:Transport></trp:StreamSetup>",
                "<trp:RecordingToken>{}</trp:RecordingToken></trp:GetReplayUri>"
            ),
            escape(recording)
        );
        let answer = self.call(at, &body).await?;
        let text = answer.find("Uri").map(Node::text).unwrap_or_default();
        self.at_our_host(text, &["rtsp", "rtsps"])
            .and_then(|address| Url::parse(&address).ok())
            .ok_or_else(|| strange("names no address at which its card is played"))
    }
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the camera {what}"))
}

fn token_at<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    let text = node.find(name)?.text();
    (!text.is_empty() && text.len() <= MAX_TOKEN).then_some(text)
}

/// The recordings of a list of results that have video and times that can be.
fn read_recordings(list: &Node) -> Vec<CardRecording> {
    list.all("RecordingInformation")
        .take(MAX_RECORDINGS)
        .filter_map(|info| {
            let token = token_at(info, "RecordingToken")?.to_owned();
            let source = info
                .text_at(&["Source", "Name"])
                .or_else(|| info.text_at(&["Source", "SourceId"]));
            let tracks = info.all("Track").take(64);
            let video = tracks.filter(|t| t.text_at(&["TrackType"]) == Some("Video"));
            let ranges = video.filter_map(|t| range(t, "DataFrom", "DataTo"));
            let of_tracks = ranges
                .reduce(|a, b| TimeRange::new(a.start().min(b.start()), a.end().max(b.end())).unwrap_or(a));
            Some(CardRecording {
                token,
                source: plain(source.unwrap_or_default()),
                // Of some the times stand at the recording alone.
                range: of_tracks.or_else(|| range(info, "EarliestRecording", "LatestRecording"))?,
            })
        })
        .collect()
}

fn range(node: &Node, from: &str, to: &str) -> Option<TimeRange> {
    let time = |name: &str| -> Option<Timestamp> {
        let text = node.text_at(&[name])?;
        text.parse().ok().or_else(|| format!("{text}Z").parse().ok())
    };
    TimeRange::new(time(from)?, time(to)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(recordings: &str) -> Vec<CardRecording> {
        let text = format!(
            "<tse:ResultList xmlns:tse=\"s\" xmlns:tt=\"t\"><tt:SearchState>Completed</tt:SearchState>{recordings}</tse:ResultList>"
        );
        read_recordings(&Node::parse(&text).unwrap())
    }

    #[test]
    fn recordings_are_read_by_their_video() {
        let found = list(
            "<tt:RecordingInformation><tt:RecordingToken>R &amp; 1</tt:RecordingToken><tt:Source><tt:SourceId>urn:x</tt:SourceId><tt:Name>Lens</tt:Name></tt:Source>
             <tt:EarliestRecording>2001-01-01T00:00:00Z</tt:EarliestRecording><tt:LatestRecording>2026-05-05T00:00:00Z</tt:LatestRecording>
             <tt:Track><tt:TrackToken>a</tt:TrackToken><tt:TrackType>Audio</tt:TrackType><tt:DataFrom>2000-01-01T00:00:00Z</tt:DataFrom><tt:DataTo>2026-05-05T00:00:00Z</tt:DataTo></tt:Track>
             <tt:Track><tt:TrackToken>v</tt:TrackToken><tt:TrackType>Video</tt:TrackType><tt:DataFrom>2026-05-04T10:00:00Z</tt:DataFrom><tt:DataTo>2026-05-04T12:00:00.5Z</tt:DataTo></tt:Track></tt:RecordingInformation>
             <tt:RecordingInformation><tt:RecordingToken>2</tt:RecordingToken><tt:EarliestRecording>2026-05-04T10:00:00</tt:EarliestRecording><tt:LatestRecording>2026-05-04T11:00:00</tt:LatestRecording></tt:RecordingInformation>",
        );
        let of = |from: &str, to: &str| TimeRange::new(from.parse().unwrap(), to.parse().unwrap()).unwrap();
        assert_eq!(
            found,
            [
                CardRecording {
                    token: "R & 1".into(),
                    source: "Lens".into(),
                    range: of("2026-05-04T10:00:00Z", "2026-05-04T12:00:00.5Z"),
                },
                CardRecording {
                    token: "2".into(),
                    source: String::new(),
                    range: of("2026-05-04T10:00:00Z", "2026-05-04T11:00:00Z"),
                },
            ]
        );
    }

    #[test]
    fn recordings_with_times_that_cannot_be_are_passed_over() {
        for (from, to) in [
            ("2026-05-04T12:00:00Z", "2026-05-04T10:00:00Z"),
            ("yesterday", "2026-05-04T10:00:00Z"),
            ("", ""),
            ("-99999999-01-01T00:00:00Z", "99999999-01-01T00:00:00Z"),
        ] {
            let text = format!(
                "<tt:RecordingInformation><tt:RecordingToken>1</tt:RecordingToken><tt:EarliestRecording>{from}</tt:EarliestRecording><tt:LatestRecording>{to}</tt:LatestRecording></tt:RecordingInformation>"
            );
            assert_eq!(list(&text), [], "{from} {to}");
        }
        let long = "x".repeat(MAX_TOKEN + 1);
        let text = format!(
            "<tt:RecordingInformation><tt:RecordingToken>{long}</tt:RecordingToken><tt:EarliestRecording>2026-05-04T10:00:00Z</tt:EarliestRecording><tt:LatestRecording>2026-05-04T11:00:00Z</tt:LatestRecording></tt:RecordingInformation>"
        );
        assert_eq!(list(&text), []);
    }
}
