//! Segments: their rows, and how they are written.

use std::path::{Component, Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::cameras::{self, camera_id, invalid};
use super::error::SqlResult;
use super::rows::{Marks, SegmentRow, SegmentState};
use super::runs::{self, run_number};
use super::{Store, detections, gaps, writes};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::{CameraId, RunId, SegmentId};
use crate::segment::{ClosedSegment, Container, SegmentStart, Tier};
use crate::time::Timestamp;
use crate::track::{AudioCodec, AudioTrack, Tracks, VideoCodec, VideoTrack};

/// Columns that [`read`] wants, in its order.
///
/// A missing segment of which there is a copy elsewhere is `remote`; the table knows `missing` and the number of copies.
pub(super) const COLUMNS: &str = "id, camera, run, sequence, path, \
     CASE WHEN state = 'missing' AND copies > 0 THEN 'remote' ELSE state END, start_ns, duration_ns, size_bytes, \
     container, video_codec, width, height, frame_rate, audio_codec, audio_rate, audio_channels, hash, \
     protected, camera_start_ns, marks, tier, masks, from_card";

/// Text of a path that may stand in the index: relative, UTF-8, without `..`, so that no row can ever
/// lead out of the recordings root.
pub(super) fn path_text(path: &Path) -> Result<&str> {
    let bad = |why: &str| {
        Error::new(
            ErrorKind::InvalidArgument,
            format!("segment path {} {why}", path.display()),
        )
    };
    let text = path.to_str().ok_or_else(|| bad("is not UTF-8"))?;
    if is_inside(path) {
        Ok(text)
    } else {
        Err(bad("is not relative to the recordings root"))
    }
}

pub(super) fn is_inside(path: &Path) -> bool {
    !path.as_os_str().is_empty() && path.components().all(|c| matches!(c, Component::Normal(_)))
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    read_of(camera_id(row, "camera")?, row)
}

/// As [`read`] where the camera is known: saves checking its name in every row.
pub(super) fn read_of(camera: CameraId, row: &Row<'_>) -> rusqlite::Result<SegmentRow> {
    let named = |column: usize, what: &str| -> rusqlite::Result<rusqlite::Error> {
        let name = row.get_ref(column)?.as_str()?;
        Ok(invalid(format!("{what} {name:?}")))
    };
    let path = PathBuf::from(row.get_ref(4)?.as_str()?);
    if !is_inside(&path) {
        return Err(invalid(format!("path {}", path.display())));
    }
    let Some(state) = SegmentState::from_name(row.get_ref(5)?.as_str()?) else {
        return Err(named(5, "state")?);
    };
    let Some(container) = container_from(row.get_ref(9)?.as_str()?) else {
        return Err(named(9, "container")?);
    };
    let Some(codec) = video_from(row.get_ref(10)?.as_str()?) else {
        return Err(named(10, "video codec")?);
    };
    let audio = match row.get_ref(14)?.as_str_or_null()? {
        None => None,
        Some(name) => Some(AudioTrack {
            codec: audio_from(name),
            sample_rate: row.get::<_, Option<u32>>(15)?.unwrap_or(0),
            channels: row.get::<_, Option<u32>>(16)?.unwrap_or(0),
        }),
    };
    Ok(SegmentRow {
        id: SegmentId(row.get(0)?),
        camera,
        run: RunId::from_u64(row.get::<_, i64>(2)?.cast_unsigned()),
        sequence: row.get(3)?,
        path,
        state,
        start: Timestamp::from_ns(row.get(6)?),
        duration_ns: row.get(7)?,
        size_bytes: row.get::<_, i64>(8)?.max(0).cast_unsigned(),
        container,
        tracks: Tracks {
            video: VideoTrack {
                codec,
                width: row.get(11)?,
                height: row.get(12)?,
                frame_rate: row.get(13)?,
            },
            audio,
        },
        hash: row
            .get_ref(17)?
            .as_blob_or_null()?
            .and_then(|b| b.try_into().ok()),
        protected: row.get(18)?,
        camera_start: row.get::<_, Option<i64>>(19)?.map(Timestamp::from_ns),
        marks: Marks::from_bits(row.get(20)?),
        tier: Tier::from_number(row.get(21)?),
        masks: row.get(22)?,
        from_card: row.get(23)?,
    })
}

/// What is written of a segment.
struct Values<'a> {
    start: &'a SegmentStart,
    path: &'a Path,
    state: SegmentState,
    duration_ns: i64,
    size_bytes: u64,
    hash: Option<&'a [u8; 32]>,
}

