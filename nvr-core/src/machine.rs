//! What this process and its machine use: processor, memory, load, disks. Read from `/proc`; the parsers are pure.

use std::path::Path;

/// Figures of one instant. What cannot be read is 0 or `None`.
#[derive(Clone, Copy, PartialEq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct MachineSample {
    /// Processor time of this process, in ticks of the kernel.
    pub process_ticks: u64,
    /// Time in which processors worked, all of them together.
    pub busy_ticks: u64,
    /// All time of all processors.
    pub total_ticks: u64,
    /// Processors.
    pub cores: u32,
    /// Threads of this process.
    pub threads: u32,
    /// Memory of this process that is resident.
    pub resident_bytes: u64,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// What of it is there for programs.
    pub memory_available_bytes: u64,
    /// Load average of 1, 5 and 15 minutes.
    pub load: Option<[f64; 3]>,
    /// Since the machine started.
    pub uptime_seconds: f64,
}

impl MachineSample {
    /// Reads them. Blocks for a moment.
    #[must_use]
    pub fn take() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (busy_ticks, total_ticks, cores) = cpu(&read("/proc/stat"));
        let (status, memory) = (read("/proc/self/status"), read("/proc/meminfo"));
        Self {
            process_ticks: process_ticks(&read("/proc/self/stat")).unwrap_or(0),
            busy_ticks,
            total_ticks,
            cores,
            threads: number(&status, "Threads:")
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(0),
            resident_bytes: kibibytes(&status, "VmRSS:"),
            memory_bytes: kibibytes(&memory, "MemTotal:"),
            memory_available_bytes: kibibytes(&memory, "MemAvailable:"),
            load: load(&read("/proc/loadavg")),
            uptime_seconds: first(&read("/proc/uptime")).unwrap_or(0.0),
        }
    }

    /// Processor use between an earlier sample and this one: of this process, where 100 is one processor, and of the
    /// machine, where 100 is all of them. `None` when no time went by.
    #[must_use]
    pub fn use_since(&self, before: &Self) -> Option<(f64, f64)> {
        let total = self
            .total_ticks
            .checked_sub(before.total_ticks)
            .filter(|n| *n > 0)? as f64;
        let process = self.process_ticks.saturating_sub(before.process_ticks) as f64;
        let busy = self.busy_ticks.saturating_sub(before.busy_ticks) as f64;
        let one = f64::from(self.cores.max(1));
        Some((process / total * one * 100.0, (busy / total * 100.0).min(100.0)))
    }
}

/// Size of the file system of a path and what of it is available, in bytes; `None` when it cannot be asked. Blocks.
#[must_use]
pub fn disk(path: &Path) -> Option<(u64, u64)> {
    let space = rustix::fs::statvfs(path).ok()?;
    Some((
        space.f_blocks.saturating_mul(space.f_frsize),
        space.f_bavail.saturating_mul(space.f_frsize),
    ))
}

/// Whether something keeps the machine's clock right, as the kernel knows it (adjtimex(2)).
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ClockSync {
    /// A time service corrected it lately.
    pub synchronised: bool,
    /// By how much it may be wrong at most, in microseconds.
    pub most_error_us: u64,
}

/// Asks the kernel; `None` when it does not say.
#[must_use]
pub fn clock_sync() -> Option<ClockSync> {
    // SAFETY: zeroes are a valid `timex`, and with no mode set it is only written to.
    let (state, time) = unsafe {
        let mut time: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut time), time)
    };
    (state >= 0).then(|| ClockSync {
        synchronised: state != libc::TIME_ERROR && time.status & libc::STA_UNSYNC == 0,
        most_error_us: u64::try_from(time.maxerror).unwrap_or(0),
    })
}

/// User and system time (proc(5)): fields 14 and 15, counted behind the name, which may hold anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()?.saturating_add(next()?))
}

/// Busy and all ticks, and the number of processors. Guest time is within user time.
fn cpu(stat: &str) -> (u64, u64, u32) {
    let mut lines = stat.lines().take_while(|l| l.starts_with("cpu"));
    let first = lines.next().unwrap_or_default();
    let ticks: Vec<u64> = first
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|n| n.parse().ok())
        .collect();
    let total = ticks.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
    let idle = ticks
        .iter()
        .skip(3)
        .take(2)
        .fold(0u64, |sum, n| sum.saturating_add(*n));
    (
        total - idle.min(total),
        total,
        u32::try_from(lines.count()).unwrap_or(u32::MAX),
    )
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn kibibytes(text: &str, name: &str) -> u64 {
    number(text, name).unwrap_or(0).saturating_mul(1024)
}

fn first(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

fn load(text: &str) -> Option<[f64; 3]> {
    let mut numbers = text.split_whitespace().map_while(|n| n.parse().ok());
    Some([numbers.next()?, numbers.next()?, numbers.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel() {
        let stat = "7 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 100 23 0 0 20 0 9 0 1";
        assert_eq!(process_ticks(stat), Some(123));
        let stat = "cpu  10 1 4 80 5 0 0 0 3 0\ncpu0 5 0\ncpu1 5 1\nintr 1\n";
        assert_eq!(cpu(stat), (15, 100, 2));
        assert_eq!(kibibytes("MemTotal:       2048 kB\nX: 1\n", "MemTotal:"), 2 << 20);
        assert_eq!(load("0.10 1.5 2 1/200 99\n"), Some([0.1, 1.5, 2.0]));
        for rubbish in ["", ")", "cpu", "x\n"] {
            let _ = (
                process_ticks(rubbish),
                cpu(rubbish),
                load(rubbish),
                kibibytes(rubbish, "X:"),
            );
        }
    }

    #[test]
    fn use_is_what_lies_between() {
        let before = MachineSample {
            process_ticks: 10,
            busy_ticks: 50,
            total_ticks: 100,
            ..MachineSample::default()
        };
        let now = MachineSample {
            process_ticks: 60,
            busy_ticks: 150,
            total_ticks: 300,
            cores: 4,
            ..before
        };
        assert_eq!(now.use_since(&before), Some((100.0, 50.0)));
        assert_eq!(now.use_since(&now), None);
        assert_eq!(before.use_since(&now), None);
    }

    #[test]
    fn this_machine_can_be_read() {
        let now = MachineSample::take();
        assert!(
            now.cores > 0 && now.threads > 0 && now.resident_bytes > 0,
            "{now:?}"
        );
        assert!(now.memory_available_bytes <= now.memory_bytes && now.load.is_some());
        let (total, available) = disk(Path::new("/")).unwrap();
        assert!(total >= available && disk(Path::new("/nonexistent")).is_none());
    }
}
