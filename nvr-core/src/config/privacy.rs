//! The keys of `[[cameras]]` that begin with `privacy`: what of its picture nobody is to see.

use super::camera::RawCamera;
use super::reader::Reader;
use crate::privacy::Privacy;
use crate::segment::Container;

/// Reads the keys of a camera.
pub(super) fn read(reader: &mut Reader<'_, '_>, raw: &RawCamera, container: Container) -> Privacy {
    let mut out = Privacy::default();
    if let Some(at) = &raw.privacy_masks {
        match Privacy::parse_masks(at.value.as_str()) {
            Ok(masks) => out.masks = masks,
            Err(e) => {
                // A text from a variable is not shown.
                let message = if at.secret {
                    "`privacy_masks`: not usable (not shown, as it comes from a variable)".to_owned()
                } else {
                    format!("`privacy_masks`: {e}")
                };
                let hint = Some(
                    "write for example \"window: 0.1,0.2 0.4,0.2 0.4,0.9; garden: 0,0.5 1,0.5 1,1 0,1\""
                        .to_owned(),
                );
                reader.problems.error(&at.span, &at.key, message, hint);
            }
        }
    }
    if let Some(at) = &raw.privacy_style {
        match at.value.as_str().parse() {
            Ok(style) => out.style = style,
            Err(e) => {
                let hint = Some("write privacy_style = \"black\"".to_owned());
                reader
                    .problems
                    .error(&at.span, &at.key, format!("`privacy_style`: {e}"), hint);
            }
        }
    }
    if let Some(at) = &raw.privacy_transcode {
        out.transcode = at.value;
        if out.transcode && !out.is_on() {
            reader.problems.warn(
                &at.span,
                &at.key,
                "`privacy_transcode`: without `privacy_masks` there is nothing to burn in",
                Some("draw masks, or leave it out".to_owned()),
            );
        }
        if out.transcode && out.is_on() && container != Container::Fmp4 {
            reader.problems.error(
                &at.span,
                &at.key,
                "`privacy_transcode`: segments of a plain container are not encoded again",
                Some("write container = \"fmp4\"".to_owned()),
            );
        }
    }
    out
}
