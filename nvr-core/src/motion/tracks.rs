//! Follows what moves from look to look and says which lines it crosses. Pure.
//!
//! The simplest way that works where looks are rare: what is seen now goes with what was seen before by the distance from
//! where that should be by now, nearest pair first (the centroid trackers of many programs; Frigate's Norfair does the same
//! with boxes). There is nothing that knows a thing again by its looks, so two that meet may be taken for each other.

use crate::line::{Direction, Line, length};
use crate::time::{NS_PER_S, Timestamp};
use crate::zone::Area;

/// So far a thing may be from where it should be, in shares of the picture's width: at once, and for each second since.
const NEAR: (f32, f32) = (0.1, 0.4);
/// The same once it is known how fast it goes.
const NEAR_KNOWN: (f32, f32) = (0.08, 0.25);
/// And never farther than this.
const FARTHEST: f32 = 0.5;
/// A thing is not that much larger or smaller the next time.
const ALIKE: f32 = 6.0;
/// A thing that is not seen is waited for so long, or for so many looks where they are rarer, and no longer than the last.
const MEMORY_NS: i64 = 4 * NS_PER_S;
const MEMORY_LOOKS: i64 = 2;
const MEMORY_MOST_NS: i64 = 10 * NS_PER_S;
/// Nearer to a line than this it is on neither side of it: the middle of what moves trembles.
const MARGIN: f32 = 0.015;
/// Things that are followed at once.
const MOST_TRACKS: usize = 32;
/// Places since a side was last certain.
const MOST_PATH: usize = 64;

/// A line was crossed.
#[derive(Clone, PartialEq, Debug)]
pub struct Crossing {
    /// Name of the line.
    pub line: String,
    /// Which way.
    pub direction: Direction,
    /// The last look at which it was on the one side.
    pub from: Timestamp,
    /// The look at which it was on the other.
    pub to: Timestamp,
    /// Where it was then.
    pub place: Area,
}

/// Where a thing is beside a line.
#[derive(Clone, Debug, Default)]
struct Beside {
    /// Whether it was to the right, when that was last certain, and when.
    certain: Option<(bool, Timestamp)>,
    /// Places since then, that one included.
    path: Vec<(f32, f32)>,
}

#[derive(Clone, Debug)]
struct Track {
    at: Timestamp,
    place: (f32, f32),
    area: f32,
    /// Shares of the picture a second, once it was seen twice.
    speed: Option<(f32, f32)>,
    lines: Vec<Beside>,
}

impl Track {
    fn new(thing: &Area, at: Timestamp, lines: usize) -> Self {
        Self {
            at,
            place: thing.centre(),
            area: size(thing),
            speed: None,
            lines: vec![Beside::default(); lines],
        }
    }

    /// How well a thing fits, 0 the best; `None` when it cannot be this one.
    fn fit(&self, thing: &Area, at: Timestamp) -> Option<f32> {
        let elapsed = at.since(self.at) as f32 / NS_PER_S as f32;
        let (vx, vy) = self.speed.unwrap_or_default();
        let expected = (self.place.0 + vx * elapsed, self.place.1 + vy * elapsed);
        let (least, each) = if self.speed.is_some() { NEAR_KNOWN } else { NEAR };
        let reach = (least + each * elapsed).min(FARTHEST);
        let off = length(expected, thing.centre());
        let ratio = (size(thing) / self.area).max(self.area / size(thing));
        (off <= reach && ratio <= ALIKE).then(|| off / reach + ratio.ln() / ALIKE.ln() / 2.0)
    }

    fn go(&mut self, thing: &Area, at: Timestamp) {
        let elapsed = at.since(self.at) as f32 / NS_PER_S as f32;
        let to = thing.centre();
        if elapsed > 0.0 {
            let now = ((to.0 - self.place.0) / elapsed, (to.1 - self.place.1) / elapsed);
            // Half of what was known: the middle trembles, and things turn.
            self.speed = Some(
                self.speed
                    .map_or(now, |old| ((old.0 + now.0) / 2.0, (old.1 + now.1) / 2.0)),
            );
        }
        (self.at, self.place, self.area) = (at, to, size(thing));
    }
}

