//! Privacy masks on decoded pictures: the elements that a pipeline gets behind its decoder, and a picture covered by hand.
//!
//! A picture that cannot be covered never passes: the pipeline fails instead.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gst_video::prelude::*;

use super::guard::guarded;
use super::sources::{caps_filter, make};
use crate::error::{Error, ErrorKind, Result};
use crate::privacy::{Cover, Privacy, Samples};
use crate::track::VideoCodec;

/// 8-bit formats whose components can be covered where they lie.
const FORMATS: [&str; 7] = ["I420", "YV12", "NV12", "NV21", "GRAY8", "Y42B", "Y444"];

/// What is covered, and for whom.
#[derive(Clone, Debug)]
pub struct Masking {
    /// The masks.
    pub privacy: Arc<Privacy>,
    /// Whether luma uses all values from 0 to 255.
    pub full_range: bool,
}

impl Masking {
    /// Masks on coded video whose parameters are these.
    pub(super) fn of(privacy: Option<Arc<Privacy>>, codec: VideoCodec, codec_data: &[u8]) -> Option<Self> {
        let full_range = codec == VideoCodec::H264 && super::sources::h264_sps::is_full_range(codec_data);
        Self::on(privacy, full_range)
    }

    /// Masks on JPEG pictures, which use all values (JFIF 1.02).
    pub(super) fn of_jpeg(privacy: Option<Arc<Privacy>>) -> Option<Self> {
        Self::on(privacy, true)
    }

    fn on(privacy: Option<Arc<Privacy>>, full_range: bool) -> Option<Self> {
        privacy
            .filter(|p| p.is_on())
            .map(|privacy| Self { privacy, full_range })
    }
}

/// Covers pictures, whatever their sizes.
#[derive(Debug)]
pub(super) struct Masker {
    masking: Masking,
    /// Of the size that came last.
    cover: Option<Cover>,
}

fn failed(what: &str) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("a picture cannot be masked, and is not shown: {what}"),
    )
}

impl Masker {
    pub(super) fn new(masking: Masking) -> Self {
        Self { masking, cover: None }
    }

    /// The cover of pictures of a size.
    pub(super) fn cover(&mut self, size: (u32, u32)) -> &Cover {
        if self.cover.as_ref().is_none_or(|c| c.size() != size) {
            self.cover = None;
        }
        self.cover.get_or_insert_with(|| self.masking.privacy.cover(size))
    }

    /// A covered copy of a picture. The picture itself stays as it is: the decoder may predict others from it.
    pub(super) fn masked(
        &mut self,
        buffer: &gst::BufferRef,
        info: &gst_video::VideoInfo,
    ) -> Result<gst::Buffer> {
        let mut copy = buffer.copy_deep().map_err(|_| failed("no memory"))?;
        {
            let buffer = copy.get_mut().ok_or_else(|| failed("it is shared"))?;
            let mut frame = gst_video::VideoFrameRef::from_buffer_ref_writable(buffer, info)
                .map_err(|_| failed("it cannot be written"))?;
            let size = (frame.width(), frame.height());
            let solid = self.masking.privacy.style.yuv(size.1, self.masking.full_range);
            let cover = self.cover(size);
            for component in components(frame.info())? {
                let data = frame
                    .plane_data_mut(component.plane)
                    .map_err(|_| failed("a plane is missing"))?;
                let mut samples = Samples {
                    data,
                    stride: component.stride,
                    step: component.step,
                    offset: component.offset,
                    shift: component.shift,
                };
                match solid {
                    Some(values) => cover.fill(&mut samples, values[component.index.min(2)]),
                    None => cover.pixelate(&mut samples),
                }
            }
        }
        Ok(copy)
    }
}

/// Where the samples of a component lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Component {
    pub(super) index: usize,
    pub(super) plane: u32,
    pub(super) stride: usize,
    pub(super) step: usize,
    pub(super) offset: usize,
    pub(super) shift: (u32, u32),
}

/// The components of a picture as it is mapped.
pub(super) fn components(info: &gst_video::VideoInfo) -> Result<Vec<Component>> {
    if !FORMATS.contains(&info.format().to_str().as_str()) {
        return Err(failed(&format!("pictures of the format {}", info.format())));
    }
    let format = info.format_info();
    let number = |n: i32| usize::try_from(n).map_err(|_| failed("an odd format"));
    (0..format.n_components() as usize)
        .map(|index| {
            let plane = *format.plane().get(index).ok_or_else(|| failed("an odd format"))?;
            let stride = info.stride().get(plane as usize);
            Ok(Component {
                index,
                plane,
                stride: number(*stride.ok_or_else(|| failed("an odd format"))?)?,
                step: number(format.pixel_stride()[index])?,
                offset: number(format.poffset()[index] as i32)?,
                shift: (format.w_sub()[index], format.h_sub()[index]),
            })
        })
        .collect()
}

