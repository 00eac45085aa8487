//! Which segments go: a function of what there is, the limits, the disk and the time.
//!
//! 1. What is older than its camera and kind allow.
//! 2. In an emergency the oldest of all, until the disk is above its critical mark.
//! 3. The oldest of a camera that has more than it may, of all cameras if together they do, and of all cameras until
//!    the disk has its free space. Here footage of events that has an age of its own is spared as long as there is any
//!    other.
//!
//! Emergency and free space concern the recordings root. With a second root that has room its oldest moves there
//! instead of being deleted for free space; the second root has limits of its own.
//!
//! What an upload target is to have first goes in the second step only, and there after all other.
//!
//! Exactly enough goes: without the last deletion of each step its limit would not be kept.

use std::cmp::Reverse;
use std::path::PathBuf;

use super::policy::{Policy, Rules};
use crate::config::Age;
use crate::event::DeletionReason;
use crate::files::Usage;
use crate::ids::{CameraId, SegmentId};
use crate::segment::Tier;
use crate::store::{DeletableRow, Marks, StockRow};
use crate::time::{Timestamp, duration_ns};

/// What a segment is kept as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Ordinary footage.
    Plain,
    /// Encoded again to save space.
    Transcoded,
    /// Something happened in it, whether or not it was encoded again.
    Event,
}

impl From<Marks> for Class {
    fn from(marks: Marks) -> Self {
        match (marks.is_event(), marks.is_transcoded()) {
            (true, _) => Self::Event,
            (false, true) => Self::Transcoded,
            (false, false) => Self::Plain,
        }
    }
}

impl Rules {
    /// How long a class is kept.
    #[must_use]
    pub fn age(&self, class: Class) -> Age {
        match class {
            Class::Plain => self.plain,
            Class::Transcoded => self.transcoded.unwrap_or(self.plain),
            Class::Event => self.event.unwrap_or(self.plain),
        }
    }

    /// Whether a class stays when there is other footage to make room with.
    const fn spares(&self, class: Class) -> bool {
        matches!(class, Class::Event) && self.event.is_some()
    }
}

/// A segment that may be deleted: complete, here, not protected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// Row.
    pub id: SegmentId,
    /// Path relative to the root.
    pub path: PathBuf,
    /// Begin.
    pub start: Timestamp,
    /// End.
    pub end: Timestamp,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Which root it lies below.
    pub tier: Tier,
}

impl From<DeletableRow> for Candidate {
    fn from(row: DeletableRow) -> Self {
        Self {
            id: row.id,
            path: row.path,
            start: row.start,
            end: row.end,
            size_bytes: row.size_bytes,
            tier: row.tier,
        }
    }
}

/// The oldest candidates of a camera and class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct List {
    /// What they are.
    pub class: Class,
    /// Whether an upload target is to have them first: they go in an emergency only.
    pub awaited: bool,
    /// Which root they lie below.
    pub tier: Tier,
    /// By start.
    pub items: Vec<Candidate>,
    /// Whether there are younger ones beyond these.
    pub more: bool,
}

/// What a camera has on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stock {
    /// Camera, configured or not.
    pub camera: CameraId,
    /// Bytes of all its footage: with protected ones and what grows now.
    pub size_bytes: u64,
    /// What of that lies below the second root.
    pub second_bytes: u64,
    /// What of it may be deleted.
    pub lists: Vec<List>,
}

impl Stock {
    /// Of rows of the index; `growing_bytes` is what grows now. While the second root is away, what lies there is no
    /// matter: it does not count, and nothing of it goes.
    #[must_use]
    pub fn new(row: StockRow, growing_bytes: u64, with_second: bool) -> Self {
        let second_bytes = if with_second { row.second_bytes } else { 0 };
        let away = row.second_bytes - second_bytes;
        Self {
            camera: row.camera,
            size_bytes: row.size_bytes.saturating_sub(away).saturating_add(growing_bytes),
            second_bytes,
            lists: row
                .lists
                .into_iter()
                .filter(|list| with_second || list.tier == Tier::First)
                .map(|list| List {
                    class: list.marks.into(),
                    awaited: list.awaited,
                    tier: list.tier,
                    items: list.rows.into_iter().map(Candidate::from).collect(),
                    more: list.more,
                })
                .collect(),
        }
    }
}

/// The file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disk {
    /// Its size.
    pub total_bytes: u64,
    /// What the recorder may still write.
    pub available_bytes: u64,
}

impl From<Usage> for Disk {
    fn from(usage: Usage) -> Self {
        Self {
            total_bytes: usage.total_bytes,
            available_bytes: usage.available_bytes,
        }
    }
}

