//! What the engine remembers, also over a restart. Pure.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::message::Alert;
use super::rule::AlertKind;
use super::size::Sizes;
use crate::ids::CameraId;
use crate::time::Timestamp;

/// All of it; as JSON in the index.
#[derive(Clone, PartialEq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct State {
    pub(super) last_id: u64,
    pub(super) conditions: BTreeMap<String, Condition>,
    /// Moments by what is counted (`kind|camera`).
    pub(super) counts: BTreeMap<String, VecDeque<Timestamp>>,
    pub(super) sizes: BTreeMap<CameraId, Sizes>,
    /// Alerts that are over, of which that is to be told, and when that was found.
    pub(super) endings: Vec<(Timestamp, Alert)>,
    /// When a rule told something for the last time.
    pub(super) told: BTreeMap<String, Timestamp>,
    pub(super) mutes: Vec<Mute>,
    /// Counters as they were seen last; those of a new process begin at zero.
    #[serde(skip)]
    pub(super) counters: HashMap<String, u64>,
    /// Conditions that the present sample spoke of.
    #[serde(skip)]
    pub(super) touched: HashSet<String>,
}

/// Something that a rule looks at, while it is not well or was not just now.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Condition {
    pub(super) rule: String,
    pub(super) kind: AlertKind,
    pub(super) camera: Option<CameraId>,
    pub(super) subject: Option<String>,
    pub(super) bad: bool,
    /// Since when it is as it is.
    pub(super) changed: Timestamp,
    pub(super) summary: String,
    /// It fired and is not over.
    pub(super) firing: Option<Alert>,
}

/// Nothing is told of these for a time.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Mute {
    /// Its number.
    pub id: u64,
    /// Of this rule; of all without.
    pub rule: Option<String>,
    /// Of this camera; of all, and of what is of none, without.
    pub camera: Option<CameraId>,
    /// Until when.
    pub until: Timestamp,
    /// Who asked for it, if that is known.
    pub by: Option<String>,
}

impl Mute {
    pub(super) fn holds(&self, alert: &Alert) -> bool {
        self.rule.as_ref().is_none_or(|r| *r == alert.rule)
            && (self.camera.is_none() || self.camera == alert.camera)
    }
}
