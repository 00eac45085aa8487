//! `nvr run`: records the configured cameras until stopped.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use nvr_core::Nvr;
use nvr_core::clock::SystemClock;
use nvr_core::config::{Auth, Config, HttpConfig};
use nvr_core::error::{Error, ErrorKind};
use nvr_http::AppState;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::cli::Global;
use crate::exit::Failure;
use crate::logging::Logs;
use crate::output::Output;
use crate::signals::{Signals, Wish};
use crate::{config, logging, service};

#[derive(Args, Debug)]
pub struct RunArgs {
    /// Stop after so many seconds.
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
}

/// Downloads that run when the recorder stops get so long.
const GRACE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Started<'a> {
    event: &'static str,
    url: Option<&'a str>,
    /// Where the first account is made.
    setup: Option<&'a str>,
    /// Where cameras are to be had over RTSP, behind this by their ids.
    rtsp: Option<&'a str>,
    cameras: usize,
}

pub async fn run(global: &Global, args: &RunArgs, output: Output) -> Result<(), Failure> {
    // Also the configuration may be among the files that are not in their places yet.
    let path = std::path::absolute(&global.config).map_err(|e| Error::io(global.config.display(), e))?;
    let finished = nvr_core::backup::finish_restore(&path, &SystemClock::shared())?;
    let config = Config::load(&global.config)?;
    let logs = logging::start_kept(global.verbose, &config.log, false)?;
    config::warn(&config);
    if finished {
        tracing::warn!("restoring a backup had been cut off, and is finished");
    }
    if config.cameras.is_empty() {
        tracing::warn!("{}", super::cameras::NONE);
    }
    let listener = listen(&config).await?;
    let length = args.seconds.map(Duration::from_secs);
    record(config, listener, logs, length, output).await
}

/// Binds the configured address; `None` when HTTP is off.
///
/// # Errors
/// `Conflict` when the address is taken.
pub async fn listen(config: &Config) -> Result<Option<TcpListener>, Failure> {
    if !config.http.enabled {
        return Ok(None);
    }
    let address = config.http.listen;
    let listener = TcpListener::bind(address).await.map_err(|e| {
        let (kind, hint) = match e.kind() {
            std::io::ErrorKind::AddrInUse => (
                ErrorKind::Conflict,
                "another program listens there: change `http.listen`, or stop it",
            ),
            _ => (ErrorKind::InvalidArgument, "change `http.listen`"),
        };
        Error::new(kind, format!("cannot listen on {address}: {e}"))
            .with_hint(hint)
            .with_source(e)
    })?;
    Ok(Some(listener))
}

/// Records until a signal, or for so long.
///
/// # Errors
/// Those of starting; `Storage` when a camera had to be cut at the end.
pub async fn record(
    config: Config,
    listener: Option<TcpListener>,
    logs: Logs,
    length: Option<Duration>,
    output: Output,
) -> Result<(), Failure> {
    // From here on a signal is an orderly stop, also while cameras start.
    let mut signals = Signals::listen()?;
    let deadline = config.recorder.shutdown_deadline;
    let http = config.http.clone();
    // A certificate that cannot be used is told before anything is begun.
    nvr_http::Tls::load(&http)?;
    let http_config = http.clone();
    let nvr = Nvr::builder(config).start().await?;
    logs.follow(&nvr);
    let stop = CancellationToken::new();
    let address = listener.as_ref().and_then(|l| l.local_addr().ok());
    let server = listener.map(|listener| {
        let (nvr, stop) = (nvr.clone(), stop.clone());
        let state = AppState::new(nvr, &http)
            .with_logs(logs.buffer)
            .with_log_control(logs.control);
        tokio::spawn(async move { nvr_http::serve_state(listener, state, &http, stop, GRACE).await })
    });
    announce(&nvr, address, &http_config, output).await?;
    service::ready(&nvr, &stop);
    let clock = nvr.clock();
    let end = async {
        match length {
            Some(length) => clock.sleep(length).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(end);
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop => break,
                Wish::Reload => {
                    service::reloading();
                    reload(&nvr).await;
                    service::reloaded(&nvr);
                }
            },
            () = &mut end => break,
        }
    }
    signals.cut_on_next();
    tracing::info!("stopping");
    service::stopping();
    stop.cancel();
    let report = nvr.shutdown(deadline).await;
    if let Some(server) = server
        && let Ok(Err(e)) = server.await
    {
        tracing::error!(error = %e, "the HTTP server failed");
    }
    if report.cut.is_empty() {
        tracing::info!(cameras = report.clean.len(), "stopped");
        return Ok(());
    }
    let names: Vec<&str> = report.cut.iter().map(nvr_core::CameraId::as_str).collect();
    let message = format!("not stopped in order within {deadline:?}: {}", names.join(", "));
    Err(Error::new(ErrorKind::Timeout, message)
        .with_hint("the next start mends their last segments")
        .into())
}

async fn announce(
    nvr: &Nvr,
    address: Option<std::net::SocketAddr>,
    http: &HttpConfig,
    output: Output,
) -> Result<(), Failure> {
    let scheme = if http.tls.is_some() { "https" } else { "http" };
    let site = address.map(|a| format!("{scheme}://{a}"));
    let url = site.as_ref().map(|site| format!("{site}{}/", http.base_path));
    let setup = match &site {
        Some(site) => nvr_http::setup_link(nvr, http)
            .await?
            .map(|link| format!("{site}{link}")),
        None => None,
    };
    let cameras = nvr.cameras().len();
    let rtsp = nvr.restream().map(nvr_core::restream::Restream::base);
    let started = Started {
        event: "started",
        url: url.as_deref(),
        setup: setup.as_deref(),
        rtsp: rtsp.as_deref(),
        cameras,
    };
    output.result(&started, || {
        let s = if cameras == 1 { "" } else { "s" };
        let mut text = format!("recording {cameras} camera{s}");
        if let Some(url) = &url {
            let _ = write!(text, "; open {url}");
            if http.auth == Auth::None {
                text.push_str("\neverybody on this machine may do everything (auth = \"none\")");
            }
        }
        if let Some(rtsp) = &rtsp {
            let _ = write!(text, "\nfor other programs: {rtsp}/CAMERA");
        }
        if let Some(setup) = &setup {
            let _ = write!(
                text,
                "\nno account yet; make the first one, within a day, at\n  {setup}"
            );
            if address.is_some_and(|a| a.ip().is_unspecified()) {
                text.push_str("\n  (from elsewhere by this machine's name or address)");
            }
        }
        text
    })
}

/// Reads the configuration again. One with mistakes changes nothing.
async fn reload(nvr: &Nvr) {
    match nvr.reload_file().await {
        Ok(diff) => {
            config::warn(&nvr.config());
            let names = |ids: &[nvr_core::CameraId]| {
                ids.iter()
                    .map(nvr_core::CameraId::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            tracing::info!(
                added = names(&diff.added),
                removed = names(&diff.removed),
                changed = names(&diff.changed),
                "configuration read again"
            );
            for key in &diff.needs_restart {
                tracing::warn!(key, "this change waits for the next start");
            }
        }
        Err(e) if e.kind() == ErrorKind::Config => {
            tracing::error!("the configuration is not read again, all goes on as before:\n{e}");
        }
        Err(e) => tracing::error!(error = %e, "the configuration was not taken over, or in part"),
    }
}