/// All that is known.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// Every camera that was ever seen.
    pub stocks: &'a [Stock],
    /// The one of the recordings root.
    pub disk: Disk,
    /// The one of the second root, while it can be used.
    pub second: Option<Disk>,
    /// The present; `None` when the clock is not to be trusted: then nothing goes for its age.
    pub now: Option<Timestamp>,
    /// The limits.
    pub policy: &'a Policy,
    /// Most deletions.
    pub most: usize,
}

/// A segment that is to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deletion {
    /// Camera.
    pub camera: CameraId,
    /// Segment.
    pub segment: Candidate,
    /// Why.
    pub reason: DeletionReason,
}

/// What is to go, the oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// In this order.
    pub deletions: Vec<Deletion>,
    /// There is more to do than fits into one plan: ask again when this is done.
    pub more: bool,
    /// So many bytes are missing to the free space that is wanted, and nothing is left to delete.
    pub short_bytes: u64,
}

impl Plan {
    /// What of it lies below one root, so many at most.
    pub(super) fn below(mut self, tier: Tier, most: usize) -> Self {
        self.deletions.retain(|d| d.segment.tier == tier);
        self.cut(most);
        self
    }

    fn cut(&mut self, most: usize) {
        if self.deletions.len() <= most {
            return;
        }
        self.more = true;
        // What is urgent is not held up by what merely is old.
        self.deletions
            .sort_by_key(|d| Reverse(d.reason == DeletionReason::Emergency));
        self.deletions.truncate(most);
    }
}

/// A candidate on the table.
struct Item<'a> {
    stock: usize,
    class: Class,
    segment: &'a Candidate,
    spared: bool,
    awaited: bool,
    reason: Option<DeletionReason>,
}

struct Planner<'a> {
    situation: Situation<'a>,
    /// By start.
    items: Vec<Item<'a>>,
    more: bool,
}

/// Decides.
#[must_use]
pub fn plan(situation: Situation<'_>) -> Plan {
    let mut planner = Planner::new(situation);
    // A step whose lists end too early is done again before the next one: what it frees, no other has to.
    let short = planner.steps().unwrap_or(0);
    planner.finish(short)
}

impl<'a> Planner<'a> {
    fn new(situation: Situation<'a>) -> Self {
        let mut items: Vec<Item<'a>> = Vec::new();
        for (n, stock) in situation.stocks.iter().enumerate() {
            let rules = situation.policy.rules(&stock.camera);
            for list in &stock.lists {
                items.extend(list.items.iter().map(|segment| Item {
                    stock: n,
                    class: list.class,
                    segment,
                    spared: rules.spares(list.class),
                    awaited: list.awaited,
                    reason: None,
                }));
            }
        }
        items.sort_by_key(|i| (i.segment.start, i.segment.id));
        Self {
            situation,
            items,
            more: false,
        }
    }

    /// All steps; what is missing to the free space that is wanted. `None` when one of them is not complete.
    fn steps(&mut self) -> Option<u64> {
        let Situation {
            stocks, disk, policy, ..
        } = self.situation;
        self.expire()?;
        let critical = policy.critical_bytes(disk.total_bytes);
        if disk.available_bytes < critical {
            let over = critical.saturating_sub(self.available());
            self.take(over, None, Some(Tier::First), DeletionReason::Emergency)?;
        }
        for (n, stock) in stocks.iter().enumerate() {
            if let Some(most) = policy.rules(&stock.camera).max_bytes {
                let left = stock.size_bytes.saturating_sub(self.chosen_bytes(Some(n), None));
                self.take(
                    left.saturating_sub(most),
                    Some(n),
                    None,
                    DeletionReason::CameraBytes,
                )?;
            }
        }
        if let Some(most) = policy.max_bytes {
            let all = stocks
                .iter()
                .fold(0u64, |sum, s| sum.saturating_add(s.size_bytes));
            let left = all.saturating_sub(self.chosen_bytes(None, None));
            self.take(left.saturating_sub(most), None, None, DeletionReason::TotalBytes)?;
        }
        let moves = self.second_root()?;
        let wanted = policy.min_free_bytes(disk.total_bytes);
        if moves {
            // The oldest moves, which loses nothing.
            return Some(0);
        }
        self.take(
            wanted.saturating_sub(self.available()),
            None,
            Some(Tier::First),
            DeletionReason::FreeSpace,
        )
    }

    /// The second root's own limits; whether it has room for what moves there.
    fn second_root(&mut self) -> Option<bool> {
        let Situation {
            stocks,
            second,
            policy,
            ..
        } = self.situation;
        let (Some(disk), Some(limits)) = (second, policy.tier) else {
            return Some(false);
        };
        let tier = Some(Tier::Second);
        if let Some(most) = limits.max_bytes {
            let all = stocks
                .iter()
                .fold(0u64, |sum, s| sum.saturating_add(s.second_bytes));
            let left = all.saturating_sub(self.chosen_bytes(None, tier));
            self.take(left.saturating_sub(most), None, tier, DeletionReason::TotalBytes)?;
        }
        let free = disk.available_bytes.saturating_add(self.chosen_bytes(None, tier));
        let wanted = limits.min_free.of(disk.total_bytes);
        let short = self.take(wanted.saturating_sub(free), None, tier, DeletionReason::FreeSpace)?;
        Some(short == 0 || limits.has_room(disk))
    }

