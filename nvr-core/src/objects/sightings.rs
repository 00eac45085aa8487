//! Stretches of time in which things are seen, made of single pictures. Pure.

use std::collections::BTreeMap;

use super::Area;
use super::select::Sighted;
use crate::ids::CameraId;
use crate::time::Timestamp;

/// Most that go on of one camera: a network gone wild costs no more.
const MOST_OF_A_CAMERA: usize = 32;

/// What makes a sighting: things of a kind at a place are one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Key {
    pub(crate) camera: CameraId,
    pub(crate) label: String,
    pub(crate) zone: Option<String>,
}

/// Where it was in a picture, and with how many others.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Best {
    pub(crate) score: f32,
    pub(crate) area: Area,
    pub(crate) count: usize,
}

/// What changed.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Change {
    Began { key: Key, at: Timestamp, best: Best },
    Better { key: Key, at: Timestamp, best: Best },
    Ended { key: Key, at: Timestamp },
}

#[derive(Debug)]
struct Open {
    last: Timestamp,
    score: f32,
    cool_down_ns: i64,
}

/// What is seen now, of all cameras.
#[derive(Debug, Default)]
pub(crate) struct Sightings(BTreeMap<Key, Open>);

impl Sightings {
    /// What a picture shows.
    pub(crate) fn see(
        &mut self,
        camera: &CameraId,
        at: Timestamp,
        sighted: Vec<Sighted>,
        cool_down_ns: i64,
    ) -> Vec<Change> {
        let mut seen: BTreeMap<Key, Best> = BTreeMap::new();
        for Sighted { object, zone } in sighted {
            let key = Key {
                camera: camera.clone(),
                label: object.label,
                zone,
            };
            let this = Best {
                score: object.score,
                area: object.area,
                count: 1,
            };
            seen.entry(key)
                .and_modify(|best| {
                    best.count += 1;
                    if this.score > best.score {
                        (best.score, best.area) = (this.score, this.area);
                    }
                })
                .or_insert(this);
        }
        let mut changes = Vec::new();
        for (key, best) in seen {
            if let Some(open) = self.0.get_mut(&key) {
                // What came back after its time is over first.
                if at.since(open.last) <= open.cool_down_ns {
                    open.last = open.last.max(at);
                    open.cool_down_ns = cool_down_ns;
                    if best.score > open.score {
                        open.score = best.score;
                        changes.push(Change::Better { key, at, best });
                    }
                    continue;
                }
                changes.push(Change::Ended {
                    key: key.clone(),
                    at: open.last,
                });
                self.0.remove(&key);
            }
            if self.0.keys().filter(|k| k.camera == *camera).count() >= MOST_OF_A_CAMERA {
                continue;
            }
            let open = Open {
                last: at,
                score: best.score,
                cool_down_ns,
            };
            self.0.insert(key.clone(), open);
            changes.push(Change::Began { key, at, best });
        }
        changes
    }

    /// Ends what was not seen for its time.
    pub(crate) fn pass(&mut self, now: Timestamp) -> Vec<Change> {
        let over = |open: &Open| now.since(open.last) > open.cool_down_ns;
        self.end(&over)
    }

    /// Ends all.
    pub(crate) fn close(&mut self) -> Vec<Change> {
        self.end(&|_| true)
    }

    fn end(&mut self, over: &dyn Fn(&Open) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        self.0.retain(|key, open| {
            let ends = over(open);
            if ends {
                changes.push(Change::Ended {
                    key: key.clone(),
                    at: open.last,
                });
            }
            !ends
        });
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::Object;

    const S: i64 = 1_000_000_000;

    fn camera() -> CameraId {
        CameraId::new("yard").unwrap()
    }

    fn sighted(label: &str, score: f32, x: f32) -> Sighted {
        let area = Area {
            x,
            y: 0.0,
            width: 0.1,
            height: 0.1,
        };
        let label = label.to_owned();
        Sighted {
            object: Object { label, score, area },
            zone: None,
        }
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_secs(1000 + s)
    }

    fn words(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|c| match c {
                Change::Began { key, best, .. } => format!("+{} {} x{}", key.label, best.score, best.count),
                Change::Better { key, best, .. } => format!("^{} {} {}", key.label, best.score, best.area.x),
                Change::Ended { key, at } => format!("-{} {}", key.label, at.as_ns() / S - 1000),
            })
            .collect()
    }

    #[test]
    fn a_stretch_begins_gets_better_and_ends_where_it_was_seen_last() {
        let mut s = Sightings::default();
        let mut see = |t, list| words(&s.see(&camera(), at(t), list, 10 * S));
        assert_eq!(
            see(
                0,
                vec![
                    sighted("person", 0.6, 0.1),
                    sighted("person", 0.7, 0.2),
                    sighted("dog", 0.5, 0.3)
                ]
            ),
            ["+dog 0.5 x1", "+person 0.7 x2"]
        );
        assert_eq!(see(1, vec![sighted("person", 0.65, 0.1)]), [""; 0]);
        assert_eq!(see(8, vec![sighted("person", 0.8, 0.5)]), ["^person 0.8 0.5"]);
        assert_eq!(words(&s.pass(at(10))), [""; 0]);
        assert_eq!(words(&s.pass(at(11))), ["-dog 0"]);
        // Pictures were late: it was over before it came back.
        let again = s.see(&camera(), at(30), vec![sighted("person", 0.9, 0.5)], 10 * S);
        assert_eq!(words(&again), ["-person 8", "+person 0.9 x1"]);
        assert_eq!(words(&s.close()), ["-person 30"]);
        assert_eq!(words(&s.close()), [""; 0]);
    }

    #[test]
    fn cameras_and_zones_are_apart_and_their_number_is_limited() {
        let mut s = Sightings::default();
        let other = CameraId::new("gate").unwrap();
        let mut zoned = sighted("car", 0.9, 0.0);
        zoned.zone = Some("drive".into());
        let first = s.see(&camera(), at(0), vec![sighted("car", 0.9, 0.0), zoned], S);
        assert_eq!(first.len(), 2);
        assert_eq!(s.see(&other, at(0), vec![sighted("car", 0.9, 0.0)], S).len(), 1);
        let many = (0..100)
            .map(|n| sighted(&format!("class {n}"), 0.9, 0.0))
            .collect();
        assert_eq!(s.see(&camera(), at(0), many, S).len(), MOST_OF_A_CAMERA - 2);
    }
}
