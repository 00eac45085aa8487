//! Networks of a test's own: network namespaces, joined by pairs of virtual cards. They take root; tests skip without it.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::disk::{run, skipped};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A machine by its network: interfaces, addresses, routes and multicast of its own. Goes when dropped, with its cards.
#[derive(Debug)]
pub struct Machine {
    name: String,
}

impl Machine {
    /// A machine without any card but the loopback; `None` where it is not allowed to make one.
    ///
    /// # Panics
    /// When it may be made and is not, or may not and `NVR_TESTS_MUST_RUN` is set.
    #[must_use]
    pub fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            skipped("a network of its own takes root");
            return None;
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nvr-{}-{number}", std::process::id());
        if !run("ip", &["netns", "add", &name]) {
            // A container may be root and have no right to it.
            skipped("this root may not make network namespaces");
            return None;
        }
        let machine = Self { name };
        machine.ip(&["link", "set", "lo", "up"]);
        Some(machine)
    }

    /// Changes its network by `ip`.
    ///
    /// # Panics
    /// When that fails.
    pub fn ip(&self, args: &[&str]) {
        let args: Vec<&str> = ["-n", &self.name]
            .into_iter()
            .chain(args.iter().copied())
            .collect();
        assert!(run("ip", &args), "ip {args:?}");
    }

    /// Joins it to another machine by a cable: `net` is a network of 256 addresses (`10.77.1`), in which this one has
    /// number 1 and the other number 2.
    ///
    /// # Panics
    /// When that fails.
    pub fn join(&self, other: &Self, net: &str) {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (ours, theirs) = (format!("a{number}"), format!("b{number}"));
        self.ip(&[
            "link",
            "add",
            &ours,
            "type",
            "veth",
            "peer",
            "name",
            &theirs,
            "netns",
            &other.name,
        ]);
        for (machine, card, host) in [(self, &ours, 1), (other, &theirs, 2)] {
            machine.ip(&["addr", "add", &format!("{net}.{host}/24"), "dev", card]);
            machine.ip(&["link", "set", card, "up"]);
        }
    }

    /// A program on this machine.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Its ends of cables go with it, and so do the other ends.
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}
