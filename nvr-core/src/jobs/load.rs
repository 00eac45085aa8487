//! Whether heavy jobs have to make way. Pure but for [`Load::of_machine`].

/// How much machine and recorder have to do.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Load {
    /// Load average of the last minute for each core, in percent; `None` when the system does not say.
    pub per_core_percent: Option<u32>,
    /// Bytes of the camera that is furthest behind that wait for the disk.
    pub backlog_bytes: u64,
}

impl Load {
    /// The load average as the system tells it (`/proc/loadavg`), without a backlog.
    #[must_use]
    pub fn of_machine() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            per_core_percent: percent(&text, cores),
            backlog_bytes: 0,
        }
    }
}

fn percent(loadavg: &str, cores: usize) -> Option<u32> {
    let minute: f64 = loadavg.split_whitespace().next()?.parse().ok()?;
    let percent = minute * 100.0 / cores.max(1) as f64;
    // A number of tasks: far from the end of the type, and casts saturate.
    percent.is_finite().then_some(percent as u32)
}

/// What is too much; 0 stands for no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadBounds {
    /// Load average for each core, in percent.
    pub per_core_percent: u32,
    /// Bytes that wait for the disk.
    pub backlog_bytes: u64,
}

/// Remembers whether it is too much: what passed a bound is over only when it is well below again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadGate {
    load: bool,
    backlog: bool,
}

impl LoadGate {
    /// Takes a new look; true while it is too much.
    pub fn look(&mut self, load: Load, bounds: LoadBounds) -> bool {
        let now = u64::from(load.per_core_percent.unwrap_or(0));
        self.load = passes(self.load, now, u64::from(bounds.per_core_percent));
        self.backlog = passes(self.backlog, load.backlog_bytes, bounds.backlog_bytes);
        self.is_over()
    }

    /// Whether the load average was too high at the last look.
    #[must_use]
    pub const fn load_is_over(self) -> bool {
        self.load
    }

    /// Whether too much waited for the disk at the last look.
    #[must_use]
    pub const fn backlog_is_over(self) -> bool {
        self.backlog
    }

    /// What the last look brought.
    #[must_use]
    pub const fn is_over(self) -> bool {
        self.load || self.backlog
    }
}

/// Above the bound, or once that it was, above four fifths of it.
const fn passes(before: bool, now: u64, bound: u64) -> bool {
    bound > 0 && now > if before { bound / 5 * 4 } else { bound }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_averages() {
        assert_eq!(percent("3.00 2.00 1.00 1/234 5678\n", 2), Some(150));
        assert_eq!(percent("0.00", 0), Some(0));
        for bad in ["", "x", "NaN", "inf"] {
            assert_eq!(percent(bad, 4), None, "{bad}");
        }
    }

    #[test]
    fn a_bound_is_left_well_below_it() {
        let bounds = LoadBounds {
            per_core_percent: 100,
            backlog_bytes: 1000,
        };
        let at = |percent, backlog_bytes| Load {
            per_core_percent: percent,
            backlog_bytes,
        };
        let mut gate = LoadGate::default();
        for (load, over) in [
            (at(Some(100), 1000), false),
            (at(Some(101), 0), true),
            (at(Some(81), 0), true),
            (at(Some(80), 0), false),
            (at(None, 1001), true),
            (at(Some(0), 801), true),
            (at(Some(0), 800), false),
        ] {
            assert_eq!(gate.look(load, bounds), over, "{load:?}");
            assert_eq!(gate.is_over(), over);
        }
        assert!(
            !gate.look(at(Some(u32::MAX), u64::MAX), LoadBounds::default()),
            "no bounds"
        );
    }
}
