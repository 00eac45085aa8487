//! `nvr init`: writes a commented configuration.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use std::time::Duration;

use clap::Args;
use nvr_core::clock::SystemClock;
use nvr_core::config::{Config, TemplateCamera, template_text};
use nvr_core::error::{Error, ErrorKind};
use nvr_core::files::{Create, Root, RootOptions, disk_of};
use nvr_core::store::{OpenMode, Store};
use serde::Serialize;

use super::detect::{self, Found};
use crate::cli::Global;
use crate::exit::Failure;
use crate::logging;
use crate::output::{self, Output};

#[derive(Args, Debug)]
pub struct InitArgs {
    /// Folder of the recordings; relative to the configuration's folder.
    #[arg(long, value_name = "DIR", default_value = "recordings")]
    root: PathBuf,
    /// Address of the page and the API.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Do not look for cameras.
    #[arg(long)]
    no_detect: bool,
    /// Instead of all this, make a folder that holds other things a recordings root; they stay.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["root", "listen", "no_detect", "force", "print"])]
    adopt: Option<PathBuf>,
    /// Replace a configuration that is there.
    #[arg(long)]
    force: bool,
    /// Print it instead of writing the file.
    #[arg(long)]
    print: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a std::path::Path,
    /// Ready to be recorded.
    cameras: usize,
    /// Found, but their stream or password is not known.
    to_fill_in: usize,
}

#[derive(Serialize)]
struct Adopted<'a> {
    root: &'a std::path::Path,
    tree: String,
}

pub async fn run(global: &Global, args: &InitArgs, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    if let Some(dir) = &args.adopt {
        return adopt(global, dir, output);
    }
    let file = global.config.as_path();
    if !args.force && !args.print && file.exists() {
        return Err(exists(file).into());
    }
    let found = if args.no_detect {
        Found::default()
    } else {
        detect::find(Some(Duration::from_secs(2)), false, output).await
    };
    let cameras = cameras(&found);
    // With the disk mounted now, a start without it can be refused later, even the first one.
    let base = file.parent().unwrap_or_else(|| std::path::Path::new(""));
    let mount = disk_of(&base.join(&args.root));
    let text = template_text(&args.root, mount.as_deref(), args.listen, &cameras);
    // Never leave a file that the recorder would then refuse.
    let config = Config::parse(&text, Some(file))
        .map_err(|e| Error::new(ErrorKind::Internal, format!("the template is faulty: {e}")))?;
    if args.print {
        return output.text(&text);
    }
    let failed = |e: std::io::Error| {
        if e.kind() == std::io::ErrorKind::AlreadyExists {
            exists(file)
        } else {
            Error::io(file.display(), e)
        }
    };
    let mut options = OpenOptions::new();
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let mut handle = options.write(true).open(file).map_err(failed)?;
    handle.write_all(text.as_bytes()).map_err(failed)?;
    let report = Report {
        file,
        cameras: config.cameras.len(),
        to_fill_in: cameras.iter().filter(|c| c.commented).count(),
    };
    output.result(&report, || {
        let what = match (report.cameras, report.to_fill_in) {
            (0, 0) => "no cameras were found: add yours to it".to_owned(),
            (ready, 0) => format!("it has {}", output::number(ready as u64, "camera")),
            (ready, open) => {
                let ready = output::number(ready as u64, "camera");
                format!("it has {ready}, and {open} to be filled in")
            }
        };
        format!(
            "wrote {}: {what}\nnext: `nvr validate`, then `nvr run`",
            file.display()
        )
    })
}

fn exists(file: &std::path::Path) -> Error {
    Error::new(
        ErrorKind::AlreadyExists,
        format!("{} is there already", file.display()),
    )
    .with_hint("name another with --config, or replace it with --force")
}

/// What was found, as cameras of the template: devices are ready to use; of cameras on the network neither
/// stream nor password is known, so they stand there as comments.
fn cameras(found: &Found) -> Vec<TemplateCamera> {
    let usable = found
        .devices
        .iter()
        .filter(|d| d.problem.is_none() && !d.formats.is_empty());
    let devices = usable.enumerate().map(|(i, device)| {
        let path = device.stable_ids.first().unwrap_or(&device.path);
        let id = if i == 0 {
            "usb".to_owned()
        } else {
            format!("usb{}", i + 1)
        };
        TemplateCamera {
            name: usable_name(device.name.as_deref(), &id),
            id,
            source: format!("v4l2:{}", path.display()),
            options: Vec::new(),
            commented: false,
        }
    });
    let network = found.network.iter().enumerate().map(|(i, camera)| {
        let id = format!("camera{}", i + 1);
        let host = match camera.from {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        TemplateCamera {
            name: usable_name(camera.name.as_deref().or(camera.hardware.as_deref()), &id),
            id,
            source: format!("rtsp://{host}:554/"),
            options: vec![("user".into(), "admin".into())],
            commented: true,
        }
    });
    devices.chain(network).collect()
}

/// A name that the configuration accepts, whatever the device said.
fn usable_name(name: Option<&str>, id: &str) -> String {
    let clean: String = name
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(60)
        .collect();
    if clean.trim().is_empty() {
        id.to_owned()
    } else {
        clean.trim().to_owned()
    }
}

fn adopt(global: &Global, dir: &std::path::Path, output: Output) -> Result<(), Failure> {
    // If an index knows the folder (its marker got lost), it stays the tree that it was.
    let expected = Config::load(&global.config)
        .ok()
        .filter(|c| c.recorder.root == dir || c.recorder.root.canonicalize().ok() == dir.canonicalize().ok())
        .and_then(|c| Store::open(&c.recorder.database, OpenMode::ReadOnly).ok())
        .and_then(|store| store.tree_id().ok().flatten())
        .and_then(|id| id.parse().ok());
    let options = RootOptions {
        create: Create::Adopt,
        expected,
        exclusive: true,
    };
    let tree = Root::open(dir, options, SystemClock::shared())?
        .attach()?
        .to_string();
    let report = Adopted { root: dir, tree };
    output.result(&report, || format!("{} is a recordings root now", dir.display()))
}
