//! Looks at one small grey picture after the other and says how much moves. Pure.
//!
//! What is used here is well known; none of it is new:
//!
//! - A running mean and deviation for each cell as the background, which learns slower where something is (Wren et al.,
//!   Pfinder, 1997; Frigate's `improved_motion`, ZoneMinder's blended reference picture).
//! - A cell may look like any of its neighbours did, so that a camera that trembles sees nothing (ViBe, Barnich and Van
//!   Droogenbroeck, 2011), and whole pictures are moved back by some cells where that explains them.
//! - Specks are taken away and what touches is put together (the `despeckle` and labels of the program Motion).
//! - Where light changes, brightness does and structure does not: correlation of small parts with the background tells a
//!   lamp from a thing. Where most of the picture changes at once it is light (the `lightswitch` of Motion, Frigate's
//!   `lightning_threshold`), and learnt at once.
//! - A thing has to differ from what was there a moment ago, too. What came and stands still is no motion.

use std::collections::VecDeque;

use super::background::{Background, Seen};
use super::blobs::{self, Blob};
use super::light;
use crate::grey::GreyFrame;
use crate::time::NS_PER_S;
use crate::zone::{Area, Polygon, Zone};

/// Cells of a row of the pictures that it is made for.
pub const WIDTH: usize = 160;
/// Share of the picture from which on a change is looked at more closely: the camera may have moved.
const MOVED_SHARE: f32 = 0.01;
/// The same for light.
const LIGHT_SHARE: f32 = 0.3;
/// Grey levels that all cells have in common from one look to the next: somebody switched a lamp, if the structure stays.
const LIGHT_STEP: f32 = 12.0;
/// Nothing but light changes so much at once, or the camera was turned.
const ALL_SHARE: f32 = 0.75;
/// After a change of light the exposure settles.
const SETTLING_NS: i64 = 3 * NS_PER_S;
/// What was there a moment ago is at least so old: somebody who walks is a cell further by then.
const MOMENT_NS: i64 = 400_000_000;
/// So many deviations of a cell are no noise.
const DEVIATIONS: f32 = 4.0;
/// With a hundredth of the cells specks, a thing needs twice the cells.
const SPECKS: f32 = 100.0;
/// So many things are told of at most, the largest.
const MOST_THINGS: usize = 24;
/// Most things of a look that are told.
const MOST_MOVING: usize = 32;
/// So many small things at once are rain or snow.
const MANY: usize = 8;

/// What a detector looks for.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// How little is enough, 1 to 100 (default 50).
    pub sensitivity: u8,
    /// Only what moves in one of these counts; everywhere when there are none.
    pub zones: Vec<Zone>,
    /// What moves in one of these never counts.
    pub masks: Vec<Polygon>,
    /// Whether what moves is told thing by thing ([`Look::things`]), wherever no mask is, zones or not.
    pub things: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sensitivity: 50,
            zones: Vec::new(),
            masks: Vec::new(),
            things: false,
        }
    }
}

/// What was made of a picture as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scene {
    /// It is new; what it usually looks like is not known yet.
    Learning,
    /// As usual, but for what moves.
    Steady,
    /// The light changed, or the camera was turned. It was learnt; nothing counts as motion.
    Light,
    /// The camera shook; that was allowed for.
    Shaken,
}

/// What a look gave.
#[derive(Clone, PartialEq, Debug)]
pub struct Look {
    /// How much moves, 0 to 1: from 0.5 on motion for sure, from 0.2 on if it does so again.
    pub score: f32,
    /// The same of each zone, in the order of the settings.
    pub zones: Vec<f32>,
    /// What the picture is as a whole.
    pub scene: Scene,
    /// Where it moves most.
    pub place: Option<Area>,
    /// What moves, thing by thing, if that was asked for: parts that are next to each other are one.
    pub things: Vec<Area>,
    /// Everything that moves, the largest first, at most 32; the same thing twice where zones overlap.
    pub moving: Vec<Area>,
}

/// A sensitivity as what it means.
#[derive(Clone, Copy, Debug)]
struct Needs {
    /// Grey levels that a cell has to differ.
    levels: f32,
    /// Cells of a thing, of a picture of 160 by 90.
    cells: f32,
}

