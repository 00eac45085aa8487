//! The little of Matroska (RFC 9559) that is needed: length and tracks, also of a file that was cut.

use std::io::{Read, Seek, SeekFrom};

use super::plain::PlainInfo;
use crate::time::NS_PER_S;
use crate::track::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

const SEGMENT: u64 = 0x1853_8067;
const INFO: u64 = 0x1549_A966;
const TRACKS: u64 = 0x1654_AE6B;
const CLUSTER: u64 = 0x1F43_B675;
const TIMESTAMP_SCALE: u64 = 0x2A_D7B1;
const DURATION: u64 = 0x4489;
const TRACK_ENTRY: u64 = 0xAE;
const CLUSTER_TIMESTAMP: u64 = 0xE7;
const SIMPLE_BLOCK: u64 = 0xA3;
const BLOCK_GROUP: u64 = 0xA0;
const BLOCK: u64 = 0xA1;

/// `Info` and `Tracks` take a few hundred bytes.
const MAX_HEAD_BYTES: u64 = 1 << 20;
/// Elements looked at in a file; a quarter of an hour at 60 frames a second has some 60,000 blocks.
const MAX_ELEMENTS: u32 = 4_000_000;

#[derive(Default)]
struct Seen {
    scale: Option<u64>,
    duration: Option<f64>,
    tracks: Option<Tracks>,
    cluster: i64,
    first: Option<i64>,
    last: i64,
}

/// Reads head and, where the head does not tell the length (the file was not closed), the block headers.
pub(super) fn read<R: Read + Seek>(reader: &mut R) -> Option<PlainInfo> {
    let file_len = reader.seek(SeekFrom::End(0)).ok()?;
    let mut seen = Seen::default();
    let mut at = 0;
    for _ in 0..MAX_ELEMENTS {
        let Some((id, size, body)) = element(reader, at) else {
            break;
        };
        // Unknown sizes are those of a live segment or cluster: their children follow.
        let end = size.and_then(|s| body.checked_add(s));
        match id {
            SEGMENT | CLUSTER | BLOCK_GROUP => {
                if id == CLUSTER && known_length(&seen).is_some() {
                    break;
                }
                at = body;
                continue;
            }
            INFO | TRACKS => {
                let data = whole(reader, body, size?)?;
                if id == INFO {
                    info(&data, &mut seen);
                } else {
                    seen.tracks = tracks(&data);
                }
            }
            CLUSTER_TIMESTAMP if end? <= file_len => {
                seen.cluster = i64::try_from(number(&whole(reader, body, size?)?)?).ok()?;
            }
            SIMPLE_BLOCK | BLOCK if end? <= file_len => {
                let (_, track_len) = vint(&read_at(reader, body, 8)?, true)?;
                let time = read_at(reader, body + track_len as u64, 2)?;
                let time = i16::from_be_bytes(time.first_chunk::<2>().copied()?);
                let time = seen.cluster.saturating_add(time.into());
                seen.first.get_or_insert(time);
                seen.last = seen.last.max(time);
            }
            _ => {}
        }
        at = end.filter(|&e| e > at)?;
        if at >= file_len {
            break;
        }
    }
    let scale = seen.scale.unwrap_or(1_000_000).min(NS_PER_S as u64) as f64;
    let complete = known_length(&seen);
    let ticks = complete.or_else(|| seen.first.map(|first| seen.last.saturating_sub(first) as f64))?;
    Some(PlainInfo {
        // A float that does not fit saturates.
        duration_ns: (ticks * scale) as i64,
        tracks: seen.tracks?,
        complete: complete.is_some(),
    })
}

fn known_length(seen: &Seen) -> Option<f64> {
    seen.duration.filter(|d| d.is_finite() && *d > 0.0)
}

fn info(data: &[u8], seen: &mut Seen) {
    for (id, body) in children(data) {
        match id {
            TIMESTAMP_SCALE => seen.scale = number(body),
            DURATION => seen.duration = float(body),
            _ => {}
        }
    }
}

fn tracks(data: &[u8]) -> Option<Tracks> {
    let mut video = None;
    let mut audio = None;
    for (_, entry) in children(data).filter(|(id, _)| *id == TRACK_ENTRY) {
        let get = |wanted: u64| children(entry).find(|(id, _)| *id == wanted).map(|(_, b)| b);
        let codec = get(0x86).map(text).unwrap_or_default();
        match get(0x83).and_then(number) {
            Some(1) if video.is_none() => {
                let inner = |wanted| {
                    let found = children(get(0xE0)?).find(|(id, _)| *id == wanted)?;
                    u32::try_from(number(found.1)?).ok()
                };
                video = Some(VideoTrack {
                    codec: match codec {
                        b"V_MPEG4/ISO/AVC" => VideoCodec::H264,
                        b"V_MPEGH/ISO/HEVC" => VideoCodec::H265,
                        _ => return None,
                    },
                    width: inner(0xB0).unwrap_or(0),
                    height: inner(0xBA).unwrap_or(0),
                    frame_rate: None,
                });
            }
            Some(2) if audio.is_none() => {
                let inner = |wanted| children(get(0xE1)?).find(|(id, _)| *id == wanted).map(|(_, b)| b);
                audio = Some(AudioTrack {
                    codec: match codec {
                        c if c.starts_with(b"A_AAC") => AudioCodec::Aac,
                        b"A_OPUS" => AudioCodec::Opus,
                        _ => AudioCodec::Other,
                    },
                    sample_rate: inner(0xB5).and_then(float).unwrap_or(8000.0) as u32,
                    channels: inner(0x9F).and_then(number).unwrap_or(1).try_into().unwrap_or(1),
                });
            }
            _ => {}
        }
    }
    Some(Tracks { video: video?, audio })
}

