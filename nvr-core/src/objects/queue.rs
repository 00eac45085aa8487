//! Pictures that wait to be looked at: of each camera the newest, the cameras in turn. Pure.

use std::collections::VecDeque;

use crate::ids::CameraId;

/// Most that wait, of all cameras: each is a whole decoded picture.
const MOST: usize = 16;

/// What waits, by camera.
#[derive(Debug)]
pub(super) struct Queue<T>(VecDeque<(CameraId, T)>);

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Queue<T> {
    /// Takes one; gives the camera whose picture was left out for it. One that waits already keeps its place, with the
    /// newer picture.
    pub(super) fn push(&mut self, camera: CameraId, item: T) -> Option<CameraId> {
        if let Some(waiting) = self.0.iter_mut().find(|(id, _)| *id == camera) {
            waiting.1 = item;
            return Some(camera);
        }
        if self.0.len() >= MOST {
            return Some(camera);
        }
        self.0.push_back((camera, item));
        None
    }

    pub(super) fn pop(&mut self) -> Option<(CameraId, T)> {
        self.0.pop_front()
    }

    /// Nobody looks at what waits.
    pub(super) fn clear(&mut self) -> Vec<CameraId> {
        self.0.drain(..).map(|(id, _)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> CameraId {
        CameraId::new(&format!("cam{n}")).unwrap()
    }

    #[test]
    fn the_newest_of_each_camera_waits_and_they_take_turns() {
        let mut queue = Queue::default();
        assert_eq!(queue.push(id(1), 10), None);
        assert_eq!(queue.push(id(2), 20), None);
        // A busy camera does not get in before the others.
        assert_eq!(queue.push(id(1), 11), Some(id(1)));
        assert_eq!(queue.pop(), Some((id(1), 11)));
        assert_eq!(queue.push(id(1), 12), None);
        assert_eq!(queue.pop(), Some((id(2), 20)));
        assert_eq!(queue.clear(), [id(1)]);
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn no_more_wait_than_there_is_room_for() {
        let mut queue = Queue::default();
        for n in 0..MOST {
            assert_eq!(queue.push(id(n), n), None);
        }
        assert_eq!(queue.push(id(MOST), 0), Some(id(MOST)));
        assert_eq!(queue.push(id(3), 99), Some(id(3)));
        assert_eq!(queue.clear().len(), MOST);
    }
}
