//! `nvr restore`: brings files back of which there are only copies.

use clap::Args;
use nvr_core::error::{Error, ErrorKind};

use crate::archive;
use crate::cli::Global;
use crate::client;
use crate::exit::Failure;
use crate::output::Output;
use crate::window::Window;

#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Camera.
    camera: String,
    #[command(flatten)]
    window: Window,
}

pub async fn run(global: &Global, args: &RestoreArgs, output: Output) -> Result<(), Failure> {
    let asked = archive::open(global).await?;
    let camera = asked.camera(&args.camera).await?;
    let range = args.window.range(asked.now, &asked.zone, None)?;
    let Some(address) = client::answering(&asked.config).await? else {
        return Err(Error::new(
            ErrorKind::Unavailable,
            "no recorder answers; to restore footage is its work",
        )
        .with_hint("start it with `nvr run`")
        .into());
    };
    let path = format!(
        "/api/v1/cameras/{camera}/restore?from={}&to={}",
        range.start(),
        range.end()
    );
    let job = client::post(&address, &path).await?;
    output.result(&job, || {
        format!(
            "job {}: `nvr jobs watch {}` shows how far it is",
            job["id"], job["id"]
        )
    })
}
