//! Free TCP ports on the loopback interface.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the range from which the kernel takes ports of outgoing connections (32768 on), so that a camera that died
/// finds its port still free when it comes back.
const FIRST: u32 = 18_000;
const COUNT: u32 = 14_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A TCP port on 127.0.0.1 on which nobody listens now; tests of one process get different ones.
///
/// # Errors
/// When every port of the range is taken.
pub fn free_port() -> anyhow::Result<u16> {
    let start = std::process::id().wrapping_mul(7919);
    for _ in 0..COUNT {
        let n = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(FIRST + n)?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    anyhow::bail!("no free TCP port between {FIRST} and {}", FIRST + COUNT)
}
