//! WebRTC for those who watch: one port for all viewers, UDP and TCP, ICE-lite.
//!
//! The gateway owns the sockets and knows by user name of ICE (RFC 8445, 7.3) and by address which packet belongs to
//! whom; each viewer is a task around a machine (`str0m`) that has no sockets and no clock.

mod clock;
mod gateway;
mod nals;
mod session;
mod tcp;

pub(crate) use gateway::Gateway;
pub(crate) use session::Refusal;
