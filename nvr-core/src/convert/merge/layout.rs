//! Where the pictures of the cameras lie.

/// How cameras are put together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// In one row.
    #[default]
    SideBySide,
    /// In one column.
    Stacked,
    /// In rows and columns, as square as it goes.
    Grid,
    /// The first fills the picture, the others lie in it, in a row at the bottom right.
    PictureInPicture,
    /// All of the first, then all of the second, and so on.
    OneAfterTheOther,
}

/// A rectangle, pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pane {
    pub(super) at: (u32, u32),
    pub(super) size: (u32, u32),
}

/// Largest side of the whole picture; what is larger is made smaller.
const MOST: u32 = 4096;

/// Sides of pictures without padding.
fn round((w, h): (f64, f64)) -> (u32, u32) {
    (
        ((w / 8.0).round() as u32).max(2) * 8,
        ((h / 2.0).round() as u32).max(8) * 2,
    )
}

/// Size of each of so many pictures that lie in a row in one of `size`, with an edge around them: a quarter of it at most.
fn small((w, h): (u32, u32), count: u32, edge: u32) -> (u32, u32) {
    let count = count.max(1);
    let wide = w.saturating_sub(edge * (count + 1)) / count;
    let wide = wide.min(w / 4);
    let wide = if wide < 8 { wide & !1 } else { wide & !7 }.max(2);
    let high = u64::from(wide) * u64::from(h) / u64::from(w.max(1));
    (wide, (u32::try_from(high).unwrap_or(2) & !1).max(2))
}

/// Size of the whole, and where each of `count` pictures of `shape` lies; `height` is that of one picture (of the large one
/// with pictures in it).
pub(super) fn arrange(
    layout: Layout,
    count: usize,
    shape: (u32, u32),
    height: u32,
) -> ((u32, u32), Vec<Pane>) {
    let count = u32::try_from(count).unwrap_or(1).max(1);
    let (columns, rows) = match layout {
        Layout::SideBySide => (count, 1),
        Layout::Stacked => (1, count),
        Layout::Grid => {
            let columns = f64::from(count).sqrt().ceil() as u32;
            (columns, count.div_ceil(columns))
        }
        Layout::PictureInPicture | Layout::OneAfterTheOther => (1, 1),
    };
    let ratio = f64::from(shape.0.max(1)) / f64::from(shape.1.max(1));
    let most = f64::from(MOST);
    let high = f64::from(height)
        .min(most / f64::from(rows))
        .min(most / f64::from(columns) / ratio);
    let (w, h) = round((high * ratio, high));
    let whole = (w * columns, h * rows);
    let panes = match layout {
        Layout::OneAfterTheOther => (0..count)
            .map(|_| Pane {
                at: (0, 0),
                size: (w, h),
            })
            .collect(),
        Layout::PictureInPicture => {
            let edge = (h / 40) & !1;
            let small = small((w, h), count - 1, edge);
            let inner = (1..count).map(|n| Pane {
                at: (
                    w.saturating_sub(n * (small.0 + edge)) & !1,
                    h.saturating_sub(small.1 + edge) & !1,
                ),
                size: small,
            });
            std::iter::once(Pane {
                at: (0, 0),
                size: (w, h),
            })
            .chain(inner)
            .collect()
        }
        _ => (0..count)
            .map(|n| Pane {
                at: (n % columns * w, n / columns * h),
                size: (w, h),
            })
            .collect(),
    };
    (whole, panes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_lie_inside_and_beside_each_other() {
        for layout in [
            Layout::SideBySide,
            Layout::Stacked,
            Layout::Grid,
            Layout::PictureInPicture,
            Layout::OneAfterTheOther,
        ] {
            for count in 2..=16 {
                for (shape, height) in [
                    ((1920, 1080), 1080),
                    ((640, 480), 240),
                    ((1080, 1920), 2160),
                    ((1080, 1920), 64),
                ] {
                    let (whole, panes) = arrange(layout, count, shape, height);
                    assert_eq!(panes.len(), count);
                    assert!(whole.0 <= 4224 && whole.1 <= 4224, "{layout:?} {count} {whole:?}");
                    assert_eq!((whole.0 % 8, whole.1 % 2), (0, 0));
                    for (i, p) in panes.iter().enumerate() {
                        assert_eq!((p.at.0 % 2, p.at.1 % 2, p.size.0 % 2, p.size.1 % 2), (0, 0, 0, 0));
                        assert!(p.at.0 + p.size.0 <= whole.0 && p.at.1 + p.size.1 <= whole.1);
                        let apart = |a: &Pane, b: &Pane| {
                            a.at.0 + a.size.0 <= b.at.0
                                || b.at.0 + b.size.0 <= a.at.0
                                || a.at.1 + a.size.1 <= b.at.1
                                || b.at.1 + b.size.1 <= a.at.1
                        };
                        let first = usize::from(layout == Layout::PictureInPicture);
                        if layout != Layout::OneAfterTheOther && i > first {
                            assert!(panes[first..i].iter().all(|o| apart(p, o)), "{layout:?} {count}");
                        }
                    }
                }
            }
        }
        let (whole, panes) = arrange(Layout::SideBySide, 2, (1920, 1080), 1080);
        assert_eq!((whole, panes[1].at), ((3840, 1080), (1920, 0)));
        let (whole, _) = arrange(Layout::Grid, 3, (1280, 720), 360);
        assert_eq!(whole, (1280, 720));
    }
}
