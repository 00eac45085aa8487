//! `nvr book`: cameras recorded for an interval, once or again and again. Asks the running recorder, or writes to the index
//! while none runs; what is due then is done when it starts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use nvr_core::bookings::{BookingSpec, IdleBookings, Listed, Step, ical};
use nvr_core::clock::{Clock as _, SystemClock};
use nvr_core::config::Config;
use nvr_core::error::{Error, ErrorKind};
use nvr_core::{CameraId, TimeRange};
use serde_json::{Value, json};

use super::compose::Arrangement;
use crate::cli::Global;
use crate::client::{self, Recorder};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::{config, logging, times};

/// Largest calendar that is read.
const MOST_BYTES: u64 = ical::MOST_BYTES as u64;

#[derive(Subcommand, Debug)]
pub enum BookCommand {
    /// Book cameras.
    Add(AddArgs),
    /// List the bookings; with --from and --to what is booked then, occurrence by occurrence.
    List(ListArgs),
    /// Show a booking.
    Show {
        /// Its id.
        booking: i64,
    },
    /// Call a booking off, or one of its occurrences. One that is going on ends; what it has stays.
    Cancel {
        /// Its id.
        booking: i64,
        /// Only the occurrence that begins then.
        #[arg(long, value_name = "TIME")]
        start: Option<String>,
    },
    /// Forget a booking and its occurrences; footage stays as long as retention keeps it.
    Delete {
        /// Its id.
        booking: i64,
    },
    /// Book the events of an iCalendar file that are not over.
    Import(ImportArgs),
}

#[derive(Args, Debug)]
struct What {
    /// Cameras, separated by commas.
    #[arg(long, value_name = "CAMERAS", value_delimiter = ',', required = true)]
    cameras: Vec<CameraId>,
    /// What becomes of the footage afterwards, separated by commas.
    #[arg(long, value_name = "STEPS", value_enum, value_delimiter = ',')]
    then: Vec<StepArg>,
    /// How `merge` puts the cameras together.
    #[arg(long, value_enum, default_value_t = Arrangement::SideBySide)]
    layout: Arrangement,
    /// Whose sound is heard in what `merge` makes.
    #[arg(long, value_name = "CAMERA")]
    sound: Option<CameraId>,
    /// How long after its end no footage of it is deleted, such as 90d.
    #[arg(long, value_name = "LENGTH")]
    keep_footage: Option<String>,
    /// Book it though another booking has one of the cameras then.
    #[arg(long)]
    allow_conflicts: bool,
}

#[derive(Args, Debug)]
pub struct AddArgs {
    /// Title.
    title: String,
    #[command(flatten)]
    what: What,
    /// When it begins, such as 2026-05-04T18:00 (in the zone of the recorder) or with an offset.
    #[arg(long, value_name = "TIME")]
    from: String,
    /// When it ends.
    #[arg(
        long,
        value_name = "TIME",
        required_unless_present = "length",
        conflicts_with = "length"
    )]
    to: Option<String>,
    /// How long it is, such as 90m, in place of --to.
    #[arg(long, value_name = "LENGTH")]
    length: Option<String>,
    /// For whom.
    #[arg(long)]
    who: Option<String>,
    /// By which rule it repeats (RFC 5545), such as "FREQ=WEEKLY;BYDAY=MO,WE".
    #[arg(long, value_name = "RULE")]
    repeat: Option<String>,
    /// Time zone on whose clock it is and repeats; that of the recorder by default.
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
}

#[derive(Args, Debug)]
pub struct ListArgs {
    /// What is booked from then on.
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// And until then.
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Only those in one of these states, separated by commas: planned, recording, processing, completed, failed, cancelled,
    /// expired.
    #[arg(long, value_name = "STATES")]
    state: Option<String>,
}

#[derive(Args, Debug)]
pub struct ImportArgs {
    /// The file, such as council.ics.
    file: PathBuf,
    #[command(flatten)]
    what: What,
    /// Only say what would be booked.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, ValueEnum, Debug)]
enum StepArg {
    /// Read and decode it whole.
    Validate,
    /// Make one file of all cameras.
    Merge,
    /// Encode it again to save space.
    Compress,
    /// Make a file of each camera's part.
    Export,
    /// Copy it to all upload targets.
    Upload,
}

impl From<StepArg> for Step {
    fn from(step: StepArg) -> Self {
        match step {
            StepArg::Validate => Self::Validate,
            StepArg::Merge => Self::Merge,
            StepArg::Compress => Self::Compress,
            StepArg::Export => Self::Export,
            StepArg::Upload => Self::Upload,
        }
    }
}

/// Where the bookings are reached.
enum Place {
    Recorder(Recorder),
    Index(Box<IdleBookings>),
}

impl Place {
    async fn find(config: &Config) -> Result<Self, Failure> {
        if client::recorder_runs(config).await? {
            return Ok(Self::Recorder(client::required_address(config)?));
        }
        Ok(Self::Index(Box::new(IdleBookings::open(config).await?)))
    }

