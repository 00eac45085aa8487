//! `nvr demo`: two synthetic cameras, without any configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use nvr_core::config::{Config, demo_text};
use nvr_core::error::{Error, ErrorKind};
use tokio::net::TcpListener;

use super::run;
use crate::cli::Global;
use crate::exit::Failure;
use crate::output::Output;
use crate::{config, logging};

#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Folder of the recordings; gets an `nvr.toml` on which every other command works.
    #[arg(long, value_name = "DIR", default_value = "nvr-demo")]
    dir: PathBuf,
    /// Address of the page; 127.0.0.1:8080 by default, or another port if that one is taken.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Stop after so many seconds.
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
}

const DEFAULT_PORT: u16 = 8080;
const RTSP_PORT: u16 = 8554;

pub async fn run(global: &Global, args: &DemoArgs, output: Output) -> Result<(), Failure> {
    std::fs::create_dir_all(&args.dir).map_err(|e| Error::io(args.dir.display(), e))?;
    let file = args.dir.join("nvr.toml");
    let listener = listen(args.listen).await?;
    // The real port, so that the other commands find the recorder.
    let address = listener.local_addr().map_err(|e| Error::io("listen", e))?;
    let rtsp = rtsp(address).await;
    write_config(&file, address, rtsp)?;
    let config = Config::load(&file)?;
    let logs = logging::start_kept(global.verbose, &config.log, true)?;
    config::warn(&config);
    if !output.json() {
        output.text(&format!(
            "demo in {}; try `nvr -c {} status` while it runs; Ctrl-C ends it",
            args.dir.display(),
            file.display()
        ))?;
    }
    run::record(
        config,
        Some(listener),
        logs,
        args.seconds.map(Duration::from_secs),
        output,
    )
    .await
}

async fn listen(wanted: Option<SocketAddr>) -> Result<TcpListener, Failure> {
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let first = wanted.unwrap_or_else(|| local(DEFAULT_PORT));
    let result = match TcpListener::bind(first).await {
        Err(e) if wanted.is_none() && e.kind() == std::io::ErrorKind::AddrInUse => {
            TcpListener::bind(local(0)).await
        }
        other => other,
    };
    result.map_err(|e| {
        let kind = if e.kind() == std::io::ErrorKind::AddrInUse {
            ErrorKind::Conflict
        } else {
            ErrorKind::InvalidArgument
        };
        Error::new(kind, format!("cannot listen on {first}: {e}"))
            .with_hint("name another with --listen")
            .into()
    })
}

/// Where streams are to be had over RTSP; nowhere if this was built without.
async fn rtsp(http: SocketAddr) -> Option<SocketAddr> {
    if !nvr_core::restream::BUILT_IN {
        return None;
    }
    let any = SocketAddr::new(http.ip(), 0);
    // The port is let go here and taken again by the server. The usual one would meet another demo that starts at the
    // same moment, so it belongs to the demo that holds the usual port of the page.
    let usual = SocketAddr::new(http.ip(), RTSP_PORT);
    let first = if http.port() == DEFAULT_PORT { usual } else { any };
    // A number of its own, so that the file says it.
    let bound = match TcpListener::bind(first).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(any).await.ok()?,
    };
    bound.local_addr().ok()
}

/// Writes the demo's configuration; one that is there and is not the demo's own, or was changed by hand, is left
/// alone.
fn write_config(file: &Path, address: SocketAddr, rtsp: Option<SocketAddr>) -> Result<(), Failure> {
    let text = demo_text(address, rtsp);
    // The address is that of the last time.
    let kept = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("listen = "));
        lines.map(str::to_owned).collect()
    };
    match std::fs::read_to_string(file) {
        Ok(old) if kept(&old) != kept(&text) => {
            let message = format!(
                "{} is there and is not the demo's, or was changed by hand",
                file.display()
            );
            let hint = format!(
                "start it with `nvr -c {} run`, or name another folder with --dir",
                file.display()
            );
            return Err(Error::new(ErrorKind::AlreadyExists, message)
                .with_hint(hint)
                .into());
        }
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::io(file.display(), e).into()),
    }
    std::fs::write(file, text).map_err(|e| Error::io(file.display(), e))?;
    Ok(())
}