impl<'a> Values<'a> {
    fn closed(segment: &'a ClosedSegment) -> Self {
        Self {
            start: &segment.start,
            path: &segment.path,
            state: if segment.recovered {
                SegmentState::Recovered
            } else {
                SegmentState::Closed
            },
            duration_ns: segment.duration_ns,
            size_bytes: segment.size_bytes,
            hash: segment.hash.as_ref(),
        }
    }
}

/// Inserts the row, or overwrites the one of the same path. `protected` survives; so does a known hash
/// of the same file when the new values bring none.
fn put(conn: &Connection, v: &Values<'_>) -> Result<SegmentId> {
    let path = path_text(v.path)?;
    cameras::ensure(conn, &v.start.camera, v.start.start)?;
    runs::ensure(conn, v.start)?;
    let tracks = &v.start.tracks;
    conn.prepare_cached(
        "INSERT INTO segments (camera, run, sequence, path, state, start_ns, duration_ns, size_bytes,
             container, video_codec, width, height, frame_rate, audio_codec, audio_rate, audio_channels,
             hash, camera_start_ns, masks, from_card)
         VALUES (:camera, :run, :sequence, :path, :state, :start, :duration, :size,
             :container, :video, :width, :height, :rate, :audio, :audio_rate, :channels,
             :hash, :camera_start, :masks, :from_card)
         ON CONFLICT (path) DO UPDATE SET
             camera = excluded.camera, run = excluded.run, sequence = excluded.sequence,
             state = excluded.state, start_ns = excluded.start_ns, duration_ns = excluded.duration_ns,
             hash = coalesce(excluded.hash, iif(size_bytes = excluded.size_bytes, hash, NULL)),
             size_bytes = excluded.size_bytes, container = excluded.container,
             video_codec = excluded.video_codec, width = excluded.width, height = excluded.height,
             frame_rate = excluded.frame_rate, audio_codec = excluded.audio_codec,
             audio_rate = excluded.audio_rate, audio_channels = excluded.audio_channels,
             camera_start_ns = excluded.camera_start_ns, masks = excluded.masks,
             from_card = excluded.from_card
         RETURNING id",
    )
    .and_then(|mut s| {
        s.query_row(
            named_params! {
                ":camera": v.start.camera.as_str(),
                ":run": run_number(v.start.run),
                ":sequence": v.start.sequence,
                ":path": path,
                ":state": stored(v.state),
                ":start": v.start.start.as_ns(),
                ":duration": v.duration_ns.max(0),
                ":size": bytes(v.size_bytes),
                ":container": container_name(v.start.container),
                ":video": video_name(tracks.video.codec),
                ":width": tracks.video.width,
                ":height": tracks.video.height,
                ":rate": tracks.video.frame_rate,
                ":audio": tracks.audio.as_ref().map(|a| audio_name(a.codec)),
                ":audio_rate": tracks.audio.as_ref().map(|a| a.sample_rate),
                ":channels": tracks.audio.as_ref().map(|a| a.channels),
                ":hash": v.hash,
                ":camera_start": v.start.camera_start.map(Timestamp::as_ns),
                ":masks": v.start.masks,
                ":from_card": v.start.from_card,
            },
            |row| row.get(0),
        )
    })
    .map(SegmentId)
    .sql()
}

fn open(conn: &Connection, start: &SegmentStart, path: &Path) -> Result<SegmentId> {
    put(
        conn,
        &Values {
            start,
            path,
            state: SegmentState::Open,
            duration_ns: 0,
            size_bytes: 0,
            hash: None,
        },
    )
}

fn close(conn: &Connection, path: &Path, segment: &ClosedSegment) -> Result<SegmentId> {
    if path != segment.path {
        // The file got another name when it was closed; the row keeps its id.
        let (old, new) = (path_text(path)?, path_text(&segment.path)?);
        conn.prepare_cached("UPDATE segments SET path = ?2 WHERE path = ?1")
            .and_then(|mut s| s.execute((old, new)))
            .sql()?;
    }
    let id = put(conn, &Values::closed(segment))?;
    put_fragments(conn, id, &segment.fragments)?;
    detections::mark_segment(conn, id)?;
    Ok(id)
}

pub(super) fn put_fragments(conn: &Connection, id: SegmentId, data: &[u8]) -> Result<()> {
    if data.is_empty() {
        conn.prepare_cached("DELETE FROM fragments WHERE segment = ?1")
            .and_then(|mut s| s.execute([id.0]))
            .sql()?;
    } else {
        conn.prepare_cached(
            "INSERT INTO fragments (segment, data) VALUES (?1, ?2)
             ON CONFLICT (segment) DO UPDATE SET data = excluded.data",
        )
        .and_then(|mut s| s.execute((id.0, data)))
        .sql()?;
    }
    Ok(())
}