    async fn add(&self, spec: BookingSpec, allow: bool) -> Result<Value, Failure> {
        match self {
            Self::Recorder(recorder) => {
                let body = json!({
                    "title": spec.title, "who": spec.who, "cameras": spec.cameras, "start": spec.start,
                    "end": spec.end, "time_zone": spec.zone, "repeat": spec.repeat, "except": spec.except,
                    "then": spec.then, "layout": spec.layout, "sound": spec.sound, "keep_footage": spec.keep_footage_s,
                    "allow_conflicts": allow,
                });
                client::order(recorder, "POST", "/api/v1/bookings", Some(&body)).await
            }
            Self::Index(bookings) => {
                let booked = bookings.add(spec, None, allow).await?;
                let conflicts: Vec<Value> = booked
                    .conflicts
                    .iter()
                    .map(|c| {
                        json!({"booking": c.booking, "title": c.title, "cameras": c.cameras,
                            "start": c.range.start(), "end": c.range.end()})
                    })
                    .collect();
                let booking = view(&bookings.one(booked.booking.id).await?);
                Ok(json!({"booking": booking, "conflicts": conflicts}))
            }
        }
    }

    async fn close(self) -> Result<(), Failure> {
        if let Self::Index(bookings) = self {
            bookings.close().await?;
        }
        Ok(())
    }
}

/// A booking as the recorder tells it.
fn view(listed: &Listed) -> Value {
    let (booking, spec) = (&listed.booking, &listed.booking.spec);
    json!({
        "id": booking.id, "title": spec.title, "who": spec.who, "cameras": spec.cameras, "start": spec.start,
        "end": spec.end, "time_zone": spec.zone, "repeat": spec.repeat, "except": spec.except, "then": spec.then,
        "layout": spec.layout, "sound": spec.sound, "keep_footage": spec.keep_footage_s, "calendar": booking.calendar, "created": booking.created,
        "created_by": booking.created_by, "cancelled": booking.cancelled, "state": listed.state,
        "next": listed.next.map(|r| json!({"start": r.start(), "end": r.end()})),
        "warnings": listed.warnings,
    })
}

pub async fn run(global: &Global, command: BookCommand, output: Output) -> Result<(), Failure> {
    let names_one = matches!(
        command,
        BookCommand::Show { .. } | BookCommand::Cancel { .. } | BookCommand::Delete { .. }
    );
    obey(global, command, output)
        .await
        .map_err(|failure| match failure {
            Failure::Error(e) if names_one && e.kind() == ErrorKind::NotFound && e.hint().is_none() => {
                e.with_hint("`nvr book list` shows them").into()
            }
            other => other,
        })
}

async fn obey(global: &Global, command: BookCommand, output: Output) -> Result<(), Failure> {
    logging::start(global.verbose, None);
    let config = config::load(global)?;
    // What is wrong with the request is told before anybody is asked.
    match command {
        BookCommand::Add(args) => {
            let spec = spec(&args, &config)?;
            spec.check()?;
            known(&config, &spec.cameras)?;
            let place = Place::find(&config).await?;
            let booked = place.add(spec, args.what.allow_conflicts).await?;
            place.close().await?;
            output.result(&booked, || told(&booked, &config))
        }
        BookCommand::List(args) => list(&config, &args, output).await,
        BookCommand::Show { booking } => {
            let place = Place::find(&config).await?;
            let shown = match &place {
                Place::Recorder(recorder) => {
                    client::order(recorder, "GET", &format!("/api/v1/bookings/{booking}"), None).await?
                }
                Place::Index(bookings) => view(&bookings.one(booking).await?),
            };
            place.close().await?;
            output.result(&shown, || card(&shown, &config))
        }
        BookCommand::Cancel { booking, start } => {
            let zone = times::zone(&config.recorder.time_zone);
            let now = SystemClock::new().now();
            let start = start.map(|t| times::parse(&t, now, &zone)).transpose()?;
            let place = Place::find(&config).await?;
            let after = match &place {
                Place::Recorder(recorder) => {
                    let path = format!("/api/v1/bookings/{booking}/cancel");
                    client::order(recorder, "POST", &path, Some(&json!({"start": start}))).await?
                }
                Place::Index(bookings) => {
                    bookings.cancel(booking, start, None).await?;
                    view(&bookings.one(booking).await?)
                }
            };
            place.close().await?;
            output.result(&after, || match start {
                Some(start) => {
                    let start = times::show(start, &zone);
                    format!("the occurrence of {start} of booking {booking} was called off")
                }
                None => format!("booking {booking} was called off"),
            })
        }
        BookCommand::Delete { booking } => {
            let place = Place::find(&config).await?;
            match &place {
                Place::Recorder(recorder) => {
                    client::order(recorder, "DELETE", &format!("/api/v1/bookings/{booking}"), None).await?;
                }
                Place::Index(bookings) => bookings.delete(booking, None).await?,
            }
            place.close().await?;
            output.result(&json!({"id": booking, "deleted": true}), || {
                format!("booking {booking} is gone")
            })
        }
        BookCommand::Import(args) => import(&config, args, output).await,
    }
}

fn known(config: &Config, cameras: &[CameraId]) -> Result<(), Error> {
    let unknown = cameras.iter().find(|id| config.camera(id).is_none());
    unknown.map_or(Ok(()), |id| {
        Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no camera {id}"),
        ))
    })
}

