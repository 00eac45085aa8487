//! The log of who did what: what is noted, what is folded into one entry, and the task that writes it.
//!
//! Whoever answers a request only puts a note into a queue. A player that asks for a hundred parts of a recording, or
//! holds a live picture for an hour, is one entry every few minutes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::role::Identity;
use super::token::TokenHash;
use super::{Accounts, group, ns};
use crate::error::Result;
use crate::ids::CameraId;
use crate::store::Cursor;
use crate::store::accounts::{AuditQuery, AuditRow};
use crate::time::Timestamp;

/// Notes that may wait to be written.
const QUEUE: usize = 4096;
/// Most in one transaction.
const BATCH: usize = 256;
/// What is the same within so long is one entry.
const FOLD: Duration = Duration::from_secs(300);
/// How often what is too old is forgotten.
const TIDY: Duration = Duration::from_secs(3600);
/// Longest detail of an entry, in bytes.
const DETAIL: usize = 300;

/// What somebody did.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Logged in.
    Login,
    /// Tried to, with a wrong name or password, or too often.
    LoginFailed,
    /// Logged out.
    Logout,
    /// Watched live.
    Watch,
    /// Played or looked at recordings.
    Play,
    /// Saved footage.
    Export,
    /// Saw footage by a share.
    ShareView,
    /// Deleted footage.
    Delete,
    /// Protected footage, or no longer.
    Protect,
    /// Started, stopped, recorded, split.
    Control,
    /// Entered, called off, retried or forgot jobs.
    Job,
    /// Changed settings.
    Settings,
    /// Opened a source to see what it is.
    Probe,
    /// Made, changed or removed a user.
    User,
    /// Made or removed a token.
    Token,
    /// Made or removed a share.
    Share,
    /// Took a backup away, with the passwords that are in it.
    Backup,
    /// Told of something that was seen.
    Detection,
}

impl Action {
    /// All.
    pub const ALL: [Self; 18] = [
        Self::Login,
        Self::LoginFailed,
        Self::Logout,
        Self::Watch,
        Self::Play,
        Self::Export,
        Self::ShareView,
        Self::Delete,
        Self::Protect,
        Self::Control,
        Self::Job,
        Self::Settings,
        Self::Probe,
        Self::User,
        Self::Token,
        Self::Share,
        Self::Backup,
        Self::Detection,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::LoginFailed => "login_failed",
            Self::Logout => "logout",
            Self::Watch => "watch",
            Self::Play => "play",
            Self::Export => "export",
            Self::ShareView => "share_view",
            Self::Delete => "delete",
            Self::Protect => "protect",
            Self::Control => "control",
            Self::Job => "job",
            Self::Settings => "settings",
            Self::Probe => "probe",
            Self::User => "user",
            Self::Token => "token",
            Self::Share => "share",
            Self::Backup => "backup",
            Self::Detection => "detection",
        }
    }

    /// Whether many in a row are one entry, whatever their details.
    const fn is_folded(self) -> bool {
        matches!(
            self,
            Self::Watch | Self::Play | Self::ShareView | Self::LoginFailed | Self::Detection
        )
    }
}

/// Something to be noted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deed {
    /// Who, as the log calls him.
    pub user: Option<String>,
    /// From where.
    pub address: Option<IpAddr>,
    /// What.
    pub action: Action,
    /// With which camera.
    pub camera: Option<CameraId>,
    /// What exactly, for people; no secrets.
    pub detail: String,
}

impl Deed {
    /// Of somebody.
    #[must_use]
    pub fn of(who: &Identity, address: Option<IpAddr>, action: Action, detail: impl Into<String>) -> Self {
        Self {
            user: who.label(),
            address,
            action,
            camera: None,
            detail: detail.into(),
        }
    }

    /// With a camera.
    #[must_use]
    pub fn camera(mut self, camera: Option<CameraId>) -> Self {
        self.camera = camera;
        self
    }

    fn row(self, at: Timestamp) -> AuditRow {
        let mut detail = self.detail;
        if detail.len() > DETAIL {
            let mut end = DETAIL;
            while !detail.is_char_boundary(end) {
                end -= 1;
            }
            detail.truncate(end);
        }
        AuditRow {
            at,
            user: self.user,
            address: self.address.map(|a| a.to_canonical().to_string()),
            action: self.action.as_str().to_owned(),
            camera: self.camera,
            detail,
        }
    }
}

