//! The `moov` of a clip, made from the one of its material.

use super::tables::SampleTable;
use crate::error::Result;
use crate::media::boxes::{BoxRef, BoxWriter, Boxes, corrupt, find, find_path};
use crate::media::init::{Edit, InitSegment};

/// What is said of a track beyond what its material says.
#[derive(Clone, Debug)]
pub(super) struct TrackHead<'a> {
    pub id: u32,
    pub edits: Vec<Edit>,
    /// Duration of what is shown in the movie's timescale.
    pub duration: u64,
    /// Sample tables; none in a fragmented file.
    pub table: Option<&'a SampleTable>,
}

/// `ftyp` and `moov` of a fragmented clip. `duration` is in the init's movie timescale.
pub(super) fn fragmented(init: &InitSegment, tracks: &[TrackHead<'_>], duration: u64) -> Result<Vec<u8>> {
    let mut w = BoxWriter::new();
    for b in Boxes::new(&init.bytes) {
        let b = b?;
        match &b.kind().0 {
            b"ftyp" => {
                w.bytes(b.bytes);
            }
            b"moov" => fragmented_moov(&mut w, &b, tracks, duration)?,
            _ => {}
        }
    }
    Ok(w.into_bytes())
}

fn fragmented_moov(
    w: &mut BoxWriter,
    moov: &BoxRef<'_>,
    tracks: &[TrackHead<'_>],
    duration: u64,
) -> Result<()> {
    nested(w, b"moov", |w| {
        for b in moov.children() {
            let b = b?;
            match &b.kind().0 {
                b"trak" => {
                    if let Some(t) = head_of(&b, tracks)? {
                        fragmented_trak(w, &b, t)?;
                    }
                }
                b"mvex" => nested(w, b"mvex", |w| {
                    w.full(b"mehd", 1, 0, |w| {
                        w.u64(duration);
                    });
                    for b in b.children() {
                        let b = b?;
                        let keep = match &b.kind().0 {
                            b"mehd" => false,
                            b"trex" => {
                                let id = b.full()?.2.u32()?;
                                tracks.iter().any(|t| t.id == id)
                            }
                            _ => true,
                        };
                        if keep {
                            w.bytes(b.bytes);
                        }
                    }
                    Ok(())
                })?,
                // The recorder's own description does not hold for a clip.
                b"uuid" => {}
                _ => {
                    w.bytes(b.bytes);
                }
            }
        }
        Ok(())
    })
}

fn fragmented_trak(w: &mut BoxWriter, trak: &BoxRef<'_>, head: &TrackHead<'_>) -> Result<()> {
    nested(w, b"trak", |w| {
        for b in trak.children() {
            let b = b?;
            match &b.kind().0 {
                // Some muxers write `elst` without its container.
                b"edts" | b"elst" => {}
                b"tkhd" => {
                    w.bytes(b.bytes);
                    edts(w, &head.edits);
                }
                _ => {
                    w.bytes(b.bytes);
                }
            }
        }
        Ok(())
    })
}

/// `ftyp` of a progressive clip.
pub(crate) fn ftyp(hevc: bool) -> Vec<u8> {
    let mut w = BoxWriter::new();
    w.boxed(b"ftyp", |w| {
        w.bytes(b"isom").u32(0x200).bytes(b"isomiso2mp41");
        w.bytes(if hevc { b"hvc1" } else { b"avc1" });
    });
    w.into_bytes()
}

/// `ftyp` and `moov` of a progressive clip; `base` is the offset that the tables' chunks count from.
pub(super) fn progressive(
    init: &InitSegment,
    tracks: &[TrackHead<'_>],
    movie_timescale: u32,
    base: u64,
    wide: bool,
) -> Result<Vec<u8>> {
    let moov = find(&init.bytes, b"moov")?.ok_or_else(|| corrupt("init segment without 'moov'"))?;
    let hevc = init
        .video()
        .is_some_and(|v| v.sample_entry == b"hvc1" || v.sample_entry == b"hev1");
    let mut w = BoxWriter::new();
    w.bytes(&ftyp(hevc));
    let duration = tracks.iter().map(|t| t.duration).max().unwrap_or(0);
    let next_id = tracks.iter().map(|t| t.id).max().unwrap_or(0).saturating_add(1);
    nested(&mut w, b"moov", |w| {
        w.full(b"mvhd", 1, 0, |w| {
            w.u64(0).u64(0).u32(movie_timescale).u64(duration);
            w.u32(0x1_0000).u16(0x100).bytes(&[0; 10]);
            for n in [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000] {
                w.u32(n);
            }
            w.bytes(&[0; 24]).u32(next_id);
        });
        for b in moov.children() {
            let b = b?;
            if b.kind() == b"trak"
                && let Some(t) = head_of(&b, tracks)?
            {
                progressive_trak(w, &b, t, base, wide)?;
            }
        }
        Ok(())
    })?;
    Ok(w.into_bytes())
}

fn progressive_trak(
    w: &mut BoxWriter,
    trak: &BoxRef<'_>,
    head: &TrackHead<'_>,
    base: u64,
    wide: bool,
) -> Result<()> {
    let missing = |name: &str| corrupt(format!("track without '{name}'"));
    let tkhd = find(trak.body(), b"tkhd")?.ok_or_else(|| missing("tkhd"))?;
    let mdia = find(trak.body(), b"mdia")?.ok_or_else(|| missing("mdia"))?;
    let mdhd = find(mdia.body(), b"mdhd")?.ok_or_else(|| missing("mdhd"))?;
    let stsd = find_path(mdia.body(), &[b"minf", b"stbl", b"stsd"])?.ok_or_else(|| missing("stsd"))?;
    let table = head.table.ok_or_else(|| missing("samples"))?;
    let timescale = {
        let (version, _, mut r) = mdhd.full()?;
        r.take(if version == 1 { 16 } else { 8 })?;
        r.u32()?
    };
    nested(w, b"trak", |w| {
        // Layer, volume, matrix and size stay: they are the last 60 bytes in both versions.
        let placement = tkhd.body().last_chunk::<60>().ok_or_else(|| missing("tkhd"))?;
        w.full(b"tkhd", 1, 7, |w| {
            w.u64(0).u64(0).u32(head.id).u32(0).u64(head.duration);
            w.bytes(placement);
        });
        edts(w, &head.edits);
        nested(w, b"mdia", |w| {
            let language = mdhd.body().last_chunk::<4>().ok_or_else(|| missing("mdhd"))?;
            w.full(b"mdhd", 1, 0, |w| {
                w.u64(0).u64(0).u32(timescale).u64(table.duration());
                w.bytes(language);
            });
            for b in mdia.children() {
                let b = b?;
                match &b.kind().0 {
                    b"mdhd" => {}
                    b"minf" => nested(w, b"minf", |w| {
                        for b in b.children() {
                            let b = b?;
                            if b.kind() == b"stbl" {
                                w.boxed(b"stbl", |w| {
                                    w.bytes(stsd.bytes);
                                    table.write(w, base, wide);
                                });
                            } else {
                                w.bytes(b.bytes);
                            }
                        }
                        Ok(())
                    })?,
                    _ => {
                        w.bytes(b.bytes);
                    }
                }
            }
            Ok(())
        })
    })
}

/// `edts` with version 1 entries; nothing without edits.
fn edts(w: &mut BoxWriter, edits: &[Edit]) {
    if edits.is_empty() {
        return;
    }
    w.boxed(b"edts", |w| {
        w.full(b"elst", 1, 0, |w| {
            w.u32(edits.len() as u32);
            for e in edits {
                w.u64(e.duration).u64(e.media_time as u64).u32(0x1_0000);
            }
        });
    });
}

/// The head of the track that a `trak` describes, if it is wanted.
fn head_of<'h, 't>(trak: &BoxRef<'_>, tracks: &'h [TrackHead<'t>]) -> Result<Option<&'h TrackHead<'t>>> {
    let tkhd = find(trak.body(), b"tkhd")?.ok_or_else(|| corrupt("track without 'tkhd'"))?;
    let (version, _, mut r) = tkhd.full()?;
    r.take(if version == 1 { 16 } else { 8 })?;
    let id = r.u32()?;
    Ok(tracks.iter().find(|t| t.id == id))
}

/// A box whose contents may turn out to be impossible.
fn nested(w: &mut BoxWriter, kind: &[u8; 4], body: impl FnOnce(&mut BoxWriter) -> Result<()>) -> Result<()> {
    let mut result = Ok(());
    w.boxed(kind, |w| result = body(w));
    result
}
