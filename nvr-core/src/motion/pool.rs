//! The threads that decode for motion: few for all cameras, and everybody else goes first.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};

use tokio::sync::oneshot;

use crate::priority::{IoClass, Priority, thread_cpu_ns};

/// Most threads, however many processors there are.
const MOST_THREADS: usize = 4;
/// Motion that is noticed a moment later is better than a frame that is lost.
const PRIORITY: Priority = Priority {
    nice: 10,
    io: IoClass::BestEffort,
};

type Job = Box<dyn FnOnce() + Send>;

/// Starts its threads with the first job; they end when it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Pool(OnceLock<mpsc::Sender<Job>>);

impl Pool {
    /// Does something in one of the threads; gives what came of it, with the processor time that it took in nanoseconds.
    /// `None` when it panicked, or there are no threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<(T, u64)> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move || {
            let before = thread_cpu_ns();
            if let Ok(out) = catch_unwind(AssertUnwindSafe(work)) {
                let _ = reply.send((out, thread_cpu_ns().saturating_sub(before)));
            } else {
                tracing::error!("looking for motion panicked");
            }
        });
        self.0.get_or_init(start).send(job).ok()?;
        answer.await.ok()
    }
}

fn start() -> mpsc::Sender<Job> {
    let (jobs, waiting) = mpsc::channel::<Job>();
    let waiting = Arc::new(Mutex::new(waiting));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..(processors / 2).clamp(1, MOST_THREADS) {
        let waiting = Arc::clone(&waiting);
        let work = move || {
            PRIORITY.lower_this_thread();
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                match next {
                    Ok(job) => job(),
                    Err(_) => return,
                }
            }
        };
        if let Err(e) = std::thread::Builder::new().name("nvr-motion".into()).spawn(work) {
            tracing::error!(error = %e, "cannot start a thread that looks for motion");
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_one_job() {
        let pool = Pool::default();
        assert_eq!(pool.run(|| 7).await.map(|(n, _)| n), Some(7));
        assert_eq!(pool.run(|| -> i32 { panic!("a test") }).await, None);
        let (name, _) = pool
            .run(|| std::thread::current().name().map(str::to_owned))
            .await
            .unwrap();
        assert_eq!(name.as_deref(), Some("nvr-motion"));
    }
}
