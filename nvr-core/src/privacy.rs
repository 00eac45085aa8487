//! Privacy masks: parts of a camera's picture that nobody is to see, covered in the pictures that are made of it. Pure.
//!
//! A mask is a polygon in shares of width and height, as zones are. For pictures of one size it becomes a [`Cover`]: rows
//! of spans, in cells of 2x2 pixels, so that the chroma samples of subsampled formats are covered with the pixels that
//! they colour and no other pixel is. Every cell that a polygon touches is covered.

mod cover;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use cover::{Cover, Difference, Samples};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::zone::Zone;

/// Longest text of a camera's masks: what is burnt in is written into each file.
const MOST_BYTES: usize = 4096;

/// What covers a masked part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MaskStyle {
    /// One colour: red, green and blue. Nothing of what was there remains.
    Solid([u8; 3]),
    /// Blocks of the mean colour. That something is there, and moves, stays visible.
    Pixelate,
}

impl Default for MaskStyle {
    fn default() -> Self {
        Self::Solid([0; 3])
    }
}

/// As it is read.
impl fmt::Display for MaskStyle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Solid([0, 0, 0]) => f.write_str("black"),
            Self::Solid([r, g, b]) => write!(f, "#{r:02x}{g:02x}{b:02x}"),
            Self::Pixelate => f.write_str("pixelate"),
        }
    }
}

impl FromStr for MaskStyle {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let colour = |digits: &str| -> Option<[u8; 3]> {
            if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let n = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
            Some([n[1], n[2], n[3]])
        };
        match text.trim() {
            "black" => Ok(Self::default()),
            "pixelate" => Ok(Self::Pixelate),
            other => other
                .strip_prefix('#')
                .and_then(colour)
                .map(Self::Solid)
                .ok_or_else(|| {
                    Error::new(
                        ErrorKind::InvalidArgument,
                        format!("{other:?} covers nothing: want `black`, a colour such as `#404040`, or `pixelate`"),
                    )
                }),
        }
    }
}

impl MaskStyle {
    /// Luma and both chroma values of a solid colour for a picture of that height (BT.709 from 720 rows on, else BT.601);
    /// `None` for blocks.
    #[must_use]
    pub fn yuv(self, height: u32, full_range: bool) -> Option<[u8; 3]> {
        let Self::Solid(rgb) = self else { return None };
        let [r, g, b] = rgb.map(|n| f64::from(n) / 255.0);
        let (kr, kb) = if height >= 720 {
            (0.2126, 0.0722)
        } else {
            (0.299, 0.114)
        };
        let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (blue, red) = ((b - luma) / (2.0 * (1.0 - kb)), (r - luma) / (2.0 * (1.0 - kr)));
        let (low, high, chroma) = if full_range {
            (0.0, 255.0, 255.0)
        } else {
            (16.0, 219.0, 224.0)
        };
        Some([
            (low + luma * high).round() as u8,
            (128.0 + blue * chroma).round().min(255.0) as u8,
            (128.0 + red * chroma).round().min(255.0) as u8,
        ])
    }
}

/// What of a camera's picture nobody is to see.
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Privacy {
    /// The masked parts; none: nothing is masked. Their sensitivity is of no meaning here.
    pub masks: Vec<Zone>,
    /// What covers them.
    pub style: MaskStyle,
    /// Whether complete segments are encoded again by themselves, so that no unmasked one stays.
    pub transcode: bool,
}

impl Privacy {
    /// Masks of a style.
    #[must_use]
    pub fn new(masks: Vec<Zone>, style: MaskStyle) -> Self {
        Self {
            masks,
            style,
            transcode: false,
        }
    }

    /// Reads masks, written as zones are: `window: 0.1,0.2 0.4,0.2 0.4,0.9; garden: …`.
    ///
    /// # Errors
    /// `InvalidArgument` saying which part cannot be read.
    pub fn parse_masks(text: &str) -> Result<Vec<Zone>> {
        let masks = Zone::parse_list(text)?;
        let invalid = |what: String| Err(Error::new(ErrorKind::InvalidArgument, what));
        if let Some(mask) = masks.iter().find(|m| m.sensitivity.is_some()) {
            return invalid(format!("{}: a privacy mask has no sensitivity (`@`)", mask.name));
        }
        let length = Self::new(masks.clone(), MaskStyle::default()).text().len();
        if length > MOST_BYTES {
            return invalid(format!("{length} bytes of masks, more than {MOST_BYTES}"));
        }
        Ok(masks)
    }

    /// Whether anything is masked.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !self.masks.is_empty()
    }

    /// What is masked and how, in one way of writing: what files and index remember of masks that were burnt in.
    /// `black | window: 0.1,0.2 0.4,0.2 0.4,0.9`.
    #[must_use]
    pub fn text(&self) -> String {
        let masks: Vec<String> = self
            .masks
            .iter()
            .map(|m| format!("{}: {}", m.name, m.area))
            .collect();
        format!("{} | {}", self.style, masks.join("; "))
    }

    /// The cover of pictures of a size.
    #[must_use]
    pub fn cover(&self, size: (u32, u32)) -> Cover {
        Cover::new(self.masks.iter().map(|m| &m.area), size)
    }
}

