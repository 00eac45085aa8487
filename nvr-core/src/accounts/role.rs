//! Who may do what, with which cameras. Pure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::name::UserName;
use super::token::TokenHash;
use crate::ids::CameraId;

/// What an act needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// To look and play: cameras, live, timelines, recordings, pictures.
    Look,
    /// To record, start, stop, protect, and to enter jobs.
    Control,
    /// To save footage and to share it.
    Export,
    /// To tell of what is seen: detections from other programs.
    Tell,
    /// Everything else: to delete, to change settings, users, and to see what they did.
    Admin,
}

impl Permission {
    /// All.
    pub const ALL: [Self; 5] = [Self::Look, Self::Control, Self::Export, Self::Tell, Self::Admin];

    /// As a scope of tokens: `read`, `control`, `export`, `events` or `admin`.
    #[must_use]
    pub const fn scope(self) -> &'static str {
        match self {
            Self::Look => "read",
            Self::Control => "control",
            Self::Export => "export",
            Self::Tell => "events",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Look => 1,
            Self::Control => 2,
            Self::Export => 4,
            Self::Admin => 8,
            Self::Tell => 16,
        }
    }
}

/// What a user is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// Looks and plays.
    Viewer,
    /// Also records, exports, protects and enters jobs.
    Operator,
    /// May do everything.
    Admin,
}

impl Role {
    /// All.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.as_str() == name)
    }

    /// Whether it allows something.
    #[must_use]
    pub const fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::Look => true,
            Permission::Control | Permission::Export | Permission::Tell => {
                matches!(self, Self::Operator | Self::Admin)
            }
            Permission::Admin => matches!(self, Self::Admin),
        }
    }
}

/// What a token is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything.
    #[must_use]
    pub const fn all() -> Self {
        Self(31)
    }

    /// With one more; `admin` holds all others.
    #[must_use]
    pub const fn with(self, permission: Permission) -> Self {
        match permission {
            Permission::Admin => Self::all(),
            other => Self(self.0 | other.bit()),
        }
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, permission: Permission) -> bool {
        self.0 & permission.bit() != 0
    }

    /// The permissions.
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        Permission::ALL.into_iter().filter(move |p| self.has(*p))
    }

    /// Reads words with commas; unknown ones give nothing.
    pub(crate) fn from_text(text: &str) -> Self {
        text.split(',').filter_map(Self::word).fold(Self(0), Self::with)
    }

    /// The permission of a word.
    #[must_use]
    pub fn word(word: &str) -> Option<Permission> {
        Permission::ALL.into_iter().find(|p| p.scope() == word)
    }

    pub(crate) fn to_text(self) -> String {
        self.iter().map(Permission::scope).collect::<Vec<_>>().join(",")
    }
}

/// All cameras, or some.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CameraSet(Option<Arc<BTreeSet<CameraId>>>);

impl CameraSet {
    /// All, also those to come.
    #[must_use]
    pub const fn all() -> Self {
        Self(None)
    }

    /// Only these.
    #[must_use]
    pub fn only(ids: impl IntoIterator<Item = CameraId>) -> Self {
        Self(Some(Arc::new(ids.into_iter().collect())))
    }

    /// Whether it is all of them.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a camera is among them.
    #[must_use]
    pub fn has(&self, id: &CameraId) -> bool {
        self.0.as_ref().is_none_or(|ids| ids.contains(id))
    }

    /// The ids; `None` for all.
    pub fn ids(&self) -> Option<impl Iterator<Item = &CameraId>> {
        self.0.as_ref().map(|ids| ids.iter())
    }

    /// Those in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (&self.0, &other.0) {
            (None, _) => other.clone(),
            (_, None) => self.clone(),
            (Some(a), Some(b)) => Self::only(a.intersection(b).cloned()),
        }
    }
}

/// By what somebody is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Via {
    /// The server asks nobody.
    Open,
    /// A login of a browser.
    Session(TokenHash),
    /// A token, by its row.
    Token(i64, TokenHash),
    /// Name and password with the request; the hash tells whether it is still the same password.
    Password(TokenHash),
}

/// Somebody who asks, and what he may.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The user; `None` for a token made at the machine, and where nobody is asked.
    pub user: Option<UserName>,
    pub(crate) user_id: Option<i64>,
    /// What he may at most.
    pub role: Role,
    /// What of it the token is for; everything without one.
    pub scopes: Scopes,
    /// With which cameras.
    pub cameras: CameraSet,
    /// By what he is known.
    pub via: Via,
}

impl Identity {
    /// Whoever asks a server without accounts.
    #[must_use]
    pub const fn open() -> Self {
        Self {
            user: None,
            user_id: None,
            role: Role::Admin,
            scopes: Scopes::all(),
            cameras: CameraSet::all(),
            via: Via::Open,
        }
    }

    /// Whether he may do something at all.
    #[must_use]
    pub const fn may(&self, permission: Permission) -> bool {
        self.role.may(permission) && self.scopes.has(permission)
    }

    /// Whether he may have to do with a camera.
    #[must_use]
    pub fn sees(&self, camera: &CameraId) -> bool {
        self.cameras.has(camera)
    }

    /// The same with what concerns no camera, or may be none of his.
    #[must_use]
    pub fn sees_maybe(&self, camera: Option<&CameraId>) -> bool {
        camera.map_or(self.cameras.is_all(), |c| self.sees(c))
    }

    /// How the log calls him.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        match (&self.user, &self.via) {
            (Some(user), _) => Some(user.to_string()),
            (None, Via::Token(id, _)) => Some(format!("token:{id}")),
            _ => None,
        }
    }
}
