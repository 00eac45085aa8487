//! `nvr transcode`: has a stretch of footage encoded again as H.265.

use clap::Args;
use nvr_core::jobs::JobId;
use serde::Serialize;

use super::jobs;
use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;
use crate::queue::Queue;
use crate::window::Window;

#[derive(Args, Debug)]
pub struct TranscodeArgs {
    /// Camera.
    camera: String,
    #[command(flatten)]
    window: Window,
    /// Do not wait for the end.
    #[arg(long)]
    background: bool,
}

#[derive(Serialize, Debug)]
struct Entered {
    jobs: Vec<JobId>,
}

pub async fn run(global: &Global, args: &TranscodeArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let camera = asked.camera(&args.camera).await?;
    let range = args.window.range(asked.now, &asked.zone, None)?;
    let wanted = asked.archive.transcode_jobs(&camera, range).await?;
    let queue = Queue::find(asked.config).await;
    let ids = queue.transcode(&camera, range, wanted).await?;
    let entered = Entered { jobs: ids };
    if args.background || !queue.is_served() {
        let n = entered.jobs.len();
        output.result(&entered, || format!("{n} segments wait to be encoded again"))?;
        if !queue.is_served() {
            output.note("no recorder runs; the jobs wait for one");
        }
        return Ok(());
    }
    jobs::watch(&queue, &entered.jobs, output).await?;
    for id in &entered.jobs {
        let job = queue.get(*id).await?;
        output.note(&format!("job {id}: {}", job.message));
    }
    Ok(())
}