/// The masks of all cameras, as they are now. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct PrivacyBook(Arc<ArcSwap<HashMap<CameraId, Arc<Privacy>>>>);

impl PrivacyBook {
    /// Others from now on. Cameras without masks are left out.
    pub fn set(&self, cameras: impl IntoIterator<Item = (CameraId, Privacy)>) {
        let on = cameras
            .into_iter()
            .filter(|(_, privacy)| privacy.is_on())
            .map(|(id, privacy)| (id, Arc::new(privacy)))
            .collect();
        self.0.store(Arc::new(on));
    }

    /// Those of one camera from now on.
    pub(crate) fn put(&self, camera: &CameraId, privacy: &Privacy) {
        self.0.rcu(|old| {
            let mut new = HashMap::clone(old);
            if privacy.is_on() {
                new.insert(camera.clone(), Arc::new(privacy.clone()));
            } else {
                new.remove(camera);
            }
            new
        });
    }

    /// What is masked of a camera; `None` when nothing is.
    #[must_use]
    pub fn of(&self, camera: &CameraId) -> Option<Arc<Privacy>> {
        self.0.load().get(camera).cloned()
    }

    /// Whether a camera's segments are to be encoded again by themselves because of its masks.
    #[must_use]
    pub fn transcodes(&self, camera: &CameraId) -> bool {
        self.0.load().get(camera).is_some_and(|p| p.transcode)
    }

    /// Whether any camera's are.
    #[must_use]
    pub fn transcodes_any(&self) -> bool {
        self.0.load().values().any(|p| p.transcode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn styles() {
        for (text, style) in [
            ("black", MaskStyle::Solid([0; 3])),
            ("#40ff01", MaskStyle::Solid([0x40, 0xff, 1])),
            ("pixelate", MaskStyle::Pixelate),
        ] {
            assert_eq!(text.parse::<MaskStyle>().unwrap(), style);
            assert_eq!(style.to_string(), text);
        }
        for bad in ["", "blur", "#fff", "#gggggg", "#+00000", "red"] {
            assert!(bad.parse::<MaskStyle>().is_err(), "{bad}");
        }
    }

    #[test]
    fn colours() {
        let of = |rgb, height, full| MaskStyle::Solid(rgb).yuv(height, full).unwrap();
        assert_eq!(of([0; 3], 1080, false), [16, 128, 128]);
        assert_eq!(of([0; 3], 480, true), [0, 128, 128]);
        assert_eq!(of([255; 3], 1080, false), [235, 128, 128]);
        assert_eq!(of([255; 3], 1080, true), [255, 128, 128]);
        assert_eq!(of([255, 0, 0], 480, false), [81, 90, 240]);
        assert_eq!(of([0, 0, 255], 1080, true)[1], 255);
        assert_eq!(MaskStyle::Pixelate.yuv(480, false), None);
    }

    #[test]
    fn what_is_remembered_is_one_way_of_writing() {
        let masks = Privacy::parse_masks(" a:  0,0 0.5,0   0.5,0.5;\n\n b : 0.5,0.5 1,0.5 1,1;").unwrap();
        let privacy = Privacy::new(masks, MaskStyle::Pixelate);
        assert_eq!(
            privacy.text(),
            "pixelate | a: 0,0 0.5,0 0.5,0.5; b: 0.5,0.5 1,0.5 1,1"
        );
        assert!(privacy.is_on() && !Privacy::default().is_on());
        let error = Privacy::parse_masks("a @50: 0,0 1,0 1,1")
            .unwrap_err()
            .to_string();
        assert!(error.contains("sensitivity"), "{error}");
        let corner = "0.123456,0.654321 ".repeat(64);
        let many: String = (0..8).map(|n| format!("m{n}: {corner};")).collect();
        let error = Privacy::parse_masks(&many).unwrap_err().to_string();
        assert!(error.contains("more than 4096"), "{error}");
    }

    #[test]
    fn the_book_knows_the_cameras_with_masks() {
        let id = |s| CameraId::new(s).unwrap();
        let book = PrivacyBook::default();
        let mut on = Privacy::new(
            Privacy::parse_masks("a: 0,0 1,0 1,1").unwrap(),
            MaskStyle::default(),
        );
        book.set([(id("a"), on.clone()), (id("b"), Privacy::default())]);
        let other = book.clone();
        assert!(other.of(&id("a")).is_some() && other.of(&id("b")).is_none());
        assert!(!other.transcodes_any());
        on.transcode = true;
        book.set([(id("a"), on)]);
        assert!(other.transcodes(&id("a")) && !other.transcodes(&id("b")) && other.transcodes_any());
    }
}