/// Never nothing: sizes are divided.
fn size(thing: &Area) -> f32 {
    thing.size().max(1e-6)
}

/// Follows what moves in the pictures of one camera.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    lines: Vec<Line>,
    tracks: Vec<Track>,
    last: Option<Timestamp>,
    /// The usual distance of looks.
    usual_ns: i64,
}

impl Tracker {
    /// One that has seen nothing yet.
    #[must_use]
    pub fn new(lines: Vec<Line>) -> Self {
        Self {
            lines,
            ..Self::default()
        }
    }

    /// The lines.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Other lines from now on. What goes on is followed, but has crossed nothing yet.
    pub fn set(&mut self, lines: Vec<Line>) {
        if self.lines == lines {
            return;
        }
        for track in &mut self.tracks {
            track.lines = vec![Beside::default(); lines.len()];
        }
        self.lines = lines;
    }

    /// Forgets what moves: the picture is another.
    pub fn forget(&mut self) {
        self.tracks.clear();
        self.last = None;
    }

    /// How many things are followed.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.tracks.len()
    }

    /// Takes what moves at a look, and says what crossed which line since the look before.
    pub fn look(&mut self, at: Timestamp, things: &[Area]) -> Vec<Crossing> {
        if self.lines.is_empty() {
            self.tracks.clear();
            return Vec::new();
        }
        if let Some(last) = self.last {
            let distance = at.since(last);
            if distance <= 0 {
                return Vec::new();
            }
            let distance = distance.min(MEMORY_MOST_NS);
            self.usual_ns = if self.usual_ns == 0 {
                distance
            } else {
                self.usual_ns + (distance - self.usual_ns) / 8
            };
        }
        self.last = Some(at);
        let looks_ns = self.usual_ns.saturating_mul(MEMORY_LOOKS) + self.usual_ns / 2;
        let memory_ns = looks_ns.clamp(MEMORY_NS, MEMORY_MOST_NS);
        self.tracks.retain(|t| at.since(t.at) <= memory_ns);

        let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
        for (n, track) in self.tracks.iter().enumerate() {
            for (m, thing) in things.iter().enumerate() {
                pairs.extend(track.fit(thing, at).map(|fit| (fit, n, m)));
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut taken = (vec![false; self.tracks.len()], vec![false; things.len()]);
        let mut crossings = Vec::new();
        for (_, n, m) in pairs {
            if taken.0[n] || taken.1[m] {
                continue;
            }
            (taken.0[n], taken.1[m]) = (true, true);
            let track = &mut self.tracks[n];
            track.go(&things[m], at);
            beside(&self.lines, track, &things[m], at, &mut crossings);
        }
        for (thing, _) in things.iter().zip(&taken.1).filter(|(_, taken)| !**taken) {
            if self.tracks.len() < MOST_TRACKS {
                let mut track = Track::new(thing, at, self.lines.len());
                beside(&self.lines, &mut track, thing, at, &mut crossings);
                self.tracks.push(track);
            }
        }
        crossings
    }
}

/// On which side of each line a thing is now.
fn beside(lines: &[Line], track: &mut Track, thing: &Area, at: Timestamp, crossings: &mut Vec<Crossing>) {
    for (line, state) in lines.iter().zip(&mut track.lines) {
        if state.path.len() >= MOST_PATH {
            state.path.remove(1);
        }
        state.path.push(track.place);
        let beside = line.beside(track.place);
        if beside.abs() < MARGIN {
            continue;
        }
        let right = beside > 0.0;
        if let Some((was_right, from)) = state.certain
            && was_right != right
        {
            let direction = if right {
                Direction::LeftToRight
            } else {
                Direction::RightToLeft
            };
            // Round its end is not across.
            let across = state.path.windows(2).any(|w| line.is_crossed_by(w[0], w[1]));
            if across && line.direction.takes(direction) {
                crossings.push(Crossing {
                    line: line.name.clone(),
                    direction,
                    from,
                    to: at,
                    place: *thing,
                });
            }
        }
        state.certain = Some((right, at));
        state.path = vec![track.place];
    }
}
