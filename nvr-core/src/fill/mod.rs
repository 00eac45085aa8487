//! Gaps in the recording, filled from the camera's own card (ONVIF Profile G).
//!
//! Pure: what is missing and may be fetched (`plan`), pictures of a replay cut to a hole (`cut`). The rest asks the
//! camera, reads the replay and writes segments like those of the recorder, without a pipeline: pictures and AAC are copied
//! as they come, other sound becomes AAC (`sound`).

mod choose;
mod cut;
mod kind;
mod plan;
mod replay;
mod sound;
mod work;
mod write;

pub(crate) use kind::Wanted;
pub use kind::{FillParams, Filling, KIND};
