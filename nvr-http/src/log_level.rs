//! What is logged, changed while the recorder runs, for a time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nvr_core::clock::SharedClock;
use nvr_core::config::LogConfig;
use nvr_core::pipeline_log::{PipelineLog, PipelineLogLevels};
use nvr_core::{Error, ErrorKind, Result, Timestamp};

/// Records of GStreamer's log are let through whatever else is logged: its own thresholds say what there is.
const PIPELINES: &str = "gstreamer=trace";
/// How long a change lasts at most.
const LONGEST: Duration = Duration::from_secs(86_400);

type Apply = Box<dyn Fn(&str) -> std::result::Result<(), String> + Send + Sync>;

/// Changes what is logged, for a time. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct LogControl(Arc<Inner>);

struct Inner {
    clock: SharedClock,
    apply: Apply,
    state: Mutex<State>,
}

struct State {
    configured: String,
    pipelines: Option<PipelineLog>,
    changed: Option<Changed>,
    /// Counts the changes, so that the end of an old one does not end a new one.
    count: u64,
}

#[derive(Clone)]
struct Changed {
    filter: Option<String>,
    gstreamer: PipelineLogLevels,
    until: Timestamp,
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl")
            .field("levels", &self.levels())
            .finish_non_exhaustive()
    }
}

/// What is logged now.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLevels {
    /// The filter in force.
    pub filter: String,
    /// That of the configuration.
    pub configured: String,
    /// Categories of GStreamer that were asked for, with their levels; empty: none.
    pub gstreamer: String,
    /// When it is as configured again; `None` while it is.
    pub until: Option<Timestamp>,
}