/// The elements that cover every picture which goes through them; none without masks.
pub(super) fn elements(masking: Option<Masking>) -> Result<Vec<gst::Element>> {
    let Some(masking) = masking else {
        return Ok(Vec::new());
    };
    let caps = gst::Caps::builder("video/x-raw")
        .field("format", gst::List::new(FORMATS))
        .build();
    let filter = caps_filter(&caps)?;
    let pad = filter.static_pad("src").ok_or_else(|| failed("no pad"))?;
    let state = Mutex::new((Masker::new(masking), None::<(gst::Caps, gst_video::VideoInfo)>));
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |pad, info| {
        let tell = |words: &str| {
            if let Some(element) = pad.parent_element() {
                gst::element_error!(element, gst::StreamError::Failed, ("{words}"));
            }
        };
        // What went wrong must not let the picture through.
        guarded("privacy mask", gst::PadProbeReturn::Handled, tell, || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let (masker, known) = &mut *state;
            let covered = cover_buffer(masker, known, pad, info.buffer());
            match covered {
                Ok(buffer) => {
                    info.data = Some(gst::PadProbeData::Buffer(buffer));
                    gst::PadProbeReturn::Ok
                }
                Err(e) => {
                    tell(&e.to_string());
                    gst::PadProbeReturn::Handled
                }
            }
        })
    });
    Ok(vec![make("videoconvert")?, filter])
}

fn cover_buffer(
    masker: &mut Masker,
    known: &mut Option<(gst::Caps, gst_video::VideoInfo)>,
    pad: &gst::Pad,
    buffer: Option<&gst::Buffer>,
) -> Result<gst::Buffer> {
    let buffer = buffer.ok_or_else(|| failed("it comes in a list"))?;
    let caps = pad.current_caps().ok_or_else(|| failed("it has no format"))?;
    if known.as_ref().is_none_or(|(k, _)| *k != caps) {
        let info = gst_video::VideoInfo::from_caps(&caps).map_err(|_| failed("an unknown format"))?;
        *known = Some((caps, info));
    }
    match known {
        Some((_, info)) => masker.masked(buffer, info),
        None => Err(failed("it has no format")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::MaskStyle;

    fn privacy(style: MaskStyle) -> Arc<Privacy> {
        let masks = Privacy::parse_masks("a: 0.25,0.25 0.6,0.25 0.6,0.7 0.25,0.7").unwrap();
        Arc::new(Privacy::new(masks, style))
    }

    /// Every format that may come: what is covered has the colour, what is not is as before.
    #[test]
    fn pictures_of_every_format_are_covered() {
        crate::gst::init().unwrap();
        for format in FORMATS.iter().chain(&["I420_10LE", "RGB"]) {
            for size in [(320, 240), (322, 242), (101, 67)] {
                let text = format!(
                    "videotestsrc num-buffers=1 pattern=snow ! video/x-raw,format={format},width={},height={} ! appsink name=plain sync=false",
                    size.0, size.1
                );
                let plain = pull(&text, None);
                let masking = Masking {
                    privacy: privacy(MaskStyle::default()),
                    full_range: false,
                };
                let covered = pull(&text, Some(masking.clone()));
                let cover = masking.privacy.cover(size);
                let info = gst_video::VideoInfo::from_caps(covered.caps().unwrap()).unwrap();
                let frame =
                    gst_video::VideoFrameRef::from_buffer_ref_readable(covered.buffer().unwrap(), &info)
                        .unwrap();
                for c in components(&info).unwrap() {
                    let data = frame.plane_data(c.plane).unwrap();
                    let expected = if c.index == 0 { 16 } else { 128 };
                    for (y, span) in cover.spans(c.shift) {
                        for x in span {
                            let found = data[y * c.stride + c.offset + x * c.step];
                            assert_eq!(
                                found, expected,
                                "{format} {size:?} component {} at {x},{y}",
                                c.index
                            );
                        }
                    }
                }
                if !FORMATS.contains(format) {
                    continue;
                }
                let before =
                    gst_video::VideoFrameRef::from_buffer_ref_readable(plain.buffer().unwrap(), &info)
                        .unwrap();
                let c = components(&info).unwrap()[0];
                let (one, two) = (before.plane_data(0).unwrap(), frame.plane_data(0).unwrap());
                for y in 0..size.1 {
                    for x in (0..size.0).filter(|x| !cover.contains(*x, y)) {
                        let at = y as usize * c.stride + x as usize;
                        assert_eq!(one[at], two[at], "{format} {size:?} at {x},{y}");
                    }
                }
            }
        }
    }

    fn pull(text: &str, masking: Option<Masking>) -> gst::Sample {
        let (source, _) = text.rsplit_once(" ! appsink").unwrap();
        // A description that ends with caps needs an element behind them.
        let bin = gst::parse::bin_from_description(&format!("{source} ! identity"), true).unwrap();
        let sink = gst_app::AppSink::builder().sync(false).build();
        let mut chain: Vec<gst::Element> = vec![bin.upcast()];
        chain.extend(elements(masking).unwrap());
        chain.push(sink.clone().upcast());
        let pipeline = gst::Pipeline::new();
        pipeline.add_many(&chain).unwrap();
        gst::Element::link_many(&chain).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let sample = sink.pull_sample().unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        sample
    }

    #[test]
    fn no_masks_are_no_elements() {
        crate::gst::init().unwrap();
        assert!(elements(None).unwrap().is_empty());
        assert!(Masking::of(Some(Arc::new(Privacy::default())), VideoCodec::H265, &[]).is_none());
    }
}
