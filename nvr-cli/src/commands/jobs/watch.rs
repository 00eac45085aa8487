//! `nvr jobs watch`: bars of what runs.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::jobs::{JobId, JobQuery, JobState};

use super::lines;
use crate::exit::Failure;
use crate::output::Output;
use crate::queue::{JobView, Queue};

/// How often the recorder is asked where it tells nothing by itself.
const LOOK: Duration = Duration::from_millis(300);
/// The same where it does: it is asked when something changes, and now and then for what is no change.
const LONG_LOOK: Duration = Duration::from_secs(5);
/// Bars at once.
const MOST: usize = 100;

/// Follows some jobs until they are over, or all until none waits or runs. With `--json` each change is a line.
pub async fn watch(queue: &Queue, ids: &[JobId], output: Output) -> Result<(), Failure> {
    if !queue.is_served() {
        let e = Error::new(ErrorKind::Unavailable, "no recorder runs, so nothing moves");
        return Err(e
            .with_hint("start it with `nvr run`; `nvr jobs` lists what waits")
            .into());
    }
    // Before the first look, so that nothing is missed between the two.
    let mut changes = queue.changes().await;
    let bars = output.bars();
    let mut shown: BTreeMap<JobId, (ProgressBar, JobView)> = BTreeMap::new();
    let mut failed = None;
    let mut seen = false;
    loop {
        let mut now = Vec::new();
        if ids.is_empty() {
            let query = JobQuery {
                states: vec![JobState::Queued, JobState::Running],
                ..JobQuery::default()
            };
            now = queue.list(query, MOST).await?.0;
            // Those that ended since.
            let ended: Vec<JobId> = shown
                .keys()
                .copied()
                .filter(|id| !now.iter().any(|j| j.id == *id))
                .collect();
            for id in ended {
                now.extend(queue.get(id).await.ok());
            }
        } else {
            for id in ids {
                now.push(queue.get(*id).await?);
            }
        }
        let mut left = 0;
        seen |= !now.is_empty();
        for job in now {
            left += usize::from(!job.state.is_over());
            let before = shown.get(&job.id);
            let is_news = before.is_none_or(|(_, b)| {
                (b.state, b.progress.to_bits(), &b.message)
                    != (job.state, job.progress.to_bits(), &job.message)
            });
            if !is_news {
                continue;
            }
            if output.json() {
                output.json_line(&job)?;
            }
            let bar = before.map_or_else(|| bar(&bars, output, &job), |(bar, _)| bar.clone());
            draw(&bar, &job);
            if job.state.is_over() {
                bar.finish_and_clear();
                if !output.json() {
                    bars.suspend(|| output.text(&lines(std::slice::from_ref(&job))))?;
                }
                if job.state != JobState::Done {
                    failed.get_or_insert(job.state);
                }
                if ids.is_empty() {
                    shown.remove(&job.id);
                    continue;
                }
            }
            shown.insert(job.id, (bar, job));
        }
        if left == 0 {
            break;
        }
        match &mut changes {
            Some(events) => match tokio::time::timeout(LONG_LOOK, events.next()).await {
                Ok(true) | Err(_) => {}
                Ok(false) => changes = None,
            },
            None => tokio::time::sleep(LOOK).await,
        }
    }
    if !seen {
        output.note("no job waits or runs");
    }
    match failed {
        // Told already.
        Some(_) if !ids.is_empty() => Err(Failure::Told(ErrorKind::Conflict)),
        _ => Ok(()),
    }
}

/// Follows one job that was just entered.
pub async fn follow(queue: &Queue, id: JobId, output: Output) -> Result<(), Failure> {
    watch(queue, &[id], output).await
}

fn bar(bars: &MultiProgress, output: Output, job: &JobView) -> ProgressBar {
    let bar = bars.add(output.share(format!("{} {}", job.id, job.kind)));
    bar.enable_steady_tick(Duration::from_millis(500));
    bar
}

fn draw(bar: &ProgressBar, job: &JobView) {
    let words = match job.state {
        JobState::Running => job.message.clone(),
        state if job.message.is_empty() => state.as_str().to_owned(),
        state => format!("{}: {}", state.as_str(), job.message),
    };
    bar.set_position((job.progress * 1000.0) as u64);
    bar.set_message(words);
}
