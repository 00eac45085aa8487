//! `nvr verify`: has the recorder read segments whole and say which are damaged.

use clap::Args;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::jobs::verify::VerifyParams;

use super::jobs;
use crate::archive;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;
use crate::queue::Queue;
use crate::times;

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Camera; all if none is given.
    camera: Option<String>,
    /// Begin; all from the beginning if not given.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End; all up to the end if not given.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// So long before the end, or before now (such as 90s, 15m, 2h, 1d), in place of --from.
    #[arg(long, value_name = "LENGTH", conflicts_with = "from")]
    last: Option<String>,
    /// Decode every frame as well; takes about a hundred times as long.
    #[arg(long)]
    decode: bool,
    /// Wait for the window of the configuration (`jobs.verify_window`).
    #[arg(long)]
    in_window: bool,
    /// Do not wait for the end.
    #[arg(long)]
    background: bool,
}

pub async fn run(global: &Global, args: &VerifyArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let time = |text: &Option<String>| {
        text.as_deref()
            .map(|text| times::parse(text, asked.now, &asked.zone))
            .transpose()
    };
    let to = time(&args.to)?;
    let from = match &args.last {
        Some(text) => Some(to.unwrap_or(asked.now).add_ns(-times::length(text)?)),
        None => time(&args.from)?,
    };
    let params = VerifyParams {
        camera: match &args.camera {
            Some(name) => Some(asked.camera(name).await?),
            None => None,
        },
        from,
        to,
        decode: args.decode,
        ..VerifyParams::default()
    };
    let mut job = params.job()?.priority(if args.in_window { 0 } else { 100 });
    if !args.in_window {
        job = job.anytime();
    }
    let queue = Queue::find(asked.config).await;
    let (job, _) = queue.enqueue(job).await?;
    if args.background || args.in_window || !queue.is_served() {
        output.result(&job, || jobs::lines(std::slice::from_ref(&job)))?;
        if !queue.is_served() {
            output.note("no recorder runs; the job waits for one");
        }
        return Ok(());
    }
    jobs::follow(&queue, job.id, output).await?;
    let bad = queue.get(job.id).await?.result.unwrap_or_default();
    for segment in bad["named"].as_array().into_iter().flatten() {
        let text = |key: &str| segment[key].as_str().unwrap_or_default().to_owned();
        output.note(&format!("{}: {}", text("path"), text("detail")));
    }
    match bad["bad"].as_u64() {
        Some(0) => Ok(()),
        Some(_) => Err(Failure::Told(ErrorKind::Corrupt)),
        None => Err(Error::new(ErrorKind::Internal, "the job brought no result").into()),
    }
}
