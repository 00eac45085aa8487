//! Live pictures without encoding them again: who watches which stream, frames for each viewer across reconnects of the
//! camera, and the packings that browsers take (fragmented MP4 in small chunks, JPEG pictures).
//!
//! A camera's frames are kept once, in the tap of its run: the present group of pictures, for those who begin to watch.
//! Each viewer has a bounded queue of references to frames. One that is too slow loses whole groups of pictures and is
//! told how many frames; neither the recorder nor another viewer feels it.

pub mod fmp4;
mod hls;
mod info;
mod pictures;
mod place;
mod start;
mod viewer;
mod viewing;

pub use hls::Hls;
pub use info::LiveInfo;
pub use pictures::{LivePicture, PictureRequest, PictureViewer};
pub(crate) use start::{Start, start_of};
pub use viewer::{Live, Viewer};
pub use viewing::Viewers;
pub(crate) use viewing::{Kept, Viewing};

/// Which of a camera's streams.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum StreamKind {
    /// The one that is recorded.
    #[default]
    Main,
    /// The smaller one; of a camera that has none, the main one.
    Sub,
}

impl StreamKind {
    /// As in addresses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Sub => "sub",
        }
    }
}

impl std::str::FromStr for StreamKind {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "main" => Ok(Self::Main),
            "sub" => Ok(Self::Sub),
            _ => Err(crate::Error::new(
                crate::ErrorKind::InvalidArgument,
                format!("there is no stream {text:?}"),
            )
            .with_hint("write main or sub")),
        }
    }
}