/// Completes the row of footage that was fetched from the camera's card: what it covers is no gap any more.
fn fill(conn: &Connection, segment: &ClosedSegment) -> Result<SegmentId> {
    let id = close(conn, &segment.path, segment)?;
    gaps::cut(conn, &segment.start.camera, segment.range())?;
    Ok(id)
}

fn insert_all(conn: &Connection, segments: &[ClosedSegment]) -> Result<Vec<SegmentId>> {
    segments.iter().map(|s| close(conn, &s.path, s)).collect()
}

/// Runs an `UPDATE … WHERE id = ?1` that must hit its row.
fn update(conn: &Connection, id: SegmentId, sql: &str, params: impl rusqlite::Params) -> Result<()> {
    let changed = conn
        .prepare_cached(sql)
        .and_then(|mut s| s.execute(params))
        .sql()?;
    if changed == 0 {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("no segment {id} in the index"),
        ));
    }
    Ok(())
}

fn delete(conn: &Connection, ids: &[SegmentId]) -> Result<u64> {
    let mut statement = conn.prepare_cached("DELETE FROM segments WHERE id = ?1").sql()?;
    let mut n = 0;
    for id in ids {
        n += statement.execute([id.0]).sql()? as u64;
    }
    Ok(n)
}

writes! {
    /// Enters a segment that begins to grow (and its camera and run, if they are new).
    ///
    /// # Errors
    /// `InvalidArgument` when the path leads out of the root, `Storage` when the index cannot be written.
    open_segment, open_segment_blocking(start: &SegmentStart, path: &Path) -> SegmentId {{
        let (start, path) = (start.clone(), path.to_owned());
        move |conn: &Connection| open(conn, &start, &path)
    }}

    /// Completes the row of the segment at `path`, or enters one if there is none. The row keeps its id
    /// and its protection; `segment.path` may differ from `path` when the file was renamed.
    ///
    /// # Errors
    /// `InvalidArgument` when a path leads out of the root, `AlreadyExists` when another row has the new
    /// path, `Storage` when the index cannot be written.
    close_segment, close_segment_blocking(path: &Path, segment: &ClosedSegment) -> SegmentId {{
        let (path, segment) = (path.to_owned(), segment.clone());
        move |conn: &Connection| close(conn, &path, &segment)
    }}

    /// As [`close_segment`](Self::close_segment), and takes what the segment covers out of the gaps of its camera.
    ///
    /// # Errors
    /// As [`close_segment`](Self::close_segment).
    fill_segment, fill_segment_blocking(segment: &ClosedSegment) -> SegmentId {{
        let segment = segment.clone();
        move |conn: &Connection| fill(conn, &segment)
    }}

    /// Enters many finished segments in one transaction, for a rebuild; a row of the same path is
    /// overwritten. Pass some hundreds at a time: everybody else waits meanwhile.
    ///
    /// # Errors
    /// `InvalidArgument` when a path leads out of the root, `Storage` when the index cannot be written;
    /// then none of them is entered.
    insert_segments, insert_segments_blocking(segments: Vec<ClosedSegment>) -> Vec<SegmentId> {
        move |conn: &Connection| insert_all(conn, &segments)
    }

    /// Notes another path.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `AlreadyExists` when another row has the path,
    /// `InvalidArgument` when it leads out of the root, `Storage` when the index cannot be written.
    set_segment_path, set_segment_path_blocking(id: SegmentId, path: &Path) -> () {{
        let path = path.to_owned();
        move |conn: &Connection| {
            update(conn, id, "UPDATE segments SET path = ?2 WHERE id = ?1", (id.0, path_text(&path)?))
        }
    }}

    /// Notes size and length of a segment, also of one that still grows.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Storage` when the index cannot be written.
    set_segment_size, set_segment_size_blocking(id: SegmentId, size_bytes: u64, duration_ns: i64) -> () {
        move |conn: &Connection| {
            let sql = "UPDATE segments SET size_bytes = ?2, duration_ns = ?3 WHERE id = ?1";
            update(conn, id, sql, (id.0, bytes(size_bytes), duration_ns.max(0)))
        }
    }

    /// Notes another state.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Storage` when the index cannot be written.
    set_segment_state, set_segment_state_blocking(id: SegmentId, state: SegmentState) -> () {
        move |conn: &Connection| {
            update(conn, id, "UPDATE segments SET state = ?2 WHERE id = ?1", (id.0, stored(state)))
        }
    }

    /// Protects a segment from retention, or no longer. One that is being deleted counts as gone.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Storage` when the index cannot be written.
    set_protected, set_protected_blocking(id: SegmentId, protected: bool) -> () {
        move |conn: &Connection| {
            let sql = "UPDATE segments SET protected = ?2
                       WHERE id = ?1 AND id NOT IN (SELECT segment FROM deletions)";
            update(conn, id, sql, (id.0, protected))
        }
    }

    /// Notes the BLAKE3 of the file.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Storage` when the index cannot be written.
    set_hash, set_hash_blocking(id: SegmentId, hash: [u8; 32]) -> () {
        move |conn: &Connection| {
            update(conn, id, "UPDATE segments SET hash = ?2 WHERE id = ?1", (id.0, hash))
        }
    }

    /// Notes the fragment index (see `media::index`); an empty one is forgotten.
    ///
    /// # Errors
    /// `NotFound` without such a segment, `Storage` when the index cannot be written.
    set_fragments, set_fragments_blocking(id: SegmentId, fragments: Vec<u8>) -> () {
        move |conn: &Connection| put_fragments(conn, id, &fragments)
    }

    /// Forgets a segment. Returns whether it was there.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written.
    delete_segment, delete_segment_blocking(id: SegmentId) -> bool {
        move |conn: &Connection| Ok(delete(conn, &[id])? > 0)
    }

    /// Forgets several segments in one transaction; returns how many were there.
    ///
    /// # Errors
    /// `Storage` when the index cannot be written; then none is forgotten.
    delete_segments, delete_segments_blocking(ids: Vec<SegmentId>) -> u64 {
        move |conn: &Connection| delete(conn, &ids)
    }
}

