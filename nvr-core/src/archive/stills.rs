//! The stills that are there: listed by time, and read.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;

use super::Archive;
use crate::error::{Error, Result};
use crate::files::Day;
use crate::files::stills::{self as tree, StillName};
use crate::ids::CameraId;
use crate::nvr::blocking;
use crate::stills::{Still, StillQuery};
use crate::store::{Cursor, MAX_PAGE, Order, Page};
use crate::time::{TimeRange, Timestamp};

impl Archive {
    /// Stills of a camera, a page at a time. Of a camera that was removed as well.
    ///
    /// # Errors
    /// `NotFound` when there never was such a camera, `Storage` when the recordings root is not there.
    pub async fn stills(&self, query: StillQuery) -> Result<Page<Still>> {
        let archive = self.clone();
        blocking(move || {
            archive.known(&query.camera)?;
            let root = archive.root_folder()?;
            page(&root, &query)
        })
        .await
    }

    /// A still as JPEG, by its time to the millisecond.
    ///
    /// # Errors
    /// `NotFound` when there is none of that moment, `Storage` when it cannot be read.
    pub async fn still(&self, camera: CameraId, at: Timestamp) -> Result<Bytes> {
        let archive = self.clone();
        blocking(move || {
            let dir = archive.root_folder()?;
            tree::read(&dir, &StillName::of(camera, at)).map(Bytes::from)
        })
        .await
    }

    /// The stills of a camera in a range, the oldest first. Blocking.
    pub(crate) fn stills_in(&self, camera: &CameraId, range: TimeRange) -> Result<Vec<StillName>> {
        let dir = self.root_folder()?;
        let mut all = Vec::new();
        for day in days(&dir, camera, range)? {
            all.extend(tree::names(&dir, camera, day)?);
        }
        all.retain(|name| range.contains(name.at()));
        Ok(all)
    }

    /// Reads one of them. Blocking.
    pub(crate) fn read_still(&self, name: &StillName) -> Result<Vec<u8>> {
        let root = self.root_folder()?;
        tree::read(&root, name)
    }

    fn root_folder(&self) -> Result<Arc<OwnedFd>> {
        match &self.0.tree {
            Some(tree) => tree.root().dir(),
            None => std::fs::File::open(&self.0.root)
                .map(|dir| Arc::new(dir.into()))
                .map_err(|e| Error::io(self.0.root.display(), e)),
        }
    }
}

/// The days of a camera that a range touches.
fn days(root: &OwnedFd, camera: &CameraId, range: TimeRange) -> Result<Vec<Day>> {
    let (first, last) = (Day::of(range.start()), Day::of(range.end()));
    let mut days = tree::days(root, camera)?;
    days.retain(|day| (first..=last).contains(day));
    Ok(days)
}

fn page(root: &OwnedFd, query: &StillQuery) -> Result<Page<Still>> {
    let limit = query.limit.clamp(1, MAX_PAGE) as usize;
    let after = query.cursor.map(|c| Timestamp::from_ns(c.at_ns));
    let mut days = days(root, &query.camera, query.range)?;
    if query.order == Order::Desc {
        days.reverse();
    }
    let is_wanted = |at: Timestamp| {
        query.range.contains(at)
            && after.is_none_or(|after| match query.order {
                Order::Asc => at > after,
                Order::Desc => at < after,
            })
    };
    let mut items = Vec::new();
    let mut more = false;
    for day in days {
        let passed = after.is_some_and(|after| match query.order {
            Order::Asc => day < Day::of(after),
            Order::Desc => day > Day::of(after),
        });
        if passed {
            continue;
        }
        let mut names = tree::names(root, &query.camera, day)?;
        if query.order == Order::Desc {
            names.reverse();
        }
        names.retain(|name| is_wanted(name.at()));
        more = names.len() > limit - items.len();
        names.truncate(limit - items.len());
        let sizes = tree::sizes(root, &query.camera, day, &names)?;
        let there = names.into_iter().zip(sizes);
        items.extend(there.filter_map(|(name, size)| {
            Some(Still {
                at: name.at(),
                camera: name.camera,
                size_bytes: size?,
            })
        }));
        if more {
            break;
        }
        // A page that is just full may be the last one: the next day tells.
    }
    let next = items.last().filter(|_| more).map(|last| Cursor {
        at_ns: last.at.as_ns(),
        id: 0,
    });
    Ok(Page { items, next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::root_at;

    #[test]
    fn pages_are_whole_in_both_directions() {
        let dir = tempfile::tempdir().unwrap();
        let root = root_at(dir.path());
        let camera = CameraId::new("front").unwrap();
        let at = |n: i64| Timestamp::from_secs(1_800_000_000 + n * 7 * 3600);
        for n in 0..20 {
            tree::write(&root, &StillName::of(camera.clone(), at(n)), b"x").unwrap();
        }
        let fd = root.dir().unwrap();
        for (limit, order) in [
            (1, Order::Asc),
            (3, Order::Desc),
            (4, Order::Asc),
            (16, Order::Desc),
            (100, Order::Asc),
        ] {
            let mut query = StillQuery {
                range: TimeRange::new(at(2), at(18)).unwrap(),
                limit,
                order,
                ..StillQuery::new(camera.clone())
            };
            let mut seen = Vec::new();
            loop {
                let page = page(&fd, &query).unwrap();
                assert!(!page.items.is_empty() && page.items.len() <= limit as usize);
                seen.extend(page.items.iter().map(|s| s.at));
                query.cursor = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            let mut wanted: Vec<Timestamp> = (2..18).map(at).collect();
            if order == Order::Desc {
                wanted.reverse();
            }
            assert_eq!(seen, wanted, "{limit} {order:?}");
        }
        let none = StillQuery {
            range: TimeRange::new(at(30), at(40)).unwrap(),
            ..StillQuery::new(camera)
        };
        assert!(page(&fd, &none).unwrap().items.is_empty());
    }
}