/// Elements of a body that is in memory, as far as they are whole.
fn children(data: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let mut rest = data;
    std::iter::from_fn(move || {
        let (id, n) = vint(rest, false)?;
        let (size, m) = vint(rest.get(n..)?, true)?;
        let body = rest.get(n + m..)?.get(..usize::try_from(size).ok()?)?;
        rest = &rest[n + m + body.len()..];
        Some((id, body))
    })
}

/// Id, size (`None`: unknown) and offset of the body of the element at an offset.
fn element<R: Read + Seek>(reader: &mut R, at: u64) -> Option<(u64, Option<u64>, u64)> {
    let head = read_at(reader, at, 12)?;
    let (id, n) = vint(&head, false)?;
    let (size, m) = vint(head.get(n..)?, true)?;
    let unknown = size == (1 << (7 * m)) - 1;
    Some((id, (!unknown).then_some(size), at + (n + m) as u64))
}

/// A variable-length integer and its length; an id keeps its length marker.
fn vint(data: &[u8], strip_marker: bool) -> Option<(u64, usize)> {
    let first = *data.first()?;
    let len = first.leading_zeros() as usize + 1;
    if len > 8 || data.len() < len {
        return None;
    }
    let mut value = u64::from(first);
    if strip_marker {
        value &= (1 << (8 - len)) - 1;
    }
    for b in &data[1..len] {
        value = value << 8 | u64::from(*b);
    }
    Some((value, len))
}

fn number(body: &[u8]) -> Option<u64> {
    (body.len() <= 8).then(|| body.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// A text without the zeros that it may be filled up with (RFC 8794, 7.3); GStreamer writes one.
fn text(body: &[u8]) -> &[u8] {
    let end = body.iter().position(|b| *b == 0).unwrap_or(body.len());
    &body[..end]
}

fn float(body: &[u8]) -> Option<f64> {
    match body.len() {
        4 => Some(f32::from_be_bytes(*body.first_chunk()?).into()),
        8 => Some(f64::from_be_bytes(*body.first_chunk()?)),
        _ => None,
    }
}

fn whole<R: Read + Seek>(reader: &mut R, at: u64, size: u64) -> Option<Vec<u8>> {
    let data = read_at(reader, at, size.min(MAX_HEAD_BYTES))?;
    (data.len() as u64 == size).then_some(data)
}

fn read_at<R: Read + Seek>(reader: &mut R, at: u64, most: u64) -> Option<Vec<u8>> {
    reader.seek(SeekFrom::Start(at)).ok()?;
    let mut data = Vec::new();
    reader.by_ref().take(most).read_to_end(&mut data).ok()?;
    Some(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
        let size = [0x80 | u8::try_from(body.len()).unwrap()];
        [id, &size, body].concat()
    }

    #[test]
    fn names_of_codecs_may_end_in_zeros() {
        let sizes = [element(&[0xB0], &[1, 64]), element(&[0xBA], &[180])].concat();
        for (name, codec) in [
            (&b"V_MPEG4/ISO/AVC"[..], VideoCodec::H264),
            (b"V_MPEG4/ISO/AVC\0", VideoCodec::H264),
            (b"V_MPEGH/ISO/HEVC\0\0", VideoCodec::H265),
        ] {
            let entry = [
                element(&[0x83], &[1]),
                element(&[0x86], name),
                element(&[0xE0], &sizes),
            ];
            let audio = [element(&[0x83], &[2]), element(&[0x86], b"A_OPUS\0")];
            let both = [
                element(&[0xAE], &entry.concat()),
                element(&[0xAE], &audio.concat()),
            ];
            let found = tracks(&both.concat()).unwrap();
            assert_eq!(
                (found.video.codec, found.video.width, found.video.height),
                (codec, 320, 180)
            );
            assert_eq!(found.audio.map(|a| a.codec), Some(AudioCodec::Opus));
        }
        assert!(tracks(&element(&[0xAE], &element(&[0x86], b"V_VP8\0"))).is_none());
    }
}