    /// What will be free when all that was chosen is gone.
    fn available(&self) -> u64 {
        let disk = self.situation.disk;
        disk.available_bytes
            .saturating_add(self.chosen_bytes(None, Some(Tier::First)))
    }

    /// Bytes chosen so far, of one camera or of all, below one root or both.
    fn chosen_bytes(&self, stock: Option<usize>, tier: Option<Tier>) -> u64 {
        self.items
            .iter()
            .filter(|i| i.reason.is_some() && stock.is_none_or(|s| s == i.stock))
            .filter(|i| tier.is_none_or(|t| t == i.segment.tier))
            .fold(0, |sum, i| sum.saturating_add(i.segment.size_bytes))
    }

    /// Chooses what is too old. `None` when there is more of it beyond the end of a list.
    fn expire(&mut self) -> Option<()> {
        let Some(now) = self.situation.now else {
            return Some(());
        };
        let Situation { stocks, policy, .. } = self.situation;
        let expired =
            |stock: &Stock, class: Class, end: Timestamp| match policy.rules(&stock.camera).age(class) {
                Age::Forever => false,
                Age::For(age) => now.since(end) > duration_ns(age),
            };
        for item in self.items.iter_mut().filter(|i| !i.awaited) {
            if expired(&stocks[item.stock], item.class, item.segment.end) {
                item.reason = Some(DeletionReason::Age);
            }
        }
        for stock in stocks {
            for list in stock.lists.iter().filter(|l| l.more && !l.awaited) {
                self.more |= list
                    .items
                    .last()
                    .is_some_and(|last| expired(stock, list.class, last.end));
            }
        }
        (!self.more).then_some(())
    }

    /// Chooses the oldest, of one camera or of all, below one root or both, until so many bytes are freed. Returns what is missing to that
    /// when nothing is left; `None` when there is more beyond the end of a list.
    fn take(
        &mut self,
        mut over: u64,
        stock: Option<usize>,
        tier: Option<Tier>,
        reason: DeletionReason,
    ) -> Option<u64> {
        // What is spared, and what an upload target is to have first, one after the other.
        let turns: &[(Option<bool>, bool)] = if reason == DeletionReason::Emergency {
            &[(None, false), (None, true)]
        } else {
            &[(Some(false), false), (Some(true), false)]
        };
        for &(spared, awaited) in turns {
            let fits = |n: usize, s: bool, a: bool, lies: Tier| {
                a == awaited
                    && stock.is_none_or(|only| only == n)
                    && spared.is_none_or(|t| t == s)
                    && tier.is_none_or(|t| t == lies)
            };
            // Beyond the end of a list that is cut off nobody knows which is the oldest.
            let horizon = self.horizon(fits);
            for item in &mut self.items {
                if over == 0 {
                    return Some(0);
                }
                if item.reason.is_some() || !fits(item.stock, item.spared, item.awaited, item.segment.tier) {
                    continue;
                }
                if horizon.is_some_and(|h| item.segment.start > h) {
                    break;
                }
                item.reason = Some(reason);
                over = over.saturating_sub(item.segment.size_bytes);
            }
            if over > 0 && horizon.is_some() {
                self.more = true;
                return None;
            }
        }
        Some(over)
    }

    fn horizon(&self, fits: impl Fn(usize, bool, bool, Tier) -> bool) -> Option<Timestamp> {
        let Situation { stocks, policy, .. } = self.situation;
        stocks
            .iter()
            .enumerate()
            .flat_map(|(n, stock)| stock.lists.iter().map(move |list| (n, stock, list)))
            .filter(|(n, stock, list)| {
                let spared = policy.rules(&stock.camera).spares(list.class);
                list.more && fits(*n, spared, list.awaited, list.tier)
            })
            .filter_map(|(.., list)| list.items.last().map(|last| last.start))
            .min()
    }

    fn finish(self, short_bytes: u64) -> Plan {
        let Situation { stocks, most, .. } = self.situation;
        let deletions: Vec<Deletion> = self
            .items
            .into_iter()
            .filter_map(|item| {
                item.reason.map(|reason| Deletion {
                    camera: stocks[item.stock].camera.clone(),
                    segment: item.segment.clone(),
                    reason,
                })
            })
            .collect();
        let mut plan = Plan {
            deletions,
            more: self.more,
            short_bytes,
        };
        plan.cut(most);
        plan
    }
}