fn spec(args: &AddArgs, config: &Config) -> Result<BookingSpec, Failure> {
    let name = args.time_zone.as_deref().unwrap_or(&config.recorder.time_zone);
    let zone = times::zone_of(name)?;
    let now = SystemClock::new().now();
    let start = times::parse(&args.from, now, &zone)?;
    let end = match (&args.to, &args.length) {
        (Some(to), _) => times::parse(to, now, &zone)?,
        (None, Some(length)) => start.add_ns(times::length(length)?),
        (None, None) => start,
    };
    Ok(BookingSpec {
        title: args.title.clone(),
        who: args.who.clone(),
        cameras: args.what.cameras.clone(),
        start,
        end,
        zone: name.to_owned(),
        repeat: args.repeat.clone(),
        except: Vec::new(),
        then: args.what.then.iter().map(|s| Step::from(*s)).collect(),
        layout: args.what.layout.into(),
        sound: args.what.sound.clone(),
        keep_footage_s: kept(&args.what)?,
    })
}

fn kept(what: &What) -> Result<u64, Failure> {
    let ns = what
        .keep_footage
        .as_deref()
        .map(times::length)
        .transpose()?
        .unwrap_or(0);
    Ok(u64::try_from(ns / 1_000_000_000).unwrap_or(0))
}

async fn list(config: &Config, args: &ListArgs, output: Output) -> Result<(), Failure> {
    let zone = times::zone(&config.recorder.time_zone);
    let now = SystemClock::new().now();
    let time = |text: &String| times::parse(text, now, &zone);
    let range = match (&args.from, &args.to) {
        (Some(from), Some(to)) => Some(TimeRange::new(time(from)?, time(to)?)?),
        _ => None,
    };
    let wanted: Vec<&str> = args
        .state
        .as_deref()
        .map(|s| s.split(',').collect())
        .unwrap_or_default();
    if let Some(bad) = wanted
        .iter()
        .find(|s| nvr_core::bookings::BookingState::from_name(s).is_none())
    {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{bad:?} is no state of a booking"),
        )
        .into());
    }
    let place = Place::find(config).await?;
    let mut all = match (&place, range) {
        (Place::Recorder(recorder), None) => {
            client::order(recorder, "GET", "/api/v1/bookings", None).await?["bookings"].take()
        }
        (Place::Recorder(recorder), Some(range)) => {
            let path = format!(
                "/api/v1/bookings/occurrences?from={}&to={}",
                range.start(),
                range.end()
            );
            client::order(recorder, "GET", &path, None).await?["occurrences"].take()
        }
        (Place::Index(bookings), None) => bookings.list().await?.iter().map(view).collect(),
        (Place::Index(bookings), Some(range)) => {
            let all = bookings.occurrences(range, None).await?;
            let one = |o: &nvr_core::bookings::Occurrence| {
                json!({"booking": o.booking.id, "title": o.booking.spec.title, "who": o.booking.spec.who,
                    "cameras": o.booking.spec.cameras, "start": o.range.start(), "end": o.range.end(),
                    "state": o.state, "repeats": o.booking.spec.repeat.is_some(), "calendar": o.booking.calendar,
                    "warnings": o.warnings, "jobs": o.jobs})
            };
            all.iter().map(one).collect()
        }
    };
    place.close().await?;
    if let Some(list) = all.as_array_mut() {
        list.retain(|b| wanted.is_empty() || wanted.contains(&b["state"].as_str().unwrap_or_default()));
    }
    output.result(&all, || table(&all, range.is_some(), config))
}

