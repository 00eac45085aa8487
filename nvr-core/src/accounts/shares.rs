//! Shares: a stretch of one camera's footage for whoever has the address, for a while.

use std::time::Duration;

use super::role::{Identity, Permission};
use super::token::{Token, TokenHash};
use super::{Accounts, UserName};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::CameraId;
use crate::store::accounts::{NewShare, ShareRow};
use crate::time::{TimeRange, Timestamp};

/// How long a share may be good for.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
/// How much footage it may hold.
const MOST_FOOTAGE_NS: i64 = 24 * 3600 * 1_000_000_000;

/// What a share opens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// Row.
    pub id: i64,
    /// Whose footage.
    pub camera: CameraId,
    /// Which of it, and nothing outside.
    pub range: TimeRange,
    /// Until when.
    pub expires: Timestamp,
}

/// A share in a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareInfo {
    /// Row.
    pub id: i64,
    /// Who made it; `None` at the machine.
    pub user: Option<UserName>,
    /// Whose footage.
    pub camera: CameraId,
    /// Which of it.
    pub range: TimeRange,
    /// Since when.
    pub created: Timestamp,
    /// Until when.
    pub expires: Timestamp,
}

impl From<ShareRow> for ShareInfo {
    fn from(r: ShareRow) -> Self {
        Self {
            id: r.id,
            user: r.user.map(|u| u.name),
            camera: r.camera,
            range: r.range,
            created: r.created,
            expires: r.expires,
        }
    }
}

impl Accounts {
    /// Shares footage for a while.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty range, more than a day, or a time that is not 1 minute to 90 days.
    pub async fn add_share(
        &self,
        who: &Identity,
        camera: CameraId,
        range: TimeRange,
        within: Duration,
    ) -> Result<(ShareInfo, Token)> {
        let wrong = |text: &str| Err(Error::new(ErrorKind::InvalidArgument, text));
        if range.is_empty() || range.len_ns() > MOST_FOOTAGE_NS {
            return wrong("from, to: want more than nothing and at most a day");
        }
        if within < Duration::from_secs(60) || within > LONGEST {
            return wrong("expires: want 60 to 7776000 seconds (90 days)");
        }
        let token = Token::random();
        let now = self.0.clock.now();
        let row = NewShare {
            user: who.user_id,
            hash: token.hash(),
            camera,
            range,
            created: now,
            expires: now + within,
        };
        let stored = row.clone();
        let id = self.store(move |s| s.add_share(&stored)).await?;
        let info = ShareInfo {
            id,
            user: who.user.clone(),
            camera: row.camera,
            range: row.range,
            created: row.created,
            expires: row.expires,
        };
        Ok((info, token))
    }

    /// What a share's token opens; `None` when it is none, or over, or whoever made it may no longer export that.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn by_share(&self, token: &str) -> Result<Option<Share>> {
        let hash = TokenHash::of(token);
        let row = self.store(move |s| s.share(hash)).await?;
        let now = self.0.clock.now();
        Ok(row
            .filter(|r| now < r.expires)
            .filter(|r| {
                r.user
                    .as_ref()
                    .is_none_or(|u| u.role.may(Permission::Export) && u.cameras.has(&r.camera))
            })
            .map(|r| Share {
                id: r.id,
                camera: r.camera,
                range: r.range,
                expires: r.expires,
            }))
    }

    /// The shares that somebody may see: his own, or as an administrator all, of his cameras.
    ///
    /// # Errors
    /// `Storage` when the file cannot be read.
    pub async fn shares(&self, who: &Identity) -> Result<Vec<ShareInfo>> {
        let now = self.0.clock.now();
        let rows = self.store(super::AccountStore::shares).await?;
        let all = rows.into_iter().filter(|r| now < r.expires);
        Ok(all.map(ShareInfo::from).filter(|s| is_of(s, who)).collect())
    }

    /// Ends a share that somebody may see.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    pub async fn remove_share(&self, id: i64, who: &Identity) -> Result<()> {
        let rows = self.store(super::AccountStore::shares).await?;
        let found = rows.into_iter().map(ShareInfo::from).find(|s| s.id == id);
        if found.is_some_and(|s| is_of(&s, who)) && self.store(move |s| s.remove_share(id)).await? {
            return Ok(());
        }
        Err(Error::new(ErrorKind::NotFound, format!("there is no share {id}")))
    }
}

fn is_of(share: &ShareInfo, who: &Identity) -> bool {
    who.sees(&share.camera) && (who.may(Permission::Admin) || share.user == who.user)
}
