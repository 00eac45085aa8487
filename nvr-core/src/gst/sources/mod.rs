//! One bin per kind of source.

use super::source_bin::{OnTracks, SourceBin};
use crate::error::{Error, ErrorKind, Result};
use crate::source::SourceSpec;

/// Builds the bin of a source; see [`SourceBin`] for what it promises.
pub(crate) fn build(spec: &SourceSpec, _on_tracks: OnTracks) -> Result<SourceBin> {
    Err(Error::new(
        ErrorKind::Unsupported,
        format!("no source for {spec} yet"),
    ))
}
