//! RTSP over TCP for many cameras in few threads: sockets, TLS and time around [`crate::rtsp`], and the element that
//! hands its access units on.
//!
//! A [`Reactor`] serves the connections of all cameras of a recorder. While a camera only records, nobody needs its
//! frames at once: its socket is then read on a tick that all cameras share, in large pieces, and what came goes on as
//! one batch. Somebody who looks ([`Demand`]) has it read as soon as something is there.
//!
//! | file | |
//! |---|---|
//! | `reactor` | the threads, their inboxes, the tick |
//! | `session` | one connection: bytes in, events out, how it ends |
//! | `link` | name lookup, connect, socket buffers, the bytes with or without TLS |
//! | `tls` | what certificate is taken, and why one is not |
//! | `element` | `nvrrtspsrc` |
//! | `feeder` | from events to buffers on its pads |

mod caps;
mod declared;
mod demand;
mod element;
mod failure;
mod feeder;
mod link;
mod reactor;
mod session;
#[cfg(test)]
mod tests;
mod tls;

pub(in crate::gst) use caps::audio as audio_caps;
pub(crate) use demand::{Demand, Wanting};
pub(in crate::gst) use element::{NvrRtspSrc, register};
pub(in crate::gst) use failure::{Failure, FailureKind};
pub use reactor::Reactor;
