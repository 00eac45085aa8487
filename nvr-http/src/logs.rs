//! The newest log records in memory, of all and of each camera, for those who look over HTTP.
//!
//! A layer of `tracing` fills the buffer; it never waits, keeps a bounded number of bounded records, and blots out
//! what looks like a secret, should one ever get into a message.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use nvr_core::clock::SharedClock;
use nvr_core::redact::redact;
use serde_json::{Map, Value};
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Longest message or value that is kept, in bytes.
const MOST_TEXT: usize = 2048;
/// Most fields of a record.
const MOST_FIELDS: usize = 24;
/// Records kept of one camera, whatever the others say, and of how many cameras.
const MOST_OF_CAMERA: usize = 500;
const MOST_CAMERAS: usize = 1000;
/// How far a follower may fall behind.
const FOLLOW: usize = 256;

/// One log record.
#[derive(Clone, Debug, PartialEq, serde::Serialize, utoipa::ToSchema)]
pub struct LogRecord {
    /// Counts up from 1, by one with each record.
    pub id: u64,
    /// When (RFC 3339, UTC).
    pub at: String,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// Which part of the program.
    pub target: String,
    /// What.
    pub message: String,
    /// What belongs to it, the spans around it included (`camera`, `run`).
    #[schema(value_type = Object)]
    pub fields: Map<String, Value>,
}

/// Names of levels, the worst first.
pub(crate) const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// The newest records. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub struct LogBuffer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: SharedClock,
    most: usize,
    kept: Mutex<Kept>,
    new: broadcast::Sender<Arc<LogRecord>>,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Arc<LogRecord>>,
    /// The newest of each camera: one that says a lot leaves the others theirs.
    cameras: HashMap<String, VecDeque<Arc<LogRecord>>>,
    last: u64,
}

impl LogBuffer {
    /// A buffer of so many records.
    #[must_use]
    pub fn new(most: usize, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            clock,
            most: most.max(1),
            kept: Mutex::default(),
            new: broadcast::Sender::new(FOLLOW),
        }))
    }

    /// The layer that fills it.
    #[must_use]
    pub fn layer(&self) -> LogLayer {
        LogLayer {
            buffer: self.clone(),
            sink: None,
        }
    }

    /// Records behind an id (0: all), oldest first; of more than `limit` the newest.
    #[must_use]
    pub(crate) fn after(&self, id: u64, wanted: &Wanted, limit: usize) -> Vec<Arc<LogRecord>> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let records = match &wanted.camera {
            None => &kept.records,
            Some(camera) => match kept.cameras.get(camera) {
                Some(records) => records,
                None => return Vec::new(),
            },
        };
        let wanted = records
            .iter()
            .rev()
            .take_while(|r| r.id > id)
            .filter(|r| wanted.takes(r))
            .take(limit);
        let mut out: Vec<_> = wanted.cloned().collect();
        out.reverse();
        out
    }

    pub(crate) fn follow(&self) -> broadcast::Receiver<Arc<LogRecord>> {
        self.0.new.subscribe()
    }

    fn push(
        &self,
        level: Level,
        target: &str,
        message: String,
        fields: Map<String, Value>,
    ) -> Arc<LogRecord> {
        let at = self.0.clock.now().to_string();
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.last += 1;
        let record = Arc::new(LogRecord {
            id: kept.last,
            at,
            level: name_of(level),
            target: target.to_owned(),
            message,
            fields,
        });
        if kept.records.len() == self.0.most {
            kept.records.pop_front();
        }
        kept.records.push_back(record.clone());
        if let Some(camera) = record.camera() {
            let known = kept.cameras.len();
            match kept.cameras.get_mut(camera) {
                Some(records) => {
                    if records.len() == MOST_OF_CAMERA {
                        records.pop_front();
                    }
                    records.push_back(record.clone());
                }
                None if known < MOST_CAMERAS => {
                    kept.cameras
                        .insert(camera.to_owned(), VecDeque::from([record.clone()]));
                }
                None => {}
            }
        }
        // Within the lock, so that followers see them in order.
        let _ = self.0.new.send(record.clone());
        record
    }
}

impl LogRecord {
    /// The camera that it is about.
    #[must_use]
    pub fn camera(&self) -> Option<&str> {
        self.fields.get("camera")?.as_str()
    }
}

/// Which records somebody wants.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// An index of [`LEVELS`]: of this level and worse.
    pub(crate) level: usize,
    /// About this camera only.
    pub(crate) camera: Option<String>,
}

impl Wanted {
    pub(crate) fn takes(&self, record: &LogRecord) -> bool {
        let level = LEVELS.iter().position(|l| *l == record.level);
        level.is_some_and(|at| at <= self.level)
            && (self.camera.is_none() || self.camera.as_deref() == record.camera())
    }
}