impl LogControl {
    /// `apply` puts a filter in force. `configured` is the one that is in force now, and again when a change ends. Without
    /// `pipelines` nothing is changed about GStreamer's log.
    #[must_use]
    pub fn new(
        configured: impl Into<String>,
        pipelines: Option<PipelineLog>,
        clock: SharedClock,
        apply: impl Fn(&str) -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let me = Self(Arc::new(Inner {
            clock,
            apply: Box::new(apply),
            state: Mutex::new(State {
                configured: configured.into(),
                pipelines,
                changed: None,
                count: 0,
            }),
        }));
        if PipelineLog::from_environment().is_some() {
            // What GST_DEBUG asks for is to be seen from the start.
            let mut state = me.lock();
            let _ = me.put(&mut state, None);
        }
        me
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is logged now.
    #[must_use]
    pub fn levels(&self) -> LogLevels {
        let state = self.lock();
        let changed = state.changed.as_ref();
        LogLevels {
            filter: changed
                .and_then(|c| c.filter.clone())
                .unwrap_or_else(|| state.configured.clone()),
            configured: state.configured.clone(),
            gstreamer: changed.map(|c| c.gstreamer.to_string()).unwrap_or_default(),
            until: changed.map(|c| c.until),
        }
    }

    /// Logs by another filter (that of the configuration where there is none), and with some categories of GStreamer, for so
    /// long (1 s to a day); then as configured. Call it within a runtime.
    ///
    /// # Errors
    /// `InvalidArgument` for what is no filter, no categories or too long, `Unsupported` for GStreamer's log where that is
    /// not handed on.
    pub fn change(&self, filter: Option<&str>, gstreamer: &PipelineLogLevels, lasts: Duration) -> Result<()> {
        if let Some(filter) = filter {
            LogConfig::check_filter(filter)?;
        }
        if lasts.is_zero() || lasts > LONGEST {
            let message = "a change of what is logged lasts from a second to a day";
            return Err(Error::new(ErrorKind::InvalidArgument, message)
                .with_hint("what is to be logged for ever stands in the configuration: log.filter"));
        }
        let mut state = self.lock();
        if state.pipelines.is_none() && !gstreamer.is_empty() {
            let message = "GStreamer's log is not handed on in this program";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let changed = Changed {
            filter: filter.map(str::to_owned),
            gstreamer: gstreamer.clone(),
            until: self.0.clock.now() + lasts,
        };
        self.put(&mut state, Some(changed))?;
        let count = state.count;
        drop(state);
        let me = self.clone();
        tokio::spawn(async move {
            me.0.clock.sleep(lasts).await;
            let mut state = me.lock();
            if state.count == count && me.put(&mut state, None).is_ok() {
                drop(state);
                tracing::info!("what is logged is as configured again");
            }
        });
        let now = self.levels();
        let until = now.until.map(|t| t.to_string());
        tracing::info!(
            filter = now.filter,
            gstreamer = now.gstreamer,
            until,
            "what is logged was changed"
        );
        Ok(())
    }

    /// Logs as configured again.
    ///
    /// # Errors
    /// `Internal` when the filter cannot be put in force.
    pub fn reset(&self) -> Result<()> {
        self.put(&mut self.lock(), None)?;
        tracing::info!("what is logged is as configured again");
        Ok(())
    }

    /// The configuration has another filter. A change for a time goes on.
    ///
    /// # Errors
    /// As [`reset`](Self::reset).
    pub fn configure(&self, filter: &str) -> Result<()> {
        let mut state = self.lock();
        if state.configured == filter {
            return Ok(());
        }
        filter.clone_into(&mut state.configured);
        let (changed, count) = (state.changed.clone(), state.count);
        self.put(&mut state, changed)?;
        state.count = count;
        Ok(())
    }

    fn put(&self, state: &mut State, changed: Option<Changed>) -> Result<()> {
        let filter = changed
            .as_ref()
            .and_then(|c| c.filter.as_deref())
            .unwrap_or(&state.configured);
        let nothing = PipelineLogLevels::default();
        let levels = changed.as_ref().map_or(&nothing, |c| &c.gstreamer);
        let speaks = !levels.is_empty() || PipelineLog::from_environment().is_some();
        let filter = match (speaks, filter.is_empty()) {
            (true, true) => PIPELINES.to_owned(),
            (true, false) => format!("{filter},{PIPELINES}"),
            (false, _) => filter.to_owned(),
        };
        (self.0.apply)(&filter).map_err(|e| {
            let message = format!("the filter of the log cannot be put in force: {e}");
            Error::new(ErrorKind::Internal, message)
        })?;
        if let Some(pipelines) = &mut state.pipelines {
            pipelines.set(levels);
        }
        state.changed = changed;
        state.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nvr_core::clock::Clock as _;
    use nvr_core::testing::ManualClock;

    use super::*;

    /// Until so many sleep.
    async fn asleep(clock: &ManualClock, count: usize) {
        while clock.sleeping() != count {
            tokio::task::yield_now().await;
        }
    }

    fn control(clock: &ManualClock) -> (LogControl, Arc<Mutex<Vec<String>>>) {
        let applied = Arc::new(Mutex::new(Vec::new()));
        let list = applied.clone();
        let control = LogControl::new("info", None, Arc::new(clock.clone()), move |filter| {
            list.lock().unwrap().push(filter.to_owned());
            Ok(())
        });
        (control, applied)
    }

    #[tokio::test]
    async fn a_change_ends_by_itself_and_an_old_end_ends_no_new_change() {
        let clock = ManualClock::new(Timestamp::from_secs(1_000));
        let (control, applied) = control(&clock);
        let minute = Duration::from_secs(60);
        let nothing = PipelineLogLevels::default();
        control.change(Some("debug"), &nothing, minute).unwrap();
        assert_eq!(control.levels().until, Some(clock.now() + minute));
        asleep(&clock, 1).await;
        clock.advance(minute / 2);
        control.change(Some("trace"), &nothing, minute).unwrap();
        asleep(&clock, 2).await;
        clock.advance(minute / 2);
        asleep(&clock, 1).await;
        assert_eq!(control.levels().filter, "trace");
        control.configure("warn").unwrap();
        assert_eq!(control.levels().filter, "trace");
        clock.advance(minute / 2);
        asleep(&clock, 0).await;
        while control.levels().until.is_some() {
            tokio::task::yield_now().await;
        }
        assert_eq!(control.levels().filter, "warn");
        assert_eq!(*applied.lock().unwrap(), ["debug", "trace", "trace", "warn"]);
    }

    #[tokio::test]
    async fn what_is_no_filter_changes_nothing() {
        let clock = ManualClock::new(Timestamp::from_secs(1_000));
        let (control, applied) = control(&clock);
        let nothing = PipelineLogLevels::default();
        let hour = Duration::from_secs(3600);
        for (filter, gstreamer, lasts) in [
            (Some("loud"), "", hour),
            (Some("info,[span]=debug"), "", hour),
            (Some(""), "", hour),
            (None, "", Duration::ZERO),
            (None, "", hour * 25),
            (None, "rtspsrc:5", hour),
        ] {
            let gstreamer = gstreamer.parse().unwrap();
            assert!(control.change(filter, &gstreamer, lasts).is_err(), "{filter:?}");
        }
        assert!(control.change(None, &nothing, hour).is_ok());
        control.reset().unwrap();
        assert_eq!(control.levels().until, None);
        assert_eq!(*applied.lock().unwrap(), ["info", "info"]);
    }
}
