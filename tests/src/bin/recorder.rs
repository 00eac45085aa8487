//! A recorder that tests can kill; see `nvr_tests::recorder::program`.

use std::process::ExitCode;

use clap::Parser as _;
use nvr_tests::recorder::program::{Args, run};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    run(Args::parse()).await
}