impl Needs {
    /// From 34 grey levels and 24 cells at 1 over 14 and 8 at 50 to 6 and 3 at 100.
    fn of(sensitivity: u8) -> Self {
        let less = (50.0 - f32::from(sensitivity.clamp(1, 100))) / 50.0;
        Self {
            levels: 14.0 * 2.4f32.powf(less),
            cells: 8.0 * 3f32.powf(less),
        }
    }
}

/// Cells that share a sensitivity.
#[derive(Clone, Debug)]
struct Watch {
    /// Of the settings; none: the whole picture.
    zone: Option<usize>,
    needs: Needs,
    cells: Vec<bool>,
    /// Whether it counts as motion; else it is for things only.
    counts: bool,
}

#[derive(Clone, Debug)]
struct Seat {
    background: Background,
    watches: Vec<Watch>,
    /// Cells that no mask covers.
    active: Vec<bool>,
    /// The newest pictures, so many that the first is a moment old.
    recent: VecDeque<(i64, Vec<f32>)>,
    last_ns: i64,
    /// What all cells had in common at the last look.
    last_common: f32,
    /// Whether things are asked for.
    things: bool,
    settling_until_ns: i64,
}

/// Looks at the pictures of one camera.
#[derive(Clone, Debug)]
pub struct Detector {
    settings: Settings,
    seat: Option<Seat>,
}

impl Detector {
    /// One that has seen nothing yet.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings, seat: None }
    }

    /// Other settings from now on. What the picture usually looks like stays known.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
        if let Some(seat) = &mut self.seat {
            let (w, h) = (seat.background.width, seat.background.height);
            seat.watches = watches(&self.settings, w, h);
            seat.things = self.settings.things;
            seat.active = active(&self.settings.masks, w, h);
        }
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Forgets what the picture looks like: another begins.
    pub fn forget(&mut self) {
        self.seat = None;
    }

    /// Looks at the next picture. `at_ns` is its time; from what day on does not matter.
    pub fn look(&mut self, frame: &GreyFrame, at_ns: i64) -> Look {
        let (w, h) = (frame.width(), frame.height());
        let cells: Vec<f32> = frame.cells().iter().map(|c| f32::from(*c)).collect();
        let zones = self.settings.zones.len();
        match &mut self.seat {
            Some(seat) if (seat.background.width, seat.background.height) == (w, h) => {
                seat.look(cells, at_ns, zones)
            }
            _ => {
                self.seat = Some(Seat {
                    background: Background::new(w, h, &cells),
                    watches: watches(&self.settings, w, h),
                    active: active(&self.settings.masks, w, h),
                    recent: VecDeque::from([(at_ns, cells)]),
                    last_ns: at_ns,
                    last_common: 0.0,
                    things: self.settings.things,
                    settling_until_ns: i64::MIN,
                });
                nothing(zones, Scene::Learning)
            }
        }
    }
}

fn nothing(zones: usize, scene: Scene) -> Look {
    Look {
        score: 0.0,
        zones: vec![0.0; zones],
        scene,
        place: None,
        things: Vec::new(),
        moving: Vec::new(),
    }
}

/// Cells of which the middle is inside.
fn inside(area: &Polygon, width: usize, height: usize) -> Vec<bool> {
    let middle = |n: usize, of: usize| (n as f32 + 0.5) / of as f32;
    (0..width * height)
        .map(|at| area.contains(middle(at % width, width), middle(at / width, height)))
        .collect()
}

fn active(masks: &[Polygon], width: usize, height: usize) -> Vec<bool> {
    let mut cells = vec![true; width * height];
    for mask in masks {
        for (cell, masked) in cells.iter_mut().zip(inside(mask, width, height)) {
            *cell &= !masked;
        }
    }
    cells
}

fn watches(settings: &Settings, width: usize, height: usize) -> Vec<Watch> {
    // A picture of fewer cells has things of fewer cells.
    let scale = (width * height) as f32 / (WIDTH * 90) as f32;
    let needs = |sensitivity: u8| {
        let mut needs = Needs::of(sensitivity);
        needs.cells = (needs.cells * scale).max(3.0);
        needs
    };
    if settings.zones.is_empty() {
        return vec![Watch {
            zone: None,
            needs: needs(settings.sensitivity),
            cells: vec![true; width * height],
            counts: true,
        }];
    }
    let zones = settings.zones.iter().enumerate();
    let zones = zones.map(|(n, zone)| Watch {
        zone: Some(n),
        needs: needs(zone.sensitivity.unwrap_or(settings.sensitivity)),
        cells: inside(&zone.area, width, height),
        counts: true,
    });
    let everywhere = settings.things.then(|| Watch {
        zone: None,
        needs: needs(settings.sensitivity),
        cells: vec![true; width * height],
        counts: false,
    });
    zones.chain(everywhere).collect()
}