/// An entry of the log.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a user, `token:7`, `share:3`; `None` when nobody was known.
    pub user: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// What.
    pub action: String,
    /// With which camera.
    pub camera: Option<CameraId>,
    /// What exactly.
    pub detail: String,
}

/// A page of the log, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditPage {
    /// Entries.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins.
    pub next: Option<Cursor>,
}

enum Note {
    Deed(Timestamp, Deed),
    Seen(TokenHash, Timestamp),
    Used(i64, Timestamp),
}

/// What waits to be written.
pub(super) struct Log {
    queue: mpsc::Sender<Note>,
    waiting: Mutex<Option<mpsc::Receiver<Note>>>,
    lost: AtomicU64,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}

impl Log {
    pub(super) fn new() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        Self {
            queue,
            waiting: Mutex::new(Some(waiting)),
            lost: AtomicU64::new(0),
        }
    }

    fn put(&self, note: Note) {
        if self.queue.try_send(note).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What makes two entries the same one that goes on.
type Same = (Option<String>, Option<IpAddr>, Action, Option<CameraId>, String);

/// What was noted a moment ago. Pure.
#[derive(Default)]
struct Folder {
    seen: HashMap<Same, i64>,
}

impl Folder {
    /// Whether it is an entry of its own.
    fn is_new(&mut self, deed: &Deed, at: Timestamp) -> bool {
        let folds_detail = deed.action.is_folded();
        if !folds_detail && deed.action != Action::Export {
            return true;
        }
        let detail = if folds_detail {
            String::new()
        } else {
            deed.detail.clone()
        };
        let key = (
            deed.user.clone(),
            deed.address.map(group),
            deed.action,
            deed.camera.clone(),
            detail,
        );
        let now = at.as_ns();
        let fold = ns(FOLD);
        if self
            .seen
            .get(&key)
            .is_some_and(|t| (0..fold).contains(&(now - t)))
        {
            return false;
        }
        if self.seen.len() >= QUEUE {
            self.seen.retain(|_, t| (0..fold).contains(&(now - *t)));
            // So many at once are no player: rather an entry twice than no bound.
            if self.seen.len() >= QUEUE {
                self.seen.clear();
            }
        }
        self.seen.insert(key, now);
        true
    }
}

impl Accounts {
    /// Notes what was done; it is written a moment later, while [`work`](Self::work) runs.
    pub fn note(&self, deed: Deed) {
        self.0.log.put(Note::Deed(self.0.clock.now(), deed));
    }

    /// Notes what was done and waits until it is written.
    ///
    /// # Errors
    /// `Storage` when it cannot be.
    pub async fn record(&self, deed: Deed) -> Result<()> {
        let row = deed.row(self.0.clock.now());
        self.store(move |s| s.note(&[row], &[], &[])).await
    }

    pub(super) fn seen(&self, session: TokenHash, at: Timestamp) {
        self.0.log.put(Note::Seen(session, at));
    }

    pub(super) fn used(&self, token: i64, at: Timestamp) {
        self.0.log.put(Note::Used(token, at));
    }

    /// Entries of the log, newest first: of a user, of an action.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn audit(
        &self,
        user: Option<String>,
        action: Option<String>,
        limit: u32,
        cursor: Option<Cursor>,
    ) -> Result<AuditPage> {
        let query = AuditQuery {
            user,
            action,
            limit,
            cursor,
        };
        let page = self.store(move |s| s.audit(&query)).await?;
        let entries = page.items.into_iter().map(|r| AuditEntry {
            at: r.at,
            user: r.user,
            address: r.address,
            action: r.action,
            camera: r.camera,
            detail: r.detail,
        });
        Ok(AuditPage {
            entries: entries.collect(),
            next: page.next,
        })
    }

    /// Writes what is noted and forgets what is older than `keep`, until `stop`. Runs once for each handle and its clones;
    /// further calls end at once.
    pub async fn work(&self, keep: Duration, stop: CancellationToken) {
        let taken = self
            .0
            .log
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut waiting) = taken else { return };
        let mut folder = Folder::default();
        let mut tidied: Option<Timestamp> = None;
        loop {
            let now = self.0.clock.now();
            if tidied.is_none_or(|t| now < t || now >= t + TIDY) {
                tidied = Some(now);
                let before = now - keep;
                if let Err(e) = self.store(move |s| s.forget(before, now)).await {
                    tracing::warn!(error = %e, "what is over in the accounts is not forgotten yet");
                }
            }
            let mut batch = Vec::new();
            let last = tokio::select! {
                n = waiting.recv_many(&mut batch, BATCH) => n == 0,
                () = stop.cancelled() => {
                    while let Ok(note) = waiting.try_recv() {
                        batch.push(note);
                    }
                    true
                }
                () = self.0.clock.sleep(TIDY) => false,
            };
            self.write(batch, &mut folder).await;
            if last {
                return;
            }
        }
    }

    async fn write(&self, batch: Vec<Note>, folder: &mut Folder) {
        let (mut deeds, mut seen, mut used) = (Vec::new(), HashMap::new(), HashMap::new());
        for note in batch {
            match note {
                Note::Deed(at, deed) if folder.is_new(&deed, at) => deeds.push(deed.row(at)),
                Note::Deed(..) => {}
                Note::Seen(session, at) => drop(seen.insert(session, at)),
                Note::Used(token, at) => drop(used.insert(token, at)),
            }
        }
        let lost = self.0.log.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(entries = lost, "the audit log could not keep up");
        }
        if deeds.is_empty() && seen.is_empty() && used.is_empty() {
            return;
        }
        let (seen, used): (Vec<_>, Vec<_>) = (seen.into_iter().collect(), used.into_iter().collect());
        if let Err(e) = self.store(move |s| s.note(&deeds, &seen, &used)).await {
            tracing::warn!(error = %e, "the audit log was not written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deed(action: Action, detail: &str) -> Deed {
        Deed {
            user: Some("anna".into()),
            address: None,
            action,
            camera: CameraId::new("front").ok(),
            detail: detail.into(),
        }
    }

    #[test]
    fn playing_is_one_entry_for_some_minutes() {
        let mut folder = Folder::default();
        let t = Timestamp::from_ns(1_000_000_000_000);
        assert!(folder.is_new(&deed(Action::Play, "a"), t));
        assert!(!folder.is_new(&deed(Action::Play, "b"), t + Duration::from_secs(299)));
        assert!(folder.is_new(&deed(Action::Play, "b"), t + Duration::from_secs(300)));
        assert!(folder.is_new(&deed(Action::Watch, "b"), t));
        assert!(folder.is_new(&deed(Action::Export, "a"), t));
        assert!(!folder.is_new(&deed(Action::Export, "a"), t));
        assert!(folder.is_new(&deed(Action::Export, "b"), t));
        for _ in 0..3 {
            assert!(folder.is_new(&deed(Action::Delete, "a"), t));
        }
    }

    #[test]
    fn one_host_with_many_addresses_is_one_entry() {
        let mut folder = Folder::default();
        let t = Timestamp::from_ns(1_000_000_000_000);
        let from = |address: &str| Deed {
            user: None,
            address: address.parse().ok(),
            ..deed(Action::LoginFailed, "")
        };
        assert!(folder.is_new(&from("2001:db8::1"), t));
        assert!(!folder.is_new(&from("2001:db8::2"), t));
        assert!(folder.is_new(&from("2001:db8:0:1::1"), t));
        assert!(folder.is_new(&from("10.0.0.1"), t));
        assert!(folder.is_new(&from("10.0.0.2"), t));
    }

    #[test]
    fn what_is_folded_never_grows_without_bound() {
        let mut folder = Folder::default();
        let t = Timestamp::from_ns(1_000_000_000_000);
        for n in 0..2 * QUEUE as u32 {
            let from = Deed {
                address: Some(IpAddr::from(n.to_be_bytes())),
                ..deed(Action::LoginFailed, "")
            };
            assert!(folder.is_new(&from, t));
        }
        assert!(folder.seen.len() <= QUEUE);
    }

    #[test]
    fn long_details_are_cut_between_letters() {
        let row = deed(Action::Delete, &"ä".repeat(400)).row(Timestamp::from_ns(0));
        assert_eq!(row.detail, "ä".repeat(150));
    }
}