impl Store {
    /// Fragment index of a segment; `None` when it has none.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn fragments(&self, id: SegmentId) -> Result<Option<Vec<u8>>> {
        self.read(|conn| fragments(conn, id))
    }

    /// Fragment indexes of several segments, in the order asked, from one snapshot.
    ///
    /// # Errors
    /// `Storage` or `Corrupt` when the index cannot be read.
    pub fn fragments_of(&self, ids: &[SegmentId]) -> Result<Vec<Option<Vec<u8>>>> {
        self.read(|conn| ids.iter().map(|&id| fragments(conn, id)).collect())
    }
}

fn fragments(conn: &Connection, id: SegmentId) -> Result<Option<Vec<u8>>> {
    conn.prepare_cached("SELECT data FROM fragments WHERE segment = ?1")
        .and_then(|mut s| s.query_row([id.0], |r| r.get(0)).optional())
        .sql()
}

/// A state as the table knows it.
const fn stored(state: SegmentState) -> &'static str {
    match state {
        SegmentState::Remote => SegmentState::Missing.as_str(),
        other => other.as_str(),
    }
}

pub(super) fn bytes(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

const fn container_name(c: Container) -> &'static str {
    match c {
        Container::Fmp4 => "fmp4",
        Container::Mp4 => "mp4",
        Container::Matroska => "matroska",
    }
}

fn container_from(name: &str) -> Option<Container> {
    [Container::Fmp4, Container::Mp4, Container::Matroska]
        .into_iter()
        .find(|&c| container_name(c) == name)
}

pub(super) const fn video_name(c: VideoCodec) -> &'static str {
    match c {
        VideoCodec::H264 => "h264",
        VideoCodec::H265 => "h265",
    }
}

fn video_from(name: &str) -> Option<VideoCodec> {
    [VideoCodec::H264, VideoCodec::H265]
        .into_iter()
        .find(|&c| video_name(c) == name)
}

const fn audio_name(c: AudioCodec) -> &'static str {
    match c {
        AudioCodec::Aac => "aac",
        AudioCodec::Opus => "opus",
        AudioCodec::Pcmu => "pcmu",
        AudioCodec::Pcma => "pcma",
        AudioCodec::Pcm => "pcm",
        AudioCodec::Other => "other",
    }
}

fn audio_from(name: &str) -> AudioCodec {
    [
        AudioCodec::Aac,
        AudioCodec::Opus,
        AudioCodec::Pcmu,
        AudioCodec::Pcma,
        AudioCodec::Pcm,
    ]
    .into_iter()
    .find(|&c| audio_name(c) == name)
    .unwrap_or(AudioCodec::Other)
}