async fn import(config: &Config, args: ImportArgs, output: Output) -> Result<(), Failure> {
    known(config, &args.what.cameras)?;
    let failed = |e| Error::io(args.file.display(), e);
    if std::fs::metadata(&args.file).map_err(failed)?.len() > MOST_BYTES {
        return Err(Error::new(ErrorKind::InvalidArgument, "the calendar is larger than 4 MiB").into());
    }
    let text = std::fs::read_to_string(&args.file).map_err(failed)?;
    let read = ical::read(&text, &config.recorder.time_zone)?;
    let rules = nvr_core::bookings::sync::Rules {
        cameras: args.what.cameras.clone(),
        then: args.what.then.iter().map(|s| Step::from(*s)).collect(),
        keep_footage_s: kept(&args.what)?,
    };
    let now = SystemClock::new().now();
    let specs: Vec<BookingSpec> = read
        .events
        .iter()
        .filter(|e| !e.is_past(now))
        .map(|e| BookingSpec {
            layout: args.what.layout.into(),
            sound: args.what.sound.clone(),
            ..nvr_core::bookings::sync::spec(e, &rules)
        })
        .collect();
    let mut problems = read.problems;
    let mut booked = Vec::new();
    if args.dry_run {
        booked.extend(specs.iter().map(|s| json!(s)));
    } else {
        let place = Place::find(config).await?;
        for spec in specs {
            let title = spec.title.clone();
            match place.add(spec, args.what.allow_conflicts).await {
                Ok(mut answer) => booked.push(answer["booking"].take()),
                Err(Failure::Error(e)) => problems.push(format!("{title:?}: {e}")),
                Err(other) => return Err(other),
            }
        }
        place.close().await?;
    }
    let result = json!({"booked": booked, "problems": problems, "dry_run": args.dry_run});
    output.result(&result, || {
        let verb = if args.dry_run { "would be booked" } else { "booked" };
        let mut lines = vec![format!("{} {verb}", booked.len())];
        lines.extend(problems.iter().map(|p| format!("not booked: {p}")));
        lines.join("\n")
    })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn names(value: &Value) -> String {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn when(value: &Value, config: &Config) -> String {
    let time = value.as_str().and_then(|t| t.parse().ok());
    time.map_or_else(String::new, |t| {
        times::show(t, &times::zone(&config.recorder.time_zone))
    })
}

fn told(booked: &Value, config: &Config) -> String {
    let booking = &booked["booking"];
    let mut lines = vec![format!(
        "booking {}: {} has {} from {} to {}",
        booking["id"],
        text(&booking["title"]),
        names(&booking["cameras"]),
        when(&booking["start"], config),
        when(&booking["end"], config)
    )];
    for c in booked["conflicts"].as_array().into_iter().flatten() {
        let (title, cameras) = (text(&c["title"]), names(&c["cameras"]));
        let start = when(&c["start"], config);
        lines.push(format!(
            "booking {} ({title}) has {cameras} then as well, from {start}",
            c["booking"]
        ));
    }
    lines.join("\n")
}

fn card(b: &Value, config: &Config) -> String {
    let mut lines = vec![
        format!("booking {}: {}", b["id"], text(&b["title"])),
        format!("state:    {}", text(&b["state"])),
        format!("cameras:  {}", names(&b["cameras"])),
        format!(
            "first:    {} to {}",
            when(&b["start"], config),
            when(&b["end"], config)
        ),
    ];
    for (label, value) in [
        ("for", text(&b["who"])),
        ("repeats", text(&b["repeat"])),
        ("next", when(&b["next"]["start"], config)),
        ("then", names(&b["then"])),
        ("calendar", text(&b["calendar"])),
    ] {
        if !value.is_empty() {
            lines.push(format!("{:<9} {value}", format!("{label}:")));
        }
    }
    for w in b["warnings"].as_array().into_iter().flatten() {
        lines.push(format!(
            "warning:  {} {}",
            text(&w["camera"]),
            text(&w["message"])
        ));
    }
    lines.join("\n")
}

fn table(all: &Value, occurrences: bool, config: &Config) -> String {
    let Some(list) = all.as_array().filter(|l| !l.is_empty()) else {
        return "no bookings".into();
    };
    let rows = list.iter().map(|b| {
        let (id, start, end) = if occurrences {
            (&b["booking"], &b["start"], &b["end"])
        } else if b["next"].is_object() {
            (&b["id"], &b["next"]["start"], &b["next"]["end"])
        } else {
            (&b["id"], &b["start"], &b["end"])
        };
        let told = b["warnings"].as_array().map_or(0, Vec::len);
        vec![
            id.to_string(),
            text(&b["title"]),
            names(&b["cameras"]),
            when(start, config),
            when(end, config),
            text(&b["state"]),
            if told == 0 {
                String::new()
            } else {
                told.to_string()
            },
        ]
    });
    output::table(
        &["booking", "title", "cameras", "from", "to", "state", "warnings"],
        &[0, 6],
        rows,
    )
}
