//! Which jobs start and which make way: a function of what is queued, what runs, the limits and the moment.
//!
//! - No kind runs more than its limit, all kinds together no more than theirs.
//! - Of the jobs that may start, the one of the lowest [rank](crate::store::rank) is the first, whatever its kind: each
//!   point of priority is worth an hour of waiting. So nobody waits for ever: what is entered later than a job by
//!   more than the difference of their priorities in hours comes after it. Kinds that want the newest first are the
//!   exception, among their own jobs.
//! - Outside of the windows of a kind only what was asked for by hand starts, and what runs is interrupted unless its
//!   kind brings it to its end.
//! - While the machine is overloaded, kinds that yield neither start nor run.

use super::context::StopReason;
use super::kind::KindLimits;
use super::load::LoadGate;
use crate::ids::JobId;
use crate::store::Candidate;
use crate::time::Timestamp;

/// A kind with what waits for it.
#[derive(Clone, PartialEq, Debug)]
pub struct KindQueue {
    /// Its limits.
    pub limits: KindLimits,
    /// Its queued jobs, those to be started first in front; at least as many as can start.
    pub queued: Vec<Candidate>,
    /// Its jobs that run.
    pub running: Vec<Running>,
}

/// A job that runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    /// Its id.
    pub id: JobId,
    /// Whether windows do not count.
    pub anytime: bool,
    /// Whether it was asked to stop already.
    pub stopping: bool,
}

/// Everything that decides.
#[derive(Clone, PartialEq, Debug)]
pub struct Situation {
    /// Now.
    pub now: Timestamp,
    /// Jobs of all kinds at once.
    pub most_running: usize,
    /// What is too much now.
    pub load: LoadGate,
    /// All kinds.
    pub kinds: Vec<KindQueue>,
}

/// What is to be done.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Decision {
    /// To be started, with the number of their kind in [`Situation::kinds`], in this order.
    pub start: Vec<(usize, JobId)>,
    /// To be asked to stop, and why.
    pub stop: Vec<(JobId, StopReason)>,
    /// When the limits alone may bring another decision (a window opens or closes, a hold ends).
    pub look_again: Option<Timestamp>,
}

/// Decides.
#[must_use]
pub fn decide(situation: &Situation) -> Decision {
    let now = situation.now;
    let mut decision = Decision::default();
    let mut slots = situation
        .most_running
        .saturating_sub(situation.kinds.iter().map(|k| k.running.len()).sum());
    let mut free: Vec<usize> = Vec::with_capacity(situation.kinds.len());
    for kind in &situation.kinds {
        for job in kind.running.iter().filter(|j| !j.stopping) {
            if let Some(reason) = must_stop(&kind.limits, *job, situation) {
                decision.stop.push((job.id, reason));
            }
        }
        free.push(kind.limits.most_running.saturating_sub(kind.running.len()));
        let moments = [kind.limits.windows.next_change(now), kind.limits.hold_until];
        for moment in moments.into_iter().flatten().filter(|m| *m > now) {
            decision.look_again = Some(decision.look_again.map_or(moment, |m| m.min(moment)));
        }
    }
    // The heads of the lines; each kind's own order stands.
    let mut heads: Vec<_> = situation
        .kinds
        .iter()
        .map(|kind| {
            kind.queued
                .iter()
                .filter(|job| may_start(&kind.limits, job, situation))
                .peekable()
        })
        .collect();
    while slots > 0 {
        let first = heads
            .iter_mut()
            .enumerate()
            .filter(|(n, _)| free[*n] > 0)
            .filter_map(|(n, line)| line.peek().map(|job| (job.rank_ns, job.id, n)))
            .min();
        let Some((_, id, n)) = first else { break };
        decision.start.push((n, id));
        heads[n].next();
        free[n] -= 1;
        slots -= 1;
    }
    decision
}

/// Whether a kind makes way now.
pub(super) const fn makes_way(limits: &KindLimits, load: LoadGate) -> bool {
    limits.yields && (load.backlog_is_over() || limits.minds_load && load.load_is_over())
}

fn must_stop(limits: &KindLimits, job: Running, situation: &Situation) -> Option<StopReason> {
    if !limits.enabled {
        return Some(StopReason::Disabled);
    }
    if makes_way(limits, situation.load) {
        return Some(StopReason::Overload);
    }
    let outside = !job.anytime && !limits.finish_started && !limits.windows.contains(situation.now);
    outside.then_some(StopReason::WindowClosed)
}

fn may_start(limits: &KindLimits, job: &Candidate, situation: &Situation) -> bool {
    limits.enabled
        && !makes_way(limits, situation.load)
        && limits.hold_until.is_none_or(|t| t <= situation.now)
        && job.not_before <= situation.now
        && (job.anytime || limits.windows.contains(situation.now))
}