impl Seat {
    fn look(&mut self, mut cells: Vec<f32>, at_ns: i64, zones: usize) -> Look {
        let elapsed_s = (at_ns.saturating_sub(self.last_ns) as f32 / NS_PER_S as f32).clamp(0.0, 60.0);
        self.last_ns = at_ns;
        let width = self.background.width;
        let seen = cells.clone();
        // What all cells have in common is exposure.
        let common = light::common(&cells, self.background.mean(), &self.active);
        let step = (common - self.last_common).abs();
        self.last_common = common;
        cells.iter_mut().for_each(|c| *c -= common);

        let (low, high) = self.background.around();
        let off_of = |cells: &[f32]| -> Vec<f32> {
            let bounds = low.iter().zip(&high);
            let cells = cells.iter().zip(bounds);
            cells
                .map(|(c, (low, high))| (c - high).max(low - c).max(0.0))
                .collect()
        };
        let mut off = off_of(&cells);
        let least = self.watches.iter().map(|w| w.needs.levels).fold(14.0, f32::min);
        let mut share = self.changed_share(&off, least);
        let mut scene = Scene::Steady;
        if share > MOVED_SHARE
            && let Some(moved) = light::moved(&cells, self.background.mean(), width)
        {
            let back = light::moved_back(&cells, self.background.mean(), width, moved);
            let still = off_of(&back);
            let left = self.changed_share(&still, least);
            if left < share / 2.0 {
                (off, share, scene) = (still, left, Scene::Shaken);
                cells = back;
            }
        }
        if self.background.is_learning() {
            self.background
                .learn(&cells, &vec![Seen::Quiet; cells.len()], elapsed_s);
            self.remember(at_ns, cells);
            return nothing(zones, Scene::Learning);
        }
        let kept = light::keeps_structure(&cells, self.background.mean(), width);
        if share > LIGHT_SHARE || step > LIGHT_STEP {
            let judged = if step > LIGHT_STEP {
                self.active.clone()
            } else {
                self.changed(&off, least)
            };
            if share > ALL_SHARE || light::is_light(&kept, &judged, width) {
                self.background.adopt(&seen);
                self.last_common = 0.0;
                self.settling_until_ns = at_ns.saturating_add(SETTLING_NS);
                self.recent.clear();
                self.remember(at_ns, seen);
                return nothing(zones, Scene::Light);
            }
        }
        if at_ns < self.settling_until_ns {
            // What the exposure does until it is settled; somebody who comes in with the lamp is seen then.
            self.background
                .learn(&cells, &vec![Seen::Quiet; cells.len()], 30.0);
            self.remember(at_ns, cells);
            return nothing(zones, Scene::Light);
        }
        let before = self.recent.front().map(|(_, cells)| cells.clone());
        let mut seen = vec![Seen::Quiet; cells.len()];
        let mut look = nothing(zones, scene);
        let mut best = 0.0;
        for watch in &self.watches {
            let (score, found) = self.score(watch, &off, &kept, &cells, before.as_deref(), &mut seen);
            let height = self.background.height;
            if self.things && watch.zone.is_none() {
                look.things = blobs::together(&found, MOST_THINGS)
                    .iter()
                    .map(|bounds| area(*bounds, width, height))
                    .collect();
            }
            if !watch.counts {
                continue;
            }
            if let Some(zone) = watch.zone {
                look.zones[zone] = score;
            }
            look.score = look.score.max(score);
            let areas = found.iter().map(|b| area(b.bounds, width, height));
            look.moving.extend(areas.take(MOST_MOVING));
            if let Some(blob) = found.first().filter(|_| score > best) {
                best = score;
                look.place = Some(area(blob.bounds, width, height));
            }
        }
        look.moving.sort_by(|a, b| b.size().total_cmp(&a.size()));
        look.moving.truncate(MOST_MOVING);
        self.background.learn(&cells, &seen, elapsed_s);
        self.remember(at_ns, cells);
        look
    }

    fn needed(&self, at: usize, levels: f32) -> f32 {
        levels.max(DEVIATIONS * self.background.tremble()[at])
    }

