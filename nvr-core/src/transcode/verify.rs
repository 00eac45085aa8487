//! Is a draft the same footage? Read back from the disk, compared sample by sample, decoded whole.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use super::encode::{Failure, Original, read_chunk};
use crate::config::TranscodeConfig;
use crate::files::replace::Draft;
use crate::gst::{self, Comparison, Gate, Masking, RecodeFault};
use crate::media::read_closed;
use crate::privacy::Privacy;
use crate::segment::ClosedSegment;
use crate::track::VideoCodec;

/// How far a single frame may lie below the mean that is asked for: one broken picture is more than that.
const WORST_BELOW: f64 = 0.15;

/// Compares a draft with its original.
///
/// # Errors
/// `Encoder` when it is not the same footage, `Keep` when it is and does not look like it.
pub(super) fn verify(
    original: &Original,
    original_path: &Path,
    draft: &Draft,
    made: &ClosedSegment,
    config: &TranscodeConfig,
    privacy: Option<&Arc<Privacy>>,
    gate: &mut dyn FnMut() -> Gate,
) -> Result<Comparison, Failure> {
    tables(original, &draft.file, made, privacy)?;
    let video = original
        .video()
        .ok_or_else(|| Failure::Keep("its video cannot be read".into()))?;
    let full_range = video.is_full_range();
    let found = gst::compare(
        (original_path, video.codec),
        (draft.absolute(), VideoCodec::H265),
        (video.codec == VideoCodec::H264).then_some(full_range),
        config.compare_every,
        privacy.map(|p| Masking {
            privacy: Arc::clone(p),
            full_range,
        }),
        Some(config.priority),
        gate,
    );
    let found = match found {
        Ok(found) => found,
        Err(RecodeFault::Stopped) => return Err(Failure::Stopped),
        Err(RecodeFault::Other(e)) => return Err(Failure::Other(e)),
        Err(e) => {
            return Err(Failure::Encoder(format!(
                "what it made is not the same footage: {e}"
            )));
        }
    };
    if found.frames != original.frames {
        return Err(Failure::Encoder(format!(
            "{} of {} frames can be decoded",
            found.frames, original.frames
        )));
    }
    looks(&found, config).map_err(Failure::Keep)?;
    Ok(found)
}

/// Whether it looks enough like the original.
fn looks(found: &Comparison, config: &TranscodeConfig) -> Result<(), String> {
    if found.ssim < config.min_ssim {
        return Err(format!("SSIM {:.4} is below {}", found.ssim, config.min_ssim));
    }
    if found.worst_ssim < config.min_ssim - WORST_BELOW {
        return Err(format!("a frame has an SSIM of {:.4}", found.worst_ssim));
    }
    if found.psnr_db < config.min_psnr_db as f64 {
        return Err(format!(
            "PSNR {:.1} dB is below {} dB",
            found.psnr_db, config.min_psnr_db
        ));
    }
    Ok(())
}

/// What the draft says of itself and what its tables say, beside the original's.
fn tables(
    original: &Original,
    file: &File,
    made: &ClosedSegment,
    privacy: Option<&Arc<Privacy>>,
) -> Result<(), Failure> {
    let wrong = |what: String| Failure::Encoder(format!("the new file is not as it should be: {what}"));
    let info = read_closed(&mut &*file)?.ok_or_else(|| wrong("it is not complete".into()))?;
    let mut start = original.info.description.clone();
    start.tracks.video.codec = VideoCodec::H265;
    start.masks = privacy.map(|p| p.text());
    if info.description != start || made.start != start {
        return Err(wrong("it says something else of itself".into()));
    }
    let (old, new) = (&original.info.index, &info.index);
    if old.fragments.len() != new.fragments.len() || old.media_start != new.media_start {
        return Err(wrong(format!(
            "{} chunks of {}",
            new.fragments.len(),
            old.fragments.len()
        )));
    }
    if !original.reorders && info.duration_ns != original.info.duration_ns {
        return Err(wrong(format!(
            "{} ns long instead of {}",
            info.duration_ns, original.info.duration_ns
        )));
    }
    for (n, (a, b)) in old.fragments.iter().zip(&new.fragments).enumerate() {
        let same_times = original.reorders || (a.start_ns, a.duration_ns) == (b.start_ns, b.duration_ns);
        if a.keyframe != b.keyframe || !same_times {
            return Err(wrong(format!("chunk {n} begins or ends elsewhere")));
        }
        let (old, new) = (
            read_chunk(&original.file, a, &original.info.init)?,
            read_chunk(file, b, &info.init)?,
        );
        let order = |frames: &[crate::media::recode::Frame]| {
            let mut order: Vec<(i64, bool)> = frames.iter().map(|f| (f.pts, f.keyframe)).collect();
            order.sort_unstable();
            order
        };
        if order(&old.frames) != order(&new.frames) {
            return Err(wrong(format!("chunk {n} has other frames")));
        }
        if !old.other_samples().eq(new.other_samples()) {
            return Err(wrong(format!("chunk {n} has another sound")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thresholds() {
        let config = TranscodeConfig::default();
        let found = Comparison {
            frames: 10,
            compared: 2,
            ssim: 0.96,
            worst_ssim: 0.9,
            psnr_db: 38.0,
        };
        assert!(looks(&found, &config).is_ok());
        assert!(looks(&Comparison { ssim: 0.949, ..found }, &config).is_err());
        assert!(
            looks(
                &Comparison {
                    worst_ssim: 0.79,
                    ..found
                },
                &config
            )
            .is_err()
        );
        let strict = TranscodeConfig {
            min_psnr_db: 40,
            ..config
        };
        assert!(looks(&found, &strict).is_err());
    }
}