fn name_of(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Fills a [`LogBuffer`].
#[derive(Clone)]
pub struct LogLayer {
    buffer: LogBuffer,
    sink: Option<Sink>,
}

type Sink = Arc<dyn Fn(&LogRecord) + Send + Sync>;

impl std::fmt::Debug for LogLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogLayer")
            .field("buffer", &self.buffer)
            .finish_non_exhaustive()
    }
}

impl LogLayer {
    /// Hands each record to somebody else as well, in the thread that logs: it must not wait, and not log.
    #[must_use]
    pub fn with_sink(mut self, sink: impl Fn(&LogRecord) + Send + Sync + 'static) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }
}

/// The fields of a span.
struct Fields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut seen = Seen::default();
        attributes.record(&mut seen);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(seen.fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut seen = Seen::default();
        values.record(&mut seen);
        if let Some(Fields(fields)) = span.extensions_mut().get_mut::<Fields>() {
            fields.extend(seen.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut seen = Seen::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(Fields(fields)) = span.extensions().get::<Fields>() {
                let room = MOST_FIELDS.saturating_sub(seen.fields.len());
                seen.fields.extend(fields.clone().into_iter().take(room));
            }
        }
        event.record(&mut seen);
        let meta = event.metadata();
        let record = self
            .buffer
            .push(*meta.level(), meta.target(), seen.message, seen.fields);
        if let Some(sink) = &self.sink {
            sink(&record);
        }
    }
}

#[derive(Default)]
struct Seen {
    message: String,
    fields: Map<String, Value>,
}

impl Seen {
    fn put(&mut self, field: &Field, value: Value) {
        if self.fields.len() < MOST_FIELDS {
            self.fields.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = Short(String::new());
        // An error says that it is full.
        let _ = write!(text, "{value:?}");
        let text = redact(&text.0).into_owned();
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

/// A text that takes so much and no more.
struct Short(String);

impl std::fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = MOST_TEXT.saturating_sub(self.0.len());
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        let end = (0..=room).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
        self.0.push_str(&text[..end]);
        self.0.push('…');
        Err(std::fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use nvr_core::clock::SystemClock;
    use tracing_subscriber::prelude::*;

    use super::*;

    fn logged(most: usize, work: impl FnOnce()) -> LogBuffer {
        let buffer = LogBuffer::new(most, SystemClock::shared());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(buffer.layer()), work);
        buffer
    }

    #[test]
    fn records_have_their_fields_and_those_of_their_spans() {
        let buffer = logged(10, || {
            let span = tracing::info_span!("camera", camera = "front", run = tracing::field::Empty);
            let _in = span.enter();
            span.record("run", 7);
            tracing::warn!(lost = 3, error = %"it broke", "frames lost at {}", "rtsp://a:hunter2@h/x");
        });
        let records = buffer.after(0, &all(4), 10);
        let record = &records[0];
        assert_eq!((record.id, record.level), (1, "warn"));
        assert_eq!(record.message, "frames lost at rtsp://a:***@h/x");
        let want = serde_json::json!({ "camera": "front", "run": 7, "lost": 3, "error": "it broke" });
        assert_eq!(Value::Object(record.fields.clone()), want);
    }

    fn all(level: usize) -> Wanted {
        Wanted { level, camera: None }
    }

    #[test]
    fn a_camera_that_says_a_lot_leaves_the_others_theirs() {
        let buffer = logged(3, || {
            tracing::warn!(camera = "quiet", "one");
            for i in 0..600 {
                tracing::info!(camera = "loud", "{i}");
            }
        });
        let of = |camera: &str, level| {
            let camera = Some(camera.to_owned());
            buffer.after(0, &Wanted { level, camera }, 1000)
        };
        assert_eq!(of("quiet", 2)[0].message, "one");
        assert_eq!(of("quiet", 0).len(), 0);
        let loud = of("loud", 2);
        assert_eq!((loud.len(), loud[0].id, loud[499].id), (500, 102, 601));
        assert_eq!(of("none", 4).len(), 0);
        assert_eq!(buffer.after(0, &all(4), 1000).len(), 3);
    }

    #[test]
    fn the_newest_are_kept() {
        let buffer = logged(3, || {
            for i in 0..5 {
                tracing::info!("{i}");
                tracing::debug!("{}", "x".repeat(5000));
            }
        });
        let ids = |after, level, limit| -> Vec<u64> {
            buffer
                .after(after, &all(level), limit)
                .iter()
                .map(|r| r.id)
                .collect()
        };
        assert_eq!(ids(0, 4, 10), [8, 9, 10]);
        assert_eq!(ids(9, 4, 10), [10]);
        assert_eq!(ids(0, 2, 10), [9]);
        assert_eq!(ids(0, 4, 2), [9, 10]);
        assert!(buffer.after(9, &all(4), 1)[0].message.len() <= MOST_TEXT + 3);
    }
}