    fn changed(&self, off: &[f32], levels: f32) -> Vec<bool> {
        let cells = off.iter().enumerate();
        cells
            .map(|(at, off)| self.active[at] && *off > self.needed(at, levels))
            .collect()
    }

    fn changed_share(&self, off: &[f32], levels: f32) -> f32 {
        let active = self.active.iter().filter(|a| **a).count().max(1);
        let changed = self.changed(off, levels).into_iter().filter(|c| *c).count();
        changed as f32 / active as f32
    }

    /// How much moves where a watch is kept, and what, the largest first.
    fn score(
        &self,
        watch: &Watch,
        off: &[f32],
        kept: &light::Kept,
        cells: &[f32],
        before: Option<&[f32]>,
        seen: &mut [Seen],
    ) -> (f32, Vec<Blob>) {
        let width = self.background.width;
        let mut changed = self.changed(off, watch.needs.levels);
        for (cell, watched) in changed.iter_mut().zip(&watch.cells) {
            *cell &= watched;
        }
        let kept_cells = blobs::without_specks(&changed, width);
        let specks = changed
            .iter()
            .zip(&kept_cells)
            .filter(|(c, k)| **c && !**k)
            .count();
        let watched = watch.cells.iter().filter(|c| **c).count().max(1);
        // Where there are many specks it rains, and some of them touch.
        let needed = watch.needs.cells * (1.0 + (specks as f32 / watched as f32 * SPECKS).min(3.0));
        let mut things = Vec::new();
        for blob in blobs::find(&kept_cells, width) {
            if (blob.cells.len() as f32) < needed {
                continue;
            }
            let moves = self.moves(&blob, watch.needs.levels, cells, before);
            let lit = kept.share(&blob.cells, width) > 0.6;
            let what = if moves && !lit {
                Seen::Moving
            } else {
                Seen::Standing
            };
            for &at in &blob.cells {
                seen[at] = what;
            }
            if what == Seen::Moving {
                things.push(blob);
            }
        }
        let largest = things.iter().map(|b| b.cells.len()).max().unwrap_or(0);
        if things.len() >= MANY && (largest as f32) < 4.0 * needed {
            // These cells tremble more than was known.
            for at in things.iter().flat_map(|b| &b.cells) {
                seen[*at] = Seen::Quiet;
            }
            return (0.0, Vec::new());
        }
        let weight: f32 = things
            .iter()
            .map(|b| self.weight(b, watch.needs.levels, off))
            .sum();
        let score = weight / (weight + 3.0 * needed);
        things.sort_by_key(|b| std::cmp::Reverse(b.cells.len()));
        (score, things)
    }

    /// Cells of a thing, more for one that stands out and fewer for one that hardly does.
    fn weight(&self, blob: &Blob, levels: f32, off: &[f32]) -> f32 {
        let over: f32 = blob
            .cells
            .iter()
            .map(|&at| off[at] / self.needed(at, levels))
            .sum();
        let cells = blob.cells.len() as f32;
        cells * (over / cells / 1.5).clamp(0.5, 2.0)
    }

    /// Whether a thing was elsewhere a moment ago.
    fn moves(&self, blob: &Blob, levels: f32, cells: &[f32], before: Option<&[f32]>) -> bool {
        let Some(before) = before else { return true };
        let differs = |at: &&usize| (cells[**at] - before[**at]).abs() > self.needed(**at, levels) * 0.75;
        let differing = blob.cells.iter().filter(differs).count();
        differing >= 2 && differing as f32 >= blob.cells.len() as f32 * 0.08
    }

    fn remember(&mut self, at_ns: i64, cells: Vec<f32>) {
        // Frames that come faster are not all needed.
        if self.recent.len() >= 2
            && self
                .recent
                .back()
                .is_some_and(|(at, _)| at_ns - at < MOMENT_NS / 4)
        {
            return;
        }
        self.recent.push_back((at_ns, cells));
        while self.recent.get(1).is_some_and(|(at, _)| at_ns - at >= MOMENT_NS) {
            self.recent.pop_front();
        }
    }
}

fn area((left, top, right, bottom): blobs::Bounds, width: usize, height: usize) -> Area {
    let share = |n: usize, of: usize| n as f32 / of as f32;
    Area {
        x: share(left, width),
        y: share(top, height),
        width: share(right + 1 - left, width),
        height: share(bottom + 1 - top, height),
    }
}
