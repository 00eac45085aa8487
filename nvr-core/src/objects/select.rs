//! Which of the things that a network found count: those of wanted kinds that move, outside of masks, by zone. Pure.

use super::{Area, Object};
use crate::config::{MotionConfig, ObjectsConfig};

/// Share of a thing that has to move. Somebody who walks by a parked car covers less of it.
const LEAST_MOVING: f32 = 0.1;

/// A thing that counts.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Sighted {
    pub(crate) object: Object,
    /// The zone in which it stands.
    pub(crate) zone: Option<String>,
}

/// What of `found` counts where this moves.
pub(super) fn select(
    found: Vec<Object>,
    moving: &[Area],
    config: &ObjectsConfig,
    motion: &MotionConfig,
) -> Vec<Sighted> {
    let moves = |object: &Object| config.standing || covered(&object.area, moving) >= LEAST_MOVING;
    let counting = found.into_iter().filter(|o| wanted(config, o) && moves(o));
    counting
        .filter_map(|object| {
            let (x, y) = foot(&object.area);
            if motion.masks.iter().any(|mask| mask.contains(x, y)) {
                return None;
            }
            let zone = motion.zones.iter().find(|zone| zone.area.contains(x, y));
            if zone.is_none() && !motion.zones.is_empty() {
                return None;
            }
            let zone = zone.map(|zone| zone.name.clone());
            Some(Sighted { object, zone })
        })
        .collect()
}

/// Whether things of its kind are looked for.
pub(super) fn wanted(config: &ObjectsConfig, object: &Object) -> bool {
    config.classes.is_empty() || config.classes.contains(&object.label)
}

/// Where it stands on the ground; a little above its lower edge, which may be that of the picture.
fn foot(area: &Area) -> (f32, f32) {
    (area.x + area.width / 2.0, area.y + area.height * 0.95)
}

/// Share of an area that others cover; where these overlap it counts twice.
fn covered(area: &Area, others: &[Area]) -> f32 {
    let size = area.size();
    let both = |other: &Area| {
        let across = (area.x + area.width).min(other.x + other.width) - area.x.max(other.x);
        let down = (area.y + area.height).min(other.y + other.height) - area.y.max(other.y);
        across.max(0.0) * down.max(0.0)
    };
    let covered: f32 = others.iter().map(both).sum();
    if size > 0.0 { covered / size } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::{Polygon, Zone};

    fn area(x: f32, y: f32, width: f32, height: f32) -> Area {
        Area { x, y, width, height }
    }

    fn thing(label: &str, area: Area) -> Object {
        Object {
            label: label.to_owned(),
            score: 0.9,
            area,
        }
    }

    fn labels(sighted: &[Sighted]) -> Vec<&str> {
        sighted.iter().map(|s| &*s.object.label).collect()
    }

    #[test]
    fn what_moves_counts_and_a_parked_car_does_not() {
        let found = vec![
            thing("person", area(0.1, 0.3, 0.1, 0.4)),
            thing("car", area(0.15, 0.4, 0.5, 0.3)),
            thing("bird", area(0.8, 0.1, 0.05, 0.05)),
        ];
        let mut config = ObjectsConfig::new("m.onnx");
        let motion = MotionConfig::default();
        // The one who walks by covers a tenth of the car's width.
        let moving = [area(0.11, 0.3, 0.09, 0.35)];
        let seen = select(found.clone(), &moving, &config, &motion);
        assert_eq!(labels(&seen), ["person"]);
        assert_eq!(seen[0].zone, None);
        config.standing = true;
        assert_eq!(labels(&select(found.clone(), &moving, &config, &motion)).len(), 3);
        config.classes = vec!["bird".into(), "car".into()];
        assert_eq!(labels(&select(found, &moving, &config, &motion)), ["car", "bird"]);
    }

    #[test]
    fn zones_and_masks_go_by_where_a_thing_stands() {
        let found = vec![
            thing("person", area(0.1, 0.1, 0.1, 0.8)),
            thing("dog", area(0.7, 0.7, 0.1, 0.3)),
            thing("cat", area(0.45, 0.0, 0.1, 0.2)),
        ];
        let mut config = ObjectsConfig::new("m.onnx");
        config.standing = true;
        let mut motion = MotionConfig {
            zones: Zone::parse_list("left: 0,0.5 0.5,0.5 0.5,1 0,1; right: 0.5,0.5 1,0.5 1,1 0.5,1").unwrap(),
            ..MotionConfig::default()
        };
        let seen = select(found.clone(), &[], &config, &motion);
        let zones: Vec<_> = seen.iter().map(|s| s.zone.as_deref().unwrap()).collect();
        assert_eq!(labels(&seen), ["person", "dog"]);
        assert_eq!(zones, ["left", "right"]);
        motion.masks = Polygon::parse_list("0,0.8 0.3,0.8 0.3,1 0,1").unwrap();
        assert_eq!(labels(&select(found, &[], &config, &motion)), ["dog"]);
    }
}
