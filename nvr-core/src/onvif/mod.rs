//! ONVIF: what cameras of many makers have in common besides RTSP.

mod device;
pub mod discovery;
mod events;
mod ptz;
mod recordings;
mod soap;
mod streams;
mod xml;

pub use device::{Access, Device, DeviceInfo};
pub use events::{Notice, Subscription};
pub use ptz::{HOLD, Preset, Ptz, PtzAbilities, Vector};
pub(crate) use recordings::CardRecording;
pub use streams::{Offer, Profile, offer};
