//! How much of the machine a thread may take: nice value and I/O class of the calling thread.
//!
//! Linux keeps both for each thread, and a thread that is started later inherits them.

use std::fmt;

/// How a thread that waits for the disk is served (Linux, `ioprio_set(2)`); not every I/O scheduler minds it.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Debug,
    Default,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum IoClass {
    /// Only when nobody else wants the disk.
    #[default]
    Idle,
    /// As everybody, but last of them.
    BestEffort,
}

impl fmt::Display for IoClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Idle => "idle",
            Self::BestEffort => "best-effort",
        })
    }
}

/// What a thread that works in the background may take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Priority {
    /// Nice value, 0 to 19: the higher, the less of the processor where others want it too.
    pub nice: u8,
    /// Class at the disk.
    pub io: IoClass,
}

impl Default for Priority {
    fn default() -> Self {
        Self {
            nice: 19,
            io: IoClass::Idle,
        }
    }
}

impl Priority {
    /// Lowers the calling thread. It cannot be raised again without privileges, so this is for threads that end
    /// with their work.
    ///
    /// Where the system refuses, the thread goes on as it is: it is a favour to others, not a condition.
    pub fn lower_this_thread(self) {
        if let Err(e) = rustix::process::setpriority_process(None, i32::from(self.nice.min(19))) {
            tracing::debug!(error = %e, "cannot lower a thread's priority");
        }
        if let Err(e) = set_io(self.io) {
            tracing::debug!(error = %e, "cannot lower a thread's I/O class");
        }
    }
}

/// Tells the scheduler whether the calling thread may wait a moment when it wakes (Linux, `SCHED_BATCH`): it then takes
/// the processor from nobody, so that threads which hand work to each other switch less often. No privilege is needed;
/// where it is refused, nothing changes.
pub(crate) fn batch_this_thread(batch: bool) {
    let policy = if batch {
        libc::SCHED_BATCH
    } else {
        libc::SCHED_OTHER
    };
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads one structure, which is ours; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const priority) };
    if result != 0 {
        let error = std::io::Error::last_os_error();
        tracing::debug!(%error, batch, "cannot change a thread's scheduling policy");
    }
}

fn set_io(class: IoClass) -> std::io::Result<()> {
    // From linux/ioprio.h.
    const WHO_PROCESS: libc::c_long = 1;
    const CLASS_SHIFT: u32 = 13;
    let value: libc::c_long = match class {
        IoClass::BestEffort => (2 << CLASS_SHIFT) | 7,
        IoClass::Idle => 3 << CLASS_SHIFT,
    };
    // SAFETY: the call takes three numbers and touches no memory of ours; 0 names the calling thread.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0 as libc::c_long, value) };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// Processor time of all threads of this process so far, nanoseconds; 0 where it cannot be told.
#[must_use]
pub fn process_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Processor time of the calling thread so far, nanoseconds; 0 where it cannot be told.
pub(crate) fn thread_cpu_ns() -> u64 {
    cpu_ns(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn cpu_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the call writes one timespec, which is ours.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if result != 0 {
        return 0;
    }
    u64::try_from(time.tv_sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Nice value of the calling thread.
#[cfg(test)]
pub(crate) fn nice_of_this_thread() -> Option<i32> {
    rustix::process::getpriority_process(None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_a_batch_thread_for_a_while() {
        // SAFETY: the call takes a number and touches no memory of ours.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        std::thread::spawn(move || {
            assert_eq!(policy(), libc::SCHED_OTHER);
            batch_this_thread(true);
            assert_eq!(policy(), libc::SCHED_BATCH);
            batch_this_thread(false);
            assert_eq!(policy(), libc::SCHED_OTHER);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_thread_is_lowered_alone_and_its_children_inherit() {
        let before = nice_of_this_thread().unwrap();
        let (own, child) = std::thread::spawn(|| {
            let nice = 19;
            Priority {
                nice,
                io: IoClass::Idle,
            }
            .lower_this_thread();
            let child = std::thread::spawn(nice_of_this_thread).join().unwrap();
            (nice_of_this_thread(), child)
        })
        .join()
        .unwrap();
        assert_eq!((own, child), (Some(19), Some(19)));
        assert_eq!(nice_of_this_thread(), Some(before));
    }
}
